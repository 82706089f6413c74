"""``mcn-mock tail``: print the events of a sandbox as they happen."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
import time
from typing import Any, Final

import click

from pytest_mcn_mock.cli.calls import method_of, outcome_of
from pytest_mcn_mock.cli.client import Event, SandboxClient, account_option, connected, json_option
from pytest_mcn_mock.cli.deliveries import result_of
from pytest_mcn_mock.cli.output import count, note, print_json
from pytest_mcn_mock.cli.tables import is_coloured, moment
from pytest_mcn_mock.errors import Declined, Unreachable
from pytest_mcn_mock.text import printable, shown_url

RECONNECT_S: Final = 0.5
"""Between two attempts to reach a sandbox that went away."""
_COLOURS: Final = {
    "call": "cyan",
    "delivery": "green",
    "account": "yellow",
    "closed": "yellow",
    "request": "blue",
    "reset": "magenta",
}


@click.command()
@account_option
@connected
@json_option
def tail(sandbox: SandboxClient, account: int | None, *, as_json: bool) -> None:
    """Print calls, deliveries, requests and accounts as they change, until Ctrl-C.

    Prints one line for each; with --json, one JSON document. If the sandbox stops, tail waits until it is back.
    """
    if account is not None:
        sandbox.get(f"accounts/{account}")  # so that an unknown one is refused at once
    _end_with_the_reader()
    try:
        _follow(sandbox, account, as_json=as_json)
    except KeyboardInterrupt:
        return


def _follow(sandbox: SandboxClient, account: int | None, *, as_json: bool) -> None:
    """Print event after event. If the sandbox goes after it was there, wait until it is back."""
    state = "new"
    while True:
        try:
            for event in sandbox.events(account):
                if event.name == "connected":
                    note(
                        f"listens to {sandbox.url}"
                        if state == "new"
                        else f"{sandbox.url} is back; earlier events are not shown"
                    )
                    state = "connected"
                else:
                    _show(event, as_json=as_json)
        except (Unreachable, Declined) as error:
            # One that is just starting may be overloaded; a wrong token stays wrong.
            if state == "new" or (isinstance(error, Declined) and error.status < 500):
                raise
        if state == "connected":
            note(f"{sandbox.url} has gone; waiting for it")
            state = "lost"
        time.sleep(RECONNECT_S)


def _show(event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json({"event": event.name, "data": event.data}, indent=None)
    else:
        try:
            at, text = _line(event.name, event.data)
        except (TypeError, KeyError):
            at, text = "", str(event.data)[:500]
        name = click.style(f"{printable(event.name):8}", fg=_COLOURS.get(event.name))
        click.echo(f"{printable(at)[11:]:8}  {name}  {printable(text)}", color=is_coloured())
    sys.stdout.flush()


def _line(name: str, data: Any) -> tuple[str, str]:
    """Return the time and the text of an event."""
    match name:
        case "call":
            final_status = f", {data['final_status']}" if data["final_status"] else ""
            return moment(data["ended_at"] or data["placed_at"]), (
                f"{data['verification_call_uuid']}  {outcome_of(data)}{final_status}: "
                f"{method_of(data)} to {data['login_did']}, code {data['code']}, {data['price']} roubles"
            )
        case "delivery":
            attempts = data["attempts"]
            tried = f", {result_of(data)} at attempt {len(attempts)}" if attempts else ""
            return moment(attempts[-1]["at"] if attempts else data["due_at"]), (
                f"{data['verification_call_uuid']}  {data['state']}{tried}: delivery {data['id']} to "
                f"{shown_url(data['url'])}"
            )
        case "account":
            return "", f"{data['id']}  {data['balance']} roubles"
        case "request":
            refusal = data["refusal"]
            result = f"{refusal['code']}: {refusal['message']}" if refusal else data["verification_call_uuid"] or ""
            fault = f" (fault {data['fault']})" if data["fault"] else ""
            parameters = "".join(f" {key}={value}" for key, value in data["parameters"].items())
            return moment(data["at"]), (
                f"{data['method']} {data['path']}{parameters}: {data['status'] or 'in flight'} {result}{fault}"
            )
        case "closed":
            return "", f"{data['id']}  the account is closed"
        case "reset":
            return "", "the sandbox is as it was configured"
        case "dropped":
            return "", f"{count(data['count'], 'event')} not shown: they came faster than they were read"
    return "", str(data)[:500]


def _end_with_the_reader() -> None:
    """If standard output is a pipe, end as soon as its reader has left, although there is nothing to write just then.

    Windows reports that only when something is written.
    """
    if not hasattr(select, "poll"):
        return
    try:
        output = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    except (OSError, ValueError):
        return
    if not is_pipe:
        return
    main = threading.main_thread().ident

    def watch() -> None:
        poll = select.poll()
        poll.register(output, 0)
        poll.poll()
        if main is not None:
            signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
