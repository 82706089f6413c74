"""One question after the other, and when to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pytest_mcn_mock.drift.exchanges import Answer, Exchange, Sent, Trouble, is_acceptance
from pytest_mcn_mock.drift.masking import Mask
from pytest_mcn_mock.drift.planning import LeftOut, Plan
from pytest_mcn_mock.drift.questions import Party, Question
from pytest_mcn_mock.drift.recording import Recording
from pytest_mcn_mock.errors import Unreachable, UsageError

MOST_UNANSWERED: Final = 3
"""After so many questions in a row without an answer the rest is not asked."""
INTERRUPTED: Final = "interrupted; the question that was being asked may have been charged"
"""Why an interview stopped that was cancelled."""
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
    it may cost money then; where a call may have been placed and no answer came; where it has ceased to answer; and
    where it is cancelled, as by Ctrl-C, for what was answered may have cost money. Unreachable where it answers nothing
    at all. UsageError if the server refuses the token, or the token for this account.
    """
    exchanges: list[Exchange] = []
    spent = unanswered = 0
    stopped: str | None = None
    for n, question in enumerate(plan.questions):
        try:
            if n:
                await pause()
            tell(question.name)
            got = await ask(question.render(party))
        except asyncio.CancelledError:
            stopped = INTERRUPTED
            break
        answer, trouble = (got, None) if isinstance(got, Answer) else (None, got)
        exchanges.append(Exchange(question.name, question.render(mask.party), answer and mask.answer(answer), trouble))
        unanswered = 0 if answer else unanswered + 1
        if question.calls is not None and (answer is None or is_acceptance(answer)):
            spent += question.price(party)
        _check_token(question, answer, mask.party)
        stopped = _why_stop(question, answer, unanswered)
        if stopped is not None:
            break
    if exchanges and all(exchange.answer is None for exchange in exchanges):
        raise Unreachable(f"no answer from {base_url}: {_WHY[exchanges[-1].trouble or Trouble.CLOSED]}")
    left_out = [LeftOut(question.name, f"stopped: {stopped}") for question in plan.questions[len(exchanges) :]]
    return Recording(base_url, recorded_at, mask.party, tuple(exchanges), (*left_out, *plan.left_out), spent, stopped)


def _check_token(question: Question, answer: Answer | None, party: Party) -> None:
    """Raise UsageError if the server refuses the token itself: whatever is asked with it would be refused so."""
    if question.calls is not None or not question.shows_token or answer is None:
        return
    if answer.status == 401:
        raise UsageError(
            "your token was refused (HTTP 401), so that nothing can be compared; give another one as --token"
        )
    if answer.status == 403:
        raise UsageError(
            f"your token was refused for account {party.account_id} (HTTP 403), so that nothing can be compared; "
            "give the account that the token is for as --account, or another --token"
        )


def _why_stop(question: Question, answer: Answer | None, unanswered: int) -> str | None:
    if question.calls is None and is_acceptance(answer):
        return f"the server accepts {question.name}, which a sound one refuses; it may have charged for it"
    if question.calls is not None and answer is None:
        return f"no answer to {question.name}, which may have been charged"
    if unanswered == MOST_UNANSWERED:
        return f"{MOST_UNANSWERED} questions in a row were not answered"
    return None
