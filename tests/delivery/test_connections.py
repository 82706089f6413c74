"""Which connections the sender keeps, uses again and closes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from helpers.scripted_endpoint import CLOSED, OK, Endpoint, post, sending, soon, turn

from pytest_mcn_mock.model.deliveries import Attempt, CdrResponse


@pytest.mark.asyncio
async def test_a_connection_is_kept_and_another_opened_where_none_is_idle() -> None:
    async with Endpoint(OK, OK, None).listening() as endpoint, sending() as sender:
        assert await post(sender, endpoint.url) == CdrResponse(200, {"Content-Length": "2"}, b"ok")
        await post(sender, f"{endpoint.url}?b", method="GET")
        assert endpoint.connections == 1
        assert endpoint.requests[0].startswith(b"POST /hook HTTP/1.1\r\nHost: 127.0.0.1:")
        assert endpoint.requests[0].endswith(b"\r\nX: y\r\nContent-Length: 2\r\n\r\n{}")
        assert endpoint.requests[1].startswith(b"GET /hook?b HTTP/1.1\r\n")
        tasks = [asyncio.create_task(post(sender, endpoint.url)) for _ in range(3)]
        for _ in range(5):
            await soon(endpoint.asked.get())
        assert endpoint.connections == 3
        for task in tasks:
            task.cancel()


@pytest.mark.asyncio
async def test_a_redirect_is_not_followed_and_no_cookie_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    answer = b"HTTP/1.1 302 Found\r\nLocation: /a\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    async with Endpoint(answer).listening() as endpoint, sending() as sender:
        for _ in range(2):
            response = await post(sender, endpoint.url)
            assert isinstance(response, CdrResponse)
            assert (response.status, response.headers["Location"]) == (302, "/a")
    assert len(endpoint.requests) == 2
    assert b"ookie" not in b"".join(endpoint.requests)


@pytest.mark.asyncio
async def test_a_connection_that_is_reset_before_an_answer_is_told() -> None:
    async with Endpoint(None).listening() as endpoint, sending() as sender:
        task = asyncio.create_task(post(sender, endpoint.url))
        writer = await soon(endpoint.asked.get())
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        assert await task == "the connection was reset before an answer"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.asyncio
async def test_a_request_whose_kept_connection_ends_without_a_byte_is_sent_again_once(method: str) -> None:
    async with Endpoint(OK, None).listening() as endpoint, sending() as sender:
        await post(sender, endpoint.url)
        await soon(endpoint.asked.get())
        task = asyncio.create_task(post(sender, endpoint.url, method=method))
        for _ in range(2):
            (await soon(endpoint.asked.get())).close()
        assert await task == CLOSED
    assert (len(endpoint.requests), endpoint.connections) == (3, 2)


@pytest.mark.asyncio
async def test_an_answer_to_a_request_that_was_sent_twice_says_so() -> None:
    async with Endpoint(OK, None, OK).listening() as endpoint, sending() as sender:
        answers = [await post(sender, endpoint.url)]
        await soon(endpoint.asked.get())
        task = asyncio.create_task(post(sender, endpoint.url))
        (await soon(endpoint.asked.get())).close()
        answers.append(await task)
        assert [isinstance(answer, CdrResponse) and answer.sent_twice for answer in answers] == [False, True]
    assert (
        str(Attempt(1, 0.0, 0.1, CdrResponse(200, {}, b"", True), None)) == "attempt 1: 200, acknowledged, sent twice"
    )


@pytest.mark.asyncio
async def test_a_request_whose_kept_connection_ends_within_the_answer_is_not_sent_again() -> None:
    async with Endpoint(OK, b"HTTP/1.1 2").listening() as endpoint, sending() as sender:
        await post(sender, endpoint.url)
        await soon(endpoint.asked.get())
        task = asyncio.create_task(post(sender, endpoint.url))
        writer = await soon(endpoint.asked.get())
        await turn()
        writer.close()
        assert await task == CLOSED
    assert (len(endpoint.requests), endpoint.connections) == (2, 1)


def closing_after_each_answer(listening: socket.socket, closed: threading.Semaphore, requests: list[bytes]) -> None:
    """Serve connections so that nothing in an answer says that its connection ends."""
    for _ in range(10):
        connection, _ = listening.accept()
        with connection:
            request = b""
            while not request.endswith(b"{}"):
                request += connection.recv(4096)
            requests.append(request)
            connection.sendall(OK)
        closed.release()


@pytest.mark.asyncio
async def test_a_connection_that_the_endpoint_has_closed_is_not_used_again() -> None:
    closed, requests = threading.Semaphore(0), list[bytes]()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=closing_after_each_answer, args=(listening, closed, requests))
        thread.start()
        async with sending() as sender:
            for _ in range(10):
                told = await post(sender, f"http://127.0.0.1:{listening.getsockname()[1]}/")
                closed.acquire()  # the loop has not seen the end of the connection yet
                assert isinstance(told, CdrResponse), told
        thread.join()
    assert len(requests) == 10


class OneByOne(BaseHTTPRequestHandler):
    """Keeps its connection, so that a server without threads serves no other one until it ends."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def one_by_one() -> Iterator[str]:
    """The URL of an endpoint that serves one connection at a time."""
    with HTTPServer(("127.0.0.1", 0), OneByOne) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.asyncio
