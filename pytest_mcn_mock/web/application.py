"""The application: routes a request to its endpoint, and turns errors into answers. It knows no socket."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict, McnMockError, NotFound, Refusal, RefusalCode, UsageError, nearest
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.checks import show
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.journal import Journal
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.web.dialects import API_MCN
from pytest_mcn_mock.web.dialects.table import DialectTable
from pytest_mcn_mock.web.guard import ADMIN_PATH, Guard, is_admin_path
from pytest_mcn_mock.web.http import Endpoints, Request, Response, json_response, send
from pytest_mcn_mock.web.parameters import whole_body
from pytest_mcn_mock.web.routes import NoRoute, Routes, Target, shown

MAX_KEPT: Final = 1024
"""Routes that are remembered, of paths that are no longer than MAX_KEPT_PATH characters."""
MAX_KEPT_PATH: Final = 256
RETRY_AFTER_S: Final = "1"
"""Seconds after which a client may try again (RFC 9110, 10.2.3): there is room as soon as one CDR is settled."""
_SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""
_TO_THE_PAGE: Final = {"Location": f"{ADMIN_PATH[1:]}/"}
"""For a browser that opens the server's address. Relative, so that it is right below a proxy's path too."""
_SLASHES = re.compile("//+")

_log = logging.getLogger("mcn_mock")


class Application:
    """Routes a request, and turns errors into the error envelope. An unexpected exception is logged, and answered with
    ``internal_error``.

    ``admin`` is asked for the admin API's endpoints at the first request to one of them.
    """

    def __init__(
        self,
        client_apis: Sequence[ClientApi],
        admin: Callable[[], Endpoints],
        journal: Journal,
        assumptions: Assumptions,
        guard: Guard,
    ) -> None:
        self._clients = [Api(api.dialect.root, api.endpoints, api.dialect, assumptions) for api in client_apis]
        # A tester's tools rely on the admin API: assumptions about the vendor's API do not change it.
        self._admin = Api(ADMIN_PATH, admin, API_MCN, Assumptions())
        self._journal = journal
        self._guard = guard
        self._remembered_route = lru_cache(maxsize=MAX_KEPT)(self._find_route)

    def use(self, assumptions: Assumptions) -> None:
        """Refuse clients as these assumptions say from now on."""
        for api in self._clients:
            api.assumptions = assumptions

    def routes(self) -> list[tuple[str, str]]:
        """Return every method and path; a path's variables are in braces."""
        return [route for api in (*self._clients, self._admin) for route in api.routes()]

    async def serve(self, request: Request) -> None:
        """Serve a request, from the guard to the work after the answer. A client's request that passes the guard is in
        the journal before anything can refuse it.
        """
        sent_path = request.path
        if "//" in sent_path:
            request = replace(request, path=one_slash(sent_path))
        path = request.path
        is_admin = is_admin_path(path)
        try:
            self._guard.check(request, is_admin=is_admin)
        except Refusal as refusal:
            _log.info("refused by the guard: %s", refusal.message, extra={"code": str(refusal.code)})
            await send(self._api_of(path)[0].refuse(refusal))
            return
        if path == "/" and request.method in _SAFE:
            where = Refusal(RefusalCode.NOT_FOUND, Reason("not_here", {"page": ADMIN_PATH, "root": API_MCN.root}))
            await send(self._admin.refuse(where, _TO_THE_PAGE, status=302))
            return
        route = self._route_of(request.method, path)
        if is_admin:
            await self._serve_admin(request, route)
            return
        entry = self._journal.receive(request.method, sent_path, route.account_id, route.dialect)
        try:
            endpoint, arguments = route.target or route.api.find(request.method, path)  # raises why there is none
            await endpoint(request, entry, **arguments)
        except Exception as error:
            if entry.status is not None:
                _log.exception("what follows an answer failed")
                return
            response, entry.refusal = route.api.answer_to(error, path)
            entry.status, entry.verification_call_uuid = response.status, None
            await send(response)
        finally:
            self._journal.answered(entry)

    async def _serve_admin(self, request: Request, route: Route) -> None:
        try:
            whole_body(request)  # no endpoint is asked without it
            endpoint, arguments = route.target or route.api.find(request.method, request.path)
            response = await endpoint(request, **arguments)
            if response is None:
                return
        except Exception as error:
            response, _ = self._admin.answer_to(error, request.path)
        await send(response)

    def refuse_unread(self, status: int, why: str) -> Response:
        """Return the answer to a request that cannot be read. It is not in the journal."""
        return self._clients[0].refuse(Refusal(RefusalCode.INVALID_PARAMETER, why), status=status)

    def _route_of(self, method: str, path: str) -> Route:
        """Return the route of a request. It is remembered, because the same paths are asked for again and again."""
        return (self._remembered_route if len(path) <= MAX_KEPT_PATH else self._find_route)(method, path)

    def _find_route(self, method: str, path: str) -> Route:
        api, dialect = self._api_of(path)
        target: Target | None = None
        with suppress(Exception):  # it is raised again where it is answered
            target = api.find(method, path)
        return Route(api, dialect, api.dialect.account_of(path), target)

    def _api_of(self, path: str) -> tuple[Api, Dialect | None]:
        """Return the API that answers for a path, and the path's dialect. The first API answers for unknown paths."""
        if is_admin_path(path):
            return self._admin, None
        for api in self._clients:
            if api.dialect.has_path(path):
                return api, api.dialect.name
        return self._clients[0], None


