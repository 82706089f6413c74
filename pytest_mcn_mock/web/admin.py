"""The admin API, under ``/__admin``, for testers and for the monitoring page.

Lists are bounded: at most ``limit`` items from behind the cursor ``after``. Editable resources have an ETag, and a
change may ask for one with If-Match. A tag covers what a person edits: traffic changes the balance, counts failures,
uses faults up and disables webhooks, and none of that changes a tag, so that an edit succeeds while calls are placed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from werkzeug.http import parse_etags

from pytest_mcn_mock.certificates import prepare, read_trust
from pytest_mcn_mock.errors import ConfigError, Conflict, NotFound, Refusal, RefusalCode, UsageError
from pytest_mcn_mock.flow import on_loop
from pytest_mcn_mock.model import accounts as rules
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.checks import check_seconds
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Entry, Tariff, parse_roubles, tariff_from_roubles
from pytest_mcn_mock.model.outcomes import Ending, Outcome, OutcomeRule, ending
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.model.webhooks import DataType, Subscription, Trust, make_subscription
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.service.events import Event
from pytest_mcn_mock.service.ports import has_fields
from pytest_mcn_mock.web import admin_types as types
from pytest_mcn_mock.web.admin_types import MASK, time_of
from pytest_mcn_mock.web.decoding import decode, decode_list, invalid
from pytest_mcn_mock.web.dialects import table_of
from pytest_mcn_mock.web.feed import Feed
from pytest_mcn_mock.web.guard import Guard
from pytest_mcn_mock.web.http import JSON_HEADERS, Endpoints, Request, Response, etag_of, json_response, send
from pytest_mcn_mock.web.lists import (
    CALL_STATES,
    CURSOR,
    EXPECTATIONS,
    OF_CALLS,
    OF_REQUESTS,
    PAGE,
    Wanted,
    cursor_and_limit,
    cut,
    is_about_account,
    list_parameters,
    page,
    read_expectations,
    read_wait,
    read_wanted,
)
from pytest_mcn_mock.web.parameters import bounded, read_json

OVERVIEW_MINUTES: Final = 60
MOST_COUNTED: Final = 20_000
"""Calls, deliveries and requests that an overview looks at, which takes some 30 ms; the default journal is shorter."""
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""The latest time that can be set. Work that falls due later then still has a date (at most the year 9999)."""
RenderMetrics = Callable[[], Awaitable[tuple[str, bytes]]]
"""The metrics' content type and text."""
Reload = Callable[[], Awaitable[Struct]]
"""Loads the configuration file again, and returns the result. Raises ConfigError, without changes, if it is bad."""
_ACCOUNT: Final = "accounts/<account_id>"
_WEBHOOK: Final = f"{_ACCOUNT}/webhooks/<int:number>"
_CALL: Final = "calls/<verification_call_uuid>"
_DELIVERY: Final = "deliveries/<int:delivery_id>"
_ENDING: Final = types.EndingJson.__struct_fields__
_NOT_STORED: Final[Mapping[str, str]] = {**JSON_HEADERS, "Cache-Control": "no-store"}
_EVENT_STREAM: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""The last one is for nginx: it passes each event on as it happens."""
_ROUBLES = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,2})?", re.ASCII)
_T = TypeVar("_T")
_S = TypeVar("_S", bound=Struct)
_E = TypeVar("_E", bound=Callable[..., Coroutine[Any, Any, Response | None]])


class Route(Struct, frozen=True, kw_only=True):
    """An endpoint, and its part of the OpenAPI description.

    ``query`` are the names of its parameters; ``body`` and ``answer`` the names of schemas. ``errors`` are the statuses
    besides the usual ones, and ``otherwise`` names the schema of an answer with another status that is not an error.
    ``etag``: the resource has an ETag, and a change accepts If-Match. ``is_open``: it requires no admin token.
    """

    method: str
    path: str
    endpoint: Callable[..., Coroutine[Any, Any, Response | None]]
    query: tuple[str, ...] = ()
    body: str | None = None
    answer: str | None = None
    status: int = 200
    errors: tuple[int, ...] = ()
    otherwise: Mapping[int, str] = {}
    etag: bool = False
    is_open: bool = False
    content_type: str = "application/json"


ROUTES: Final[list[Route]] = []
"""Every route of the admin API."""


def _route(method: str, path: str, **described: Any) -> Callable[[_E], _E]:
    """Make a method the endpoint of a route; the first line of its docstring is the route's summary."""

    def add(endpoint: _E) -> _E:
        ROUTES.append(Route(method=method, path=path, endpoint=endpoint, **described))
        return endpoint

    return add


