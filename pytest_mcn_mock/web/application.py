"""The application: a request value in, a response value out. Nothing here knows a socket or a framework."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any, Final, cast

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule

from pytest_mcn_mock.domain.assumptions import Assumptions
from pytest_mcn_mock.domain.requests import ApiRequest
from pytest_mcn_mock.errors import Conflict, McnMockError, Refusal, RefusalCode, UnknownItem
from pytest_mcn_mock.operator.journal import Journal
from pytest_mcn_mock.operator.ports import Durability
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.web.guard import ADMIN_PATH, Guard, is_admin_path
from pytest_mcn_mock.web.http import Endpoints, Request, Response, json_response
from pytest_mcn_mock.web.parameters import whole_body

BASE_PATH: Final = "/v2/rest"
"""The path of the vendor's base URL, https://api.mcn.ru/v2/rest."""

MAX_KEPT: Final = 1024
"""Paths whose endpoint is remembered, if they are no longer than MAX_KEPT_PATH characters."""
MAX_KEPT_PATH: Final = 256
RETRY_AFTER_S: Final = "1"
"""What an overloaded server says (RFC 9110, 10.2.3): it has room again as soon as one CDR is settled."""
_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
_SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""
_TO_THE_PAGE: Final = {"Location": f"{ADMIN_PATH[1:]}/"}
"""Whoever opens the server's address in a browser wants the page. Relative, so that it holds below a proxy's path."""
_ACCOUNT = re.compile(rf"{BASE_PATH}/account/([^/]+)")
_SLASHES = re.compile("//+")

_log = logging.getLogger("mcn_mock")


class Application:
    """Routes a request, and turns whatever goes wrong into the error envelope.

    ``handle`` never raises an Exception: one that nobody expected is logged and answered with ``internal_error``.
    ``admin`` is asked for the admin API's endpoints at the first request to one of them.
    """

    def __init__(
        self,
        client_api: ClientApi,
        admin: Callable[[], Endpoints],
        journal: Journal,
        assumptions: Assumptions,
        guard: Guard,
        durability: Durability,
    ) -> None:
        self._client = _Face(BASE_PATH, client_api.endpoints, assumptions)
        # A tester's tools rely on the admin API, whatever is assumed of the vendor's.
        self._admin = _Face(ADMIN_PATH, admin, Assumptions())
        self._journal = journal
        self._durability = durability
        self._guard = guard

    def routes(self) -> list[tuple[str, str]]:
        """Every method and path there is; a path's variables are in braces."""
        return [*self._client.routes(), *self._admin.routes()]

    def handle(self, request: Request) -> Response:
        """The answer to a request that the guard lets pass. One of the client's is in the journal before anything else
        happens.
        """
        path = request.path
        if "//" in path:
            request = replace(request, path=one_slash(path))
        try:
            self._guard.check(request)
        except Refusal as refusal:
            _log.info("refused by the guard: %s", refusal.message, extra={"code": str(refusal.code)})
            return self._admin.refuse(refusal)
        if is_admin_path(request.path):
            response, refused = self._admin.answer(request, (request,), is_to_be_whole=True)
            return response if refused else self._once_kept(request, response, self._admin.refuse)
        if request.path == "/" and request.method in _SAFE:
            where = Refusal(RefusalCode.NOT_FOUND, f"the page is at {ADMIN_PATH}/, and the API is under {BASE_PATH}")
            return self._admin.refuse(where, _TO_THE_PAGE, status=302)
        account_id = _ACCOUNT.match(request.path)
        entry = self._journal.receive(request.method, path, account_id[1] if account_id else None)
        response, entry.refusal = self._client.answer(request, (request, entry))
        if response.later is not None:
            return self._wait(request, entry, response.later)
        return self._answered(request, entry, response)

    def _answered(self, request: Request, entry: ApiRequest, response: Response) -> Response:
        entry.status = response.status
        response.after = partial(self._after, entry, response.after)
        return response if entry.refusal else self._once_kept(request, response, partial(self._not_kept, entry))

    def refuse_unread(self, status: int, why: str) -> Response:
        """The answer to what is no request that could be in the journal."""
        return self._client.refuse(Refusal(RefusalCode.INVALID_PARAMETER, why), status=status)

    def _wait(self, request: Request, entry: ApiRequest, waiting: Future[Response]) -> Response:
        """What is to be answered when the request's turn comes."""
        answer: Future[Response] = Future()

        def finish(waiting: Future[Response]) -> None:
            if not waiting.cancelled():
                response, entry.refusal = self._client.answer_of(waiting)
                response = self._answered(request, entry, response)
                if answer.set_running_or_notify_cancel():
                    answer.set_result(response)
                elif response.after is not None:  # the server had given it up: what was accepted takes its course
                    response.after()

        def give_up() -> None:
            if waiting.cancel():
                self._journal.answered(entry)
            elif not answer.cancelled() and (after := answer.result().after) is not None:  # its turn came meanwhile
                after()

        waiting.add_done_callback(finish)
        return Response(202, b"", later=answer, after=give_up)

    def _once_kept(self, request: Request, response: Response, otherwise: Callable[[Refusal], Response]) -> Response:
        """The answer, to be sent once what the request changed is kept."""
        if request.method not in _SAFE:
            response.kept, response.otherwise = self._durability.settled(), otherwise
        return response

    def _not_kept(self, entry: ApiRequest, refusal: Refusal) -> Response:
        """What is answered in place of an answer that would not have come true."""
        refusal = refusal.kept()
        response = self._client.refuse(refusal)
        entry.status, entry.refusal, entry.verification_call_uuid = response.status, refusal, None
        response.after = partial(self._after, entry, None)
        return response

    def _after(self, entry: ApiRequest, then: Callable[[], None] | None) -> None:
        try:
            if then is not None:
                then()
        except Exception:
            _log.exception("a call could not be ended")
        finally:
            self._journal.answered(entry)


