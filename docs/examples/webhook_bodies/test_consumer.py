import pytest
from consumer import create_app, outcome_of

from pytest_mcn_mock import Assumptions, FaultKind, MCNServer, MissingFinalStatus, Outcome, Settings

TEMPLATE = (
    "verification_call_uuid=${{verification_call_uuid}}&q931_status=${{q931_status}}&final_status=${{final_status}}"
)
BODIES = {
    "flat": {},
    "flat, all text": {"values": "text"},
    "whole event": {"all_variables": True},
    "text": {"data_type": "text", "template": TEMPLATE},
}
DIALECTS = ["api.mcn.ru", "paidmethods"]


def app_of(mcn, dialect):
    url = mcn.paid_url if dialect == "paidmethods" else mcn.base_url
    return create_app(MCN_DIALECT=dialect, MCN_URL=url, MCN_ACCOUNT=mcn.account_id, MCN_TOKEN=mcn.token)


@pytest.fixture(params=DIALECTS)
def app(request, mcn):
    return app_of(mcn, request.param)


def place(app):
    return app.test_client().post("/calls", data={"phone": "79157777777", "code": "0042"}).json["call"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_how_each_call_ended(app, mcn, body):
    mcn.subscribe(app, path="/webhooks/mcn", **body)
    for outcome, expected in (
        (Outcome.ANSWERED, "answered"),
        (Outcome.BUSY, "busy"),
        (Outcome.NO_ANSWER, "not answered"),
        (Outcome.REJECTED, "rejected"),
        (Outcome.UNAVAILABLE, "unavailable"),
    ):
        mcn.set_outcome(outcome)
        call = place(app)
        mcn.assert_cdr_delivered(status=204)
        assert app.test_client().get(f"/calls/{call}").json == {"outcome": expected}
        assert mcn.calls[-1].code == "0042"


@pytest.mark.parametrize("missing", MissingFinalStatus)
def test_a_final_status_may_be_absent_empty_or_null(missing):
    with MCNServer(settings=Settings(assumptions=Assumptions(missing_final_status=missing))) as server:
        mcn = server.open_account()
        apps = [app_of(mcn, "paidmethods") for _ in BODIES]
        for app, body in zip(apps, BODIES.values(), strict=True):
            mcn.subscribe(app, path="/webhooks/mcn", **body)
        mcn.set_outcome(Outcome.REJECTED)
        call = place(apps[0])
        mcn.settle()
        assert [app.events for app in apps] == [[(call, "rejected")]] * len(apps)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("fault", [FaultKind.CDR_DUPLICATED, FaultKind.CDR_EARLY])
def test_an_event_is_handled_once_and_may_come_before_the_answer(app, mcn, body, fault):
    mcn.subscribe(app, path="/webhooks/mcn", **body)
    mcn.inject(fault)
    call = place(app)
    mcn.settle()
    assert {delivery.status for delivery in mcn.deliveries} == {204}
    assert app.events == [(call, "answered")]


def test_another_event_of_the_same_call_has_another_key(app, mcn):
    mcn.subscribe(app, path="/webhooks/mcn", all_variables=True)
    mcn.inject(FaultKind.CDR_CONTRADICTED)
    call = place(app)
    mcn.settle()
    assert app.events == [(call, "answered"), (call, "busy")]


@pytest.mark.parametrize("status", [1, 18, 19, 21, 41, 127])
def test_any_other_status_is_an_unavailable_number(status):
    assert outcome_of(status, "ANSWERED") == "unavailable"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 50_000, b"a=b", b'{"data": {}, "idempotencyKey": "1"}'),
        b'{"verification_call_uuid": "fa278be48dc2_1"}',
        b'{"verification_call_uuid": "fa278be48dc2_1", "q931_status": true}',
        b'{"verification_call_uuid": "../x", "q931_status": 16}',
    ],
)
def test_what_is_not_an_event_is_refused(app, body):
    assert app.test_client().post("/webhooks/mcn", data=body).status_code == 400
    assert app.events == []