class AdminApi:
    """The endpoints. ``read_schema`` gives a document by its name; NotFound if there is none."""

    def __init__(
        self,
        service: Service,
        feed: Feed,
        guard: Guard,
        *,
        version: str,
        store: str,
        replica: str,
        render_metrics: RenderMetrics | None,
        reload: Reload | None,
        read_schema: Callable[[str], bytes],
    ) -> None:
        self._service = service
        self._feed = feed
        self._guard = guard
        self._version = version
        self._store = store
        self._replica = replica
        self._render_metrics = render_metrics
        self._reload = reload
        self._read_schema = read_schema

    def endpoints(self) -> Endpoints:
        """Every endpoint by its method and path."""
        return {(route.method, route.path): partial(route.endpoint, self) for route in ROUTES}

    @_route("GET", "accounts", answer="account.list", query=CURSOR)
    async def accounts(self, request: Request) -> Response:
        """Accounts in order of opening."""
        after, limit = cursor_and_limit(list_parameters(request, CURSOR))
        found = await self._service.storage.accounts(after, limit + 1)
        return page(
            found,
            limit,
            lambda state: types.AccountJson.of(state.account, state.balance),
            lambda state: state.account.seq,
        )

    @_route("POST", "accounts", body="account.open", answer="account.opened", status=201, errors=(409,))
    async def open(self, request: Request) -> Response:
        """Open an account. The answer has the token if it was drawn: it is shown only this once."""
        asked = _read(request, types.OpeningJson)
        balance = rules.DEFAULT_BALANCE if asked.balance is None else asked.balance
        _check_balance(balance)
        credit = rules.DEFAULT_CREDIT if asked.credit is None else asked.credit
        _check_roubles(credit, "credit")
        account = await self._service.accounts.open(
            seed=secrets.randbits(32) if asked.seed is None else asked.seed,
            balance=balance,
            credit=credit,
            name=asked.name or "",
            account_id=None if asked.id is None else str(asked.id),
            token=asked.token,
            numbers=asked.numbers,
            tariff=None if asked.tariff is None else _read_tariff(asked.tariff, self._service.accounts.default_tariff),
            outcome_rules=[self._read_rule(rule, f"outcomes[{i}]") for i, rule in enumerate(asked.outcomes)],
            subscriptions=[_make_webhook(webhook) for webhook in asked.webhooks],
        )
        state = await self._service.storage.account(account.id)
        shown = types.AccountOpenedJson.of(state.account, state.balance)
        if asked.token is None:
            shown.token = account.token
        return json_response(201, shown)

    @_route("GET", _ACCOUNT, answer="account", etag=True)
    async def account(self, request: Request, account_id: str) -> Response:
        """One account, without its token."""
        state = await self._service.storage.account(account_id)
        return json_response(200, types.AccountJson.of(state.account, state.balance), tagged=_edited(state.account))

    @_route("PATCH", _ACCOUNT, body="account.change", answer="account", etag=True)
    async def change(self, request: Request, account_id: str) -> Response:
        """Change the name, the money, the numbers, the tariff, or whether calls ring until they are completed."""
        asked = _read(request, types.AccountChangeJson)
        if asked.balance is not None:
            _check_balance(asked.balance)
        if asked.credit is not None:
            _check_roubles(asked.credit, "credit")

        def change(account: Account) -> Account:
            _check_precondition(request, _edited(account))
            if asked.name is not None:
                account = replace(account, name=asked.name)
            if asked.credit is not None:
                account = rules.set_credit(account, asked.credit)
            if asked.numbers is not None:
                account = rules.replace_numbers(account, asked.numbers)
            if asked.tariff is not None:
                account = replace(account, tariff=_read_tariff(asked.tariff, account.tariff))
            return account if asked.calls_held is None else replace(account, calls_held=asked.calls_held)

        await self._service.accounts.change(account_id, change, asked.balance)
        return await self.account(request, account_id)

    @_route("DELETE", _ACCOUNT, status=204, etag=True)
    async def close(self, request: Request, account_id: str) -> Response:
        """Close an account, and forget its calls."""
        _check_precondition(request, _edited(await self._service.accounts.get(account_id)))
        await self._service.accounts.close(account_id)
        return Response(204, b"", {})

    @_route("POST", f"{_ACCOUNT}/top_up", body="top_up", answer="account", etag=True)
    async def top_up(self, request: Request, account_id: str) -> Response:
        """Add money."""
        asked = _read(request, types.TopUpJson)
        _check_roubles(asked.amount, "amount")
        await self._service.accounts.top_up(account_id, asked.amount)
        return await self.account(request, account_id)

    @_route("GET", f"{_ACCOUNT}/outcomes", answer="outcome.list", etag=True)
    async def outcomes(self, request: Request, account_id: str) -> Response:
        """The outcome rules; the first that matches wins."""
        shown = _shown_rules(await self._service.accounts.get(account_id))
        return _whole(shown, tagged=shown)

    @_route("PUT", f"{_ACCOUNT}/outcomes", body="outcome.replace", answer="outcome.list", etag=True)
    async def replace_outcomes(self, request: Request, account_id: str) -> Response:
        """Replace the outcome rules."""
        given = decode_list(read_json(request), types.RuleGivenJson)
        items = [self._read_rule(rule, f"items[{i}]") for i, rule in enumerate(given)]

        def change(account: Account) -> Account:
            _check_precondition(request, _shown_rules(account))
            return rules.replace_rules(account, items)

        await self._service.accounts.change(account_id, change)
        return await self.outcomes(request, account_id)

    @_route("GET", f"{_ACCOUNT}/faults", answer="fault.list", etag=True)
    async def faults(self, request: Request, account_id: str) -> Response:
        """The faults that are switched on."""
        account = await self._service.accounts.get(account_id)
        return _whole([types.FaultJson.of(fault) for fault in account.faults], tagged=account.faults_given)

    @_route("PUT", f"{_ACCOUNT}/faults", body="fault.replace", answer="fault.list", etag=True)
    async def replace_faults(self, request: Request, account_id: str) -> Response:
        """Replace the faults that are switched on; an empty list switches all off."""
        items = [fault.read() for fault in decode_list(read_json(request), types.FaultJson)]

        def change(account: Account) -> Account:
            _check_precondition(request, account.faults_given)
            return rules.replace_faults(account, items)

        await self._service.accounts.change(account_id, change)
        return await self.faults(request, account_id)

    @_route("GET", f"{_ACCOUNT}/mistakes", answer="mistake.list", query=EXPECTATIONS)
    async def mistakes(self, request: Request, account_id: str) -> Response:
        """List the unexpected mistakes on the account since it was opened, as a strict test reports them."""
        given = list_parameters(request, EXPECTATIONS)
        expected, wait_s = read_expectations(given), read_wait(given)
        clock, mistakes = self._service.clock, self._service.mistakes
        until = clock.now(account_id) + wait_s

        async def settled() -> Sequence[bool]:
            await self._service.accounts.get(account_id)
            return [True] if await mistakes.is_settled(account_id, until) else []

        await self._feed.waits.until_found(settled, lambda event: is_about_account(event, account_id), wait_s)
        found = await mistakes.find(account_id, expected)
        return json_response(200, {"items": [types.MistakeJson.of(mistake) for mistake in found], "next": None})

    @_route("GET", f"{_ACCOUNT}/webhooks", answer="webhook.list", etag=True)
    async def webhooks(self, request: Request, account_id: str) -> Response:
        """The webhooks."""
        account = await self._service.accounts.get(account_id)
        shown = [types.WebhookJson.of(webhook) for webhook in account.subscriptions]
        return _whole(shown, tagged=_edited_webhooks(account))

    @_route("POST", f"{_ACCOUNT}/webhooks", body="webhook.create", answer="webhook", status=201, errors=(409,))
    async def subscribe(self, request: Request, account_id: str) -> Response:
        """Add a webhook, for calls placed from now on."""
        webhook = _make_webhook(_read(request, types.WebhookGivenJson))
        return json_response(201, types.WebhookJson.of(await self._service.accounts.subscribe(account_id, webhook)))

    @_route("POST", f"{_ACCOUNT}/webhooks/preview", body="webhook.preview", answer="webhook.previewed", errors=(409,))
    async def preview(self, request: Request, account_id: str) -> Response:
        """Show the request that a webhook with these settings would get, without changing or sending anything.

        It is for the account's newest call that has ended, as if it ended as is given here, or for a made-up call.
        """
        asked = _read(request, types.PreviewedWebhookJson)
        account = await self._service.accounts.get(account_id)
        webhook = _make_webhook(asked)
        how = self._read_ending(types.EndingJson(outcome=asked.outcome, q931_status=asked.q931_status))
        self._service.accounts.check_target(account, webhook)
        preview = await self._service.deliveries.preview(account, webhook, how)
        return json_response(200, types.PreviewJson.of_preview(preview))

    @_route("GET", _WEBHOOK, answer="webhook", etag=True)
    async def webhook(self, request: Request, account_id: str, number: int) -> Response:
        """One webhook."""
        account = await self._service.accounts.get(account_id)
        found = rules.find_subscription(account, number)
        return json_response(200, types.WebhookJson.of(found), tagged=_edited_webhook(account, found))

    @_route("PATCH", _WEBHOOK, body="webhook.change", answer="webhook", etag=True, errors=(409,))
    async def change_webhook(self, request: Request, account_id: str, number: int) -> Response:
        """Change the given fields of a webhook. CDRs that were rendered before stay as they are."""
        given = _read_body(request)

        def change(account: Account) -> Account:
            webhook = rules.find_subscription(account, number)
            _check_precondition(request, _edited_webhook(account, webhook))
            return rules.replace_subscription(account, _change_webhook(webhook, given))

        await self._service.accounts.change(account_id, change)
        return await self.webhook(request, account_id, number)

    @_route("DELETE", _WEBHOOK, status=204, etag=True)
    async def unsubscribe(self, request: Request, account_id: str, number: int) -> Response:
        """Remove a webhook; CDRs still pending to it fail when they are due."""

        def change(account: Account) -> Account:
            _check_precondition(request, _edited_webhook(account, rules.find_subscription(account, number)))
            return rules.remove_subscription(account, number)

        await self._service.accounts.change(account_id, change)
        return Response(204, b"", {})

    @_route("GET", "overview", answer="overview", query=("account_id",))
    async def overview(self, request: Request) -> Response:
        """Count calls, deliveries and requests, of an account or of all."""
        account_id = list_parameters(request, ("account_id",)).get("account_id")
        if account_id is not None:
            await self._service.accounts.get(account_id)
        since = (self._service.clock.now(account_id) // 60 - OVERVIEW_MINUTES + 1) * 60
        tally = await self._service.storage.tally(account_id, since, MOST_COUNTED)
        newest = await self._service.requests(
            lambda entry: account_id in (None, entry.account_id), 0, MOST_COUNTED, newest_first=True
        )
        refusals = [entry.refusal is not None for entry in newest]
        shown = types.OverviewJson.of(tally, refusals, since, OVERVIEW_MINUTES, MOST_COUNTED)
        return json_response(200, shown, headers=_NOT_STORED)

    @_route("GET", "calls", answer="call.list", query=OF_CALLS)
    async def calls(self, request: Request) -> Response:
        """Calls in order of arrival: all, or those with the given values."""
        wanted = read_wanted(request, OF_CALLS, states=CALL_STATES)
        storage = self._service.storage

        async def find() -> Sequence[Call]:
            if (uuid := wanted.values.get("verification_call_uuid")) is not None:
                call = await storage.call(uuid)
                return cut([call] if has_fields(call, wanted.values) else [], _seq, wanted)
            account_id, fields = wanted.values.get("account_id"), wanted.fields("login_did", "code", "state")
            return await storage.calls(
                account_id, wanted.after, wanted.limit + 1, newest_first=wanted.newest_first, fields=fields
            )

        found = await self._find(wanted, find, wanted.is_about_call)
        states = await storage.states_of(found)
        return page(found, wanted.limit, lambda call: types.CallJson.of(call, states.get(call.seq, ())), _seq)

    @_route("GET", _CALL, answer="call")
    async def call(self, request: Request, verification_call_uuid: str) -> Response:
        """One call."""
        call = await self._service.storage.call(verification_call_uuid)
        states = await self._service.storage.states_of([call])
        return json_response(200, types.CallJson.of(call, states.get(call.seq, ())))

    @_route("POST", f"{_ACCOUNT}/calls", body="call.place", answer="call", status=201, errors=(402, 429))
    async def place(self, request: Request, account_id: str) -> None:
        """Place a call for an account, with the checks and refusals of the vendor's API, but without a token.

        It is not a request of an application: it is not among the requests, and no fault of a request strikes it.
        """
        account = await self._service.accounts.get(account_id)
        asked = _read(request, types.OrderJson)
        how = self._read_ending(asked)
        fields = msgspec.structs.asdict(asked).items()
        given = {name: str(value) for name, value in fields if value is not None and name not in _ENDING}
        dialect = table_of(asked.dialect or Dialect.API_MCN)
        order = dialect.read_order(asked.method, bounded(given), self._service.assumptions)
        call = await self._service.calls.place(account.id, replace(order, how=how))
        await send(json_response(201, types.CallJson.of(call)))
        await self._service.calls.answered(call.verification_call_uuid)

    @_route("POST", f"{_CALL}/complete", body="call.complete", answer="call", errors=(409,))
    async def complete(self, request: Request, verification_call_uuid: str) -> Response:
        """End a ringing call now, in the way that is given or, with an empty object, as planned."""
        how = self._read_ending(_read(request, types.EndingJson))
        return json_response(200, types.CallJson.of(await self._service.calls.complete(verification_call_uuid, how)))

    @_route("GET", "deliveries", answer="delivery.list", query=OF_CALLS)
    async def deliveries(self, request: Request) -> Response:
        """Deliveries in order: all, or those with the given values, of which two are their calls'."""
        wanted = read_wanted(request, OF_CALLS, states=list(DeliveryState))
        storage = self._service.storage

        async def find() -> Sequence[Delivery]:
            if (uuid := wanted.values.get("verification_call_uuid")) is not None:
                call, of_call = await storage.call(uuid), await storage.deliveries_of(uuid)
                is_wanted = has_fields(call, wanted.fields("account_id", "login_did", "code"))
                found = [item for item in of_call if is_wanted and has_fields(item, wanted.fields("state"))]
                return cut(found, _id, wanted)
            account_id, fields = wanted.values.get("account_id"), wanted.fields("login_did", "code", "state")
            return await storage.deliveries(
                account_id, wanted.after, wanted.limit + 1, newest_first=wanted.newest_first, fields=fields
            )

        found = await self._find(wanted, find, wanted.is_about_delivery)
        return page(found, wanted.limit, types.DeliveryJson.of, _id)

    @_route("GET", _DELIVERY, answer="delivery")
    async def delivery(self, request: Request, delivery_id: int) -> Response:
        """One delivery, with its request and every answer."""
        return json_response(200, types.DeliveryJson.of(await self._service.storage.delivery(delivery_id)))

    @_route("POST", f"{_DELIVERY}/resend", body="common#nothing", answer="delivery", errors=(409,))
    async def resend(self, request: Request, delivery_id: int) -> Response:
        """Send a CDR again, in any state."""
        _read(request, types.NothingJson)
        return json_response(200, types.DeliveryJson.of(await self._service.deliveries.resend(delivery_id)))

    @_route("GET", "requests", answer="request.list", query=OF_REQUESTS)
    async def requests(self, request: Request) -> Response:
        """Requests to the vendor's API as they arrived, the refused ones included: all, or those with given values."""
        wanted = read_wanted(request, OF_REQUESTS)

        async def find() -> Sequence[ApiRequest]:
            if (uuid := wanted.values.get("verification_call_uuid")) is not None:
                await self._service.storage.call(uuid)
            return await self._service.requests(
                wanted.has_request, wanted.after, wanted.limit + 1, newest_first=wanted.newest_first
            )

        found = await self._find(wanted, find, wanted.is_about_request)
        return page(found, wanted.limit, types.RequestJson.of, _seq)

    @_route("GET", f"{_ACCOUNT}/ledger", answer="entry.list", query=PAGE)
    async def ledger(self, request: Request, account_id: str) -> Response:
        """An account's movements of money, which add up to its balance."""
        entries = await self._service.storage.ledger(account_id)
        wanted = read_wanted(request, PAGE)
        return page(cut(entries, _n, wanted), wanted.limit, types.EntryJson.of, _n)

    @_route("POST", "clock/advance", body="clock.advance", answer="clock.advanced", errors=(409,))
    async def advance(self, request: Request) -> Response:
        """Put the time forward for every account; answered when all that fell due has been tried.

        A call whose client has its answer is among that, though the server may not have heard yet that it was sent.
        """
        seconds = check_seconds(_read(request, types.AdvanceJson).seconds, name="seconds", most=types.MAX_ADVANCE_S)
        clock = self._service.clock
        if clock.now(None) + seconds > LATEST:
            raise Conflict(Reason("advance_too_far", {"value": f"{seconds:g}"}), "seconds")
        now = clock.now(None) + (seconds if clock.is_shared else 0)
        await self._service.advance(seconds)
        return json_response(200, types.AdvancedJson(now=time_of(now)))

    @_route("POST", "reset", body="common#nothing", answer="done")
    async def reset(self, request: Request) -> Response:
        """Go back to the configured state."""
        _read(request, types.NothingJson)
        await self._service.reset()
        return json_response(200, types.DoneJson())

    @_route("POST", "reload", body="common#nothing", answer="reloaded", errors=(409,))
    async def reload(self, request: Request) -> Response:
        """Load the configuration file again, and apply its changes."""
        _read(request, types.NothingJson)
        if self._reload is None:
            raise Conflict(Reason("reload_no_file"))
        await on_loop()
        try:
            return json_response(200, await self._reload())
        except ConfigError as error:
            raise Conflict(Reason("reload_invalid", {"problems": str(error)})) from None

    @_route("GET", "events", answer="event", content_type="text/event-stream", query=("account_id",))
    async def events(self, request: Request) -> Response:
        """Send each change from now on as a server-sent event."""
        account_id = list_parameters(request, ("account_id",)).get("account_id")
        if account_id is not None:
            await self._service.accounts.get(account_id)
        return Response(200, b"", _EVENT_STREAM, stream=self._feed.listen(account_id))

    @_route("GET", "health", answer="health", is_open=True)
    async def health(self, request: Request) -> Response:
        """Show that the server is running, its version and name, the kind of its state, and whether it is ready."""
        ready = not await self._service.why_not_ready()
        shown = types.HealthJson(version=self._version, ready=ready, store=self._store, replica=self._replica)
        return json_response(200, shown, headers=_NOT_STORED)

    @_route("GET", "health/live", answer="done", is_open=True)
    async def live(self, request: Request) -> Response:
        """That the server answers."""
        return json_response(200, types.DoneJson(), headers=_NOT_STORED)

    @_route("GET", "health/ready", answer="readiness", otherwise={503: "readiness"}, is_open=True)
    async def ready(self, request: Request) -> Response:
        """Whether new calls are taken; 503, and why not, while they are not."""
        reasons = await self._service.why_not_ready()
        shown = types.ReadinessJson(status="unavailable" if reasons else "ok", ready=not reasons, reasons=reasons)
        return json_response(503 if reasons else 200, shown, headers=_NOT_STORED)

    @_route("GET", "metrics", content_type="text/plain", errors=(404,))
    async def metrics(self, request: Request) -> Response:
        """Show the metrics in Prometheus's text format."""
        if self._render_metrics is None:
            raise NotFound(Reason("no_metrics"))
        content_type, text = await self._render_metrics()
        return Response(200, text, {"Content-Type": content_type, "Cache-Control": "no-store"})

    @_route("POST", "session", body="session.open", answer="done", is_open=True)
    async def open_session(self, request: Request) -> Response:
        """Give a browser a session, for the admin token."""
        cookie = self._guard.open_session(_read(request, types.SessionJson).token)
        return json_response(200, types.DoneJson(), headers={**_NOT_STORED, **cookie})

    @_route("DELETE", "session", answer="done", is_open=True)
    async def close_session(self, request: Request) -> Response:
        """Take a browser's session away."""
        return json_response(200, types.DoneJson(), headers={**_NOT_STORED, **self._guard.close_session()})

    @_route("GET", "openapi.json")
    async def openapi(self, request: Request) -> Response:
        """The OpenAPI description, self-contained."""
        return Response(200, self._read_schema("openapi"))

    @_route("GET", "schemas/<name>.json")
    async def schema(self, request: Request, name: str) -> Response:
        """A JSON Schema, as the package ships it."""
        return Response(200, self._read_schema(name))

    def _read_ending(self, given: types.EndingJson) -> Ending | None:
        """How a call ends; None if nothing is given. Both may be given, as a rule is shown, if they say the same."""
        outcome, cause = given.outcome, given.q931_status
        unavailable_cause = self._service.assumptions.unavailable_cause
        if outcome is None and cause is None:
            return None
        if outcome is None or cause is None:
            return ending(outcome, cause, unavailable_cause=unavailable_cause)
        how = ending(outcome, unavailable_cause=cause if outcome is Outcome.UNAVAILABLE else unavailable_cause)
        if how.q931_status != cause or how.outcome is not outcome:
            raise UsageError(
                Reason("outcome_and_cause", {"outcome": outcome, "q931_status": how.q931_status, "value": cause}),
                "q931_status",
            )
        return how

    def _read_rule(self, given: types.RuleGivenJson, place: str) -> OutcomeRule:
        how = self._read_ending(given)
        if how is None:
            raise invalid("outcome", Reason("rule_incomplete", {"place": place}))
        return OutcomeRule(how, "*" if given.login_did is None else given.login_did, given.delay_s)

    async def _find(
        self, wanted: Wanted, find: Callable[[], Awaitable[Sequence[_T]]], is_about: Callable[[Event], bool]
    ) -> Sequence[_T]:
        """Return the items as soon as there are any, or when the wait is over. NotFound for an unknown account."""

        async def look() -> Sequence[_T]:
            if (account_id := wanted.values.get("account_id")) is not None:
                await self._service.accounts.get(account_id)
            return await find()

        return await self._feed.waits.until_found(look, is_about, wanted.wait_s)


def _seq(item: Call | ApiRequest) -> int:
    return item.seq


def _id(delivery: Delivery) -> int:
    return delivery.id


def _n(entry: Entry) -> int:
    return entry.n


def _read_body(request: Request) -> Any:
    """The request's JSON; no body is an empty object."""
    return read_json(request) if request.body != b"" else {}


def _read(request: Request, kind: type[_S]) -> _S:
    return decode(_read_body(request), kind)


def _check_balance(value: str | int) -> None:
    if value != rules.UNLIMITED:
        _check_roubles(value, "balance")


def _check_roubles(value: str | int, name: str) -> None:
    """Raise UsageError unless it is an amount in roubles: a whole number, or text such as "10.00"."""
    parse_roubles(value, name=name)
    if isinstance(value, str) and not _ROUBLES.fullmatch(value):
        raise UsageError(Reason("amount_digits", {"name": name, "value": repr(value[:40])}), name)


def _read_tariff(content: Mapping[str, Any], default: Tariff) -> Tariff:
    """A tariff from prices in roubles. A price that is null, or not given, is as in ``default``."""
    given = _without_null(content)
    tariff = tariff_from_roubles(given, default)
    for name, price in _prices(given, "tariff"):
        _check_roubles(price, name)
    return tariff


def _without_null(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_null(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if value is not None
    }


def _prices(tariff: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """Yield each price of a tariff that was read, and its place, such as ``tariff.flash_call.643``."""
    for name, value in tariff.items():
        if isinstance(value, dict):
            yield from _prices(value, f"{place}.{name}")
        else:
            yield f"{place}.{name}", value


def _make_webhook(given: types.WebhookGivenJson) -> Subscription:
    return _subscription(given, read_trust(given.cacert, insecure=given.insecure))


def _subscription(given: types.WebhookGivenJson, trust: Trust) -> Subscription:
    made = make_subscription(
        given.url,
        body=given.body,
        method=given.method,
        headers=given.headers,
        query=given.query,
        constants=given.constants,
        retry=given.retry,
        all_variables=given.all_variables,
        data_type=given.data_type,
        template=given.template,
        values=given.values,
        ignore_response=given.ignore_response,
        filter=[condition.read() for condition in given.filter],
        trust=trust,
    )
    prepare(made)
    return replace(made, enabled=given.enabled)


def _change_webhook(webhook: Subscription, content: Any) -> Subscription:
    """The webhook with the fields that are given. A header whose value is ``***``, as it is shown, keeps its value.

    The data type json drops the template. Enabling it counts its failures from 0.
    """
    shown = types.WebhookJson.of(webhook)
    now = {name: getattr(shown, name) for name in types.WebhookGivenJson.__struct_fields__}
    merged = decode(content, types.WebhookGivenJson, now=now)
    merged.headers = {
        name: webhook.headers.get(name, value) if value == MASK else value for name, value in merged.headers.items()
    }
    if content.get("data_type") is not None and content.get("template") is None and merged.data_type is DataType.JSON:
        merged.template = None
    keeps_trust = content.get("cacert") is None and merged.insecure == webhook.trust.insecure
    trust = webhook.trust if keeps_trust else read_trust(merged.cacert, insecure=merged.insecure)
    return replace(
        _subscription(merged, trust),
        number=webhook.number,
        failed_in_a_row=0 if content.get("enabled") else webhook.failed_in_a_row,
        disabled_at=None if merged.enabled else webhook.disabled_at,
    )


def _check_precondition(request: Request, tagged: Any) -> None:
    """Raise Refusal ``precondition_failed`` if If-Match asks for another state than ``tagged`` (RFC 9110, 13.1.1)."""
    if_match = request.headers.get("if-match")
    if if_match is not None and not parse_etags(if_match).contains(etag_of(tagged).strip('"')):
        raise Refusal(RefusalCode.PRECONDITION_FAILED, Reason("changed"))


def _whole(items: Sequence[Struct], *, tagged: Any) -> Response:
    """A list that is short enough to be shown whole."""
    return json_response(200, {"items": items, "next": None}, tagged=tagged)


def _shown_rules(account: Account) -> list[types.RuleJson]:
    return [types.RuleJson.of(rule) for rule in account.outcome_rules]


def _edited(account: Account) -> Any:
    """Return the editable settings of an account, for its entity tag."""
    tariff = types.TariffJson.of(account.tariff)
    return [
        account.name,
        account.credit,
        account.unlimited,
        account.numbers,
        tariff,
        account.calls_held,
        _shown_rules(account),
        account.faults_given,
        _edited_webhooks(account),
    ]


def _edited_webhooks(account: Account) -> Any:
    return [_edited_webhook(account, subscription) for subscription in account.subscriptions]


def _edited_webhook(account: Account, subscription: Subscription) -> Any:
    """Return the editable settings of a webhook, with the values of headers. They cannot be guessed from the tag,
    because they are hashed with the token.
    """
    is_on = subscription.enabled or subscription.disabled_at is not None
    shown = types.WebhookJson.of(replace(subscription, enabled=is_on, failed_in_a_row=0, disabled_at=None))
    return [shown, dict(subscription.headers), account.token]