class _Face:
    """One of the two APIs: its paths, and how it refuses."""

    def __init__(self, base: str, load: Callable[[], Endpoints], assumptions: Assumptions) -> None:
        self._base = base
        self._load = load
        self._assumptions = assumptions

    @cached_property
    def _endpoints(self) -> Endpoints:
        return self._load()

    @cached_property
    def _find(self) -> Callable[[str, str], tuple[Any, Any]]:
        rules = [
            Rule(f"{self._base}/{path}", methods=[method], endpoint=endpoint)
            for (method, path), endpoint in self._endpoints.items()
        ]
        routes = Map(rules, strict_slashes=False, merge_slashes=False).bind("api.mcn.ru")
        remembered = lru_cache(maxsize=MAX_KEPT)(routes.match)  # the same paths are asked for again and again
        return lambda path, method: (remembered if len(path) <= MAX_KEPT_PATH else routes.match)(path, method)

    def routes(self) -> list[tuple[str, str]]:
        """The methods and paths, as the reference writes them."""
        return [(method, _VARIABLE.sub(r"{\1}", f"{self._base}/{path}")) for method, path in self._endpoints]

    def answer(
        self, request: Request, values: tuple[Any, ...], *, is_to_be_whole: bool = False
    ) -> tuple[Response, Refusal | None]:
        """The endpoint's answer, or a refusal and why. ``is_to_be_whole``: none is asked without its whole body."""
        headers = None
        try:
            if is_to_be_whole:
                whole_body(request)
            endpoint, arguments = self._find(request.path, request.method)
            return cast("Response", endpoint(*values, **arguments)), None
        except Refusal as error:
            refusal = error.kept()
        except MethodNotAllowed as error:
            allowed = sorted(set(error.valid_methods or ()) - {"HEAD"})
            headers = {"Allow": ", ".join(allowed)}
            refusal = Refusal(RefusalCode.METHOD_NOT_ALLOWED, f"use {' or '.join(allowed)} for this path")
        except UnknownItem as error:
            refusal = Refusal(RefusalCode.NOT_FOUND, str(error))
        except HTTPException:
            refusal = Refusal(RefusalCode.NOT_FOUND, f"there is no such path; the methods are under {self._base}")
        except Conflict as error:
            refusal = Refusal(RefusalCode.CONFLICT, str(error))
        except McnMockError as error:
            refusal = Refusal(RefusalCode.INVALID_PARAMETER, str(error))
        except Exception:
            _log.exception("a request could not be answered")
            refusal = Refusal(RefusalCode.INTERNAL_ERROR, "the mock failed; its log says why")
        return self.refuse(refusal, headers), refusal

    def answer_of(self, waited: Future[Response]) -> tuple[Response, Refusal | None]:
        """The answer that an endpoint has waited for, or a refusal and why."""
        try:
            return waited.result(), None
        except Refusal as error:
            refusal = error.kept()
        except UnknownItem as error:
            refusal = Refusal(RefusalCode.NOT_FOUND, str(error))
        except Exception:
            _log.exception("a request could not be answered")
            refusal = Refusal(RefusalCode.INTERNAL_ERROR, "the mock failed; its log says why")
        return self.refuse(refusal), refusal

    def refuse(self, refusal: Refusal, headers: dict[str, str] | None = None, *, status: int | None = None) -> Response:
        """The error envelope, with the code's own status if no other is given."""
        if refusal.code is RefusalCode.OVERLOADED:
            headers = {"Retry-After": RETRY_AFTER_S}
        elif refusal.code is RefusalCode.UNAUTHORIZED:
            headers = {"WWW-Authenticate": "Bearer"}  # RFC 9110, 15.5.2
        status = status or self._assumptions.status_of(refusal.code)
        values = {
            "$status": status,
            "$code": refusal.code,
            "$message": refusal.message,
            "$parameter": refusal.parameter,
        }
        return json_response(status, _fill(self._assumptions.error_body, values), headers=headers)


def one_slash(path: str) -> str:
    """The path as it is routed: several slashes in a row count as one, because a base URL may end in one."""
    return _SLASHES.sub("/", path)


def _fill(template: Any, values: dict[str, Any]) -> Any:
    """The template with each text that is a key of ``values`` replaced by the value."""
    if isinstance(template, str):
        return values.get(template, template)
    if isinstance(template, list):
        return [_fill(item, values) for item in template]
    if hasattr(template, "items"):
        return {name: _fill(value, values) for name, value in template.items()}
    return template
