"""What a request is on the wire, byte for byte."""

from __future__ import annotations

import pytest

from pytest_mcn_mock.delivery.client import Origin, Unsendable, render
from pytest_mcn_mock.model.deliveries import CdrRequest


def rendered(
    url: str = "http://app.test/", method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[Origin, list[str]]:
    """The origin, and the lines of the request."""
    origin, data = render(CdrRequest(method, url, headers or {}, body))
    head, end, rest = data.decode().partition("\r\n\r\n")
    assert (end, rest) == ("\r\n\r\n", body.decode())
    return origin, head.split("\r\n")


def test_a_post_tells_its_length_and_a_get_has_none() -> None:
    assert rendered(method="POST", body="ж".encode())[1] == [
        "POST / HTTP/1.1",
        "Host: app.test",
        "Content-Length: 2",
    ]
    assert rendered(method="POST")[1][-1] == "Content-Length: 0"
    assert rendered()[1] == ["GET / HTTP/1.1", "Host: app.test"]


@pytest.mark.parametrize(
    "url,target",
    [
        ("http://a", "/"),
        ("http://a?b=c", "/?b=c"),
        ("http://a/b#c", "/b"),
        ("http://a/b?c#d", "/b?c"),
        ("http://a/звонок?имя=Ж", "/%D0%B7%D0%B2%D0%BE%D0%BD%D0%BE%D0%BA?%D0%B8%D0%BC%D1%8F=%D0%96"),
        ("http://a/%d0%96%2F?b=%26+%20", "/%d0%96%2F?b=%26+%20"),
        ("http://a/100%?%x=%4", "/100%25?%25x=%254"),
        (
            "http://a/b;c=1,2:@!$&'()*~-._?d[]={|}\"<>\\^`/?",
            "/b;c=1,2:@!$&'()*~-._?d%5B%5D=%7B%7C%7D%22%3C%3E%5C%5E%60/?",
        ),
        ("http://a//b/../c", "//b/../c"),
        ("http://a/\x01\x7f", "/%01%7F"),
    ],
)
def test_a_target_is_ascii_and_what_was_encoded_stays_so(url: str, target: str) -> None:
    assert rendered(url)[1][0] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(
    "url,origin,host",
    [
        ("http://App.Test/", (False, "app.test", 80), "app.test"),
        ("http://app.test:80/", (False, "app.test", 80), "app.test"),
        ("https://app.test/", (True, "app.test", 443), "app.test"),
        ("https://app.test:80/", (True, "app.test", 80), "app.test:80"),
        ("http://[::1]/", (False, "::1", 80), "[::1]"),
        ("http://[::1]:8000/", (False, "::1", 8000), "[::1]:8000"),
        ("http://[fe80::1%25eth0]:8000/", (False, "fe80::1%eth0", 8000), "[fe80::1]:8000"),
        ("http://пример.испытание:8000/", (False, "xn--e1afmkfd.xn--80akhbyknj4f", 8000), None),
        ("http://１２７。0.0.1/", (False, "127.0.0.1", 80), "127.0.0.1"),
        ("http://app.test./", (False, "app.test.", 80), "app.test."),
        ("http://u:p@app.test:81/", (False, "app.test", 81), "app.test:81"),
    ],
)
def test_a_host_is_what_is_connected_to(url: str, origin: tuple[bool, str, int], host: str | None) -> None:
    found, lines = rendered(url)
    assert found == origin
    assert lines[1] == f"Host: {host or f'{origin[1]}:{origin[2]}'}"


def test_headers_are_sent_as_they_are_and_a_host_among_them_is_the_only_one() -> None:
    headers = {"X-Key": "ключ", "host": "other.test"}
    assert rendered(headers=headers)[1][1:] == ["X-Key: ключ", "host: other.test"]


@pytest.mark.parametrize(
    "url,sent",
    [
        ("http://u:p@a/", "Basic dTpw"),
        ("http://u@a/", "Basic dTo="),
        ("http://u%40x:%D0%96@a/", "Basic dUB4OtCW"),
        ("http://u@x:ж@a/", "Basic dUB4OtC2"),
    ],
)
def test_user_and_password_of_the_url_are_basic_authorization(url: str, sent: str) -> None:
    assert rendered(url)[1][2] == f"Authorization: {sent}"
    assert rendered(url, headers={"authorization": "Bearer t"})[1][2:] == ["authorization: Bearer t"]


@pytest.mark.parametrize(
    "url,headers,method",
    [
        ("http://a/", {"X": "a\r\nY: b"}, "GET"),
        ("http://a/", {"X": "a\nb"}, "GET"),
        ("http://a/", {"X\r\nY": "a"}, "GET"),
        ("http://a/", {"X": "a\0b"}, "GET"),
        ("http://a/", {"X": "\ud800"}, "GET"),
        ("http://a/", {}, "GET /x HTTP/1.1\r\nX:"),
        ("http://a/\ud800", {}, "GET"),
        ("http://a:b/", {}, "GET"),
        ("http://a:65536/", {}, "GET"),
        ("http://[/", {}, "GET"),
        ("http://a b/", {}, "GET"),
        ("http://s3cret@℀b/", {}, "GET"),
        ("http:///a", {}, "GET"),
        (f"http://{'ж' * 64}/", {}, "GET"),
        ("ftp://a/", {}, "GET"),
        ("a", {}, "GET"),
    ],
)
def test_what_cannot_be_written_is_not_sent_and_not_shown(url: str, headers: dict[str, str], method: str) -> None:
    with pytest.raises(Unsendable, match=r"^the request cannot be sent: ") as raised:
        render(CdrRequest(method, url, headers, b""))
    assert "s3cret" not in str(raised.value)


def test_a_line_break_in_a_url_breaks_no_line() -> None:
    assert rendered("http://a/b\r\nX: c?d\r\ne")[1] == ["GET /bX:%20c?de HTTP/1.1", "Host: a"]
