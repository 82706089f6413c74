"""Assertions that show what came nearest when they fail."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.checks import check_text, check_whole
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.faults import MAX_TIMES
from pytest_mcn_mock.model.money import EntryKind, format_roubles
from pytest_mcn_mock.testing.views import Call, Delivery
from pytest_mcn_mock.testing.waiting import DEFAULT_TIMEOUT_S, Waiting

FIELDS = ("login_did", "code", "caller_did", "country_id", "method", "outcome", "q931_status", "state")
"""The fields of a call that ``assert_called`` and its sibling can ask for."""
MOST_SHOWN = 5


class Assertions(Waiting):
    """Assertions on the calls, the CDRs and the money of an account."""

    def assert_called(self, *, times: int | None = None, **fields: object) -> Call:
        """At least one call was accepted with these fields, or as many as ``times`` says; returns the first.

        The fields are those of a call: ``login_did``, ``code``, ``caller_did``, ``country_id``, ``method``,
        ``outcome``, ``q931_status`` and ``state``. A failure shows the calls that came nearest, field by field.
        """
        __tracebackhide__ = True
        if times is not None:
            check_whole(times, name="times", least=1, most=MAX_TIMES, also="; for no call use assert_not_called")
        matching = self._matching(fields)
        if len(matching) != times if times is not None else not matching:
            expected = "at least once" if times is None else _times(times)
            raise AssertionError(
                f"expected a call with {_show(fields)} {expected}, got {_times(len(matching))}\n{self._misses(fields)}"
            )
        return matching[0]

    def assert_not_called(self, **fields: object) -> None:
        """No call was accepted with these fields; without fields, none at all."""
        __tracebackhide__ = True
        matching = self._matching(fields)
        if matching:
            shown = "\n".join(f"  {call!r}" for call in matching[:MOST_SHOWN])
            raise AssertionError(f"expected no call with {_show(fields)}, got {len(matching)}\n{shown}")

    def assert_cdr_delivered(
        self, call: Call | None = None, *, status: int | None = None, timeout: float = DEFAULT_TIMEOUT_S
    ) -> Delivery:
        """The call's CDR (the next one, without a call) was acknowledged, with that HTTP status if one is given.

        Waits for it, ``timeout`` seconds at most, and returns the delivery.
        """
        __tracebackhide__ = True
        if status is not None:
            check_whole(status, name="status", least=100, most=599, also=", or None for any that acknowledges")
        delivery = self.wait_for_cdr(call, timeout)
        if delivery.state is not DeliveryState.DELIVERED or status not in (None, delivery.status):
            expected = "acknowledged" if status is None else f"acknowledged with {status}"
            attempts = "\n".join(f"  {attempt}" for attempt in delivery.attempts) or "  it was never sent"
            raise AssertionError(f"expected the CDR to be {expected}: {delivery!r}\n{attempts}")
        return delivery

    def assert_ledger_balanced(self) -> None:
        """The balance is the sum of the ledger, and every call was charged once, at its price."""
        __tracebackhide__ = True
        entries = self._access.run(self._access.storage.ledger(self.account_id))
        balance = self._access.run(self._access.service.accounts.balance(self.account_id))
        total = sum(entry.kopecks for entry in entries)
        problems = []
        if total != balance:
            problems.append(f"the balance is {format_roubles(balance)}, the entries sum to {format_roubles(total)}")
        charges = [entry for entry in entries if entry.kind is EntryKind.CHARGE]
        for call in self.calls:
            charged = [-e.amount for e in charges if e.verification_call_uuid == call.verification_call_uuid]
            if charged != [call.price]:
                problems.append(
                    f"{call!r} costs {call.price} and was charged {', '.join(map(str, charged)) or 'never'}"
                )
        if problems:
            raise AssertionError("the ledger is not balanced\n" + "\n".join(f"  {problem}" for problem in problems))

    def assert_charged_once(self, *, login_did: str) -> None:
        """Exactly one call to the number was charged: the application did not try again and pay twice."""
        __tracebackhide__ = True
        check_text(login_did, name="login_did", example="79157777777")
        calls = self._matching({"login_did": login_did})
        if len(calls) != 1:
            spent = format_roubles(sum(int(call.price * 100) for call in calls))
            shown = "\n".join(f"  {call!r}" for call in calls) or self._misses({"login_did": login_did})
            raise AssertionError(
                f"expected one charge for {login_did}, got {len(calls)}, {spent} roubles in all\n{shown}\n"
                + "\n".join(f"  {request}" for request in self.requests[-MOST_SHOWN:])
            )

    def _matching(self, fields: Mapping[str, object]) -> list[Call]:
        for name in fields:
            if name not in FIELDS:
                raise UsageError(f"{name[:40]!r} is not a field of a call; {nearest(name, FIELDS)}")
        return [call for call in self.calls if not _differences(call, fields)]

    def _misses(self, fields: Mapping[str, object]) -> str:
        """The calls and refused requests that came nearest, the nearest first."""
        calls = sorted(self.calls, key=lambda call: len(_differences(call, fields)))
        lines = []
        for call in calls[:MOST_SHOWN]:
            lines.append(f"  {call!r}")
            lines += [
                f"    {name}: expected {fields[name]!r}, got {actual!r}"
                for name, actual in _differences(call, fields).items()
            ]
        if len(calls) > MOST_SHOWN:
            lines.append(f"  and {len(calls) - MOST_SHOWN} calls more")
        lines += [f"  refused: {request}" for request in self._heard() if request.refusal is not None]
        return "\n".join(lines) or "  no request arrived at all: does the application use mcn.base_url?"


def _differences(call: Call, fields: Mapping[str, object]) -> dict[str, object]:
    return {name: actual for name, value in fields.items() if str(actual := getattr(call, name)) != str(value)}


def _show(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items()) or "any fields"


def _times(times: int) -> str:
    return {0: "never", 1: "once"}.get(times, f"{times} times")