class Route(Struct, frozen=True):
    """What follows from a request's method and path: the API, the path's dialect and account if it has them, and the
    target. If it is None, ``Api.find`` raises why.
    """

    api: Api
    dialect: Dialect | None
    account_id: str | None
    target: Target | None


class Api:
    """A dialect's API, or the admin API: its paths, and how it refuses, which is as ``dialect`` does."""

    def __init__(
        self, base: str, load: Callable[[], Endpoints], dialect: DialectTable, assumptions: Assumptions
    ) -> None:
        self._base = base
        self._load = load
        self.dialect = dialect
        self._route = dialect.route if base == dialect.root else str
        self.assumptions = assumptions

    @cached_property
    def _endpoints(self) -> Endpoints:
        return self._load()

    @cached_property
    def _routes(self) -> Routes:
        return Routes(self._base, self._endpoints)

    def routes(self) -> list[tuple[str, str]]:
        """Return the methods and paths, as the reference writes them."""
        return [(method, shown(f"{self._base}/{path}")) for method, path in self._endpoints]

    def find(self, method: str, path: str) -> Target:
        """Return the target of a method and a path. Raises NoRoute if there is none, and a Refusal of the dialect for a
        path that the fake does not serve.
        """
        return self._routes.find(method, self._route(path))

    def answer_to(self, error: Exception, path: str) -> tuple[Response, Refusal]:
        """Return the answer to a request to the path that failed with the error, and the refusal that it shows."""
        headers = None
        match error:
            case Refusal():
                refusal = error.kept()
            case NoRoute(allowed=allowed) if allowed:
                allowed = sorted(set(allowed) - {"HEAD"})
                headers = {"Allow": ", ".join(allowed)}
                refusal = Refusal(
                    RefusalCode.METHOD_NOT_ALLOWED, Reason("method_not_allowed", {"methods": " or ".join(allowed)})
                )
            case NotFound():
                refusal = Refusal(RefusalCode.NOT_FOUND, error.reason or str(error))
            case NoRoute():
                refusal = Refusal(RefusalCode.NOT_FOUND, self._unknown(path))
            case Conflict():
                refusal = Refusal(RefusalCode.CONFLICT, error.reason or str(error), error.parameter)
            case UsageError():
                refusal = Refusal(RefusalCode.INVALID_PARAMETER, error.reason or str(error), error.parameter)
            case McnMockError():
                refusal = Refusal(RefusalCode.INVALID_PARAMETER, str(error))
            case _:
                _log.error("a request could not be answered", exc_info=error)
                refusal = Refusal(RefusalCode.INTERNAL_ERROR, Reason("internal_error"))
        return self.refuse(refusal, headers), refusal

    def _unknown(self, path: str) -> Reason:
        """Return why there is no such path: if only its last word is wrong, the method that may be meant."""
        above, _, word = self._route(path).removesuffix("/").rpartition("/")
        methods = [rule.rpartition("/")[2] for rule in self.dialect.methods.values()]
        if self._base == self.dialect.root and word not in methods:
            with suppress(NoRoute):
                self._routes.find("POST", f"{above}/{methods[0]}")
                return Reason("method_not_found", {"value": show(word), "hint": nearest(word, methods)})
        return Reason("path_not_found", {"base": self._base})

    def refuse(self, refusal: Refusal, headers: dict[str, str] | None = None, *, status: int | None = None) -> Response:
        """Return the error envelope, with the code's own status if no other is given."""
        if refusal.code is RefusalCode.OVERLOADED:
            headers = {"Retry-After": RETRY_AFTER_S}
        elif refusal.code is RefusalCode.UNAUTHORIZED:
            headers = {"WWW-Authenticate": "Bearer"}  # RFC 9110, 15.5.2
        form = self.dialect.refuse(refusal, self.assumptions, status)
        if self._base == ADMIN_PATH and refusal.reason is not None:
            form.body["errors"][0]["reason"] = refusal.reason.shown()
        return json_response(form.status, form.body, headers=headers)


def one_slash(path: str) -> str:
    """Return the path as it is routed: several slashes in a row count as one, because a base URL may end in one."""
    return _SLASHES.sub("/", path)
