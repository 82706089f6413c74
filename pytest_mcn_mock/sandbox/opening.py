"""Opening the configured accounts beside what a state has kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pytest_mcn_mock.errors import ConfigError, UnknownItem
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.sandbox.config import AccountConfig

_log = logging.getLogger("mcn_mock")


def open_accounts(accounts: Sequence[AccountConfig], operator: Operator) -> None:
    """Open the accounts that are not there. One that the state has kept stays as it is, money and all, and one that was
    closed stays closed.

    ConfigError, before any is opened, where a token is another account's by now.
    """
    problems = []
    for account in accounts:
        owner = operator.accounts.of_token(account.token)
        if owner is not None and owner.id != account.id:
            problems.append(f"account {account.id}: its token is that of account {owner.id}, which the state has kept")
    if problems:
        raise ConfigError("state", problems)
    for account in accounts:
        if not operator.accounts.is_taken(account.id):
            account.open(operator)
            continue
        try:
            operator.accounts.get(account.id)
        except UnknownItem:
            _log.info("account %s was closed, and stays so; a reset opens it again", account.id)
        else:
            _log.info("account %s is as the state has kept it; a reset opens it as it is configured", account.id)
