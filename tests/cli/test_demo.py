"""``mcn-mock serve --demo``: a day's traffic, as if clients had made it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence

import pytest
from helpers.in_process import run
from helpers.sandbox import running_sandbox, with_webhook
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Assumptions
from pytest_mcn_mock.cli.demo import CLIENTS, DAY_S, Demo, StandIn
from pytest_mcn_mock.compose import Fake, compose
from pytest_mcn_mock.delivery.worker import Sender
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import CdrRequest, CdrResponse, Delivery
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.settings import Settings


def no_sender(targets: object) -> Sender:
    pytest.fail("a CDR would have left the machine")


def filled(**arguments: int) -> Fake:
    async def fill() -> Fake:
        demo = Demo(make_sender=no_sender, **arguments)
        fake = compose(Settings(), clock=demo.clock, make_sender=demo.make_sender)
        await demo.fill(fake)
        return fake

    return asyncio.run(fill())


def calls_of(fake: Fake) -> Sequence[Call]:
    return run(fake.service.storage.calls(None, 0, 1000))


def accounts_of(fake: Fake) -> list[Account]:
    return [state.account for state in run(fake.service.storage.accounts(0, 1000))]


@pytest.fixture(scope="module")
def day() -> Fake:
    return filled()


def test_the_day_has_every_kind_of_call(day: Fake) -> None:
    calls = calls_of(day)
    assert len(calls) > 200
    assert {str(call.method) for call in calls} == {"flash_call", "call_for_2fa"}
    assert {call.country_id for call in calls} == {643, 703, None}
    outcomes = Counter(str(call.ending.outcome) for call in calls if call.ending)
    assert set(outcomes) == {"answered", "busy", "no_answer", "rejected", "unavailable"}
    assert [call.state for call in calls if call.state != "completed"] == ["ringing"]


def test_the_calls_are_spread_over_the_last_24_hours_in_their_order(day: Fake) -> None:
    placed = [call.placed_at for call in calls_of(day)]
    assert placed == sorted(placed)
    now = time.time()
    assert now - DAY_S - 60 < placed[0] < placed[-1] < now
    assert len({int((now - moment) // 3600) for moment in placed}) >= 24
    assert abs(day.service.clock.now(None) - now) < 60
    assert abs(day.service.clock.now(accounts_of(day)[0].id) - now) < 60


def test_money_runs_out_and_is_added_and_the_ledger_is_exact(day: Fake) -> None:
    refusals = Counter(r.refusal.code for r in day.service.journal.since(0) if r.refusal)
    assert refusals[RefusalCode.INSUFFICIENT_FUNDS] >= 3
    assert {RefusalCode.UNAUTHORIZED, RefusalCode.MISSING_PARAMETER, RefusalCode.INVALID_PARAMETER} <= set(refusals)
    accounts = accounts_of(day)
    entries = [entry for account in accounts for entry in run(day.service.storage.ledger(account.id))]
    assert [entry.kind for entry in entries].count(EntryKind.TOP_UP) >= 3
    charged = -sum(entry.kopecks for entry in entries if entry.kind is EntryKind.CHARGE)
    assert charged == sum(call.price for call in calls_of(day))
    for account in accounts:
        assert run(day.service.accounts.balance(account.id)) >= 0


def test_cdrs_were_delivered_tried_again_and_failed_and_one_is_pending(day: Fake) -> None:
    deliveries = run(day.service.storage.deliveries(None, 0, 1000))
    ended = Counter((str(delivery.state), len(delivery.attempts)) for delivery in deliveries)
    assert set(ended) == {*(("delivered", tries) for tries in (1, 2, 3, 5)), ("failed", 1), ("pending", 0)}
    (pending,) = run(day.service.storage.pending(1000))
    assert run(day.service.storage.call(pending.verification_call_uuid)).state == "ringing"
    assert all(account.subscriptions[0].enabled for account in accounts_of(day))
    assert len({account.subscriptions[0].constants["client"] for account in accounts_of(day)}) == 4


def test_the_same_seed_gives_the_same_day_but_for_its_date(day: Fake) -> None:
    def told(fake: Fake) -> list[object]:
        calls = calls_of(fake)
        start = calls[0].placed_at
        return [(c.verification_call_uuid, c.login_did, c.caller_did, round(c.placed_at - start, 3)) for c in calls]

    assert told(filled()) == told(day)
    assert told(filled(seed=2)) != told(day)


def test_what_is_to_be_tried_again_later_than_the_day_goes_on_by_the_real_sender() -> None:
    sent: list[str] = []

    class Real(StandIn):
        async def send(self, request: CdrRequest, timeout_s: float) -> CdrResponse:
            sent.append(request.url)
            return await super().send(request, timeout_s)

    async def go_on() -> list[Delivery]:
        demo = Demo(make_sender=lambda _: Real(deque()))
        settings = Settings(assumptions=Assumptions(retry_after_s=(50_000.0,)))
        fake = compose(settings, clock=demo.clock, make_sender=demo.make_sender)
        await demo.fill(fake)
        assert len(run(fake.service.storage.pending(1000))) > 1
        assert sent == []
        await fake.worker.advance(50_000.0)
        return list(await fake.service.storage.pending(1000))

    assert [delivery.attempts for delivery in asyncio.run(go_on())] == [()]  # the call that is ringing
    assert sent


def test_accounts_that_are_there_already_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def fill_twice() -> None:
        demo = Demo(make_sender=no_sender)
        fake = compose(Settings(), clock=demo.clock, make_sender=demo.make_sender)
        await demo.fill(fake)
        before = calls_of(fake)
        await Demo(make_sender=no_sender).fill(fake)
        assert calls_of(fake) == before
        assert abs(fake.service.clock.now(None) - time.time()) < 60

    asyncio.run(fill_twice())
    assert "so no traffic is added" in caplog.text


def test_the_sandbox_shows_it_and_goes_on_with_real_time_and_real_webhooks() -> None:
    with Receiver() as receiver:
        with running_sandbox("--demo", config=with_webhook(receiver.url)) as sandbox:
            calls = sandbox.admin("calls?limit=1000")["items"]
            ids = {str(call["account_id"]) for call in calls}
            assert len(ids) == len(CLIENTS)
            for account_id in ids:
                assert re.search(
                    "[а-яё]", sandbox.admin(f"accounts/{account_id}")["webhooks"][0]["constants"]["client"]
                )
            account_id = min(ids)
            assert sandbox.flash_call(account_id, f"demo-{account_id}")["account_id"] == account_id
            sandbox.admin("reset", "POST", {})
            assert [account["id"] for account in sandbox.admin("accounts")["items"]] == [12345678]
            uuid = sandbox.flash_call()["verification_call_uuid"]
            # What is still pending is tried at a stop.
            _, _, logged = sandbox.stop()
        assert not re.search("refused:|CDR", logged)  # what is made up to look at did not happen
        assert [cdr["verification_call_uuid"] for cdr in receiver.received] == [uuid]


def test_without_faker_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['faker'] = None; from pytest_mcn_mock.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'pytest-mcn-mock[sandbox,faker]'" in done.stderr
