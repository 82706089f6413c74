"""``mcn-mock health``: whether the sandbox that these options start is ready."""

from __future__ import annotations

import json
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pytest_mcn_mock.errors import Declined, McnMockError
from pytest_mcn_mock.sandbox import config as configuration
from pytest_mcn_mock.sandbox.banner import reachable
from pytest_mcn_mock.sandbox.commands import mcn_mock

_PATH = "/__admin/health/ready"


@click.command()
@click.option("--url", help="Ask the sandbox at this URL, whatever the other options say.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 600), default=2.0, show_default=True,
    help="The seconds that an answer may take.",
)  # fmt: skip
def health(url: str | None, timeout: float, host: str | None, port: int | None, config: Path | None, **_: Any) -> None:
    """Say whether the sandbox is ready: status 0 if it is, 1 if not.

    Takes the options, the environment and the configuration file of serve, and asks the sandbox that they start.
    """
    try:
        schemes, netloc = _target(url, host, port, config)
    except (McnMockError, ValueError) as error:
        raise _not_ready(str(error).splitlines()[0]) from error
    why = ""
    for scheme in schemes:
        try:
            problem = _ask(scheme, netloc, timeout)
        except (OSError, HTTPException, ValueError) as error:
            why = why or f"no sandbox answers at {netloc}: {_reason(error)}"
            continue
        if problem is not None:
            raise _not_ready(problem)
        click.echo(f"mcn-mock is ready at {scheme}://{netloc}")
        return
    raise _not_ready(why)


health.params += mcn_mock.commands["serve"].params


def _not_ready(why: str) -> Declined:
    """The error with status 1, the one that a container engine takes for unhealthy."""
    return Declined(503, why)


def _target(url: str | None, host: str | None, port: int | None, config: Path | None) -> tuple[list[str], str]:
    """The schemes to try, and where. The sandbox speaks TLS or not; both are tried, for the options need not say so."""
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("--url is not the URL of a sandbox, such as http://127.0.0.1:8643")
        return [parts.scheme], parts.netloc
    chosen = configuration.built_in() if config is None else configuration.load(config)
    host = reachable(chosen.host if host is None else host)
    port = chosen.port if port is None else port
    if port == 0:
        raise ValueError("port 0 is a free port that only the sandbox knows; give its --url")
    return ["http", "https"], f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ask(scheme: str, netloc: str, timeout_s: float) -> str | None:
    """Why the sandbox is not ready, or None. No proxy is used, and no certificate checked: it is this machine."""
    connection: HTTPConnection
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(netloc, timeout=timeout_s, context=context)
    else:
        connection = HTTPConnection(netloc, timeout=timeout_s)
    try:
        connection.request("GET", _PATH, headers={"Host": "localhost", "User-Agent": "mcn-mock"})
        response = connection.getresponse()
        content = json.loads(response.read(65_536))
        if response.status == 200 and content["ready"] is True:
            return None
        return f"the sandbox at {netloc} is not ready: {', '.join(map(str, content['reasons']))}"
    except (KeyError, TypeError):
        return f"what answers at {netloc} is not a sandbox"
    finally:
        connection.close()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | socket.timeout):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
