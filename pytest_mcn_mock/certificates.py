"""Certificates of https endpoints: reads a file of authorities, and makes the TLS contexts that trust them."""

from __future__ import annotations

import os
import ssl
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from pytest_mcn_mock.errors import Conflict, UsageError
from pytest_mcn_mock.model.webhooks import MACHINE, Subscription, Trust
from pytest_mcn_mock.reasons import Reason

MAX_FILE: Final = 2**20
"""Bytes that a file of authorities may have; that of all public ones has 220 KB."""


def read_trust(cacert: object = None, *, insecure: object = False, name: str = "cacert") -> Trust:
    """Return the trust that ``cacert``, a path, and ``insecure`` ask for. The file is read now, and not again.

    An empty ``cacert`` is none.

    Raises UsageError, in which ``cacert`` has the ``name``, for an argument of the wrong type; Conflict for a file that
    cannot be read or has no PEM certificate, and for both arguments at once.
    """
    if not isinstance(insecure, bool):
        raise UsageError(Reason("insecure", {"value": repr(str(insecure)[:40])}), "insecure")
    if cacert is None or cacert == "":
        return Trust(insecure=True) if insecure else MACHINE
    if not isinstance(cacert, (str, os.PathLike)):
        raise UsageError(Reason("cacert_type", {"name": name, "value": repr(str(cacert)[:40])}), name)
    if insecure:
        raise Conflict(Reason("cacert_and_insecure"), "insecure")
    path = os.fspath(cacert)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    trust = Trust(path, authorities=_read(path, name))
    try:
        make_context(trust)
    except (ssl.SSLError, ValueError):
        raise Conflict(Reason("cacert_invalid", {"name": name, "value": repr(path[:200])}), name) from None
    return trust


def _read(path: str, name: str) -> str:
    """Return the PEM text of the file. A device or a pipe, which might never end, is refused."""
    try:
        content = b""
        is_file = stat.S_ISREG(Path(path).stat().st_mode)
        if is_file:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: there is a NUL in the path
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise Conflict(
            Reason("cacert_unreadable", {"name": name, "value": repr(path[:200]), "why": str(why)}), name
        ) from error
    if not is_file:
        raise Conflict(Reason("cacert_not_file", {"name": name, "value": repr(path[:200])}), name)
    if len(content) > MAX_FILE:
        raise Conflict(Reason("cacert_too_large", {"name": name, "value": repr(path[:200]), "most": MAX_FILE}), name)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise Conflict(Reason("cacert_no_pem", {"name": name, "value": repr(path[:200])}), name)
    # Keep only the part that OpenSSL reads: the text around the certificates may have any encoding.
    return content.decode("ascii", "ignore")


def prepare(webhook: Subscription) -> None:
    """Make the TLS context of a webhook, if it uses https. Later, during an attempt, no file descriptor may be free.

    An attempt tries again what fails now.
    """
    if webhook.url.lower().startswith("https:"):
        with suppress(OSError):
            make_context(webhook.trust)


@lru_cache(maxsize=64)
def make_context(trust: Trust) -> ssl.SSLContext:
    """Return the TLS context of a client with this trust. It is cached: reading the machine's authorities takes 15 ms.

    Raises OSError if no file descriptor is free to read the machine's authorities. (OpenSSL would not report that, and
    would then trust no certificate.) Raises ssl.SSLError for invalid authorities.
    """
    if trust.insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if trust.authorities is not None:
        return ssl.create_default_context(cadata=trust.authorities)
    with Path(os.devnull).open("rb"):  # fails if no descriptor is free
        return ssl.create_default_context()
