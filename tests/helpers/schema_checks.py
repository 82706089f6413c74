"""Compare every answer, CDR and event of the servers in this process with the schemas. schema_plugin installs it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import jsonschema_rs
import msgspec

from pytest_mcn_mock import schemas
from pytest_mcn_mock.flow import Done, go_on, go_on_until, step
from pytest_mcn_mock.model import rendering
from pytest_mcn_mock.model.assumptions import DEFAULT_ERROR_BODY, DEFAULT_STATUS, PaidMethodsAssumptions
from pytest_mcn_mock.model.cdr import DEFAULT_VARIABLES, VARIABLES, Cdr
from pytest_mcn_mock.model.webhooks import Subscription, Values
from pytest_mcn_mock.service import deliveries
from pytest_mcn_mock.web import application, client_api, feed
from pytest_mcn_mock.web.dialects import API_MCN, PAIDMETHODS
from pytest_mcn_mock.web.guard import ADMIN_PATH
from pytest_mcn_mock.web.http import Flow, Request, Response, send

BASE_PATH = API_MCN.root


class Contract:
    """The OpenAPI description and the schemas, as a judge of what was answered."""

    def __init__(self) -> None:
        self.openapi = schemas.load(schemas.OPENAPI)
        loaded = [schemas.load(name) for name in schemas.names() if name != schemas.OPENAPI]
        self._base = "https://pytest-mcn-mock.invalid/schemas/"
        resources = [(schema["$id"], schema) for schema in loaded]
        resources.append(("urn:openapi", {"components": self.openapi["components"]}))
        self._registry = jsonschema_rs.Registry(resources)
        self._validators: dict[str, Any] = {}
        self._operations = list(self._read_operations())

    def problems(self, schema: str, instance: object) -> list[str]:
        """What does not fit a schema, given as ``cdr`` or ``cdr#/$defs/variables``."""
        name, _, pointer = schema.partition("#")
        return self._problems({"$ref": f"{self._base}{name}.schema.json#{pointer}"}, instance)

    def problems_of_answer(self, request: Request, response: Response) -> list[str]:
        """What does not fit the description of the operation that the request is for."""
        method = "GET" if request.method == "HEAD" else request.method
        path = application.one_slash(request.path).rstrip("/")
        path = path if path.startswith(ADMIN_PATH) else path.removesuffix(".json")
        operation = next((o for m, pattern, o in self._operations if m == method and pattern.fullmatch(path)), None)
        if not path and response.status == 302:
            return []  # the way to the page
        if path == ADMIN_PATH or path.startswith(f"{ADMIN_PATH}/static/"):
            return []  # the page
        if operation is None:
            if response.status not in (401, 403, 404, 405, 413, 500, 503):
                return [f"is answered with {response.status}, and is not described"]
            schema = "paidmethods.error" if PAIDMETHODS.has_path(path) else "error"
            return self._problems({"$ref": f"urn:openapi#/components/schemas/{schema}"}, json.loads(response.body))
        described = operation["responses"].get(str(response.status))
        if described is None:
            return [f"is answered with {response.status}; described are {', '.join(operation['responses'])}"]
        if "$ref" in described:
            described = self.openapi["components"]["responses"][described["$ref"].rpartition("/")[2]]
        if not described.get("content"):
            return ["is answered with a body, and none is described"] if response.body else []
        content_type = response.headers.get("Content-Type", "").partition(";")[0]
        if content_type not in described["content"]:
            return [f"is answered with {content_type}; described are {', '.join(described['content'])}"]
        if content_type != "application/json":
            return []
        return self._problems(described["content"][content_type]["schema"], json.loads(response.body))

    def _problems(self, schema: dict[str, Any], instance: object) -> list[str]:
        reference = schema.get("$ref")
        if reference and reference.startswith("#/"):
            reference = f"urn:openapi{reference}"
        key = reference or json.dumps(schema)
        validator = self._validators.get(key)
        if validator is None:
            asked = {"$ref": reference} if reference else schema
            validator = self._validators[key] = jsonschema_rs.Draft202012Validator(asked, registry=self._registry)
        return [f"/{'/'.join(map(str, e.instance_path))}: {e.message}"[:500] for e in validator.iter_errors(instance)]

    def _read_operations(self) -> Iterator[tuple[str, re.Pattern[str], dict[str, Any]]]:
        for path, item in self.openapi["paths"].items():
            whole = path if "servers" in item else BASE_PATH + path
            pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(whole)))
            for method, operation in item.items():
                if method != "servers":
                    yield method.upper(), pattern, operation


