"""``mcn-mock.toml``: checked as a whole before anything starts. Every mistake is reported at once, with its line.

A value that may be secret is not shown: a token, the contents of headers, queries, constants and URLs, and a text where
a number is expected, which may be a token in the wrong line.
"""

from __future__ import annotations

import json
import re
import secrets
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date, time
from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct, field

from pytest_mcn_mock import schemas
from pytest_mcn_mock.certificates import prepare, read_trust
from pytest_mcn_mock.cli.shape import surely_fits
from pytest_mcn_mock.cli.tls import TlsChoice
from pytest_mcn_mock.errors import ConfigError, RefusalCode, UsageError, nearest
from pytest_mcn_mock.model import accounts
from pytest_mcn_mock.model.assumptions import (
    Assumptions,
    ErrorStyle,
    MissingFinalStatus,
    NumberFormat,
    PaidMethodsAssumptions,
)
from pytest_mcn_mock.model.money import Tariff, tariff_from_roubles
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import (
    HidesSecrets,
    Subscription,
    Targets,
    header_name,
    make_subscription,
    make_targets,
)
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.text import shown_url

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8643
MAX_FILE_SIZE = 64 * 2**20
_ADMIN_TOKEN = re.compile(r"[!-~]{8,512}")
_TOML_PLACE = re.compile(r"\(at line (\d+), column \d+\)$")
_NOT_SETTINGS: Final = frozenset({"host", "port", "allowed_hosts", "admin_token"})
"""The keys of the table ``server`` that are not fields of ``Settings``."""
_SECRET: Final = frozenset(
    {
        "token",
        "admin_token",
        "headers",
        "query",
        "constants",
        "url",
        "state",
        "error_body",
        "call_for_2fa_body",
        "template",
    }
)
_EXPECTED: Final = {
    "string": "text in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}
_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "text",
    list: "a list",
    dict: "a table",
    date: "a date",
    time: "a time",
}
_SENTENCES: Final[Mapping[str, str]] = {
    "minimum": "{shown} is less than {limit}",
    "exclusiveMinimum": "{shown} must be more than {limit}",
    "maximum": "{shown} is more than {limit}",
    "pattern": "{shown} is not {form}",
    "minLength": "it is empty",
    "maxLength": "it is longer than {limit} characters",
    "maxItems": "it has more than {limit} items",
}
"""By the keyword of JSON Schema."""
_T = TypeVar("_T")


class AccountConfig(HidesSecrets, frozen=True):
    """An account to open; ``balance`` and ``credit`` are in roubles, and the balance may be ``"unlimited"``.

    ``is_seed_drawn`` is true if the file has no seed.
    """

    _hidden = ("token",)

    id: str
    token: str
    seed: int
    balance: str | int = accounts.DEFAULT_BALANCE
    credit: str | int = accounts.DEFAULT_CREDIT
    numbers: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    outcome_rules: tuple[OutcomeRule, ...] = ()
    is_seed_drawn: bool = False
    name: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``service.accounts.Accounts.make``."""
        return {
            "seed": self.seed,
            "account_id": self.id,
            "token": self.token,
            "credit": self.credit,
            "name": self.name,
            "numbers": self.numbers,
            "subscriptions": self.subscriptions,
            "outcome_rules": self.outcome_rules,
        }


class Config(HidesSecrets, frozen=True):
    """The settings that a sandbox is started with. ``allowed_hosts`` and ``admin_token`` are for ``web.guard``.

    ``source`` is the name of the file, empty without one. ``reset_state`` says whether the state is emptied first.
    """

    _hidden = ("admin_token",)

    host: str
    port: int
    settings: Settings
    accounts: tuple[AccountConfig, ...]
    allowed_hosts: tuple[str, ...] = ()
    admin_token: str | None = None
    tls: TlsChoice = field(default_factory=TlsChoice)
    source: str = ""
    reset_state: bool = False


def built_in() -> Config:
    """Return the settings without a file: the account of the article's examples, with 100 roubles and its number."""
    account = AccountConfig(
        id="12345678",
        token="test-token",  # noqa: S106 - public on purpose: it stands in the documentation
        seed=secrets.randbits(32),
        is_seed_drawn=True,
        numbers=("79158888888",),
    )
    return Config(DEFAULT_HOST, DEFAULT_PORT, Settings(magic_numbers=True), (account,))


