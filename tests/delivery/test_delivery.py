"""CDRs over real sockets, to endpoints that do everything that an endpoint can do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from helpers.client import flash_call, placed
from helpers.webhook_endpoints import Receiver

from pytest_mcn_mock import Account, Assumptions, Delivery, MCNServer, Outcome, Settings

pytestmark = pytest.mark.usefixtures("each_dialect")


@pytest.fixture(scope="module")
def server() -> Iterator[MCNServer]:
    """A server whose endpoints have much time, and one more try after a while that does not come by itself."""
    with serving(ack_timeout_s=60.0) as server:
        yield server


def serving(ack_timeout_s: float) -> MCNServer:
    return MCNServer(settings=Settings(assumptions=Assumptions(ack_timeout_s=ack_timeout_s, retry_after_s=(3600.0,))))


@pytest.fixture
def account(server: MCNServer) -> Iterator[Account]:
    account = server.open_account()
    yield account
    account.close()


@contextmanager
def endpoint(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a socket whose every connection is served so, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65536)
                    serve(connection)
                except OSError:
                    pass

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        listening.shutdown(socket.SHUT_RDWR)


def first_attempt(account: Account, url: str) -> Delivery:
    """The delivery to the URL after its first attempt."""
    account.subscribe(url)
    assert flash_call(account).status_code == 200
    account.settle()
    (delivery,) = account.deliveries
    assert len(delivery.attempts) == 1
    return delivery


def wait_for(event: threading.Event) -> None:
    event.wait(60)


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(answer)


def test_an_endpoint_that_refuses_is_recorded(account: Account) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        delivery = first_attempt(account, f"http://127.0.0.1:{bound.getsockname()[1]}/hook")
    assert (delivery.state, delivery.status) == ("pending", None)
    assert "connection refused by " in str(delivery.attempts[0].error)


def test_an_endpoint_that_hangs_has_its_time_and_no_more() -> None:
    release = threading.Event()
    with endpoint(lambda _: wait_for(release)) as url, serving(ack_timeout_s=0.2) as server:
        delivery = first_attempt(server.open_account(), url)
        assert delivery.attempts[0].error == "no answer within 0.2 s"
        release.set()


@pytest.mark.parametrize(
    "answer,status",
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", 404),
    ],
)
def test_what_is_not_2xx_is_no_acknowledgement_and_a_redirect_is_not_followed(
    account: Account, answer: bytes, status: int
) -> None:
    with endpoint(answering(answer)) as url:
        delivery = first_attempt(account, url)
    assert (delivery.state, delivery.status) == ("pending", status)
    assert delivery.attempts[0].error == f"HTTP {status}, not acknowledged"


def test_of_an_answer_of_a_hundred_megabytes_only_the_beginning_is_read(account: Account) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            sent += connection.send(b"x" * 100_000)

    with endpoint(flood) as url:
        delivery = first_attempt(account, url)
    assert delivery.state == "delivered"
    assert delivery.response is not None
    assert delivery.response.body == b"x" * 4096
    assert sent < 100_000_000


def test_a_body_that_is_cut_off_after_a_2xx_is_an_acknowledgement(account: Account) -> None:
    with endpoint(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")) as url:
        delivery = first_attempt(account, url)
    assert (delivery.state, delivery.status) == ("delivered", 200)


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\x01\x02", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000]
)
def test_what_is_no_http_is_recorded(account: Account, answer: bytes) -> None:
    with endpoint(answering(answer)) as url:
        delivery = first_attempt(account, url)
    assert delivery.state == "pending"
    assert delivery.attempts[0].error


def test_an_endpoint_that_hangs_delays_nobody_else(account: Account, receiver: Receiver) -> None:
    release = threading.Event()
    with endpoint(lambda _: wait_for(release)) as url:
        account.subscribe(url)
        account.subscribe(receiver.url)
        for _ in range(40):
            flash_call(account)
        for call in account.calls:
            account.wait_for_cdr(call)
        assert len(receiver.received) == 40
        release.set()


def test_every_subscription_gets_its_own_form(account: Account, receiver: Receiver) -> None:
    account.subscribe(receiver.url, body=["q931_status"], constants={"tenant": "a"}, headers={"X-Key": "k"})
    account.subscribe(receiver.url, method="GET", body=["final_status"], query={"b": "1"})
    account.set_outcome(Outcome.BUSY)
    flash_call(account)
    account.settle()
    by_method = dict(zip(receiver.methods, range(2), strict=True))
    posted, got = by_method["POST"], by_method["GET"]
    assert receiver.received[posted] == {"q931_status": 17, "tenant": "a"}
    assert receiver.headers[posted]["X-Key"] == "k"
    assert receiver.headers[posted]["Content-Type"] == "application/json"
    assert receiver.paths[got] == "/webhooks/mcn?b=1&final_status=NO+ANSWER"


def test_the_cdr_never_overtakes_the_answer(account: Account) -> None:
    """The endpoint looks whether the application has its answer already, as an application under test would."""
    answered: list[str] = []
    seen: list[bool] = []
    with Receiver() as receiver:
        account.subscribe(receiver.url)
        for _ in range(20):
            # The connection is kept back from reading on, so that only an answer that was sent can be there.
            response = flash_call(account)
            answered.append(placed(response)["verification_call_uuid"])
            account.settle()
            seen.append(receiver.received[-1]["verification_call_uuid"] == answered[-1])
    assert all(seen)


def test_no_cdr_leaves_while_the_answer_is_held_back(account: Account, receiver: Receiver) -> None:
    account.subscribe(receiver.url)
    account.inject("drip", delay_s=1)
    placed: list[int] = []
    client = threading.Thread(target=lambda: placed.append(flash_call(account).status_code))
    client.start()
    account.wait_for_call()
    assert account.requests[0].is_answered is False
    assert receiver.received == []
    client.join()
    account.settle()
    assert (placed, len(receiver.received)) == ([200], 1)


class OneByOne(BaseHTTPRequestHandler):
    """Keeps its connection: a server without threads serves no other one until it ends."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_receiver_with_one_thread_gets_every_cdr_at_the_first_attempt() -> None:
    with HTTPServer(("127.0.0.1", 0), OneByOne) as receiver, MCNServer() as server:
        threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        account = server.open_account()
        for host in ("127.0.0.1", "localhost", "127.0.0.1"):
            account.subscribe(f"http://{host}:{receiver.server_port}/")
        for _ in range(3):
            assert flash_call(account).status_code == 200
        account.settle(30)
        told = [[str(attempt.error) for attempt in delivery.attempts] for delivery in account.deliveries]
        assert told == [["None"]] * 9
        receiver.shutdown()


def test_a_subscriber_that_fails_keeps_no_attempt_from_following(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    receiver.statuses = [500, 204]
    monkeypatch.setattr("pytest_mcn_mock.web.feed.Feed.hear", fail)
    with MCNServer() as server:
        account = server.open_account()
        account.subscribe(receiver.url)
        assert flash_call(account).status_code == 200
        account.clock.advance(3600)
        assert [len(delivery.attempts) for delivery in account.deliveries] == [2]
    assert "a subscriber to events failed" in caplog.text
