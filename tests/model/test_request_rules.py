"""What goes beyond the article: a table whose every row is a place in the schemas, and applies to what it says."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from msgspec.structs import replace

from pytest_mcn_mock import schemas
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.requests import Level, RequestFacts, check_fidelity
from pytest_mcn_mock.web.dialects import API_MCN, DIALECTS, PAIDMETHODS

RUSSIAN = "79157777777"
AS_THE_ARTICLE = {"login_did": RUSSIAN}
DOCUMENTED = RequestFacts(
    method=Method.FLASH_CALL,
    parameters=AS_THE_ARTICLE,
    query=AS_THE_ARTICLE,
    body=None,
    body_type="",
    not_text=(),
    authorization="Bearer t",
    accept="application/json",
    content_type="application/json",
    path="/v2/rest/account/1/flash_call",
)


def given(method: Method = Method.FLASH_CALL, **parameters: str) -> RequestFacts:
    return replace(DOCUMENTED, method=method, parameters=parameters, query=parameters)


def in_body(body_type: str, query: dict[str, str] | None = None, **parameters: str) -> RequestFacts:
    query = query or {}
    return replace(
        DOCUMENTED,
        parameters={**parameters, **query},
        query=query,
        body=parameters,
        body_type=body_type,
        content_type=body_type,
    )


RULES = [
    (dialect.fidelity.spelling[method], name, rule)
    for dialect in DIALECTS
    for method in Method
    for name, rule in dialect.fidelity.rules.items()
]


OF_FLASHCALL = {"parameter", "number_of_no_country", "number_of_a_third_country"}


@pytest.mark.parametrize("spelling,key,rule", RULES, ids=[f"{row[0]}-{row[1]}" for row in RULES])
def test_every_row_is_a_place_in_the_schemas_and_has_its_level(spelling: str, key: str, rule: Any) -> None:
    if key in OF_FLASHCALL and spelling == "call_2fa":
        return
    name = "login_did" if key == "parameter" else ""
    file, _, pointer = rule.schema.format(method=spelling, name=name).partition("#")
    folder, _, name = file.partition("/")
    assert folder == "schemas"
    found: Any = schemas.load(name.removesuffix(".json").removesuffix(".schema"))
    for step in pointer.split("/")[1:]:
        found = found[unquote(step).replace("~1", "/").replace("~0", "~")]
    assert found["x-mcn-level"] == rule.level
    assert rule.hint


def test_every_place_of_the_requests_that_is_not_documented_has_its_row() -> None:
    """The other way round: nothing is marked in the schemas that the table does not know."""
    for method in Method:
        known = {rule.schema.format(method=method) for rule in API_MCN.fidelity.rules.values()}
        request = schemas.load(f"{method}.request")
        operation = schemas.load("openapi")["paths"][f"/account/{{account_id}}/{method}"]["post"]
        where = f"schemas/openapi.json#/paths/~1account~1{{account_id}}~1{method}/post"
        marked = [f"schemas/{method}.request.schema.json#/properties/{name}"
                  for name, value in request["properties"].items() if value["x-mcn-level"] != "documented"]  # fmt: skip
        marked += [f"{where}/x-mcn-otherwise/{name}" for name in operation["x-mcn-otherwise"]]
        content = operation["requestBody"]["content"]
        marked += [f"{where}/requestBody/content/{name.replace('/', '~1')}" for name in content]
        assert set(marked) <= known
        used = str(request)
        shared = schemas.load("common")["$defs"]
        marked = [name for name in shared if f"$defs/{name}'" in used and shared[name]["x-mcn-level"] != "documented"]
        assert {f"schemas/common.schema.json#/$defs/{name}" for name in marked} <= known


@pytest.mark.parametrize(
    "facts",
    [
        DOCUMENTED,
        given(login_did=RUSSIAN, code="0042", country_id="703"),
        given(login_did=RUSSIAN, country_id="643"),
        given(login_did=RUSSIAN, country_id="398"),
        given(login_did=RUSSIAN, country_id="abc"),
        given(login_did="421901234567"),
        given(login_did="3725123456"),
        given(login_did="999123456789", country_id="703"),
        given(Method.CALL_FOR_2FA, login_did=RUSSIAN, caller_did="79158888888"),
        replace(DOCUMENTED, accept="application/json, text/plain, */*", content_type="application/json; charset=utf-8"),
    ],
)
def test_what_the_article_says_goes_beyond_nothing(facts: RequestFacts) -> None:
    assert check_fidelity(facts, API_MCN.fidelity) == ()


@pytest.mark.parametrize(
    "facts,found",
    [
        (replace(DOCUMENTED, authorization="", parameters={**AS_THE_ARTICLE, "user_hash": "t"}), "user_hash"),
        (replace(DOCUMENTED, authorization="bearer t"), "authorization"),
        (replace(DOCUMENTED, authorization="Basic dTp0"), "basic"),
        (replace(DOCUMENTED, authorization="basic dTp0"), "basic"),
        (replace(DOCUMENTED, accept=""), "accept"),
        (replace(DOCUMENTED, accept="*/*"), "accept"),
        (replace(DOCUMENTED, content_type=""), "content_type"),
        (replace(DOCUMENTED, content_type="text/plain"), "content_type"),
        (in_body("application/x-www-form-urlencoded", login_did=RUSSIAN), "application/x-www-form-urlencoded"),
        (in_body("multipart/form-data", login_did=RUSSIAN), "multipart/form-data"),
        (in_body("application/json", login_did=RUSSIAN), "application/json"),
        (in_body("application/json", {"user_hash": "t"}, login_did=RUSSIAN), "application/json unknown"),
        (in_body("application/json", {"code": "0042"}, login_did=RUSSIAN), "application/json mixed"),
        (
            replace(in_body("application/json", login_did=RUSSIAN), not_text=("login_did",)),
            "application/json json_value",
        ),
        (in_body("json_in_a_form", login_did=RUSSIAN), "json_in_a_form"),
        (replace(in_body("text/plain"), parameters=AS_THE_ARTICLE, query=AS_THE_ARTICLE), "ignored_body"),
        (replace(DOCUMENTED, path="/v2/rest/account/1/flash_call/"), "path"),
        (replace(DOCUMENTED, path="/v2/rest/account/1/flash_call.json"), "suffix"),
        (given(login_did=RUSSIAN, colour="red"), "unknown"),
        (given(login_did=RUSSIAN, caller_did="79158888888"), "unknown"),
        (given(login_did=RUSSIAN, user_hash="beside the header"), "unknown"),
        (given(Method.CALL_FOR_2FA, login_did=RUSSIAN, caller_did="79158888888", code="0042"), "unknown"),
        (given(login_did="7777777777"), "number_without_country"),
        (given(login_did="9157777777"), "number_without_country"),
        (given(Method.CALL_FOR_2FA, login_did=RUSSIAN, caller_did="9158888888"), "number_without_country"),
        (given(login_did="999123456789"), "number_of_no_country"),
        (given(login_did="89157777777"), "domestic_number"),
        (given(login_did="88001234567"), "domestic_number"),
        (given(login_did="87771234567"), "domestic_number"),
        (given(login_did="89157777777", country_id="643"), "domestic_number"),
        (given(Method.CALL_FOR_2FA, login_did=RUSSIAN, caller_did="89158888888"), "domestic_number"),
        (given(login_did=RUSSIAN, country_id="0703"), "country_id"),
        (given(login_did=RUSSIAN, country_id="+643"), "country_id"),
        (given(login_did="+7 (915) 777-77-77"), "pasted_number"),
    ],
)
def test_what_goes_beyond_it_is_told_once(facts: RequestFacts, found: str) -> None:
    assert [use.rule for use in check_fidelity(facts, API_MCN.fidelity, takes_pasted=True)] == found.split()


HANDBOOK = RequestFacts(
    method=Method.CALL_FOR_2FA,
    parameters={"login_did": RUSSIAN, "caller_did": "79158888888"},
    query={},
    body={"login_did": RUSSIAN, "caller_did": "79158888888"},
    body_type="application/json",
    not_text=(),
    authorization="Bearer t",
    accept="application/json",
    content_type="application/json",
    path="/api/protected/api/auth/call_2fa",
)


def paid(body_type: str = "application/json", **parameters: str) -> RequestFacts:
    facts = replace(HANDBOOK, method=Method.FLASH_CALL, path="/api/protected/api/auth/flashcall")
    return replace(facts, parameters=parameters, body=parameters, body_type=body_type, content_type=body_type)


@pytest.mark.parametrize(
    "facts,found",
    [
        (HANDBOOK, ""),
        (paid(login_did=RUSSIAN), "parameter"),
        (paid(login_did=RUSSIAN, code="0042", country_id="398"), "parameter parameter parameter"),
        (replace(paid(login_did=RUSSIAN, is_with_redirect="true"), not_text=("is_with_redirect",)), "parameter"),
        (paid(login_did="77012345678"), "parameter"),
        (paid(login_did="421901234567"), "parameter number_of_a_third_country"),
        (paid(login_did="999123456789"), "parameter number_of_no_country"),
        (paid(login_did="421901234567", country_id="643"), "parameter parameter"),
        (replace(HANDBOOK, account_header="1"), "account_header"),
        (replace(HANDBOOK, authorization="bearer t"), "authorization"),
        (replace(HANDBOOK, accept=""), "accept"),
        (replace(HANDBOOK, body=None, body_type="", query=HANDBOOK.parameters), "query"),
        (paid("application/x-www-form-urlencoded", login_did=RUSSIAN), "application/x-www-form-urlencoded parameter"),
        (paid("multipart/form-data", login_did=RUSSIAN), "multipart/form-data parameter"),
        (paid("json_in_a_form", login_did=RUSSIAN), "json_in_a_form parameter"),
        (paid("text/plain", login_did=RUSSIAN), "ignored_body parameter"),
        (replace(HANDBOOK, path=f"{HANDBOOK.path}/"), "path"),
        (paid(login_did=RUSSIAN, user_hash="t"), "parameter unknown"),
        (replace(paid(login_did=RUSSIAN), not_text=("login_did",)), "parameter json_value"),
    ],
)
def test_a_request_of_paidmethods_is_observed_and_what_nobody_has_seen_is_told(facts: RequestFacts, found: str) -> None:
    uses = check_fidelity(facts, PAIDMETHODS.fidelity, takes_pasted=True)
    assert [use.rule for use in uses] == ["dialect", *found.split()]
    assert [use.level for use in uses] == [Level.OBSERVED, *[Level.ASSUMED] * len(found.split())]


def test_what_is_refused_goes_beyond_nothing() -> None:
    for login_did in ("+79157777777", "8abcdefghij", "8\u0669157777777", "abcdefghij"):
        assert check_fidelity(given(login_did=login_did), API_MCN.fidelity) == ()
    assert check_fidelity(given(), API_MCN.fidelity) == ()


def test_a_text_says_the_level_the_place_and_the_mend() -> None:
    facts = replace(DOCUMENTED, authorization="", parameters={**AS_THE_ARTICLE, "user_hash": "t"})
    (use,) = check_fidelity(facts, API_MCN.fidelity)
    assert str(use) == (
        "user_hash in place of the Authorization header is observed, not documented "
        "(schemas/flash_call.request.schema.json#/properties/user_hash); send Authorization: Bearer <token>"
    )


def test_a_name_from_outside_is_quoted_and_bounded() -> None:
    strange = {"login_did": RUSSIAN, "\x1b[31m" + "x" * 100: "1"}
    (use,) = check_fidelity(replace(DOCUMENTED, parameters=strange, query=strange), API_MCN.fidelity)
    assert "\x1b" not in use.text
    assert "x" * 41 not in use.text


def test_a_level_allows_itself_and_what_is_known_better() -> None:
    assert [[a.allows(b) for b in Level] for a in Level] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
