"""Loads a changed configuration file while the sandbox runs: as a whole, or not at all.

What has changed in the file since it was loaded last is applied. What is the same in it stays as testers have set it
meanwhile, and money is never set again. So the file decides what it changes, and a reload without a change does
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pytest_mcn_mock.cli.config import AccountConfig, Config
from pytest_mcn_mock.cli.opening import check_tokens, differences, open_missing, opening
from pytest_mcn_mock.compose import Fake
from pytest_mcn_mock.errors import ConfigError, NotFound, StorageFailed, UsageError
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.webhooks import Subscription
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.web.guard import Guard

if TYPE_CHECKING:
    from pytest_mcn_mock.web.admin_types import ReloadedJson

MOST_SHOWN: Final = 100
"""Sentences of one kind that are reported."""
_log = logging.getLogger("mcn_mock")

Change = Callable[[Account], Account]


class Reloader:
    """Loads the configuration again with ``load``, and applies it to a fake that runs with ``config``.

    One reload is under way at a time.
    """

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        self._started = self._config = config
        self._load = load
        self._lock = asyncio.Lock()
        self._served: tuple[Fake, Guard] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, fake: Fake, guard: Guard) -> None:
        """Apply changes to this fake and this guard from now on."""
        self._served = fake, guard

    def start(self) -> None:
        """Reload in the background, and log the result. Do nothing before there is a fake."""
        if self._served is not None:
            task = asyncio.get_running_loop().create_task(self._reload_quietly())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        with suppress(ConfigError, StorageFailed):  # which are in the log
            await self.reload()

    async def reload(self) -> ReloadedJson:
        """Load the file and apply it. Log and return the result.

        Raise ConfigError, when nothing was changed, if the file cannot be used. Raise StorageFailed if the state
        cannot be written; a later reload applies the rest.
        """
        if self._served is None:
            raise ConfigError("mcn-mock", ["the sandbox is just starting; try again"])
        async with self._lock:
            try:
                config = await asyncio.to_thread(self._load)  # a large file takes its time
                reloaded = await _apply(self._started, self._config, config, *self._served)
            except ConfigError as error:
                lines = str(error).splitlines()[:MOST_SHOWN]
                for line in ("the configuration was not loaded, and nothing was changed", *lines):
                    _log.error("%s", line)
                raise
            except StorageFailed as error:
                _log.error("the configuration was loaded in part: %s; load it again", error.message)
                raise
            self._config = config
        _log.info("the configuration was loaded: %s", "; ".join(reloaded.applied) or "nothing to apply")
        for setting in reloaded.restart:
            _log.warning("%s has changed; restart the sandbox to use it", setting)
        for difference in reloaded.differs:
            _log.warning("%s", difference)
        return reloaded


async def _apply(started: Config, before: Config, after: Config, fake: Fake, guard: Guard) -> ReloadedJson:
    """Check everything, then change everything. ``started`` is the configuration of the start, ``before`` the last."""
    service = fake.service
    await check_tokens(after, service)
    changes = await _all_account_changes(before, after, service)
    fake.use(after.settings)  # first: new accounts have the new tariff
    opened = await open_missing(after, service)
    for account_id, _, change in changes:
        await service.accounts.change(account_id, change)
    guard.allow(after.allowed_hosts)
    service.opening = partial(opening, after)
    applied = [
        *_live_changes(before, after),
        *(f"account {account_id}: {', '.join(names)}" for account_id, names, _ in changes),
        *(f"account {account_id}: opened" for account_id in opened),
    ]
    from pytest_mcn_mock.web.admin_types import ReloadedJson  # the start of a sandbox need not wait for it

    return ReloadedJson(
        applied=applied[:MOST_SHOWN],
        restart=list(_restart_changes(started, after)),
        differs=(await _differences(before, after, service))[:MOST_SHOWN],
    )


async def _all_account_changes(before: Config, after: Config, service: Service) -> list[tuple[str, list[str], Change]]:
    """Return the changes of each account that the file changes. Pure.

    Raise ConfigError if one of the changes, or of the new accounts, is not possible.
    """
    known = {account.id: account for account in before.accounts}
    found, problems = list[tuple[str, list[str], Change]](), list[str]()
    for wanted in after.accounts:
        try:
            kept = await service.accounts.get(wanted.id)
        except NotFound:
            kept = None
        try:
            if kept is None:
                service.accounts.make(**wanted.arguments())  # it checks them
                continue
            parts = dict(_account_changes(known[wanted.id], wanted)) if wanted.id in known else {}
            if wanted.id in known and kept.tariff == before.settings.tariff != after.settings.tariff:
                parts["tariff"] = partial(_change_tariff, before, after)
            if parts:
                change = partial(_change_all, tuple(parts.values()))
                service.accounts.check_targets(change(kept), known=kept)
                found.append((wanted.id, list(parts), change))
        except UsageError as error:
            problems.append(f"account {wanted.id}: {error}")
    if problems:
        raise ConfigError(after.source, problems)
    return found


async def _differences(before: Config, after: Config, service: Service) -> list[str]:
    """Return a sentence for each account that is not as the file says, or is not in it any more."""
    found = list[str]()
    for account in after.accounts:
        try:
            phrases = await differences(account, after.settings.tariff, service)
        except NotFound:
            found.append(f"account {account.id} was closed and stays closed; a reset opens it again")
            continue
        if phrases:
            said = "; ".join(phrases)
            found.append(f"account {account.id} stays as it is until a reset: {said}")
    configured = {account.id for account in after.accounts}
    for account in before.accounts:
        if account.id not in configured:
            with suppress(NotFound):
                await service.accounts.get(account.id)
                found.append(f"account {account.id} is not in the file any more and stays open until a reset")
    return found


def _live_changes(before: Config, after: Config) -> Iterator[str]:
    """Yield the settings that have changed and can be applied at once."""
    old, new = before.settings, after.settings
    if old.tariff != new.tariff:
        yield "tariff"
    if old.assumptions != new.assumptions:
        yield "assumed"
    for name in ("max_pending", "magic_numbers"):
        if getattr(old, name) != getattr(new, name):
            yield f"server.{name} is {str(getattr(new, name)).lower()}"
    if before.allowed_hosts != after.allowed_hosts:
        yield "server.allowed_hosts"


def _restart_changes(before: Config, after: Config) -> Iterator[str]:
    """Yield the settings that have changed and need a restart. No value is shown: a state's URL has a password."""
    for name in ("host", "port", "admin_token"):
        if getattr(before, name) != getattr(after, name):
            yield f"server.{name}"
    for name in ("state", "journal_size", "webhook_targets"):
        if getattr(before.settings, name) != getattr(after.settings, name):
            yield f"server.{name}"


