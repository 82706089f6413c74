"""The sender against a server on a real socket, which answers whatever bytes a test gives it."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mcn_mock.domain.deliveries import CdrRequest, CdrResponse
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.webhooks.sender import HttpSender

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSED = "the connection was closed before an answer"
KIB = 1024
T = TypeVar("T")


class Endpoint:
    """Gives its answers in turn, and the last one from then on; None is none, on a connection that stays open.

    With ``closes`` a connection ends after its first answer, and with ``bytewise`` every byte comes alone.
    """

    def __init__(self, *answers: bytes | None, closes: bool = False, bytewise: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self.ended: asyncio.Queue[None] = asyncio.Queue()
        self.url = ""
        self._answers = answers
        self._closes = closes
        self._bytewise = bytewise

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Endpoint]:
        server = await asyncio.start_server(self._serve, host, 0, ssl=tls)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if tls else ''}://{shown}:{server.sockets[0].getsockname()[1]}/hook"
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not reader.at_eof():
                request = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", request)
                request += await reader.readexactly(int(length[1])) if length else b""
                answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
                self.requests.append(request)
                self.asked.put_nowait(writer)
                if answer is not None:
                    await self._write(writer, answer)
                    if self._closes:
                        break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.ended.put_nowait(None)

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        for piece in [answer[n : n + 1] for n in range(len(answer))] if self._bytewise else [answer]:
            writer.write(piece)
            await writer.drain()
            if self._bytewise:
                await asyncio.sleep(0)  # in which it is read


@asynccontextmanager
async def sending(**options: Any) -> AsyncIterator[HttpSender]:
    """A sender; nothing that a server does may get as far as the loop."""
    astray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: astray.append(context))
    sender = HttpSender(**options)
    try:
        yield sender
    finally:
        await sender.close()
    assert astray == []


async def post(sender: HttpSender, url: str, timeout_s: float = 20, method: str = "POST") -> CdrResponse | str:
    """The answer, or why there is none."""
    try:
        return await sender.send(CdrRequest(method, url, {"X": "y"}, b"{}" if method == "POST" else b""), timeout_s)
    except SendError as error:
        return str(error)


async def soon(awaited: Coroutine[Any, Any, T]) -> T:
    """What is awaited; where it does not come the test fails, and does not hang."""
    return await asyncio.wait_for(awaited, 20)


async def turn() -> None:
    """Let everything that has arrived be read."""
    for _ in range(5):
        await asyncio.sleep(0)


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
        assert await post(sender, endpoint.url) == "the answer is no HTTP: its head has more than 64 KiB"
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
    ],
)
@pytest.mark.asyncio
async def test_what_is_no_http_is_no_answer(answer: bytes) -> None:
    async with Endpoint(answer).listening() as endpoint, sending() as sender:
        assert re.match("the answer is no HTTP: [A-Z]", str(await post(sender, endpoint.url)))
        await soon(endpoint.ended.get())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nA", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.asyncio
async def test_a_connection_that_closes_before_an_answer_is_told(answer: bytes) -> None:
    async with Endpoint(answer, closes=True).listening() as endpoint, sending() as sender:
        assert await post(sender, endpoint.url) == CLOSED
    assert len(endpoint.requests) == 1


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
async def test_a_request_whose_kept_connection_breaks_is_not_sent_again(method: str) -> None:
    async with Endpoint(OK, None).listening() as endpoint, sending() as sender:
        await post(sender, endpoint.url)
        await soon(endpoint.asked.get())
        task = asyncio.create_task(post(sender, endpoint.url, method=method))
        (await soon(endpoint.asked.get())).close()
        assert await task == CLOSED
    assert (len(endpoint.requests), endpoint.connections) == (2, 1)


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


@pytest.mark.asyncio
async def test_an_answer_that_is_late_closes_the_connection() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
    async with Endpoint(None, begun, OK).listening() as endpoint, sending() as sender:
        for _ in range(2):
            assert await post(sender, endpoint.url, 0.05) == "no answer within 0.05 s"
            await soon(endpoint.ended.get())
        assert isinstance(await post(sender, endpoint.url), CdrResponse)


@pytest.mark.asyncio
async def test_a_tls_server_that_says_nothing_is_late() -> None:
    async with Endpoint(None).listening() as endpoint, sending() as sender:
        assert await post(sender, endpoint.url.replace("http:", "https:"), 0.05) == "no answer within 0.05 s"
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


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets ``app.invalid`` resolve to these addresses, or raise this error."""
    original = socket.getaddrinfo

    def resolve(*addresses: str, error: OSError | None = None) -> None:
        def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host not in ("app.invalid", "app.invalid."):
                return original(host, port, *args, **kwargs)
            if error is not None:
                raise error
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*kind, (address, int(port))) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


