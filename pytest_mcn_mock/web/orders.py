"""An order to place a call, whoever gives it: an application by the vendor's API, or a tester by the admin API."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pytest_mcn_mock.domain.assumptions import Assumptions, NumberFormat
from pytest_mcn_mock.domain.calls import Call, CallOrder
from pytest_mcn_mock.domain.faults import FaultKind
from pytest_mcn_mock.domain.numbering import NUMBER_FORM, clean_pasted, is_code, is_number
from pytest_mcn_mock.domain.tariffs import Method
from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.web.http import Response, json_response


def read_order(method: Method, parameters: Mapping[str, str], assumptions: Assumptions) -> CallOrder:
    """The order that the parameters make; Refusal ``missing_parameter`` or ``invalid_parameter``, naming the one."""
    login_did = _number(parameters, "login_did", assumptions)
    if method is Method.CALL_FOR_2FA:
        return CallOrder(method, login_did, caller_did=_number(parameters, "caller_did", assumptions))
    return CallOrder(method, login_did, code=_code(parameters), country_id=parameters.get("country_id"))


def answer_placed(operator: Operator, call: Call, status: int, content: Any) -> Response:
    """The answer to an order that was accepted. The CDR follows it, or is before it where a fault says so."""
    uuid = call.verification_call_uuid
    response = json_response(status, content, after=partial(operator.calls.release, uuid))
    if call.cdr_fault is None or call.cdr_fault.kind is not FaultKind.CDR_EARLY:
        return response
    ready = operator.deliveries.first_attempt(uuid)
    if call.ending is None:
        operator.calls.end(uuid)
    operator.calls.release(uuid)
    response.ready = ready
    return response


def _number(parameters: Mapping[str, str], name: str, assumptions: Assumptions) -> str:
    given = parameters.get(name)
    if given is None:
        raise Refusal(RefusalCode.MISSING_PARAMETER, f"{name} is required", name)
    number = clean_pasted(given) if assumptions.number_format == NumberFormat.PASTED else given
    if not is_number(number):
        raise Refusal(RefusalCode.INVALID_PARAMETER, f"{name} must be {NUMBER_FORM}", name)
    return number


def _code(parameters: Mapping[str, str]) -> str | None:
    code = parameters.get("code")
    if code is not None and not is_code(code):
        raise Refusal(RefusalCode.INVALID_PARAMETER, "code must be four digits, such as 0042", "code")
    return code