class Checks:
    """Stands between the servers of this process and their callers. ``report`` hears of what does not fit."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.contract = Contract()
        self._report = report
        self._altered = threading.local()
        self._serve = application.Application.serve
        self._apply_fault: Callable[..., Response] = vars(client_api)["apply_fault"]
        self._render = rendering.render
        self._format: Callable[..., bytes] = vars(feed)["_format"]

    def install(self) -> None:
        """Check from now on."""
        checks = self

        @wraps(self._serve)
        def serve(self: application.Application, request: Request) -> Flow:
            return checks.serve(self, request)

        for owner, name, function in (
            (application.Application, "serve", serve),
            (client_api, "apply_fault", self.apply_fault),
            (deliveries, "render", self.render),
            (feed, "_format", self.format),
        ):
            setattr(owner, name, function)

    async def serve(self, face: application.Application, request: Request) -> None:
        """Check the answer as it goes to the driver."""
        self._altered.by_fault = False
        flow = self._serve(face, request)
        response = await go_on_until(Response, flow, step(flow))
        self._check(face, request, response, by_fault=getattr(self._altered, "by_fault", False))
        self._altered.by_fault = False  # a request may go on in another thread than it began in
        await send(response)
        if not isinstance(rest := step(flow), Done):
            await go_on(flow, rest)

    def _check(self, face: application.Application, request: Request, response: Response, *, by_fault: bool) -> None:
        assumed = face._clients[0].assumptions  # noqa: SLF001 - a server that refuses otherwise is known by nothing else
        refuses_otherwise = assumed.error_template != DEFAULT_ERROR_BODY or assumed.error_status != DEFAULT_STATUS
        refuses_otherwise |= assumed.paidmethods != PaidMethodsAssumptions()
        may_be_anything = refuses_otherwise and b'"status": "success"' not in response.body
        if application.one_slash(request.path).startswith(ADMIN_PATH) or not (by_fault or may_be_anything):
            self._tell(f"{request.method} {request.path}", self.contract.problems_of_answer(request, response))

    def apply_fault(self, *arguments: Any) -> Response:
        self._altered.by_fault = True
        return self._apply_fault(*arguments)

    def render(self, subscription: Subscription, cdr: Cdr, now: float) -> rendering.Rendered:
        rendered = self._render(subscription, cdr, now)
        record, request = rendered.record, rendered.request
        if subscription.template is None and request.method == "POST" and (sent := json.loads(request.body)) != record:
            self._tell(f"CDR {record}", [f"is sent as {sent}"])
        if not set(subscription.constants) & set(VARIABLES):  # a constant may stand for a variable: the tester's own
            self._tell(f"CDR {record}", self.contract.problems(_schema_of(subscription), record))
        return rendered

    def format(self, event: str, data: msgspec.Struct) -> bytes:
        shown = {"event": event, "data": msgspec.to_builtins(data)}
        self._tell(f"event {event}", self.contract.problems("event", shown))
        return self._format(event, data)

    def _tell(self, what: str, problems: list[str]) -> None:
        for problem in problems:
            self._report(f"{what} {problem}")


def _schema_of(subscription: Subscription) -> str:
    """The schema of a subscription's records."""
    if subscription.all_variables:
        return "cdr#/$defs/whole_event"
    if subscription.values is Values.TEXT:
        return "cdr#/$defs/all_text"
    is_default = subscription.template is None and set(DEFAULT_VARIABLES) <= set(subscription.body)
    return "cdr" if is_default else "cdr#/$defs/variables"
