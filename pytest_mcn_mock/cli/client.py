"""Asks a running sandbox, for the command line. It follows no redirect, and reads nothing without a limit."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from pytest_mcn_mock.errors import Declined, Unreachable, UsageError

DEFAULT_URL: Final = "http://127.0.0.1:8643"
MAX_ANSWER: Final = 64 * 2**20
"""Bytes of one answer. A page of deliveries holds what endpoints answered, so it can be long."""
MAX_EVENT: Final = 8 * 2**20
"""Bytes of one event of the stream, and of one line."""
PAGE: Final = 100
"""Items asked for at a time."""
SILENCE_S: Final = 45.0
"""The stream says something every 15 s. After three times as long the sandbox is taken for dead."""
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PASTED_PATHS = ("/v2/rest", "/__admin")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream, with its data parsed."""

    name: str
    data: Any


class SandboxClient:
    """The admin API, and the vendor's, of the sandbox at ``url``.

    The URL may be the one that the sandbox prints, with its ``/v2/rest``. ``timeout_s`` is for each answer as a whole.
    Every method raises Unreachable if no sandbox answers, and Declined if it refuses.

    Raises UsageError for a URL, a token or a file of certificates that cannot be used.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, admin_token: str | None = None, cafile: Path | None = None, timeout_s: float
    ) -> None:
        self._url, self._path = split_url(url)
        self.url = self._url + self._path
        self._admin_headers = _authorization(admin_token, "the admin token") if admin_token else {}
        self._cafile = cafile
        self._timeout_s = timeout_s

    def get(self, path: str, **query: object) -> Any:
        """Return what the admin API shows at a path under ``/__admin/``. Parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._admin("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, content: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a POST of a JSON object."""
        return self._admin("POST", path, dict(content or {}))

    def patch(self, path: str, content: Mapping[str, Any]) -> Any:
        """Return the answer to a PATCH with a JSON object."""
        return self._admin("PATCH", path, dict(content))

    def delete(self, path: str) -> None:
        """Delete what is at the path."""
        self._admin("DELETE", path)

    def list(self, path: str, limit: int, after: str | None = None, **query: object) -> dict[str, Any]:
        """Return at most ``limit`` items of a list, read page after page, and the cursor of the next ones, or None."""
        items: list[Any] = []
        following: object = after
        while True:
            page = self.get(path, limit=min(limit - len(items), PAGE), after=following, **query)
            try:
                items += page["items"]
                came_from, following = following, page["next"]
            except (TypeError, KeyError):
                raise self.stranger("what it answers has another form") from None
            if following is None or len(items) >= limit or following == came_from:
                return {"items": items[:limit], "next": following}

    def place_call(self, account_id: int, method: str, token: str, parameters: Mapping[str, str]) -> Any:
        """Return the answer of the vendor's API to a request for a call."""
        path = f"/v2/rest/account/{account_id}/{method}?{urlencode(parameters)}"
        status, content = self._ask("POST", path, _authorization(token, "the token"), None)
        if not 200 <= status <= 299:
            raise Declined(status, _refusal(content) or f"HTTP {status}, with a body of the configuration's own")
        return content

    def events(self, account_id: int | None = None) -> Iterator[Event]:
        """Yield ``connected``, and then the events of an account or of all, until the sandbox ends the stream.

        Raise Unreachable if it breaks off.
        """
        path = "/__admin/events" + ("" if account_id is None else f"?account_id={account_id}")
        connection = self._connect(SILENCE_S)
        try:
            response = self._request(connection, "GET", path, self._admin_headers, None)
            if response.status != 200:
                self._check(response.status, self._content(response))
            yield Event("connected", None)
            yield from read_events(response)
        except (HTTPException, OSError, ValueError) as error:
            raise self._silent(error) from error
        finally:
            connection.close()

    def _admin(self, method: str, path: str, content: object = None) -> Any:
        status, answer = self._ask(method, f"/__admin/{path}", self._admin_headers, content)
        self._check(status, answer)
        return answer

    def _check(self, status: int, answer: Any) -> None:
        """Raise what the refusal says, unless it is a success."""
        if 200 <= status <= 299:
            return
        message = _refusal(answer)
        if message is None:
            raise self.stranger(f"it answers HTTP {status}")
        if status == 401:
            message += "; give the sandbox's own, which its banner or its configuration has, as --admin-token or "
            message += "MCN_MOCK_ADMIN_TOKEN"
        raise Declined(status, message)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], content: object) -> tuple[int, Any]:
        connection = self._connect(self._timeout_s)
        try:
            response = self._request(connection, method, path, headers, content)
            return response.status, self._content(response)
        except (HTTPException, OSError, UnicodeError) as error:
            raise self._silent(error) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> HTTPConnection:
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            context = ssl.create_default_context(cafile=self._cafile)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"--cacert {self._cafile} cannot be used: {error}") from error
        return HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)

    def _request(
        self, connection: HTTPConnection, method: str, path: str, headers: Mapping[str, str], content: object
    ) -> HTTPResponse:
        body = None if content is None else json.dumps(content).encode()
        sent = {"Accept": "application/json", "User-Agent": "mcn-mock", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection.request(method, self._path + path, body, sent)
        return connection.getresponse()

    def _content(self, response: HTTPResponse) -> Any:
        """Return the JSON of an answer; None if it is empty."""
        deadline = time.monotonic() + self._timeout_s
        body = bytearray()
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise Unreachable(f"the answer of {self.url} is over {MAX_ANSWER} bytes; ask for less with --limit")
            if time.monotonic() > deadline:
                raise TimeoutError
        if not body:
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self.stranger(f"it answers HTTP {response.status} and no JSON") from None

    def stranger(self, why: str) -> Unreachable:
        """Return the error for a server that is not a sandbox, or one of quite another version."""
        return Unreachable(f"what answers at {self.url} is no mcn-mock sandbox: {why}; give the sandbox's as --url")

    def _silent(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            return Unreachable(
                f"the sandbox at {self.url} has not answered within {self._timeout_s:g} s; see --timeout"
            )
        why = reason(error)
        if "CERTIFICATE" in str(error):
            return Unreachable(
                f"the certificate of {self.url} cannot be trusted ({why}); give its authority as --cacert"
            )
        return Unreachable(
            f"no sandbox answers at {self.url} ({why}); start one with `mcn-mock serve`, or give its --url"
        )


def reason(error: Exception) -> str:
    """Return why a connection failed, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def segment(text: str) -> str:
    """Return a text as one step of a path."""
    return quote(text, safe="")


def read_events(response: HTTPResponse) -> Iterator[Event]:
    """Yield the events of a ``text/event-stream``. One that is too long or is not JSON is left out."""
    name, data, size = "message", list[bytes](), 0
    while line := response.readline(MAX_EVENT):
        if not line.endswith(b"\n"):
            size = MAX_EVENT + 1  # the line is not whole, so neither is its event
            continue
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            size += len(value)
            if size <= MAX_EVENT:
                data.append(value)
        elif not field and not value and line[:1] in b"\r\n":
            if data and size <= MAX_EVENT:
                yield from _event(name, b"\n".join(data))
            name, data, size = "message", [], 0


def _event(name: str, data: bytes) -> Iterator[Event]:
    try:
        yield Event(name, json.loads(data))
    except (ValueError, RecursionError):
        return


def _refusal(content: Any) -> str | None:
    """Return what an error envelope says, or None if it is not one."""
    try:
        error = content["errors"][0]
        return f"{error['code']}: {error['message']}"[:2000]
    except (TypeError, KeyError, IndexError):
        return None


def split_url(url: str) -> tuple[str, str]:
    """Return scheme and host of a sandbox's URL, and the path before its own paths, which is mostly empty."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not _VISIBLE.fullmatch(url) or parts.query or parts.fragment or "@" in parts.netloc:
        shown = "that was given" if "@" in url else repr(url[:80])  # what is before an @ is a secret
        raise UsageError(f"--url {shown} is no URL of a sandbox, such as {DEFAULT_URL}")
    path = parts.path.rstrip("/")
    for pasted in _PASTED_PATHS:
        path = path.removesuffix(pasted)
    return f"{parts.scheme}://{parts.netloc}", path


def _authorization(token: str, what: str) -> dict[str, str]:
    if not _VISIBLE.fullmatch(token):
        raise UsageError(f"{what} must be visible ASCII characters without spaces")
    return {"Authorization": f"Bearer {token}"}