def check_admin_token(token: str) -> str:
    """Return the token. Raise ConfigError, which does not show it, if it cannot be sent or is easy to guess."""
    if not _ADMIN_TOKEN.fullmatch(token):
        raise ConfigError("mcn-mock", ["the admin token must be 8 to 512 visible ASCII characters without spaces"])
    return token


def load(path: Path) -> Config:
    """Return the configuration of a TOML file. Raise ConfigError, with every mistake and its line, if it is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    if len(data) > MAX_FILE_SIZE:
        raise ConfigError(str(path), [f"is larger than {MAX_FILE_SIZE} bytes"])
    try:
        text = data.decode("utf-8-sig")  # editors on Windows put a byte order mark before it
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(str(path), [f"is not UTF-8: {error.reason}"], [line]) from error
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError
        at = _TOML_PLACE.search(str(error))
        raise ConfigError(str(path), [f"is not valid TOML: {error}"], [int(at[1]) if at else None]) from error
    try:
        return read(content, str(path), text)
    except RecursionError:  # dotted keys nest without a limit of the parser
        raise ConfigError(str(path), ["is nested too deep: a configuration has no more than five levels"]) from None


def read(content: dict[str, Any], source: str, text: str = "") -> Config:
    """Return the configuration of a parsed file. Raise ConfigError, with every mistake and its line in ``text``."""
    schema = schemas.load("config")
    problems: list[Problem] = []
    content = _with_brackets_fixed(content, schema, (), problems)
    found = schema_problems(content, schema)
    reader = _Reader(content, frozenset(problem.path for problem in found))
    config = reader.read(source)
    problems += found + reader.problems
    if problems:
        lines = find_lines(text)
        told = sorted(((_line(problem.path, lines), problem.text) for problem in problems), key=lambda p: p[0] or 0)
        raise ConfigError(source, [said for _, said in told], [line for line, _ in told])
    return config


class Problem(Struct, frozen=True):
    """A mistake at ``path``. ``text`` is a sentence that begins with the place."""

    path: TomlPath
    text: str


def _problem(path: TomlPath, what: str, at: TomlPath | None = None) -> Problem:
    """Return a mistake of the value at ``path``; its line is that of the part ``at``, if that is given."""
    return Problem(at or path, f"{_place(path)[:200]}: {what}")


def _place(path: TomlPath) -> str:
    """Return the path as text: ``account[0].webhook[1].url``. Items count from 0."""
    shown = ""
    is_header = False
    for step in path:
        key = header_name(str(step)) if is_header else step or '""'
        shown += f"[{step}]" if isinstance(step, int) else f".{key}"
        is_header = step == "headers"
    return shown.removeprefix(".")


def _table_name(path: TomlPath) -> str:
    return ".".join(step for step in path if isinstance(step, str))


def _line(path: TomlPath, lines: Mapping[TomlPath, int]) -> int | None:
    """Return the line of a value; if the value is missing, the line of the table that it belongs to.

    A table with the wrong brackets has a number in the file and none in the path, or the other way round.
    """
    while path:
        zeros = [i for i, step in enumerate(path) if step == 0]
        fewer = chain.from_iterable(combinations(zeros, n) for n in range(len(zeros) + 1))
        forms = [tuple(step for i, step in enumerate(path) if i not in left_out) for left_out in fewer]
        for form in (*forms, (path[0], 0, *path[1:])):
            if form in lines:
                return lines[form]
        path = path[:-1]
    return None


class _Reader:
    """Builds the values of a file from the parts that its schema allows; those at ``bad`` are passed over.

    So every other mistake is found in the same round.
    """

    def __init__(self, content: dict[str, Any], bad: frozenset[TomlPath]) -> None:
        self.problems: list[Problem] = []
        self._content = content
        self._bad = bad | {path for wrong in bad for path in _dependents(wrong)}
        self._touched = frozenset(path[:length] for path in self._bad for length in range(1, len(path) + 1))

    def read(self, source: str) -> Config:
        """Return the configuration. Use it only if there are no problems."""
        server, tariff, assumed = (self._content.get(name) for name in ("server", "tariff", "assumed"))
        assumptions = self._build(("assumed",), assumed, _assumptions) or Assumptions()
        prices = self._build(("tariff",), tariff, tariff_from_roubles) or Tariff()
        settings = self._build(("server",), server, partial(_settings, prices, assumptions)) or Settings()
        given = self._allowed(("server",), server)
        targets: Targets | None = None
        if "webhook_targets" in given and ("server", "webhook_targets") not in self._touched:
            with suppress(UsageError):  # it is reported already
                targets = make_targets(given["webhook_targets"])
        tables = self._tables((), self._content, "account")
        self._check_unique(tables, "id")
        self._check_unique(tables, "token")
        return Config(
            given.get("host", DEFAULT_HOST),
            given.get("port", DEFAULT_PORT),
            settings,
            tuple(self._account(path, table, assumptions.unavailable_cause, targets) for path, table in tables)
            or built_in().accounts,
            tuple(given.get("allowed_hosts", ())),
            given.get("admin_token"),
            source=source,
        )

    def _account(self, path: TomlPath, table: Any, unavailable_cause: int, targets: Targets | None) -> AccountConfig:
        webhooks = [
            self._build(at, webhook, partial(_webhook, targets)) for at, webhook in self._tables(path, table, "webhook")
        ]
        rules = [self._rule(at, rule, unavailable_cause) for at, rule in self._tables(path, table, "outcome")]
        money_and_numbers = {key: table[key] for key in ("balance", "credit", "numbers") if key in table}
        self._build(path, money_and_numbers, _check_money_and_numbers)
        given = self._allowed(path, table)
        return AccountConfig(
            str(given.get("id")),
            given.get("token", ""),
            given.get("seed", secrets.randbits(32)),
            given.get("balance", accounts.DEFAULT_BALANCE),
            given.get("credit", accounts.DEFAULT_CREDIT),
            tuple(given.get("numbers", ())),
            tuple(webhook for webhook in webhooks if webhook is not None),
            tuple(rule for rule in rules if rule is not None),
            is_seed_drawn="seed" not in given,
            name=given.get("name", ""),
        )

    def _rule(self, path: TomlPath, table: dict[str, Any], unavailable_cause: int) -> OutcomeRule | None:
        if not self._touched.isdisjoint({(*path, "outcome"), (*path, "q931_status")}):
            return None  # it is not certain whether one of them is given
        given = self._allowed(path, table)

        def build() -> OutcomeRule:
            how = ending(given.get("outcome"), given.get("q931_status"), unavailable_cause=unavailable_cause)
            return OutcomeRule(how, given.get("login_did", "*"), given.get("delay_s"))

        return self._try(path, build)

    def _tables(self, path: TomlPath, owner: Mapping[str, Any], name: str) -> list[tuple[TomlPath, dict[str, Any]]]:
        """Return the tables of an array of tables, each with its path."""
        items = owner.get(name, [])
        numbered = enumerate(items) if isinstance(items, list) else ()
        return [((*path, name, i), table) for i, table in numbered if isinstance(table, dict)]

    def _allowed(self, path: TomlPath, value: Any) -> Any:
        """Return the value at ``path`` without the parts that its schema does not allow; {} in place of no table."""
        if len(path) == 1 and not isinstance(value, dict):
            return {}
        if isinstance(value, dict):
            parts = {k: self._allowed((*path, k), v) for k, v in value.items() if (*path, k) not in self._bad}
            return {k: part for k, part in parts.items() if part or not value[k]}
        if isinstance(value, list):
            return [self._allowed((*path, i), v) for i, v in enumerate(value) if (*path, i) not in self._bad]
        return value

    def _build(self, path: TomlPath, table: Any, build: Callable[[dict[str, Any]], _T]) -> _T | None:
        """Return the value that ``build`` makes of the allowed parts of a table.

        If that fails, try every field and item separately, to find each mistake.
        """
        given = self._allowed(path, table)
        try:
            return build(given)
        except (UsageError, ConfigError) as error:
            whole = str(error)
        found = len(self.problems)
        for at, part in _parts(path, table):
            if at not in self._touched and at[:-1] not in self._bad:
                self._try(path, partial(build, part), at)
        if len(self.problems) == found:
            self.problems.append(_problem(path, whole))
        return None

    def _try(self, path: TomlPath, build: Callable[[], _T], at: TomlPath | None = None) -> _T | None:
        try:
            return build()
        except (UsageError, ConfigError) as error:
            self.problems.append(_problem(path, str(error), at))
            return None

    def _check_unique(self, tables: list[tuple[TomlPath, dict[str, Any]]], key: str) -> None:
        given = {path: self._allowed(path, table).get(key) for path, table in tables}
        counts = Counter(given.values())
        for path, value in given.items():
            if value is not None and counts[value] > 1:
                shown = f" {value}" if key == "id" else ""
                self.problems.append(_problem((*path, key), f"the {key}{shown} is also another account's"))


def _dependents(path: TomlPath) -> Iterator[TomlPath]:
    """Yield the paths of which nothing can be said if the value at ``path`` is wrong."""
    match path:
        case ("account", _, "webhook", _, "filter", _, *_):
            yield path[:6]
        case (*table, "template"):
            yield (*table, "data_type")
        case (*table, "data_type"):
            yield (*table, "template")


def _settings(tariff: Tariff, assumptions: Assumptions, server: dict[str, Any]) -> Settings:
    given = {name: value for name, value in server.items() if name not in _NOT_SETTINGS}
    if "webhook_targets" in given:
        make_targets(given["webhook_targets"])
    if "state" in given:
        from pytest_mcn_mock.storage.database import parse_url  # SQLAlchemy takes its time

        parse_url(given["state"])
    return Settings(tariff, assumptions, **{"magic_numbers": True, **given})


def _check_money_and_numbers(table: dict[str, Any]) -> None:
    account = accounts.Account("1", "none", 0)
    accounts.parse_balance(table.get("balance", accounts.DEFAULT_BALANCE))
    accounts.set_credit(account, table.get("credit", accounts.DEFAULT_CREDIT))
    for number in table.get("numbers", ()):
        accounts.connect_number(account, number)


def _webhook(targets: Targets | None, table: dict[str, Any]) -> Subscription:
    """Return the webhook. If a field is tried separately, or the URL is missing, another URL is used."""
    given = {"url": "http://localhost/", **table}
    if list(table) == ["template"]:
        given["data_type"] = "text"
    elif table == {"data_type": "text"}:
        given["template"] = ""
    trust = read_trust(given.pop("cacert", None), insecure=given.pop("insecure", False))
    subscription = make_subscription(**given, trust=trust)
    prepare(subscription)
    if targets is not None and "url" in table:
        targets.check(subscription.url)
    return subscription


def _assumptions(table: dict[str, Any]) -> Assumptions:
    given = _with_refusals(table)
    if "error_style" in given:
        given["error_style"] = ErrorStyle(given["error_style"])
    if "number_format" in given:
        given["number_format"] = NumberFormat(given["number_format"])
    if "default_outcome" in given:
        given["default_outcome"] = Outcome(given["default_outcome"])
    if "missing_final_status" in given:
        given["missing_final_status"] = MissingFinalStatus(given["missing_final_status"])
    if "retry_after_s" in given:
        given["retry_after_s"] = tuple(given["retry_after_s"])
    if "paidmethods" in given:
        given["paidmethods"] = PaidMethodsAssumptions(**_with_refusals(given["paidmethods"], "paidmethods."))
    return Assumptions(**given)


def _with_refusals(table: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Return the table with its refusals by code, and with its bodies checked."""
    given = dict(table)
    for name in given.keys() & {"error_status", "error_number"}:
        given[name] = {RefusalCode(code): value for code, value in given[name].items()}
    for name in given.keys() & {"error_body", "call_for_2fa_body"}:
        try:
            json.dumps(given[name], allow_nan=False)
        except (TypeError, ValueError):
            raise UsageError(f"{place}{name} has a value that JSON does not have: a date, a time, nan or inf") from None
    return given


