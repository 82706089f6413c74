import httpx
import main
import pytest
import pytest_asyncio

from pytest_mcn_mock import FaultKind, Outcome

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def app(mcn):
    app = main.create_app(mcn.base_url, mcn.account_id, mcn.token)
    async with app.router.lifespan_context(app):
        mcn.subscribe(app, path="/webhooks/mcn")
        yield app


@pytest_asyncio.fixture
async def browser(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as browser:
        yield browser


async def log_in(browser):
    answer = await browser.post("/login", json={"phone": "79157777777"})
    assert answer.status_code == 202
    return answer.json()["call"]


async def enter(browser, call, code):
    return (await browser.post(f"/login/{call}/code", json={"code": code})).json()["ok"]


@pytest.mark.parametrize(
    "outcome,state",
    [
        (Outcome.ANSWERED, "ANSWERED"),
        (Outcome.BUSY, "NO ANSWER"),
        (Outcome.NO_ANSWER, "NO ANSWER"),
        (Outcome.REJECTED, "UNAVAILABLE"),
        (Outcome.UNAVAILABLE, "UNAVAILABLE"),
    ],
)
async def test_login(browser, mcn, outcome, state):
    mcn.set_outcome(outcome)
    mcn.hold_cdrs()
    call = await log_in(browser)
    assert (await browser.get(f"/login/{call}")).json() == {"state": "ringing"}

    delivery = await mcn.aio.complete(mcn.calls[0])

    assert delivery.status == 204
    assert (await browser.get(f"/login/{call}")).json() == {"state": state}
    code = mcn.assert_called(login_did="79157777777", times=1).code
    assert await enter(browser, call, code)
    assert not await enter(browser, call, code)


async def test_three_attempts(browser, mcn):
    call = await log_in(browser)
    wrong = f"{(int(mcn.calls[0].code) + 1) % 10_000:04d}"
    assert [await enter(browser, call, wrong) for _ in range(3)] == [False] * 3
    assert not await enter(browser, call, mcn.calls[0].code)


async def test_a_code_expires(browser, mcn, monkeypatch):
    call = await log_in(browser)
    monkeypatch.setattr(main, "CODE_LIVES_S", -1)
    assert not await enter(browser, call, mcn.calls[0].code)


async def test_no_money(browser, mcn):
    mcn.set_balance("0.14")
    assert (await browser.post("/login", json={"phone": "79157777777"})).status_code == 503
    mcn.assert_not_called()


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.RESET, FaultKind.MALFORMED])
async def test_the_operator_is_down(browser, mcn, kind):
    mcn.inject(kind)
    assert (await browser.post("/login", json={"phone": "79157777777"})).status_code == 503


@pytest.mark.parametrize("kind", [FaultKind.CDR_EARLY, FaultKind.CDR_DUPLICATED, FaultKind.CDR_UNKNOWN_UUID])
async def test_a_cdr_is_early_twice_or_another_calls(app, browser, mcn, kind):
    mcn.inject(kind)
    call = await log_in(browser)
    await mcn.aio.settle()
    assert {delivery.status for delivery in mcn.deliveries} == {204}
    state = "ringing" if kind is FaultKind.CDR_UNKNOWN_UUID else "ANSWERED"
    assert (await browser.get(f"/login/{call}")).json() == {"state": state}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"q931_status": 16}', b'{"verification_call_uuid": 1}', b"\xff", b"[" * 50_000],
)
async def test_what_is_no_cdr_is_refused(app, browser, body):
    assert (await browser.post("/webhooks/mcn", content=body)).status_code == 400
    assert app.state.calls == {}
