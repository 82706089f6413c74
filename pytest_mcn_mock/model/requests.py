"""A request to the API: how it is kept in the journal, and what it relies on that is not documented.

What is relied on is one table, each row with its place in the schemas. Everything there is what the fake takes; what it
refuses needs no row, because the refusal says it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from sys import getsizeof
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct, field

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import clean_pasted, is_domestic, is_number, lacks_country, region_of
from pytest_mcn_mock.text import printable


class Level(StrEnum):
    """How well a behaviour of the vendor's service is known; docs/fidelity.md has every one."""

    DOCUMENTED = "documented"
    OBSERVED = "observed"
    ASSUMED = "assumed"

    def allows(self, other: Level) -> bool:
        """Return whether behaviour of the other level may be relied on if this is the least that is asked for."""
        return _LEVELS.index(other) <= _LEVELS.index(self)


_LEVELS = list(Level)


class Rule(Struct, frozen=True):
    """``what`` is relied on, ``level`` how well it is known, ``schema`` where that is written, ``hint`` what to do."""

    level: Level
    what: str
    schema: str
    hint: str


_PARAMETERS = "schemas/{method}.request.schema.json#"
_COMMON = "schemas/common.schema.json#/$defs"
_OPERATION = "schemas/openapi.json#/paths/~1account~1{{account_id}}~1{method}/post"
_OTHERWISE = f"{_OPERATION}/x-mcn-otherwise"
_IN_QUERY = "send the parameters in the query string, and an empty body"
_DIGITS = "write a number in international form, in digits alone, such as 79157777777"

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "user_hash": Rule(
            Level.OBSERVED,
            "user_hash in place of the Authorization header",
            f"{_PARAMETERS}/properties/user_hash",
            "send Authorization: Bearer <token>",
        ),
        "authorization": Rule(
            Level.ASSUMED,
            "an Authorization header whose word is not written Bearer",
            f"{_OTHERWISE}/authorization",
            "send Authorization: Bearer <token>",
        ),
        "accept": Rule(
            Level.OBSERVED,
            "a request without Accept: application/json",
            f"{_OTHERWISE}/accept",
            "send Accept: application/json",
        ),
        "content_type": Rule(
            Level.OBSERVED,
            "a request without Content-Type: application/json",
            f"{_OTHERWISE}/content_type",
            "send Content-Type: application/json, although the body is empty",
        ),
        "application/x-www-form-urlencoded": Rule(
            Level.OBSERVED,
            "a urlencoded form in the body",
            f"{_OPERATION}/requestBody/content/application~1x-www-form-urlencoded",
            _IN_QUERY,
        ),
        "multipart/form-data": Rule(
            Level.OBSERVED,
            "a multipart form in the body",
            f"{_OPERATION}/requestBody/content/multipart~1form-data",
            _IN_QUERY,
        ),
        "application/json": Rule(
            Level.OBSERVED,
            "a JSON object in the body",
            f"{_OPERATION}/requestBody/content/application~1json",
            _IN_QUERY,
        ),
        "ignored_body": Rule(
            Level.ASSUMED,
            "a body that is neither a form nor JSON, and ignored,",
            f"{_OTHERWISE}/ignored_body",
            _IN_QUERY,
        ),
        "mixed": Rule(
            Level.ASSUMED,
            "a mix of parameters in the query and in the body",
            f"{_OTHERWISE}/mixed",
            _IN_QUERY,
        ),
        "path": Rule(
            Level.ASSUMED,
            "a slash at the end of the path",
            f"{_OTHERWISE}/path",
            "leave it out",
        ),
        "slashes": Rule(
            Level.ASSUMED,
            "two slashes in a row in the path",
            f"{_OTHERWISE}/slashes",
            "send one; the base URL may end in a slash",
        ),
        "unknown": Rule(
            Level.ASSUMED,
            "the parameter {name}, which is ignored,",
            f"{_PARAMETERS}/additionalProperties",
            "leave it out, or look for a misspelling",
        ),
        "json_value": Rule(
            Level.ASSUMED,
            "{name} as a number or null in a JSON body",
            f"{_COMMON}/json_value",
            'send text, such as "0042"',
        ),
        "pasted_number": Rule(
            Level.ASSUMED,
            "{name} that is not in digits alone",
            f"{_COMMON}/pasted_number",
            _DIGITS,
        ),
        "number_without_country": Rule(
            Level.OBSERVED,
            "{name} of ten digits, without its country's code,",
            f"{_COMMON}/number_without_country",
            _DIGITS,
        ),
        "number_of_no_country": Rule(
            Level.ASSUMED,
            "{name} of no country, and no country_id,",
            f"{_COMMON}/number_of_no_country",
            _DIGITS,
        ),
        "domestic_number": Rule(
            Level.ASSUMED,
            "{name} of eleven digits that begins with 8, as it is dialled inside Russia,",
            f"{_COMMON}/domestic_number",
            "write 7 in place of the 8: Russian numbers begin with 7, such as 79157777777",
        ),
        "country_id": Rule(
            Level.ASSUMED,
            "country_id as 643 or 703 written otherwise",
            "schemas/flash_call.request.schema.json#/$defs/country_written_otherwise",
            "send 643 or 703; compared as text, anything else is from a Russian number",
        ),
    }
)
"""Every way to go beyond the article. ``{method}`` and ``{name}`` are filled in."""

