"""The cases of the webhook check: each has the messages, the correct answer, the reason, and how to fix an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import UNSET, Struct

from pytest_mcn_mock.conformance.webhook import Form, Message, Writer
from pytest_mcn_mock.errors import UsageError, nearest
from pytest_mcn_mock.model.assumptions import MissingFinalStatus
from pytest_mcn_mock.model.cdr import VARIABLES
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES, Outcome

Rounds = Sequence[Sequence[Message]]
"""The messages of a round are sent at once. The next round begins when all of them are answered."""
EVERY_FORM: Final = frozenset(Form)
JSON_FORMS: Final = frozenset({Form.FLAT, Form.WHOLE})
WHOLE_ONLY: Final = frozenset({Form.WHOLE})
_AT_ONCE: Final = 50
_DAY_S: Final = 86_400.0
_MIB: Final = 2**20
_DEPTH: Final = 50_000
"""Deeper than the stack of a recursive parser."""


class Expect(StrEnum):
    """The answer of a correct endpoint."""

    ACKNOWLEDGED = "acknowledged"
    """Any 2xx, to a record of a login's call."""
    UNKNOWN = "unknown"
    """2xx, to a record of a call that the endpoint cannot know. A 4xx is reported as a warning."""
    ANSWERED = "answered"
    """Any 2xx or 4xx, but not a 5xx, to a message that is not a valid record."""


_CORRECT: Final = {
    Expect.ACKNOWLEDGED: "answers 2xx within the operator's time-out",
    Expect.UNKNOWN: "answers 2xx (a 4xx is not a crash, but the operator counts it as a failure and retries)",
    Expect.ANSWERED: "answers 2xx or 4xx, never 5xx",
}


class Case(Struct, frozen=True):
    """One case of the contract.

    ``sends`` describes the message, as the end of a sentence that begins with "answered 500 to". ``why`` is the reason
    why the message may arrive, and ``source`` its source. ``hint`` says how to fix an endpoint that fails. ``forms``
    are the forms that have this case. Findings of an ``optional`` case are warnings.

    ``is_repeat``: every message is the same record, so the answers must be the same. ``is_crowd``: all messages are in
    flight at once. ``in_turn``: the messages of a round go one by one over one kept connection. ``may_close``: if there
    is no answer at all, that is a warning. ``tolerated`` are statuses that are correct only in this case.
    """

    name: str
    sends: str
    write: Callable[[Writer], Rounds]
    hint: str
    why: str
    source: str
    expect: Expect = Expect.ACKNOWLEDGED
    forms: frozenset[Form] = EVERY_FORM
    optional: bool = False
    is_repeat: bool = False
    is_crowd: bool = False
    in_turn: bool = False
    may_close: bool = False
    tolerated: frozenset[int] = frozenset()

    @property
    def sound(self) -> str:
        """The answer of a correct endpoint, for people."""
        same = ", and the same for a repeat" if self.is_repeat else ""
        return f"{_CORRECT[self.expect]}{same}"


def _one(write: Callable[[Writer], Message]) -> Callable[[Writer], Rounds]:
    return lambda writer: [[write(writer)]]


# Records: an endpoint acknowledges them.

_OPTIONAL: Final = "read it with .get(), or let the schema make it optional and the column nullable"
_OUTCOMES: Final = (
    (
        Outcome.ANSWERED,
        "an ordinary record of an answered call",
        "«q931_status»: 16, «final_status»: «ANSWERED»",
        "every login ends with this record: find the error in the application's log",
    ),
    (
        Outcome.BUSY,
        "a record of a busy number",
        "«q931_status»: 17, «final_status»: «NO ANSWER»",
        "final_status contains a space, and is the same for causes 16 and 17: recognise busy by q931_status",
    ),
    (
        Outcome.NO_ANSWER,
        "a record of a call that was not answered",
        "«q931_status»: 16, «final_status»: «NO ANSWER»",
        "cause 16 does not always mean answered: check final_status too, which contains a space",
    ),
    (
        Outcome.REJECTED,
        "a record of a rejected call, which has no final_status",
        "«q931_status»: 31",
        f"the article documents no final_status for a rejected call: {_OPTIONAL}",
    ),
    (
        Outcome.UNAVAILABLE,
        "a record of an unavailable number, which has no final_status",
        "«Все прочие коды «q931_status», отличные от 31, 16 или 17 — номер недоступен»",
        f"the article documents no final_status for an unavailable number: {_OPTIONAL}",
    ),
)


