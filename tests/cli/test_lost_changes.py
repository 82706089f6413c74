"""A change that could not be kept has not happened: nobody is told of it, and nothing of it stays."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.sandbox import Sandbox, running_sandbox, wait_until
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock.compose import Exchange, compose
from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.flow import finish
from pytest_mcn_mock.model.calls import CallOrder
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service import Operator
from pytest_mcn_mock.service.account_settings import AccountSettings
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.web.http import Request, answer_of

ORDER = CallOrder(Method.FLASH_CALL, "79157777777")
CONFIG = """
[[account]]
id = 12345678
token = "test-token"
balance = "100.00"
[[account.webhook]]
url = "{url}"
"""


def execute(path: Path, statement: str) -> None:
    """As another program that uses the file."""
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute(statement)


def spoil(path: Path, when: str) -> None:
    """Let every transaction fail that does this: ``INSERT ON calls``, ``UPDATE ON deliveries WHEN …``."""
    execute(path, f"CREATE TRIGGER spoilt BEFORE {when} BEGIN SELECT RAISE(ABORT, 'no room'); END")


def mend(path: Path) -> None:
    execute(path, "DROP TRIGGER spoilt")


class Notes:
    """An observer that takes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def changed(self, account_id: str, item: object = None, before: object = None) -> None:
        self.told.append(item or f"account {account_id}")

    def closed(self, account_id: str) -> None:
        self.told.append(f"closed {account_id}")

    def reset(self) -> None:
        self.told.append("reset")


class Silent:
    """A sender whose attempts do not end."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        pass


def end(exchange: Exchange) -> None:
    (call,) = exchange.operator.calls.page()
    exchange.operator.calls.complete(call.verification_call_uuid)


def end_and_resend(exchange: Exchange) -> None:
    end(exchange)
    exchange.operator.deliveries.resend(1)


def settle(exchange: Exchange) -> None:
    (delivery,) = exchange.operator.deliveries.page()
    exchange.operator.deliveries.record(delivery, 0.0, 0.0, CdrResponse(204, {}, b""), None)


def open_another(operator: Operator) -> None:
    operator.accounts.open(seed=2, balance="1.00", account_id="2", token="t2")


def place(exchange: Exchange) -> None:
    exchange.operator.calls.place("1", ORDER)


STEPS: dict[str, tuple[Callable[[Exchange], object], str]] = {
    "place": (place, "INSERT ON calls"),
    "end": (end, "UPDATE ON calls"),
    "settle": (settle, "UPDATE ON deliveries"),
    "end and resend": (end_and_resend, "UPDATE ON deliveries"),
    "top up": (lambda e: e.operator.accounts.top_up("1", "5.00"), "INSERT ON ledger"),
    "balance": (lambda e: e.operator.accounts.set_balance("1", "5.00"), "INSERT ON ledger"),
    "number": (lambda e: e.operator.settings.connect_number("1", "79158888888"), "UPDATE ON accounts"),
    "open": (lambda e: open_another(e.operator), "INSERT ON accounts"),
    "close": (lambda e: e.operator.close_account("1"), "DELETE ON accounts"),
    "reset": (lambda e: e.operator.reset(), "DELETE ON accounts"),
}


def failed(waiting: Future[None] | None) -> bool:
    return waiting is not None and isinstance(waiting.exception(timeout=30), StorageFailed)


@contextmanager
def composed(path: Path, notes: Notes) -> Iterator[Exchange]:
    """An operator over a state file with an account and a call that is held."""
    exchange = compose(
        Settings(state=f"sqlite:///{path}"),
        lambda job: job() if threading.current_thread().name == "mcn-mock-state" else None,
        observers=[notes],
        make_sender=lambda _: Silent(),
        restore=open_another,
    )
    try:
        webhook = make_subscription("http://127.0.0.1:1/", retry=False)
        exchange.operator.accounts.open(seed=1, balance="9.00", account_id="1", token="t1", subscriptions=[webhook])
        exchange.operator.settings.hold_cdrs("1")
        place(exchange)
        kept = exchange.durability.settled()
        assert kept is None or kept.exception(timeout=30) is None
        yield exchange
    finally:
        exchange.durability.close()


@pytest.mark.parametrize("step, when", STEPS.values(), ids=STEPS)
def test_nobody_is_told_of_what_could_not_be_kept(
    tmp_path: Path, step: Callable[[Exchange], object], when: str
) -> None:
    notes = Notes()
    with composed(tmp_path / "state.db", notes) as exchange:
        before = len(notes.told)
        assert before == 3, "opened, held, placed"
        spoil(tmp_path / "state.db", when)
        step(exchange)
        assert failed(exchange.durability.settled())
        assert notes.told[before:] == []
        assert [account.id for account in exchange.operator.accounts.all()] == ["1"]
        mend(tmp_path / "state.db")
        wait_until(lambda: exchange.durability.failure is None)
        assert notes.told[before:] == []
        step(exchange)
        kept = exchange.durability.settled()
        assert kept is None or kept.exception(timeout=30) is None
        assert notes.told[before:] != []


def test_a_reset_that_cannot_open_the_accounts_again_closes_none(tmp_path: Path) -> None:
    with composed(tmp_path / "state.db", Notes()) as exchange:
        spoil(tmp_path / "state.db", "INSERT ON accounts")
        exchange.operator.reset()
        assert failed(exchange.durability.settled())
        assert [account.id for account in exchange.operator.accounts.all()] == ["1"]
        assert len(exchange.operator.calls.page()) == 1


def test_the_numbers_and_the_balance_change_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if there is time for a commit between the two."""
    change = AccountSettings.change

    with composed(tmp_path / "state.db", Notes()) as exchange:

        def change_slowly(self: AccountSettings, *arguments: Any) -> Any:
            changed = change(self, *arguments)
            wait([kept] if (kept := exchange.durability.settled()) is not None else [], timeout=0.3)
            return changed

        monkeypatch.setattr(AccountSettings, "change", change_slowly)
        spoil(tmp_path / "state.db", "INSERT ON ledger")
        body = b'{"numbers": ["79158888888"], "balance": "1.00", "calls_held": false}'
        request = Request("PATCH", "/__admin/accounts/1", b"", {"host": "localhost"}, body)
        assert answer_of(exchange.application.serve(request)).status == 503
        account = exchange.operator.accounts.get("1")
        assert (account.numbers, account.calls_held, exchange.operator.accounts.balance("1")) == ((), True, 885)


