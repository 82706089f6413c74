"""A client of the API: requests as an application sends them, and as none would."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from pytest_mcn_mock import Account, Assumptions, MCNServer, Settings

RUSSIAN = "79157777777"
KAZAKH = "77012345678"


@contextmanager
def assuming(**assumed: Any) -> Iterator[Account]:
    """An account on a server that assumes something else."""
    with MCNServer(settings=Settings(assumptions=Assumptions(**assumed))) as server:
        yield server.open_account()


def flash_call(mcn: Account, login_did: str = RUSSIAN, **parameters: str) -> requests.Response:
    """Place a flash call as an application does: parameters in the query, an empty body said to be JSON."""
    return requests.post(
        f"{mcn.base_url}/account/{mcn.account_id}/flash_call",
        params={"login_did": login_did, **parameters},
        headers={**mcn.headers, "Content-Type": "application/json", "Accept": "application/json"},
        timeout=30,
    )


def call_for_2fa(mcn: Account, caller_did: str, login_did: str = RUSSIAN) -> requests.Response:
    return requests.post(
        f"{mcn.base_url}/account/{mcn.account_id}/call_for_2fa",
        params={"caller_did": caller_did, "login_did": login_did},
        headers=mcn.headers,
        timeout=30,
    )


def flashcall(mcn: Account, login_did: str = RUSSIAN, **parameters: str) -> requests.Response:
    """Place a flash call in the dialect paidmethods, as its public clients do: a JSON object in the body."""
    return requests.post(
        f"{mcn.paid_url}/api/protected/api/auth/flashcall",
        json={"login_did": login_did, **parameters},
        headers={**mcn.headers, "Accept": "application/json"},
        timeout=30,
    )


def call_2fa(mcn: Account, caller_did: str, login_did: str = RUSSIAN) -> requests.Response:
    return requests.post(
        f"{mcn.paid_url}/api/protected/api/auth/call_2fa",
        json={"caller_did": caller_did, "login_did": login_did},
        headers={**mcn.headers, "Accept": "application/json"},
        timeout=30,
    )


def paid_refusal(response: requests.Response) -> tuple[int, str, str | None]:
    """The HTTP status, word and parameter of a refusal in the dialect paidmethods, after a look at its form."""
    content = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert list(content) == ["ok", "error", "name"]
    assert content["ok"] is False
    return response.status_code, content["error"], content["name"]


def refusal(response: requests.Response) -> tuple[int, str, str | None]:
    """The HTTP status, code and parameter of an error envelope, after a look at its form."""
    content = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert set(content) == {"status", "code", "errors"}
    assert content["status"] == "error"
    assert content["code"] == response.status_code
    (error,) = content["errors"]
    assert set(error) == {"code", "message", "parameter"}
    assert error["message"]
    return response.status_code, error["code"], error["parameter"]


@dataclass
class Api:
    """One of the two servers, with an account on it and another account's token."""

    url: str
    account_id: str
    token: str
    other_token: str

    @property
    def path(self) -> str:
        return f"/v2/rest/account/{self.account_id}"

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def post(self, method: str = "flash_call", query: str = "", **settings: Any) -> requests.Response:
        settings = {"headers": self.auth, "timeout": 30, **settings}
        return requests.post(f"{self.url}{self.path}/{method}{query and '?'}{query}", **settings)

    def balance(self) -> str:
        response = requests.get(f"{self.url}/__admin/accounts/{self.account_id}", timeout=30)
        return str(response.json()["balance"])

    def raw(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, Any]:
        """A request that requests would not send."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = json.loads(response.read())
        connection.close()
        return response.status, content

    def exchange(self, sent: bytes, *, half_close: bool = False) -> bytes:
        """All that comes back for bytes that need not be HTTP. ``half_close`` ends the client's half of the talk."""
        address = urlsplit(self.url)
        with socket.create_connection((address.hostname, address.port or 0), timeout=30) as connection:
            received = b""
            try:
                connection.sendall(sent)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                while not _is_whole(received) and (chunk := connection.recv(65_536)):
                    received += chunk
            except TimeoutError:
                raise
            except OSError:
                pass  # the server hung up on what it did not want to read
            return received


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return length is not None and len(body) >= int(length[1])


def raw_request(
    url: str, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of the answer to a request with these headers alone, and the URL's Host."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value.encode())
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), content
