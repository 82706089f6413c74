"""A request to the API: its entry in the journal, and the undocumented behaviour that it relies on.

Each dialect has a table of the undocumented ways of writing a request that the fake accepts, each with its place in the
schemas. Refused requests are not in the table, because the refusal says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from sys import getsizeof
from typing import Final

from msgspec import Struct, field

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import clean_pasted, is_domestic, is_number, lacks_country, region_of
from pytest_mcn_mock.text import printable


class Level(StrEnum):
    """How well a behaviour of the vendor's service is known; docs/fidelity.md has every one."""

    DOCUMENTED = "documented"
    OBSERVED = "observed"
    ASSUMED = "assumed"

    def allows(self, other: Level) -> bool:
        """Return whether an application whose level is this one may rely on behaviour of the other level."""
        return _LEVELS.index(other) <= _LEVELS.index(self)


_LEVELS = list(Level)


class Rule(Struct, frozen=True, eq=False):
    """``what`` is the behaviour, ``level`` how well it is known, ``schema`` its place, ``hint`` what to do instead.

    A rule is hashed by its identity, as a key of remembered answers.
    """

    level: Level
    what: str
    schema: str
    hint: str


class RequestRules(Struct, frozen=True):
    """How well the parts of a dialect's requests are known.

    ``rules`` are the undocumented ways of writing a request. ``{method}`` and ``{name}`` in them are filled in. A way
    without a rule is the dialect's ordinary way. ``spelling`` has the methods' names. ``parameters`` has the parameters
    of each method, each with the name of its rule, or with "" if it is documented. ``numbers`` names the parameters
    that are numbers, ``flags`` those that are true or false. ``is_in_body`` is true if parameters belong in the body.
    """

    rules: Mapping[str, Rule]
    spelling: Mapping[Method, str]
    parameters: Mapping[Method, Mapping[str, str]]
    numbers: Mapping[Method, tuple[str, ...]]
    flags: frozenset[str] = frozenset()
    is_in_body: bool = False


_COUNTRY_OTHERWISE: Final = r"(?!(?:643|703)$)[ +0]*(?:643|703) *"
_BODIES: Final = frozenset(
    {"application/x-www-form-urlencoded", "multipart/form-data", "application/json", "json_in_a_form"}
)


class UndocumentedUse(Struct, frozen=True):
    """One thing that a request relied on and that is not documented."""

    rule: str
    level: Level
    text: str

    def __str__(self) -> str:
        return self.text


