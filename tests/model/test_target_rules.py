from __future__ import annotations

import pytest

from pytest_mcn_mock import UsageError
from pytest_mcn_mock.model.webhooks import make_targets

LOCAL = make_targets(["127.0.0.0/8", "::1/128", "localhost", "*.example.test"])


@pytest.mark.parametrize(
    "address,allowed",
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:a9fe:a9fe", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("::", False),
        ("127.1", False),
        ("2130706433", False),
        ("0x7f000001", False),
        ("0177.0.0.1", False),
        ("127.0.0.1.", False),
        ("example.test", False),
        ("", False),
    ],
)
def test_an_address_is_allowed_by_its_network_however_it_is_written(address: str, allowed: bool) -> None:
    assert LOCAL.allows_address(address) is allowed


def test_an_ipv4_address_does_not_pass_as_an_ipv6_one() -> None:
    assert make_targets(["::/0"]).allows_address("::ffff:10.0.0.1") is False
    assert make_targets(["0.0.0.0/0"]).allows_address("::1") is False


@pytest.mark.parametrize(
    "host,allowed",
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("a.example.test", True),
        ("a.b.Example.test", True),
        ("example.test", False),
        ("example.test.evil", False),
        ("notexample.test", False),
        ("localhost.evil", False),
        ("*.example.test", True),
        ("", False),
    ],
)
def test_a_name_is_allowed_as_a_whole_or_by_its_end(host: str, allowed: bool) -> None:
    assert LOCAL.allows_name(host) is allowed


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/a", "http://[::1]/", "https://a.example.test", "http://any.test"]
)
def test_what_may_be_allowed_is_taken(url: str) -> None:
    LOCAL.check(url)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://2130706433/", "http://0x7f.1/", "http://127.1/"]
)
def test_an_address_that_can_never_be_allowed_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError, match=r"not among the webhook_targets, which are 127\.0\.0\.0/8, ::1/128, \*\."):
        LOCAL.check(url)


def test_without_a_network_a_name_that_is_not_listed_can_never_be_allowed() -> None:
    with pytest.raises(UsageError, match="not among"):
        make_targets(["app.test"]).check("http://other.test/")
    with pytest.raises(UsageError, match="which are none"):
        make_targets([]).check("http://other.test/")


@pytest.mark.parametrize(
    "item", ["127.0.0.1/8", "10.0.0.0/33", "a b", "*", "*.", "a.*.b", "-a", "http://x", "x:80", ""]
)
def test_what_is_neither_a_network_nor_a_host_is_named(item: str) -> None:
    with pytest.raises(UsageError, match="webhook_targets"):
        make_targets([item])
