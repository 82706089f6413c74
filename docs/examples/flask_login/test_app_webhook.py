"""Further tests of the application of the README."""

import pytest
from app import create_app

from pytest_mcn_mock import FaultKind, Outcome


@pytest.fixture
def app(mcn):
    app = create_app(TESTING=True, MCN_BASE_URL=mcn.base_url, MCN_ACCOUNT=mcn.account_id, MCN_TOKEN=mcn.token)
    mcn.subscribe(app, path="/webhooks/mcn")
    return app


@pytest.fixture
def browser(app):
    return app.test_client()


def log_in(browser):
    return browser.post("/login", data={"phone": "79157777777"}).json["call"]


def enter(browser, call, code):
    return browser.post("/login/code", data={"call": call, "code": code}).json["ok"]


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.REJECTED])
def test_a_number_that_is_not_reached_has_no_final_status(app, browser, mcn, outcome):
    mcn.set_outcome(outcome)
    uuid = log_in(browser)
    mcn.assert_cdr_delivered(status=204)
    assert app.calls == {uuid: "UNAVAILABLE"}


@pytest.mark.parametrize("fault", [FaultKind.CDR_EARLY, FaultKind.CDR_DUPLICATED])
def test_a_cdr_comes_before_the_answer_or_twice(app, browser, mcn, fault):
    mcn.inject(fault)
    uuid = log_in(browser)
    mcn.settle()
    assert {delivery.status for delivery in mcn.deliveries} == {204}
    assert app.calls == {uuid: "ANSWERED"}


def test_a_code_is_good_once_and_for_a_while(app, browser, mcn):
    uuid = log_in(browser)
    code = mcn.calls[0].code
    assert not enter(browser, uuid, "what?")
    assert not enter(browser, uuid, code)
    app.config["CODE_LIVES_S"] = 10**9
    assert not enter(browser, "nobody", "")
    app.config["CODE_LIVES_S"] = -1
    uuid = log_in(browser)
    assert not enter(browser, uuid, mcn.calls[1].code)


@pytest.mark.parametrize("accepted", [False, True])
def test_the_operator_is_down(browser, mcn, accepted):
    mcn.fail_next(accepted=accepted)
    assert browser.post("/login", data={"phone": "79157777777"}).status_code == 503


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a": 1}', b"\xff", b"[" * 50_000])
def test_what_is_no_cdr_is_refused(app, browser, body):
    answer = browser.post("/webhooks/mcn", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert app.calls == {}
