"""The schemas are sound, say where each thing comes from, and know neither more nor less than the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.command_runs import tool
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from pytest_mcn_mock import Assumptions, Dialect, ErrorStyle, MCNServer, Outcome, PaidMethodsAssumptions, schemas
from pytest_mcn_mock.compose import compose
from pytest_mcn_mock.errors import NotFound, RefusalCode
from pytest_mcn_mock.model.assumptions import DEFAULT_STATUS, NumberFormat
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES, VARIABLES
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.settings import Settings

ROOT = Path(__file__).parents[3]
NAMES = [name for name in schemas.names() if name != schemas.OPENAPI]
LEVELS = {"documented", "observed", "assumed", "own"}
OF_THE_VENDOR = [
    "call_for_2fa.request",
    "call_for_2fa.response",
    "cdr",
    "error",
    "flash_call.request",
    "flash_call.response",
    "paidmethods.call_2fa.request",
    "paidmethods.call_2fa.response",
    "paidmethods.error",
    "paidmethods.flashcall.request",
    "paidmethods.flashcall.response",
]
OPENAPI = schemas.load(schemas.OPENAPI)
TAGS = {
    "/v2/rest/": (["flash call"], "documented"),
    "/api/protected/": (["paidmethods"], "observed"),
    "/__admin": (["admin"], "own"),
}
"""The tag and the level of an operation, by what its path begins with."""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in a document."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for found in objects(schema):
        if isinstance(found.get("properties"), dict):
            yield from found["properties"].items()


def enum(name: str, *path: str) -> set[str]:
    value: Any = schemas.load(name)
    for step in path:
        value = value[step]
    return set(value["enum"])


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_sound_and_every_reference_leads_somewhere(name: str) -> None:
    schema = schemas.load(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(f"/{name}.schema.json")
    resolver = schemas.registry().resolver(schema["$id"])
    for found in objects(schema):
        if isinstance(found.get("$ref"), str):
            resolver.lookup(found["$ref"])


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_says_what_each_thing_is_and_how_well_it_is_known(name: str) -> None:
    schema = schemas.load(name)
    assert schema["title"]
    assert schema["description"]
    assert name == "common" or schema["x-mcn-level"] in LEVELS
    described = [*properties(schema), *(schema.get("$defs", {}).items() if name == "common" else ())]
    of_a_condition = {"const", "not", "items", "properties"}  # such as a row of the article's table
    assert [
        key
        for key, value in described
        if value is not False and not {"description", "$ref"} & set(value) and not set(value) <= of_a_condition
    ] == []
    assert {found["x-mcn-level"] for found in objects(schema) if "x-mcn-level" in found} <= LEVELS


@pytest.mark.parametrize("name", OF_THE_VENDOR)
def test_every_property_of_the_vendors_api_has_a_level(name: str) -> None:
    top = schemas.load(name)
    inner = top["$defs"]["variables"] if name == "cdr" else top
    for key, value in inner["properties"].items():
        assert value.get("x-mcn-level") in LEVELS - {"own"} or "$ref" in value, key


@pytest.mark.parametrize("name", OF_THE_VENDOR)
def test_what_is_documented_quotes_the_article(name: str) -> None:
    for found in objects(schemas.load(name)):
        if found.get("x-mcn-level") == "documented" and "type" in found and "title" not in found:
            assert re.search("[а-яё]", found["description"]) or "«" in found["description"], found


@pytest.mark.parametrize("tool", ["make_schemas.py", "make_openapi.py"])
def test_what_is_made_is_up_to_date(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / tool), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_openapi_description_is_clean() -> None:
    assert list(OpenAPIV31SpecValidator(OPENAPI).iter_errors()) == []
    external = [found["$ref"] for found in objects(OPENAPI) if not str(found.get("$ref", "#")).startswith("#")]
    assert external == []
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(ids) == len(set(ids))


def operations() -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for path, item in OPENAPI["paths"].items():
        for method, operation in item.items():
            if method != "servers":
                whole = path if "servers" in item else f"/v2/rest{path}"
                yield (method.upper(), whole), operation


def test_every_route_is_described_and_every_description_has_its_route() -> None:
    """A page and its files are no API."""
    routes = compose(Settings()).application.routes()
    described = {route for route, _ in operations()}
    assert described == {route for route in routes if "/static/" not in route[1] and route[1] != "/__admin/"}


def test_every_operation_is_tagged_and_the_fakes_own_are_marked() -> None:
    for (_, path), operation in operations():
        root = next(root for root in TAGS if path.startswith(root))
        assert (operation["tags"], operation["x-mcn-level"]) == TAGS[root]
        assert operation["summary"]
    assert [tag["name"] for tag in OPENAPI["tags"]] == ["flash call", "paidmethods", "admin"]
    assert [server["url"] for server in OPENAPI["servers"]] == [
        "https://api.mcn.ru/v2/rest",
        "https://api.mcntele.com/v2/rest",
        "https://api.kompaas.tech/v2/rest",
        "http://127.0.0.1:8643/v2/rest",
    ]


def test_the_words_of_the_code_are_those_of_the_schemas() -> None:
    assert enum("common", "$defs", "refusal_code") == set(RefusalCode)
    assert enum("common", "$defs", "outcome") == set(Outcome)
    assert enum("common", "$defs", "method") == set(Method)
    assert enum("common", "$defs", "variable") == set(VARIABLES)
    assert set(schemas.load("cdr")["$defs"]["variables"]["properties"]) == set(VARIABLES)
    assert enum("common", "$defs", "dialect") == set(Dialect)
    assert enum("config", "properties", "assumed", "properties", "number_format") == set(NumberFormat)
    assert enum("config", "properties", "assumed", "properties", "error_style") == set(ErrorStyle)
    assert enum("config", "$defs", "outcome") == set(Outcome)
    documented = schemas.load("cdr")["$defs"]
    assert {documented[key]["x-mcn-level"] for key in ("answered", "busy", "no_answer", "rejected")} == {"documented"}
    assert set(schemas.load("cdr")["required"]) < set(DEFAULT_VARIABLES)


@pytest.mark.parametrize("code", list(RefusalCode))
def test_every_refusal_is_in_the_error_envelope_with_its_status(code: RefusalCode) -> None:
    row = schemas.load("error")["$defs"][code]["properties"]
    assert row["code"]["const"] == DEFAULT_STATUS[code]
    assert row["errors"]["items"]["properties"]["code"]["const"] == code
    assert f"error_{DEFAULT_STATUS[code]}" in OPENAPI["components"]["responses"]


def test_every_assumption_is_a_key_of_the_configuration() -> None:
    assumed = schemas.load("config")["properties"]["assumed"]["properties"]
    assert set(assumed) == set(Assumptions.__struct_fields__)
    refusals = schemas.load("error")["$defs"]
    of_the_vendor = {code for code in RefusalCode if refusals[code]["x-mcn-level"] == "assumed"}
    paid = assumed["paidmethods"]["properties"]
    assert set(paid) == set(PaidMethodsAssumptions.__struct_fields__)
    for by_code in (assumed["error_status"], assumed["error_number"], paid["error_status"]):
        assert set(by_code["properties"]) == {*of_the_vendor, RefusalCode.INTERNAL_ERROR}


@pytest.mark.parametrize("name", schemas.names())
def test_the_three_ways_to_a_schema_give_the_same_bytes(mcn_server: MCNServer, name: str) -> None:
    path = "openapi.json" if name == schemas.OPENAPI else f"schemas/{name}.json"
    served = requests.get(f"{mcn_server.url}/__admin/{path}", timeout=30)
    assert served.headers["Content-Type"] == "application/json"
    assert served.content == schemas.read(name)
    assert schemas.load(name) == json.loads(served.content)


def test_an_unknown_schema_is_not_found_and_the_nearest_one_is_named(mcn_server: MCNServer) -> None:
    response = requests.get(f"{mcn_server.url}/__admin/schemas/cdrs.json", timeout=30)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "not_found")
    assert "'cdr'" in response.json()["errors"][0]["message"]
    with pytest.raises(NotFound, match="cdr"):
        schemas.read("cdrs")


def test_the_command_prints_a_schema_and_their_list() -> None:
    assert tool("schema").out.split() == schemas.names()
    assert tool("schema", "cdr").out.encode() == schemas.read("cdr")
    unknown = tool("schema", "cdrs")
    assert (unknown.status, unknown.out) == (2, "")
    assert "did you mean 'cdr'?" in unknown.err
