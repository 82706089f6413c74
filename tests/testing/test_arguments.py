"""What a test passes in: a wrong argument is refused at the call, with its name, its value and what is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from helpers.client import flash_call
from helpers.inner_pytest import run

from pytest_mcn_mock import Account, Assumptions, MCNServer, PaidMethodsAssumptions, Settings, Tariff, UsageError
from pytest_mcn_mock.model.requests import Level

NAN, INF, HUGE = float("nan"), float("inf"), 10**400
NOT_SECONDS = ("1", None, True, NAN, INF, -1, HUGE, [1], Decimal(1))
NOT_BOOL = ("no", 1, 0, None)
NOT_WHOLE = ("2", 2.5, True, NAN, INF, -1, HUGE)


def app(environ: object, start_response: object) -> list[bytes]:
    return []


def each(name: str, values: tuple[Any, ...], call: Callable[[Account, Any], object]) -> list[Any]:
    """A case for each value of the argument."""
    return [pytest.param(call, name, value) for value in values]


def wrong(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


CASES = [
    *each("times", (*NOT_WHOLE, 0), lambda mcn, value: mcn.fail_next(times=value)),
    *each("status", (*NOT_WHOLE, None, 499, 600), lambda mcn, value: mcn.fail_next(status=value)),
    *each("accepted", NOT_BOOL, lambda mcn, value: mcn.fail_next(accepted=value)),
    *each("times", NOT_WHOLE, lambda mcn, value: mcn.inject("cdr_lost", times=value)),
    *each("probability", ("x", None, True, NAN, INF, 0, 2), lambda mcn, value: mcn.inject("reset", probability=value)),
    *each("delay_s", NOT_SECONDS, lambda mcn, value: mcn.inject("delay", delay_s=value)),
    *each("jitter_s", NOT_SECONDS, lambda mcn, value: mcn.inject("delay", jitter_s=value)),
    *each("kind", (5, None, "rest"), lambda mcn, value: mcn.inject(value)),
    *each("times", (*NOT_WHOLE, 0), lambda mcn, value: mcn.assert_called(times=value)),
    *each("status", NOT_WHOLE, lambda mcn, value: mcn.assert_cdr_delivered(status=value)),
    *each("login_did", (5, None), lambda mcn, value: mcn.assert_charged_once(login_did=value)),
    *each("timeout", NOT_SECONDS, lambda mcn, value: mcn.wait_for_call(timeout=value)),
    *each("timeout", NOT_SECONDS, lambda mcn, value: mcn.wait_for_cdr(timeout=value)),
    *each("timeout", NOT_SECONDS, lambda mcn, value: mcn.settle(timeout=value)),
    *each("within", NOT_SECONDS, lambda mcn, value: mcn.assert_no_cdr(within=value)),
    *each("call", ("a uuid", 1), lambda mcn, value: mcn.wait_for_cdr(value)),
    *each("seconds", NOT_SECONDS, lambda mcn, value: mcn.clock.advance(value)),
    *each("amount", (1.5, None, True, NAN, "x", -1, HUGE), lambda mcn, value: mcn.top_up(value)),
    *each("balance", (1.5, None, True, NAN, "x", HUGE), lambda mcn, value: mcn.set_balance(value)),
    *each("credit", (1.5, None, True, NAN, "x", HUGE, "-0.01", "unlimited"), lambda mcn, value: mcn.set_credit(value)),
    *each("number", (5, None, "x"), lambda mcn, value: mcn.connect_number(value)),
    *each("number", ("1", True, 0, 1.0), lambda mcn, value: mcn.enable_webhook(value)),
    *each("outcome", (5, "bussy"), lambda mcn, value: mcn.set_outcome(value)),
    *each("outcome", (None,), lambda mcn, value: mcn.set_outcome()),
    *each("q931_status", ("17", True, 0, 128, NAN, HUGE), lambda mcn, value: mcn.set_outcome(q931_status=value)),
    *each("login_did", (5, None, "x"), lambda mcn, value: mcn.set_outcome("busy", login_did=value)),
    *each("delay_s", ("1", True, NAN, INF, -1, HUGE), lambda mcn, value: mcn.set_outcome("busy", delay_s=value)),
    *each("code", (5, None, "not_there"), lambda mcn, value: mcn.expect_refusal(value)),
    *each("fidelity", (5, None, "seen"), lambda mcn, value: mcn.require_fidelity(value)),
    *each("path", (5, None, "hook"), lambda mcn, value: mcn.subscribe(app, path=value)),
    *each("path", ("/x",), lambda mcn, value: mcn.subscribe("http://localhost:1", path=value)),
    *each("on_test_thread", NOT_BOOL, lambda mcn, value: mcn.subscribe(app, on_test_thread=value)),
    *each("on_test_thread", (True,), lambda mcn, value: mcn.subscribe("http://localhost:1", on_test_thread=value)),
    *each("retry", NOT_BOOL, lambda mcn, value: mcn.subscribe(app, retry=value)),
    *each("ignore_response", NOT_BOOL, lambda mcn, value: mcn.subscribe(app, ignore_response=value)),
    *each("method", (5, None, "PUT"), lambda mcn, value: mcn.subscribe(app, method=value)),
    *each("body", (5, "number", {"number": 1}, [5]), lambda mcn, value: mcn.subscribe(app, body=value)),
    *each("headers", (["a"], "a", 5, {"a": 1}), lambda mcn, value: mcn.subscribe(app, headers=value)),
    *each("query", (["a"], "a", 5), lambda mcn, value: mcn.subscribe(app, query=value)),
    *each("constants", (["a"], "a", 5, {"a": 1.5}), lambda mcn, value: mcn.subscribe(app, constants=value)),
]


@pytest.mark.parametrize("call,name,value", CASES, ids=map(str, range(len(CASES))))
def test_a_wrong_argument_of_the_account_is_refused_and_changes_nothing(
    mcn: Account, call: Callable[[Account, Any], object], name: str, value: Any
) -> None:
    before = mcn.story()
    with pytest.raises(UsageError, match=rf"\b{name}\b"):
        call(mcn, value)
    assert mcn.story() == before


@pytest.mark.parametrize("target", [None, 5, b"http://localhost:1", "localhost", "ftp://localhost/"])
def test_a_target_that_is_neither_a_url_nor_an_application_is_refused(mcn: Account, target: Any) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(target))):
        mcn.subscribe(target)


OPENING = [
    *wrong("account_id", True, 5.0, "x", "", 0, -1, 10**15, HUGE, b"1"),
    *wrong("name", 5, None, "a\nb", "x" * 101),
    *wrong("token", 5, True, b"x", "", "a b", "\u044f", "x" * 513),
    *wrong("seed", "1", 2.5, True, NAN, INF, -1, 2**63),
    *wrong("balance", 1.5, None, True, "x", HUGE),
    *wrong("numbers", "79158888888", 5, None),
    *wrong("tariff", 5, "x", ["flash_call"], {"flash_cal": {}}, {5: 1}, {"flash_call": 15}),
]


@pytest.mark.parametrize("name,value", OPENING, ids=map(str, range(len(OPENING))))
def test_a_wrong_argument_of_an_account_to_open_is_refused(mcn_server: MCNServer, name: str, value: Any) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=rf"\b{name}\b"):
        mcn_server.open_account(**arguments)


@pytest.mark.parametrize("flash_call", [{643: 0.15}, {643: "-1"}, {643: True}, {7: "0.15"}])
def test_a_wrong_price_is_refused(mcn_server: MCNServer, flash_call: Any) -> None:
    with pytest.raises(UsageError, match="flash_call"):
        mcn_server.open_account(tariff={"flash_call": flash_call})


@pytest.mark.parametrize("number", ["x", 5, None])
def test_a_wrong_number_to_connect_is_refused(mcn_server: MCNServer, number: Any) -> None:
    with pytest.raises(UsageError, match="number"):
        mcn_server.open_account(numbers=[number])


def test_an_account_takes_its_id_as_text_and_as_a_number_and_prices_in_roubles(mcn_server: MCNServer) -> None:
    accounts = [
        mcn_server.open_account(account_id=71_900_001, tariff={"flash_call": {643: "0.20"}}),
        mcn_server.open_account(account_id="71900002", tariff=Tariff(flash_call={643: 20, 703: 45})),
    ]
    for account in accounts:
        flash_call(account)
        assert str(account.balance) == "99.80"
        account.close()
    assert [account.account_id for account in accounts] == ["71900001", "71900002"]


SETTINGS: list[tuple[str, Any]] = [
    *((name, value) for name in ("journal_size", "max_pending") for value in NOT_WHOLE),
    *(("magic_numbers", value) for value in NOT_BOOL),
    ("tariff", {"flash_call": {}}),
    ("assumptions", {}),
    ("webhook_targets", "127.0.0.1"),
    ("webhook_targets", 5),
    ("state", 5),
]


@pytest.mark.parametrize("name,value", SETTINGS, ids=map(str, range(len(SETTINGS))))
def test_a_wrong_setting_is_refused(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=name):
        Settings(**arguments)


ASSUMPTIONS: list[tuple[str, Any]] = [
    *((name, value) for name in ("ring_s", "cdr_delay_s", "ack_timeout_s") for value in NOT_SECONDS),
    *(("disable_after", value) for value in (*NOT_WHOLE, 0)),
    *(("call_for_2fa_cdr", value) for value in NOT_BOOL),
    *(("retry_after_s", value) for value in (5, None, "1", [NAN], ["1"])),
    *(("error_status", value) for value in (5, None, ["unauthorized"], {"unauthorized": "403"})),
    *(("error_number", value) for value in (5, {"unauthorized": -1}, {"unauthorized": 1_000_000}, {"nothing": 1})),
    ("error_body", "x"),
    ("error_style", "number"),
    *(("paidmethods", value) for value in (5, {}, {"other_country": 643})),
    ("number_format", 5),
    ("default_outcome", 5),
]


@pytest.mark.parametrize("name,value", ASSUMPTIONS, ids=map(str, range(len(ASSUMPTIONS))))
def test_a_wrong_assumption_is_refused(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=name):
        Assumptions(**arguments)


@pytest.mark.parametrize(
    "name,value",
    [
        *(("error_status", value) for value in (5, None, {"unauthorized": "403"}, {"nothing": 403})),
        *((name, value) for name in ("error_body", "call_for_2fa_body") for value in ("x", None, 5)),
        *(("other_country", value) for value in (703, "643", None, True, 0)),
    ],
)
def test_a_wrong_assumption_about_paidmethods_is_refused(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=f"paidmethods.{name}"):
        PaidMethodsAssumptions(**arguments)


@pytest.mark.parametrize("arguments", [{"flash_call": 5}, {"flash_call": {643: "1", 703: 1}}, {"call_for_2fa": True}])
def test_a_wrong_tariff_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="tariff"):
        Tariff(**arguments)


@pytest.mark.parametrize("settings", [{}, {"max_pending": 1}, 5])
def test_settings_of_another_type_are_refused(settings: Any) -> None:
    with pytest.raises(UsageError, match="settings"):
        MCNServer(settings=settings)


@pytest.mark.asyncio
async def test_a_wrong_argument_of_a_wait_on_an_event_loop_is_refused(mcn: Account) -> None:
    wrong: Any
    for wrong in ("1", NAN, INF, -1, True, HUGE):
        for wait in (mcn.aio.wait_for_call, mcn.aio.wait_for_cdr, mcn.aio.settle):
            with pytest.raises(UsageError, match="timeout"):
                await wait(timeout=wrong)
        with pytest.raises(UsageError, match="within"):
            await mcn.aio.assert_no_cdr(within=wrong)
        with pytest.raises(UsageError, match="seconds"):
            await mcn.aio.advance(wrong)
        with pytest.raises(UsageError, match="call"):
            await mcn.aio.complete(wrong)
        with pytest.raises(UsageError, match="call"):
            await mcn.aio.wait_for_cdr(wrong)


def test_a_call_of_another_account_is_refused(mcn: Account, mcn_server: MCNServer) -> None:
    other = mcn_server.open_account()
    flash_call(other)
    with pytest.raises(UsageError, match=f"use a call of account {mcn.account_id}"):
        mcn.wait_for_cdr(other.calls[0])
    other.close()


@pytest.mark.parametrize(
    "option,message",
    [
        ("mcn_strict=maybe", "invalid ini option mcn_strict (*maybe*): use true or false"),
        (
            "mcn_fidelity=documentd",
            "invalid ini option mcn_fidelity ('documentd'): use documented, observed or assumed",
        ),
    ],
)
def test_an_invalid_ini_option_ends_the_run_at_once(project: pytest.Pytester, option: str, message: str) -> None:
    result = run(project, "def test_it(mcn): pass\n", "-o", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message.replace('[', '[[]')}"])


@pytest.mark.parametrize("level", Level)
def test_every_level_is_a_valid_ini_option(project: pytest.Pytester, level: Level) -> None:
    run(project, "def test_it(mcn): pass\n", "-o", f"mcn_fidelity={level}").assert_outcomes(passed=1)


OWN_MCN = """
@pytest.fixture
def mcn(mcn_server):
    account = mcn_server.open_account()
    yield account
    account.close()

@pytest.mark.mcn(balance="0.10")
def test_in_vain(mcn): pass

@pytest.mark.mcn(strict=False, fidelity="observed")
def test_of_any_account(mcn): pass

@pytest.mark.mcn(balance="0.10")
def test_of_no_account(mcn_server): pass
"""


def test_a_marker_that_has_no_effect_fails_the_test(project: pytest.Pytester) -> None:
    result = run(project, OWN_MCN)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*the marker mcn has no effect: *use its methods, such as mcn.set_balance, in place of balance"]
    )


def test_a_marker_reaches_the_plugins_account_through_a_fixture_of_the_same_name(project: pytest.Pytester) -> None:
    tests = """
@pytest.fixture
def mcn(mcn):
    mcn.connect_number("79158888888")
    return mcn

@pytest.mark.mcn(balance="0.10")
def test_it(mcn): assert str(mcn.balance) == "0.10"
"""
    run(project, tests).assert_outcomes(passed=1)
