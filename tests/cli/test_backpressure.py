"""A receiver that is slower than the callers: calls wait for room, in order, and nothing that was accepted is lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from helpers.client import flash_call, refusal
from helpers.in_process import Acknowledging, open_account
from helpers.in_process import place as place_call
from helpers.sandbox import Sandbox, running_sandbox, wait_until
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, MCNServer, Settings, queue
from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import compose
from pytest_mcn_mock.errors import Overloaded, UsageError
from pytest_mcn_mock.flow import finish
from pytest_mcn_mock.model.deliveries import CdrResponse
from pytest_mcn_mock.queue import CallQueue
from pytest_mcn_mock.web.http import Request, answer_of

MAX_OWED = 2
NUMBERS = [f"7915777777{n}" for n in range(7)]


@contextmanager
def waiting_sandbox(tmp_path: Path, *arguments: str, url: str, max_wait_s: float = 60) -> Iterator[Sandbox]:
    config = tmp_path / "mcn-mock.toml"
    config.write_text(
        f'[server]\nmax_pending = {MAX_OWED}\nwhen_overloaded = "wait"\nmax_wait_s = {max_wait_s}\n'
        '[[account]]\nid = 12345678\ntoken = "test-token"\nbalance = "1.50"\nnumbers = ["79158888888"]\n'
        f'[[account.webhook]]\nurl = "{url}"\n'
    )
    with running_sandbox("--config", str(config), *arguments) as sandbox:
        yield sandbox


def place(sandbox: Sandbox, login_did: str, method: str = "flash_call", **parameters: str) -> requests.Response:
    return requests.post(
        f"{sandbox.url}/v2/rest/account/12345678/{method}",
        params={"login_did": login_did, **parameters},
        headers={"Authorization": "Bearer test-token"},
        timeout=60,
    )


def gauge(sandbox: Sandbox, name: str) -> float:
    text = requests.get(f"{sandbox.url}/__admin/metrics", timeout=30).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def come(sandbox: Sandbox, callers: ThreadPoolExecutor, numbers: list[str]) -> list[Future[requests.Response]]:
    """Callers that come one after the other, and wait."""
    waiting = []
    for number in numbers:
        before = gauge(sandbox, "mcn_mock_calls_waiting")
        waiting.append(callers.submit(place, sandbox, number))
        wait_until(lambda before=before: gauge(sandbox, "mcn_mock_calls_waiting") == before + 1)  # type: ignore[misc]
    return waiting


def money(sandbox: Sandbox) -> tuple[str, int]:
    """The balance, and the kopecks of the ledger."""
    entries = sandbox.admin("accounts/12345678/ledger")["items"]
    amounts = [round(float(entry["amount"]) * 100) for entry in entries]
    return sandbox.admin("accounts/12345678")["balance"], sum(amounts)


def numbers_called(sandbox: Sandbox) -> list[str]:
    return [call["login_did"] for call in sandbox.admin("calls")["items"]]


@pytest.mark.parametrize("is_kept", [False, True], ids=["memory", "state"])
def test_callers_wait_their_turn_and_every_cdr_arrives(tmp_path: Path, is_kept: bool) -> None:
    state = ["--state", f"sqlite:///{tmp_path / 'state.db'}"] if is_kept else []
    with Receiver() as receiver, ThreadPoolExecutor(8) as callers:
        release = receiver.hold()
        with waiting_sandbox(tmp_path, *state, url=receiver.url) as sandbox:
            assert [place(sandbox, number).status_code for number in NUMBERS[:MAX_OWED]] == [200] * MAX_OWED
            waiting = come(sandbox, callers, NUMBERS[MAX_OWED:])
            assert not any(caller.done() for caller in waiting)
            assert numbers_called(sandbox) == NUMBERS[:MAX_OWED]
            assert money(sandbox) == ("1.20", 120)
            assert gauge(sandbox, "mcn_mock_cdrs_pending") == MAX_OWED
            ready = requests.get(f"{sandbox.url}/__admin/health/ready", timeout=30)
            assert (ready.status_code, ready.json()["reasons"]) == (503, ["overloaded"])
            assert place(sandbox, NUMBERS[0], "call_for_2fa", caller_did="79158888888").status_code == 200
            by_hand = f"{sandbox.url}/__admin/accounts/12345678/calls"
            asked = {"method": "flash_call", "login_did": NUMBERS[0]}
            assert refusal(requests.post(by_hand, json=asked, timeout=30)) == (429, "overloaded", None)

            release()
            while not all(caller.done() for caller in waiting):
                assert gauge(sandbox, "mcn_mock_cdrs_pending") <= MAX_OWED
            assert [caller.result().status_code for caller in waiting] == [200] * len(waiting)
            placed = [number for number in numbers_called(sandbox) if number != NUMBERS[0]]
            assert placed == NUMBERS[1:]
            assert money(sandbox) == ("0.44", 44)
            wait_until(lambda: bool(sandbox.admin("health")["ready"]))
            assert sandbox.stop()[:2] == (0, "mcn-mock stopped; no CDR is pending\n")
        assert len({cdr["verification_call_uuid"] for cdr in receiver.received}) == len(NUMBERS)


def test_who_waits_too_long_is_refused_and_not_charged(tmp_path: Path) -> None:
    with Receiver() as receiver:
        release = receiver.hold()
        with waiting_sandbox(tmp_path, url=receiver.url, max_wait_s=0.1) as sandbox:
            for number in NUMBERS[:MAX_OWED]:
                place(sandbox, number)
            for _ in range(2):  # the second one finds the alarm of the first gone
                refused = place(sandbox, NUMBERS[2])
                assert (refusal(refused), refused.headers["Retry-After"]) == ((429, "overloaded", None), "1")
            assert gauge(sandbox, "mcn_mock_calls_waiting") == 0
            assert money(sandbox) == ("1.20", 120)
            last = sandbox.admin("requests")["items"][-1]
            assert (last["status"], last["refusal"]["code"]) == (429, "overloaded")
            release()
            wait_until(lambda: gauge(sandbox, "mcn_mock_cdrs_pending") == 0)
        assert len(receiver.received) == MAX_OWED


def order(sandbox: Sandbox, login_did: str, version: str = "1.1") -> socket.socket:
    """A client's own connection, on which it has sent an order."""
    address = urlsplit(sandbox.url)
    connection = socket.create_connection((address.hostname, address.port or 0), timeout=60)
    connection.sendall(
        f"POST /v2/rest/account/12345678/flash_call?login_did={login_did} HTTP/{version}\r\nHost: localhost\r\n"
        "Authorization: Bearer test-token\r\nContent-Length: 0\r\n\r\n".encode()
    )
    return connection


