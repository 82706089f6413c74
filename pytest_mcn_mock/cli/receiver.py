"""The webhook receiver of ``mcn-mock listen``: it prints each CDR and answers as configured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import click

from pytest_mcn_mock.cli.listening import on_signals, open_listener, resolve
from pytest_mcn_mock.cli.output import count, note, print_json
from pytest_mcn_mock.cli.tables import is_coloured, print_fields
from pytest_mcn_mock.model.deliveries import is_acknowledgement
from pytest_mcn_mock.model.outcomes import CAUSE_NAMES
from pytest_mcn_mock.text import printable, printable_lines, show_address
from pytest_mcn_mock.web.http import MAX_BODY, Request, Response, json_response, send
from pytest_mcn_mock.web.server import HttpServer

MAX_CONNECTIONS: Final = 128
HEAD_TIMEOUT_S: Final = 60.0
"""How long a connection may be idle: a sandbox keeps its connections."""
STOP_S: Final = 0.5
"""How long an answer in flight may still take at Ctrl-C."""
_TOO_LARGE: Final = 413
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers of which only the first word is shown, such as ``Bearer``, because printed text is kept in logs."""


class Receiver:
    """Answers every request with one status, after ``delay_s`` seconds, and shows each request when it arrives.

    To be made on the event loop. ``failed`` gets the first exception of ``show``, such as OutputLost.
    """

    def __init__(self, status: int, delay_s: float, show: Callable[[Request, int], None]) -> None:
        self._status = status
        self._delay_s = delay_s
        self._show = show
        self.failed: asyncio.Future[None] = asyncio.Future()

    async def serve(self, request: Request) -> None:
        """Show a request and answer it."""
        status = _TOO_LARGE if request.body is None else self._status
        try:
            self._show(request, status)
        except Exception as error:
            if not self.failed.done():
                self.failed.set_exception(error)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        await send(Response(status, b"", {}))

    def refuse_unread(self, status: int, why: str) -> Response:
        """Answer a request that cannot be read."""
        note(f"a request could not be read: {why}")
        return json_response(status, {"error": why})


async def receive(host: str, port: int, *, status: int, delay_s: float, as_json: bool) -> None:
    """Answer and print requests until a signal comes.

    Raise ConfigError if the address cannot be listened on, and OutputLost if a request cannot be printed.
    """
    stop, receiver = asyncio.Event(), Receiver(status, delay_s, _print_json if as_json else _print)
    loop = asyncio.get_running_loop()
    on_signals(lambda: loop.is_closed() or loop.call_soon_threadsafe(stop.set))
    address = await resolve(host)
    with closing(open_listener(address, port)) as listener:
        server = HttpServer(receiver, max_connections=MAX_CONNECTIONS, head_timeout_s=HEAD_TIMEOUT_S)
        server.start(listener)
        note(f"listens at http://{show_address(address, listener.getsockname()[1])}/ for CDRs; Ctrl-C ends it")
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait((stopped, receiver.failed), return_when=asyncio.FIRST_COMPLETED)
        await server.stop(STOP_S)
    stopped.cancel()
    if receiver.failed.done():
        receiver.failed.result()


def _content_of(request: Request) -> Any:
    """Return the data of a request: parsed JSON, or the text if it is not JSON; the query of a GET."""
    if request.method == "GET" and not request.body:
        return _query_of(request)
    text = (request.body or b"").decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _query_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True))


def _print_json(request: Request, status: int) -> None:
    document = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": request.method,
        "path": request.path,
        "query": _query_of(request),
        "headers": {name: _shown_header(name, value) for name, value in request.headers.items()},
        "body": None if request.body is None else _content_of(request),
        "status": status,
    }
    print_json(document, indent=None)


def _shown_header(name: str, value: str) -> str:
    if name not in _SECRET:
        return value
    scheme, space, _ = value.partition(" ")
    return f"{scheme} ***" if space else "***"


def _print(request: Request, status: int) -> None:
    query = f"?{request.query.decode('latin-1')}" if request.query and request.method != "GET" else ""
    answered = click.style(str(status), fg="green" if is_acknowledgement(status) else "red")
    at = f"{datetime.now(UTC):%H:%M:%S}"
    click.echo(
        f"{at}  {printable(request.method)} {printable(request.path + query, 500)}  answered {answered}",
        color=is_coloured(),
    )
    if request.body is None:
        click.echo(f"  the body is larger than {MAX_BODY} bytes and was not read")
        return
    content = _content_of(request)
    if isinstance(content, dict):
        print_fields({f"  {name}": text for name, text in _fields(content)})
    elif content:
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        click.echo("\n".join(f"  {line}" for line in printable_lines(text).split("\n")))


def _fields(content: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Yield a name and a text for each field, and for the fields of a field: ``data.q931_status``. What is deeper is
    counted: a whole event has some 120 fields.
    """
    for name, value in content.items():
        if isinstance(value, dict) and not place:
            yield from _fields(value, f"{name}.")
        elif isinstance(value, dict | list) and value:
            yield place + name, f"{count(len(value), 'item')}; --json prints them"
        else:
            yield place + name, _explained(name, value)


def _explained(name: str, value: object) -> str:
    """Return the value of a variable, with the meaning of a Q.850 cause behind it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if name == "q931_status" and text.isdecimal():
        meaning = CAUSE_NAMES.get(int(text[:4]))
        return f"{text}, {meaning}" if meaning else text
    return text