def _account_changes(before: AccountConfig, after: AccountConfig) -> Iterator[tuple[str, Change]]:
    """Yield the file's changes of an account: a name for people, and the change."""
    if before.name != after.name:
        yield "name", partial(_set_name, after)
    if before.credit != after.credit:
        yield "credit", partial(_set_credit, after)
    if before.numbers != after.numbers:
        yield "numbers", partial(_set_numbers, after)
    if before.outcome_rules != after.outcome_rules:
        yield "outcome rules", partial(_set_rules, after)
    if before.subscriptions != after.subscriptions:
        yield "webhooks", partial(merge_webhooks, before.subscriptions, after.subscriptions)


def _change_all(changes: Sequence[Change], account: Account) -> Account:
    for change in changes:
        account = change(account)
    return account


def _set_name(wanted: AccountConfig, account: Account) -> Account:
    return replace(account, name=wanted.name)


def _set_credit(wanted: AccountConfig, account: Account) -> Account:
    return rules.set_credit(account, wanted.credit)


def _set_numbers(wanted: AccountConfig, account: Account) -> Account:
    return rules.replace_numbers(account, wanted.numbers)


def _set_rules(wanted: AccountConfig, account: Account) -> Account:
    return rules.replace_rules(account, wanted.outcome_rules)


def _change_tariff(before: Config, after: Config, account: Account) -> Account:
    """Return the account with the new tariff, unless it has one of its own."""
    return replace(account, tariff=after.settings.tariff) if account.tariff == before.settings.tariff else account


def merge_webhooks(before: Sequence[Subscription], after: Sequence[Subscription], account: Account) -> Account:
    """Return the account with its webhooks changed as the file has changed; others that it has stay.

    A webhook is known by its URL. One whose URL has changed keeps its number, by its place among those without a
    partner. If the change is made already, by another process on the same state, nothing is changed.
    """
    pairs, added = list[tuple[Subscription, Subscription]](), list[Subscription]()
    left = list(before)
    for wanted in after:
        known = next((webhook for webhook in left if webhook.url == wanted.url), None)
        if known is None:
            added.append(wanted)
        else:
            left.remove(known)
            pairs.append((known, wanted))
    pairs += zip(left, added, strict=False)
    removed, added = left[len(added) :], added[len(left) :]
    for known, wanted in pairs:
        kept = _find(account, known.url) or _find(account, wanted.url)
        if kept is None:
            added.append(wanted)
        elif known != wanted:
            account = rules.replace_subscription(account, _with_settings(kept, wanted))
    for known in removed:
        kept = _find(account, known.url)
        if kept is not None:
            account = rules.remove_subscription(account, kept.number)
    for wanted in added:
        if _find(account, wanted.url) is None:
            account = rules.add_subscription(account, wanted)
    return account


def _find(account: Account, url: str) -> Subscription | None:
    return next((webhook for webhook in account.subscriptions if webhook.url == url), None)


def _with_settings(kept: Subscription, wanted: Subscription) -> Subscription:
    """Return the webhook as it is wanted, with its number, and enabled or not as it is."""
    return replace(
        wanted,
        number=kept.number,
        enabled=kept.enabled,
        failed_in_a_row=kept.failed_in_a_row,
        disabled_at=kept.disabled_at,
    )
