"""``mcn-mock.toml``: checked as a whole before anything starts, every mistake reported at once with its place."""

from __future__ import annotations

import json
import re
import secrets
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any, TypeVar

from pytest_mcn_mock.certificates import read_trust
from pytest_mcn_mock.cli.config_problems import Problem, place_of, schema_problems, with_brackets_mended
from pytest_mcn_mock.cli.tls import TlsChoice
from pytest_mcn_mock.cli.toml_lines import Path as TomlPath
from pytest_mcn_mock.cli.toml_lines import find_lines
from pytest_mcn_mock.errors import ConfigError, RefusalCode, UsageError
from pytest_mcn_mock.model import accounts
from pytest_mcn_mock.model.assumptions import Assumptions, NumberFormat
from pytest_mcn_mock.model.money import Tariff, parse_roubles, tariff_from_roubles
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import Subscription, Targets, make_subscription, make_targets
from pytest_mcn_mock.service import Operator
from pytest_mcn_mock.settings import Settings

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8643
MAX_FILE_SIZE = 64 * 2**20
_ADMIN_TOKEN = re.compile(r"[!-~]{8,512}")
_TOML_PLACE = re.compile(r"\(at line (\d+), column \d+\)$")
_SETTINGS = (
    "journal_size",
    "magic_numbers",
    "max_pending",
    "max_wait_s",
    "state",
    "webhook_targets",
    "when_overloaded",
)
"""The fields of the table ``server`` that are fields of ``Settings``."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """An account to open; ``balance`` in roubles. ``is_seed_drawn`` if nobody has chosen the seed."""

    id: str
    token: str = field(repr=False)
    seed: int
    balance: str | int = accounts.DEFAULT_BALANCE
    numbers: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    outcome_rules: tuple[OutcomeRule, ...] = ()
    is_seed_drawn: bool = False

    def open(self, operator: Operator) -> None:
        """Open the account."""
        operator.accounts.open(
            seed=self.seed,
            balance=self.balance,
            account_id=self.id,
            token=self.token,
            numbers=self.numbers,
            subscriptions=self.subscriptions,
            outcome_rules=self.outcome_rules,
        )


@dataclass(frozen=True, slots=True)
class Config:
    """What a sandbox is started with. ``allowed_hosts`` and ``admin_token`` are what ``web.guard`` takes.

    ``source`` is the name of the file that it is from, empty without a file. ``reset_state`` is whether the state is
    emptied first.
    """

    host: str
    port: int
    settings: Settings
    accounts: tuple[AccountConfig, ...]
    allowed_hosts: tuple[str, ...] = ()
    admin_token: str | None = field(default=None, repr=False)
    tls: TlsChoice = field(default_factory=TlsChoice)
    source: str = ""
    reset_state: bool = False


def built_in() -> Config:
    """The sandbox without a file: the account of the article's examples, with 100 roubles and its connected number."""
    account = AccountConfig(
        id="12345678",
        token="test-token",  # noqa: S106 - public on purpose: it stands in the documentation
        seed=secrets.randbits(32),
        is_seed_drawn=True,
        numbers=("79158888888",),
    )
    return Config(DEFAULT_HOST, DEFAULT_PORT, Settings(magic_numbers=True), (account,))


def check_admin_token(token: str) -> str:
    """The token; ConfigError, which does not show it, for one that could not be sent, or guessed too easily."""
    if not _ADMIN_TOKEN.fullmatch(token):
        raise ConfigError("mcn-mock", ["the admin token must be 8 to 512 visible ASCII characters without spaces"])
    return token


def load(path: Path) -> Config:
    """The configuration of a TOML file; ConfigError, with every mistake and its line, if it is wrong."""
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
    return read(content, str(path), text)


def read(content: dict[str, Any], source: str, text: str = "") -> Config:
    """The configuration of a parsed file; ConfigError, with every mistake and its line in ``text``, if it is wrong."""
    content, problems = with_brackets_mended(content)
    problems += schema_problems(content)
    reader = _Reader(content, source, {problem.path for problem in problems})
    config = reader.read()
    problems += reader.problems
    if problems or config is None:
        lines = find_lines(text)
        found = [(_line(problem.path, lines), problem.text) for problem in problems]
        found.sort(key=lambda item: item[0] or 0)
        raise ConfigError(source, [said for _, said in found], [line for line, _ in found])
    return config


