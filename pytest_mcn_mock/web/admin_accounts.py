"""The admin API of accounts: their money, numbers, outcome rules, webhooks and faults."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.webhooks import Subscription
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.web import admin_input as given
from pytest_mcn_mock.web.admin_views import show_account, show_fault, show_rule, show_subscription
from pytest_mcn_mock.web.http import Endpoints, Request, Response, json_response, show_page

_MONEY = (str, int)
_CHANGEABLE = {"balance": _MONEY, "numbers": list, "tariff": dict, "calls_held": bool}
_OPENING = {
    "id": int,
    "token": str,
    "seed": int,
    "balance": _MONEY,
    "numbers": list,
    "tariff": dict,
    "outcomes": list,
    "webhooks": list,
}


_View = Callable[[Account], Any]


class AccountsApi:
    """``/__admin/accounts``. Editable resources have an ETag, and a change may ask for one with If-Match.

    A tag covers what a person edits. Traffic changes the balance, counts failures, uses faults up, disables webhooks:
    none of that changes a tag, so that an edit succeeds while calls are placed.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def endpoints(self) -> Endpoints:
        """Every endpoint by its method and path."""
        account = "accounts/<account_id>"
        return {
            ("GET", "accounts"): self.accounts,
            ("POST", "accounts"): self.open,
            ("GET", account): self.account,
            ("PATCH", account): self.change,
            ("DELETE", account): self.close,
            ("POST", f"{account}/top_up"): self.top_up,
            ("GET", f"{account}/outcomes"): partial(self._list, show=_show_rules, edited=_show_rules),
            ("PUT", f"{account}/outcomes"): self.replace_outcomes,
            ("GET", f"{account}/faults"): partial(self._list, show=_show_faults, edited=_edited_faults),
            ("PUT", f"{account}/faults"): self.replace_faults,
            ("GET", f"{account}/webhooks"): partial(self._list, show=_show_webhooks, edited=_edited_webhooks),
            ("POST", f"{account}/webhooks"): self.subscribe,
            ("GET", f"{account}/webhooks/<int:number>"): self.webhook,
            ("PATCH", f"{account}/webhooks/<int:number>"): self.change_webhook,
            ("DELETE", f"{account}/webhooks/<int:number>"): self.unsubscribe,
        }

    async def accounts(self, request: Request) -> Response:
        """Accounts in order of opening."""
        parameters = given.read_list_parameters(request, ("after", "limit"))
        after = given.read_integer(parameters, "after", 0, 10**15)
        limit = given.read_integer(parameters, "limit", given.DEFAULT_LIMIT, given.MAX_LIMIT)
        found = await self._service.storage.accounts(after, limit + 1)
        return show_page(found, limit, lambda state: show_account(*state), lambda state: state.account.seq)

    async def open(self, request: Request) -> Response:
        """Open an account. The answer has the token where it was drawn: it is shown this once."""
        asked = given.read_object(request, _OPENING)
        if "balance" in asked:
            given.read_roubles(asked["balance"], "balance")
        token = asked.get("token")
        cause = self._service.assumptions.unavailable_cause
        account = await self._service.accounts.open(
            seed=asked.get("seed", secrets.randbits(32)),
            balance=asked.get("balance", rules.DEFAULT_BALANCE),
            account_id=str(asked["id"]) if "id" in asked else None,
            token=token,
            numbers=asked.get("numbers", ()),
            tariff=given.read_tariff(asked["tariff"], self._service.accounts.default_tariff)
            if "tariff" in asked
            else None,
            outcome_rules=[
                given.read_rule(rule, f"outcomes[{i}]", cause) for i, rule in enumerate(asked.get("outcomes", ()))
            ],
            subscriptions=[
                given.read_webhook(webhook, f"webhooks[{i}]") for i, webhook in enumerate(asked.get("webhooks", ()))
            ],
        )
        drawn = {"token": account.token} if token is None else {}
        shown = show_account(*await self._service.storage.account(account.id))
        return json_response(201, {**shown, **drawn})

    async def account(self, request: Request, account_id: str) -> Response:
        """One account, without its token."""
        state = await self._service.storage.account(account_id)
        return json_response(200, show_account(*state), tagged=_edited(state.account))

    async def change(self, request: Request, account_id: str) -> Response:
        """Change the balance, the numbers, the tariff, or whether calls ring until they are completed by hand."""
        asked = given.read_object(request, _CHANGEABLE)
        if "balance" in asked:
            given.read_roubles(asked["balance"], "balance")

        def change(account: Account) -> Account:
            given.check_precondition(request, _edited(account))
            if "numbers" in asked:
                account = rules.replace_numbers(account, asked["numbers"])
            if "tariff" in asked:
                account = replace(account, tariff=given.read_tariff(asked["tariff"], account.tariff))
            return replace(account, calls_held=asked.get("calls_held", account.calls_held))

        await self._service.accounts.change(account_id, change, asked.get("balance"))
        return await self.account(request, account_id)

    async def close(self, request: Request, account_id: str) -> Response:
        """Close an account, and forget its calls."""
        given.check_precondition(request, _edited(await self._service.accounts.get(account_id)))
        await self._service.accounts.close(account_id)
        return Response(204, b"", {})

    async def top_up(self, request: Request, account_id: str) -> Response:
        """Add money."""
        asked = given.read_object(request, {"amount": _MONEY})
        if "amount" not in asked:
            raise Refusal(RefusalCode.MISSING_PARAMETER, 'amount is required: roubles, such as "10.00"', "amount")
        given.read_roubles(asked["amount"], "amount")
        await self._service.accounts.top_up(account_id, asked["amount"])
        return await self.account(request, account_id)

    async def replace_outcomes(self, request: Request, account_id: str) -> Response:
        """Replace the outcome rules; the first that matches wins."""
        cause = self._service.assumptions.unavailable_cause
        items = given.read_items(request, lambda item, place: given.read_rule(item, place, cause))

        def change(account: Account) -> Account:
            given.check_precondition(request, _show_rules(account))
            return rules.replace_rules(account, items)

        await self._service.accounts.change(account_id, change)
        return await self._list(request, account_id, _show_rules, _show_rules)

    async def replace_faults(self, request: Request, account_id: str) -> Response:
        """Replace the faults that are switched on; none switches all off."""
        items = given.read_items(request, given.read_fault)

        def change(account: Account) -> Account:
            given.check_precondition(request, _edited_faults(account))
            return rules.replace_faults(account, items)

        await self._service.accounts.change(account_id, change)
        return await self._list(request, account_id, _show_faults, _edited_faults)

    async def subscribe(self, request: Request, account_id: str) -> Response:
        """Add a webhook, for calls placed from now on."""
        asked = given.read_webhook(given.read_object(request, given.WEBHOOK))
        return json_response(201, show_subscription(await self._service.accounts.subscribe(account_id, asked)))

    async def webhook(self, request: Request, account_id: str, number: int) -> Response:
        """One webhook."""
        account = await self._service.accounts.get(account_id)
        found = rules.find_subscription(account, number)
        return json_response(200, show_subscription(found), tagged=_edited_webhook(account, found))

    async def change_webhook(self, request: Request, account_id: str, number: int) -> Response:
        """Change a webhook: what is given of its fields. CDRs that were rendered before stay as they are."""
        asked = given.read_object(request, given.WEBHOOK)

        def change(account: Account) -> Account:
            webhook = rules.find_subscription(account, number)
            given.check_precondition(request, _edited_webhook(account, webhook))
            return rules.replace_subscription(account, given.change_webhook(webhook, asked))

        await self._service.accounts.change(account_id, change)
        return await self.webhook(request, account_id, number)

    async def unsubscribe(self, request: Request, account_id: str, number: int) -> Response:
        """Remove a webhook; CDRs still pending to it fail when they are due."""

        def change(account: Account) -> Account:
            given.check_precondition(request, _edited_webhook(account, rules.find_subscription(account, number)))
            return rules.remove_subscription(account, number)

        await self._service.accounts.change(account_id, change)
        return Response(204, b"", {})

    async def _list(self, request: Request, account_id: str, show: _View, edited: _View) -> Response:
        account = await self._service.accounts.get(account_id)
        return json_response(200, show(account), tagged=edited(account))


