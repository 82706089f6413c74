"""Makes ``schemas/openapi.json`` from the schemas beside it and the admin API's routes; ``--check`` only compares."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from pytest_mcn_mock.errors import RefusalCode
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.requests import Level
from pytest_mcn_mock.web.admin import ROUTES, Route
from pytest_mcn_mock.web.dialects import API_MCN, PAIDMETHODS
from pytest_mcn_mock.web.guard import ADMIN_PATH
from pytest_mcn_mock.web.lists import CALL_STATES, MAX_WAIT_S

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "schemas"
FIDELITY = ROOT / "docs/fidelity.toml"
TARGET = SCHEMAS / "openapi.json"
VERSION = "1.0"
"""The description's own. The package's comes from a tag, and is not known before."""
SERVER = "http://127.0.0.1:8643"
JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
NOT_BUNDLED = ("config", "recording")
"""Schemas that do not describe a message."""

ERRORS = {
    400: "A parameter or the body is invalid.",
    401: "The token is missing or unknown.",
    402: "The call costs more than the balance.",
    403: "The account or the number is not the token's, or the request is from a foreign web page.",
    404: "The path, or the resource that it names, does not exist.",
    405: "The header Allow names the method to use.",
    409: "The current state does not allow this.",
    412: "The resource was changed after it was read.",
    413: "The body is larger than 64 KiB. It was not read.",
    429: "max_pending CDRs are pending.",
    500: "The fake failed. Its log has the reason.",
    503: "Too many clients listen to the events or wait, or the sandbox could not write its state.",
}
VENDOR_ERRORS = (400, 401, 402, 403, 404, 405, 413, 429, 500, 503)
PAID_ERRORS = {
    400: "A parameter or the body is invalid, or the body is larger than 64 KiB.",
    401: ERRORS[401],
    403: "The call costs more than the balance, or the number is not the account's.",
    404: "The path does not exist, or has another HTTP method.",
    429: ERRORS[429],
    500: ERRORS[500],
    503: "The sandbox could not write its state.",
}
ADMIN_ERRORS = (400, 401, 403, 405, 413, 500, 503)

_CODE = f"({'|'.join(RefusalCode)})"
_LIST_OF_CODES = f"^{_CODE}(,{_CODE})*$"
PARAMETERS: dict[str, dict[str, Any]] = {
    "account_id": {"description": "The account.", "schema": {"type": "integer"}, "example": 12345678},
    "verification_call_uuid": {
        "description": "The call.",
        "schema": {"type": "string"},
        "example": "fa278be48dc2_12345678",
    },
    "number": {"description": "The webhook's n.", "schema": {"type": "integer", "minimum": 0}, "example": 1},
    "delivery_id": {"description": "The delivery's id.", "schema": {"type": "integer", "minimum": 0}, "example": 1},
    "name": {"description": "The schema's name.", "schema": {"type": "string"}, "example": "cdr"},
    "after": {
        "description": "The cursor: next of the previous page.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**15},
    },
    "limit": {
        "description": "The maximum number of items; 100 if not given.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 1000},
    },
    "order": {"description": "newest: the newest first.", "schema": {"enum": ["oldest", "newest"]}},
    "login_did": {
        "description": "The number that is called.",
        "schema": {"$ref": "#/components/schemas/common/$defs/number"},
    },
    "code": {
        "description": "The last four digits of the number that calls.",
        "schema": {"type": "string", "pattern": "^[0-9]{4}$"},
    },
    "calls.state": {"description": "Whether the call has ended.", "schema": {"enum": list(CALL_STATES)}},
    "deliveries.state": {
        "description": "The state of the delivery.",
        "schema": {"enum": [str(state) for state in DeliveryState]},
    },
    "requests.login_did": {
        "description": "The request's parameter, as it was sent.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
    },
    "requests.code": {
        "description": "The request's parameter, as it was sent.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
    },
    "wait": {
        "description": "Seconds for which the answer waits for an item; 0 if not given.",
        "schema": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_S},
    },
    "accounts/<account_id>/mistakes.wait": {
        "description": "Seconds for which the answer waits until nothing is in flight; 0 if not given.",
        "schema": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_S},
    },
    "expect_refusal": {
        "description": "Codes of refusals that are expected, with commas between them.",
        "schema": {"type": "string", "pattern": _LIST_OF_CODES},
    },
    "expect_undelivered": {
        "description": "Whether CDRs may go unacknowledged; false if not given.",
        "schema": {"enum": ["true", "false"]},
    },
    "fidelity": {
        "description": "The level that the application may rely on; assumed if not given.",
        "schema": {"enum": [str(level) for level in Level]},
    },
}
LEVELS = {row["id"]: row["level"] for row in tomllib.loads(FIDELITY.read_text(encoding="utf-8"))["row"]}
"""The level of each row of docs/fidelity.toml."""


def _known(row: str) -> dict[str, str]:
    """The mark of a thing that a row of docs/fidelity.toml is about."""
    return {"x-mcn-level": LEVELS[row], "x-mcn-fidelity": row}


IN_THE_QUERY = "parameters_are_in_the_query_and_the_body_is_empty"
THE_METHODS = "the_two_methods_are_at_the_articles_paths"
OTHERWISE_WRITTEN = "a_request_may_be_written_otherwise_than_anybody_has_seen"
HEADERS = {
    name: {"description": f"«--header '{name}: {value}'»", **_known(row)}
    for name, value, row in (
        ("Accept", JSON, IN_THE_QUERY),
        ("Content-Type", JSON, IN_THE_QUERY),
        ("Authorization", "Bearer <ТОКЕН>", "the_token_is_a_bearer_token"),
    )
}
"""Headers that OpenAPI takes no parameters for."""
OTHERWISE = {
    "accept": (
        "a_request_without_the_two_headers_is_taken",
        "Clients of other methods send no Accept, or */*.",
    ),
    "content_type": (
        "a_request_without_the_two_headers_is_taken",
        "An empty body with no Content-Type: clients of other methods send that of their body.",
    ),
    "authorization": (OTHERWISE_WRITTEN, "The word Bearer written otherwise is taken (RFC 9110, 11.1)."),
    "ignored_body": (OTHERWISE_WRITTEN, "A body that is neither a form nor JSON is ignored."),
    "mixed": (
        "the_query_wins_over_the_body",
        "Parameters may be in the query and in the body at once; the query wins.",
    ),
    "path": (OTHERWISE_WRITTEN, "A slash at the end of the path is ignored."),
    "slashes": (OTHERWISE_WRITTEN, "Several slashes in a row in the path count as one."),
    "suffix": ("a_path_may_end_in_json", "A path may end in .json."),
    "json_in_a_form": (
        "json_that_is_declared_as_a_form_is_read",
        "A JSON object whose Content-Type is application/x-www-form-urlencoded is read.",
    ),
    "basic": (
        "the_password_of_basic_is_the_token",
        "Authorization: Basic is taken; its password is the token (RFC 7617, 2).",
    ),
}
"""Behaviour that OpenAPI cannot describe, with its row of docs/fidelity.toml."""
PAID_OTHERWISE = {
    **{key: OTHERWISE[key] for key in ("authorization", "ignored_body", "mixed", "path", "slashes")},
    "accept": (OTHERWISE_WRITTEN, "No Accept, or */*, is taken."),
    "query": ("parameters_of_paidmethods_in_the_query_or_a_form", "Parameters may be in the query string."),
    "json_in_a_form": (
        "parameters_of_paidmethods_in_the_query_or_a_form",
        "A JSON object whose Content-Type is application/x-www-form-urlencoded is read.",
    ),
    "account_header": ("x_account_id_may_name_the_tokens_account", "The header x-account-id may name the account."),
}
"""The same of the dialect paidmethods."""
EXAMPLES = {"login_did": "79157777777", "caller_did": "79158888888", "code": "0042", "country_id": "643"}


def _ref(name: str) -> dict[str, str]:
    """To a schema, or to one of its definitions, as in ``common#nothing``."""
    schema, _, definition = name.partition("#")
    return {"$ref": f"#/components/schemas/{schema}" + (f"/$defs/{definition}" if definition else "")}