_NUMBERS: Final = {Method.FLASH_CALL: ("login_did",), Method.CALL_FOR_2FA: ("login_did", "caller_did")}
_KNOWN: Final = {
    Method.FLASH_CALL: frozenset({"login_did", "code", "country_id"}),
    Method.CALL_FOR_2FA: frozenset({"login_did", "caller_did"}),
}
_COUNTRY_OTHERWISE = re.compile(r"(?!(?:643|703)$)[ +0]*(?:643|703) *", re.ASCII)


class UndocumentedUse(Struct, frozen=True):
    """One thing that a request relied on and that is not documented."""

    rule: str
    level: Level
    text: str

    def __str__(self) -> str:
        return self.text


class RequestFacts(NamedTuple):
    """A request as it was sent: its parameters that are not empty, by where they were, and what it says of itself.

    ``parameters`` are those of both places as they were understood. ``body`` is None if there is none;
    ``not_text`` names what was not text in a JSON body. A header that was not sent is empty.
    """

    method: Method
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, str] | None
    body_type: str
    not_text: tuple[str, ...]
    authorization: str
    accept: str
    content_type: str
    path: str


def check_fidelity(facts: RequestFacts, *, takes_pasted: bool = False) -> tuple[UndocumentedUse, ...]:
    """Return the uses of a request that the article does not document.

    ``takes_pasted`` says whether numbers may be written as people paste them.

    ``country_id`` may be anything ("При всех остальных значениях поля"), and empty is documented for it and ``code``.
    """
    found = _find_in_form(facts)
    known = _KNOWN[facts.method]
    for name in facts.parameters:
        if name not in known and (name != "user_hash" or facts.authorization):
            found.append(("unknown", repr(name[:40])))
    for name in facts.not_text:
        found.append(("json_value", name[:40] if name in known else repr(name[:40])))
    for name in _NUMBERS[facts.method]:
        rule = _of_number(facts, name, takes_pasted=takes_pasted)
        if rule is not None:
            found.append((rule, name))
    if "country_id" in facts.parameters and _COUNTRY_OTHERWISE.fullmatch(facts.parameters["country_id"]):
        found.append(("country_id", ""))
    return tuple(_undocumented_use(rule, facts.method, name) for rule, name in found) if found else ()


@lru_cache(maxsize=256)
def _undocumented_use(key: str, method: Method, name: str) -> UndocumentedUse:
    rule = RULES[key]
    where = rule.schema.format(method=method)
    text = f"{rule.what.format(name=name)} is {rule.level}, not documented ({where}); {rule.hint}"
    return UndocumentedUse(key, rule.level, text)


