"""The vendor's API: the two methods of the article, as an application calls them."""

from __future__ import annotations

from functools import partial

from pytest_mcn_mock.domain.accounts import Account
from pytest_mcn_mock.domain.assumptions import NumberFormat
from pytest_mcn_mock.domain.calls import Call, CallOrder
from pytest_mcn_mock.domain.numbering import NUMBER_FORM, clean_pasted, is_code, is_number
from pytest_mcn_mock.domain.tariffs import Method
from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.operator import Operator
from pytest_mcn_mock.web.http import Request, Response, json_response
from pytest_mcn_mock.web.parameters import read_parameters


class ClientApi:
    """``POST /v2/rest/account/{account_id}/call_for_2fa`` and ``…/flash_call``."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def call_for_2fa(self, request: Request, account_id: str) -> Response:
        """Ring ``login_did`` from ``caller_did``, a number connected to the account."""
        account, parameters = self._enter(request, account_id)
        order = CallOrder(
            Method.CALL_FOR_2FA,
            login_did=self._number(parameters, "login_did"),
            caller_did=self._number(parameters, "caller_did"),
        )
        call = self._operator.calls.place(account.id, order)
        return self._accepted(call, {"caller_did": call.caller_did})

    def flash_call(self, request: Request, account_id: str) -> Response:
        """Ring ``login_did`` from a number of the vendor's that ends in ``code``."""
        account, parameters = self._enter(request, account_id)
        order = CallOrder(
            Method.FLASH_CALL,
            login_did=self._number(parameters, "login_did"),
            code=_code(parameters),
            country_id=parameters.get("country_id"),
        )
        return self._accepted(self._operator.calls.place(account.id, order), {})

    def _enter(self, request: Request, account_id: str) -> tuple[Account, dict[str, str]]:
        """The account that the token names, if it is the one in the path, and the request's parameters."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            parameters = read_parameters(request)
            return self._authenticate(parameters.get("user_hash", ""), account_id), parameters
        scheme, _, token = authorization.partition(" ")
        account = self._authenticate(token.strip() if scheme.lower() == "bearer" else "", account_id)
        return account, read_parameters(request)

    def _authenticate(self, token: str, account_id: str) -> Account:
        account = self._operator.accounts.of_token(token) if token else None
        if account is None:
            what = "the token is unknown" if token else "a token is required: Authorization: Bearer <token>"
            raise Refusal(RefusalCode.UNAUTHORIZED, what)
        if account.id != account_id:
            raise Refusal(
                RefusalCode.ACCOUNT_NOT_FOUND, "the token has no access to the account in the path", "account_id"
            )
        return account

    def _number(self, parameters: dict[str, str], name: str) -> str:
        given = parameters.get(name)
        if given is None:
            raise Refusal(RefusalCode.MISSING_PARAMETER, f"{name} is required", name)
        number = given
        if self._operator.assumptions.number_format is NumberFormat.PASTED:
            number = clean_pasted(given)
        if not is_number(number):
            raise Refusal(RefusalCode.INVALID_PARAMETER, f"{name} must be {NUMBER_FORM}", name)
        return number

    def _accepted(self, call: Call, more: dict[str, str]) -> Response:
        """The success envelope: every value in ``object`` is text, the code's leading zeros included."""
        placed = {
            "login_did": call.login_did,
            **more,
            "code": call.code,
            "account_id": call.account_id,
            "verification_call_uuid": call.verification_call_uuid,
        }
        return json_response(
            200,
            {"status": "success", "code": 200, "object": placed},
            after=partial(self._operator.calls.release, call.verification_call_uuid),
        )


def _code(parameters: dict[str, str]) -> str | None:
    code = parameters.get("code")
    if code is not None and not is_code(code):
        raise Refusal(RefusalCode.INVALID_PARAMETER, "code must be four digits, such as 0042", "code")
    return code
