"""HTTP/1.1 as RFC 9112 and RFC 9110 have it, on both servers: what each says a server must do."""

from __future__ import annotations

import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from helpers.client import RUSSIAN, Api, refusal

JSON_BODY = f'{{"login_did": "{RUSSIAN}", "code": "0042"}}'.encode()
QUERY = f"?login_did={RUSSIAN}"
JAVA = (
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade: h2c",
)
AS_JSON = "Content-Type: application/json"


def head(
    api: Api, *lines: str, target: str | None = None, method: str = "POST", version: str = "1.1", host: bool = True
) -> bytes:
    """The head of a valid order, with more header lines."""
    target = f"{api.path}/flash_call{QUERY}" if target is None else target
    hosts = ["Host: localhost"] if host else []
    start = [f"{method} {target} HTTP/{version}", *hosts, f"Authorization: Bearer {api.token}"]
    return "\r\n".join([*start, *lines, "", ""]).encode("latin-1")


def all_of(api: Api, sent: bytes) -> bytes:
    """All that the server sends until it closes the connection; the client says nothing more."""
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
        return received


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", answers)]


def calls(api: Api) -> int:
    listed = requests.get(f"{api.url}/__admin/calls?account_id={api.account_id}&limit=1000", timeout=30).json()
    return len(listed["items"])


@pytest.mark.parametrize("wishes", [JAVA, ("Connection: upgrade", "Upgrade: websocket"), ("Upgrade: h2c",)])
@pytest.mark.parametrize("body", ["length", "chunks", "form"])
def test_a_wish_for_another_protocol_is_ignored_and_the_body_is_read(
    api: Api, wishes: tuple[str, ...], body: str
) -> None:
    """RFC 9110, 7.8. The clients of Java send it with each first request."""
    content = b"login_did=79157777777&code=0042" if body == "form" else JSON_BODY
    lines = ["Content-Type: application/x-www-form-urlencoded" if body == "form" else AS_JSON]
    if body == "chunks":
        lines.append("Transfer-Encoding: chunked")
        content = b"%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(content), content)
    else:
        lines.append(f"Content-Length: {len(content)}")
    answer = api.exchange(head(api, *wishes, *lines, target=f"{api.path}/flash_call") + content)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["object"]["code"] == "0042"


def test_a_change_with_a_wish_for_another_protocol_is_made(api: Api) -> None:
    content = b'{"balance": "5.00"}'
    target = f"/__admin/accounts/{api.account_id}"
    before = api.balance()
    try:
        sent = head(api, *JAVA, f"Content-Length: {len(content)}", target=target, method="PATCH") + content
        assert b'"balance": "5.00"' in api.exchange(sent)
        assert api.balance() == "5.00"
    finally:
        requests.patch(f"{api.url}{target}", json={"balance": before}, timeout=30).raise_for_status()


def test_a_large_body_with_a_wish_for_another_protocol_is_bounded(api: Api) -> None:
    answer = api.exchange(head(api, *JAVA, "Content-Length: 900000") + b" " * 900_000)
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "lines,version",
    [
        ((), "1.1"),
        (("Host: localhost", "Host: localhost"), "1.1"),
        (("Host: localhost", "Host: evil.test"), "1.0"),
        (("Host: a b",), "1.1"),
        (("Host: localhost/x",), "1.1"),
        (("Host: <c>",), "1.1"),
        (("Host: me@localhost",), "1.1"),
        (("Host: localhost:80a",), "1.1"),
        (("Host: localhost, localhost",), "1.1"),
        (("Host: [::1",), "1.1"),
        (("Host: caf\u00e9",), "1.1"),
    ],
)
def test_a_request_without_one_valid_host_is_refused(api: Api, lines: tuple[str, ...], version: str) -> None:
    """RFC 9112, 3.2."""
    before = calls(api)
    answer = all_of(api, head(api, *lines, host=False, version=version))
    assert statuses(answer) == [400]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["code"] == "invalid_parameter"
    assert calls(api) == before


