"""What is asked, as data: the harmless questions, and those that may place a call.

A harmless question is one that a sound server refuses, and that could ring nobody even if it were not: where the token
and the account are right, there is no ``login_did``, or one without a digit in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from pytest_mcn_mock.drift.exchanges import JSON_TYPE, WRONG_TOKEN, Credential, Sent
from pytest_mcn_mock.model.money import Method, Tariff
from pytest_mcn_mock.model.numbering import choose_country

UNASSIGNED: Final = "70000000000"
"""A number that no subscriber can have, and no account: the Russian plan has none that begin with 7 000."""
LETTERS: Final = "letters"
_PRICES: Final = Tariff()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of docs/fidelity.md: how its behaviour begins, and its level."""

    behaviour: str
    level: str


BODY = Row("Parameters may be in a urlencoded or multipart form, or in a JSON object", "observed")
USER_HASH = Row("`user_hash=<token>` stands for the Authorization header", "observed")
TWICE = Row("A parameter that is given twice is refused; an unknown one is ignored", "assumed")
NUMBER_FORM = Row("A number is 7 to 15 digits; `+7 (915) 777-77-77` is refused", "assumed")
SUCCESS = Row(
    '`{"status": "success", "code": 200, "object": {…}}`, every value in `object` text, '
    "the code with its leading zeros",
    "observed",
)
CODE_THERE = Row(
    "`code` is there also where none was asked for: the last four digits of the caller's number", "observed"
)
UUID = Row("`verification_call_uuid` is a call id, twelve lower-case hex digits, `_`, and the account", "documented")
SAME_ENVELOPE = Row("`call_for_2fa` answers in the same envelope, with `caller_did` and a uuid", "assumed")
REFUSALS = Row("Refusals: 400 `missing_parameter` and `invalid_parameter`", "assumed")
ERROR_FORM = Row(
    '`{"status": "error", "code": <HTTP status>, "errors": [{"code", "message", "parameter"}]}`', "assumed"
)
CALLER_DID = Row("`caller_did` must be connected to the account", "documented")
FROM_SLOVAKIA = Row("`country_id=703`: from a Slovak number", "documented")
FROM_RUSSIA = Row("`country_id=643`: from a Russian number", "documented")