def _outcome(outcome: Outcome, sends: str, sentence: str, hint: str) -> Case:
    why = "it is one of the ways in which a call ends"
    source = f"article, Callback — статусы верификационного звонка: {sentence}"
    return Case(outcome.value, sends, _one(lambda writer: writer.record(writer.call(), outcome)), hint, why, source)


def _cause(cause: int) -> Case:
    return Case(
        f"cause_{cause}",
        f"a record with q931_status {cause} ({CAUSE_NAMES[cause]})",
        _one(lambda writer: writer.record(writer.call(), cause=cause)),
        "accept every whole number from 1 to 127, and treat all but 16, 17 and 31 as unavailable (else:, default:)",
        "any cause of Q.850 can end a call, and every one but 16, 17 and 31 means that the number is unavailable",
        "article: «Все прочие коды «q931_status» … — номер недоступен»; ITU-T Q.850, table 1",
    )


def _late(writer: Writer) -> Message:
    return writer.record(writer.call(age_s=_DAY_S), body=VARIABLES)


def _unknown_fields(writer: Writer) -> Message:
    extra = {"tenant": "Ромашка", "environment": "test", "attempt": 1, "is_test": True}
    return writer.record(writer.call(), extra=extra)


def _duplicate(writer: Writer) -> Rounds:
    record = writer.record(writer.call())
    return [[record], [record], [record]]


def _early(writer: Writer) -> Rounds:
    record = writer.record(writer.call(known=False, age_s=5))
    return [[record], [record]]


def _repeated_key(writer: Writer) -> Rounds:
    call = writer.call()
    return [[writer.record(call, later_s=later_s)] for later_s in (0.0, 2.0, 6.0)]


def _without_final_status(missing: MissingFinalStatus) -> Callable[[Writer], Rounds]:
    def write(writer: Writer) -> Rounds:
        ways = (Outcome.REJECTED, Outcome.UNAVAILABLE)
        return [[writer.record(writer.call(), outcome, missing=missing)] for outcome in ways]

    return write


def _reordered(writer: Writer) -> Rounds:
    first, second = writer.call(age_s=60), writer.call(age_s=30)
    return [[writer.record(second)], [writer.record(first, Outcome.NO_ANSWER)]]


def _contradicted(writer: Writer) -> Rounds:
    call = writer.call()
    return [[writer.record(call, outcome)] for outcome in (Outcome.ANSWERED, Outcome.UNAVAILABLE, Outcome.BUSY)]