IN_QUERY: dict[str, dict[str, Any]] = {
    "login_did": _ref("common#number"),
    "caller_did": _ref("common#number"),
    "code": {"anyOf": [_ref("common#code"), _ref("common#empty")]},
    "country_id": {"type": "string", "maxLength": 256},
}
"""The parameters in the query string, as a server takes them whose number_format is the default."""


PAID_BODY: dict[str, dict[str, Any]] = {
    **IN_QUERY,
    "is_with_redirect": {"type": "string", "maxLength": 256},
}
"""The parameters of the dialect paidmethods in a form."""
PAID_JSON: dict[str, list[dict[str, Any]]] = {
    "login_did": [{"type": "integer", "minimum": 10**6, "maximum": 10**15 - 1}],
    "caller_did": [{"type": "integer", "minimum": 10**6, "maximum": 10**15 - 1}],
    "code": [{"type": "integer", "minimum": 1000, "maximum": 9999}, {"type": "null"}],
    "country_id": [{"type": ["integer", "boolean", "null"]}],
    "is_with_redirect": [{"type": ["integer", "boolean", "null"]}],
}
"""Values that are accepted instead of text in a JSON body."""


def make() -> dict[str, Any]:
    """The description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "api.mcn.ru and paidmethods.mcn.ru: flash call, and the fake's admin API",
            "version": VERSION,
            "summary": "The API of pytest-mcn-mock.",
            "description": (
                "The vendor's two methods, as its article «Flash call: звонки для авторизации, API» of 27 May 2022 has "
                "them, the two that followed, as its handbook of 2026 has them, and the admin API of pytest-mcn-mock. "
                "x-mcn-level says how well each thing is known: documented by the article, observed elsewhere, "
                "assumed, or the fake's own; x-mcn-fidelity names its row in docs/fidelity.md."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {"url": API_MCN.vendor_url, "description": "The vendor; documented."},
            *(
                {"url": f"https://{host}{API_MCN.base_path}", "description": "The vendor, outside Russia; observed."}
                for host in API_MCN.hosts[1:]
            ),
            {"url": f"{SERVER}{API_MCN.base_path}", "description": "The sandbox."},
        ],
        "tags": [
            {"name": "flash call", "description": "The vendor's API, as its article has it."},
            {"name": "paidmethods", "description": "The methods that followed, as the vendor's handbook has them."},
            {"name": "admin", "description": "The fake's own: for the tester, not a part of the vendor's API."},
        ],
        "paths": {**_vendor_paths(), **_paid_paths(), **_admin_paths()},
        "webhooks": {"flash_call": {"post": _cdr()}},
        "components": {
            "schemas": {name: _bundled(name) for name in _names() if name not in NOT_BUNDLED},
            "responses": {
                **{f"error_{status}": _error(status, text) for status, text in ERRORS.items()},
                **{
                    f"paidmethods_error_{status}": _error(status, text, "paidmethods.error")
                    for status, text in PAID_ERRORS.items()
                },
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "«--header 'Authorization: Bearer <ТОКЕН>'»",
                    **_known("the_token_is_a_bearer_token"),
                },
                "user_hash": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "user_hash",
                    "description": "The token; clients of other methods of the same API send it so, or in the body.",
                    **_known("user_hash_in_place_of_the_header"),
                },
                "admin_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin token, if the server has one.",
                    "x-mcn-level": "own",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "mcn_mock_session",
                    "description": "A browser's session, from POST /__admin/session.",
                    "x-mcn-level": "own",
                },
            },
        },
    }


def _vendor_paths() -> dict[str, Any]:
    methods = {
        "call_for_2fa": "Ring login_did from caller_did, a number connected to the account.",
        "flash_call": "Ring login_did from a number of the vendor's that ends in code.",
    }
    return {f"/account/{{account_id}}/{method}": _vendor_path(method, text) for method, text in methods.items()}


def _vendor_path(method: str, summary: str) -> dict[str, Any]:
    schema = json.loads((SCHEMAS / f"{method}.request.schema.json").read_text(encoding="utf-8"))
    parameters: list[dict[str, Any]] = [
        {
            "name": "account_id",
            "in": "path",
            "required": True,
            "description": "«account_id - ЛС клиента.»",
            "schema": _ref("common#account_id"),
            "example": "12345678",
            **_known("the_account_in_the_path_pays"),
        },
    ]
    for name, described in schema["properties"].items():
        if name == "user_hash":
            continue
        is_required = name in schema["required"]
        text = " It may be in the body instead, which OpenAPI has no way to say." if is_required else ""
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": is_required,
                "description": described["description"] + text,
                "schema": IN_QUERY[name],
                "example": EXAMPLES[name],
                **_known(described["x-mcn-fidelity"]),
            }
        )
    body = {"x-mcn-parameters": _ref(f"{method}.request"), **_known("parameters_in_a_form_or_a_json_body")}
    operation: dict[str, Any] = {
        "operationId": method,
        "tags": ["flash call"],
        "summary": summary,
        "description": schema["description"],
        **_known(THE_METHODS),
        "security": [{"bearer": []}, {"user_hash": []}],
        "x-mcn-headers": HEADERS,
        "x-mcn-otherwise": {key: {"description": text, **_known(row)} for key, (row, text) in OTHERWISE.items()},
        "parameters": parameters,
        "requestBody": {
            "description": (
                "Empty, in the article. Clients of other methods of the same API send their parameters in a form or a "
                "JSON object. A parameter in the query wins."
            ),
            "required": False,
            **_known("parameters_in_a_form_or_a_json_body"),
            "content": {
                **{form: {"schema": _ref("common#form_parameters"), **body} for form in FORMS},
                JSON: {"schema": _ref("common#json_parameters"), **body},
            },
        },
        "responses": _responses(200, f"{method}.response", VENDOR_ERRORS),
    }
    return {"post": operation}


def _paid_paths() -> dict[str, Any]:
    summaries = {
        Method.CALL_FOR_2FA: "Ring login_did from caller_did, a number connected to the account.",
        Method.FLASH_CALL: "Ring login_did from a number of the vendor's that ends in code.",
    }
    servers = [
        {"url": f"https://{PAIDMETHODS.hosts[0]}", "description": "The vendor; observed."},
        {"url": f"https://{PAIDMETHODS.hosts[1]}", "description": "The vendor, outside Russia; observed."},
        {"url": SERVER, "description": "The sandbox."},
    ]
    return {
        PAIDMETHODS.path(method): {"servers": servers, "post": _paid_operation(PAIDMETHODS.methods[method], summary)}
        for method, summary in summaries.items()
    }


def _paid_operation(method: str, summary: str) -> dict[str, Any]:
    schema = json.loads((SCHEMAS / f"paidmethods.{method}.request.schema.json").read_text(encoding="utf-8"))
    parameters = {"x-mcn-parameters": _ref(f"paidmethods.{method}.request")}
    in_form = {name: PAID_BODY[name] for name in schema["properties"]}
    in_json = {name: {"anyOf": [in_form[name], *PAID_JSON[name]]} for name in in_form}
    form = {**parameters, **_known("parameters_of_paidmethods_in_the_query_or_a_form")}
    json_schema = {"allOf": [_ref("common#json_parameters")], "required": schema["required"], "properties": in_json}
    form_schema = {"allOf": [_ref("common#form_parameters")], "required": schema["required"], "properties": in_form}
    refused = {str(code): {"$ref": f"#/components/responses/paidmethods_error_{code}"} for code in PAID_ERRORS}
    return {
        "operationId": f"paidmethods_{method}",
        "tags": ["paidmethods"],
        "summary": summary,
        "description": schema["description"],
        **_known("the_methods_of_paidmethods"),
        "security": [{"bearer": []}],
        "x-mcn-otherwise": {key: {"description": text, **_known(row)} for key, (row, text) in PAID_OTHERWISE.items()},
        "requestBody": {
            "description": (
                "Every public client of this host sends a JSON object. Parameters may be in the query string instead, "
                "which OpenAPI has no way to say."
            ),
            "required": True,
            **_known("paidmethods_takes_a_json_body"),
            "content": {
                JSON: {
                    "schema": json_schema,
                    **parameters,
                    **_known("paidmethods_takes_a_json_body"),
                    "example": {name: EXAMPLES[name] for name in schema["required"]},
                },
                **{kind: {"schema": form_schema, **form} for kind in FORMS},
            },
        },
        "responses": {**_responses(200, f"paidmethods.{method}.response", ()), **refused},
    }


def _admin_paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in ROUTES:
        path = re.sub(r"<(?:int:)?(.+?)>", r"{\1}", f"{ADMIN_PATH}/{route.path}")
        described = paths.setdefault(path, {"servers": [{"url": SERVER, "description": "The sandbox."}]})
        described[route.method.lower()] = _admin_operation(route, path)
    return paths


def _admin_operation(route: Route, path: str) -> dict[str, Any]:
    method, etag = route.method.lower(), route.etag
    in_path = re.findall(r"{(\w+)}", path)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, **PARAMETERS[name]} for name in in_path
    ]
    for name in route.query:
        parameter = PARAMETERS.get(f"{route.path}.{name}") or PARAMETERS[name]
        described = {key: parameter[key] for key in ("description", "schema")}
        parameters.append({"name": name, "in": "query", **described})
    if etag and method != "get":
        text = "The ETag of the resource as it was read. The change is refused if the resource has another ETag now."
        parameters.append({"name": "If-Match", "in": "header", "description": text, "schema": {"type": "string"}})
    is_found = [404] if in_path or route.query else []
    codes = sorted({*ADMIN_ERRORS, *route.errors, *is_found, *([412] if etag else [])})
    shows_etag = etag and route.status != 204
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method}_{path.removeprefix(f'{ADMIN_PATH}/')}").strip("_"),
        "tags": ["admin"],
        "summary": (inspect.getdoc(route.endpoint) or "").partition("\n\n")[0].replace("\n", " "),
        "x-mcn-level": "own",
        "security": [] if route.is_open else [{}, {"admin_token": []}, {"session": []}],
        "parameters": parameters,
        "responses": _responses(route.status, route.answer, codes, route.content_type, etag=shows_etag),
    }
    for code, shown in route.otherwise.items():
        content = {JSON: {"schema": _ref(shown)}}
        operation["responses"][str(code)] = {"description": "Not so.", "content": content}
    if route.body is not None:
        content = {JSON: {"schema": _ref(route.body)}}
        operation["requestBody"] = {"required": _is_required(route.body), "content": content}
    return operation


def _is_required(body: str) -> bool:
    """Whether no body at all, which is as an empty object, does not fit the schema."""
    schema = json.loads((SCHEMAS / f"{body.partition('#')[0]}.schema.json").read_text(encoding="utf-8"))
    return "required" in schema or "oneOf" in schema


def _responses(
    status: int,
    answer: str | None,
    errors: tuple[int, ...] | list[int],
    content_type: str = JSON,
    *,
    etag: bool = False,
) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done." if status == 204 else "The result."}
    if status != 204:
        success["content"] = {content_type: {"schema": _ref(answer)} if answer else {"schema": {"type": "object"}}}
    if content_type != JSON:
        written: dict[str, Any] = {"schema": {"type": "string"}}
        success["content"] = {content_type: written if answer is None else {**written, "x-mcn-event": _ref(answer)}}
    if etag:
        text = "For If-Match: it is another one after a change."
        success["headers"] = {"ETag": {"description": text, "schema": {"type": "string"}}}
    refused = {str(code): {"$ref": f"#/components/responses/error_{code}"} for code in errors}
    return {str(status): success, **refused}


def _error(status: int, description: str, schema: str = "error") -> dict[str, Any]:
    error: dict[str, Any] = {"description": description, "content": {JSON: {"schema": _ref(schema)}}}
    if status == 405:
        error["headers"] = {"Allow": {"description": "The method to use.", "schema": {"type": "string"}}}
    if status == 429:
        error["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return error


def _cdr() -> dict[str, Any]:
    return {
        "operationId": "cdr",
        "tags": ["flash call"],
        "summary": "The record of a call (CDR).",
        "description": (
            "Sent to every subscription of the account to the event «Flash call», after the answer. A subscription of "
            "the method GET has the variables in the query string in place of the body."
        ),
        **_known("a_webhook_gets_each_calls_record"),
        "security": [],
        "requestBody": {
            "content": {
                JSON: {"schema": {"anyOf": [_ref("cdr"), _ref("cdr#all_text"), _ref("cdr#whole_event")]}},
                "text/plain": {"schema": {"type": "string", "description": "The template of a webhook."}},
            }
        },
        "responses": {
            "2XX": {"description": "The CDR is acknowledged; that any 2xx does is assumed."},
            "default": {"description": "It is sent again after 2, 4, 8, … 32,768 seconds; retry_after_s changes that."},
        },
    }


def _names() -> list[str]:
    return sorted(path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json"))


def _bundled(name: str) -> Any:
    """A schema whose references lead into this description."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return _moved({key: value for key, value in schema.items() if key not in ("$schema", "$id")}, name)


def _moved(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_moved(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _moved(item, name) for key, item in value.items() if key != "$ref"}
    if isinstance(value.get("$ref"), str):
        file, _, pointer = value["$ref"].partition("#")
        moved = {"$ref": f"#/components/schemas/{file.removesuffix('.schema.json') or name}{pointer}", **moved}
    return moved


def main() -> None:
    """Write the description, or say that the one there is another one."""
    made = json.dumps(make(), ensure_ascii=False, indent=2) + "\n"
    if "--check" in sys.argv:
        if TARGET.read_text(encoding="utf-8") != made:
            raise SystemExit("schemas/openapi.json is out of date: make schemas")
        return
    TARGET.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