class RequestFacts(Struct, frozen=True):
    """A request as it was sent: its parameters that are not empty, by their place, and its headers and path.

    ``parameters`` are those of query and body as they were understood. ``body`` is None if the request has none.
    ``body_type`` is its media type, or ``json_in_a_form`` for JSON that is declared as a form. ``not_text`` names the
    parameters of a JSON body that are not text. A header that was not sent is empty. ``account_header`` is the header
    that names an account.
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
    account_header: str = ""


def check_fidelity(
    facts: RequestFacts, known: RequestRules, *, takes_pasted: bool = False
) -> tuple[UndocumentedUse, ...]:
    """Return the uses of a request that the vendor's article does not document.

    ``takes_pasted`` is true if numbers may be written as ``+7 (915) 777-77-77``.

    ``country_id`` may be anything ("При всех остальных значениях поля"), and empty is documented for it and ``code``.
    """
    found = _find_in_headers(facts, known)
    found += _find_in_body_and_path(facts, known)
    found += _find_in_parameters(facts, known, takes_pasted=takes_pasted)
    if not found:
        return ()
    uses = []
    for key, name in found:
        rule = known.rules.get(key)
        if rule is not None:
            uses.append(_undocumented_use(key, rule, known.spelling[facts.method], name))
    return tuple(uses)


@lru_cache(maxsize=256)
def _undocumented_use(key: str, rule: Rule, method: str, name: str) -> UndocumentedUse:
    where = rule.schema.format(method=method, name=name)
    what = rule.what.format(name=name, method=method)
    return UndocumentedUse(key, rule.level, f"{what} is {rule.level}, not documented ({where}); {rule.hint}")


def _find_in_headers(facts: RequestFacts, known: RequestRules) -> list[tuple[str, str]]:
    """Return the rules for its method and its headers. They have no name to fill in."""
    found = [("dialect", "")] if "dialect" in known.rules else []
    if not facts.authorization:
        found.append(("user_hash", ""))
    elif not facts.authorization.startswith("Bearer "):
        found.append(("basic" if facts.authorization[:6].lower() == "basic " else "authorization", ""))
    if facts.account_header:
        found.append(("account_header", ""))
    if "application/json" not in facts.accept.lower():
        found.append(("accept", ""))
    if facts.body is None and not facts.content_type.lower().startswith("application/json"):
        found.append(("content_type", ""))
    return found


def _find_in_body_and_path(facts: RequestFacts, known: RequestRules) -> list[tuple[str, str]]:
    """Return the rules for its body, its query and its path, without regard to its parameters."""
    found = []
    if facts.body is not None:
        found.append((facts.body_type if facts.body_type in _BODIES else "ignored_body", ""))
        if facts.body.keys() - {"user_hash"} and facts.query.keys() - {"user_hash"}:
            found.append(("mixed", ""))
    if known.is_in_body and facts.query:
        found.append(("query", ""))
    if facts.path.endswith("/"):
        found.append(("path", ""))
    if facts.path.endswith(".json"):
        found.append(("suffix", ""))
    if "//" in facts.path:
        found.append(("slashes", ""))
    return found


def _find_in_parameters(facts: RequestFacts, known: RequestRules, *, takes_pasted: bool) -> list[tuple[str, str]]:
    """Return the rules for its parameters, each with the name to fill in."""
    found = []
    parameters = known.parameters[facts.method]
    for name in facts.parameters:
        if name in parameters:
            if parameters[name]:
                found.append((parameters[name], name))
        elif name != "user_hash" or facts.authorization:
            found.append(("unknown", repr(name[:40])))
    for name in facts.not_text:
        if name in known.flags:
            continue
        found.append(("json_value", name[:40] if name in parameters else repr(name[:40])))
    for name in known.numbers[facts.method]:
        rule = _of_number(facts, name, takes_pasted=takes_pasted)
        if rule is not None:
            found.append((rule, name))
    if "country_id" in facts.parameters and re.fullmatch(_COUNTRY_OTHERWISE, facts.parameters["country_id"]):
        found.append(("country_id", ""))
    return found


def _of_number(facts: RequestFacts, name: str, *, takes_pasted: bool) -> str | None:
    given = facts.parameters.get(name, "")
    number = clean_pasted(given) if takes_pasted else given
    if not is_number(number):
        return None  # it is refused
    if number != given:
        return "pasted_number"
    if number[0] == "7" and len(number) == 11:
        return None  # of Russia or Kazakhstan, as documented: no rule below is about it
    if lacks_country(number):
        return "number_without_country"
    if is_domestic(number):
        return "domestic_number"
    if facts.method is Method.CALL_FOR_2FA or "country_id" in facts.parameters:
        return None
    region = region_of(number)
    if region is None:
        return "number_of_no_country"
    return None if region in ("RU", "KZ") else "number_of_a_third_country"


NOT_A_MISTAKE: Final = frozenset({RefusalCode.INSUFFICIENT_FUNDS, RefusalCode.PAYLOAD_TOO_LARGE})
"""Refusals that are a scenario: a correct application can get the first, and only a test provokes the second."""


MAX_PATH: Final = 512
"""Characters of a request's path that are kept."""
MAX_PARAMETERS_SIZE: Final = 4096
"""Bytes that a request's parameters take up."""
MAX_UNDOCUMENTED: Final = 16
"""Undocumented uses that are kept of one request."""


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
    """One request. ``account_id`` is the account in the path or, if the dialect's paths name none, the account of the
    token. It is None if there is none.

    ``received_at`` is in seconds since the epoch. ``parameters`` are the understood parameters; long paths and many
    parameters are cut: ``MAX_PATH``, ``kept_parameters``. ``status`` is the HTTP status of the answer, and
    ``is_answered`` is true when it was sent. ``undocumented`` lists the undocumented behaviour that the request relied
    on. ``token_account_id`` is the account of the request's token, if the path names another account; the token itself
    is not kept. ``dialect`` is the dialect of the path, None if it belongs to none.
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
    dialect: Dialect | None = None

    @property
    def is_mistake(self) -> bool:
        """Return whether the request was wrong, so that it fails a strict test."""
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
