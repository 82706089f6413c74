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
    kept, closed = [], []
    for account in accounts:
        if not operator.accounts.is_taken(account.id):
            account.open(operator)
        elif _is_open(account.id, operator):
            kept.append(account.id)
        else:
            closed.append(account.id)
    if kept:
        _log.info("as the state has kept them, not as configured: %s; a reset opens them anew", _names(kept))
    if closed:
        _log.info("closed, and left so: %s; a reset opens them anew", _names(closed))


def _is_open(account_id: str, operator: Operator) -> bool:
    try:
        operator.accounts.get(account_id)
    except UnknownItem:
        return False
    return True


def _names(account_ids: Sequence[str]) -> str:
    more = f" and {len(account_ids) - 5} more" if len(account_ids) > 5 else ""
    return f"account{'s' if len(account_ids) > 1 else ''} {', '.join(account_ids[:5])}{more}"
