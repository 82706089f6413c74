from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from helpers.in_process import run
from helpers.service_steps import ACCOUNT, CONNECTED, TOKEN, ServiceSteps
from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, NotFound, Refusal, UsageError
from pytest_mcn_mock.model.accounts import connect_number
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.model.money import EntryKind, Tariff
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.accounts import Accounts


@pytest.fixture
def steps() -> ServiceSteps:
    return ServiceSteps()


@pytest.fixture
def accounts(steps: ServiceSteps) -> Accounts:
    return steps.service.accounts


def test_an_account_opens_with_what_is_drawn_from_its_seed_and_the_servers_tariff(accounts: Accounts) -> None:
    account = run(accounts.open(seed=5, balance="1.00"))
    assert (len(account.id), account.token[:4], account.seed) == (8, "mcn-", 5)
    assert (account.tariff, account.numbers, account.subscriptions) == (Tariff(), (), ())
    assert run(accounts.balance(account.id)) == 100
    assert not run(accounts.get(account.id)).calls_held


def test_an_account_may_have_a_tariff_of_its_own(accounts: Accounts) -> None:
    own = Tariff(2, {RUSSIA: 20, SLOVAKIA: 65})
    assert run(accounts.open(seed=5, balance=1, tariff=own)).tariff == own


def test_two_accounts_may_share_a_seed(steps: ServiceSteps, accounts: Accounts) -> None:
    opened = [run(accounts.open(seed=9, balance=1, account_id=given)) for given in ("1", "2", None)]
    assert len({account.token for account in opened}) == 3
    assert run(steps.service.storage.account_of_token(opened[1].token)) == opened[1]


def test_an_id_or_a_token_that_was_asked_for_is_not_changed_for_another(steps: ServiceSteps) -> None:
    with pytest.raises(Conflict, match="token"):
        steps.open("7", token=TOKEN)
    with pytest.raises(Conflict, match=f"account id {ACCOUNT} is or was in use"):
        steps.open(ACCOUNT)
    assert len(run(steps.service.storage.accounts(0, 10))) == 1


def test_a_closed_accounts_id_is_not_given_out_again(steps: ServiceSteps, accounts: Accounts) -> None:
    run(accounts.close(ACCOUNT))
    with pytest.raises(Conflict, match="is or was in use"):
        steps.open(ACCOUNT)
    first = run(accounts.open(seed=5, balance=0))
    run(accounts.close(first.id))
    assert run(accounts.open(seed=5, balance=0)).id != first.id


