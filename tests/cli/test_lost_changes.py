"""A change that could not be kept has not happened: nobody is told of it, and nothing of it stays."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
import requests
from helpers.sandbox import EAGER, Sandbox, running_sandbox, wait_until, with_webhook
from helpers.service_steps import until
from helpers.webhook_endpoints import Receiver
from msgspec.structs import replace

from pytest_mcn_mock.compose import Fake, compose
from pytest_mcn_mock.errors import StorageFailed
from pytest_mcn_mock.flow import go_on_until, step
from pytest_mcn_mock.model.accounts import connect_number
from pytest_mcn_mock.model.calls import CallOrder
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.deliveries import Result
from pytest_mcn_mock.service.events import AccountChanged, CallPlaced, Event
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.storage import transactions
from pytest_mcn_mock.web.http import Request, Response

ORDER = CallOrder(Method.FLASH_CALL, "79157777777")


def execute(path: Path, statement: str) -> None:
    """As another program that uses the file."""
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute(statement)


def let_fail(path: Path, when: str) -> None:
    """Let every transaction fail that does this: ``INSERT ON calls``, ``UPDATE ON deliveries WHEN …``."""
    execute(path, f"CREATE TRIGGER failing BEFORE {when} BEGIN SELECT RAISE(ABORT, 'no room'); END")


def let_succeed(path: Path) -> None:
    execute(path, "DROP TRIGGER failing")


class Silent:
    """A sender whose attempts do not end."""

    async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        pass


async def end(fake: Fake) -> None:
    (call,) = await fake.service.storage.calls(None, 0, 10)
    await fake.service.calls.complete(call.verification_call_uuid)


async def end_and_resend(fake: Fake) -> None:
    await end(fake)
    await fake.service.deliveries.resend(1)


async def settle(fake: Fake) -> None:
    delivery = await fake.service.storage.delivery(1)
    await fake.service.deliveries.settle(delivery, Result(0.0, 0.0, CdrResponse(204, {}, b"")))


async def open_another(fake: Fake) -> None:
    await fake.service.accounts.open(seed=2, balance="1.00", account_id="2", token="t2")


async def place(fake: Fake) -> None:
    await fake.service.calls.place("1", ORDER)


async def connect(fake: Fake) -> None:
    await fake.service.accounts.change("1", lambda account: connect_number(account, "79158888888"))


STEPS: dict[str, tuple[Callable[[Fake], Awaitable[None]], str]] = {
    "place": (place, "INSERT ON calls"),
    "end": (end, "UPDATE ON calls"),
    "settle": (settle, "UPDATE ON deliveries"),
    "end and resend": (end_and_resend, "UPDATE ON deliveries"),
    "top up": (lambda fake: fake.service.accounts.top_up("1", "5.00"), "INSERT ON ledger"),
    "balance": (lambda fake: fake.service.accounts.set_balance("1", "5.00"), "INSERT ON ledger"),
    "number": (connect, "UPDATE ON accounts"),
    "open": (open_another, "INSERT ON accounts"),
    "close": (lambda fake: fake.service.accounts.close("1"), "DELETE ON accounts"),
    "reset": (lambda fake: fake.service.reset(), "DELETE ON accounts"),
    "reset that opens": (lambda fake: fake.service.reset(), "INSERT ON accounts"),
}


@asynccontextmanager
async def composed(path: Path, told: list[Event]) -> AsyncIterator[Fake]:
    """A fake over a state file with an account and a call that is held."""
    fake = compose(
        Settings(state=f"sqlite:///{path}"),
        subscribers=[lambda events: events.subscribe_to_all(told.append)],
        make_sender=lambda _: Silent(),
        opening=lambda accounts: [(accounts.make(seed=1, account_id="1", token="t1"), 900)],
    )
    watching = asyncio.create_task(fake.service.storage.watch())
    try:
        webhook = make_subscription("http://127.0.0.1:1/", retry=False)
        await fake.service.accounts.open(seed=1, balance="9.00", account_id="1", token="t1", subscriptions=[webhook])
        await fake.service.accounts.change("1", lambda account: replace(account, calls_held=True))
        await place(fake)
        yield fake
    finally:
        await fake.worker.close()
        watching.cancel()
        await asyncio.wait([watching])
        await fake.service.storage.close()


async def contents(fake: Fake) -> list[object]:
    storage = fake.service.storage
    return [await storage.accounts(0, 10), await storage.calls(None, 0, 10), await storage.deliveries(None, 0, 10)]


@pytest.mark.asyncio
@pytest.mark.parametrize("change, when", STEPS.values(), ids=STEPS)
async def test_nobody_is_told_of_what_could_not_be_kept(
    tmp_path: Path, change: Callable[[Fake], Awaitable[None]], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "RETRY_S", 0.01)
    told: list[Event] = []
    async with composed(tmp_path / "state.db", told) as fake:
        before = await contents(fake)
        assert [type(event) for event in told] == [AccountChanged, AccountChanged, CallPlaced]
        let_fail(tmp_path / "state.db", when)
        with pytest.raises(StorageFailed):
            await change(fake)
        assert (await contents(fake), len(told)) == (before, 3)
        let_succeed(tmp_path / "state.db")
        await until(lambda: fake.service.storage.failure is None)
        assert len(told) == 3
        await change(fake)
        assert len(told) > 3


@pytest.mark.asyncio
async def test_the_numbers_and_the_balance_change_together_or_not_at_all(tmp_path: Path) -> None:
    async with composed(tmp_path / "state.db", []) as fake:
        let_fail(tmp_path / "state.db", "INSERT ON ledger")
        body = b'{"numbers": ["79158888888"], "balance": "1.00", "calls_held": false}'
        flow = fake.application.serve(Request("PATCH", "/__admin/accounts/1", b"", {"host": "localhost"}, body))
        response = await go_on_until(Response, flow, step(flow))
        flow.close()
        assert response.status == 503
        account, balance = await fake.service.storage.account("1")
        assert (account.numbers, account.calls_held, balance) == ((), True, 885)


@contextmanager
def sandbox_with_state(folder: Path, receiver: Receiver) -> Iterator[tuple[Sandbox, Path]]:
    state = folder / "state.db"
    arguments = ("--state", f"sqlite:///{state}", "--log-level", "debug")
    with running_sandbox(*arguments, config=with_webhook(receiver.url), before=EAGER) as sandbox:
        yield sandbox, state


def charged(sandbox: Sandbox) -> float:
    """What the metrics say that calls have cost, in kopecks."""
    text = requests.get(f"{sandbox.url}/__admin/metrics", timeout=60).text
    lines = [line for line in text.splitlines() if line.startswith("mcn_mock_charged_kopecks_total{")]
    return sum(float(line.split()[-1]) for line in lines)


def test_metrics_events_and_log_tell_of_no_call_that_was_lost(tmp_path: Path) -> None:
    with Receiver() as receiver, sandbox_with_state(tmp_path, receiver) as (sandbox, state):
        with requests.get(f"{sandbox.url}/__admin/events", stream=True, timeout=60) as events:
            lines = events.iter_lines()
            let_fail(state, "INSERT ON calls")
            assert sandbox.order().status_code == 503
            assert charged(sandbox) == 0
            let_succeed(state)
            wait_until(lambda: sandbox.order().status_code == 200)
            told: list[bytes] = []
            while b"event: delivery" not in told:
                told.append(next(lines))
        assert told.count(b"event: call") == 1
        assert charged(sandbox) == 15
        _, _, log = sandbox.stop()
    assert log.count('"event": "call"') + log.count("call completed") == 1, log


def test_an_attempt_whose_result_is_lost_is_in_the_record_and_not_made_again(tmp_path: Path) -> None:
    with Receiver() as receiver, sandbox_with_state(tmp_path, receiver) as (sandbox, state):
        let_fail(state, "UPDATE ON deliveries WHEN NEW.state = 'delivered'")
        assert sandbox.order().status_code == 200
        ready = f"{sandbox.url}/__admin/health/ready"
        wait_until(lambda: requests.get(ready, timeout=60).status_code == 503)
        let_succeed(state)
        wait_until(lambda: requests.get(ready, timeout=60).status_code == 200)
        wait_until(lambda: sandbox.admin("deliveries")["items"][0]["state"] == "delivered")
        (delivery,) = sandbox.admin("deliveries")["items"]
        assert [attempt["status"] for attempt in delivery["attempts"]] == [204] * len(receiver.received)
        assert delivery["cdr"] == receiver.received[0]
        assert len(receiver.received) == 1
        sandbox.stop()
