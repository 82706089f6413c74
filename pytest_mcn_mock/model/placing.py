"""Decide an order on an account. The functions here are pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, Explanation
from pytest_mcn_mock.model.draws import draw_call
from pytest_mcn_mock.model.money import Method, format_roubles
from pytest_mcn_mock.model.numbering import COUNTRY_NAMES, caller_number, warn_of_domestic
from pytest_mcn_mock.model.outcomes import MAGIC_NUMBERS, Ending, Magic, Outcome, ending
from pytest_mcn_mock.reasons import Reason

_CONNECTED: Final = Reason("number_connected")
_RANDOM: Final = {country: Reason("number_random", {"country": name}) for country, name in COUNTRY_NAMES.items()}


def place(
    account: Account,
    balance: int,
    n: int,
    order: CallOrder,
    assumptions: Assumptions,
    now: float,
    *,
    magic_numbers: bool = False,
    seq: int = 0,
) -> Call:
    """Decide an order: caller, price, ending. Pure. A call without delay is returned already ended.

    ``balance`` is in kopecks, ``n`` counts the account's accepted calls before this one, ``now`` is in seconds since
    the epoch, ``seq`` numbers the call. With ``magic_numbers`` a magic number wins over every outcome rule. The ending
    that was chosen with the order wins over both; they still say when the call ends.

    Raises Refusal ``foreign_number`` for a ``caller_did`` that is not connected to the account ("должен быть номер, с
    которого звоним"), and ``insufficient_funds`` if balance and credit do not cover the price.
    """
    magic = MAGIC_NUMBERS.get(order.login_did) if magic_numbers else None
    if magic is not None and magic.refusal is not None:
        raise Refusal(magic.refusal, Reason("magic_refusal", {"number": order.login_did}), "login_did")
    draw, terms = draw_call(account.seed, n), order.terms
    if order.method is Method.CALL_FOR_2FA:
        if order.caller_did not in account.numbers:
            why = Reason("number_not_connected", {"number": str(order.caller_did)})
            raise Refusal(RefusalCode.FOREIGN_NUMBER, why, "caller_did")
        country, caller = None, order.caller_did
        reasons = [_CONNECTED]
    else:
        choice = terms.choose_country(order.login_did, order.country_id)
        country, caller = choice.country, caller_number(choice.country, order.code, draw.number)
        reasons = [choice.rule, _explain_caller(country, order.code)]

    for name, number in (("login_did", order.login_did), ("caller_did", order.caller_did)):
        warning = warn_of_domestic(name, number) if number is not None else None
        if warning is not None:
            reasons.insert(-1, warning)

    price = account.tariff.price(order.method, country, terms.dialect)
    if not account.can_pay(price, balance):
        raise Refusal(
            RefusalCode.INSUFFICIENT_FUNDS,
            Reason(
                "insufficient_funds",
                {
                    "price": format_roubles(price),
                    "balance": format_roubles(balance),
                    "credit": format_roubles(account.credit),
                },
            ),
        )

    plan = _plan(account, order, assumptions, magic)
    if order.how is not None:
        plan = replace(plan, ending=order.how, rule=Reason("outcome_chosen", order.how.values()))
    ends_at = None if account.calls_held or plan.delay_s is None else now + plan.delay_s
    has_ended = ends_at == now
    # The first seven by position, in the order of Call's fields: for a call with more than 15 names, Python makes a
    # dictionary, which takes five times as long.
    return Call(
        f"{draw.call_id}_{account.id}",
        account.id,
        order.method,
        order.login_did,
        caller,
        caller[-4:],
        country,
        price=price,
        explanation=Explanation(
            (
                *reasons,
                _explain_price(terms.spelling[order.method], country, price),
                plan.rule,
                *_explain_cdr(account, order.method, assumptions),
            )
        ),
        placed_at=now,
        planned=plan.ending,
        ends_at=ends_at,
        seq=seq,
        dialect=terms.dialect,
        ending=plan.ending if has_ended else None,
        ended_at=ends_at if has_ended else None,
    )


class _Plan(Struct, frozen=True):
    """How a call will end, by which rule, and after how many seconds; None if it must be completed manually."""

    ending: Ending
    rule: Reason
    delay_s: float | None


def _plan(account: Account, order: CallOrder, assumptions: Assumptions, magic: Magic | None) -> _Plan:
    cause, delay_s = assumptions.unavailable_cause, assumptions.ring_s
    if magic is not None:
        is_held = magic.outcome is None and magic.q931_status is None
        outcome = assumptions.default_outcome if is_held else magic.outcome
        how = ending(outcome, magic.q931_status, unavailable_cause=cause)
        code = "outcome_magic_held" if is_held else "outcome_magic"
        why = Reason(code, {"number": order.login_did, **how.values()})
        return _Plan(how, why, None if is_held else delay_s)
    rule = account.outcome_rule(order.login_did)
    if rule is None:
        return _default_plan(assumptions.default_outcome, cause, delay_s)
    rule_delay_s = delay_s if rule.delay_s is None else rule.delay_s
    why = Reason("outcome_rule", {"pattern": rule.login_did, **rule.ending.values()})
    return _Plan(rule.ending, why, rule_delay_s)


@lru_cache(maxsize=256)
def _default_plan(outcome: Outcome, unavailable_cause: int, delay_s: float) -> _Plan:
    how = ending(outcome, unavailable_cause=unavailable_cause)
    return _Plan(how, Reason("outcome_default", how.values()), delay_s)


def _explain_caller(country: int, code: str | None) -> Reason:
    name = COUNTRY_NAMES[country]
    return _RANDOM[country] if code is None else Reason("number_code", {"country": name, "code": code})


@lru_cache(maxsize=256)
def _explain_price(spelling: str, country: int | None, price: int) -> Reason:
    """Return why the call has its price; without a country the number is the client's."""
    values = {"method": spelling, "price": format_roubles(price)}
    if country is None:
        return Reason("price_own", values)
    return Reason("price_country", {**values, "country": COUNTRY_NAMES[country]})


def _explain_cdr(account: Account, method: Method, assumptions: Assumptions) -> list[Reason]:
    """Return which webhooks do not get the call's CDR, and why; empty if all of them get it."""
    if not assumptions.has_cdr(method):
        return []
    return [subscription.why_disabled() for subscription in account.subscriptions if not subscription.enabled]
