"""Runs the sandbox: one process, one event loop, the API and the CDRs on it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from pytest_mcn_mock.compose import Exchange, compose
from pytest_mcn_mock.domain.deliveries import Delivery
from pytest_mcn_mock.domain.money import format_roubles
from pytest_mcn_mock.errors import ConfigError, StorageFailed, UnknownItem
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.sandbox.config import Config
from pytest_mcn_mock.sandbox.opening import open_accounts
from pytest_mcn_mock.web.application import BASE_PATH
from pytest_mcn_mock.web.asgi import AsgiAdapter

STOP_S = 10.0
"""How long a stop may take: the requests under way first, then the CDRs that are still owed."""

_log = logging.getLogger("mcn_mock")


def serve(config: Config, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``say`` prints a line for the person who started it.

    ConfigError where the address cannot be listened on.
    """
    asyncio.run(_serve(config, say))


async def _serve(config: Config, say: Callable[[str], None]) -> None:
    exchange = await _open(config)
    try:
        await _run(config, exchange, say)
    finally:
        exchange.durability.close()


async def _open(config: Config) -> Exchange:
    """The operator with its accounts, and with what it owes under way again."""
    loop, own_thread = asyncio.get_running_loop(), threading.get_ident()

    def post(job: Callable[[], None]) -> None:
        if threading.get_ident() == own_thread:
            job()
        else:
            loop.call_soon_threadsafe(job)

    restore = partial(open_accounts, config.accounts)
    exchange = compose(config.settings, post, restore=restore)
    try:
        restore(exchange.operator)
        if (kept := exchange.durability.settled()) is not None:
            await asyncio.wrap_future(kept)
        exchange.operator.resume()
    except StorageFailed as error:
        exchange.durability.close()
        raise ConfigError("state", [error.message]) from error
    except ConfigError:
        exchange.durability.close()
        raise
    return exchange


async def _run(config: Config, exchange: Exchange, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    address = await _resolve(config.host)
    with closing(_reserve(address, config.port)) as reserved:
        port = reserved.getsockname()[1]
        server = Server(
            AsgiAdapter(exchange.application),
            address=address,
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=10_000),
            websockets=False,
            log_enabled=False,
        )
        serving = asyncio.create_task(server.serve())
        await _listening(address, port, serving)
    for line in _greeting(config, exchange.operator, port):
        say(line)

    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    exchange.feed.close()
    server.stop()  # type: ignore[no-untyped-call]  # granian leaves this one untyped
    await asyncio.wait((serving,), timeout=STOP_S)
    await exchange.dispatcher.drain(STOP_S)
    await exchange.dispatcher.close()
    say(_farewell(exchange))
    if serving.done():
        serving.result()
    else:
        # A request has not ended, its body perhaps not arrived: it is given up, and what granian says to that is noise.
        loop.set_exception_handler(lambda _, __: None)


async def _resolve(host: str) -> str:
    """The address of a host, IPv4 where it has both: the server takes no names."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError("mcn-mock", [f"there is no host {host!r} to listen on: {error}"]) from error
    return str(min(found, key=lambda info: info[0] is not socket.AF_INET)[4][0])


def _reserve(host: str, port: int) -> socket.socket:
    """A bound socket that keeps the port until the server listens on it, and fails where somebody else does.

    The server binds with SO_REUSEPORT, and so would silently share the port with another sandbox.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with closing(socket.socket(family)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        reserved = socket.socket(family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        raise ConfigError("mcn-mock", [f"cannot listen on {host} port {port}: {error.strerror or error}"]) from error
    return reserved


async def _listening(host: str, port: int, serving: asyncio.Task[None]) -> None:
    """Wait until the server accepts connections."""
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(_reachable(host), port)
        except ConnectionRefusedError:
            await asyncio.sleep(0)
        else:
            writer.close()
            return
    await serving  # raises what kept it from listening


def _reachable(host: str) -> str:
    """An address at which a server that listens on ``host`` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not listened on


def _greeting(config: Config, operator: Operator, port: int) -> list[str]:
    host = _reachable(config.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    first = config.accounts[0]
    number = first.numbers[0] if first.numbers else "79158888888"
    names = ", ".join(f"{account.id} ({_balance(operator, account.id)})" for account in config.accounts[:5])
    more = f" and {len(config.accounts) - 5} more" if len(config.accounts) > 5 else ""
    token = first.token if first.token == "test-token" else "$TOKEN"  # noqa: S105 - the public token of the built-in account
    curl = (
        "curl -X POST -H 'Content-Type: application/json' -H 'Accept: application/json' "
        f"-H {_quoted(f'Authorization: Bearer {token}')} '{url}{BASE_PATH}/account/{first.id}"
    )
    return [
        f"mcn-mock listens on {url}{BASE_PATH} for account {names}{more}",
        f"{curl}/flash_call?login_did=79157777777'",
        f"{curl}/call_for_2fa?caller_did={number}&login_did=79157777777'",
    ]


def _balance(operator: Operator, account_id: str) -> str:
    try:
        return f"{format_roubles(operator.accounts.balance(account_id))} roubles"
    except UnknownItem:
        return "closed"


def _quoted(text: str) -> str:
    """In the shell's quotes; double ones where a variable is to be filled in."""
    return f'"{text}"' if "$" in text else f"'{text}'"


def _farewell(exchange: Exchange) -> str:
    left = exchange.operator.deliveries.owed()
    if not left:
        return "mcn-mock stopped; no CDR is owed"
    lines = [f"mcn-mock stopped; {len(left)} CDR{'s' if len(left) > 1 else ''} still owed:"]
    lines += [f"  {_owed(delivery)}" for delivery in left[:20]]
    if len(left) > 20:
        lines.append(f"  and {len(left) - 20} more")
    return "\n".join(lines)


def _owed(delivery: Delivery) -> str:
    tried = f"; {delivery.attempts[-1]}" if delivery.attempts else "; no answer yet"
    return f"{delivery.verification_call_uuid} to {delivery.url}{tried}"
