"""The admin API of what happened: calls, the deliveries of their CDRs, movements of money, and requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.money import Entry
from pytest_mcn_mock.model.requests import ApiRequest
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.web import admin_input as given
from pytest_mcn_mock.web.admin_views import show_call, show_delivery, show_entry, show_request
from pytest_mcn_mock.web.api_mcn import read_order
from pytest_mcn_mock.web.http import Endpoints, Request, Response, json_response, send, show_page
from pytest_mcn_mock.web.parameters import bounded

_PAGE_PARAMETERS = ("after", "limit", "order")
_PARAMETERS = ("account_id", *_PAGE_PARAMETERS)
_ORDER = {"method": str, "login_did": str, "code": str, "country_id": (str, int), "caller_did": str}
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class _Find(Protocol[_T_co]):
    async def __call__(
        self, account_id: str | None, after: int, limit: int, *, newest_first: bool = False
    ) -> Sequence[_T_co]: ...


class MonitoringApi:
    """Lists are bounded: ``limit`` at most, from behind the cursor ``after``; ``order=newest`` is the newest first."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def endpoints(self) -> Endpoints:
        """Every endpoint by its method and path."""
        call, delivery = "calls/<verification_call_uuid>", "deliveries/<int:delivery_id>"
        return {
            ("GET", "calls"): self.calls,
            ("GET", call): self.call,
            ("POST", f"{call}/complete"): self.complete,
            ("POST", "accounts/<account_id>/calls"): self.place,
            ("GET", "deliveries"): self.deliveries,
            ("GET", delivery): self.delivery,
            ("POST", f"{delivery}/resend"): self.resend,
            ("GET", "requests"): self.requests,
            ("GET", "accounts/<account_id>/ledger"): self.ledger,
        }

    async def calls(self, request: Request) -> Response:
        """Calls in order of arrival, of an account or of all."""
        return await self._list(request, self._service.storage.calls, show_call, lambda call: call.seq)

    async def call(self, request: Request, verification_call_uuid: str) -> Response:
        """One call."""
        return json_response(200, show_call(await self._service.storage.call(verification_call_uuid)))

    async def place(self, request: Request, account_id: str) -> None:
        """Place a call for an account, with the checks and refusals of the vendor's API, but without a token.

        It is no request of an application's: it is not among the requests, and no fault of a request strikes it.
        """
        asked = given.read_object(request, _ORDER)
        account = await self._service.accounts.get(account_id)
        method = given.read_method(asked)
        parameters = bounded({name: str(value) for name, value in asked.items()})
        order = read_order(method, parameters, self._service.assumptions)
        call = await self._service.calls.place(account.id, order)
        await send(json_response(201, show_call(call)))
        await self._service.calls.answered(call.verification_call_uuid)

    async def complete(self, request: Request, verification_call_uuid: str) -> Response:
        """End a ringing call now, as said or, with an empty object, as planned."""
        asked = given.read_object(request, given.ENDING)
        how = given.read_ending(asked, self._service.assumptions.unavailable_cause)
        return json_response(200, show_call(await self._service.calls.complete(verification_call_uuid, how)))

    async def deliveries(self, request: Request) -> Response:
        """Deliveries in order, of an account, of a call or of all."""
        known = (*_PARAMETERS, "verification_call_uuid")
        uuid = given.read_list_parameters(request, known).get("verification_call_uuid")
        of_call = None if uuid is None else await self._service.storage.deliveries_of(uuid)

        async def find(
            account_id: str | None, after: int, limit: int, *, newest_first: bool = False
        ) -> Sequence[Delivery]:
            if of_call is None:
                return await self._service.storage.deliveries(account_id, after, limit, newest_first=newest_first)
            found = [delivery for delivery in of_call if account_id in (None, delivery.account_id)]
            return _page(found, lambda delivery: delivery.id, after, limit, newest_first=newest_first)

        return await self._list(request, find, show_delivery, lambda delivery: delivery.id, known)

    async def delivery(self, request: Request, delivery_id: int) -> Response:
        """One delivery, with its request and every answer."""
        return json_response(200, show_delivery(await self._service.storage.delivery(delivery_id)))

    async def resend(self, request: Request, delivery_id: int) -> Response:
        """Send a CDR again, whatever became of it."""
        given.read_object(request, {})
        return json_response(200, show_delivery(await self._service.deliveries.resend(delivery_id)))

    async def requests(self, request: Request) -> Response:
        """Requests to the vendor's API as they arrived, the refused ones included."""

        async def find(
            account_id: str | None, after: int, limit: int, *, newest_first: bool = False
        ) -> Sequence[ApiRequest]:
            return self._service.journal.page(account_id, after, limit, newest_first=newest_first)

        return await self._list(request, find, show_request, lambda entry: entry.seq)

    async def ledger(self, request: Request, account_id: str) -> Response:
        """An account's movements of money, which add up to its balance."""
        entries = await self._service.storage.ledger(account_id)

        async def find(
            account_id: str | None,  # noqa: ARG001 - it is the path's
            after: int,
            limit: int,
            *,
            newest_first: bool = False,
        ) -> Sequence[Entry]:
            return _page(entries, lambda entry: entry.n, after, limit, newest_first=newest_first)

        return await self._list(request, find, show_entry, lambda entry: entry.n, _PAGE_PARAMETERS)

    async def _list(
        self,
        request: Request,
        find: _Find[_T],
        show: Callable[[_T], dict[str, Any]],
        cursor: Callable[[_T], int],
        known: Sequence[str] = _PARAMETERS,
    ) -> Response:
        parameters = given.read_list_parameters(request, known)
        after = given.read_integer(parameters, "after", 0, 10**15)
        limit = given.read_integer(parameters, "limit", given.DEFAULT_LIMIT, given.MAX_LIMIT)
        newest_first = given.read_order(parameters)
        account_id = parameters.get("account_id")
        if account_id is not None:
            await self._service.accounts.get(account_id)
        return show_page(await find(account_id, after, limit + 1, newest_first=newest_first), limit, show, cursor)


def _page(
    items: Sequence[_T], cursor: Callable[[_T], int], after: int, limit: int, *, newest_first: bool
) -> Sequence[_T]:
    """The items, of which the oldest is the first, that are behind the cursor, and at most so many."""
    if newest_first:
        return [item for item in reversed(items) if not after or cursor(item) < after][:limit]
    return [item for item in items if cursor(item) > after][:limit]
