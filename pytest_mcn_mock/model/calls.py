"""A call, from the order to its end, and the decision that places it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.draws import draw_call
from pytest_mcn_mock.model.faults import Fault
from pytest_mcn_mock.model.magic import MAGIC_NUMBERS, Magic
from pytest_mcn_mock.model.money import format_roubles
from pytest_mcn_mock.model.numbering import caller_number, choose_country, explain_caller, warn_of_domestic
from pytest_mcn_mock.model.outcomes import Ending, Outcome, ending
from pytest_mcn_mock.model.rule_index import first_match
from pytest_mcn_mock.model.tariffs import Method


@dataclass(frozen=True, slots=True)
class CallOrder:
    """What a client asks for, its parameters checked already. An optional parameter left out or empty is None."""

    method: Method
    login_did: str
    code: str | None = None
    country_id: str | None = None
    caller_did: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the call is as it is: a sentence each on the country, the caller's number, the price and the outcome.

    ``cdr`` says why a webhook does not get the call's CDR; it is empty if every webhook gets it.
    """

    country: str
    number: str
    price: str
    outcome: str
    cdr: str = ""

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.country, self.number, self.price, self.outcome, self.cdr)))


@dataclass(frozen=True, slots=True)
class Call:
    """One accepted call.

    ``price`` is in kopecks; ``placed_at``, ``ends_at`` and ``ended_at`` are seconds since the epoch. ``planned`` is how
    the call is going to end, at ``ends_at`` or, where that is None, when somebody completes it. ``ending`` and
    ``ended_at`` are None until it has ended. ``country_id`` is the country of the number that calls, None for a
    call_for_2fa. ``cdr_fault`` is what spoils its CDR. ``seq`` numbers the calls of a store as they arrive, from 1.
    """

    verification_call_uuid: str
    account_id: str
    method: Method
    login_did: str
    caller_did: str
    code: str
    country_id: int | None
    price: int
    explanation: Explanation
    placed_at: float
    planned: Ending
    ends_at: float | None
    seq: int = 0
    ending: Ending | None = None
    ended_at: float | None = None
    cdr_fault: Fault | None = None

    @property
    def state(self) -> str:
        """``ringing`` until the call has ended, ``completed`` afterwards."""
        return "ringing" if self.ending is None else "completed"


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
    """Decide a call: who calls, for how much, and how it will end; without a delay it has ended. Nothing is changed
    here.

    ``balance`` is in kopecks, ``n`` counts the account's accepted calls before this one, ``now`` is in seconds since
    the epoch, ``seq`` numbers the call. With ``magic_numbers`` a number of that table comes before every rule.

    Raises Refusal ``foreign_number`` for a ``caller_did`` that is not connected to the account ("должен быть номер, с
    которого звоним"), and ``insufficient_funds`` where the price is more than the balance.
    """
    magic = MAGIC_NUMBERS.get(order.login_did) if magic_numbers else None
    if magic is not None and magic.refusal is not None:
        raise Refusal(magic.refusal, f"{order.login_did} is the magic number that is refused so", "login_did")
    draw = draw_call(account.seed, n)
    if order.method is Method.CALL_FOR_2FA:
        if order.caller_did not in account.numbers:
            raise Refusal(
                RefusalCode.FOREIGN_NUMBER, f"number {order.caller_did} is not connected to this account", "caller_did"
            )
        country, country_rule = None, ""
        caller, caller_rule = order.caller_did, "from the connected number of the request"
    else:
        choice = choose_country(order.login_did, order.country_id)
        country, country_rule = choice.country, choice.rule
        caller = caller_number(country, order.code, draw.number)
        caller_rule = explain_caller(country, order.code)

    warnings = [warn_of_domestic("login_did", order.login_did)]
    if order.caller_did is not None:
        warnings.append(warn_of_domestic("caller_did", order.caller_did))
    country_rule = "; ".join(filter(None, (country_rule, *warnings)))

    price = account.tariff.price(order.method, country)
    if price > balance:
        raise Refusal(
            RefusalCode.INSUFFICIENT_FUNDS,
            f"the call costs {format_roubles(price)} roubles and the balance is {format_roubles(balance)}",
        )

    plan = _plan(account, order, assumptions, magic)
    ends_at = None if account.calls_held or plan.delay_s is None else now + plan.delay_s
    has_ended = ends_at == now
    return Call(
        verification_call_uuid=f"{draw.call_id}_{account.id}",
        account_id=account.id,
        method=order.method,
        login_did=order.login_did,
        caller_did=caller,
        code=caller[-4:],
        country_id=country,
        price=price,
        explanation=Explanation(
            country_rule,
            caller_rule,
            account.tariff.explain(order.method, country),
            plan.rule,
            _explain_cdr(account, order.method, assumptions),
        ),
        placed_at=now,
        planned=plan.ending,
        ends_at=ends_at,
        seq=seq,
        ending=plan.ending if has_ended else None,
        ended_at=ends_at if has_ended else None,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a call is going to end, by which rule, and after how many seconds; None: when somebody completes it."""

    ending: Ending
    rule: str
    delay_s: float | None


def _plan(account: Account, order: CallOrder, assumptions: Assumptions, magic: Magic | None) -> _Plan:
    cause, delay_s = assumptions.unavailable_cause, assumptions.cdr_delay_s
    if magic is not None:
        is_held = magic.outcome is None and magic.q931_status is None
        outcome = assumptions.default_outcome if is_held else magic.outcome
        how = ending(outcome, magic.q931_status, unavailable_cause=cause)
        said = f"rings until it is completed, then {how}" if is_held else str(how)
        return _Plan(how, f"magic number {order.login_did}: {said}", None if is_held else delay_s)
    rule = first_match(account.outcome_rules, order.login_did)
    if rule is None:
        return _default_plan(assumptions.default_outcome, cause, delay_s)
    rule_delay_s = delay_s if rule.delay_s is None else rule.delay_s
    return _Plan(rule.ending, f"outcome rule for {rule.login_did}: {rule.ending}", rule_delay_s)


@lru_cache(maxsize=256)
def _default_plan(outcome: Outcome, unavailable_cause: int, delay_s: float) -> _Plan:
    how = ending(outcome, unavailable_cause=unavailable_cause)
    return _Plan(how, f"no outcome rule matches: {how}", delay_s)


def end(call: Call, how: Ending, now: float) -> Call:
    """The call after it has ended so."""
    explanation = call.explanation
    if how != call.planned:
        explanation = replace(explanation, outcome=f"completed by hand: {how}")
    return replace(call, ending=how, ended_at=now, ends_at=now, explanation=explanation)


def owe(call: Call, account: Account, first_id: int) -> list[Delivery]:
    """The deliveries that the call owes the account's webhooks, numbered from ``first_id`` on."""
    enabled = [subscription for subscription in account.subscriptions if subscription.enabled]
    return [
        Delivery(
            id=number,
            verification_call_uuid=call.verification_call_uuid,
            account_id=account.id,
            subscription=subscription.number,
            url=subscription.url,
            due_at=call.ends_at,
        )
        for number, subscription in enumerate(enabled, first_id)
    ]


def owes_cdr(call: Call, assumptions: Assumptions) -> bool:
    """Whether the call has a CDR: flash_call always, call_for_2fa by setting."""
    return _has_cdr(call.method, assumptions)


def _has_cdr(method: Method, assumptions: Assumptions) -> bool:
    return method is Method.FLASH_CALL or assumptions.call_for_2fa_cdr


def _explain_cdr(account: Account, method: Method, assumptions: Assumptions) -> str:
    """Which webhooks do not get the call's CDR, and why; empty if all of them do."""
    if not _has_cdr(method, assumptions):
        return ""
    return "; ".join(subscription.why_disabled for subscription in account.subscriptions if not subscription.enabled)