@pytest.mark.asyncio
async def test_the_addresses_of_a_name_are_tried_in_turn(resolving: Callable[..., None]) -> None:
    async with Endpoint(OK).listening() as endpoint, sending() as sender:
        url = endpoint.url.replace("127.0.0.1", "app.invalid")
        port = url.split(":")[2].split("/")[0]
        resolving("127.0.0.2", "127.0.0.1", "127.0.0.3")
        assert isinstance(await post(sender, url), CdrResponse)
        assert f"Host: app.invalid:{port}\r\n".encode() in endpoint.requests[0]
    async with sending() as sender:
        resolving("127.0.0.2", "127.0.0.3")
        refused = [f"connection refused by 127.0.0.{n}:{port}" for n in (2, 3)]
        assert await post(sender, url) == "; ".join(refused)


@pytest.mark.asyncio
async def test_a_name_that_does_not_resolve_is_told(resolving: Callable[..., None]) -> None:
    resolving(error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    async with sending() as sender:
        assert await post(sender, "http://app.invalid/") == "cannot resolve app.invalid: Name or service not known"
        told = await post(sender, f"http://{'a' * 64}.invalid/")
        assert told == f"cannot resolve {'a' * 64}.invalid: it is no name that there can be"


@pytest.mark.asyncio
async def test_an_ipv6_address_is_connected_to() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with Endpoint(OK).listening(host="::1") as endpoint, sending() as sender:
        assert isinstance(await post(sender, endpoint.url), CdrResponse)
        assert b"Host: [::1]:" in endpoint.requests[0]
    async with sending() as sender:
        assert str(await post(sender, endpoint.url)).startswith("connection refused by [::1]:")


AUTHORITY = trustme.CA()


def server_context(*names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.mark.asyncio
async def test_tls_is_spoken_with_the_name_that_was_asked_for(resolving: Callable[..., None]) -> None:
    asked: list[str | None] = []
    context = server_context("app.invalid", "127.0.0.1")
    context.sni_callback = lambda _, name, __: asked.append(name)
    resolving("127.0.0.1")
    answers = [OK, OK, b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000]
    async with Endpoint(*answers).listening(context) as endpoint, sending(tls=trusting()) as sender:
        url = endpoint.url.replace("127.0.0.1", "app.invalid")
        bodies = [len(r.body) for _ in range(3) if isinstance(r := await post(sender, url), CdrResponse)]
        assert (bodies, endpoint.connections, asked) == ([2, 2, 64 * KIB], 1, ["app.invalid"])
        assert isinstance(await post(sender, url.replace("app.invalid", "app.invalid.")), CdrResponse)
        assert isinstance(await post(sender, endpoint.url), CdrResponse)


@pytest.mark.asyncio
async def test_a_body_until_the_end_of_a_tls_connection_counts() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nuntil it closes"
    listening = Endpoint(answer, closes=True).listening(server_context("127.0.0.1"))
    async with listening as endpoint, sending(tls=trusting()) as sender:
        response = await post(sender, endpoint.url)
        assert isinstance(response, CdrResponse)
        assert response.body == b"until it closes"


@pytest.mark.asyncio
async def test_a_certificate_that_is_not_trusted_is_told() -> None:
    async with Endpoint(OK).listening(server_context("other.invalid")) as endpoint:
        for tls, why in ((None, "unable to get local issuer"), (trusting(), "not valid for '127.0.0.1'")):
            async with sending(tls=tls) as sender:
                told = str(await post(sender, endpoint.url))
                assert re.match(rf"the certificate of 127\.0\.0\.1:\d+ is not trusted: .*{why}", told), told
    assert endpoint.requests == []


@pytest.mark.asyncio
async def test_a_server_without_tls_is_told() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with sending() as sender:
        told = str(await post(sender, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
    server.close()
    assert re.match(r"127\.0\.0\.1:\d+ speaks no TLS that can be understood: [A-Z]", told), told


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
