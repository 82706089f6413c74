from __future__ import annotations

from typing import Any

import pytest

from pytest_mcn_mock.errors import UsageError
from pytest_mcn_mock.model.cdr import VARIABLES
from pytest_mcn_mock.model.webhooks import MAX_FIELD_LENGTH, WebhookMethod, make_subscription, make_targets

FIELDS = ("headers", "query", "constants")
TEXT: dict[str, Any] = {"data_type": "text"}
LOCAL = make_targets(["127.0.0.0/8", "::1/128", "localhost", "*.example.test"])


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"url": "ftp://host/"}, "url"),
        ({"url": "http://localhost/\ud800"}, "url"),
        ({"body": ["q931_statuss"]}, "did you mean 'q931_status'"),
        ({"body": "q931_status"}, "list"),
        ({"body": ["q931_status"] * 65}, "at most 64"),
        *(({"body": [variable]}, "is unknown") for variable in (None, 5, ["did"], {"did": 1})),
        ({"method": "PUT"}, "POST or GET"),
        *(({"headers": {name: "1"}}, "headers") for name in ("", "X:Y", "X\r\nY", "имя", "X Y", 'X"', "X\x00")),
        ({"headers": {"X": 5}}, "headers"),
        ({"headers": {"content-length": "5"}}, "frames the request"),
        ({"headers": {"X": "\udfff"}}, "cannot be sent"),
        ({"query": {"x": None}}, "query"),
        ({"query": {"x": "a\ud83d"}}, "cannot be sent"),
        ({"query": {"\udc00": "x"}}, "cannot be sent"),
        ({"constants": {"x": 1.5}}, "constants"),
        ({"constants": {"x" * 5000: "y"}}, "too long"),
        ({"constants": {"x": "\ud800"}}, "cannot be sent"),
        ({"constants": {"x": 10**5000}}, "too long"),
        *(({field: {"${{did}}": "1"}}, f"{field}: .* has a variable in a key") for field in FIELDS),
        *(({field: {"x": "a ${{numbr}}"}}, f"{field}: variable 'numbr' is unknown; did you mean") for field in FIELDS),
        *(({field: {"x": "${{did}} ${{did}"}}, f"{field}: .* has no }}") for field in FIELDS),
        *(({field: {"x": "${{did}}" * 257}}, "257 times; at most 256") for field in FIELDS),
        (TEXT | {"template": "${{ did }}"}, "template: variable ' did ' is unknown"),
        (TEXT | {"template": "${{${{did}}}}"}, "template: .* has no }}"),
        (TEXT | {"template": "${{" * 20_000}, "template: .* has no }}"),
        (TEXT | {"template": "x" * 65_537}, "template is not a text of at most 65536"),
        (TEXT | {"template": "\ud800"}, "template is not a text"),
        (TEXT, "template is missing"),
        ({"template": "x"}, "template is for"),
        (TEXT | {"template": "x", "all_variables": True}, "all_variables is for"),
        (TEXT | {"template": "x", "constants": {"a": 1}}, "constants are for"),
        (TEXT | {"template": "x", "method": "GET"}, 'needs method = "POST"'),
        ({"all_variables": True, "method": "GET"}, 'needs method = "POST"'),
        ({"all_variables": True, "values": "text"}, "values = .* is for the flat body"),
        ({"data_type": "xml"}, "data_type is 'xml'; use json or text"),
        ({"values": None}, "values is None; use typed or text"),
        ({"all_variables": 1}, "all_variables is 1"),
        ({"filter": {"variable": "did", "value": 1}}, r"filter is .* use a list, such as \[\{\"variable\""),
        ({"filter": [{"variable": "did", "value": 1}] * 33}, "filter has 33 conditions; at most 32"),
    ],
)
def test_a_wrong_setting_of_a_subscription_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_subscription(**{"url": "http://localhost/hook", **settings})


@pytest.mark.parametrize("value", ["a\r\nInjected: 1", "a\nb", "a\rb", "a\x00b", "\x7f", "\t"])
def test_a_header_cannot_smuggle_in_another(value: str) -> None:
    with pytest.raises(UsageError, match="one line of text") as refused:
        make_subscription("http://localhost/", headers={"X-Key": value})
    assert value not in str(refused.value), "it may be a secret"


@pytest.mark.parametrize("field", ["headers", "query", "constants"])
def test_a_field_is_as_long_as_the_limit_and_no_longer(field: str) -> None:
    fits: dict[str, Any] = {field: {"x": "y" * MAX_FIELD_LENGTH}}
    assert getattr(make_subscription("http://localhost/", **fits), field) == fits[field]
    too_long: dict[str, Any] = {field: {"x": "y" * (MAX_FIELD_LENGTH + 1)}}
    with pytest.raises(UsageError, match="too long"):
        make_subscription("http://localhost/", **too_long)
    too_many: dict[str, Any] = {field: {f"x{i}": "" for i in range(65)}}
    with pytest.raises(UsageError, match=f"{field} has 65 fields; at most 64"):
        make_subscription("http://localhost/", **too_many)


@pytest.mark.parametrize("method", ["get", "GET", WebhookMethod.GET])
def test_a_webhooks_method_may_be_written_either_way(method: str) -> None:
    assert make_subscription("http://localhost/", method=method).method is WebhookMethod.GET


def test_a_whole_character_is_none_of_two_halves() -> None:
    assert make_subscription("http://localhost/", constants={"x": "\N{TELEPHONE RECEIVER}"}).constants


def test_a_subscription_is_not_changed_by_changing_what_it_was_made_of() -> None:
    body, headers = ["did"], {"X": "1"}
    subscription = make_subscription("http://localhost/", body=body, headers=headers)
    body.append("number")
    headers["X"] = "2"
    assert (subscription.body, subscription.headers) == (("did",), {"X": "1"})


def test_a_subscription_keeps_its_secrets_out_of_its_repr() -> None:
    assert "s3cret" not in repr(make_subscription("http://localhost/", headers={"Authorization": "s3cret"}))


def test_every_documented_variable_is_sent_by_default() -> None:
    assert make_subscription("http://localhost/").body == ("verification_call_uuid", "q931_status", "final_status")
    assert set(make_subscription("http://localhost/").body) < set(VARIABLES)


@pytest.mark.parametrize(
    "address,allowed",
    [
        *((address, True) for address in ("127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1")),
        *((address, False) for address in ("10.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "169.254.169.254")),
        *((address, False) for address in ("0.0.0.0", "::", "127.1", "2130706433", "0x7f000001", "0177.0.0.1")),
        *((no_address, False) for no_address in ("127.0.0.1.", "example.test", "")),
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
        *((host, True) for host in ("localhost", "LOCALHOST", "localhost.", "a.example.test", "a.b.Example.test")),
        ("*.example.test", True),
        *((host, False) for host in ("example.test", "example.test.evil", "notexample.test", "localhost.evil", "")),
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


@pytest.mark.parametrize("targets,listed", [(["app.test"], "app.test"), ([], "none")])
def test_without_a_network_a_name_that_is_not_listed_can_never_be_allowed(targets: list[str], listed: str) -> None:
    with pytest.raises(UsageError, match=f"not among the webhook_targets, which are {listed}"):
        make_targets(targets).check("http://other.test/")


@pytest.mark.parametrize(
    "item", ["127.0.0.1/8", "10.0.0.0/33", "a b", "*", "*.", "a.*.b", "-a", "http://x", "x:80", ""]
)
def test_what_is_neither_a_network_nor_a_host_is_named(item: str) -> None:
    with pytest.raises(UsageError, match="webhook_targets"):
        make_targets([item])
