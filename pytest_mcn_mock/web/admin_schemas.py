"""The admin API of the description itself: the OpenAPI document and the JSON Schemas, as the package ships them."""

from __future__ import annotations

from collections.abc import Callable

from pytest_mcn_mock.web.http import Endpoints, Request, Response


class SchemasApi:
    """``read`` gives a document by its name; NotFound if there is none."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read

    def endpoints(self) -> Endpoints:
        """Every endpoint by its method and path."""
        return {("GET", "openapi.json"): self.openapi, ("GET", "schemas/<name>.json"): self.schema}

    async def openapi(self, request: Request) -> Response:
        """The OpenAPI description, self-contained."""
        return Response(200, self._read("openapi"))

    async def schema(self, request: Request, name: str) -> Response:
        """A JSON Schema."""
        return Response(200, self._read(name))