@pytest.mark.parametrize(
    "value", ["", "localhost", "mcn_mock:8643", "api.mcn.ru", "[::1]:80", "[fe80::1%25eth0]", "a%2Db", "x:"]
)
def test_a_valid_host_is_taken_by_the_vendors_api(api: Api, value: str) -> None:
    assert statuses(api.exchange(head(api, f"Host: {value}", host=False))) == [200]


def test_http_1_0_needs_no_host(api: Api) -> None:
    assert statuses(all_of(api, head(api, host=False, version="1.0"))) == [200]


@pytest.mark.parametrize(
    "target,host,status",
    [
        ("http://evil.test/__admin/calls", "localhost", 403),
        ("HTTP://evil.test:80/__admin/calls", "localhost", 403),
        ("http://localhost/__admin/calls", "evil.test", 200),
        ("http://127.0.0.1:80/__admin/health", "evil.test", 200),
        ("http://me@localhost/__admin/calls", "localhost", 400),
        ("http:///__admin/calls", "localhost", 400),
        ("http://[::1/__admin/calls", "localhost", 400),
        ("ftp://localhost/__admin/calls", "localhost", 400),
        ("http://localhost/__admin/calls", "a b", 400),
    ],
)
def test_the_host_of_the_target_counts(api: Api, target: str, host: str, status: int) -> None:
    """RFC 9112, 3.2.2."""
    sent = head(api, f"Host: {host}", "Connection: close", host=False, target=target, method="GET")
    assert statuses(all_of(api, sent)) == [status]


def test_the_coding_of_a_body_in_http_1_0_ends_the_connection(api: Api) -> None:
    """RFC 9112, 6.1."""
    first = head(api, "Connection: keep-alive", "Transfer-Encoding: chunked", version="1.0") + b"0\r\n\r\n"
    before = calls(api)
    answers = all_of(api, first + head(api))
    assert statuses(answers) == [200]
    assert b"connection: close" in answers.lower()
    assert calls(api) == before + 1


@pytest.mark.parametrize(
    "coding,status",
    [("gzip, chunked", 501), ("gzip", 400), ("chunked, chunked", 400), ("chunked, gzip", 400), ("Chunked", 200)],
)
def test_a_body_in_another_coding_is_refused(api: Api, coding: str, status: int) -> None:
    """RFC 9112, 6.1 and 7."""
    sent = head(api, f"Transfer-Encoding: {coding}", "Connection: close") + b"0\r\n\r\n"
    assert statuses(all_of(api, sent)) == [status]


def test_a_client_of_http_1_0_is_not_told_to_go_on(api: Api) -> None:
    """RFC 9110, 10.1.1."""
    sent = head(api, "Expect: 100-continue", "Content-Length: 2", AS_JSON, version="1.0") + b"{}"
    assert statuses(all_of(api, sent)) == [200]


def test_a_client_of_http_1_1_is_told_to_go_on(api: Api) -> None:
    sent = head(api, "Expect: 100-continue", "Content-Length: 2", AS_JSON, "Connection: close") + b"{}"
    assert statuses(all_of(api, sent)) == [100, 200]


def test_an_answer_to_http_1_0_is_not_in_chunks(api: Api) -> None:
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=30) as connection:
        connection.sendall(head(api, target="/__admin/events", method="GET", version="1.0"))
        with connection.makefile("rb") as read:
            lines = []
            while line := read.readline().strip():
                lines.append(line.lower())
            assert not any(line.startswith(b"transfer-encoding") for line in lines)
            assert read.readline() == b":\n"


@pytest.mark.parametrize(
    "target,status",
    [("/__admin/health?x=" + "a" * 50_000, 200), ("/__admin/health?x=" + "a" * 66_000, 414), ("/" + "a" * 90_000, 414)],
    ids=["50 kB", "66 kB", "90 kB"],
)
def test_a_target_that_is_too_long_is_414(api: Api, target: str, status: int) -> None:
    """RFC 9112, 3."""
    assert statuses(api.exchange(head(api, "Connection: close", target=target, method="GET"))) == [status]