def _parts(path: TomlPath, table: Mapping[str, Any]) -> Iterator[tuple[TomlPath, dict[str, Any]]]:
    """Yield the fields of a table, each separately and item by item, with their paths."""
    for key, value in table.items():
        if isinstance(value, dict) and key != "error_body":
            yield from (((*path, key, name), {key: {name: item}}) for name, item in value.items())
        elif isinstance(value, list):
            yield from (((*path, key, i), {key: [item]}) for i, item in enumerate(value))
        else:
            yield (*path, key), {key: value}


def _with_brackets_fixed(value: Any, rules: Mapping[str, Any], path: TomlPath, problems: list[Problem]) -> Any:
    """Return the value with ``[account]`` read as ``[[account]]`` and ``[[server]]`` as ``[server]``.

    These mistakes are added to ``problems``. So the contents of such a table are checked too.
    """
    items = rules.get("items", {})
    name = _table_name(path)
    if items.get("type") == "object" and isinstance(value, dict):
        problems.append(_problem(path, f"it is one table; write [[{name}]] in place of [{name}]"))
        value = [value]
    elif rules.get("type") == "object" and isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        problems.append(_problem(path, f"it is a list; write [{name}], with one pair of brackets"))
        value = value[0]
    if isinstance(value, list) and items:
        return [_with_brackets_fixed(item, items, (*path, i), problems) for i, item in enumerate(value)]
    if isinstance(value, dict):
        known = rules.get("properties", {})
        return {k: _with_brackets_fixed(item, known.get(k, {}), (*path, k), problems) for k, item in value.items()}
    return value