_FORM: Final = "handbook, Как создать веб-хук, 2026-08-12"
_POST: Final = "handbook, POST запрос, 2026-08-11"
_CATALOGUE: Final = "handbook, Каталог событий MCN Telecom, 2026-09-27"
_RETRY: Final = "handbook, Механизм повторной отправки веб-хуков, 2026-08-04: on by default, 15 times in about 18 hours"
_MISSING: Final = f"{_CATALOGUE}: final_status is required; the article documents none; no sample shows one"
_REPEAT_HINT: Final = (
    "the operator repeats a record if it did not get the acknowledgement: answer 2xx to a repeat, and change nothing "
    "(INSERT … ON CONFLICT DO NOTHING, get_or_create, or check first whether the call has ended)"
)
_RECORDS: Final = (
    *(_outcome(*row) for row in _OUTCOMES),
    *(_cause(cause) for cause in CAUSE_NAMES if cause not in (16, 17, 31)),
    Case(
        "final_status_empty",
        "records of a rejected call and of an unavailable number, with an empty final_status",
        _without_final_status(MissingFinalStatus.EMPTY),
        "treat an empty final_status as a missing one, and let the schema accept an empty text",
        "the vendor's catalogue calls the variable required, so it may be empty if no status is documented",
        _MISSING,
        forms=EVERY_FORM - {Form.TEXT},
    ),
    Case(
        "final_status_null",
        "records of a rejected call and of an unavailable number, with final_status null",
        _without_final_status(MissingFinalStatus.NULL),
        "treat null as a missing final_status: test for None before you call a method of it, and let the schema accept "
        "null",
        "the vendor's catalogue calls the variable required, so it may be null if no status is documented",
        _MISSING,
        forms=JSON_FORMS,
    ),
    Case(
        "all_variables",
        "a record with every variable that a subscription can ask for",
        _one(lambda writer: writer.record(writer.call(), body=sorted(VARIABLES, reverse=True))),
        "read the fields that you need by name and ignore the others",
        "the person who sets up the subscription chooses its variables, and their order",
        f"article: «указываются … список переменных»; {_CATALOGUE}",
    ),
    Case(
        "unknown_fields",
        "a record with additional fields",
        _one(_unknown_fields),
        "ignore unknown fields: do not use **cdr as keyword arguments, extra='forbid' or a strict schema",
        "a subscription can have constant parameters, and the vendor can add variables",
        f"{_FORM}; RFC 9413, 4",
    ),
    Case(
        "charset",
        "a record with Content-Type application/json; charset=utf-8",
        _one(lambda writer: writer.raw(writer.body(), "application/json; charset=utf-8")),
        "compare only the media type, not the whole header",
        "a content type can have parameters",
        "RFC 9110, 8.3.1; many clients send the charset, although RFC 8259, 11 defines none for JSON",
        forms=JSON_FORMS,
    ),
    Case(
        "late",
        "a record of yesterday's call",
        _one(_late),
        "if a login has ended, expired or been deleted, that is not an error: acknowledge its record and do nothing",
        "after an outage a record arrives up to 18 hours late, and it can be sent again manually",
        _RETRY,
    ),
    Case(
        "duplicate",
        "a record that is sent three times",
        _duplicate,
        _REPEAT_HINT,
        "the operator sends a record again if it did not get the acknowledgement",
        _RETRY,
        is_repeat=True,
    ),
    Case(
        "duplicate_at_once",
        "a record that is sent five times at once",
        lambda writer: [[writer.record(writer.call())] * 5],
        f"{_REPEAT_HINT}; a check first is not enough here: let the database decide",
        "a slow first attempt can still be in flight when the second arrives",
        _RETRY,
        is_repeat=True,
        is_crowd=True,
    ),
    Case(
        "repeated_key",
        "an event that is sent three times with one idempotencyKey, and a later created_at each time",
        _repeated_key,
        f"{_REPEAT_HINT}; of the envelope compare only idempotencyKey",
        "the key is the same in every attempt; we do not know whether created_at is too",
        f"{_CATALOGUE}: «одинаков при повторных доставках и используется для дедупликации»",
        forms=WHOLE_ONLY,
        is_repeat=True,
    ),
    Case(
        "without_key",
        "an event without idempotencyKey",
        _one(lambda writer: writer.envelope({"idempotencyKey": UNSET})),
        "read idempotencyKey with .get(), and recognise repeats by verification_call_uuid if it is missing",
        "the key is not required",
        _CATALOGUE,
        forms=WHOLE_ONLY,
    ),
    Case(
        "reordered",
        "two records, the second call's first",
        _reordered,
        "find the login by verification_call_uuid; do not assume that the record is that of the last call",
        "calls do not end in the order in which they begin, and a record that is retried arrives later",
        _RETRY,
    ),
    Case(
        "contradicted",
        "three records of one call that contradict one another",
        _contradicted,
        "decide which record counts (the first, or the last) and answer 2xx to the others too",
        "a record can be corrected, or a call counted on several legs",
        "assumed; the article connects a record to a call by its uuid, but does not promise only one record",
    ),
    Case(
        "early",
        "a record that arrives before its call is known, and a repeat of it",
        _early,
        "store a record of an unknown call and look for it when the call is stored, or answer 2xx and ask again later; "
        "a crash loses it",
        "a busy number is known within milliseconds: its record can overtake the answer to the request",
        "assumed; the article says nothing about the order",
        expect=Expect.UNKNOWN,
        is_repeat=True,
    ),
    Case(
        "unknown_uuid",
        "a record of a call that does not exist",
        _one(lambda writer: writer.record(writer.call(known=False))),
        "look the call up with .get() or .first() and ignore the record if there is none",
        "another program can use the same account, or the database can be restored from yesterday",
        "article: the webhook belongs to the account, not to the program that calls",
        expect=Expect.UNKNOWN,
    ),
    Case(
        "foreign_account",
        "a record of another account's call",
        _one(lambda writer: writer.record(writer.call(known=False, foreign=True))),
        "the part after “_” is the account: ignore the record if it is not yours",
        "several accounts can use the same URL",
        "article: «цифры после символа “_” — ЛС клиента»",
        expect=Expect.UNKNOWN,
    ),
    Case(
        "keep_alive",
        "three records in turn over one connection",
        lambda writer: [[writer.record(writer.call()) for _ in range(3)]],
        "read the whole body before you answer, or send Connection: close; otherwise the rest is read as the next "
        "request",
        "the operator keeps its connections",
        "RFC 9112, 9.3",
        in_turn=True,
    ),
    Case(
        "fifty_at_once",
        f"{_AT_ONCE} records at once",
        lambda writer: [[writer.record(writer.call()) for _ in range(_AT_ONCE)]],
        "give the server more workers and the database a pool with a wait, do not hold a lock while you process a "
        "record, and leave slow work to a queue",
        "calls end independently of one another, and after an outage many records come at once",
        "the operator's load; no limit is documented",
        is_crowd=True,
    ),
    Case(
        "get_variant",
        "a record in the query string of a GET",
        _one(lambda writer: writer.record(writer.call(), form=Form.QUERY)),
        "set the subscription to POST, or read the query string if the method is GET",
        "a subscription can be set to GET",
        _FORM,
        expect=Expect.ANSWERED,
        forms=JSON_FORMS,
        optional=True,
    ),
    Case(
        "flat_variant",
        "a record as a flat object",
        _one(lambda writer: writer.record(writer.call(), form=Form.FLAT)),
        "set the subscription to send the whole event, or answer 2xx to a body that you cannot read",
        "a subscription can list its variables",
        _POST,
        expect=Expect.ANSWERED,
        forms=WHOLE_ONLY,
        optional=True,
    ),
    Case(
        "whole_variant",
        "a record as the whole event in its envelope",
        _one(lambda writer: writer.record(writer.call(), form=Form.WHOLE)),
        "set the subscription to send a list of variables, or read the variables from data",
        "a subscription can send the whole event",
        _CATALOGUE,
        expect=Expect.ANSWERED,
        forms=frozenset({Form.FLAT}),
        optional=True,
    ),
    Case(
        "text_variant",
        "a record in free text",
        _one(lambda writer: writer.record(writer.call(), form=Form.TEXT)),
        "set the subscription's data type to JSON, or answer 2xx to a body that you cannot read",
        "a subscription can be set to text",
        _POST,
        expect=Expect.ANSWERED,
        forms=JSON_FORMS,
        optional=True,
    ),
)