def _whole(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A list that is short enough to be shown whole."""
    return {"items": items, "next": None}


def _show_rules(account: Account) -> dict[str, Any]:
    return _whole([show_rule(rule) for rule in account.outcome_rules])


def _show_faults(account: Account) -> dict[str, Any]:
    return _whole([show_fault(fault) for fault in account.faults])


def _show_webhooks(account: Account) -> dict[str, Any]:
    return _whole([show_subscription(subscription) for subscription in account.subscriptions])


def _edited(account: Account) -> Any:
    """What a person edits of an account, for its entity tag."""
    shown = show_account(account, 0)
    return [
        shown["numbers"],
        shown["tariff"],
        shown["calls_held"],
        shown["outcomes"],
        _edited_faults(account),
        _edited_webhooks(account),
    ]


def _edited_faults(account: Account) -> Any:
    return [show_fault(fault) for fault in account.faults_given]


def _edited_webhooks(account: Account) -> Any:
    return [_edited_webhook(account, subscription) for subscription in account.subscriptions]


def _edited_webhook(account: Account, subscription: Subscription) -> Any:
    """What a person edits of a webhook. Values of headers are among it, and nobody can guess them from the tag: they
    are hashed with the token.
    """
    is_on = subscription.enabled or subscription.disabled_at is not None
    shown = show_subscription(replace(subscription, enabled=is_on, failed_in_a_row=0, disabled_at=None))
    return [shown, dict(subscription.headers), account.token]