async def test_an_endpoint_that_serves_one_connection_at_a_time_gets_what_comes_at_once(one_by_one: str) -> None:
    async with sending() as sender:
        for url in (one_by_one, one_by_one.replace("127.0.0.1", "localhost")):
            told = await asyncio.gather(*(post(sender, url, 10) for _ in range(4)))
            assert [type(answer) for answer in told] == [CdrResponse] * 4, told


@pytest.mark.asyncio
async def test_an_endpoint_that_serves_one_connection_at_a_time_is_left_to_others_soon(one_by_one: str) -> None:
    async with sending() as first, sending() as second:
        for sender in (first, second, first):
            told = await post(sender, one_by_one, 10)
            assert isinstance(told, CdrResponse), told


@pytest.mark.asyncio
async def test_a_connection_in_constant_use_does_not_starve_another_one(one_by_one: str) -> None:
    async with sending() as sender:

        async def keep_asking() -> None:
            while not waiting.done():
                assert isinstance(await post(sender, one_by_one), CdrResponse)

        await post(sender, one_by_one)
        busy = asyncio.create_task(post(sender, one_by_one))  # on the kept connection
        await asyncio.sleep(0)
        waiting = asyncio.create_task(post(sender, one_by_one.replace("127.0.0.1", "localhost"), 10))
        await busy
        await soon(keep_asking())
        told = await waiting
        assert isinstance(told, CdrResponse), told


@pytest.mark.parametrize("last", [None, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"\r\n"])
@pytest.mark.asyncio
async def test_a_kept_connection_on_which_something_happened_is_not_used_again(last: bytes | None) -> None:
    async with Endpoint(OK).listening() as endpoint, sending() as sender:
        await post(sender, endpoint.url)
        writer = await soon(endpoint.asked.get())
        if last is None:
            writer.close()
        else:
            writer.write(last)
        await turn()
        assert isinstance(await post(sender, endpoint.url), CdrResponse)
    assert endpoint.connections == 2


@pytest.mark.asyncio
async def test_a_connection_that_was_idle_too_long_is_closed_and_not_used() -> None:
    async with Endpoint(OK).listening() as endpoint, sending(idle_s=0) as sender:
        for _ in range(2):
            await post(sender, endpoint.url)  # nothing comes between the two, so that none was swept away
        assert endpoint.connections == 2
        for _ in range(2):
            await soon(endpoint.ended.get())
        await post(sender, endpoint.url)
        await soon(endpoint.ended.get())


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nab",
    ],
)
@pytest.mark.asyncio
async def test_an_answer_whose_body_does_not_end_counts_by_its_status(begun: bytes) -> None:
    async with Endpoint(begun, OK).listening() as endpoint, sending() as sender:
        response = await post(sender, endpoint.url, 0.1)
        assert isinstance(response, CdrResponse), response
        assert response.status == int(begun[9:12])
        assert response.body == (b"ab" if b"ab" in begun else b"")
        await soon(endpoint.ended.get())
        assert await post(sender, endpoint.url) == CdrResponse(200, {"Content-Length": "2"}, b"ok")


@pytest.mark.asyncio
async def test_an_answer_that_is_late_closes_the_connection() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"
    async with Endpoint(None, begun, OK).listening() as endpoint, sending() as sender:
        for _ in range(2):
            assert await post(sender, endpoint.url, 0.05) == "no answer within 0.05 s"
            await soon(endpoint.ended.get())
        assert isinstance(await post(sender, endpoint.url), CdrResponse)


@pytest.mark.asyncio
async def test_requests_of_several_limits_end_each_at_its_own() -> None:
    async with Endpoint(OK, None).listening() as endpoint, sending() as sender:
        await post(sender, endpoint.url)
        patient = asyncio.create_task(post(sender, endpoint.url))
        limits = [0.3, 0.1, 0.2, 0.1]
        others = [asyncio.create_task(post(sender, endpoint.url, limit_s)) for limit_s in limits]
        for limit_s, other in zip(limits, others, strict=True):
            assert await asyncio.wait_for(other, 20) == f"no answer within {limit_s:g} s"
        assert not patient.done()
        patient.cancel()


@pytest.mark.asyncio
async def test_a_tls_server_that_says_nothing_is_late() -> None:
    async with Endpoint(None).listening() as endpoint, sending() as sender:
        told = await post(sender, endpoint.url.replace("http:", "https:"), 0.05)
        where = f"127.0.0.1:{endpoint.port}"
        assert told == f"{where} accepted the connection, but the TLS handshake took more than 0.05 s"
        await soon(endpoint.ended.get())


@pytest.mark.asyncio
async def test_a_request_that_is_cancelled_closes_its_connection() -> None:
    async with Endpoint(None).listening() as endpoint, sending() as sender:
        task = asyncio.create_task(post(sender, endpoint.url))
        await soon(endpoint.asked.get())
        task.cancel()
        await soon(endpoint.ended.get())
        assert task.cancelled()


@pytest.mark.asyncio
async def test_closing_closes_what_is_idle_and_what_becomes_so() -> None:
    async with Endpoint(OK, None).listening() as endpoint, sending() as sender:
        await post(sender, endpoint.url)
        await soon(endpoint.asked.get())
        task = asyncio.create_task(post(sender, endpoint.url))
        writer = await soon(endpoint.asked.get())
        await sender.close()
        writer.write(OK)
        assert isinstance(await task, CdrResponse)
        await soon(endpoint.ended.get())
