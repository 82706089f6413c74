"""One question after the other, and when to stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from pytest_mcn_mock.drift.exchanges import Answer, Exchange, Sent, Trouble, is_acceptance
from pytest_mcn_mock.drift.masking import Mask
from pytest_mcn_mock.drift.planning import LeftOut, Plan
from pytest_mcn_mock.drift.questions import Party
from pytest_mcn_mock.drift.recording import Recording
from pytest_mcn_mock.errors import Unreachable

MOST_UNANSWERED: Final = 3
"""After so many questions in a row without an answer the rest is not asked."""
Ask = Callable[[Sent], Awaitable[Answer | Trouble]]
_WHY: Final = {
    Trouble.UNREACHABLE: "there is no connection, or its certificate is not trusted (see --cacert)",
    Trouble.TIMEOUT: "it does not answer in time (see --timeout)",
    Trouble.CLOSED: "it closes the connection",
    Trouble.GARBLED: "what it answers is no HTTP",
}


async def interview(
    ask: Ask,
    party: Party,
    plan: Plan,
    mask: Mask,
    *,
    base_url: str,
    recorded_at: str,
    pause: Callable[[], Awaitable[None]],
    tell: Callable[[str], None] = lambda _: None,
) -> Recording:
    """Ask the questions of the plan, with a ``pause`` between two; what is returned holds no secret.

    ``tell`` hears each question's name before it is asked. It stops early where the server accepts what is harmless, as
    it may cost money then; where a call may have been placed and no answer came; and where it has ceased to answer.
    Unreachable where it answers nothing at all.
    """
    exchanges: list[Exchange] = []
    spent = unanswered = 0
    stopped: str | None = None
    for n, question in enumerate(plan.questions):
        if n:
            await pause()
        tell(question.name)
        got = await ask(question.render(party))
        answer, trouble = (got, None) if isinstance(got, Answer) else (None, got)
        exchanges.append(Exchange(question.name, question.render(mask.party), answer and mask.answer(answer), trouble))
        unanswered = 0 if answer else unanswered + 1
        if question.calls is not None and (answer is None or is_acceptance(answer)):
            spent += question.price(party)
        if question.calls is None and is_acceptance(answer):
            stopped = f"the server accepts {question.name}, which a sound one refuses; it may have charged for it"
        elif question.calls is not None and answer is None:
            stopped = f"no answer to {question.name}, which may have been charged"
        elif unanswered == MOST_UNANSWERED:
            stopped = f"{MOST_UNANSWERED} questions in a row were not answered"
        if stopped is not None:
            break
    if trouble is not None and all(exchange.answer is None for exchange in exchanges):
        raise Unreachable(f"no answer from {base_url}: {_WHY[trouble]}")
    left_out = [LeftOut(question.name, f"stopped: {stopped}") for question in plan.questions[len(exchanges) :]]
    return Recording(base_url, recorded_at, mask.party, tuple(exchanges), (*left_out, *plan.left_out), spent, stopped)
