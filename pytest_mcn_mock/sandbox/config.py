"""``mcn-mock.toml``: checked as a whole before anything starts, every mistake reported at once with its place."""

from __future__ import annotations

import re
import secrets
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_mcn_mock import schemas
from pytest_mcn_mock.domain import accounts
from pytest_mcn_mock.domain.assumptions import Assumptions, NumberFormat
from pytest_mcn_mock.domain.money import parse_roubles
from pytest_mcn_mock.domain.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.domain.subscriptions import Subscription, make_subscription
from pytest_mcn_mock.domain.targets import Targets, make_targets
from pytest_mcn_mock.domain.tariffs import Tariff, tariff_from_roubles
from pytest_mcn_mock.errors import ConfigError, RefusalCode, UsageError, nearest
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.sandbox.tls import TlsChoice
from pytest_mcn_mock.settings import Settings

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8643
MAX_FILE_SIZE = 64 * 2**20
_ADMIN_TOKEN = re.compile(r"[!-~]{8,512}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """An account to open; ``balance`` in roubles."""

    id: str
    token: str = field(repr=False)
    seed: int
    balance: str | int = "0.00"
    numbers: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    outcome_rules: tuple[OutcomeRule, ...] = ()

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
    """What a sandbox is started with. ``allowed_hosts`` and ``admin_token`` are what ``web.guard`` takes."""

    host: str
    port: int
    settings: Settings
    accounts: tuple[AccountConfig, ...]
    allowed_hosts: tuple[str, ...] = ()
    admin_token: str | None = field(default=None, repr=False)
    tls: TlsChoice = field(default_factory=TlsChoice)


def built_in() -> Config:
    """The sandbox without a file: the account of the article's examples, with 100 roubles and its connected number."""
    account = AccountConfig(
        id="12345678",
        token="test-token",  # noqa: S106 - public on purpose: it stands in the documentation
        seed=secrets.randbits(32),
        balance="100.00",
        numbers=("79158888888",),
    )
    return Config(DEFAULT_HOST, DEFAULT_PORT, Settings(magic_numbers=True), (account,))


def check_admin_token(token: str) -> str:
    """The token; ConfigError, which does not show it, for one that could not be sent, or guessed too easily."""
    if not _ADMIN_TOKEN.fullmatch(token):
        raise ConfigError("mcn-mock", ["the admin token must be 8 to 512 visible ASCII characters without spaces"])
    return token


def load(path: Path) -> Config:
    """The configuration of a TOML file; ConfigError, with every mistake and its place, where it is wrong."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    if len(text) > MAX_FILE_SIZE:
        raise ConfigError(str(path), [f"is larger than {MAX_FILE_SIZE} bytes"])
    try:
        content = tomllib.loads(text.decode("utf-8-sig"))  # editors on Windows put a byte order mark before it
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"is not UTF-8: {error}"]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(str(path), [f"is no TOML: {error}"]) from error
    return read(content, str(path))


def read(content: dict[str, Any], source: str) -> Config:
    """The configuration of a parsed file; ConfigError, with every mistake and its place, where it is wrong."""
    # Takes a quarter of the sandbox's start, which without a file has nothing to check.
    from jsonschema import Draft202012Validator

    schema = Draft202012Validator(schemas.load("config"))
    errors = sorted(schema.iter_errors(content), key=lambda error: [str(step) for step in error.absolute_path])
    if errors:
        raise ConfigError(source, [problem for error in errors for problem in _describe(error)])
    return _Reader(content, source).read()


class _Reader:
    """Builds the values of a file that its schema allows, and collects what the schema cannot say."""

    def __init__(self, content: dict[str, Any], source: str) -> None:
        self._content = content
        self._source = source
        self._problems: list[str] = []
        self._targets: Targets | None = None

    def read(self) -> Config:
        server = self._content.get("server", {})
        targets = server.get("webhook_targets")
        if targets is not None:
            self._targets = self._try("server", partial(make_targets, targets))
        tariff = self._tariff(self._content.get("tariff", {}))
        assumptions = self._assumptions(self._content.get("assumed", {}))
        tables = self._content.get("account", [])
        self._check_unique(tables, "id")
        self._check_unique(tables, "token")
        cause = (assumptions or Assumptions()).unavailable_cause
        opened = [self._account(f"account[{i}]", table, cause) for i, table in enumerate(tables)]
        if self._problems or tariff is None or assumptions is None:
            raise ConfigError(self._source, self._problems)
        given = (
            "journal_size",
            "magic_numbers",
            "max_owed",
            "max_wait_s",
            "state",
            "webhook_targets",
            "when_overloaded",
        )
        chosen = {"magic_numbers": True, **{name: server[name] for name in given if name in server}}
        settings = Settings(tariff, assumptions, **chosen)
        return Config(
            server.get("host", DEFAULT_HOST),
            server.get("port", DEFAULT_PORT),
            settings,
            tuple(account for account in opened if account is not None) or built_in().accounts,
            tuple(server.get("allowed_hosts", ())),
            server.get("admin_token"),
        )

    def _tariff(self, table: dict[str, Any]) -> Tariff | None:
        return self._try("tariff", partial(tariff_from_roubles, table))

    def _assumptions(self, table: dict[str, Any]) -> Assumptions | None:
        def build() -> Assumptions:
            given = dict(table)
            if "error_status" in given:
                given["error_status"] = {RefusalCode(code): status for code, status in given["error_status"].items()}
            if "number_format" in given:
                given["number_format"] = NumberFormat(given["number_format"])
            if "default_outcome" in given:
                given["default_outcome"] = Outcome(given["default_outcome"])
            if "retry_after_s" in given:
                given["retry_after_s"] = tuple(given["retry_after_s"])
            return Assumptions(**given)

        return self._try("assumed", build)

    def _account(self, place: str, table: dict[str, Any], unavailable_cause: int) -> AccountConfig | None:
        subscriptions = self._each(f"{place}.webhook", table.get("webhook", []), self._subscription)

        def rule(given: dict[str, Any]) -> OutcomeRule:
            how = ending(given.get("outcome"), given.get("q931_status"), unavailable_cause=unavailable_cause)
            return OutcomeRule(how, given.get("login_did", "*"), given.get("delay_s"))

        rules = self._each(f"{place}.outcome", table.get("outcome", []), rule)

        def build() -> AccountConfig:
            account = AccountConfig(
                str(table["id"]),
                table["token"],
                table.get("seed", secrets.randbits(32)),
                table.get("balance", "0.00"),
                tuple(table.get("numbers", ())),
                tuple(subscriptions),
                tuple(rules),
            )
            parse_roubles(account.balance, name="balance")
            checked = accounts.Account(account.id, account.token, account.seed)
            for number in account.numbers:
                checked = accounts.connect_number(checked, number)
            return account

        return self._try(place, build)

    def _subscription(self, table: dict[str, Any]) -> Subscription:
        subscription = make_subscription(**table)
        if self._targets is not None:
            self._targets.check(subscription.url)
        return subscription

    def _each(self, place: str, tables: Iterable[dict[str, Any]], build: Callable[[dict[str, Any]], _T]) -> list[_T]:
        built = [self._try(f"{place}[{i}]", partial(build, table)) for i, table in enumerate(tables)]
        return [value for value in built if value is not None]

    def _try(self, place: str, build: Callable[[], _T]) -> _T | None:
        try:
            return build()
        except UsageError as error:
            self._problems.append(f"{place}: {error}")
            return None

    def _check_unique(self, tables: list[dict[str, Any]], key: str) -> None:
        counts = Counter(table[key] for table in tables)
        for i, table in enumerate(tables):
            if counts[table[key]] > 1:
                shown = f" {table[key]}" if key == "id" else ""
                self._problems.append(f"account[{i}].{key}: the {key}{shown} is also another account's")


def _describe(error: ValidationError) -> Iterable[str]:
    """One line a mistake: its place, and what would be right."""
    place = _place(error.absolute_path)
    instance: Any = error.instance
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        known = list(error.schema.get("properties", {}))
        unknown = sorted(key for key in instance if key not in known)
        prefix = f"{place}." if place else ""
        return [f"{prefix}{key}: is unknown; {nearest(key, known)}" for key in unknown]
    if error.validator == "required" and isinstance(error.schema, dict):
        missing = [key for key in error.schema["required"] if key not in instance]
        return [f"{place}.{key}: is missing" for key in missing]
    shown = "it" if place.endswith("token") else f"{instance!r}"[:60]
    limits = {
        "type": f"{shown} must be {_words(error.validator_value)}",
        "enum": f"{shown} is not one of {_words(error.validator_value)}",
        "minimum": f"{shown} is less than {error.validator_value}",
        "exclusiveMinimum": f"{shown} must be more than {error.validator_value}",
        "maximum": f"{shown} is more than {error.validator_value}",
        "pattern": f"{shown} does not have the form {error.validator_value}",
        "minLength": f"{shown} is too short",
        "maxLength": f"{shown} is longer than {error.validator_value} characters",
        "maxItems": f"has more than {error.validator_value} items",
    }
    return [f"{place}: {limits.get(str(error.validator), error.message[:200])}"]


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _place(path: Iterable[str | int]) -> str:
    """``account[0].webhook[1].url``; items count from 0."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return steps.removeprefix(".")
