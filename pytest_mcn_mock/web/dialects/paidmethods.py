"""The dialect that followed: ``https://paidmethods.mcn.ru/api/protected/api/auth/…``.

The handbook, "Flash call — звонки для авторизации, API", 12 August 2026, and "Методы API → Платные методы", 12 August
2026. It shows the answer of flashcall; it does not show the parameters of flashcall, the answer of call_2fa and any
refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Final

from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import Call, CallOrder, Terms
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.numbering import choose_home_country
from pytest_mcn_mock.model.requests import Level, RequestRules, Rule
from pytest_mcn_mock.web.dialects.table import VALUE_RULES, DialectTable, Parameters, fill, read_code, read_number

_ROOT: Final = "/api/protected/api/auth"
_SPELLING: Final = MappingProxyType({Method.CALL_FOR_2FA: "call_2fa", Method.FLASH_CALL: "flashcall"})
_REQUEST: Final = "schemas/paidmethods.{method}.request.schema.json#"
_OPERATION: Final = f"schemas/openapi.json#/paths/{_ROOT.replace('/', '~1')}~1{{method}}/post"
_OTHERWISE: Final = f"{_OPERATION}/x-mcn-otherwise"
_CONTENT: Final = f"{_OPERATION}/requestBody/content"
_IN_JSON: Final = "send the parameters as a JSON object in the body"
_BEARER: Final = "send Authorization: Bearer <token>"
_UNKNOWN: Final = "no public page shows it: compare it with the vendor's description in your account"
_OF_A_THIRD_COUNTRY: Final = Rule(
    Level.ASSUMED,
    "{name} that is neither Russian nor Kazakh, and no country_id,",
    f"{_REQUEST}/$defs/number_of_a_third_country",
    "the handbook describes only Russian and Kazakh numbers; the setting is paidmethods.other_country",
)

_RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        **VALUE_RULES,
        "dialect": Rule(
            Level.OBSERVED,
            "the method {method} of paidmethods.mcn.ru",
            _OPERATION,
            "the article documents only api.mcn.ru; the vendor's handbook of 2026 shows this method",
        ),
        "parameter": Rule(
            Level.ASSUMED, "the parameter {name} of {method}", f"{_REQUEST}/properties/{{name}}", _UNKNOWN
        ),
        "authorization": Rule(
            Level.ASSUMED,
            "an Authorization header whose word is not written Bearer",
            f"{_OTHERWISE}/authorization",
            _BEARER,
        ),
        "account_header": Rule(
            Level.ASSUMED,
            "the header x-account-id",
            f"{_OTHERWISE}/account_header",
            "leave it out: the token alone names the account",
        ),
        "accept": Rule(
            Level.ASSUMED,
            "a request without Accept: application/json",
            f"{_OTHERWISE}/accept",
            "send Accept: application/json",
        ),
        "query": Rule(Level.ASSUMED, "parameters in the query string", f"{_OTHERWISE}/query", _IN_JSON),
        "application/x-www-form-urlencoded": Rule(
            Level.ASSUMED,
            "a urlencoded form in the body",
            f"{_CONTENT}/application~1x-www-form-urlencoded",
            _IN_JSON,
        ),
        "multipart/form-data": Rule(
            Level.ASSUMED, "a multipart form in the body", f"{_CONTENT}/multipart~1form-data", _IN_JSON
        ),
        "json_in_a_form": Rule(
            Level.ASSUMED,
            "a JSON object that is declared as a urlencoded form",
            f"{_OTHERWISE}/json_in_a_form",
            "send Content-Type: application/json",
        ),
        "ignored_body": Rule(
            Level.ASSUMED,
            "a body that is neither a form nor JSON, and ignored,",
            f"{_OTHERWISE}/ignored_body",
            _IN_JSON,
        ),
        "mixed": Rule(
            Level.ASSUMED,
            "a mix of parameters in the query and in the body",
            f"{_OTHERWISE}/mixed",
            _IN_JSON,
        ),
        "path": Rule(Level.ASSUMED, "a slash at the end of the path", f"{_OTHERWISE}/path", "leave it out"),
        "slashes": Rule(
            Level.ASSUMED,
            "two slashes in a row in the path",
            f"{_OTHERWISE}/slashes",
            "send one; the base URL may end in a slash",
        ),
        "unknown": Rule(
            Level.ASSUMED,
            "the parameter {name}, which is ignored,",
            f"{_REQUEST}/additionalProperties",
            "leave it out, or look for a misspelling",
        ),
        "number_of_no_country": _OF_A_THIRD_COUNTRY,
        "number_of_a_third_country": _OF_A_THIRD_COUNTRY,
    }
)
"""Every way to go beyond the article; every request of this dialect does, by the rule ``dialect``."""


@cache
def _terms(other_country: int) -> Terms:
    return Terms(Dialect.PAIDMETHODS, _SPELLING, partial(choose_home_country, other=other_country))


def _read_order(method: Method, parameters: Parameters, assumptions: Assumptions) -> CallOrder:
    login_did = read_number(parameters, "login_did", assumptions)
    terms = _terms(assumptions.paidmethods.other_country)
    if method is Method.CALL_FOR_2FA:
        caller_did = read_number(parameters, "caller_did", assumptions)
        return CallOrder(method, login_did, caller_did=caller_did, terms=terms)
    code, country_id = read_code(parameters), parameters.get("country_id")
    return CallOrder(method, login_did, code=code, country_id=country_id, terms=terms)


def _accept(call: Call, assumptions: Assumptions) -> Any:
    """Return the answer, with the sample's keys in its order: ids are numbers, the code and the numbers are text."""
    if call.method is Method.CALL_FOR_2FA:
        values = {
            "$login_did": call.login_did,
            "$caller_did": call.caller_did,
            "$code": call.code,
            "$account_id": int(call.account_id),
            "$verification_call_uuid": call.verification_call_uuid,
        }
        return fill(assumptions.paidmethods.call_for_2fa_body, values)
    placed = {
        "login_did": call.login_did,
        "country_id": call.country_id,
        "verification_call_uuid": call.verification_call_uuid,
        "account_id": int(call.account_id),
        "code": call.code,
    }
    return {"ok": True, "result": placed}


PAIDMETHODS: Final = DialectTable(
    name=Dialect.PAIDMETHODS,
    hosts=("paidmethods.mcn.ru", "paidmethods.kompaas.tech"),
    base_path="",
    root=_ROOT,
    methods=_SPELLING,
    route=str,
    account=None,
    account_header="x-account-id",
    takes_basic=False,
    takes_user_hash=False,
    fidelity=RequestRules(
        rules=_RULES,
        spelling=_SPELLING,
        parameters=MappingProxyType(
            {
                Method.FLASH_CALL: {
                    **dict.fromkeys(("login_did", "code", "country_id"), "parameter"),
                    "is_with_redirect": "",  # the handbook names it, and the fake has nothing to redirect
                },
                Method.CALL_FOR_2FA: {"login_did": "", "caller_did": ""},  # a page of the vendor's of 2023
            }
        ),
        numbers=MappingProxyType({Method.FLASH_CALL: ("login_did",), Method.CALL_FOR_2FA: ("login_did", "caller_did")}),
        flags=frozenset({"is_with_redirect"}),
        is_in_body=True,
    ),
    read_order=_read_order,
    accept=_accept,
    terms=lambda assumptions: _terms(assumptions.paidmethods.other_country),
    errors=lambda assumptions: assumptions.paidmethods,
    settings_prefix="paidmethods.",
)
"""The dialect of paidmethods.mcn.ru."""
