"""A test says how well known what its application relies on has to be; each thing beyond that is a mistake."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from helpers.client import RUSSIAN

from pytest_mcn_mock import Account, Assumptions, MCNServer, NumberFormat, Settings, UsageError

AS_THE_ARTICLE = {"Content-Type": "application/json", "Accept": "application/json"}
JSON = {"Accept": "application/json"}


def send(mcn: Account, path: str = "flash_call", **settings: Any) -> int:
    """A request as the article sends it, but for what is given."""
    headers = {**mcn.headers, **settings.pop("headers", AS_THE_ARTICLE)}
    asked = {"params": {"login_did": RUSSIAN}, "headers": headers, "timeout": 30, **settings}
    return requests.post(f"{mcn.base_url}/account/{mcn.account_id}/{path}", **asked).status_code


def undocumented(mcn: Account, level: str) -> list[str]:
    """The first words of each mistake, and the level of what was relied on."""
    mcn.require_fidelity(level)
    mistakes = mcn.mistakes()
    mcn.require_fidelity("assumed")
    return [line.partition(" (")[0] for line in mistakes]


@pytest.mark.parametrize("level", ["documented", "observed", "assumed"])
def test_the_two_requests_of_the_article_are_fine_at_every_level(mcn: Account, level: str) -> None:
    mcn.connect_number("79158888888")
    assert send(mcn) == 200
    assert send(mcn, params={"login_did": RUSSIAN, "code": "0042", "country_id": "7"}) == 200
    assert send(mcn, params={"login_did": RUSSIAN, "code": "", "country_id": ""}) == 200
    assert send(mcn, "call_for_2fa", params={"login_did": RUSSIAN, "caller_did": "79158888888"}) == 200
    assert undocumented(mcn, level) == []
    assert [request.undocumented for request in mcn.requests] == [()] * 4


@pytest.mark.parametrize(
    "settings,told",
    [
        ({"headers": {"Authorization": ""}, "params": {"login_did": RUSSIAN}}, None),
        ({"data": {"login_did": RUSSIAN}, "params": {}, "headers": JSON}, "a urlencoded form in the body"),
        ({"files": {"login_did": (None, RUSSIAN)}, "params": {}, "headers": JSON}, "a multipart form in the body"),
        ({"json": {"login_did": RUSSIAN}, "params": {}}, "a JSON object in the body"),
        ({"headers": {"Accept": "application/json"}}, "a request without Content-Type: application/json"),
        ({"headers": {"Content-Type": "application/json"}}, "a request without Accept: application/json"),
    ],
)
def test_what_was_only_observed_is_a_mistake_where_the_article_is_the_measure(
    mcn: Account, settings: dict[str, Any], told: str | None
) -> None:
    if told is None:
        path, told = "user_hash", "user_hash in place of the Authorization header"
        parameters = {"login_did": RUSSIAN, path: mcn.token}
        url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call"
        assert requests.post(url, params=parameters, headers=AS_THE_ARTICLE, timeout=30).status_code == 200
    else:
        assert send(mcn, **settings) == 200
    assert undocumented(mcn, "documented") == [f"relied on: POST …/flash_call: {told} is observed, not documented"]
    assert undocumented(mcn, "observed") == undocumented(mcn, "assumed") == []


@pytest.mark.parametrize(
    "settings,told",
    [
        ({"params": {"login_did": RUSSIAN, "colour": "red"}}, "the parameter 'colour', which is ignored,"),
        ({"params": {"login_did": "999123456789"}}, "login_did of no country, and no country_id,"),
        ({"params": {"login_did": "9157777777"}}, "login_did of ten digits, without its country's code,"),
        ({"params": {"login_did": "89157777777"}},
         "login_did of eleven digits that begins with 8, as it is dialled inside Russia,"),
        ({"params": {"login_did": RUSSIAN, "country_id": "0703"}}, "country_id as 643 or 703 written otherwise"),
        ({"json": {"code": "0042"}}, "a mix of parameters in the query and in the body"),
        ({"json": {"login_did": int(RUSSIAN)}, "params": {}}, "login_did as a number, null or true in a JSON body"),
        ({"data": b"?", "headers": {**JSON, "Content-Type": "text/plain"}},
         "a body that is neither a form nor JSON, and ignored,"),
        ({"path": "flash_call/"}, "a slash at the end of the path"),
        ({"scheme": "bearer"}, "an Authorization header whose word is not written Bearer"),
    ],
)  # fmt: skip
def test_what_only_an_assumption_allows_is_a_mistake_at_the_level_of_what_was_observed(
    mcn: Account, settings: dict[str, Any], told: str
) -> None:
    scheme = settings.pop("scheme", None) if "scheme" in settings else None
    if scheme:
        settings = {"headers": {**AS_THE_ARTICLE, "Authorization": f"{scheme} {mcn.token}"}}
    assert send(mcn, **settings) == 200
    assert undocumented(mcn, "observed") == [f"relied on: POST …/flash_call: {told} is assumed, not documented"]
    assert len(undocumented(mcn, "documented")) >= 1
    assert undocumented(mcn, "assumed") == []


def test_a_pasted_number_is_a_mistake_where_the_fake_takes_it_by_a_setting() -> None:
    with MCNServer(settings=Settings(assumptions=Assumptions(number_format=NumberFormat.PASTED))) as server:
        account = server.open_account()
        assert send(account, params={"login_did": "+7 (915) 777-77-77"}) == 200
        assert undocumented(account, "observed") == [
            "relied on: POST …/flash_call: login_did with characters other than digits is assumed, not documented"
        ]


def test_each_thing_is_told_once_however_many_requests_rely_on_it(mcn: Account) -> None:
    for _ in range(3):
        send(mcn, headers={"Accept": "application/json"})
    assert len(undocumented(mcn, "documented")) == 1


def test_requests_show_what_they_went_beyond(mcn: Account, mcn_server: MCNServer) -> None:
    send(mcn, params={"login_did": RUSSIAN, "colour": "red"})
    send(mcn)
    url = f"{mcn_server.url}/__admin/requests?account_id={mcn.account_id}"
    first, second = requests.get(url, timeout=30).json()["items"]
    (told,) = first["undocumented"]
    assert told == (
        "the parameter 'colour', which is ignored, is assumed, not documented "
        "(schemas/flash_call.request.schema.json#/additionalProperties); leave it out, or look for a misspelling"
    )
    assert second["undocumented"] == []


def test_an_unknown_level_is_refused(mcn: Account) -> None:
    with pytest.raises(UsageError, match="did you mean 'documented'"):
        mcn.require_fidelity("documentd")


def test_the_ini_option_and_the_marker_set_the_level(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmcn_fidelity = documented\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(
        """
        import pytest
        import requests

        def place(mcn):
            url = f"{mcn.base_url}/account/{mcn.account_id}/flash_call?login_did=79157777777"
            assert requests.post(url, headers={**mcn.headers, "Content-Type": "application/json"}).status_code == 200

        def test_by_the_ini_option(mcn):
            place(mcn)

        @pytest.mark.mcn(fidelity="observed")
        def test_by_the_marker(mcn):
            place(mcn)

        @pytest.mark.mcn(strict=False)
        def test_that_is_not_strict(mcn):
            place(mcn)

        @pytest.mark.mcn(fidelity="seen")
        def test_wrong(mcn):
            pass
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=3, errors=2)
    place = "schemas/openapi.json#/paths/~1account~1{account_id}~1flash_call/post/x-mcn-otherwise/accept"
    assert (
        "relied on: POST …/flash_call: a request without Accept: application/json is observed, not documented "
        f"({place}); send Accept: application/json\n"
    ) in result.stdout.str()
    result.stdout.fnmatch_lines(["*fidelity 'seen' is unknown; known are documented, observed, assumed"])