@pytest.mark.parametrize("size,status", [(50_000, 200), (65_000, 200), (66_000, 431)])
def test_a_head_is_taken_up_to_its_bound_however_it_arrives(api: Api, size: int, status: int) -> None:
    """Also when it comes in several reads."""
    filler = [f"X-{n}: {'y' * 1000}" for n in range(size // 1008)]
    sent = head(api, *filler, "Connection: close", target="/__admin/health", method="GET")
    assert abs(len(sent) - size) < 1_100
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), 7_000):
            connection.sendall(sent[start : start + 7_000])
        assert statuses(connection.recv(65_536)) == [status]


@pytest.mark.parametrize(
    "lines,target",
    [
        ([f"X-{n}: y" for n in range(200)], None),
        (["Host: again"], None),
        ([], "/" + "a" * 70_000),
        (["Transfer-Encoding: gzip, chunked"], None),
        (["Content-Length: 900000"], None),
    ],
    ids=["headers", "hosts", "target", "coding", "body"],
)
def test_a_refused_head_request_gets_no_body(api: Api, lines: list[str], target: str | None) -> None:
    """RFC 9110, 9.3.2."""
    answer = all_of(api, head(api, *lines, target=target, method="HEAD"))
    start, _, body = answer.partition(b"\r\n\r\n")
    assert statuses(start)[0] >= 400
    assert (b"content-length" in start.lower(), body) == (True, b"")


@pytest.mark.parametrize(
    "sent,status",
    [
        ("FOO /__admin/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        ("GET /__admin/health HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        ("GET /__admin/health\r\nHost: localhost\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("\r\nGET /__admin/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
        ("GET /__admin/health#x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
    ],
)
def test_a_first_line_is_read_as_the_rfc_has_it(api: Api, sent: str, status: int) -> None:
    """RFC 9112, 2.2, 2.3 and 3; RFC 9110, 15.6.2 and 15.6.6."""
    assert statuses(all_of(api, sent.encode())) == [status]


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: x",),
        ("Content-Length: +2",),
        ("Content-Length: 2_0",),
        ("Content-Length: 0x2",),
        ("Content-Length: -2",),
        ("X: 1", " folded: 2"),
        ("X : 1",),
        (": 1",),
        ("X: a\0b",),
        ("X: a\rb",),
        ("X(: 1",),
    ],
)
def test_a_request_that_could_be_taken_for_two_is_refused(api: Api, lines: tuple[str, ...]) -> None:
    """RFC 9112, 5.1, 5.2 and 6.3 (request smuggling)."""
    before = calls(api)
    answers = all_of(api, head(api, *lines) + b"{}" + head(api))
    assert statuses(answers) == [400]
    assert calls(api) == before


def test_leading_zeros_of_a_length_are_ignored(api: Api) -> None:
    lines = (AS_JSON, f"Content-Length: {'0' * 20}{len(JSON_BODY)}", "Connection: close")
    assert statuses(all_of(api, head(api, *lines, target=f"{api.path}/flash_call") + JSON_BODY)) == [200]


@pytest.mark.parametrize(
    "chunks,status",
    [
        (b"5;a=b\r\n     \r\n0\r\n\r\n", 200),
        (b'5;a="b;c"\r\n     \r\n0;x\r\n\r\n', 200),
        (b"5\r\n     \r\n0\r\nX: y\r\n\r\n", 200),
        (b"5\r\n      \r\n0\r\n\r\n", 400),
        (b"-5\r\n     \r\n0\r\n\r\n", 400),
        (b"5 \n     \r\n0\r\n\r\n", 400),
        (b"ffffffffffffffffff\r\n \r\n0\r\n\r\n", 400),
    ],
)
def test_chunks_are_read_as_the_rfc_has_them(api: Api, chunks: bytes, status: int) -> None:
    """RFC 9112, 7.1: extensions and trailers are ignored."""
    assert statuses(all_of(api, head(api, "Transfer-Encoding: chunked", "Connection: close") + chunks)) == [status]


@pytest.mark.parametrize(
    "chunks",
    [b"0\r\nX: " + b"y" * 2_000_000, b"0\r\n" + b"X: y\r\n" * 300_000, b"5;a=" + b"x" * 2_000_000],
    ids=["field", "fields", "extension"],
)
def test_what_follows_a_chunked_body_is_bounded_like_the_head(api: Api, chunks: bytes) -> None:
    sent = head(api, "Transfer-Encoding: chunked") + chunks
    before = calls(api)
    answer = api.exchange(sent)
    assert statuses(answer) in ([431], [])  # it may close on what it does not want to read
    assert calls(api) == before


def test_many_small_chunks_are_a_body(api: Api) -> None:
    body = JSON_BODY + b" " * 60_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    lines = (AS_JSON, "Transfer-Encoding: chunked", "Connection: close")
    assert statuses(all_of(api, head(api, *lines, target=f"{api.path}/flash_call") + chunks)) == [200]


@pytest.mark.parametrize("kind", ["cut_off", "reset"])
def test_nothing_follows_an_answer_that_a_fault_ends(api: Api, kind: str) -> None:
    """RFC 9112, 9.6: what is sent behind it is neither answered nor placed."""
    faults = f"{api.url}/__admin/accounts/{api.account_id}/faults"
    requests.put(faults, json=[{"kind": kind, "times": 1}], timeout=30).raise_for_status()
    before = calls(api)
    try:
        answers = all_of(api, head(api) * 3)
    except OSError:  # the reset, which may come before the client has ended its half
        answers = b""
    assert calls(api) == before + 1
    assert len(statuses(answers)) == (1 if kind == "cut_off" else 0)
    assert b"HTTP/1.1" not in answers.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "lines,version", [(("Connection: close",), "1.1"), ((), "1.0"), (("connection: Close",), "1.1")]
)
def test_nothing_follows_the_last_request(api: Api, lines: tuple[str, ...], version: str) -> None:
    before = calls(api)
    assert statuses(all_of(api, head(api, *lines, version=version) + head(api) * 3)) == [200]
    assert calls(api) == before + 1