def _find_in_form(facts: RequestFacts) -> list[tuple[str, str]]:
    """How it was sent, whatever its parameters say: the rules, and nothing to fill in."""
    found = []
    if not facts.authorization:
        found.append(("user_hash", ""))
    elif not facts.authorization.startswith("Bearer "):
        found.append(("authorization", ""))
    if "application/json" not in facts.accept.lower():
        found.append(("accept", ""))
    if facts.body is None:
        if not facts.content_type.lower().startswith("application/json"):
            found.append(("content_type", ""))
    else:
        found.append((facts.body_type if facts.body_type in RULES else "ignored_body", ""))
        if facts.body.keys() - {"user_hash"} and facts.query.keys() - {"user_hash"}:
            found.append(("mixed", ""))
    if facts.path.endswith("/"):
        found.append(("path", ""))
    if "//" in facts.path:
        found.append(("slashes", ""))
    return found


def _of_number(facts: RequestFacts, name: str, *, takes_pasted: bool) -> str | None:
    given = facts.parameters.get(name, "")
    number = clean_pasted(given) if takes_pasted else given
    if number != given:
        return "pasted_number" if is_number(number) else None  # it is refused
    if lacks_country(number):
        return "number_without_country"
    if is_domestic(number):
        return "domestic_number"
    if facts.method is Method.CALL_FOR_2FA or "country_id" in facts.parameters:
        return None
    return "number_of_no_country" if is_number(number) and region_of(number) is None else None


NOT_A_MISTAKE: Final = frozenset({RefusalCode.INSUFFICIENT_FUNDS, RefusalCode.PAYLOAD_TOO_LARGE})
"""Refusals that are a scenario: a correct application can meet the first, and only a test sends the second."""


MAX_PATH: Final = 512
"""Characters of a request's path that are kept."""
MAX_PARAMETERS_SIZE: Final = 4096
"""Bytes that a request's parameters take up."""
MAX_UNDOCUMENTED: Final = 16
"""Undocumented things that are kept of one request."""


def kept_parameters(given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that are kept: the shortest, and under the name ``…`` how many more there were."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in sorted(given.items(), key=lambda item: len(item[0]) + len(item[1])):
        size += getsizeof(name) + getsizeof(value)
        if size > MAX_PARAMETERS_SIZE:
            kept["…"] = f"{len(given) - len(kept)} more"
            break
        kept[name] = value
    return kept


class ApiRequest(Struct, eq=False):
    """One request. ``account_id`` is that of the path, None if there is none.

    ``received_at`` is in seconds since the epoch. ``parameters`` are those that were understood; of a long path and of
    many parameters only the beginning is kept: ``MAX_PATH``, ``kept_parameters``. ``status`` is the HTTP status of the
    answer, and ``is_answered`` says whether it was sent. ``undocumented`` is what the request relied on that is not
    documented. ``token_account_id`` is the account whose token the request carried, if the path names another one; the
    token itself is not kept.
    """

    seq: int
    method: str
    path: str
    account_id: str | None
    received_at: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    verification_call_uuid: str | None = None
    refusal: Refusal | None = None
    fault: str | None = None
    is_answered: bool = False
    undocumented: tuple[UndocumentedUse, ...] = ()
    token_account_id: str | None = None

    @property
    def is_mistake(self) -> bool:
        """Return whether the request was wrong, so that a strict test fails by it."""
        return self.refusal is not None and self.refusal.code not in NOT_A_MISTAKE

    def __repr__(self) -> str:
        return f"<ApiRequest {self}>"

    def __str__(self) -> str:
        parameters = "".join(f" {name}={value}" for name, value in self.parameters.items())
        result = "in flight" if self.status is None else str(self.status)
        if self.refusal is not None:
            result += f" {self.refusal.code}: {self.refusal.message}"
        elif self.verification_call_uuid is not None:
            result += f" {self.verification_call_uuid}"
        if self.token_account_id is not None:
            result += f" (the token is that of account {self.token_account_id})"
        if self.fault is not None:
            result += f" (fault {self.fault})"
        return printable(f"{self.method} {self.path[:200]!s}{parameters} -> {result}")
