from __future__ import annotations

from typing import Any

import pytest

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.checks import check_url
from pytest_mcn_mock.text import shown_url

URLS = ["http://localhost", "HTTPS://host:8443/x", "http://127.0.0.1:8000/", "http://[::1]:80/", "http://h/v2/rest/"]
NOT_BASE_URLS = ["http://host/x?y=1", "http://host/#x", "http://u:p@host/", "http://хост.рф/"]


@pytest.mark.parametrize("url", [*URLS, *NOT_BASE_URLS])
def test_a_url_is_http_or_https_with_a_host(url: str) -> None:
    assert check_url(url, name="url", example="http://localhost/") == url


@pytest.mark.parametrize("url", URLS)
def test_paths_can_follow_a_base_url(url: str) -> None:
    assert check_url(url, name="--url", example="http://localhost/", is_base=True) == url


@pytest.mark.parametrize("url", NOT_BASE_URLS)
def test_a_base_url_has_no_user_query_and_fragment(url: str) -> None:
    with pytest.raises(UsageError, match=r"--url .* is not a base URL"):
        check_url(url, name="--url", example="http://localhost/", is_base=True)


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8000", "ftp://host/x", "file:///etc/passwd", "javascript:x", "//host/x"),
        *("http://", "http:///x", "http://:80/", "http://[::1", "http://host:0/", "http://host:99999/"),
        *("http://ho st/", "http://host/\n", "http://host/\r\nX: y", "http://h\x00st/", "http://localhost/\ud800"),
        *("http://host/" + "x" * 2048, None, 5),
    ],
)
def test_anything_else_is_not_a_url(url: Any) -> None:
    with pytest.raises(UsageError, match="url"):
        check_url(url, name="url", example="http://localhost/")


@pytest.mark.parametrize(
    "url,shown",
    [
        ("http://host:80/hook", "http://host:80/hook"),
        ("https://s3:cret@host/hook?s3=cret#s3cret", "https://***@host/hook?***"),
        ("http://host/?mail=s3@cret.test", "http://host/?***"),
        ("http://u:s3?cret@host/", "http://***@host/"),
        ("http://u:s3/cret@host:x/", "http://***@host:x/"),
        ("u:s3cret@host/", "***@host/"),
        ("http://h /?s3cret", "http://h /?***"),
        ("http://[::1/#s3cret", "http://[::1/?***"),
    ],
)
def test_what_may_be_secret_in_a_url_is_hidden_also_where_it_does_not_belong(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert shown_url(url, 9) == shown[:9]