# Mistakes: the operator does not send them, but an endpoint on the internet gets them.

_LIST: Final = "article: «указываются … список переменных, которые будут передаваться»"
_PARSE: Final = (
    "catch the parser's error and answer 400 (ValueError covers JSON and UTF-8; request.get_json(silent=True))"
)
_OBJECT: Final = "check that it is an object (isinstance(cdr, dict)) before you read fields, and answer 400 if not"
_ANY_TYPE: Final = "answer 415 to another content type, or parse the body with any content type (force=True)"


def _mistake(
    name: str,
    sends: str,
    write: Callable[[Writer], Message],
    hint: str,
    *,
    why: str = "nothing is signed, so anybody who knows the URL can send it",
    source: str = "assumed: nothing is signed",
    forms: frozenset[Form] = JSON_FORMS,
    **flags: Any,
) -> Case:
    return Case(name, sends, _one(write), hint, why, source, expect=Expect.ANSWERED, forms=forms, **flags)


def _missing(name: str, sends: str, hint: str) -> Case:
    def write(writer: Writer) -> Message:
        return writer.record(writer.call(), changes={name: UNSET})

    why = "the subscription's list of variables can lack it"
    case_name = "without_uuid" if name == "verification_call_uuid" else f"without_{name}"
    return _mistake(case_name, sends, write, hint, why=why, source=_LIST, forms=EVERY_FORM)


def _with(**changes: Any) -> Callable[[Writer], Message]:
    return lambda writer: writer.record(writer.call(), changes=changes)


def _body(body: bytes) -> Callable[[Writer], Message]:
    return lambda writer: writer.raw(body)


def _typed(content_type: str | None) -> Callable[[Writer], Message]:
    return lambda writer: writer.raw(writer.body(), content_type)