def schema_problems(content: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Problem]:
    """Return the problems that the schema finds in the content of a file."""
    if surely_fits(content, schema, schema):
        return []
    from jsonschema import Draft202012Validator

    errors = list(Draft202012Validator(schema).iter_errors(content))
    # If the type is wrong, nothing else is said of a value: inf is also more than every limit of a whole number.
    mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
    found = [
        problem
        for error in errors
        if error.validator == "type" or tuple(error.absolute_path) not in mistyped
        for problem in _problems_of(error, schema)
    ]
    return list(dict.fromkeys(found))


def _problems_of(error: Any, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a ``jsonschema.ValidationError``."""
    path: TomlPath = tuple(error.absolute_path)
    rules = error.schema if isinstance(error.schema, dict) else {}
    known = list(rules.get("properties", {}))
    if error.validator == "additionalProperties":
        for key in sorted(set(error.instance) - set(known)):
            yield _problem((*path, key), f"is unknown; {_hint(key, known, schema)}")
    elif error.validator == "required":
        misspelt = {_near(key, known) for key in error.instance if key not in known}
        for key in rules["required"]:
            if key not in error.instance and key not in misspelt:
                yield _problem((*path, key), "is missing")
    else:
        yield _problem(path, _sentence(error, path, rules))


def _sentence(error: Any, path: TomlPath, rules: Mapping[str, Any]) -> str:
    is_secret = not _SECRET.isdisjoint(map(str, path))
    limit, value = error.validator_value, error.instance
    shown = "it" if is_secret else _shown(value)
    if error.validator == "type":
        return _of_another_type(value, path, rules, is_secret=is_secret)
    if error.validator == "enum":
        words = [str(word) for word in limit]
        if value in words:
            return f"{shown} is text; write {value} without quotes"
        near = _near(value, words) if isinstance(value, str) else None
        hint = f"; did you mean {near!r}?" if near else ""
        is_shown = isinstance(value, (str, bool, int, float))
        return f"{shown if is_shown else 'the value'} is not one of {', '.join(words)}{hint}"
    sentence = _SENTENCES.get(error.validator, "it is not valid; see docs/reference/config.md")
    return sentence.format(shown=shown, limit=limit, form=rules.get("x-mcn-form", "valid"))


def _shown(value: object) -> str:
    is_like_url = isinstance(value, str) and ("@" in value or "://" in value)
    return repr(shown_url(str(value)) if is_like_url else value)[:60]


def _of_another_type(value: Any, path: TomlPath, rules: Mapping[str, Any], *, is_secret: bool) -> str:
    wanted = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
    is_shown = isinstance(value, (bool, int, float)) and not is_secret
    subject = str(value).lower()[:40] if is_shown else "the value"
    kind = next((name for type_, name in _KINDS.items() if isinstance(value, type_)), "something else")
    table = _table_name(path)
    if wanted == ["array"] and rules.get("items", {}).get("type") == "object":
        return f"{subject} is {kind}; write [[{table}]] and its fields below it"
    if isinstance(value, list) and wanted == ["object"]:
        return f"it is a list; write [{table}], with one pair of brackets"
    expected = rules.get("x-mcn-form") or " or ".join(_EXPECTED[name] for name in wanted)
    return f"{subject} is {kind}; write {expected}"


def _hint(key: str, known: list[str], schema: Mapping[str, Any]) -> str:
    """Return the nearest known key, or the table that the key belongs to, or the known keys."""
    if _near(key, known) is None:
        for table, properties in _tables_of("", schema):
            if key in properties and set(properties) != set(known):
                is_table = properties[key].get("items", {}).get("type") == "object"
                return f"write [[{table}.{key}]]" if is_table else f"it belongs to [{table}]"
    return str(nearest(key, known))


def _tables_of(prefix: str, rules: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables that a schema has below a table, each with its properties."""
    for name, below in rules["properties"].items():
        table = below.get("items", below)
        if "properties" in table:
            yield f"{prefix}{name}", table["properties"]
            yield from _tables_of(f"{prefix}{name}.", table)


def _near(word: str, known: list[str]) -> str | None:
    hint = str(nearest(word, known))
    return next((name for name in known if hint == f"did you mean {name!r}?"), None)


# The line of each value: ``tomllib`` does not report it

TomlPath = tuple[str | int, ...]
"""The steps to a value: ``("account", 0, "webhook", 1, "url")``."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\[\s\S])*?"""(?:"{0,2})' + r"|'''[\s\S]*?'''(?:'{0,2})" + r"""|"(?:[^"\\]|\\.)*"|'[^']*'"""
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]+")


def find_lines(text: str) -> Mapping[TomlPath, int]:
    """Return the line of each table and value, from 1, by its path. ``text`` must be readable by ``tomllib``."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted, self._line = 0, 1
        self._lines: dict[TomlPath, int] = {}
        self._last: dict[TomlPath, int] = {}
        """The number of the last table of each array of tables."""

    def scan(self) -> dict[TomlPath, int]:
        table: TomlPath = ()
        while self._skip(_BLANK) < len(self._text):
            line = self._current_line()
            if self._take("[["):
                *prefix, name = self._keys()
                array = (*self._resolve(prefix, line), name)
                self._last[array] = number = self._last.get(array, -1) + 1
                table = (*array, number)
                self._lines.setdefault(array, line)
                self._lines[table] = line
                self._take("]]")
            elif self._take("["):
                table = self._resolve(self._keys(), line)
                self._take("]")
            else:
                self._pair(table)
        return self._lines

    def _pair(self, table: TomlPath) -> None:
        line = self._current_line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._take("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: TomlPath) -> None:
        if self._take("["):
            number = 0
            while not self._ends("]"):
                self._lines[*path, number] = self._current_line()
                self._value((*path, number))
                number += 1
        elif self._take("{"):
            while not self._ends("}"):
                self._pair(path)
        elif self._text[self._at] in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _ends(self, closing: str) -> bool:
        """Return whether the list or inline table ends here. Skip a comma before the next item."""
        self._skip(_BLANK)
        if self._take(","):
            self._skip(_BLANK)
        return self._take(closing)

    def _keys(self) -> list[str]:
        """Return the keys of a dotted key."""
        keys = []
        while True:
            self._skip(_SPACE)
            key = self._matched(_KEY)
            keys.append(_unquoted(key))
            self._skip(_SPACE)
            if not self._take("."):
                return keys

    def _resolve(self, keys: list[str], line: int) -> TomlPath:
        """Return the path of a table; in an array of tables, that of the last one.

        If the table is new, it begins in this line, and so do the tables around it: ``[account.webhook]`` makes both.
        """
        path: TomlPath = ()
        for key in keys:
            path = (*path, key)
            self._lines.setdefault(path, line)
            if path in self._last:
                path = (*path, self._last[path])
        return path

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._matched(pattern)
        return self._at

    def _matched(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"tomllib cannot read this TOML: line {self._current_line()}")
        self._at = match.end()
        return match[0]

    def _take(self, word: str) -> bool:
        if not self._text.startswith(word, self._at):
            return False
        self._at += len(word)
        return True

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _unquoted(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0"))) if key[0] in "\"'" else key
