"""The cases that are no sound records: nobody promises to send them, and an endpoint on the internet gets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pytest_mcn_mock.conformance.cases import EVERY_FORM, JSON_ONLY, Case, Expect, Rounds
from pytest_mcn_mock.conformance.messages import Writer, encoded
from pytest_mcn_mock.conformance.webhook import Form

MIB: Final = 2**20
DEPTH: Final = 50_000
"""Deeper than the stack of a recursive parser."""
_OPEN: Final = "nothing is signed, so that anybody who knows the URL can send it"
_ASSUMED: Final = "assumed: nothing is signed"
_PARSE: Final = (
    "catch the parser's error and answer 400 (ValueError covers JSON and UTF-8; request.get_json(silent=True))"
)
_OBJECT: Final = "look whether it is an object (isinstance(cdr, dict)) before you read fields, and answer 400 if not"


def _mistake(
    name: str,
    sends: str,
    write: Callable[[Writer], Rounds],
    hint: str,
    *,
    why: str = _OPEN,
    source: str = _ASSUMED,
    forms: frozenset[Form] = JSON_ONLY,
) -> Case:
    return Case(name, sends, why, source, hint, write, expect=Expect.ANSWERED, forms=forms)


def _without(name: str) -> Callable[[Writer], Rounds]:
    def write(writer: Writer) -> Rounds:
        fields = writer.plain()
        del fields[name]
        return [[writer.fields(fields)]]

    return write


def _with(**changes: Any) -> Callable[[Writer], Rounds]:
    return lambda writer: [[writer.fields(writer.plain(**changes))]]


def _body(make: Callable[[Writer], bytes]) -> Callable[[Writer], Rounds]:
    return lambda writer: [[writer.raw(make(writer))]]


def _typed(content_type: str | None) -> Callable[[Writer], Rounds]:
    return lambda writer: [[writer.raw(encoded(writer.plain()), content_type)]]


def _cut_off(writer: Writer) -> bytes:
    whole = encoded(writer.plain())
    return whole[: len(whole) * 2 // 3]


def _broken_utf8(writer: Writer) -> bytes:
    return encoded(writer.plain(final_status="X")).replace(b'"X"', b'"\xc3\x28\xff"')


MISSING: Final = (
    _mistake(
        "without_final_status",
        "a record with cause 16 and no final_status",
        _without("final_status"),
        "read final_status with .get(): whoever sets up the subscription can leave the variable out",
        why="the subscription's list of variables can lack it",
        source="article: «указываются … список переменных, которые будут передаваться»",
        forms=EVERY_FORM,
    ),
    _mistake(
        "without_q931_status",
        "a record without q931_status",
        _without("q931_status"),
        "read q931_status with .get(): whoever sets up the subscription can leave the variable out",
        why="the subscription's list of variables can lack it",
        source="article: «указываются … список переменных, которые будут передаваться»",
        forms=EVERY_FORM,
    ),
    _mistake(
        "without_uuid",
        "a record without verification_call_uuid",
        _without("verification_call_uuid"),
        "read verification_call_uuid with .get() and answer 400 where it is missing",
        why="the subscription's list of variables can lack it",
        source="article: «указываются … список переменных, которые будут передаваться»",
        forms=EVERY_FORM,
    ),
    _mistake(
        "empty_object",
        "an empty object",
        _body(lambda _: b"{}"),
        "read fields with .get(), and answer 400 where verification_call_uuid is missing",
    ),
)
TYPES: Final = (
    _mistake(
        "cause_as_text",
        'a record with q931_status "16" as text',
        _with(q931_status="16"),
        "convert it with int() inside a try, or answer 400 to what is no number: a GET subscription sends text anyway",
        why="the vendor shows names and values, and no types",
        source="article: «q931_status»: 16; GET and text subscriptions are observed",
    ),
    _mistake(
        "cause_null",
        "a record with q931_status null",
        _with(q931_status=None),
        "null is no number: test for None before you compare or convert",
    ),
    _mistake(
        "cause_list",
        "a record with q931_status as a list",
        _with(q931_status=[16]),
        "check the type before you use a value as a number or as a key (a list cannot be one)",
    ),
    _mistake(
        "cause_out_of_range",
        "records with a q931_status that no Q.850 cause has",
        lambda writer: [[writer.fields(writer.plain(q931_status=cause))] for cause in (0, -1, 128, 10**30)],
        "a lookup of the cause needs a default, and the column a check before the insert",
        source="ITU-T Q.850: a cause value is seven bits",
        forms=EVERY_FORM,
    ),
    _mistake(
        "final_status_unknown",
        "a record with a final_status that is not documented",
        _with(final_status="CONGESTION"),
        "let an unknown final_status mean not answered; an Enum(...) of it raises ValueError",
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
        "check that it is text: an object is no key, and in a query of MongoDB it is an operator that fits every call",
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
        _body(lambda _: b'{"verification_call_uuid": "\\ud800_117793", "q931_status": 16}'),
        r"check the uuid's form: JSON can spell \ud800, and encoding it as UTF-8 raises an error",
        source="RFC 8259, 8.2",
    ),
)
BODIES: Final = (
    _mistake(
        "array",
        "an array with the record in it",
        _body(lambda writer: encoded([writer.plain()])),
        f"the article has the variables «внутри массива JSON», so that an array is not unthinkable: {_OBJECT}",
        why="the article can be read so",
        source="article: «указываются внутри массива JSON список переменных»",
    ),
    _mistake("json_text", "a JSON text", _body(lambda _: b'"ANSWERED"'), _OBJECT),
    _mistake("json_null", "a JSON null", _body(lambda _: b"null"), _OBJECT),
    _mistake("cut_off", "a body that is cut off", _body(_cut_off), _PARSE, why="a proxy on the way can cut it off"),
    _mistake("broken_utf8", "a body that is no UTF-8", _body(_broken_utf8), _PARSE, source="RFC 8259, 8.1"),
    _mistake("empty_body", "an empty body", _body(lambda _: b""), _PARSE),
    replace(
        _mistake(
            "deeply_nested",
            f"JSON that is nested {DEPTH:,} deep",
            _body(lambda _: b"[" * DEPTH + b"]" * DEPTH),
            "catch RecursionError beside ValueError, or refuse a body that is longer than a record can be",
            source="RFC 8259, 9: a parser may limit the depth",
        ),
        optional=True,  # most frameworks answer 500, and nobody but themselves sees it
    ),
    replace(
        _mistake(
            "large_body",
            "a body of 1 MB",
            _body(lambda writer: encoded(writer.plain(note="x" * MIB))),
            "limit the body's length in the server or the framework (MAX_CONTENT_LENGTH, client_max_body_size), which "
            "answers 413",
            source="RFC 9110, 15.5.14",
        ),
        may_close=True,  # RFC 9110, 15.5.14: a server may close the connection on it
    ),
    _mistake(
        "wrong_content_type",
        "a record with Content-Type text/plain",
        _typed("text/plain"),
        "answer 415 where the content type is another, or parse the body whatever it is called (force=True)",
        source="RFC 9110, 15.5.16",
    ),
    _mistake(
        "form_content_type",
        "a record with the content type of a form",
        _typed("application/x-www-form-urlencoded"),
        "answer 415 where the content type is another, or parse the body whatever it is called (force=True)",
        source="RFC 9110, 15.5.16",
    ),
    _mistake(
        "no_content_type",
        "a record without a content type",
        _typed(None),
        "read the header with .get(): RFC 9110 lets it be missing",
        source="RFC 9110, 8.3",
    ),
)
METHODS: Final = (
    replace(
        _mistake(
            "other_methods",
            "the methods HEAD, OPTIONS and PUT",
            lambda writer: [[writer.raw(b"", None, method)] for method in ("HEAD", "OPTIONS", "PUT")],
            "let the route take its own method alone, so that the framework answers 405",
            why="monitors and scanners try them",
            source="RFC 9110, 15.5.6",
            forms=EVERY_FORM,
        ),
        optional=True,
        tolerated=frozenset({501}),
    ),
    replace(
        _mistake(
            "empty_get",
            "a GET without variables",
            lambda writer: [[writer.raw(b"", None, "GET")]],
            "answer 405, or 400 where the variables are missing: somebody is going to open the URL in a browser",
            why="people open the URL in a browser",
            source="RFC 9110, 15.5.6",
            forms=EVERY_FORM,
        ),
        optional=True,
        tolerated=frozenset({501}),
    ),
)

MISTAKES: Final = (*MISSING, *TYPES, *BODIES, *METHODS)
"""Every case that is no sound record, in the order in which they are run."""
