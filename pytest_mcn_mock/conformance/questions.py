"""The questions to a server, as data, and the fake's answers: the harmless questions, and those that may place a call.

A harmless question is one that a correct server refuses, and that could ring nobody even if it were not: if the token
and the account are right, there is no ``login_did``, or one without a digit in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct, structs

from pytest_mcn_mock.conformance.recording import WRONG_TOKEN, Credential, NotAsked, Participants, Sent
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.assumptions import Assumptions, NumberFormat, PaidMethodsAssumptions
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method, Tariff
from pytest_mcn_mock.model.numbering import KAZAKHSTAN
from pytest_mcn_mock.model.rendering import JSON_TYPE
from pytest_mcn_mock.web.dialects import API_MCN, PAIDMETHODS, table_of

UNASSIGNED: Final = "70000000000"
"""A number that no subscriber and no account can have: no Russian number begins with 7 000."""
LETTERS: Final = "letters"
_PRICES: Final = Tariff()
_DEAREST: Final = Assumptions(paidmethods=PaidMethodsAssumptions(other_country=KAZAKHSTAN))
"""If a price is not known, the highest one is counted."""
_FLASH: Final = API_MCN.methods[Method.FLASH_CALL].replace("<account_id>", "$account")
_2FA: Final = API_MCN.methods[Method.CALL_FOR_2FA].replace("<account_id>", "$account")
_OWN: Final = _FLASH.rpartition("/")[0]
_FLASHCALL: Final = PAIDMETHODS.path(Method.FLASH_CALL)[1:]
_CALL_2FA: Final = PAIDMETHODS.path(Method.CALL_FOR_2FA)[1:]


class Question(Struct, frozen=True):
    """One question, and the fake's answer: ``refused`` with ``parameter`` in it, or a call that is placed if None.

    ``$account``, ``$other``, ``$ring``, ``$pasted`` and ``$caller`` in it stand for the values of the participants.
    ``path`` follows the base URL of the ``dialect``. ``query`` is a list of parameters; ``form`` and ``content`` are a
    body, a form or JSON, and ``body`` one written by hand. ``calls`` is the method that places a call if the server
    accepts it, None for a harmless question. ``pasted`` says that the fake accepts it with
    ``number_format = "pasted"``.
    """

    name: str
    asks: str
    refused: RefusalCode | None = None
    parameter: str | None = None
    method: str = "POST"
    path: str = _FLASH
    query: tuple[tuple[str, str], ...] = ()
    credential: Credential = Credential.TOKEN
    content_type: str | None = JSON_TYPE
    form: Mapping[str, str] = MappingProxyType({})
    content: Mapping[str, str] = MappingProxyType({})
    body: str = ""
    calls: Method | None = None
    needs_caller: bool = False
    pasted: bool = False
    dialect: Dialect = Dialect.API_MCN

    def refusal(self, assumed: Assumptions) -> RefusalCode | None:
        """Return the refusal of a fake with these settings; None if it accepts the request."""
        return None if self.pasted and assumed.number_format is NumberFormat.PASTED else self.refused

    @property
    def shows_token(self) -> bool:
        """Return whether a server that accepts the token and the account has another reason to refuse it."""
        is_own = self.dialect is Dialect.PAIDMETHODS or self.path.startswith(f"{_OWN}/")
        return self.credential is Credential.TOKEN and is_own

    @property
    def code(self) -> str | None:
        """Return the code that it asks for, None if it asks for none."""
        return self.given.get("code")

    @property
    def given(self) -> Mapping[str, str]:
        """Return its parameters in any place, except those of a literal body."""
        return {**dict(self.query), **self.form, **self.content}

    def price(self, participants: Participants) -> int:
        """Return its price in kopecks if the server accepts it, by the vendor's published prices."""
        if self.calls is None:
            return 0
        return _PRICES.price(self.calls, self.country(participants, _DEAREST), self.dialect)

    def country(self, participants: Participants, assumed: Assumptions) -> int | None:
        """Return the country of the number that calls, None for a call_for_2fa."""
        if self.calls is not Method.FLASH_CALL or participants.ring is None:
            return None
        terms = table_of(self.dialect).terms(assumed)
        return terms.choose_country(participants.ring, self.given.get("country_id")).country

    def render(self, participants: Participants) -> Sent:
        """Return the request."""
        account, ring = participants.account_id, participants.ring or ""
        values = {
            "account": account,
            "other": "1" if account != "1" else "2",
            "ring": ring,
            "pasted": f"+{ring[:1]} ({ring[1:4]}) {ring[4:]}",
            "caller": participants.caller_did or "",
        }

        def fill(text: str) -> str:
            return Template(text).substitute(values)

        body = self.body
        if self.form:
            body = urlencode({name: fill(value) for name, value in self.form.items()})
        elif self.content:
            body = json.dumps({name: fill(value) for name, value in self.content.items()})
        query = urlencode([(name, fill(value)) for name, value in self.query])
        return Sent(self.method, fill(self.path), query, self.credential, self.content_type, body, len(body))