def _cut_off(writer: Writer) -> Message:
    whole = writer.body()
    return writer.raw(whole[: len(whole) * 2 // 3])


def _broken_utf8(writer: Writer) -> Message:
    return writer.raw(writer.body(final_status="X").replace(b'"X"', b'"\xc3\x28\xff"'))


def _lone_surrogate(writer: Writer) -> Message:
    return writer.raw(writer.body(verification_call_uuid="X").replace(b'"X"', b'"\\ud800_117793"', 1))


def _data(data: object) -> Callable[[Writer], Message]:
    return lambda writer: writer.envelope({"data": data})


_SEND_ALL = "the person who sets up the subscription can leave the variable out"
_READ_DATA: Final = (
    'check that data is an object (isinstance(event.get("data"), dict)) before you read variables, and answer 400 if '
    "it is not"
)
_MISTAKES: Final = (
    _missing(
        "final_status",
        "a record with cause 16 and no final_status",
        f"read final_status with .get(): {_SEND_ALL}",
    ),
    _missing("q931_status", "a record without q931_status", f"read q931_status with .get(): {_SEND_ALL}"),
    _missing(
        "verification_call_uuid",
        "a record without verification_call_uuid",
        "read verification_call_uuid with .get() and answer 400 if it is missing",
    ),
    _mistake(
        "empty_object",
        "an empty object",
        _body(b"{}"),
        "read fields with .get(), and answer 400 if verification_call_uuid is missing",
    ),
    _mistake(
        "cause_as_text",
        'a record with q931_status "16" as text',
        _with(q931_status="16"),
        "convert it with int() inside a try, or answer 400 if it is not a number: a GET subscription always sends text",
        why="the vendor shows names and values, but no types",
        source="article: «q931_status»: 16; GET and text subscriptions are observed",
    ),
    _mistake(
        "cause_null",
        "a record with q931_status null",
        _with(q931_status=None),
        "null is not a number: test for None before you compare or convert",
    ),
    _mistake(
        "cause_list",
        "a record with q931_status as a list",
        _with(q931_status=[16]),
        "check the type before you use a value as a number or as a key (a list cannot be one)",
    ),
    Case(
        "cause_out_of_range",
        "records with a q931_status that no Q.850 cause has",
        lambda writer: [
            [writer.record(writer.call(), changes={"q931_status": cause})] for cause in (0, -1, 128, 10**30)
        ],
        "use a default when you look up the cause, and check the value before you insert it into the database",
        "nothing is signed, so anybody who knows the URL can send it",
        "ITU-T Q.850: a cause value is seven bits",
        expect=Expect.ANSWERED,
    ),
    _mistake(
        "final_status_unknown",
        "a record with a final_status that is not documented",
        _with(final_status="CONGESTION"),
        "treat an unknown final_status as not answered; Enum(...) of it raises ValueError",
        source="article: it documents ANSWERED and NO ANSWER, and does not say that there are no others",
        forms=EVERY_FORM,
    ),
    _mistake(
        "uuid_as_number",
        "a record with verification_call_uuid as a number",
        _with(verification_call_uuid=117793),
        "check that it is text before you split it or look it up",
    ),
    _mistake(
        "uuid_as_object",
        "a record with verification_call_uuid as an object",
        _with(verification_call_uuid={"$ne": None}),
        "check that it is text: an object is not a key, and in a MongoDB query it is an operator that matches any call",
    ),
    _mistake(
        "nul_character",
        "a record with a NUL character in verification_call_uuid",
        _with(verification_call_uuid="fa278be48dc2\0_117793"),
        "check the uuid's form (twelve hex digits, _, digits): PostgreSQL refuses a NUL in text",
    ),
    _mistake(
        "lone_surrogate",
        "a record with half a surrogate pair in verification_call_uuid",
        _lone_surrogate,
        r"check the uuid's form: JSON can spell \ud800, and encoding it as UTF-8 raises an error",
        source="RFC 8259, 8.2",
    ),
    _mistake("without_data", "an event without data", _data(UNSET), _READ_DATA, forms=WHOLE_ONLY),
    _mistake("data_null", "an event with data null", _data(None), _READ_DATA, forms=WHOLE_ONLY),
    _mistake("data_list", "an event with data as a list", _data([]), _READ_DATA, forms=WHOLE_ONLY),
    _mistake(
        "array",
        "an array with the record in it",
        lambda writer: writer.raw(b"[%b]" % writer.body()),
        f"the article has the variables «внутри массива JSON», so an array is possible: {_OBJECT}",
        why="the article can be read in this way",
        source="article: «указываются внутри массива JSON список переменных»",
    ),
    _mistake("json_text", "a JSON text", _body(b'"ANSWERED"'), _OBJECT),
    _mistake("json_null", "a JSON null", _body(b"null"), _OBJECT),
    _mistake("cut_off", "a body that is cut off", _cut_off, _PARSE, why="a proxy on the way can cut it off"),
    _mistake("broken_utf8", "a body that is not UTF-8", _broken_utf8, _PARSE, source="RFC 8259, 8.1"),
    _mistake("empty_body", "an empty body", _body(b""), _PARSE),
    _mistake(
        "deeply_nested",
        f"JSON that is nested {_DEPTH:,} deep",
        _body(b"[" * _DEPTH + b"]" * _DEPTH),
        "catch RecursionError beside ValueError, or refuse a body that is longer than a record can be",
        source="RFC 8259, 9: a parser may limit the depth",
        optional=True,  # most frameworks answer 500, which only the sender sees
    ),
    _mistake(
        "large_body",
        "a body of 1 MB",
        lambda writer: writer.record(writer.call(), extra={"note": "x" * _MIB}),
        "limit the body's length in the server or the framework (MAX_CONTENT_LENGTH, client_max_body_size), which "
        "answers 413",
        source="RFC 9110, 15.5.14",
        may_close=True,  # RFC 9110, 15.5.14: a server may close the connection on it
    ),
    _mistake(
        "wrong_content_type",
        "a record with Content-Type text/plain",
        _typed("text/plain"),
        _ANY_TYPE,
        source="RFC 9110, 15.5.16",
    ),
    _mistake(
        "form_content_type",
        "a record with the content type of a form",
        _typed("application/x-www-form-urlencoded"),
        _ANY_TYPE,
        source="RFC 9110, 15.5.16",
    ),
    _mistake(
        "no_content_type",
        "a record without a content type",
        _typed(None),
        "read the header with .get(): RFC 9110 lets it be missing",
        source="RFC 9110, 8.3",
    ),
    Case(
        "other_methods",
        "the methods HEAD, OPTIONS and PUT",
        lambda writer: [[writer.raw(b"", None, method)] for method in ("HEAD", "OPTIONS", "PUT")],
        "let the route accept only its own method, so that the framework answers 405",
        "monitors and scanners try them",
        "RFC 9110, 15.5.6",
        expect=Expect.ANSWERED,
        optional=True,
        tolerated=frozenset({501}),
    ),
    _mistake(
        "empty_get",
        "a GET without variables",
        lambda writer: writer.raw(b"", None, "GET"),
        "answer 405, or 400 if the variables are missing",
        why="people open the URL in a browser",
        source="RFC 9110, 15.5.6",
        forms=EVERY_FORM,
        optional=True,
        tolerated=frozenset({501}),
    ),
)

CASES: Final[tuple[Case, ...]] = (*_RECORDS, *_MISTAKES)
"""Every case, in the order in which they are run."""
_BY_NAME: Final = {case.name: case for case in CASES}
ORDINARY: Final[Case] = _BY_NAME["answered"]
"""Every login ends with this record. If an endpoint fails on it, it fails on everything."""
BARE: Final[Case] = _BY_NAME["without_final_status"]
"""An ordinary record without final_status. If an endpoint fails only on this one, the missing field is the cause."""
CUT_OFF: Final[Case] = _BY_NAME["cut_off"]
"""An existing endpoint refuses it differently from a record of an unknown call."""


def choose(form: Form, patterns: Sequence[str] = ()) -> list[Case]:
    """Return the cases of a form whose name matches one of the patterns (``cause_*``), or all without patterns.

    Raises UsageError if no case matches a pattern.
    """
    cases = [case for case in CASES if form in case.forms]
    for pattern in patterns:
        if any(fnmatchcase(case.name, pattern) for case in cases):
            continue
        forms = [other for other in Form if any(fnmatchcase(c.name, pattern) and other in c.forms for c in CASES)]
        if forms:
            raise UsageError(
                f"case {pattern[:40]!r} is not for the form {form} of this subscription; it is for {', '.join(forms)}"
            )
        raise UsageError(f"no case is called {pattern[:40]!r}; {nearest(pattern, [case.name for case in cases])}")
    return [case for case in cases if not patterns or any(fnmatchcase(case.name, pattern) for pattern in patterns)]
