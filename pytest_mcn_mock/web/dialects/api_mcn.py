"""The dialect of the article: ``https://api.mcn.ru/v2/rest/account/{account_id}/…``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pytest_mcn_mock.errors import Refusal, RefusalCode
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import ARTICLES_TERMS, Call, CallOrder
from pytest_mcn_mock.model.dialects import Dialect
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.requests import Level, RequestRules, Rule
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.web.dialects.table import (
    DIGITS,
    VALUE_RULES,
    DialectTable,
    Parameters,
    read_code,
    read_number,
)

_BASE: Final = "/v2/rest"
_JSON: Final = ".json"
_XML: Final = ".xml"

_PARAMETERS = "schemas/{method}.request.schema.json#"
_OPERATION = "schemas/openapi.json#/paths/~1account~1{{account_id}}~1{method}/post"
_OTHERWISE = f"{_OPERATION}/x-mcn-otherwise"
_IN_QUERY = "send the parameters in the query string, and an empty body"

_RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        **VALUE_RULES,
        "user_hash": Rule(
            Level.OBSERVED,
            "user_hash in place of the Authorization header",
            f"{_PARAMETERS}/properties/user_hash",
            "send Authorization: Bearer <token>",
        ),
        "authorization": Rule(
            Level.ASSUMED,
            "an Authorization header whose word is not written Bearer",
            f"{_OTHERWISE}/authorization",
            "send Authorization: Bearer <token>",
        ),
        "basic": Rule(
            Level.ASSUMED,
            "the token as the password of Authorization: Basic",
            f"{_OTHERWISE}/basic",
            "send Authorization: Bearer <token>",
        ),
        "accept": Rule(
            Level.OBSERVED,
            "a request without Accept: application/json",
            f"{_OTHERWISE}/accept",
            "send Accept: application/json",
        ),
        "content_type": Rule(
            Level.OBSERVED,
            "a request without Content-Type: application/json",
            f"{_OTHERWISE}/content_type",
            "send Content-Type: application/json, although the body is empty",
        ),
        "application/x-www-form-urlencoded": Rule(
            Level.OBSERVED,
            "a urlencoded form in the body",
            f"{_OPERATION}/requestBody/content/application~1x-www-form-urlencoded",
            _IN_QUERY,
        ),
        "multipart/form-data": Rule(
            Level.OBSERVED,
            "a multipart form in the body",
            f"{_OPERATION}/requestBody/content/multipart~1form-data",
            _IN_QUERY,
        ),
        "application/json": Rule(
            Level.OBSERVED,
            "a JSON object in the body",
            f"{_OPERATION}/requestBody/content/application~1json",
            _IN_QUERY,
        ),
        "json_in_a_form": Rule(
            Level.OBSERVED,
            "a JSON object that is declared as a urlencoded form",
            f"{_OTHERWISE}/json_in_a_form",
            _IN_QUERY,
        ),
        "ignored_body": Rule(
            Level.ASSUMED,
            "a body that is neither a form nor JSON, and ignored,",
            f"{_OTHERWISE}/ignored_body",
            _IN_QUERY,
        ),
        "mixed": Rule(
            Level.ASSUMED,
            "a mix of parameters in the query and in the body",
            f"{_OTHERWISE}/mixed",
            _IN_QUERY,
        ),
        "suffix": Rule(
            Level.OBSERVED,
            "a path that ends in .json",
            f"{_OTHERWISE}/suffix",
            "leave .json out",
        ),
        "path": Rule(
            Level.ASSUMED,
            "a slash at the end of the path",
            f"{_OTHERWISE}/path",
            "leave it out",
        ),
        "slashes": Rule(
            Level.ASSUMED,
            "two slashes in a row in the path",
            f"{_OTHERWISE}/slashes",
            "send one; the base URL may end in a slash",
        ),
        "unknown": Rule(
            Level.ASSUMED,
            "the parameter {name}, which is ignored,",
            f"{_PARAMETERS}/additionalProperties",
            "leave it out, or look for a misspelling",
        ),
        "number_of_no_country": Rule(
            Level.ASSUMED,
            "{name} of no country, and no country_id,",
            "schemas/common.schema.json#/$defs/number_of_no_country",
            DIGITS,
        ),
        "country_id": Rule(
            Level.ASSUMED,
            "country_id as 643 or 703 written otherwise",
            "schemas/flash_call.request.schema.json#/$defs/country_written_otherwise",
            "send 643 or 703; compared as text, anything else is from a Russian number",
        ),
    }
)
"""Every way to go beyond the article."""


def _route(path: str) -> str:
    """Return the path that is looked for.

    The handbook, "Методы авторизации к API", 12 August 2026: a path may end in ``.json`` or ``.xml``, which is the form
    of the answer. It says that the answer is XML without a suffix, but public clients that send no Accept read JSON.
    """
    if path.endswith(_XML):
        raise Refusal(
            RefusalCode.NOT_FOUND,
            Reason("no_xml"),
        )
    return path.removesuffix(_JSON)


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


API_MCN: Final = DialectTable(
    name=Dialect.API_MCN,
    hosts=("api.mcn.ru", "api.mcntele.com", "api.kompaas.tech"),
    base_path=_BASE,
    root=_BASE,
    methods=MappingProxyType(
        {
            Method.CALL_FOR_2FA: "account/<account_id>/call_for_2fa",
            Method.FLASH_CALL: "account/<account_id>/flash_call",
        }
    ),
    route=_route,
    account=re.compile(rf"{_BASE}/account/([^/]+)"),
    account_header="",
    takes_basic=True,
    takes_user_hash=True,
    fidelity=RequestRules(
        rules=_RULES,
        spelling=ARTICLES_TERMS.spelling,
        parameters=MappingProxyType(
            {
                Method.FLASH_CALL: dict.fromkeys(("login_did", "code", "country_id"), ""),
                Method.CALL_FOR_2FA: dict.fromkeys(("login_did", "caller_did"), ""),
            }
        ),
        numbers=MappingProxyType({Method.FLASH_CALL: ("login_did",), Method.CALL_FOR_2FA: ("login_did", "caller_did")}),
    ),
    read_order=_read_order,
    accept=_accept,
    terms=lambda _: ARTICLES_TERMS,
    errors=lambda assumptions: assumptions,
    settings_prefix="",
)
"""The article's dialect."""
