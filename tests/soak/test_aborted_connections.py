"""Two thousand connections that end as they should not: ``make soak``."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from helpers.client import RUSSIAN
from helpers.sandbox import Sandbox, running_sandbox, wait_until

pytestmark = pytest.mark.soak
CONNECTIONS, SEED = 2_000, 20_220_527
CALL = (
    f"POST /v2/rest/account/12345678/flash_call?login_did={RUSSIAN} HTTP/1.1\r\nHost: x\r\n"
    "Authorization: Bearer test-token\r\n"
).encode()
SENT = {
    "nothing": b"",
    "half a head": CALL,
    "half a body": CALL + b"Content-Length: 100\r\n\r\n{",
    "a refusal": CALL + b"Content-Length: 900000\r\n\r\n" + b" " * 50_000,
    "a head that is too large": CALL + b"X: y\r\n" * 300 + b"\r\n",
    "a target that is too long": b"GET /" + b"a" * 90_000,
    "an endless trailer": CALL + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 90_000,
    "a chunk that is broken": CALL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "many requests": (CALL + b"\r\n") * 50,
    "a last request and more": CALL + b"Connection: close\r\n\r\n" + CALL + b"\r\n",
    "a wish for HTTP/2": CALL + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
    "events": b"GET /__admin/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def test_two_thousand_aborted_connections_leave_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    began, random = time.monotonic(), Random(SEED)
    small = "import pytest_mcn_mock.cli.server as server; server.HEAD_TIMEOUT_S = 2"
    with running_sandbox("--log-level", "warning", before=small) as sandbox:
        address = urlsplit(sandbox.url)
        abort(sandbox, address.port or 0, 100, random)  # what is loaded late has been loaded
        settled(sandbox)
        descriptors, memory = open_files(sandbox), resident(sandbox)
        abort(sandbox, address.port or 0, CONNECTIONS, random)
        settled(sandbox)
        assert open_files(sandbox) <= descriptors + 2
        late = resident(sandbox)
        assert late <= memory + 60_000, f"memory grew from {memory} to {late} KiB"
        account = sandbox.admin("accounts/12345678")
        ledger = sandbox.admin("accounts/12345678/ledger?order=newest&limit=1")["items"]
        assert ledger[0]["balance"] == account["balance"]
        status, _, err = sandbox.stop()
        assert (status, err) == (0, "")
    with capsys.disabled():
        took, grown = time.monotonic() - began, f"{memory / 1024:.1f} to {late / 1024:.1f} MiB"
        print(f"\n{CONNECTIONS} connections aborted in {took:.0f} s; resident {grown}")


def abort(sandbox: Sandbox, port: int, times: int, random: Random) -> None:
    """Open so many connections, send something on each, and leave in one of three ways."""
    for number in range(times):
        sent = random.choice(list(SENT.values()))
        sent = sent[: random.randrange(len(sent) + 1)] if random.random() < 0.3 else sent
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, suppress(OSError):
            how = random.choice(["close", "reset", "half"])
            if how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(sent)
            if how == "half":
                connection.shutdown(socket.SHUT_WR)
                connection.recv(100)
        if number % 100 == 0:
            assert sandbox.admin("health")["status"] == "ok"


def settled(sandbox: Sandbox) -> None:
    """Wait until the connections have ended."""
    wait_until(lambda: not established(sandbox))


def established(sandbox: Sandbox) -> list[str]:
    """The connections that the sandbox has open; the one that asks is not among them."""
    end = f":{urlsplit(sandbox.url).port or 0:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return [line[2] for line in lines if line[1].endswith(end) and line[3] in {"01", "04", "05", "08"}]


def open_files(sandbox: Sandbox) -> int:
    return len(list(Path(f"/proc/{sandbox.process.pid}/fd").iterdir()))


def resident(sandbox: Sandbox) -> int:
    """The sandbox's resident memory, in KiB."""
    status = Path(f"/proc/{sandbox.process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
