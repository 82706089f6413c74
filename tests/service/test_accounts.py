from __future__ import annotations

from typing import Any

import pytest

from pytest_mcn_mock.clocks import VirtualClock
from pytest_mcn_mock.compose import Observers
from pytest_mcn_mock.errors import NotFound, UsageError
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.money import EntryKind, Tariff
from pytest_mcn_mock.model.numbering import RUSSIA, SLOVAKIA
from pytest_mcn_mock.service.account_settings import AccountSettings
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.storage.memory import MemoryStore

ACCOUNT = "12345678"


@pytest.fixture
def accounts() -> Accounts:
    """An operator's accounts, of which there is one, with 100 roubles."""
    made = Accounts(MemoryStore(100).accounts, VirtualClock(), Observers(), Tariff())
    made.open(seed=1, balance="100.00", account_id=ACCOUNT)
    return made


@pytest.fixture
def settings() -> AccountSettings:
    """What can be changed of an account, of which there is one."""
    store = MemoryStore(100).accounts
    store.add(Account(ACCOUNT, "token", 1), 0, 0.0)
    return AccountSettings(store, Observers())


def test_an_account_opens_with_what_is_drawn_from_its_seed_and_the_servers_tariff(accounts: Accounts) -> None:
    account = accounts.open(seed=5, balance="1.00")
    assert (len(account.id), account.token[:4], account.seed) == (8, "mcn-", 5)
    assert (account.tariff, account.numbers, account.subscriptions) == (Tariff(), (), ())
    assert accounts.balance(account.id) == 100
    assert not accounts.get(account.id).calls_held


def test_an_account_may_have_a_tariff_of_its_own(accounts: Accounts) -> None:
    own = Tariff(2, {RUSSIA: 20, SLOVAKIA: 65})
    assert accounts.open(seed=5, balance=1, tariff=own).tariff == own


def test_a_number_is_connected_as_it_is_pasted_and_only_once(settings: AccountSettings) -> None:
    for number in ("+7 (915) 888-88-88", "79158888888"):
        assert settings.connect_number(ACCOUNT, number).numbers == ("79158888888",)


@pytest.mark.parametrize("amount", [0, "-0.01", "0.001", 0.15, "x"])
def test_a_top_up_that_cannot_be_leaves_the_ledger_as_it_was(accounts: Accounts, amount: Any) -> None:
    before = accounts.ledger(ACCOUNT)
    with pytest.raises(UsageError):
        accounts.top_up(ACCOUNT, amount)
    assert accounts.ledger(ACCOUNT) == before


def test_what_is_asked_of_no_account_says_so(accounts: Accounts, settings: AccountSettings) -> None:
    for ask in (accounts.get, accounts.balance, accounts.ledger, settings.hold_cdrs, settings.clear_faults):
        with pytest.raises(NotFound, match="no account '404'"):
            ask("404")


def test_two_accounts_may_share_a_seed(accounts: Accounts) -> None:
    one = accounts.open(seed=9, balance=1, account_id="1")
    two = accounts.open(seed=9, balance=1, account_id="2")
    three = accounts.open(seed=9, balance=1)
    assert len({one.token, two.token, three.token}) == 3
    assert accounts.of_token(two.token) == two


def test_an_id_or_a_token_that_was_asked_for_is_not_changed_for_another(accounts: Accounts) -> None:
    accounts.open(seed=9, balance=1, account_id="1", token="t")
    with pytest.raises(UsageError, match="token"):
        accounts.open(seed=9, balance=1, token="t")
    with pytest.raises(UsageError, match="account 1 exists"):
        accounts.open(seed=9, balance=1, account_id="1")
    assert len(accounts.all()) == 2


@pytest.mark.parametrize(
    "wrong", [{"balance": 0.1}, {"numbers": ["x"]}, {"account_id": "0"}, {"token": " "}, {"seed": -1}]
)
def test_an_account_that_cannot_be_opened_leaves_no_trace(accounts: Accounts, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        accounts.open(**{"seed": 2, "balance": 1, "account_id": "7", **wrong})
    assert not accounts.is_taken("7")
    assert accounts.open(seed=2, balance=1, account_id="7").id == "7"


def test_a_balance_is_set_by_an_adjustment_in_the_ledger(accounts: Accounts) -> None:
    assert accounts.set_balance(ACCOUNT, "0.14") == 14
    assert [(e.kind, e.kopecks) for e in accounts.ledger(ACCOUNT)] == [
        (EntryKind.OPENING, 10_000),
        (EntryKind.ADJUSTMENT, -9_986),
    ]