def test_a_client_that_hangs_up_waits_no_more(tmp_path: Path) -> None:
    with Receiver() as receiver, ThreadPoolExecutor(1) as callers:
        release = receiver.hold()
        with waiting_sandbox(tmp_path, url=receiver.url) as sandbox:
            for number in NUMBERS[:MAX_OWED]:
                place(sandbox, number)
            with order(sandbox, NUMBERS[2]):
                wait_until(lambda: gauge(sandbox, "mcn_mock_calls_waiting") == 1)
                (next_one,) = come(sandbox, callers, [NUMBERS[3]])
            wait_until(lambda: gauge(sandbox, "mcn_mock_calls_waiting") == 1)
            release()
            assert next_one.result().status_code == 200
            assert numbers_called(sandbox) == [*NUMBERS[:MAX_OWED], NUMBERS[3]]
            assert money(sandbox) == ("1.05", 105)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_has_closed_its_half_of_the_connection_waits_on(tmp_path: Path, version: str) -> None:
    """As ``nc -N`` does. A client of HTTP/1.1 is told to wait now and then, which it skips."""
    with Receiver() as receiver:
        release = receiver.hold()
        with waiting_sandbox(tmp_path, url=receiver.url) as sandbox:
            for number in NUMBERS[:MAX_OWED]:
                place(sandbox, number)
            with order(sandbox, NUMBERS[2], version) as connection:
                connection.shutdown(socket.SHUT_WR)
                wait_until(lambda: gauge(sandbox, "mcn_mock_calls_waiting") == 1)
                interim = b"HTTP/1.1 100 Continue\r\n\r\n"
                if version == "1.1":
                    assert connection.recv(len(interim)) == interim
                release()
                with connection.makefile("rb") as answer:
                    received = answer.read().replace(interim, b"")
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")
            assert received.count(b"HTTP/1.1") == 1
            assert numbers_called(sandbox) == NUMBERS[:3]


