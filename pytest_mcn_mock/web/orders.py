"""An order to place a call, whoever gives it: an application by the vendor's API, or a tester by the admin API."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.flow import until
from pytest_mcn_mock.model.assumptions import Assumptions, NumberFormat
from pytest_mcn_mock.model.calls import Call, CallOrder
from pytest_mcn_mock.model.faults import FaultKind
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import NUMBER_FORM, clean_pasted, is_code, is_number
from pytest_mcn_mock.service import Operator


def read_order(method: Method, parameters: Mapping[str, str], assumptions: Assumptions) -> CallOrder:
    """The order that the parameters make; Refusal ``missing_parameter`` or ``invalid_parameter``, naming the one."""
    login_did = _number(parameters, "login_did", assumptions)
    if method is Method.CALL_FOR_2FA:
        return CallOrder(method, login_did, caller_did=_number(parameters, "caller_did", assumptions))
    return CallOrder(method, login_did, code=_code(parameters), country_id=parameters.get("country_id"))


async def place(operator: Operator, account_id: str, order: CallOrder, *, waits: bool) -> Call:
    """Place a call, and return it once it may be answered. That takes until there is room for its CDRs, if the order
    ``waits`` for that, and until the call is kept. Call ``service.calls.release`` when the answer was sent: its CDR
    follows then.

    A fault may have the CDR come before the answer. Raises the Refusal that says why the call was not placed.
    """
    call = await operator.calls.order(account_id, order, waits=waits)
    if call.cdr_fault is not None and call.cdr_fault.kind is FaultKind.CDR_EARLY:
        uuid = call.verification_call_uuid
        tried = operator.deliveries.first_attempt(uuid)
        if call.ending is None:
            operator.calls.end(uuid)
        operator.calls.release(uuid)
        await until(tried)
    return call


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