_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data; boundary=mcn-mock"
_LETTERS_IN_A_FORM: Final = (
    f'--mcn-mock\r\nContent-Disposition: form-data; name="login_did"\r\n\r\n{LETTERS}\r\n--mcn-mock--\r\n'
)
_LOGIN: Final = ("login_did", LETTERS)
_UNAUTHORIZED: Final = RefusalCode.UNAUTHORIZED
_MISSING: Final = (RefusalCode.MISSING_PARAMETER, "login_did")
_INVALID: Final = (RefusalCode.INVALID_PARAMETER, "login_did")
_NO_ACCOUNT: Final = (RefusalCode.ACCOUNT_NOT_FOUND, "account_id")

HARMLESS: Final = (
    Question("no_token", "no Authorization header", _UNAUTHORIZED, credential=Credential.NONE),
    Question("bad_token", "an unknown token", _UNAUTHORIZED, credential=Credential.WRONG),
    Question(
        "basic_authorization",
        "the scheme Basic instead of Bearer, with an unknown token",
        _UNAUTHORIZED,
        credential=Credential.BASIC,
    ),
    Question(
        "bad_user_hash",
        "user_hash instead of the header, with an unknown token",
        _UNAUTHORIZED,
        query=(("user_hash", WRONG_TOKEN),),
        credential=Credential.NONE,
    ),
    Question(
        "basic_with_token",
        "whether the password of the scheme Basic is the token, without login_did",
        *_MISSING,
        credential=Credential.BASIC_TOKEN,
    ),
    Question(
        "bad_token_and_letters",
        "whether the token or the parameters are checked first",
        _UNAUTHORIZED,
        query=(_LOGIN,),
        credential=Credential.WRONG,
    ),
    Question(
        "other_account",
        "an account other than the token's",
        *_NO_ACCOUNT,
        path=_FLASH.replace("$account", "$other"),
    ),
    Question(
        "account_of_letters", "an account that is not a number", *_NO_ACCOUNT, path=_FLASH.replace("$account", "none")
    ),
    Question("no_login_did", "flash_call without login_did", *_MISSING),
    Question("empty_login_did", "login_did without a value", *_MISSING, query=(("login_did", ""),)),
    Question("letters_in_login_did", "login_did of letters", *_INVALID, query=(_LOGIN,)),
    Question(
        "short_code_and_letters",
        "a code of three digits, with a login_did of letters so that nobody can be rung",
        *_INVALID,
        query=(_LOGIN, ("code", "123")),
    ),
    Question("login_did_twice", "login_did given twice, both times of letters", *_INVALID, query=(_LOGIN, _LOGIN)),
    Question(
        "json_body_of_letters",
        "whether a JSON body is read: login_did of letters in it",
        *_INVALID,
        content=dict([_LOGIN]),
    ),
    Question(
        "form_of_letters",
        "whether a urlencoded form is read: login_did of letters in it",
        *_INVALID,
        content_type=_FORM,
        form=dict([_LOGIN]),
    ),
    Question(
        "multipart_of_letters",
        "whether a multipart form is read: login_did of letters in it",
        *_INVALID,
        content_type=_MULTIPART,
        body=_LETTERS_IN_A_FORM,
    ),
    Question(
        "broken_json", "a JSON body that is cut off", RefusalCode.INVALID_PARAMETER, "body", body='{"login_did": '
    ),
    Question(
        "json_declared_as_a_form",
        "whether JSON is read that Content-Type calls a urlencoded form: login_did of letters in it",
        *_INVALID,
        content_type=_FORM,
        content=dict([_LOGIN]),
    ),
    Question("json_suffix", "whether a path may end in .json, without login_did", *_MISSING, path=f"{_FLASH}.json"),
    Question("xml_suffix", "a path that ends in .xml, without login_did", RefusalCode.NOT_FOUND, path=f"{_FLASH}.xml"),
    Question("no_parameters_2fa", "call_for_2fa without parameters", *_MISSING, path=_2FA),
    Question(
        "letters_in_both_2fa",
        "call_for_2fa with numbers of letters",
        *_INVALID,
        path=_2FA,
        query=(("caller_did", LETTERS), _LOGIN),
    ),
    Question(
        "unknown_method",
        "a path of the account that does not exist",
        RefusalCode.NOT_FOUND,
        path=f"{_OWN}/mcn_mock_verify",
    ),
    Question("unknown_path", "a path that does not exist", RefusalCode.NOT_FOUND, path="mcn_mock_verify"),
    Question("get", "GET instead of POST, without parameters", RefusalCode.METHOD_NOT_ALLOWED, method="GET"),
    Question(
        "large_body",
        "a body of 70,000 bytes, login_did of letters in it",
        RefusalCode.PAYLOAD_TOO_LARGE,
        "body",
        content={"login_did": LETTERS, "padding": "x" * 70_000},
    ),
)
"""They cost nothing on a correct server, and no server can ring anybody because of them."""

