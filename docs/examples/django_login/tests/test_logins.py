import json
from datetime import timedelta

import pytest
from django.core.wsgi import get_wsgi_application
from logins import models

from pytest_mcn_mock import FaultKind, Outcome

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def operator(mcn, settings):
    settings.MCN_BASE_URL, settings.MCN_ACCOUNT, settings.MCN_TOKEN = mcn.base_url, mcn.account_id, mcn.token


@pytest.fixture
def webhook(mcn):
    """Deliver CDRs while the test waits for them, in the test's own transaction."""
    mcn.subscribe(get_wsgi_application(), path="/webhooks/mcn", on_test_thread=True)


def log_in(client):
    answer = client.post("/login", {"phone": "79157777777"})
    assert answer.status_code == 202
    return answer.json()["call"]


def enter(client, call, code):
    return client.post(f"/login/{call}/code", {"code": code}).json()["ok"]


def state(client, call):
    return client.get(f"/login/{call}").json()["state"]


@pytest.mark.parametrize(
    "outcome,final_state",
    [
        (Outcome.ANSWERED, "ANSWERED"),
        (Outcome.BUSY, "NO ANSWER"),
        (Outcome.NO_ANSWER, "NO ANSWER"),
        (Outcome.REJECTED, "UNAVAILABLE"),
        (Outcome.UNAVAILABLE, "UNAVAILABLE"),
    ],
)
def test_login(client, mcn, webhook, outcome, final_state):
    mcn.set_outcome(outcome)
    mcn.hold_cdrs()
    call = log_in(client)
    assert state(client, call) == "ringing"

    assert mcn.calls[0].complete().status == 204

    assert state(client, call) == final_state
    code = mcn.assert_called(login_did="79157777777", times=1).code
    assert enter(client, call, code)
    assert not enter(client, call, code)


def test_three_attempts(client, mcn):
    call = log_in(client)
    code = mcn.calls[0].code
    wrong = f"{(int(code) + 1) % 10_000:04d}"
    assert [enter(client, call, wrong) for _ in range(3)] == [False] * 3
    assert not enter(client, call, code)


def test_a_code_expires(client, mcn):
    call = log_in(client)
    login = models.Login.objects.get(verification_call_uuid=call)
    login.asked_at -= models.CODE_LIVES + timedelta(seconds=1)
    login.save()
    assert not enter(client, call, mcn.calls[0].code)


def test_no_money(client, mcn):
    mcn.set_balance("0.14")
    assert client.post("/login", {"phone": "79157777777"}).status_code == 503
    mcn.assert_not_called()


def test_what_is_no_number_is_not_called(client, mcn):
    assert client.post("/login", {"phone": "+7 915"}).status_code == 400
    mcn.assert_not_called()


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.RESET, FaultKind.MALFORMED])
def test_the_operator_is_down(client, mcn, kind):
    mcn.inject(kind)
    assert client.post("/login", {"phone": "79157777777"}).status_code == 503


@pytest.mark.parametrize("kind", [FaultKind.CDR_DUPLICATED, FaultKind.CDR_CONTRADICTED])
def test_the_first_record_of_a_call_stays(client, mcn, webhook, kind):
    mcn.inject(kind)
    call = log_in(client)
    mcn.settle()
    assert {delivery.status for delivery in mcn.deliveries} == {204}
    assert state(client, call) == "ANSWERED"
    assert models.CallRecord.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_record_may_come_before_the_answer(client, mcn):
    # The test is waiting for the answer, so the webhook runs on another thread, and transactions are real.
    mcn.subscribe(get_wsgi_application(), path="/webhooks/mcn")
    mcn.inject(FaultKind.CDR_EARLY)
    assert state(client, log_in(client)) == "ANSWERED"


def test_a_record_of_an_unknown_call_is_kept_aside(client, mcn, webhook):
    mcn.inject(FaultKind.CDR_UNKNOWN_UUID)
    call = log_in(client)
    mcn.settle()
    assert mcn.deliveries[0].status == 204
    assert state(client, call) == "ringing"


SOUND = {"verification_call_uuid": "fa278be48dc2_117793", "q931_status": 16, "final_status": "ANSWERED"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 50_000,
        json.dumps({**SOUND, "q931_status": 10**30}).encode(),
        json.dumps({**SOUND, "verification_call_uuid": {"$ne": None}}).encode(),
        json.dumps({**SOUND, "verification_call_uuid": "\ud800_117793"}).encode(),
    ],
)
def test_what_is_no_cdr_is_refused(client, body):
    assert client.post("/webhooks/mcn", body, content_type="application/json").status_code == 400
    assert not models.CallRecord.objects.exists()
