"""A client of the API: requests as an application sends them, and as none would."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from pytest_mcn_mock import Account, Assumptions, Dialect, MCNServer, Settings
from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.web.dialects import API_MCN, DIALECTS, PAIDMETHODS
from pytest_mcn_mock.web.dialects.table import DialectTable

RUSSIAN = "79157777777"
KAZAKH = "77012345678"


@contextmanager
def assuming(**assumed: Any) -> Iterator[Account]:
    """An account on a server that assumes something else."""
    with MCNServer(settings=Settings(assumptions=Assumptions(**assumed))) as server:
        yield server.open_account()


@dataclass(frozen=True)
class Client:
    """How applications speak a dialect."""

    table: DialectTable

    def path(self, account_id: str, method: str = "flash_call") -> str:
        return self.table.path(Method(method), account_id)

    def order(self, mcn: Account, method: str = "flash_call", **parameters: str) -> dict[str, Any]:
        """The URL, and the arguments of any HTTP client: the parameters where this dialect has them."""
        where = "json" if self.table.fidelity.is_in_body else "params"
        headers = {**mcn.headers, "Content-Type": "application/json", "Accept": "application/json"}
        url = mcn.base_url.removesuffix(API_MCN.base_path) + self.path(mcn.account_id, method)
        return {"url": url, where: parameters, "headers": headers}

    def own(self, account_id: str) -> str:
        """An id that the tests of no other dialect open on the server that they share."""
        return f"{account_id}{list(CLIENTS).index(self.table.name)}"

    def country_for(self, login_did: str) -> int:
        """The country from which a number is called."""
        return self.table.terms(Assumptions()).choose_country(login_did, None).country

    def refused(self, code: str, parameter: str | None = None) -> tuple[int, str, str | None]:
        """What ``refusal`` returns for a refusal of a server with the default settings."""
        return self.table.errors(Assumptions()).status_of(RefusalCode(code)), code, parameter


CLIENTS: Final = {table.name: Client(table) for table in DIALECTS}
"""A client of each dialect."""
_spoken = [CLIENTS[Dialect.API_MCN]]


def spoken() -> Client:
    """The client of the dialect that the helpers below speak now: the article's, unless ``each_dialect`` says so."""
    return _spoken[-1]


@contextmanager
def speaking(dialect: Dialect) -> Iterator[Client]:
    _spoken.append(CLIENTS[dialect])
    try:
        yield _spoken[-1]
    finally:
        _spoken.pop()


def flash_call(mcn: Account, login_did: str = RUSSIAN, **parameters: str) -> requests.Response:
    """Place a flash call as an application does; in the article's dialect with an empty body said to be JSON."""
    return requests.post(**spoken().order(mcn, login_did=login_did, **parameters), timeout=30)


def call_for_2fa(mcn: Account, caller_did: str, login_did: str = RUSSIAN) -> requests.Response:
    order = spoken().order(mcn, "call_for_2fa", caller_did=caller_did, login_did=login_did)
    return requests.post(**order, timeout=30)


def placed(response: requests.Response) -> dict[str, Any]:
    """The call in the answer of either dialect."""
    content = response.json()
    found: dict[str, Any] = content["result"] if "ok" in content else content["object"]
    return found


def flashcall(mcn: Account, login_did: str = RUSSIAN, **parameters: str) -> requests.Response:
    """Place a flash call in the dialect paidmethods."""
    with speaking(Dialect.PAIDMETHODS):
        return flash_call(mcn, login_did, **parameters)


def call_2fa(mcn: Account, caller_did: str, login_did: str = RUSSIAN) -> requests.Response:
    with speaking(Dialect.PAIDMETHODS):
        return call_for_2fa(mcn, caller_did, login_did)


def paid_refusal(response: requests.Response) -> tuple[int, str, str | None]:
    """The HTTP status, word and parameter of a refusal in the dialect paidmethods, after a look at its form."""
    content = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert list(content) == ["ok", "error", "name"]
    assert content["ok"] is False
    return response.status_code, content["error"], content["name"]


def refusal(response: requests.Response) -> tuple[int, str, str | None]:
    """The HTTP status, code and parameter of a refusal, after a look at its form, which is the spoken dialect's."""
    if spoken().table is PAIDMETHODS:
        return paid_refusal(response)
    content = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert set(content) == {"status", "code", "errors"}
    assert content["status"] == "error"
    assert content["code"] == response.status_code
    (error,) = content["errors"]
    assert set(error) - {"reason"} == {"code", "message", "parameter"}
    assert "reason" not in error or ("/__admin" in response.url and set(error["reason"]) == {"code", "values"})
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
        """Below this are the methods of the article."""
        return f"/v2/rest/account/{self.account_id}"

    def method_url(self, method: str = "flash_call") -> str:
        """The URL of a method in the spoken dialect."""
        return self.url + spoken().path(self.account_id, method)

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def post(self, method: str = "flash_call", query: str = "", **settings: Any) -> requests.Response:
        settings = {"headers": self.auth, "timeout": 30, **settings}
        return requests.post(f"{self.method_url(method)}{query and '?'}{query}", **settings)

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
