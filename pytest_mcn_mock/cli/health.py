"""``mcn-mock health``: say whether the sandbox on this machine is ready."""

from __future__ import annotations

import json
import ssl
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pytest_mcn_mock.cli.client import reason, split_url
from pytest_mcn_mock.cli.commands import mcn_mock
from pytest_mcn_mock.errors import Declined, McnMockError
from pytest_mcn_mock.text import show_address


@click.command()
@click.option("--url", help="Ask the sandbox at this URL, and ignore the other options.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=2.0, show_default=True,
    help="The maximum time for an answer, in seconds.",
)  # fmt: skip
def health(url: str | None, timeout: float, host: str | None, port: int | None, config: Path | None, **_: Any) -> None:
    """Say whether the sandbox is ready: status 0 if it is, 1 if not.

    Takes the options, the environment and the configuration file of serve, and asks the sandbox that they start.
    """
    try:
        schemes, netloc, path = _target(url, host, port, config)
    except (McnMockError, ValueError) as error:
        raise _not_ready(str(error).splitlines()[0]) from error
    why = ""
    for scheme in schemes:
        try:
            problem = _ask(scheme, netloc, path, timeout)
        except (OSError, HTTPException, UnicodeError) as error:
            told = "no answer in time" if isinstance(error, TimeoutError) else reason(error)
            why = why or f"no sandbox answers at {netloc}: {told}"
            continue
        if problem is not None:
            raise _not_ready(problem)
        click.echo(f"mcn-mock is ready at {scheme}://{netloc}{path}")
        return
    raise _not_ready(why)


health.params += mcn_mock.commands["serve"].params  # it is for a container that serve runs in


def _not_ready(why: str) -> Declined:
    """Return the error with status 1, which a container engine takes for unhealthy."""
    return Declined(503, why)


def _target(url: str | None, host: str | None, port: int | None, config: Path | None) -> tuple[list[str], str, str]:
    """Return the schemes to try, the host with its port, and the path before the sandbox's own.

    The options need not say whether the sandbox speaks TLS, so both are tried.
    """
    if url is not None:
        base, path = split_url(url)
        parts = urlsplit(base)
        return [parts.scheme], parts.netloc, path
    from pytest_mcn_mock.cli import config as configuration
    from pytest_mcn_mock.cli.banner import reachable

    chosen = configuration.built_in() if config is None else configuration.load(config)
    host = reachable(chosen.host if host is None else host)
    port = chosen.port if port is None else port
    if port == 0:
        raise ValueError("port 0 is a free port that only the sandbox knows; give its --url")
    return ["http", "https"], show_address(host, port), ""


def _ask(scheme: str, netloc: str, path: str, timeout_s: float) -> str | None:
    """Return why the sandbox is not ready, or None. No proxy is used and no certificate checked: it is this machine."""
    connection = HTTPConnection(netloc, timeout=timeout_s)
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(netloc, timeout=timeout_s, context=context)
    host = netloc if path else "localhost"  # a sandbox knows itself by that name; a proxy before it does not
    with closing(connection):
        connection.request("GET", f"{path}/__admin/health/ready", headers={"Host": host, "User-Agent": "mcn-mock"})
        response = connection.getresponse()
        answer = response.read(65_536)
    try:
        content = json.loads(answer)
        if response.status == 200 and content["ready"] is True:
            return None
        return f"the sandbox at {netloc} is not ready: {', '.join(map(str, content['reasons']))}"
    except (KeyError, TypeError, ValueError):  # it answers without JSON, or with other JSON
        return f"the server at {netloc} is not a sandbox"
