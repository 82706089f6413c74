"""An endpoint that repeats its answer: a connection that has read others before reads it as a new connection does."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from helpers.scripted_endpoint import OK
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mcn_mock.delivery.client import Connection
from pytest_mcn_mock.errors import SendError
from pytest_mcn_mock.model.deliveries import CdrResponse

EMPTY = b"HTTP/1.1 204 No Content\r\nDate: Sat, 28 Nov 2026 02:16:51 GMT\r\n\r\n"
LATER = b"HTTP/1.1 204 No Content\r\nDate: Sat, 28 Nov 2026 02:16:52 GMT\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
ANSWERS = [
    EMPTY,
    LATER,
    OK,
    HEAD,
    CHUNKED,
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\r\nuntil it closes",
    OK + b"\r\n",
    OK + b"x",
    OK + OK,
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    b"no HTTP\r\n\r\n",
]
Result = tuple[CdrResponse | str | None, bool, str]
"""The answer, or why there is none; None if one is still to come. Whether the connection is idle, and why it broke."""


class Wire:
    """The transport of a connection to which a test gives the bytes that are read."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def get_extra_info(self, name: str) -> None: ...


def connected(loop: asyncio.AbstractEventLoop) -> Connection:
    connection = Connection(loop)
    connection.connection_made(cast(asyncio.Transport, Wire()))
    return connection


def ask(connection: Connection, reads: list[bytes], *, is_head: bool, closes: bool) -> Result:
    """What the connection makes of the bytes that come to its request."""
    answer = connection.ask(b"", is_head=is_head)
    for read in filter(None, reads):
        connection.get_buffer(-1)[: len(read)] = read
        connection.buffer_updated(len(read))
    if closes:
        connection.eof_received()
    result: CdrResponse | str | None = None
    if answer.done():
        error = answer.exception()
        result = answer.result() if error is None else str(error)
    return result, connection.is_idle, str(connection.broken)


def agree(exchanges: list[tuple[list[bytes], bool, bool]]) -> Connection:
    """Each exchange on one connection, as long as it is kept, has the result that it has on a connection of its own."""
    loop = asyncio.new_event_loop()
    kept = connected(loop)
    for reads, is_head, closes in exchanges:
        seen = ask(kept, reads, is_head=is_head, closes=closes)
        assert seen == ask(connected(loop), reads, is_head=is_head, closes=closes)
        if not kept.is_idle:
            break
    loop.close()
    return kept


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(ANSWERS),
            st.integers(0, 80) | st.none(),
            st.booleans(),
            st.sampled_from([False, False, True]),
        ),
        max_size=8,
    )
)
def test_an_answer_is_the_same_whatever_came_before(drawn: list[tuple[bytes, int | None, bool, bool]]) -> None:
    agree(
        [
            ([answer] if cut is None else [answer[:cut], answer[cut:]], is_head, closes)
            for answer, cut, is_head, closes in drawn
        ]
    )


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("other", [EMPTY, LATER, CHUNKED])
def test_an_answer_is_the_same_after_itself_and_others(answer: bytes, other: bytes) -> None:
    for reads in ([answer], [answer[:30], answer[30:]], [other[:9], other[9:]], [other, answer]):
        for order in ([[other], [other], reads, reads], [[other], reads, [other], reads, [other]]):
            agree([(each, False, False) for each in order])
    agree([([other], False, False), ([other], True, False)])
    agree([([other], False, False), ([other], False, False), ([other], False, True)])


def test_a_part_that_looks_like_a_whole_answer_is_a_part() -> None:
    longer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(OK)
    agree([(reads, False, False) for reads in ([OK], [longer, OK], [OK], [longer, OK], [OK])])
    line = b"\r\n"  # that the parser skips
    agree([(reads, False, False) for reads in ([OK], [line, line, EMPTY], [OK])])


def test_an_answer_that_is_repeated_is_kept_once() -> None:
    loop = asyncio.new_event_loop()
    connection = connected(loop)
    first, second = (ask(connection, [OK], is_head=False, closes=False)[0] for _ in range(2))
    assert isinstance(first, CdrResponse)
    assert first is second
    loop.close()


def test_what_comes_after_a_repeated_answer_closes_the_connection() -> None:
    connection = agree([([EMPTY], False, False), ([EMPTY], False, False)])
    assert connection.is_idle
    connection.get_buffer(-1)[: len(EMPTY)] = EMPTY
    connection.buffer_updated(len(EMPTY))
    assert not connection.is_idle
    with pytest.raises(SendError, match="closed before an answer"):
        connection.ask(b"")