@pytest.mark.parametrize(
    "path",
    ["//v2/rest/account/{}/flash_call", "/v2//rest/account/{}/flash_call", "/v2/rest/account//{}///flash_call",
     "///v2/rest/account/{}/flash_call", "/v2/rest/account/{}//flash_call//"],
)  # fmt: skip
def test_several_slashes_count_as_one_and_the_request_is_the_accounts(api: Api, path: str) -> None:
    path = path.format(api.account_id)
    answer = api.exchange(head(api, target=f"{path}{QUERY}"))
    assert statuses(answer) == [200]
    url = f"{api.url}/__admin/requests?account_id={api.account_id}&order=newest&limit=1"
    (newest,) = requests.get(url, timeout=30).json()["items"]
    assert (newest["path"], newest["account_id"], newest["status"]) == (path, api.account_id, 200)
    assert any("two slashes in a row" in told for told in newest["undocumented"])


@pytest.mark.parametrize("path", ["//__admin/calls", "/__admin//calls", "///__admin///calls"])
def test_several_slashes_are_no_way_past_the_guard(api: Api, path: str) -> None:
    for host, status in (("localhost", 200), ("evil.test", 403)):
        sent = head(api, f"Host: {host}", "Connection: close", target=path, method="GET", host=False)
        assert statuses(all_of(api, sent)) == [status]


