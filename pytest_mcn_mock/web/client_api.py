"""The vendor's API in one of its dialects: how an order is served, and how a fault alters its answer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from msgspec.structs import replace

from pytest_mcn_mock.errors import NotFound, Refusal, RefusalCode
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import NumberFormat
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.requests import MAX_UNDOCUMENTED, ApiRequest, RequestFacts, check_fidelity, kept_parameters
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service import Service
from pytest_mcn_mock.web.dialects.table import DialectTable
from pytest_mcn_mock.web.http import Closing, Endpoints, Request, Response, ResponseFault, json_response, send
from pytest_mcn_mock.web.parameters import Given, read_parameters


def apply_fault(response: Response, fault: Fault) -> Response:
    """Return the answer as the fault alters it; see ``draw_fault``."""
    wait_s = fault.delay_s + fault.jitter_s
    match fault.kind:
        case FaultKind.STATUS:
            html = b"<html><body><h1>The operator has a fault</h1></body></html>"
            return replace(response, status=fault.status, body=html, headers={"Content-Type": "text/html"})
        case FaultKind.DELAY:
            return replace(response, fault=ResponseFault(delay_s=wait_s))
        case FaultKind.DRIP:
            return replace(response, fault=ResponseFault(drip_s=wait_s))
        case FaultKind.RESET:
            return replace(response, fault=ResponseFault(closing=Closing.RESET))
        case FaultKind.CUT_OFF:
            return replace(response, fault=ResponseFault(closing=Closing.CUT_OFF))
        case FaultKind.MALFORMED:
            return replace(response, body=response.body.replace(b'"', b"'"))
        case _:
            return response


_FEW: Final = 16
_SHORT: Final = 512
"""So few parameters, in so few bytes, are less than MAX_PARAMETERS_SIZE in memory, and need not be measured."""


class ClientApi:
    """The methods of a dialect."""

    def __init__(self, service: Service, dialect: DialectTable) -> None:
        self._service = service
        self.dialect = dialect

    def endpoints(self) -> Endpoints:
        """Return every endpoint by its method and path."""
        return {("POST", path): partial(self._serve, method) for method, path in self.dialect.methods.items()}

    async def _serve(self, method: Method, request: Request, entry: ApiRequest, account_id: str | None = None) -> None:
        """Serve an order, from the token to the work after the answer."""
        account, parameters = await self._enter(request, entry, account_id, method)
        try:
            order = self.dialect.read_order(method, parameters, self._service.assumptions)
        except Refusal as refusal:
            raise _explain_missing(refusal, entry, self.dialect.fidelity.parameters[method]) from None
        try:
            fault = await self._service.accounts.take_request_fault(account)
            if fault is not None:
                entry.fault = fault.kind
                if not fault.accepted:
                    response = apply_fault(Response(503, b""), fault)
                    entry.status = response.status
                    await send(response)
                    return
            call = await self._service.calls.place(account.id, order)
        except NotFound:  # the account was closed meanwhile
            raise _unknown_token() from None
        entry.verification_call_uuid = call.verification_call_uuid
        response = json_response(200, self.dialect.accept(call, self._service.assumptions))
        if fault is not None:
            response = apply_fault(response, fault)
            if response.fault is not None:
                self._service.calls.wait_no_more(call.verification_call_uuid)
        entry.status = response.status
        await send(response)
        await self._service.calls.answered(call.verification_call_uuid)

    async def _enter(
        self, request: Request, entry: ApiRequest, account_id: str | None, method: Method
    ) -> tuple[Account, dict[str, str]]:
        """Return the account of the token, which must be the one that the request names, and the parameters. Note both
        in ``entry``.
        """
        account, given = await self._authenticate(request, entry, account_id)
        entry.parameters = given.all
        if "user_hash" in given.all:
            entry.parameters = {name: value for name, value in given.all.items() if name != "user_hash"}
        if len(given.all) > _FEW or len(request.query) + len(request.body or b"") > _SHORT:
            entry.parameters = kept_parameters(entry.parameters)
        facts = self._facts(request, entry.path, given, method)
        takes_pasted = self._service.assumptions.number_format == NumberFormat.PASTED
        found = check_fidelity(facts, self.dialect.fidelity, takes_pasted=takes_pasted)
        entry.undocumented = found[:MAX_UNDOCUMENTED]
        return account, given.all

    async def _authenticate(self, request: Request, entry: ApiRequest, account_id: str | None) -> tuple[Account, Given]:
        headers = request.headers
        given = None
        if "authorization" not in headers and self.dialect.takes_user_hash:
            given = read_parameters(request)
            token = given.all.get("user_hash", "")
        else:
            token = self.dialect.token_in(headers.get("authorization", ""))
        account = await self._service.storage.account_of_token(token) if token else None
        if account is None:
            if token:
                raise _unknown_token()
            raise Refusal(RefusalCode.UNAUTHORIZED, Reason("token_required"))
        if entry.account_id is None:
            self._service.journal.assign(entry, account.id)
        header = self.dialect.account_header
        named = account_id or headers.get(header)
        if named and account.id != named:
            entry.token_account_id = account.id
            why = Reason("foreign_account_header", {"header": header}) if header else Reason("foreign_account")
            raise Refusal(RefusalCode.ACCOUNT_NOT_FOUND, why, header or "account_id")
        return account, read_parameters(request) if given is None else given

    def _facts(self, request: Request, path: str, given: Given, method: Method) -> RequestFacts:
        headers = request.headers
        return RequestFacts(
            method,
            given.all,
            given.query,
            given.body,
            given.body_type,
            given.not_text,
            headers.get("authorization", ""),
            headers.get("accept", ""),
            headers.get("content-type", ""),
            path,
            headers.get(self.dialect.account_header, ""),
        )


def _unknown_token() -> Refusal:
    return Refusal(RefusalCode.UNAUTHORIZED, Reason("token_unknown"))


def _explain_missing(refusal: Refusal, entry: ApiRequest, known: Iterable[str]) -> Refusal:
    """Return the refusal of an order. If a parameter is missing, say where it may be: in a body that was ignored, or
    under a name that the method does not know.
    """
    if refusal.code is not RefusalCode.MISSING_PARAMETER:
        return refusal
    unknown = [repr(name[:40]) for name in entry.parameters if name not in known][:3]
    if any(use.rule == "ignored_body" for use in entry.undocumented):
        reason = Reason("required_body_not_read", {"name": refusal.parameter or ""})
    elif unknown:
        reason = Reason("required_unknown_given", {"name": refusal.parameter or "", "given": ", ".join(unknown)})
    else:
        return refusal
    return Refusal(refusal.code, reason, refusal.parameter)