def test_who_waits_at_a_stop_or_a_reset_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    with Receiver() as receiver, ThreadPoolExecutor(3) as callers:
        release = receiver.hold()
        with waiting_sandbox(tmp_path, url=receiver.url) as sandbox:
            for number in NUMBERS[:MAX_OWED]:
                place(sandbox, number)
            waiting = come(sandbox, callers, NUMBERS[2:4])
            assert requests.post(f"{sandbox.url}/__admin/reset", timeout=30).status_code == 200
            assert [refusal(caller.result()) for caller in waiting] == [(429, "overloaded", None)] * 2
            assert numbers_called(sandbox) == []

            accepted = [place(sandbox, number).json()["object"]["verification_call_uuid"] for number in NUMBERS[:2]]
            waiting = come(sandbox, callers, NUMBERS[2:5])
            stopped = ThreadPoolExecutor(1).submit(sandbox.stop)
            assert [refusal(caller.result()) for caller in waiting] == [(429, "overloaded", None)] * 3
            release()
            assert stopped.result()[:2] == (0, "mcn-mock stopped; no CDR is pending\n")
        assert {cdr["verification_call_uuid"] for cdr in receiver.received} >= set(accepted)


def test_the_fixtures_server_lets_callers_wait_too() -> None:
    with (
        Receiver() as receiver,
        MCNServer(settings=Settings(max_pending=3, when_overloaded="wait", max_wait_s=60)) as server,
        ThreadPoolExecutor(8) as callers,
    ):
        release = receiver.hold()
        account = server.open_account()
        account.subscribe(receiver.url)
        answers = [callers.submit(flash_call, account) for _ in range(40)]
        wait_until(lambda: server._exchange.operator.calls.count_waiting() == 8)  # noqa: SLF001 - a test sees it nowhere else
        assert len(account.calls) == 3
        release()
        while not all(answer.done() for answer in answers):
            assert server._exchange.operator.deliveries.count_pending() <= 3  # noqa: SLF001
        assert {answer.result().status_code for answer in answers} == {200}
        account.settle()
        assert len(receiver.received) == len(account.calls) == 40


def one_waits(server: MCNServer, callers: ThreadPoolExecutor) -> tuple[Account, Future[requests.Response]]:
    """An account whose first call owes the one CDR that there is room for, and its second, which waits."""
    account = server.open_account()
    account.subscribe("http://127.0.0.1:1/")
    account.hold_cdrs()
    flash_call(account)
    waiting = callers.submit(flash_call, account)
    wait_until(lambda: server._exchange.operator.calls.count_waiting() == 1)  # noqa: SLF001
    return account, waiting


def test_callers_wait_at_a_server_that_was_started_again_too() -> None:
    server = MCNServer(settings=Settings(max_pending=1, when_overloaded="wait", max_wait_s=60))
    for _ in range(2):
        with server, ThreadPoolExecutor(1) as callers:
            account, waiting = one_waits(server, callers)
            account.close()
            assert waiting.result().status_code == 404


def test_a_call_that_there_will_never_be_room_for_does_not_wait() -> None:
    with MCNServer(settings=Settings(max_pending=1, when_overloaded="wait")) as server:
        account = server.open_account()
        for port in (1, 2):
            account.subscribe(f"http://127.0.0.1:{port}/")
        answer = flash_call(account)
        assert refusal(answer) == (429, "overloaded", None)
        assert "would owe 2 CDRs" in json.dumps(answer.json())
        assert account.calls == []


