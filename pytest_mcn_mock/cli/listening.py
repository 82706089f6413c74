"""Shared by the servers of the command line: the address to listen on, and the signals that end them."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable

from pytest_mcn_mock.errors import ConfigError
from pytest_mcn_mock.text import shown_url

MAX_WAITING = 1024
"""Connections that wait in the kernel's queue until they are taken."""


def on_signals(stop: Callable[[], object], reload: Callable[[], object] | None = None) -> None:
    """Stop at SIGTERM, SIGINT and SIGHUP, and ignore further signals: a shell and a process manager may send two, the
    second when the loop and its own handlers have ended. To be called on the main thread.

    With ``reload`` SIGHUP calls that, unless it says that the terminal was closed. It stays ignored if it was:
    ``nohup``.
    """
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")  # Windows has no SIGHUP, and it alone has SIGBREAK
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN:
        numbers.remove(hang_up)

    def set_all(handler: Callable[[int, object], None] | signal.Handlers) -> None:
        for number in numbers:
            signal.signal(number, handler)

    has_terminal = _has_terminal()

    def handle(number: int, _: object) -> None:
        if reload is not None and number == hang_up and has_terminal == _has_terminal():
            reload()
            return
        stop()
        set_all(signal.SIG_IGN)  # which Python leaves as it is when it ends

    set_all(handle)


def _has_terminal() -> bool:
    """Return whether the process has a terminal that can close and send SIGHUP with that."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except (OSError, AttributeError):  # Windows has neither
        return False
    return True


async def resolve(host: str) -> str:
    """Return the address of a host, IPv4 if it has both kinds. Raise ConfigError if there is no such host."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError("mcn-mock", [f"there is no host {shown_url(host)!r} to listen on: {error}"]) from error
    return str(min(found, key=lambda info: info[0] is not socket.AF_INET)[4][0])


def open_listener(host: str, port: int) -> socket.socket:
    """Return a listening socket. ConfigError if the address cannot be listened on."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if os.name == "posix":  # on Windows two servers could then listen on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(MAX_WAITING)
    except OSError as error:
        listener.close()
        problem = f"cannot listen on {host} port {port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            problem += "; choose another port with --port"
        raise ConfigError("mcn-mock", [problem]) from error
    return listener