@pytest.mark.parametrize(
    "wrong", [{"balance": 0.1}, {"credit": "-1"}, {"numbers": ["x"]}, {"account_id": "0"}, {"token": " "}, {"seed": -1}]
)
def test_an_account_that_cannot_be_opened_leaves_no_trace(
    steps: ServiceSteps, accounts: Accounts, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        run(accounts.open(**{"seed": 2, "balance": 1, "account_id": "7", **wrong}))
    assert not run(steps.service.storage.is_taken("7"))
    assert run(accounts.open(seed=2, balance=1, account_id="7")).id == "7"


def test_money_is_added_and_set_by_entries_in_the_ledger(steps: ServiceSteps, accounts: Accounts) -> None:
    run(accounts.top_up(ACCOUNT, "0.01"))
    run(accounts.set_balance(ACCOUNT, "0.14"))
    assert [(entry.kind, entry.kopecks) for entry in steps.ledger()] == [
        (EntryKind.OPENING, 10_000),
        (EntryKind.TOP_UP, 1),
        (EntryKind.ADJUSTMENT, -9_987),
    ]
    assert steps.balance() == 14


@pytest.mark.parametrize("amount", ["0", 0, "-1", "-0.01", "0.001", 0.15, "x", None])
def test_an_invalid_top_up_or_balance_leaves_the_ledger_as_it_was(
    steps: ServiceSteps, accounts: Accounts, amount: Any
) -> None:
    before = steps.contents()
    with pytest.raises(UsageError):
        run(accounts.top_up(ACCOUNT, amount))
    if amount in {"0.001", 0.15, "x", None}:  # the others are balances that can be
        with pytest.raises(UsageError, match="balance"):
            run(accounts.set_balance(ACCOUNT, amount))
    assert steps.contents() == before


def test_an_unlimited_balance_leaves_the_money_as_it_is_until_one_in_roubles_ends_it(
    steps: ServiceSteps, accounts: Accounts
) -> None:
    run(accounts.set_balance(ACCOUNT, "0.20"))
    before = steps.ledger()
    run(accounts.set_balance(ACCOUNT, "unlimited"))
    assert steps.ledger() == before
    for _ in range(3):
        steps.call()
    assert steps.balance() == 20 - 45 == sum(entry.kopecks for entry in steps.ledger())
    run(accounts.top_up(ACCOUNT, "0.05"))
    assert steps.account().unlimited, "a top-up does not end it"
    run(accounts.set_balance(ACCOUNT, "0.00"))
    with pytest.raises(Refusal):
        steps.call()
    assert [entry.kopecks for entry in steps.ledger()[-2:]] == [5, 20]


def test_an_account_opens_with_a_credit_and_an_unlimited_one_with_no_money(
    steps: ServiceSteps, accounts: Accounts
) -> None:
    account = run(accounts.open(seed=5, balance="unlimited", credit="5.00", account_id="7"))
    assert (account.unlimited, account.credit) == (True, 500)
    assert [entry.kopecks for entry in run(steps.service.storage.ledger("7"))] == [0]
    run(accounts.set_balance("7", "0.00"))
    assert (run(accounts.get("7")).unlimited, run(accounts.get("7")).credit) == (False, 500)


def test_settings_and_balance_change_together_or_not_at_all(steps: ServiceSteps, accounts: Accounts) -> None:
    before = steps.contents()
    for number, balance in (("x", "1.00"), ("79159999999", "x")):
        with pytest.raises(UsageError):
            run(accounts.change(ACCOUNT, partial(connect_number, number=number), balance))
        assert steps.contents() == before
    run(accounts.change(ACCOUNT, lambda account: connect_number(account, "79159999999"), "1.00"))
    assert (steps.account().numbers, steps.balance()) == ((CONNECTED, "79159999999"), 100)


def test_a_fault_of_a_request_is_used_up_by_the_request_that_it_strikes(
    steps: ServiceSteps, accounts: Accounts
) -> None:
    assert run(accounts.take_request_fault(steps.account())) is None
    steps.inject(FaultKind.STATUS)
    steps.inject(FaultKind.CDR_LOST)
    taken = run(accounts.take_request_fault(steps.account()))
    assert taken is not None
    assert taken.kind is FaultKind.STATUS
    assert [fault.kind for fault in steps.account().faults] == [FaultKind.CDR_LOST]
    assert run(accounts.take_request_fault(steps.account())) is None


def test_a_webhook_may_be_where_the_targets_allow_it_and_stays_where_it_was() -> None:
    steps = ServiceSteps(settings={"webhook_targets": ["app.test"]})
    steps.subscribe("http://app.test/")
    before = steps.contents()
    with pytest.raises(UsageError, match="webhook_targets"):
        steps.subscribe("http://10.0.0.1/")
    with pytest.raises(UsageError, match="webhook_targets"):
        steps.open("7", subscriptions=[make_subscription("http://10.0.0.1/")])
    assert steps.contents() == before
    steps.change(lambda account: replace(account, calls_held=True))


def test_a_reset_opens_what_is_configured_with_the_ids_it_had() -> None:
    steps = ServiceSteps()
    steps.service.opening = lambda accounts: [(accounts.make(seed=3, account_id=ACCOUNT), 700)]
    steps.subscribe()
    steps.call()
    steps.open("7")
    steps.service.journal.receive("GET", "/", None)
    run(steps.service.reset())
    (state,) = run(steps.service.storage.accounts(0, 10))
    assert (state.account.id, state.account.seed, state.balance) == (ACCOUNT, 3, 700)
    assert (steps.calls(), steps.deliveries(), steps.service.journal.page()) == ([], [], [])
    assert steps.open("7").id == "7"


@pytest.mark.parametrize(
    "ask",
    [
        lambda accounts: accounts.get("404"),
        lambda accounts: accounts.balance("404"),
        lambda accounts: accounts.top_up("404", 1),
        lambda accounts: accounts.set_balance("404", 1),
        lambda accounts: accounts.subscribe("404", make_subscription("http://localhost/")),
        lambda accounts: accounts.close("404"),
    ],
)
def test_an_unknown_account_is_named(
    accounts: Accounts, ask: Callable[[Accounts], Coroutine[Any, Any, object]]
) -> None:
    with pytest.raises(NotFound, match="no account '404'"):
        run(ask(accounts))