def test_an_account_that_is_closed_meanwhile_has_no_call() -> None:
    with (
        MCNServer(settings=Settings(max_pending=1, when_overloaded="wait", max_wait_s=60)) as server,
        ThreadPoolExecutor(1) as callers,
    ):
        account, waiting = one_waits(server, callers)
        admin = account.base_url.replace("/v2/rest", "/__admin")
        assert requests.delete(f"{admin}/accounts/{account.account_id}", timeout=30).status_code == 204
        assert refusal(waiting.result()) == (404, "not_found", None)


@pytest.mark.parametrize("wrong", [{"when_overloaded": "block"}, {"max_wait_s": -1}, {"max_wait_s": "1"}])
def test_a_setting_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Settings(**wrong)


def test_a_bounded_number_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_WAITING", 2)
    alarms = []
    waiting = CallQueue(lambda: True, lambda seconds, job: alarms.append(job), 60)
    first, second = (waiting.join(Overloaded(""), lambda: 1) for _ in range(2))
    with pytest.raises(Overloaded):
        waiting.join(Overloaded(""), lambda: 1)
    assert first.cancel()
    third = waiting.join(Overloaded(""), lambda: 1)
    waiting.close()
    assert len(alarms) == 1
    assert [type(left.exception()) for left in (second, third)] == [Overloaded] * 2
    with pytest.raises(Overloaded):
        waiting.join(Overloaded(""), lambda: 1)


def test_one_that_needs_more_room_than_there_is_holds_up_those_behind_it() -> None:
    free = [0]
    placed: list[str] = []

    def attempt(name: str, needs: int) -> str:
        if free[0] < needs:
            raise Overloaded(name)
        free[0] -= needs
        placed.append(name)
        return name

    waiting = CallQueue(lambda: free[0] == 0, lambda seconds, job: None, 60)
    first = waiting.join(Overloaded(""), lambda: attempt("first", 2))
    second = waiting.join(Overloaded(""), lambda: attempt("second", 1))
    for _ in range(3):
        free[0] += 1
        waiting.closed("1")
    assert placed == [first.result(), second.result()] == ["first", "second"]


@pytest.mark.parametrize("how", ["failed", "failed too late"])
def test_a_client_that_goes_as_its_turn_comes_is_charged_only_for_a_cdr_that_is_sent(how: str) -> None:
    """Whatever the server does first when a connection ends."""
    settings = Settings(max_pending=1, when_overloaded="wait")
    exchange = compose(settings, lambda job: None, clock=VirtualClock(), make_sender=lambda _: Acknowledging())
    open_account(exchange, subscriptions=1)
    operator = exchange.operator
    place_call(exchange)
    headers = {"authorization": "Bearer t1", "host": "127.0.0.1"}
    request = Request("POST", "/v2/rest/account/1/flash_call", b"login_did=79157777777", headers)
    flow = exchange.application.serve(request)
    turn = flow.send(None)
    assert isinstance(turn, Future)
    assert not turn.done()
    if how == "failed":
        assert turn.cancel()
    (pending,) = operator.deliveries.pending()
    assert operator.deliveries.prepare(pending) is not None
    operator.deliveries.record(pending, 0.0, 0.0, CdrResponse(204, {}, b""), None)
    if how == "failed too late":
        assert not turn.cancel()
    answer_of(flow)
    finish(flow)
    assert [entry.is_answered for entry in operator.journal.page()] == [True, True]
    assert len(operator.calls.page()) == (1 if how == "failed" else 2)
    assert operator.calls.all_answered().done()


def test_a_queue_that_is_opened_again_minds_the_time_anew() -> None:
    alarms = []
    waiting = CallQueue(lambda: True, lambda seconds, job: alarms.append(seconds), 60)
    for n in (1, 2):
        waiting.open()
        waiting.join(Overloaded(""), lambda: 1)
        waiting.close()
        assert alarms == [60] * n