_RING: Final = ("login_did", "$ring")
_CODE: Final = ("code", "0042")


def _paid(
    name: str,
    asks: str,
    refused: RefusalCode | None = None,
    parameter: str | None = None,
    *,
    calls: Method = Method.FLASH_CALL,
    **rest: Any,
) -> Question:
    return Question(name, asks, refused, parameter, calls=calls, **rest)


PAID: Final = (
    _paid(
        "code_with_zeros",
        "a call with code=0042: the code's zeros, the uuid's form, every value text",
        query=(_RING, _CODE),
    ),
    _paid("no_code", "a call without a code", query=(_RING,)),
    _paid(
        "connected_caller",
        "call_for_2fa from --caller-did",
        path=_2FA,
        query=(("caller_did", "$caller"), _RING),
        calls=Method.CALL_FOR_2FA,
        needs_caller=True,
    ),
    _paid(
        "foreign_caller",
        f"call_for_2fa from {UNASSIGNED}, which is not a number of the account; it costs if it is accepted",
        RefusalCode.FOREIGN_NUMBER,
        "caller_did",
        path=_2FA,
        query=(("caller_did", UNASSIGNED), _RING),
        calls=Method.CALL_FOR_2FA,
    ),
    _paid(
        "short_code",
        "a code of three digits; it costs if it is accepted",
        RefusalCode.INVALID_PARAMETER,
        "code",
        query=(_RING, ("code", "123")),
    ),
    _paid("json_body", "the parameters in a JSON body", content=dict([_RING, _CODE])),
    _paid("form", "the parameters in a urlencoded form", content_type=_FORM, form=dict([_RING, _CODE])),
    _paid(
        "pasted_number",
        "the number as people paste it, +7 (915) 7777777; it costs if it is accepted",
        *_INVALID,
        query=(("login_did", "$pasted"), _CODE),
        pasted=True,
    ),
    _paid("country_643", "a call with country_id=643", query=(_RING, _CODE, ("country_id", "643"))),
    _paid("country_703", "a call with country_id=703", query=(_RING, _CODE, ("country_id", "703"))),
)
"""Each rings the number and costs money if the server accepts it; the most useful ones come first."""

