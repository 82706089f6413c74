"""The cases that are sound records: outcomes, causes, repeats, orders and loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pytest_mcn_mock.conformance.cases import ARTICLE, JSON_ONLY, Case, Expect, Rounds
from pytest_mcn_mock.conformance.messages import Message, Writer, encoded
from pytest_mcn_mock.conformance.webhook import Form
from pytest_mcn_mock.model.calls import VARIABLES
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, Outcome

AT_ONCE: Final = 50
_DAY_S: Final = 86_400.0
_REPEAT_HINT: Final = (
    "the operator repeats a record whose acknowledgement it has not seen: let the second one change nothing and answer "
    "2xx (INSERT … ON CONFLICT DO NOTHING, get_or_create, or look first whether the call has ended)"
)


def _one(write: Callable[[Writer], Message]) -> Callable[[Writer], Rounds]:
    return lambda writer: [[write(writer)]]


def _outcome(outcome: Outcome, sends: str, sentence: str, hint: str) -> Case:
    return Case(
        name=outcome.value,
        sends=sends,
        why="it is one of the ways in which a call ends",
        source=f"article, {ARTICLE}: {sentence}",
        hint=hint,
        write=_one(lambda writer: writer.record(writer.call(), outcome)),
    )


def _cause(cause: int) -> Case:
    return Case(
        name=f"cause_{cause}",
        sends=f"a record with q931_status {cause} ({CAUSE_NAMES[cause]})",
        why="any cause of Q.850 can end a call, and every one but 16, 17 and 31 means that the number is unavailable",
        source="article: «Все прочие коды «q931_status» … — номер недоступен»; ITU-T Q.850, table 1",
        hint="take every whole number from 1 to 127, and let all but 16, 17 and 31 mean unavailable (else:, default:)",
        write=_one(lambda writer: writer.record(writer.call(), cause=cause)),
    )


def _reordered(writer: Writer) -> Rounds:
    first, second = writer.call(age_s=60), writer.call(age_s=30)
    return [[writer.record(second)], [writer.record(first, Outcome.NO_ANSWER)]]


def _contradicted(writer: Writer) -> Rounds:
    call = writer.call()
    return [[writer.record(call)], [writer.record(call, Outcome.UNAVAILABLE)], [writer.record(call, Outcome.BUSY)]]


def _early(writer: Writer) -> Rounds:
    record = writer.record(writer.call(known=False, age_s=5))
    return [[record], [record]]


def _late(writer: Writer) -> Message:
    return writer.record(writer.call(age_s=_DAY_S), body=VARIABLES)


def _duplicate(writer: Writer) -> Rounds:
    record = writer.record(writer.call())
    return [[record], [record], [record]]


def _duplicate_at_once(writer: Writer) -> Rounds:
    return [[writer.record(writer.call())] * 5]


def _calls(number: int) -> Callable[[Writer], Rounds]:
    return lambda writer: [[writer.record(writer.call()) for _ in range(number)]]


OUTCOMES: Final = (
    _outcome(
        Outcome.ANSWERED,
        "an ordinary record of an answered call",
        "«q931_status»: 16, «final_status»: «ANSWERED»",
        "this is the record that every login ends with: look into the application's log for what it failed on",
    ),
    _outcome(
        Outcome.BUSY,
        "a record of a busy number",
        "«q931_status»: 17, «final_status»: «NO ANSWER»",
        "final_status has a space in it, and goes with cause 17 as well as 16: tell busy by q931_status",
    ),
    _outcome(
        Outcome.NO_ANSWER,
        "a record of a call that nobody answered",
        "«q931_status»: 16, «final_status»: «NO ANSWER»",
        "cause 16 alone does not mean answered: look at final_status, which has a space in it",
    ),
    _outcome(
        Outcome.REJECTED,
        "a record of a rejected call, which has no final_status",
        "«q931_status»: 31",
        "the article documents no final_status for a rejected call: read it with .get(), or let the schema make it "
        "optional and the column nullable",
    ),
    _outcome(
        Outcome.UNAVAILABLE,
        "a record of an unavailable number, which has no final_status",
        "«Все прочие коды «q931_status», отличные от 31, 16 или 17 — номер недоступен»",
        "the article documents no final_status for an unavailable number: read it with .get(), or let the schema make "
        "it optional and the column nullable",
    ),
)
CAUSES: Final = tuple(_cause(cause) for cause in CAUSE_NAMES if cause not in (16, 17, 31))

FIELDS: Final = (
    Case(
        name="all_variables",
        sends="a record with every variable that a subscription can ask for",
        why="whoever sets up the subscription chooses its variables, and their order",
        source="article: «указываются … список переменных»; the names beside the three are observed",
        hint="read the fields that you need by name and ignore the others",
        write=_one(lambda writer: writer.record(writer.call(), body=sorted(VARIABLES, reverse=True))),
    ),
    Case(
        name="unknown_fields",
        sends="a record with additional fields",
        why="a subscription can have constant parameters, and the vendor can add variables",
        source="observed: the vendor's form for a webhook; RFC 9413, 4",
        hint="ignore what you do not know: no **cdr as keyword arguments, no extra='forbid', no strict schema",
        write=_one(
            lambda writer: writer.record(
                writer.call(), constants={"tenant": "Ромашка", "environment": "test", "attempt": 1, "is_test": True}
            )
        ),
    ),
    Case(
        name="charset",
        sends="a record with Content-Type application/json; charset=utf-8",
        why="a content type can have parameters",
        source="RFC 9110, 8.3.1; many clients send the charset, although RFC 8259, 11 defines none for JSON",
        hint="compare the media type alone, not the header as a whole",
        write=_one(lambda writer: writer.raw(encoded(writer.plain()), "application/json; charset=utf-8")),
        forms=JSON_ONLY,
    ),
    Case(
        name="late",
        sends="a record of a call of yesterday",
        why="a record can be sent again manually, or wait for a repair of the endpoint",
        source="observed: the vendor has a resend mechanism for webhooks",
        hint="a login that is over, expired or deleted is no error: acknowledge its record and do nothing",
        write=_one(_late),
    ),
)
ORDERS: Final = (
    Case(
        name="duplicate",
        sends="a record that is sent three times",
        why="the operator sends a record again when the acknowledgement did not reach it",
        source="observed: “retry on error” is on by default",
        hint=_REPEAT_HINT,
        write=_duplicate,
        is_repeat=True,
    ),
    Case(
        name="duplicate_at_once",
        sends="a record that is sent five times at once",
        why="a slow first try can still be under way when the second arrives",
        source="observed: “retry on error” is on by default",
        hint=f"{_REPEAT_HINT}; looking first is not enough here, the database has to decide",
        write=_duplicate_at_once,
        is_repeat=True,
        is_crowd=True,
    ),
    Case(
        name="reordered",
        sends="two records, the second call's first",
        why="calls end when people let them, and a record that is tried again arrives later",
        source="observed: “retry on error” is on by default",
        hint="find the login by verification_call_uuid, never take the record for that of the last call",
        write=_reordered,
    ),
    Case(
        name="contradicted",
        sends="three records of one call that contradict one another",
        why="a record can be corrected, or a call counted on several legs",
        source="assumed; the article ties a record to a call by its uuid and promises no single one",
        hint="decide which record counts (the first, or the last) and answer 2xx to the others too",
        write=_contradicted,
    ),
    Case(
        name="early",
        sends="a record that arrives before its call is known, and once more",
        why="a busy number is known within milliseconds: its record can overtake the answer to the request",
        source="assumed; the article says nothing of the order",
        hint="keep a record whose call is unknown and look for it when the call is stored, or answer 2xx and ask again "
        "later; a crash loses it",
        write=_early,
        expect=Expect.UNKNOWN,
        is_repeat=True,
    ),
    Case(
        name="unknown_uuid",
        sends="a record of a call that nobody placed",
        why="the account can be shared with another program, or the database restored from yesterday",
        source="article: the webhook belongs to the account, not to the program that calls",
        hint="look the call up with .get() or .first() and ignore the record where there is none",
        write=_one(lambda writer: writer.record(writer.call(known=False))),
        expect=Expect.UNKNOWN,
    ),
    Case(
        name="foreign_account",
        sends="a record of another account's call",
        why="one URL can be subscribed by several accounts",
        source="article: «цифры после символа “_” — ЛС клиента»",
        hint="take the part behind “_” for an account that may not be yours, and ignore the record then",
        write=_one(lambda writer: writer.record(writer.call(known=False, foreign=True))),
        expect=Expect.UNKNOWN,
    ),
)
LOADS: Final = (
    Case(
        name="keep_alive",
        sends="three records in turn over one connection",
        why="the operator keeps its connections",
        source="RFC 9112, 9.3",
        hint="read the whole body before you answer, or say Connection: close: what is left of it is taken for the "
        "next request",
        write=_calls(3),
        in_turn=True,
    ),
    Case(
        name="fifty_at_once",
        sends=f"{AT_ONCE} records at once",
        why="calls end independently of one another, and what an outage held back comes at once",
        source="the operator's load; no limit is documented",
        hint="give the server more workers and the database a pool with a wait, hold no lock while the record is "
        "worked on, and leave slow work to a queue",
        write=_calls(AT_ONCE),
        is_crowd=True,
    ),
)
VARIANTS: Final = (
    Case(
        name="get_variant",
        sends="a record in the query string of a GET",
        why="a subscription can be set to GET",
        source="observed: the vendor's form for a webhook",
        hint="set the subscription to POST, or read the query string where the method is GET",
        write=_one(lambda writer: writer.record(writer.call(), form=Form.QUERY)),
        expect=Expect.ANSWERED,
        forms=JSON_ONLY,
        optional=True,
    ),
    Case(
        name="text_variant",
        sends="a record in free text",
        why="a subscription can be set to text",
        source="observed: the vendor's form for a webhook",
        hint="set the subscription's data type to JSON, or answer 2xx to what you cannot read",
        write=_one(lambda writer: writer.record(writer.call(), form=Form.TEXT)),
        expect=Expect.ANSWERED,
        forms=JSON_ONLY,
        optional=True,
    ),
)

RECORDS: Final = (*OUTCOMES, *CAUSES, *FIELDS, *ORDERS, *LOADS, *VARIANTS)
"""Every case that is a sound record, in the order in which they are run."""