@pytest.mark.parametrize(
    "content_type,body",
    [
        ("Application/Json", JSON_BODY),
        ("APPLICATION/JSON; Charset=UTF-8", JSON_BODY),
        ("application/json ;charset=utf-8", JSON_BODY),
        ("Application/X-WWW-Form-Urlencoded", b"login_did=79157777777&code=0042"),
        (
            "Multipart/Form-Data; Boundary=x",
            (
                b'--x\r\nContent-Disposition: form-data; name="login_did"\r\n\r\n79157777777\r\n'
                b'--x\r\ncontent-disposition: Form-Data; name="code"\r\n\r\n0042\r\n--x--\r\n'
            ),
        ),
    ],
)
def test_media_types_are_case_insensitive(api: Api, content_type: str, body: bytes) -> None:
    """RFC 9110, 8.3.1."""
    response = api.post(data=body, headers={**api.auth, "Content-Type": content_type})
    assert (response.status_code, response.json().get("object", {}).get("code")) == (200, "0042")


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("framing", ["length", "chunks", "large"])
def test_an_admin_request_that_is_cut_off_changes_nothing(api: Api, method: str, framing: str) -> None:
    opened = requests.post(f"{api.url}/__admin/accounts", json={"balance": "1.00"}, timeout=30).json()
    target = f"/__admin/accounts/{opened['id']}"
    requests.put(f"{api.url}{target}/faults", json=[{"kind": "delay", "delay_s": 9}], timeout=30).raise_for_status()
    paths = {"POST": f"{target}/webhooks", "PATCH": target, "PUT": f"{target}/faults", "DELETE": target}
    before = requests.get(f"{api.url}{target}", timeout=30).json()
    line = {"length": "Content-Length: 60", "chunks": "Transfer-Encoding: chunked", "large": "Content-Length: 70000"}
    sent = head(api, line[framing], target=paths[method], method=method)
    answer = all_of(api, sent + {"length": b"", "chunks": b"5\r\n[]", "large": b""}[framing])
    assert statuses(answer) == [413 if framing == "large" else 400]
    assert requests.get(f"{api.url}{target}", timeout=30).json() == before
    assert requests.delete(f"{api.url}{target}", timeout=30).status_code == 204


def test_a_held_call_is_not_completed_by_a_request_that_is_cut_off(api: Api) -> None:
    account = f"{api.url}/__admin/accounts/{api.account_id}"
    requests.patch(account, json={"calls_held": True}, timeout=30).raise_for_status()
    try:
        uuid = api.post(query=QUERY[1:]).json()["object"]["verification_call_uuid"]
        all_of(api, head(api, "Content-Length: 30", target=f"/__admin/calls/{uuid}/complete"))
        assert requests.get(f"{api.url}/__admin/calls/{uuid}", timeout=30).json()["state"] == "ringing"
    finally:
        requests.patch(account, json={"calls_held": False}, timeout=30).raise_for_status()


def test_who_is_not_authorized_is_told_how_to_be(api: Api) -> None:
    """RFC 9110, 15.5.2. Java's client fails without it."""
    response = api.post(query=QUERY[1:], headers={})
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


LONE = '"\\ud800"'


@pytest.mark.parametrize(
    "content",
    [
        f'{{"login_did": "{RUSSIAN}", "note": {LONE}}}',
        f'{{"login_did": "{RUSSIAN}", {LONE}: "note"}}',
        f'{{"login_did": "{RUSSIAN}", {LONE}: 1, {LONE}: 2}}',
        f'{{"login_did": "{RUSSIAN}", "note": [{LONE}]}}',
        f'{{"login_did": {LONE}}}',
        f'{{"login_did": "{RUSSIAN}", "note": "a\\udfffb"}}',
    ],
)
def test_a_lone_surrogate_in_json_is_refused(api: Api, content: str) -> None:
    response = api.post(data=content.encode(), headers={**api.auth, "Content-Type": "application/json"})
    assert refusal(response)[:2] == (400, "invalid_parameter")
    assert_lists_are_answered(api)