_LETTERS: Final = dict([_LOGIN])


def _of_paidmethods(
    name: str,
    asks: str,
    refused: RefusalCode | None = None,
    parameter: str | None = None,
    *,
    path: str = _FLASHCALL,
    **rest: Any,
) -> Question:
    return Question(f"paid_{name}", asks, refused, parameter, path=path, dialect=Dialect.PAIDMETHODS, **rest)


PAIDMETHODS_HARMLESS: Final = (
    _of_paidmethods("no_token", "no Authorization header", _UNAUTHORIZED, credential=Credential.NONE, content=_LETTERS),
    _of_paidmethods("bad_token", "an unknown token", _UNAUTHORIZED, credential=Credential.WRONG, content=_LETTERS),
    _of_paidmethods(
        "basic_with_token",
        "whether the password of the scheme Basic is the token",
        _UNAUTHORIZED,
        credential=Credential.BASIC_TOKEN,
        content=_LETTERS,
    ),
    _of_paidmethods("no_parameters", "flashcall with an empty JSON object", *_MISSING, body="{}"),
    _of_paidmethods("no_body", "flashcall without a body", *_MISSING),
    _of_paidmethods("empty_login_did", "login_did without a value", *_MISSING, content={"login_did": ""}),
    _of_paidmethods("letters_in_login_did", "login_did of letters", *_INVALID, content=_LETTERS),
    _of_paidmethods(
        "letters_in_phone_number",
        "whether the parameter is phone_number, as in other methods of the vendor: letters in it",
        *_MISSING,
        content={"phone_number": LETTERS},
    ),
    _of_paidmethods(
        "short_code_and_letters",
        "a code of three digits, with a login_did of letters so that nobody can be rung",
        *_INVALID,
        content={**_LETTERS, "code": "123"},
    ),
    _of_paidmethods(
        "query_of_letters", "whether the query string is read: login_did of letters in it", *_INVALID, query=(_LOGIN,)
    ),
    _of_paidmethods(
        "form_of_letters",
        "whether a urlencoded form is read: login_did of letters in it",
        *_INVALID,
        content_type=_FORM,
        form=_LETTERS,
    ),
    _of_paidmethods(
        "multipart_of_letters",
        "whether a multipart form is read: login_did of letters in it",
        *_INVALID,
        content_type=_MULTIPART,
        body=_LETTERS_IN_A_FORM,
    ),
    _of_paidmethods(
        "broken_json", "a JSON body that is cut off", RefusalCode.INVALID_PARAMETER, "body", body='{"login_did": '
    ),
    _of_paidmethods("no_parameters_2fa", "call_2fa with an empty JSON object", *_MISSING, path=_CALL_2FA, body="{}"),
    _of_paidmethods(
        "letters_in_both_2fa",
        "call_2fa with numbers of letters",
        *_INVALID,
        path=_CALL_2FA,
        content={"caller_did": LETTERS, **_LETTERS},
    ),
    _of_paidmethods(
        "unknown_method",
        "a path beside the methods that does not exist",
        RefusalCode.NOT_FOUND,
        path=f"{PAIDMETHODS.root[1:]}/mcn_mock_verify",
        body="{}",
    ),
    _of_paidmethods("get", "GET instead of POST", RefusalCode.METHOD_NOT_ALLOWED, method="GET"),
    _of_paidmethods(
        "large_body",
        "a body of 70,000 bytes, login_did of letters in it",
        RefusalCode.PAYLOAD_TOO_LARGE,
        "body",
        content={**_LETTERS, "padding": "x" * 70_000},
    ),
)
"""The same of the dialect paidmethods."""

