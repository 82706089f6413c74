"""What the sender makes of an answer, whatever its bytes are."""

from __future__ import annotations

import asyncio
import re

import pytest
from helpers.scripted_endpoint import CLOSED, KIB, OK, Endpoint, post, sending, soon, turn
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mcn_mock.model.deliveries import CdrResponse


@pytest.mark.parametrize("bytewise", [False, True], ids=["at once", "bytewise"])
@pytest.mark.parametrize(
    "answer,status,headers,body,is_kept",
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, {}, b"", True),
        (b"HTTP/1.1 204\r\n\r\n", 204, {}, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, {"Content-Length": "5"}, b"", True),
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\nA:  c \r\nB:\r\nContent-Length: 0\r\n\r\n",
            200,
            {"A": "b, c", "B": ""},
            b"",
            True,
        ),
        ("HTTP/1.1 200 Да\r\nA: ж\r\nContent-Length: 0\r\n\r\n".encode(), 200, {"A": "ж"}, b"", True),
        (b"HTTP/1.1 200 OK\r\nA: \xff\r\nContent-Length: 0\r\n\r\n", 200, {"A": "�"}, b"", True),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, {}, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, {}, b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, {}, b"ok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, {}, b"ok", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nT: u\r\n\r\n",
            200,
            {"Transfer-Encoding": "chunked"},
            b"abc",
            True,
        ),
        (b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK, 200, {}, b"ok", True),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\ncontent-length:  2 \r\n\r\nok",
            200,
            {"A": "b"},
            b"ok",
            True,
        ),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nok", 200, {}, b"ok", True),
        (
            b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 0, 0\r\n\r\n",
            204,
            {},
            b"",
            True,
        ),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\0\1", 101, {}, b"", False),
        (OK + OK, 200, {}, b"ok", False),
        (OK + b"x", 200, {}, b"ok", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", 204, {}, b"", False),
    ],
)
@pytest.mark.asyncio
async def test_an_answer_is_read_in_every_form(
    answer: bytes, status: int, headers: dict[str, str], body: bytes, is_kept: bool, bytewise: bool
) -> None:
    async with Endpoint(answer, bytewise=bytewise).listening() as endpoint, sending() as sender:
        for _ in range(2):
            response = await post(sender, endpoint.url)
            assert isinstance(response, CdrResponse), response
            assert (response.status, response.body) == (status, body)
            framing = {"Content-Length", "Connection", "Upgrade"} - headers.keys()
            assert {name: value for name, value in response.headers.items() if name not in framing} == headers
            await turn()
    assert endpoint.connections == (1 if is_kept else 2)


@pytest.mark.parametrize(
    "answer,body",
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", b"until it closes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", b"abc"),
    ],
)
@pytest.mark.asyncio
async def test_an_answer_counts_however_its_body_ends(answer: bytes, body: bytes) -> None:
    async with Endpoint(answer, closes=True).listening() as endpoint, sending() as sender:
        for _ in range(2):
            response = await post(sender, endpoint.url)
            assert isinstance(response, CdrResponse)
            assert (response.status, response.body) == (200, body)
    assert endpoint.connections == 2


@pytest.mark.parametrize(
    "body,kept",
    [
        (b"x" * 200 * KIB, b"x" * 64 * KIB),
        (b"x" * 64 * KIB, b"x" * 64 * KIB),
        (b"x" * (64 * KIB - 1), b"x" * (64 * KIB - 1)),
    ],
)
@pytest.mark.asyncio
async def test_of_a_long_body_the_beginning_is_kept_and_the_connection_closed(body: bytes, kept: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with Endpoint(answer).listening() as endpoint, sending() as sender:
        response = await post(sender, endpoint.url)
        assert isinstance(response, CdrResponse)
        assert response.body == kept
        await post(sender, endpoint.url)
    assert endpoint.connections == (2 if len(kept) == 64 * KIB else 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 700 * KIB,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 120 * KIB,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 700 * KIB,
    ],
    ids=["extension of a chunk", "trailers", "trailer"],
)
@pytest.mark.asyncio
async def test_what_is_no_body_is_not_read_without_end_either(answer: bytes) -> None:
    async with Endpoint(answer).listening() as endpoint, sending() as sender:
        response = await post(sender, endpoint.url)
        assert isinstance(response, CdrResponse)
        assert response.status == 200
        await soon(endpoint.ended.get())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100 * KIB,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20 * KIB + b"\r\n",
        b"HTTP/1.1 200 " + b"y" * 100 * KIB,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5 * KIB,
    ],
    ids=["header", "headers", "reason", "interim answers"],
)
@pytest.mark.asyncio
async def test_a_head_without_end_is_no_answer(answer: bytes) -> None:
    async with Endpoint(answer).listening() as endpoint, sending() as sender:
        assert await post(sender, endpoint.url) == "the answer is not HTTP: its head has more than 64 KiB"
        await soon(endpoint.ended.get())


@pytest.mark.parametrize(
    "answer",
    [
        b"\0\1\2\3",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x, x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999, 99999999999999999999\r\n\r\n",
    ],
)
@pytest.mark.asyncio
async def test_what_is_no_http_is_no_answer(answer: bytes) -> None:
    async with Endpoint(answer).listening() as endpoint, sending() as sender:
        assert re.match("the answer is not HTTP: [A-Z]", str(await post(sender, endpoint.url)))
        await soon(endpoint.ended.get())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nA", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.asyncio
async def test_a_connection_that_closes_before_an_answer_is_told(answer: bytes) -> None:
    async with Endpoint(answer, closes=True).listening() as endpoint, sending() as sender:
        assert await post(sender, endpoint.url) == CLOSED
    assert len(endpoint.requests) == 1


@pytest.mark.asyncio
async def test_an_answer_to_head_has_no_body() -> None:
    async with Endpoint(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").listening() as endpoint, sending() as sender:
        response = await post(sender, endpoint.url, method="HEAD")
        assert isinstance(response, CdrResponse)
        assert (response.status, response.body) == (200, b"")


@pytest.mark.asyncio
async def test_what_cannot_be_written_is_an_error_like_any() -> None:
    async with sending() as sender:
        assert str(await post(sender, "http://a:b/")).startswith("the request cannot be sent: ")


PIECES = [
    b"HTTP/1.1 ",
    b"200 OK\r\n",
    b"100 Continue\r\n",
    b"101 X\r\n",
    b"204 No Content\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Upgrade: x\r\nConnection: upgrade\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"0\r\n",
    b"3\r\nabc\r\n",
    b"\n",
    b" ",
    b":",
    b"\0",
    b"\xff",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=12))
def test_nothing_that_a_server_sends_comes_out_as_anything_else(pieces: list[bytes]) -> None:
    async def run() -> None:
        async with Endpoint(b"".join(pieces), closes=True).listening() as endpoint, sending() as sender:
            await post(sender, endpoint.url)
            await post(sender, endpoint.url)

    asyncio.run(run())
