"""The dialect of the article: ``https://api.mcn.ru/v2/rest/account/{account_id}/…``."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, Final

from pytest_mcn_mock.errors import Refusal
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.web.dialects.table import (
    DialectTable,
    ErrorForm,
    Parameters,
    fill,
    read_code,
    read_number,
)

_BASE: Final = "/v2/rest"


def _read_order(method: Method, parameters: Parameters, assumptions: Assumptions) -> CallOrder:
    login_did = read_number(parameters, "login_did", assumptions)
    if method is Method.CALL_FOR_2FA:
        return CallOrder(method, login_did, caller_did=read_number(parameters, "caller_did", assumptions))
    return CallOrder(method, login_did, code=read_code(parameters), country_id=parameters.get("country_id"))


def _accept(call: Call, _: Assumptions) -> Any:
    """Return the success envelope: every value in ``object`` is text, the code with its leading zeros."""
    caller = {"caller_did": call.caller_did} if call.method is Method.CALL_FOR_2FA else {}
    placed = {
        "login_did": call.login_did,
        **caller,
        "code": call.code,
        "account_id": call.account_id,
        "verification_call_uuid": call.verification_call_uuid,
    }
    return {"status": "success", "code": 200, "object": placed}


def _refuse(refusal: Refusal, assumptions: Assumptions, status: int | None) -> ErrorForm:
    status = status or assumptions.status_of(refusal.code)
    values = {
        "$status": status,
        "$code": refusal.code,
        "$message": refusal.message,
        "$parameter": refusal.parameter,
    }
    return ErrorForm(status, fill(assumptions.error_body, values))


API_MCN: Final = DialectTable(
    name=Dialect.API_MCN,
    hosts=("api.mcn.ru", "api.mcntele.com"),
    base_path=_BASE,
    root=_BASE,
    methods=MappingProxyType(
        {
            Method.CALL_FOR_2FA: "account/<account_id>/call_for_2fa",
            Method.FLASH_CALL: "account/<account_id>/flash_call",
        }
    ),
    account=re.compile(rf"{_BASE}/account/([^/]+)"),
    read_order=_read_order,
    accept=_accept,
    refuse=_refuse,
)
"""The article's dialect."""
