"""What a server is asked, as data, and what the fake answers: the harmless questions, and those that may place a call.

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

from msgspec import Struct

from pytest_mcn_mock.conformance.recording import WRONG_TOKEN, Credential, NotAsked, Participants, Sent
from pytest_mcn_mock.conformance.webhook import JSON_TYPE
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.assumptions import Assumptions, NumberFormat
from pytest_mcn_mock.model.money import Method, Tariff
from pytest_mcn_mock.model.numbering import choose_country

UNASSIGNED: Final = "70000000000"
"""A number that no subscriber can have, and no account: the Russian plan has none that begin with 7 000."""
LETTERS: Final = "letters"
_PRICES: Final = Tariff()


class Question(Struct, frozen=True):
    """One question, and the fake's answer: ``refused`` with ``parameter`` in it, or a call that is placed if None.

    ``$account``, ``$other``, ``$ring``, ``$pasted`` and ``$caller`` in it stand for the values of the participants.
    ``query`` is a list of parameters; ``form`` and ``content`` are a body, a form or JSON, and ``body`` one written by
    hand. ``calls`` is the method that places a call if the server accepts it, None for a harmless question. ``pasted``
    says that the fake accepts it with ``number_format = "pasted"``.
    """

    name: str
    asks: str
    refused: RefusalCode | None = None
    parameter: str | None = None
    method: str = "POST"
    path: str = "account/$account/flash_call"
    query: tuple[tuple[str, str], ...] = ()
    credential: Credential = Credential.TOKEN
    content_type: str | None = JSON_TYPE
    form: Mapping[str, str] = MappingProxyType({})
    content: Mapping[str, str] = MappingProxyType({})
    body: str = ""
    calls: Method | None = None
    needs_caller: bool = False
    pasted: bool = False

    def refusal(self, assumed: Assumptions) -> RefusalCode | None:
        """Return why a fake with these settings refuses it; None if it accepts it."""
        return None if self.pasted and assumed.number_format is NumberFormat.PASTED else self.refused

    @property
    def shows_token(self) -> bool:
        """Return whether a server that takes the token and the account has another reason to refuse it."""
        return self.credential is Credential.TOKEN and self.path.startswith("account/$account/")

    @property
    def code(self) -> str | None:
        """Return the code that it asks for, None if it asks for none."""
        return {**dict(self.query), **self.form, **self.content}.get("code")

    def price(self, participants: Participants) -> int:
        """Return the kopecks that it costs if the server accepts it, by the prices of the article."""
        if self.calls is None:
            return 0
        if self.calls is Method.CALL_FOR_2FA:
            return _PRICES.price(self.calls, None)
        country_id = dict(self.query).get("country_id")
        return _PRICES.price(self.calls, choose_country(participants.ring or "", country_id).country)

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
_2FA: Final = "account/$account/call_for_2fa"
_LOGIN: Final = ("login_did", LETTERS)
_UNAUTHORIZED: Final = RefusalCode.UNAUTHORIZED
_MISSING: Final = (RefusalCode.MISSING_PARAMETER, "login_did")
_INVALID: Final = (RefusalCode.INVALID_PARAMETER, "login_did")
_NO_ACCOUNT: Final = (RefusalCode.ACCOUNT_NOT_FOUND, "account_id")

HARMLESS: Final = (
    Question("no_token", "no Authorization header", _UNAUTHORIZED, credential=Credential.NONE),
    Question("bad_token", "a token that nobody has", _UNAUTHORIZED, credential=Credential.WRONG),
    Question(
        "basic_authorization",
        "the scheme Basic in place of Bearer, with a token that nobody has",
        _UNAUTHORIZED,
        credential=Credential.BASIC,
    ),
    Question(
        "bad_user_hash",
        "user_hash in place of the header, with a token that nobody has",
        _UNAUTHORIZED,
        query=(("user_hash", WRONG_TOKEN),),
        credential=Credential.NONE,
    ),
    Question(
        "bad_token_and_letters",
        "which is looked at first, the token or the parameters",
        _UNAUTHORIZED,
        query=(_LOGIN,),
        credential=Credential.WRONG,
    ),
    Question(
        "other_account",
        "an account that is not the token's",
        *_NO_ACCOUNT,
        path="account/$other/flash_call",
    ),
    Question("account_of_letters", "an account that is not a number", *_NO_ACCOUNT, path="account/none/flash_call"),
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
        path="account/$account/mcn_mock_verify",
    ),
    Question("unknown_path", "a path that does not exist", RefusalCode.NOT_FOUND, path="mcn_mock_verify"),
    Question("get", "GET in place of POST, without parameters", RefusalCode.METHOD_NOT_ALLOWED, method="GET"),
    Question(
        "large_body",
        "a body of 70,000 bytes, login_did of letters in it",
        RefusalCode.PAYLOAD_TOO_LARGE,
        "body",
        content={"login_did": LETTERS, "padding": "x" * 70_000},
    ),
)
"""They cost nothing on a correct server, and ring nobody on any."""

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

QUESTIONS: Final[Mapping[str, Question]] = MappingProxyType({q.name: q for q in (*HARMLESS, *PAID)})
"""Every question by its name."""


class Plan(Struct, frozen=True):
    """The questions in the order in which they are asked, and those that are not.

    ``cost`` is in kopecks, by the prices of the article, if every one is accepted.
    """

    questions: tuple[Question, ...]
    not_asked: tuple[NotAsked, ...]
    cost: int

    @property
    def calls(self) -> int:
        """How often the number is rung at most."""
        return sum(question.calls is not None for question in self.questions)


def make_plan(participants: Participants, spend: int | None) -> Plan:
    """Return the harmless questions, and of the others as many, in their order, as ``spend`` kopecks pay for.

    The first one that they do not pay for ends the plan. None does not allow any call.
    """
    asked = list(HARMLESS)
    not_asked: list[NotAsked] = []
    cost = 0
    is_spent = False
    for question in PAID:
        price = question.price(participants) if participants.ring else 0
        if spend is None or participants.ring is None:
            not_asked.append(NotAsked(question.name, "may cost money: give --spend and --ring"))
        elif question.needs_caller and participants.caller_did is None:
            not_asked.append(NotAsked(question.name, "needs a connected number: give --caller-did"))
        elif is_spent or cost + price > spend:
            is_spent = True
            not_asked.append(NotAsked(question.name, f"--spend {spend} does not pay for it"))
        else:
            asked.append(question)
            cost += price
    return Plan(tuple(asked), tuple(not_asked), cost)
