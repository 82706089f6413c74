"""Opening the configured accounts, if the state has accounts already."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

from pytest_mcn_mock.cli.config import AccountConfig, Config
from pytest_mcn_mock.errors import ConfigError, Conflict, NotFound
from pytest_mcn_mock.model.accounts import Account, parse_balance
from pytest_mcn_mock.model.money import Entry, EntryKind, Tariff, format_roubles, parse_roubles
from pytest_mcn_mock.model.numbering import clean_pasted
from pytest_mcn_mock.model.webhooks import Subscription
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.service.accounts import Accounts
from pytest_mcn_mock.text import shown_url

MOST_SHOWN: Final = 20
"""The number of accounts whose differences are logged one by one."""
_OF_THE_STATE: Final = frozenset({"url", "number", "enabled", "failed_in_a_row", "disabled_at"})
"""Fields of a webhook that are not configured, and its URL, which is shown."""
_log = logging.getLogger("mcn_mock")


async def open_accounts(config: Config, service: Service) -> None:
    """Open the configured accounts that are not there.

    An account that the state has kept stays as it is, money and all, and one that was closed stays closed. A warning
    says what is configured otherwise.

    ConfigError, before any is opened, if a token is another account's by now.
    """
    await check_tokens(config, service)
    opened = await open_missing(config, service)
    known = [account for account in config.accounts if account.id not in opened]
    if known:
        await _tell(known, config.settings.tariff, service)


async def check_tokens(config: Config, service: Service) -> None:
    """Raise ConfigError if a configured token is another account's in the state."""
    problems = []
    for account in config.accounts:
        owner = await service.storage.account_of_token(account.token)
        if owner is not None and owner.id != account.id:
            problems.append(f"account {account.id}: its token is that of account {owner.id}, which the state has kept")
    if problems:
        raise ConfigError("state", problems)


async def open_missing(config: Config, service: Service) -> list[str]:
    """Open the configured accounts whose ids were never taken; return these ids."""
    opened = []
    for account in config.accounts:
        if not await service.storage.is_taken(account.id):
            try:
                await service.accounts.open(balance=account.balance, **account.arguments())
            except Conflict:
                if not await service.storage.is_taken(account.id):
                    raise
            else:  # otherwise another sandbox on the same state has opened it just now
                opened.append(account.id)
    return opened


def opening(config: Config, accounts: Accounts) -> list[tuple[Account, int]]:
    """Make the configured accounts, each with its opening balance in kopecks."""
    opened = [(account, parse_balance(account.balance)) for account in config.accounts]
    return [
        (accounts.make(**account.arguments(), unlimited=balance is None), balance or 0) for account, balance in opened
    ]


async def _tell(known: Sequence[AccountConfig], tariff: Tariff, service: Service) -> None:
    """Log which accounts of the state differ from the configuration, and which were closed."""
    found, closed = dict[str, list[str]](), list[str]()
    for account in known:
        try:
            found[account.id] = await differences(account, tariff, service)
        except NotFound:
            closed.append(account.id)
    other = [(account_id, "; ".join(differences)) for account_id, differences in found.items() if differences]
    if found:
        names = _names(list(found))
        _log.info("the state has these accounts already, and keeps them: %s; a reset opens them as configured", names)
    for account_id, said in other[:MOST_SHOWN]:
        _log.warning("account %s in the state differs from the configuration: %s", account_id, said)
    if len(other) > MOST_SHOWN:
        _log.warning("%d more accounts differ from the configuration", len(other) - MOST_SHOWN)
    if closed:
        _log.warning("these accounts were closed, and stay closed: %s; a reset opens them again", _names(closed))
    if other:
        _log.warning("to use the configuration, start with --reset-state, which forgets every call and change")


async def differences(configured: AccountConfig, tariff: Tariff, service: Service) -> list[str]:
    """Return a phrase for each difference between state and configuration. No secret is in it."""
    kept = await service.accounts.get(configured.id)
    found = []
    if kept.token != configured.token:
        found.append("token")
    if kept.name != configured.name:
        found.append(_differs("name", kept.name or "none", configured.name or "none"))
    if not configured.is_seed_drawn and kept.seed != configured.seed:
        found.append(_differs("seed", kept.seed, configured.seed))
    found += _money_differences(kept, (await service.storage.ledger(kept.id))[0], configured)
    numbers = [clean_pasted(number) for number in configured.numbers]
    if sorted(kept.numbers) != sorted(set(numbers)):
        found.append(_differs("numbers", _listed(kept.numbers), _listed(numbers)))
    if kept.tariff != tariff:
        found.append("tariff")
    if kept.outcome_rules != configured.outcome_rules:
        found.append("outcome rules")
    if len(kept.subscriptions) != len(configured.subscriptions):
        found.append(_differs("number of webhooks", len(kept.subscriptions), len(configured.subscriptions)))
    for webhook, wanted in zip(kept.subscriptions, configured.subscriptions, strict=False):
        found += _webhook_differences(webhook, wanted)
    return found


def _money_differences(kept: Account, first: Entry, configured: AccountConfig) -> Iterator[str]:
    opening = parse_balance(configured.balance)
    if first.kind is EntryKind.OPENING and first.kopecks != (opening or 0):
        yield _differs("opening balance", format_roubles(first.kopecks), format_roubles(opening or 0))
    if kept.unlimited is not (opening is None):
        yield "whether the balance is unlimited"
    credit = parse_roubles(configured.credit, name="credit")
    if kept.credit != credit:
        yield _differs("credit", format_roubles(kept.credit), format_roubles(credit))


def _webhook_differences(kept: Subscription, configured: Subscription) -> Iterator[str]:
    if kept.url != configured.url:
        yield _differs(f"url of webhook {kept.number}", shown_url(kept.url), shown_url(configured.url))
    for name in Subscription.__struct_fields__:
        if name not in _OF_THE_STATE and getattr(kept, name) != getattr(configured, name):
            yield f"{name} of webhook {kept.number}"


def _differs(what: str, kept: object, configured: object) -> str:
    return f"{what} {kept}, in the file {configured}" if kept != configured else what


def _listed(numbers: Sequence[str]) -> str:
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return (", ".join(numbers[:5]) or "none") + more


def _names(account_ids: Sequence[str]) -> str:
    more = f" and {len(account_ids) - 5} more" if len(account_ids) > 5 else ""
    return f"account{'s' if len(account_ids) > 1 else ''} {', '.join(account_ids[:5])}{more}"
