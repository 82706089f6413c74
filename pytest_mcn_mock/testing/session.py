"""Opens a test's account at its beginning, and reports the mistakes at its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import pytest

from pytest_mcn_mock.compose import preload
from pytest_mcn_mock.errors import MistakesError, UsageError, WaitTimeout, nearest
from pytest_mcn_mock.model.accounts import DEFAULT_BALANCE, DEFAULT_CREDIT
from pytest_mcn_mock.model.checks import check_bool
from pytest_mcn_mock.model.draws import seed_from_name
from pytest_mcn_mock.model.requests import Level
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.testing.account import Account
from pytest_mcn_mock.testing.opened import SETTLE_MARGIN_S
from pytest_mcn_mock.testing.server import MCNServer
from pytest_mcn_mock.text import printable, printable_lines

ARGUMENTS: Final = (
    "strict",
    "fidelity",
    "account_id",
    "token",
    "balance",
    "credit",
    "numbers",
    "seed",
    "outcome",
    "tariff",
)
"""The arguments of the marker ``mcn``."""


def make_server(settings: Settings | None) -> MCNServer:
    """Return the session's server, not started yet. If a test may use pyfakefs, it has loaded all files already."""
    if "pyfakefs" in sys.modules:
        from pytest_mcn_mock.testing import loops, sending  # noqa: F401 - to have them loaded

        preload()
    return MCNServer(settings=settings)


def start_again(server: MCNServer, item: pytest.Item, *, is_wanted: bool) -> None:
    """Start a server that a test has stopped, on its old port if it is free, and warn the test.

    ``is_wanted`` is whether there is a test after this one.
    """
    port = server.port
    done = ""
    if is_wanted:
        try:
            server.start()
        except SystemExit:  # how werkzeug reports that somebody else has the port now
            server.port = 0
            server.start()
        where = "its old port" if server.port == port else f"port {server.port}, because {port} is taken"
        done = f"; it was started again for the next test, on {where}"
    item.warn(pytest.PytestWarning(f"{item.nodeid} stopped mcn_server and did not start it again{done}"))


def open_for_test(server: MCNServer, node: pytest.Item, *, strict: bool, fidelity: str) -> tuple[Account, bool]:
    """Return an account with the settings of the test's markers, and whether the test is strict.

    ``strict`` and ``fidelity`` are the values if no marker sets them.

    Of several markers the nearest wins, argument by argument. Raises UsageError if an argument is unknown or invalid.
    """
    wanted = _arguments(node)
    strict = check_bool(wanted.get("strict", strict), name="strict")
    seed = wanted.get("seed", seed_from_name(node.nodeid))
    account = server.open_account(
        seed=seed,
        account_id=wanted.get("account_id"),
        token=wanted.get("token"),
        numbers=wanted.get("numbers", ()),
        balance=wanted.get("balance", DEFAULT_BALANCE),
        credit=wanted.get("credit", DEFAULT_CREDIT),
        tariff=wanted.get("tariff"),
    )
    server.opened.leave(account)  # the fixture looks at it itself
    try:
        account.require_fidelity(wanted.get("fidelity", fidelity))
        if "outcome" in wanted:
            account.set_outcome(wanted["outcome"])
    except UsageError:
        account.close()
        raise
    return account, strict


def take_other_mistakes(server: MCNServer, item: pytest.Item, *, has_passed: bool) -> list[str]:
    """Return the unexpected mistakes on the accounts that the test has opened itself, or has from its fixtures, after
    they have settled. There are none if it has not passed or is not strict.
    """
    if not has_passed:
        server.opened.take_mistakes((), Level.ASSUMED, settles=False)
        return []
    server.leave_stopped_loops()
    wanted = _arguments(item)
    strict = check_bool(wanted.get("strict", item.config.getini("mcn_strict")), name="strict")
    fidelity = _level(wanted.get("fidelity", item.config.getini("mcn_fidelity")))
    values = list(getattr(item, "funcargs", {}).values())
    found = server.opened.take_mistakes(values, fidelity, settles=strict)
    return found if strict else []


def raise_mistakes(
    server: MCNServer, account: Account | None = None, *, strict: bool = False, others: Sequence[str] = ()
) -> None:
    """Wait until the account has settled, then raise all unexpected mistakes in one error.

    An exception of a handler or of an application fails the test even if the test is not strict, or has no account.
    """
    __tracebackhide__ = True
    server.leave_stopped_loops()
    if account is not None:
        with suppress(WaitTimeout):  # a request that hangs is not a mistake
            account.settle(account.ack_timeout_s + SETTLE_MARGIN_S)
    errors = server.take_errors()
    mistakes = [printable_lines(f"a handler raised {type(error).__name__}: {error}") for error in errors]
    if account is not None and strict:
        mistakes += map(printable, account.mistakes())
    mistakes += map(printable, others)
    if not mistakes:
        return
    lines = "\n".join(f"  {mistake}" for mistake in mistakes)
    cause = errors[0] if len(errors) == 1 else BaseExceptionGroup("handlers raised", errors) if errors else None
    raise MistakesError(
        f"the test passed, but this went wrong on its account or server:\n{lines}\n"
        "If the test provokes it on purpose, use mcn.expect_refusal(code), mcn.expect_undelivered(), "
        "or @pytest.mark.mcn(strict=False)."
    ) from cause


def _level(fidelity: object) -> Level:
    try:
        return Level(str(fidelity))
    except ValueError:
        hint = nearest(str(fidelity), list(Level))
        raise UsageError(f"fidelity {str(fidelity)[:40]!r} is unknown; {hint}") from None


def _arguments(node: pytest.Item) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for marker in node.iter_markers("mcn"):
        if marker.args:
            raise UsageError(f"the marker mcn accepts only keyword arguments: {', '.join(ARGUMENTS)}")
        for name, value in marker.kwargs.items():
            if name not in ARGUMENTS:
                raise UsageError(f"the marker mcn has no argument {name!r}; {nearest(name, ARGUMENTS)}")
            wanted.setdefault(name, value)
    return wanted