@dataclass(frozen=True, slots=True)
class Party:
    """Who asks and who is rung. ``ring`` and ``caller_did`` are numbers as the article writes them, where given."""

    account_id: str
    ring: str | None = None
    caller_did: str | None = None

    def values(self) -> dict[str, str]:
        """What stands for the words with a ``$`` in a question."""
        ring = self.ring or ""
        return {
            "account": self.account_id,
            "other": "1" if self.account_id != "1" else "2",
            "ring": ring,
            "pasted": f"+{ring[:1]} ({ring[1:4]}) {ring[4:]}",
            "caller": self.caller_did or "",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question. ``$account``, ``$other``, ``$ring``, ``$pasted`` and ``$caller`` in it stand for a Party's values.

    ``query`` is a list of parameters; ``form`` and ``content`` are a body, a form or JSON, and ``body`` one written by
    hand. ``calls`` is the method that places a call if the server accepts it, None for a harmless question.
    """

    name: str
    asks: str
    row: Row
    method: str = "POST"
    path: str = "account/$account/flash_call"
    query: tuple[tuple[str, str], ...] = ()
    credential: Credential = Credential.TOKEN
    content_type: str | None = JSON_TYPE
    form: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    content: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: str = ""
    calls: Method | None = None
    needs_caller: bool = False

    @property
    def shows_token(self) -> bool:
        """Whether a server that takes the token and the account has another reason to refuse it."""
        return self.credential is Credential.TOKEN and self.path.startswith("account/$account/")

    @property
    def code(self) -> str | None:
        """The code that it asks for, None where it asks for none."""
        return {**dict(self.query), **self.form, **self.content}.get("code")

    def price(self, party: Party) -> int:
        """Kopecks, by the prices of the article, if the server accepts it."""
        if self.calls is None:
            return 0
        if self.calls is Method.CALL_FOR_2FA:
            return _PRICES.price(self.calls, None)
        country_id = dict(self.query).get("country_id")
        return _PRICES.price(self.calls, choose_country(party.ring or "", country_id).country)

    def render(self, party: Party) -> Sent:
        """The request."""
        values = party.values()

        def fill(text: str) -> str:
            return Template(text).substitute(values)

        body = self.body
        if self.form:
            body = urlencode({name: fill(value) for name, value in self.form.items()})
        elif self.content:
            body = json.dumps({name: fill(value) for name, value in self.content.items()})
        query = urlencode([(name, fill(value)) for name, value in self.query])
        return Sent(self.method, fill(self.path), query, self.credential, self.content_type, body)


_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data; boundary=mcn-mock"
_2FA: Final = "account/$account/call_for_2fa"

HARMLESS: Final = (
    Question(name="no_token", asks="no Authorization header", row=REFUSALS, credential=Credential.NONE),
    Question(name="bad_token", asks="a token that nobody has", row=REFUSALS, credential=Credential.WRONG),
    Question(
        name="basic_authorization",
        asks="the scheme Basic in place of Bearer, with a token that nobody has",
        row=REFUSALS,
        credential=Credential.BASIC,
    ),
    Question(
        name="bad_user_hash",
        asks="user_hash in place of the header, with a token that nobody has",
        row=USER_HASH,
        query=(("user_hash", WRONG_TOKEN),),
        credential=Credential.NONE,
    ),
    Question(
        name="bad_token_and_letters",
        asks="which is looked at first, the token or the parameters",
        row=REFUSALS,
        query=(("login_did", LETTERS),),
        credential=Credential.WRONG,
    ),
    Question(
        name="other_account",
        asks="an account that is not the token's",
        row=REFUSALS,
        path="account/$other/flash_call",
    ),
    Question(
        name="account_of_letters", asks="an account that is no number", row=REFUSALS, path="account/none/flash_call"
    ),
    Question(name="no_login_did", asks="flash_call without login_did", row=REFUSALS),
    Question(name="empty_login_did", asks="login_did without a value", row=TWICE, query=(("login_did", ""),)),
    Question(
        name="letters_in_login_did",
        asks="login_did of letters",
        row=NUMBER_FORM,
        query=(("login_did", LETTERS),),
    ),
    Question(
        name="short_code_and_letters",
        asks="a code of three digits, with a login_did of letters so that nobody can be rung",
        row=REFUSALS,
        query=(("login_did", LETTERS), ("code", "123")),
    ),
    Question(
        name="login_did_twice",
        asks="login_did given twice, both times of letters",
        row=TWICE,
        query=(("login_did", LETTERS), ("login_did", LETTERS)),
    ),
    Question(
        name="json_body_of_letters",
        asks="whether a JSON body is read: login_did of letters in it",
        row=BODY,
        content={"login_did": LETTERS},
    ),
    Question(
        name="form_of_letters",
        asks="whether a urlencoded form is read: login_did of letters in it",
        row=BODY,
        content_type=_FORM,
        form={"login_did": LETTERS},
    ),
    Question(
        name="multipart_of_letters",
        asks="whether a multipart form is read: login_did of letters in it",
        row=BODY,
        content_type=_MULTIPART,
        body=f'--mcn-mock\r\nContent-Disposition: form-data; name="login_did"\r\n\r\n{LETTERS}\r\n--mcn-mock--\r\n',
    ),
    Question(name="broken_json", asks="a JSON body that is cut off", row=BODY, body='{"login_did": '),
    Question(name="no_parameters_2fa", asks="call_for_2fa without parameters", row=REFUSALS, path=_2FA),
    Question(
        name="letters_in_both_2fa",
        asks="call_for_2fa with numbers of letters",
        row=NUMBER_FORM,
        path=_2FA,
        query=(("caller_did", LETTERS), ("login_did", LETTERS)),
    ),
    Question(
        name="unknown_method",
        asks="a path of the account that there is not",
        row=REFUSALS,
        path="account/$account/mcn_mock_verify",
    ),
    Question(name="unknown_path", asks="a path that there is not", row=REFUSALS, path="mcn_mock_verify"),
    Question(name="get", asks="GET in place of POST, without parameters", row=REFUSALS, method="GET"),
    Question(
        name="large_body",
        asks="a body of 70,000 bytes, login_did of letters in it",
        row=REFUSALS,
        content={"login_did": LETTERS, "padding": "x" * 70_000},
    ),
)
"""They cost nothing on a sound server, and ring nobody on any."""

_RING: Final = ("login_did", "$ring")

PAID: Final = (
    Question(
        name="code_with_zeros",
        asks="a call with code=0042: the code's zeros, the uuid's form, every value text",
        row=SUCCESS,
        query=(_RING, ("code", "0042")),
        calls=Method.FLASH_CALL,
    ),
    Question(
        name="no_code",
        asks="a call without a code",
        row=CODE_THERE,
        query=(_RING,),
        calls=Method.FLASH_CALL,
    ),
    Question(
        name="connected_caller",
        asks="call_for_2fa from --caller-did",
        row=SAME_ENVELOPE,
        path=_2FA,
        query=(("caller_did", "$caller"), _RING),
        calls=Method.CALL_FOR_2FA,
        needs_caller=True,
    ),
    Question(
        name="foreign_caller",
        asks=f"call_for_2fa from {UNASSIGNED}, which is no number of the account; it costs if it is accepted",
        row=CALLER_DID,
        path=_2FA,
        query=(("caller_did", UNASSIGNED), _RING),
        calls=Method.CALL_FOR_2FA,
    ),
    Question(
        name="short_code",
        asks="a code of three digits; it costs if it is accepted",
        row=REFUSALS,
        query=(_RING, ("code", "123")),
        calls=Method.FLASH_CALL,
    ),
    Question(
        name="json_body",
        asks="the parameters in a JSON body",
        row=BODY,
        content={"login_did": "$ring", "code": "0042"},
        calls=Method.FLASH_CALL,
    ),
    Question(
        name="form",
        asks="the parameters in a urlencoded form",
        row=BODY,
        content_type=_FORM,
        form={"login_did": "$ring", "code": "0042"},
        calls=Method.FLASH_CALL,
    ),
    Question(
        name="pasted_number",
        asks="the number as people paste it, +7 (915) 7777777; it costs if it is accepted",
        row=NUMBER_FORM,
        query=(("login_did", "$pasted"), ("code", "0042")),
        calls=Method.FLASH_CALL,
    ),
    Question(
        name="country_643",
        asks="a call with country_id=643",
        row=FROM_RUSSIA,
        query=(_RING, ("code", "0042"), ("country_id", "643")),
        calls=Method.FLASH_CALL,
    ),
    Question(
        name="country_703",
        asks="a call with country_id=703",
        row=FROM_SLOVAKIA,
        query=(_RING, ("code", "0042"), ("country_id", "703")),
        calls=Method.FLASH_CALL,
    ),
)
"""Each rings the number and costs money if the server accepts it, in the order in which they are worth it."""

QUESTIONS: Final[Mapping[str, Question]] = MappingProxyType({q.name: q for q in (*HARMLESS, *PAID)})
"""Every question by its name."""
