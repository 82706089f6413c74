"""The vendor's samples of a flat body and of a GET, reproduced from their templates (handbook, 2026-08-11 and -12).

Their variables are those of another event, so that the tests put these in place of ours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_mcn_mock.model import cdr
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.model.calls import CallOrder, end
from pytest_mcn_mock.model.money import Method
from pytest_mcn_mock.model.outcomes import ending
from pytest_mcn_mock.model.placing import place
from pytest_mcn_mock.model.rendering import Rendered, render
from pytest_mcn_mock.model.webhooks import make_subscription

SAMPLES = Path(__file__).parents[1] / "model/samples"
OTHER_EVENT = {
    "billsec": 6,
    "timestamp": 1687271174,
    "eventType": "VpbxInboundCallEnd",
    "InternalNumber": "100",
}
TICKED = list(OTHER_EVENT)
KEY = {"Key": "Example"}
URL = "https://example.com/"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


@pytest.fixture(autouse=True)
def other_event(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {name: lambda _, value=value: value for name, value in OTHER_EVENT.items()}
    monkeypatch.setattr(cdr, "VARIABLES", variables)


def record() -> cdr.Cdr:
    order = CallOrder(Method.FLASH_CALL, "79157777777")
    call = place(Account("10001", "t", 1), 100, 0, order, Assumptions(), 1.7e9)
    call = end(call, ending("busy", unavailable_cause=18), 1.7e9)
    return cdr.Cdr(call, Assumptions())


def rendered(**settings: Any) -> Rendered:
    return render(make_subscription(URL, **settings), record(), 1.7e9)


SETTINGS: list[dict[str, Any]] = [
    {"body": TICKED, "constants": KEY, "values": "text"},
    {"body": [], "constants": sample("webhook-post-json-template")},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["ticked", "the user's own"])
def test_the_posts_sample_comes_of_its_template(settings: dict[str, Any]) -> None:
    request = rendered(**settings).request
    sent = json.loads(request.body)
    assert list(sent.items()) == list(sample("webhook-post-json-sent").items())
    assert (request.method, request.url) == ("POST", URL)


def test_the_posts_sample_comes_of_its_template_as_a_text() -> None:
    template = (SAMPLES / "webhook-post-json-template.json").read_text()
    assert cdr.fill_in(template, record()) == (SAMPLES / "webhook-post-json-sent.json").read_text()


def test_typed_values_are_those_of_the_event() -> None:
    sent = json.loads(rendered(body=["billsec", "InternalNumber"], constants=KEY).request.body)
    assert sent == {"billsec": 6, "InternalNumber": "100", "Key": "Example"}


GETS: list[tuple[dict[str, Any], str]] = [
    # The printed URL lacks eventType, which its template has.
    (
        {"body": ["billsec", "timestamp", "InternalNumber"], "constants": KEY},
        "?billsec=6&timestamp=1687271174&InternalNumber=100&Key=Example",
    ),
    (
        {"body": [], "constants": sample("webhook-get-template")},
        "?billsec=6&timestamp=1687271174&eventType=VpbxInboundCallEnd&InternalNumber=100&Key=Example",
    ),
    (
        {"body": [], "query": sample("webhook-get-template")},
        "?billsec=6&timestamp=1687271174&eventType=VpbxInboundCallEnd&InternalNumber=100&Key=Example",
    ),
]


@pytest.mark.parametrize("settings,query", GETS, ids=["as printed", "the user's own", "query parameters"])
def test_the_gets_url_comes_of_its_template(settings: dict[str, Any], query: str) -> None:
    request = rendered(method="GET", **settings).request
    assert (request.method, request.url, request.body) == ("GET", f"{URL}{query}", b"")


def test_a_header_has_variables_in_its_value() -> None:
    assert rendered(headers={"X-Of": "${{InternalNumber}}/${{billsec}}"}, body=[]).request.headers["X-Of"] == "100/6"
