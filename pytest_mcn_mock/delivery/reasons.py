"""Why there is no connection or no answer, in words for the record of an attempt."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from typing import Any

from pytest_mcn_mock.delivery.requests import Origin, show_address
from pytest_mcn_mock.errors import SendError

MAX_REASON = 300
"""Characters of a reason."""


class NoConnection(SendError):
    """There is no connection, or no TLS on it."""


def no_connection(reasons: Iterable[str], *, is_reached: bool) -> NoConnection:
    """Return the error with a reason for each address. ``is_reached`` if one of them accepted a connection."""
    listed = "; ".join(dict.fromkeys(reasons))
    return NoConnection((listed if is_reached else f"could not connect: {listed}")[:MAX_REASON])


def why_not_connected(error: OSError, address: Any) -> str:
    """Return why the address took no connection. ``address`` is as in ``socket.getaddrinfo``."""
    where = show_address(*address[:2])
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {where}"
    return f"{where}: {os.strerror(error.errno) if error.errno else error}"


def why_no_tls(error: OSError | ValueError, origin: Origin) -> str:
    """Return why the TLS handshake with the origin failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {origin} is not trusted: {error.verify_message}"
    if isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
    ):  # asyncio's own errors have no text
        how = "reset" if isinstance(error, ConnectionError) and error.errno else "closed"
        return f"the connection was {how} by {origin} during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        if alert := _alert(error):
            return f"{origin} refused the TLS handshake: {alert}"
        return f"{origin} speaks no TLS that can be understood: {error.reason or error}"
    if isinstance(error, OSError) and error.errno:
        return f"{origin}: {os.strerror(error.errno)} during the TLS handshake"
    return f"{origin}: {error}"  # a name that TLS cannot have


def why_closed(error: BaseException | None) -> str:
    """Return how a connection ended: closed, reset, or by TLS, with the endpoint's reason."""
    if isinstance(error, ssl.SSLError):
        return f"closed by TLS ({_alert(error) or error.reason or error})"
    if isinstance(error, ConnectionResetError):
        return "reset"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
        return f"lost ({os.strerror(error.errno)})"
    return "closed"


def _alert(error: ssl.SSLError) -> str:
    """Return the alert of the other side in words (RFC 8446, 6), empty if it sent none."""
    name = error.reason or ""
    if "_ALERT_" not in name and name != "TLSV1_UNRECOGNIZED_NAME":
        return ""
    words = name.split("_", 1)[1].removeprefix("ALERT_").replace("_", " ").lower()
    if words == "certificate required":
        return "certificate required: it wants a client's certificate, which webhooks do not have"
    if words == "handshake failure":
        return "handshake failure; perhaps it wants a client's certificate, or another cipher"
    return words