@pytest.mark.parametrize(
    "settings",
    [
        {"query": "login_did=79157777777&note=%ED%A0%80"},
        {"query": "login_did=79157777777&%ED%A0%80=1"},
        {"data": b"login_did=79157777777&note=%ED%A0%80"},
        {"data": b"login_did=79157777777&note=\xed\xa0\x80"},
        {"data": b'--x\r\nContent-Disposition: form-data; name="login_did"\r\n\r\n79157777777\r\n'
                 b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\n\xed\xa0\x80\r\n--x--\r\n',
         "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"data": b'--x\r\nContent-Disposition: form-data; name="login_did"\r\n\r\n79157777777\r\n'
                 b'--x\r\nContent-Disposition: form-data; name="\xed\xa0\x80"\r\n\r\n1\r\n--x--\r\n',
         "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"data": b'{"login_did": "79157777777", "note": "\xed\xa0\x80"}',
         "headers": {"Content-Type": "application/json"}},
    ],
)  # fmt: skip
def test_a_surrogate_in_any_body_or_query_is_refused(api: Api, settings: dict[str, Any]) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"} if "data" in settings else {}
    headers = {**api.auth, **form, **settings.pop("headers", {})}
    assert refusal(api.post(**settings, headers=headers))[:2] == (400, "invalid_parameter")
    assert_lists_are_answered(api)


@pytest.mark.parametrize(
    "lines,target",
    [
        (["User-Agent: \xed\xa0\x80"], None),
        (["Content-Type: \xed\xa0\x80"], None),
        (["Authorization: Bearer \xed\xa0\x80"], None),
        (["Origin: http://\xed\xa0\x80"], None),
        ([], "/v2/rest/account/%ED%A0%80/flash_call"),
        ([], "/v2/rest/account/\xed\xa0\x80/flash_call"),
        ([], "/v2/rest/%ED%A0%80"),
    ],
)
def test_a_surrogate_in_a_header_or_in_the_path_harms_nobody(api: Api, lines: list[str], target: str | None) -> None:
    before = calls(api)
    answer = api.exchange(head(api, *lines, "Connection: close", target=target))
    assert statuses(answer)[0] in {200, 400, 401, 403, 404}
    json.loads(answer.partition(b"\r\n\r\n")[2].decode())
    assert_lists_are_answered(api)
    assert calls(api) - before <= 1


@pytest.mark.parametrize("path", ["", "/outcomes", "/webhooks", "/top_up", "/calls"])
def test_a_lone_surrogate_is_refused_by_the_admin_api_too(api: Api, path: str) -> None:
    method = {"": "PATCH", "/outcomes": "PUT"}.get(path, "POST")
    for content in (f'{{"login_did": {LONE}}}', f"{{{LONE}: 1}}", f"[{LONE}]", f"{{{LONE}: 1, {LONE}: 2}}"):
        url = f"{api.url}/__admin/accounts/{api.account_id}{path}"
        assert refusal(requests.request(method, url, data=content, timeout=30))[:2] == (400, "invalid_parameter")


def assert_lists_are_answered(api: Api) -> None:
    for url in (f"{api.url}/__admin/requests?order=newest&limit=3", f"{api.url}/__admin/calls?order=newest&limit=3"):
        assert requests.get(url, timeout=30).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://api.mcn.ru", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://api.mcn.ru", "Referer": "https://api.mcn.ru/", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://base.mcn.ru", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Origin": "https://api.mcntele.com"},
        {"Origin": "https://api.kompaas.tech"},
        {"Origin": "https://API.MCN.RU:443"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_request_copied_from_the_vendors_page_is_taken_by_his_api_alone(api: Api, headers: dict[str, str]) -> None:
    assert api.post(query=QUERY[1:], headers={**api.auth, **headers}).status_code == 200
    admin = requests.post(f"{api.url}/__admin/reset", headers=headers, data=b"[", timeout=30)
    assert admin.status_code == (403 if "Origin" in headers else 400)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://api.mcn.ru", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evilmcn.ru"},
        {"Origin": "https://api.mcn.ru.evil.test"},
        {"Origin": "https://mcn.ru@evil.test"},
        {"Origin": "file://api.mcn.ru"},
        {"Origin": "null"},
    ],
)
def test_a_request_of_another_page_is_not(api: Api, headers: dict[str, str]) -> None:
    assert refusal(api.post(query=QUERY[1:], headers={**api.auth, **headers}))[:2] == (403, "forbidden")
