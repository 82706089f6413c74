"""As little HTTP as will do, on an event loop: for load that must not be slower than what it loads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def order(account_id: int, token: str, login_did: str = "79157777777") -> bytes:
    """A request for a flash call."""
    return (
        f"POST /v2/rest/account/{account_id}/flash_call?login_did={login_did} HTTP/1.1\r\n"
        f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def answer(status: int) -> bytes:
    """An answer without a body."""
    return f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n".encode()


class Talk(asyncio.Protocol):
    """One connection: of each message that arrives whole, ``heard`` gets the head, in lower case, and the body; what it
    returns is sent.
    """

    def __init__(self, heard: Callable[[bytes, bytes], bytes], opening: bytes = b"") -> None:
        self._heard = heard
        self._opening = opening
        self._left = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the first word, if it is ours."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(self._opening)

    def data_received(self, data: bytes) -> None:
        """Take the messages that are whole."""
        self._left += data
        while (end := self._left.find(b"\r\n\r\n") + 4) > 3:
            head = self._left[:end].lower()
            whole = end + int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(self._left) < whole:
                return
            body, self._left = self._left[end:whole], self._left[whole:]
            self.send(self._heard(head, body))

    def send(self, data: bytes) -> None:
        """Send something, if there is something."""
        if self._transport is not None and data:
            self._transport.write(data)