PAIDMETHODS_PAID: Final = tuple(
    structs.replace(question, calls=question.calls or Method.FLASH_CALL)
    for question in (
        _of_paidmethods(
            "code_with_zeros",
            "a call with code=0042: the code's zeros, the uuid's form, the types of the ids",
            content=dict([_RING, _CODE]),
        ),
        _of_paidmethods("no_code", "a call without a code", content=dict([_RING])),
        _of_paidmethods(
            "connected_caller",
            "call_2fa from --caller-did",
            path=_CALL_2FA,
            content=dict([("caller_did", "$caller"), _RING]),
            calls=Method.CALL_FOR_2FA,
            needs_caller=True,
        ),
        _of_paidmethods(
            "foreign_caller",
            f"call_2fa from {UNASSIGNED}, which is not a number of the account; it costs if it is accepted",
            RefusalCode.FOREIGN_NUMBER,
            "caller_did",
            path=_CALL_2FA,
            content=dict([("caller_did", UNASSIGNED), _RING]),
            calls=Method.CALL_FOR_2FA,
        ),
        _of_paidmethods(
            "short_code",
            "a code of three digits; it costs if it is accepted",
            RefusalCode.INVALID_PARAMETER,
            "code",
            content=dict([_RING, ("code", "123")]),
        ),
        _of_paidmethods("query", "the parameters in the query string", query=(_RING, _CODE)),
        _of_paidmethods("form", "the parameters in a urlencoded form", content_type=_FORM, form=dict([_RING, _CODE])),
        _of_paidmethods(
            "pasted_number",
            "the number as people paste it, +7 (915) 7777777; it costs if it is accepted",
            *_INVALID,
            content=dict([("login_did", "$pasted"), _CODE]),
            pasted=True,
        ),
        _of_paidmethods(
            "country_643", "a call with country_id=643", content=dict([_RING, _CODE, ("country_id", "643")])
        ),
        _of_paidmethods(
            "country_398", "a call with country_id=398", content=dict([_RING, _CODE, ("country_id", "398")])
        ),
    )
)
"""The same of the dialect paidmethods."""

SETS: Final[Mapping[Dialect, tuple[tuple[Question, ...], tuple[Question, ...]]]] = MappingProxyType(
    {Dialect.API_MCN: (HARMLESS, PAID), Dialect.PAIDMETHODS: (PAIDMETHODS_HARMLESS, PAIDMETHODS_PAID)}
)
"""The harmless questions and the others, by dialect."""
QUESTIONS: Final[Mapping[str, Question]] = MappingProxyType(
    {q.name: q for sets in SETS.values() for part in sets for q in part}
)
"""Every question of every dialect by its name."""


class Plan(Struct, frozen=True):
    """The questions in the order in which they are asked, and those that are not.

    ``cost`` is in kopecks, by the prices that the vendor publishes, if every one is accepted.
    """

    questions: tuple[Question, ...]
    not_asked: tuple[NotAsked, ...]
    cost: int

    @property
    def calls(self) -> int:
        """The maximum number of calls to the number."""
        return sum(question.calls is not None for question in self.questions)


def make_plan(participants: Participants, spend: int | None, dialect: Dialect = Dialect.API_MCN) -> Plan:
    """Return the harmless questions, and the others in their order for as long as ``spend`` kopecks cover them.

    The first one that they do not pay for ends the plan. None does not allow any call.
    """
    harmless, paid = SETS[dialect]
    asked = list(harmless)
    not_asked: list[NotAsked] = []
    cost = 0
    is_spent = False
    for question in paid:
        price = question.price(participants) if participants.ring else 0
        if spend is None or participants.ring is None:
            not_asked.append(NotAsked(question.name, "may cost money: give --spend and --ring"))
        elif question.needs_caller and participants.caller_did is None:
            not_asked.append(NotAsked(question.name, "needs a connected number: give --caller-did"))
        elif is_spent or cost + price > spend:
            is_spent = True
            not_asked.append(NotAsked(question.name, f"--spend {spend} does not cover it"))
        else:
            asked.append(question)
            cost += price
    return Plan(tuple(asked), tuple(not_asked), cost)
