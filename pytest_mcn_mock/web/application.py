"""The application: a request value in, a response value out. Nothing here knows a socket or a framework."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, cast

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule

from pytest_mcn_mock.domain.assumptions import Assumptions
from pytest_mcn_mock.errors import McnMockError, Refusal, RefusalCode, UnknownItem
from pytest_mcn_mock.web.admin_api import AdminApi
from pytest_mcn_mock.web.client_api import ClientApi
from pytest_mcn_mock.web.http import Request, Response, json_response

BASE_PATH: Final = "/v2/rest"
"""The path of the vendor's base URL, https://api.mcn.ru/v2/rest."""
ADMIN_PATH: Final = "/__admin"

_log = logging.getLogger("mcn_mock")


class Application:
    """Routes a request, and turns whatever goes wrong into the error envelope.

    ``handle`` never raises an Exception: one that nobody expected is logged and answered with ``internal_error``.
    """

    def __init__(self, client_api: ClientApi, admin_api: AdminApi, assumptions: Assumptions) -> None:
        self._assumptions = assumptions
        endpoints: dict[tuple[str, str], Callable[..., Response]] = {
            ("POST", f"{BASE_PATH}/account/<account_id>/call_for_2fa"): client_api.call_for_2fa,
            ("POST", f"{BASE_PATH}/account/<account_id>/flash_call"): client_api.flash_call,
            ("GET", f"{ADMIN_PATH}/health"): admin_api.health,
            ("GET", f"{ADMIN_PATH}/accounts/<account_id>"): admin_api.account,
            ("GET", f"{ADMIN_PATH}/calls"): admin_api.calls,
            ("GET", f"{ADMIN_PATH}/calls/<verification_call_uuid>"): admin_api.call,
            ("GET", f"{ADMIN_PATH}/deliveries"): admin_api.deliveries,
        }
        routes = Map(
            [Rule(path, methods=[method], endpoint=endpoint) for (method, path), endpoint in endpoints.items()],
            strict_slashes=False,
            merge_slashes=False,
        )
        self._routes = routes.bind("api.mcn.ru")

    def handle(self, request: Request) -> Response:
        """The answer to a request."""
        try:
            endpoint, arguments = self._routes.match(request.path, method=request.method)
            return cast("Response", endpoint(request, **arguments))
        except Refusal as refusal:
            return self._refuse(refusal)
        except MethodNotAllowed as error:
            allowed = sorted(set(error.valid_methods or ()) - {"HEAD"})
            wrong = Refusal(RefusalCode.METHOD_NOT_ALLOWED, f"use {' or '.join(allowed)} for this path")
            return self._refuse(wrong, {"Allow": ", ".join(allowed)})
        except UnknownItem as error:
            return self._refuse(Refusal(RefusalCode.NOT_FOUND, str(error)))
        except HTTPException:
            return self._refuse(
                Refusal(RefusalCode.NOT_FOUND, f"there is no such path; the methods are under {BASE_PATH}")
            )
        except McnMockError as error:
            return self._refuse(Refusal(RefusalCode.INVALID_PARAMETER, str(error)))
        except Exception:
            _log.exception("a request could not be answered")
            return self._refuse(Refusal(RefusalCode.INTERNAL_ERROR, "the mock failed; its log says why"))

    def _refuse(self, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        status = self._assumptions.status_of(refusal.code)
        values = {
            "$status": status,
            "$code": refusal.code,
            "$message": refusal.message,
            "$parameter": refusal.parameter,
        }
        return json_response(status, _fill(self._assumptions.error_body, values), headers=headers)


def _fill(template: Any, values: dict[str, Any]) -> Any:
    """The template with each text that is a key of ``values`` replaced by the value."""
    if isinstance(template, str):
        return values.get(template, template)
    if isinstance(template, list):
        return [_fill(item, values) for item in template]
    if hasattr(template, "items"):
        return {name: _fill(value, values) for name, value in template.items()}
    return template