def _line(path: TomlPath, lines: Mapping[TomlPath, int]) -> int | None:
    """The line of a value; of the table that it is to be in, if it is missing.

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
    """Builds the values of a file. What its schema does not allow, at the paths ``bad``, is passed over, so that every
    other mistake is found too.
    """

    def __init__(self, content: dict[str, Any], source: str, bad: Iterable[TomlPath]) -> None:
        self.problems: list[Problem] = []
        self._content = content
        self._source = source
        self._bad = frozenset(bad)
        self._touched = frozenset(path[:length] for path in self._bad for length in range(1, len(path) + 1))
        self._targets: Targets | None = None

    def read(self) -> Config | None:
        """The configuration; None if it has a mistake."""
        server = self._table("server")
        tariff = self._build(("tariff",), self._content.get("tariff"), tariff_from_roubles)
        assumptions = self._build(("assumed",), self._content.get("assumed"), _assumptions) or Assumptions()
        build = partial(_settings, tariff or Tariff(), assumptions)
        settings = self._build(("server",), self._content.get("server"), build)
        if "webhook_targets" in server:
            with suppress(UsageError):  # which is told already
                self._targets = make_targets(server["webhook_targets"])
        tables = list(enumerate(self._list((), "account")))
        self._check_unique(tables, "id")
        self._check_unique(tables, "token")
        opened = [self._account(("account", i), table, assumptions.unavailable_cause) for i, table in tables]
        if self.problems or self._bad or settings is None:
            return None
        return Config(
            server.get("host", DEFAULT_HOST),
            server.get("port", DEFAULT_PORT),
            settings,
            tuple(account for account in opened if account is not None) or built_in().accounts,
            tuple(server.get("allowed_hosts", ())),
            server.get("admin_token"),
            source=self._source,
        )

    def _table(self, name: str) -> dict[str, Any]:
        return self._sound((name,), self._content.get(name, {}))

    def _list(self, path: TomlPath, name: str) -> list[Any]:
        """The items of an array; nothing if it is not one."""
        owner: Any = self._content
        for step in path:
            owner = owner[step]
        items = owner.get(name, [])
        return items if isinstance(items, list) else []

    def _sound(self, path: TomlPath, table: Any) -> dict[str, Any]:
        """The fields of a table that its schema allows, each as a whole."""
        if not isinstance(table, dict):
            return {}
        return {key: value for key, value in table.items() if (*path, key) not in self._touched}

    def _account(self, path: TomlPath, table: Any, unavailable_cause: int) -> AccountConfig | None:
        if not isinstance(table, dict):
            return None

        subscriptions = self._each((*path, "webhook"), self._subscription)
        rules = self._each((*path, "outcome"), partial(self._rule, unavailable_cause))
        given = self._sound(path, table)
        balance = given.get("balance", accounts.DEFAULT_BALANCE)
        self._try(path, lambda: parse_roubles(balance, name="balance"), (*path, "balance"))
        someone = accounts.Account("1", "none", 0)
        for i, number in enumerate(self._list(path, "numbers")):
            if (*path, "numbers", i) not in self._bad:
                self._try(path, partial(accounts.connect_number, someone, number), (*path, "numbers", i))
        if self.problems or self._bad:
            return None
        return AccountConfig(
            str(given["id"]),
            given["token"],
            given.get("seed", secrets.randbits(32)),
            balance,
            tuple(given.get("numbers", ())),
            tuple(subscriptions),
            tuple(rules),
            is_seed_drawn="seed" not in given,
        )

    def _rule(self, unavailable_cause: int, path: TomlPath, table: dict[str, Any]) -> OutcomeRule | None:
        given = self._sound(path, table)
        if not self._touched.isdisjoint({(*path, "outcome"), (*path, "q931_status")}):
            return None  # whether one of them is given cannot be said

        def build() -> OutcomeRule:
            how = ending(given.get("outcome"), given.get("q931_status"), unavailable_cause=unavailable_cause)
            return OutcomeRule(how, given.get("login_did", "*"), given.get("delay_s"))

        return self._try(path, build)

    def _subscription(self, path: TomlPath, table: dict[str, Any]) -> Subscription | None:
        # If a field is tried alone, or the URL is missing, another URL stands for its own.
        some = {"url": "http://localhost/"}
        subscription = self._build(path, table, lambda given: _webhook({**some, **given}))
        targets = self._targets
        if targets is not None and subscription is not None and "url" in self._sound(path, table):
            self._try(path, lambda: targets.check(subscription.url), (*path, "url"))
        return subscription

    def _each(self, path: TomlPath, build: Callable[[TomlPath, dict[str, Any]], _T | None]) -> list[_T]:
        *owner, name = path
        built = [
            build((*path, i), table)
            for i, table in enumerate(self._list(tuple(owner), str(name)))
            if isinstance(table, dict)
        ]
        return [value for value in built if value is not None]

    def _build(self, path: TomlPath, table: Any, build: Callable[[dict[str, Any]], _T]) -> _T | None:
        """What ``build`` makes of the table's fields that its schema allows. If that fails, or if a field has an item
        that is not allowed, every other field and item is tried alone, to find each mistake.
        """
        sound = self._sound(path, table)
        built, whole = None, ""
        try:
            built = build(sound)
        except (UsageError, ConfigError) as error:
            whole = str(error)
        found = len(self.problems)
        if isinstance(table, dict) and (whole or path in self._touched):
            given = {key: value for key, value in table.items() if (*path, key) not in self._bad}
            for at, part in _parts(path, given):
                if at not in self._touched:
                    self._try(path, partial(build, part), at)
        if whole and len(self.problems) == found:
            self._say(path, whole)
        return built

    def _try(self, path: TomlPath, build: Callable[[], _T], at: TomlPath | None = None) -> _T | None:
        try:
            return build()
        except (UsageError, ConfigError) as error:
            self._say(path, str(error), at)
            return None

    def _say(self, path: TomlPath, what: str, at: TomlPath | None = None) -> None:
        self.problems.append(Problem(at or path, f"{place_of(path)}: {what}"))

    def _check_unique(self, tables: list[tuple[int, Any]], key: str) -> None:
        given = {i: self._sound(("account", i), table).get(key) for i, table in tables}
        counts = Counter(given.values())
        for i, value in given.items():
            if value is not None and counts[value] > 1:
                shown = f" {value}" if key == "id" else ""
                self._say(("account", i, key), f"the {key}{shown} is also another account's")


def _settings(tariff: Tariff, assumptions: Assumptions, server: dict[str, Any]) -> Settings:
    given = {name: server[name] for name in _SETTINGS if name in server}
    if "webhook_targets" in given:
        make_targets(given["webhook_targets"])
    if "state" in given:
        from pytest_mcn_mock.storage.sql_database import parse_url  # noqa: PLC0415 - SQLAlchemy takes its time

        parse_url(given["state"])
    return Settings(tariff, assumptions, **{"magic_numbers": True, **given})


def _webhook(table: dict[str, Any]) -> Subscription:
    given = dict(table)
    trust = read_trust(given.pop("cacert", None), insecure=given.pop("insecure", False))
    return make_subscription(**given, trust=trust)


def _assumptions(table: dict[str, Any]) -> Assumptions:
    given = dict(table)
    if "error_status" in given:
        given["error_status"] = {RefusalCode(code): status for code, status in given["error_status"].items()}
    if "number_format" in given:
        given["number_format"] = NumberFormat(given["number_format"])
    if "default_outcome" in given:
        given["default_outcome"] = Outcome(given["default_outcome"])
    if "retry_after_s" in given:
        given["retry_after_s"] = tuple(given["retry_after_s"])
    if "error_body" in given:
        try:
            json.dumps(given["error_body"], allow_nan=False)
        except (TypeError, ValueError):
            raise UsageError("error_body has a value that JSON does not have: a date, a time, nan or inf") from None
    return Assumptions(**given)


def _parts(path: TomlPath, table: Mapping[str, Any]) -> Iterator[tuple[TomlPath, dict[str, Any]]]:
    """The fields of a table, each alone and item by item, and where they are."""
    for key, value in table.items():
        if isinstance(value, dict) and key != "error_body":
            yield from (((*path, key, name), {key: {name: item}}) for name, item in value.items())
        elif isinstance(value, list):
            yield from (((*path, key, i), {key: [item]}) for i, item in enumerate(value))
        else:
            yield (*path, key), {key: value}
