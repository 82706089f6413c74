from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound, RefusalCode, UsageError
from pytest_mcn_mock.model import accounts
from pytest_mcn_mock.model.accounts import Account, add_fault, add_subscription, connect_number, prefer_rule, take_fault
from pytest_mcn_mock.model.assumptions import DEFAULT_STATUS, Assumptions
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.outcomes import Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.webhooks import MAX_FIELD_LENGTH, WebhookMethod, make_subscription

EMPTY = Account("12345678", "test-token", 1)
HOOK = make_subscription("http://localhost/hook")


def rule(outcome: str, login_did: str) -> OutcomeRule:
    return OutcomeRule(ending(outcome, unavailable_cause=20), login_did)


@pytest.mark.parametrize("account_id", ["1", "12345678", "999999999999999"])
def test_an_id_is_one_to_fifteen_digits(account_id: str) -> None:
    assert accounts.is_account_id(account_id)


@pytest.mark.parametrize("text", ["", "0", "01", "1" * 16, "1" * 40, "-1", "1.0", "x", "١٢٣", "1\n", " 1"])
def test_anything_else_is_no_id(text: str) -> None:
    assert not accounts.is_account_id(text)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ключ", "x" * 513, "\x7f"])
def test_a_token_can_be_sent_in_a_header(token: str) -> None:
    with pytest.raises(UsageError, match="visible ASCII"):
        Account("1", token, 1)


@pytest.mark.parametrize("seed", [True, -1, 2**63])
def test_a_seed_is_a_natural_number_of_63_bits(seed: int) -> None:
    with pytest.raises(UsageError, match="seed"):
        Account("1", "t", seed)


def test_subscriptions_are_numbered_from_1_and_a_number_is_not_used_twice() -> None:
    account = add_subscription(add_subscription(EMPTY, HOOK), HOOK)
    assert [s.number for s in account.subscriptions] == [1, 2]
    account = add_subscription(replace(account, subscriptions=account.subscriptions[1:]), HOOK)
    assert [s.number for s in account.subscriptions] == [2, 3]


def test_a_subscription_is_found_by_its_number() -> None:
    account = add_subscription(add_subscription(EMPTY, HOOK), make_subscription("http://localhost/other"))
    assert accounts.find_subscription(account, 2).url == "http://localhost/other"
    with pytest.raises(NotFound, match="no subscription 3"):
        accounts.find_subscription(account, 3)


def test_a_subscription_is_replaced_in_its_place() -> None:
    account = add_subscription(add_subscription(EMPTY, HOOK), HOOK)
    changed = accounts.replace_subscription(account, replace(account.subscriptions[0], enabled=False))
    assert [(s.number, s.enabled) for s in changed.subscriptions] == [(1, False), (2, True)]


def test_the_rule_set_last_is_tried_first_and_drops_the_older_one_for_its_pattern() -> None:
    account = prefer_rule(prefer_rule(EMPTY, rule("busy", "7915*")), rule("answered", "*"))
    account = prefer_rule(account, rule("no_answer", "7915*"))
    assert [(r.login_did, r.ending.outcome) for r in account.outcome_rules] == [
        ("7915*", Outcome.NO_ANSWER),
        ("*", Outcome.ANSWERED),
    ]


@pytest.mark.parametrize("number", ["", "0", "12345", "1" * 16, "+7 915", "number", None, 79158888888])
def test_only_a_number_can_be_connected(number: Any) -> None:
    with pytest.raises(UsageError, match="cannot be connected"):
        connect_number(EMPTY, number)


def test_an_account_holds_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MAX_NUMBERS", "MAX_SUBSCRIPTIONS", "MAX_RULES", "MAX_FAULTS"):
        monkeypatch.setattr(accounts, limit, 1)
    fault = Fault(FaultKind.RESET)
    account = connect_number(
        add_subscription(prefer_rule(add_fault(EMPTY, fault), rule("busy", "1*")), HOOK), "79158888888"
    )
    assert connect_number(account, "79158888888") == account, "it is connected already"
    one_more: list[Callable[[], Account]] = [
        lambda: connect_number(account, "79159999999"),
        lambda: add_subscription(account, HOOK),
        lambda: prefer_rule(account, rule("busy", "2*")),
        lambda: add_fault(account, fault),
    ]
    for more in one_more:
        with pytest.raises(UsageError, match="already"):
            more()


def test_a_fault_is_taken_from_the_account_and_every_draw_is_counted() -> None:
    account = add_fault(EMPTY, Fault(FaultKind.RESET))
    nothing, account = take_fault(account, of_cdr=True)
    assert (nothing, account.fault_draws) == (None, 1)
    fault, account = take_fault(account, of_cdr=False)
    assert fault == Fault(FaultKind.RESET)
    assert (account.faults, account.fault_draws) == ((), 2)
    assert take_fault(account, of_cdr=False) == (None, account)


