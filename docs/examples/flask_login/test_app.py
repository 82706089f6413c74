import pytest
from app import create_app

from pytest_mcn_mock import Outcome


@pytest.fixture
def app(mcn):
    app = create_app(TESTING=True, MCN_BASE_URL=mcn.base_url, MCN_ACCOUNT=mcn.account_id, MCN_TOKEN=mcn.token)
    mcn.subscribe(app, path="/webhooks/mcn")
    return app


@pytest.mark.parametrize(
    "outcome,final_status",
    [(Outcome.ANSWERED, "ANSWERED"), (Outcome.BUSY, "NO ANSWER")],  # the operator reports busy as NO ANSWER
)
def test_login(app, mcn, outcome, final_status):
    mcn.set_outcome(outcome)
    browser = app.test_client()

    uuid = browser.post("/login", data={"phone": "79157777777"}).json["call"]
    mcn.assert_cdr_delivered(status=204)

    call = mcn.assert_called(login_did="79157777777", times=1)
    assert app.calls == {uuid: final_status}
    assert browser.post("/login/code", data={"call": uuid, "code": call.caller_did[-4:]}).json == {"ok": True}


def test_no_money(app, mcn):
    mcn.set_balance("0.14")
    assert app.test_client().post("/login", data={"phone": "79157777777"}).status_code == 503
    mcn.assert_not_called()
