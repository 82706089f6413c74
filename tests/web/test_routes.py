"""The paths of endpoints: their variables, their methods and the paths that no endpoint has."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mcn_mock.web.application import MAX_KEPT_PATH
from pytest_mcn_mock.web.http import Request, Response
from pytest_mcn_mock.web.routes import NoRoute, Routes


def endpoint(status: int) -> Any:
    async def answer(_: Request) -> Response:
        return Response(status, b"")

    return answer


LISTED, OPENED, SHOWN, NUMBERED, NAMED = map(endpoint, range(200, 205))
ROUTES = Routes(
    "/base",
    {
        ("GET", ""): LISTED,
        ("POST", "things"): OPENED,
        ("GET", "things/<thing>"): SHOWN,
        ("DELETE", "things/<thing>/parts/<int:number>"): NUMBERED,
        ("GET", "files/<name>.json"): NAMED,
    },
)


@pytest.mark.parametrize(
    "method,path,found,variables",
    [
        ("GET", "/base", LISTED, {}),
        ("HEAD", "/base/", LISTED, {}),
        ("POST", "/base/things", OPENED, {}),
        ("POST", "/base/things/", OPENED, {}),
        ("GET", "/base/things/a b", SHOWN, {"thing": "a b"}),
        ("GET", "/base/things/x/", SHOWN, {"thing": "x"}),
        ("GET", "/base/things/" + MAX_KEPT_PATH * "x", SHOWN, {"thing": MAX_KEPT_PATH * "x"}),
        ("DELETE", "/base/things/x/parts/007", NUMBERED, {"thing": "x", "number": 7}),
        ("GET", "/base/files/a.json.json", NAMED, {"name": "a.json"}),
    ],
)
def test_a_path_has_its_endpoint_and_its_variables(
    method: str, path: str, found: Any, variables: dict[str, Any]
) -> None:
    for _ in range(2):  # the second answer may be remembered
        assert ROUTES.find(method, path) == (found, variables)


@pytest.mark.parametrize(
    "method,path,allowed",
    [
        ("POST", "/base/things/x", {"GET", "HEAD"}),
        ("GET", "/base/things", {"POST"}),
        ("OPTIONS", "/base", {"GET", "HEAD"}),
        ("GET", "/", set()),
        ("GET", "/base/things//", set()),
        ("GET", "/base/things/x/parts", set()),
        ("DELETE", "/base/things/x/parts/-1", set()),
        ("DELETE", "/base/things/x/parts/٣", set()),
        ("DELETE", "/base/things/x/parts/" + 5000 * "9", set()),
        ("GET", "/base/files/ajson", set()),
        ("GET", "/base/files/.json", set()),
        ("GET", "/based", set()),
    ],
)
def test_a_method_or_a_path_that_no_endpoint_has_is_no_route(method: str, path: str, allowed: set[str]) -> None:
    with pytest.raises(NoRoute) as raised:
        ROUTES.find(method, path)
    assert set(raised.value.allowed) == allowed
