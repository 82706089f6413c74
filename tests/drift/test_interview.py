"""The order of an interview, without a socket."""

from __future__ import annotations

import asyncio

import pytest

from pytest_mcn_mock.drift.exchanges import Answer, Sent, Trouble
from pytest_mcn_mock.drift.interview import MOST_UNANSWERED, interview
from pytest_mcn_mock.drift.masking import Mask
from pytest_mcn_mock.drift.planning import make_plan
from pytest_mcn_mock.drift.questions import HARMLESS, PAID, Party
from pytest_mcn_mock.drift.recording import Recording

REFUSED = Answer(400, "application/json", {"status": "error"})
PLACED = Answer(200, "application/json", {"status": "success", "object": {}})
PARTY = Party("117793", "79157777777", "79158888888")


class Server:
    """Answers as a list says, in turn, the last one from then on; ``events`` is what happened, in order."""

    def __init__(self, *answers: Answer | Trouble) -> None:
        self._answers = list(answers)
        self.events: list[str] = []
        self.sent: list[Sent] = []

    async def ask(self, sent: Sent) -> Answer | Trouble:
        self.events.append("ask")
        self.sent.append(sent)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def pause(self) -> None:
        self.events.append("pause")


def run(server: Server, spend: int | None = None) -> Recording:
    plan = make_plan(PARTY, spend)
    mask = Mask("s3cret-token", PARTY)
    asking = interview(
        server.ask, PARTY, plan, mask, base_url="http://x", recorded_at="now", pause=server.pause, tell=lambda _: None
    )
    return asyncio.run(asking)


def test_there_is_a_pause_between_two_questions() -> None:
    server = Server(REFUSED)
    run(server)
    assert server.events == ["ask", *["pause", "ask"] * (len(HARMLESS) - 1)]


def test_it_gives_up_after_some_questions_in_a_row_without_an_answer() -> None:
    gaps: list[Answer | Trouble] = [REFUSED, *[Trouble.TIMEOUT] * (MOST_UNANSWERED - 1)]
    server = Server(*gaps, *gaps, REFUSED, Trouble.TIMEOUT)
    seen = run(server)
    assert len(seen.exchanges) == 2 * len(gaps) + 1 + MOST_UNANSWERED
    assert seen.stopped == f"{MOST_UNANSWERED} questions in a row were not answered"
    assert [left.question for left in seen.left_out[:1]] == [HARMLESS[len(seen.exchanges)].name]


def test_what_was_accepted_is_counted_and_what_was_refused_is_not() -> None:
    harmless = [REFUSED] * len(HARMLESS)
    server = Server(*harmless, PLACED)
    assert run(server, 1000).spent == sum(question.price(PARTY) for question in PAID)
    assert server.sent[len(HARMLESS)].query == "login_did=79157777777&code=0042"
    assert run(Server(*harmless, PLACED, REFUSED), 1000).spent == PAID[0].price(PARTY)


@pytest.mark.parametrize("spend", range(0, 160, 7))
def test_a_plan_never_costs_more_than_it_may(spend: int) -> None:
    plan = make_plan(PARTY, spend)
    assert plan.cost == sum(question.price(PARTY) for question in plan.questions) <= spend
    assert len(plan.questions) + len(plan.left_out) == len(HARMLESS) + len(PAID)
    assert plan.questions[: len(HARMLESS)] == HARMLESS