def test_a_call_placed_by_a_tester_waits_for_nothing_after_its_answer(tmp_path: Path) -> None:
    """Though somebody else's change is on its way to the disk."""
    with composed(tmp_path / "state.db", Notes()) as exchange:
        body = b'{"method": "flash_call", "login_did": "79157777777"}'
        flow = exchange.application.serve(
            Request("POST", "/__admin/accounts/1/calls", b"", {"host": "localhost"}, body)
        )
        assert answer_of(flow).status == 201
        exchange.operator.accounts.top_up("1", "1.00")
        finish(flow)


@contextmanager
def sandbox_with_state(folder: Path, receiver: Receiver) -> Iterator[tuple[Sandbox, Path]]:
    config, state = folder / "mcn-mock.toml", folder / "state.db"
    config.write_text(CONFIG.format(url=receiver.url), encoding="utf-8")
    with running_sandbox("--config", str(config), "--state", f"sqlite:///{state}", "--log-level", "debug") as sandbox:
        yield sandbox, state


def call(sandbox: Sandbox) -> int:
    return requests.post(
        f"{sandbox.url}/v2/rest/account/12345678/flash_call?login_did=79157777777",
        headers={"Authorization": "Bearer test-token"},
        timeout=60,
    ).status_code


def charged(sandbox: Sandbox) -> float:
    """What the metrics say that calls have cost, in kopecks."""
    text = requests.get(f"{sandbox.url}/__admin/metrics", timeout=60).text
    lines = [line for line in text.splitlines() if line.startswith("mcn_mock_charged_kopecks_total{")]
    return sum(float(line.split()[-1]) for line in lines)


def test_metrics_events_and_log_tell_of_no_call_that_was_lost(tmp_path: Path) -> None:
    with Receiver() as receiver, sandbox_with_state(tmp_path, receiver) as (sandbox, state):
        with requests.get(f"{sandbox.url}/__admin/events", stream=True, timeout=60) as events:
            lines = events.iter_lines()
            spoil(state, "INSERT ON calls")
            assert call(sandbox) == 503
            assert charged(sandbox) == 0
            mend(state)
            wait_until(lambda: call(sandbox) == 200)
            told: list[bytes] = []
            while b"event: delivery" not in told:
                told.append(next(lines))
        assert told.count(b"event: call") == 1
        assert charged(sandbox) == 15
        _, _, log = sandbox.stop()
    assert log.count('"event": "call"') + log.count("call completed") == 1, log


def test_an_attempt_whose_result_is_lost_is_in_the_record_and_not_made_again(tmp_path: Path) -> None:
    with Receiver() as receiver, sandbox_with_state(tmp_path, receiver) as (sandbox, state):
        spoil(state, "UPDATE ON deliveries WHEN NEW.state = 'delivered'")
        assert call(sandbox) == 200
        ready = f"{sandbox.url}/__admin/health/ready"
        wait_until(lambda: requests.get(ready, timeout=60).status_code == 503)
        mend(state)
        wait_until(lambda: requests.get(ready, timeout=60).status_code == 200)
        wait_until(lambda: sandbox.admin("deliveries")["items"][0]["state"] == "delivered")
        (delivery,) = sandbox.admin("deliveries")["items"]
        assert [attempt["status"] for attempt in delivery["attempts"]] == [204] * len(receiver.received)
        assert delivery["cdr"] == receiver.received[0]
        assert len(receiver.received) == 1
        sandbox.stop()
