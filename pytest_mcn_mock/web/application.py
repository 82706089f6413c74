"""The application: a request value in, a response value out. Nothing here knows a socket or a framework."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, MapAdapter, Rule

from pytest_mcn_mock.domain.assumptions import Assumptions
from pytest_mcn_mock.domain.requests import ApiRequest
from pytest_mcn_mock.errors import McnMockError, Refusal, RefusalCode, UnknownItem
from pytest_mcn_mock.operator.journal import Journal
from pytest_mcn_mock.web.admin_api import AdminApi
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.web.http import Request, Response, json_response

BASE_PATH: Final = "/v2/rest"
"""The path of the vendor's base URL, https://api.mcn.ru/v2/rest."""
ADMIN_PATH: Final = "/__admin"

ClientEndpoint = Callable[[Request, ApiRequest, str], Response]
AdminEndpoint = Callable[..., Response]
_ACCOUNT = re.compile(rf"{BASE_PATH}/account/([^/]+)")

_log = logging.getLogger("mcn_mock")


class Application:
    """Routes a request, and turns whatever goes wrong into the error envelope.

    ``handle`` never raises an Exception: one that nobody expected is logged and answered with ``internal_error``.
    """

    def __init__(self, client_api: ClientApi, admin_api: AdminApi, journal: Journal, assumptions: Assumptions) -> None:
        self._assumptions = assumptions
        client: dict[str, ClientEndpoint] = {
            f"{BASE_PATH}/account/<account_id>/call_for_2fa": client_api.call_for_2fa,
            f"{BASE_PATH}/account/<account_id>/flash_call": client_api.flash_call,
        }
        admin: dict[str, AdminEndpoint] = {
            f"{ADMIN_PATH}/health": admin_api.health,
            f"{ADMIN_PATH}/accounts/<account_id>": admin_api.account,
            f"{ADMIN_PATH}/calls": admin_api.calls,
            f"{ADMIN_PATH}/calls/<verification_call_uuid>": admin_api.call,
            f"{ADMIN_PATH}/deliveries": admin_api.deliveries,
        }
        self._client = _routes("POST", client)
        self._admin = _routes("GET", admin)
        self._journal = journal

    def handle(self, request: Request) -> Response:
        """The answer to a request. One of the client's is in the journal before anything else happens."""
        if request.path == ADMIN_PATH or request.path.startswith(f"{ADMIN_PATH}/"):
            response, _ = self._answer(self._admin, request, (request,))
            return response
        account_id = _ACCOUNT.match(request.path)
        entry = self._journal.receive(request.method, request.path, account_id[1] if account_id else None)
        response, entry.refusal = self._answer(self._client, request, (request, entry))
        entry.status = response.status
        return replace(response, after=partial(self._after, entry, response.after))

    def _after(self, entry: ApiRequest, then: Callable[[], None] | None) -> None:
        try:
            if then is not None:
                then()
        except Exception:
            _log.exception("a call could not be ended")
        finally:
            self._journal.answered(entry)

    def _answer(self, routes: MapAdapter, request: Request, values: tuple[Any, ...]) -> tuple[Response, Refusal | None]:
        headers = None
        try:
            endpoint, arguments = routes.match(request.path, method=request.method)
            return cast("Response", endpoint(*values, **arguments)), None
        except Refusal as error:
            refusal = error
        except MethodNotAllowed as error:
            allowed = sorted(set(error.valid_methods or ()) - {"HEAD"})
            headers = {"Allow": ", ".join(allowed)}
            refusal = Refusal(RefusalCode.METHOD_NOT_ALLOWED, f"use {' or '.join(allowed)} for this path")
        except UnknownItem as error:
            refusal = Refusal(RefusalCode.NOT_FOUND, str(error))
        except HTTPException:
            refusal = Refusal(RefusalCode.NOT_FOUND, f"there is no such path; the methods are under {BASE_PATH}")
        except McnMockError as error:
            refusal = Refusal(RefusalCode.INVALID_PARAMETER, str(error))
        except Exception:
            _log.exception("a request could not be answered")
            refusal = Refusal(RefusalCode.INTERNAL_ERROR, "the mock failed; its log says why")
        return self._refuse(refusal, headers), refusal

    def _refuse(self, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        status = self._assumptions.status_of(refusal.code)
        values = {
            "$status": status,
            "$code": refusal.code,
            "$message": refusal.message,
            "$parameter": refusal.parameter,
        }
        return json_response(status, _fill(self._assumptions.error_body, values), headers=headers)


def _routes(method: str, endpoints: Mapping[str, Callable[..., Response]]) -> MapAdapter:
    rules = [Rule(path, methods=[method], endpoint=endpoint) for path, endpoint in endpoints.items()]
    return Map(rules, strict_slashes=False, merge_slashes=False).bind("api.mcn.ru")


def _fill(template: Any, values: dict[str, Any]) -> Any:
    """The template with each text that is a key of ``values`` replaced by the value."""
    if isinstance(template, str):
        return values.get(template, template)
    if isinstance(template, list):
        return [_fill(item, values) for item in template]
    if hasattr(template, "items"):
        return {name: _fill(value, values) for name, value in template.items()}
    return template