@pytest.mark.parametrize(
    "url",
    ["http://localhost", "HTTPS://host:8443/x?y=1", "http://127.0.0.1:8000/", "http://[::1]:80/", "http://хост.рф/"],
)
def test_a_subscription_takes_any_http_url(url: str) -> None:
    assert make_subscription(url).url == url


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "javascript:x", "//host/x", "http://host/\n", "http://h\x00st/", "http://:80/"]
)
def test_a_subscription_takes_no_other_url(url: str) -> None:
    with pytest.raises(UsageError, match="url"):
        make_subscription(url)


@pytest.mark.parametrize("method", ["get", "GET", WebhookMethod.GET])
def test_a_webhooks_method_may_be_written_either_way(method: str) -> None:
    assert make_subscription("http://localhost/", method=method).method is WebhookMethod.GET


@pytest.mark.parametrize("value", ["a\r\nInjected: 1", "a\nb", "a\rb", "a\x00b", "\x7f", "\t"])
def test_a_header_cannot_smuggle_in_another(value: str) -> None:
    with pytest.raises(UsageError, match="one line of text") as refused:
        make_subscription("http://localhost/", headers={"X-Key": value})
    assert value not in str(refused.value), "it may be a secret"


@pytest.mark.parametrize("name", ["", "X:Y", "X\r\nY", "имя", "X Y", 'X"', "X\x00"])
def test_a_headers_name_is_a_token(name: str) -> None:
    with pytest.raises(UsageError, match="headers"):
        make_subscription("http://localhost/", headers={name: "1"})


@pytest.mark.parametrize("field", ["headers", "query", "constants"])
def test_a_field_is_as_long_as_the_limit_and_no_longer(field: str) -> None:
    fits: dict[str, Any] = {field: {"x": "y" * MAX_FIELD_LENGTH}}
    assert getattr(make_subscription("http://localhost/", **fits), field) == fits[field]
    too_long: dict[str, Any] = {field: {"x": "y" * (MAX_FIELD_LENGTH + 1)}}
    with pytest.raises(UsageError, match="too long"):
        make_subscription("http://localhost/", **too_long)
    too_many: dict[str, Any] = {field: {f"x{i}": "" for i in range(65)}}
    with pytest.raises(UsageError, match=f"{field} has 65 fields"):
        make_subscription("http://localhost/", **too_many)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://localhost/\ud800"},
        {"headers": {"X": "\udfff"}},
        {"query": {"x": "a\ud83d"}},
        {"query": {"\udc00": "x"}},
        {"constants": {"x": "\ud800"}},
    ],
)
def test_half_a_character_is_refused_before_a_cdr_cannot_be_sent_for_it(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"url|cannot be sent"):
        make_subscription(**{"url": "http://localhost/", **settings})


def test_a_whole_character_is_none_of_two_halves() -> None:
    assert make_subscription("http://localhost/", constants={"x": "\N{TELEPHONE RECEIVER}"}).constants


@pytest.mark.parametrize("variable", [None, 5, ["did"], {"did": 1}])
def test_a_variable_is_a_name(variable: Any) -> None:
    with pytest.raises(UsageError, match="is unknown"):
        make_subscription("http://localhost/", body=[variable])


def test_a_subscription_is_not_changed_by_changing_what_it_was_made_of() -> None:
    body, headers = ["did"], {"X": "1"}
    subscription = make_subscription("http://localhost/", body=body, headers=headers)
    body.append("number")
    headers["X"] = "2"
    assert (subscription.body, subscription.headers) == (("did",), {"X": "1"})


@pytest.mark.parametrize("cause", [16, 17, 31])
def test_a_cause_with_a_row_of_its_own_cannot_stand_for_unavailable(cause: int) -> None:
    with pytest.raises(UsageError, match="another meaning"):
        Assumptions(unavailable_cause=cause)


@pytest.mark.parametrize("status", [0, 199, 600, "402", 402.0, None, True])
def test_a_refusals_status_is_an_http_status(status: Any) -> None:
    with pytest.raises(UsageError, match="insufficient_funds"):
        Assumptions(error_status={RefusalCode.INSUFFICIENT_FUNDS: status})


def test_a_status_that_is_not_set_is_the_default_one() -> None:
    assumptions = Assumptions(error_status={RefusalCode.INSUFFICIENT_FUNDS: 200})
    assert assumptions.status_of(RefusalCode.INSUFFICIENT_FUNDS) == 200
    assert assumptions.status_of(RefusalCode.UNAUTHORIZED) == 401
    assert set(DEFAULT_STATUS) == set(RefusalCode)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.1, "1", True, None])
@pytest.mark.parametrize("name", ["cdr_delay_s", "ack_timeout_s", "retry_after_s"])
def test_every_time_is_a_number_of_seconds(name: str, seconds: Any) -> None:
    assumed: dict[str, Any] = {name: (seconds,) if name == "retry_after_s" else seconds}
    with pytest.raises(UsageError, match=name):
        Assumptions(**assumed)
