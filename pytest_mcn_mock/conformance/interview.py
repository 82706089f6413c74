"""Asks a server one question after another, each on a new connection, and stops when that is necessary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import structs

from pytest_mcn_mock.certificates import make_context, read_trust
from pytest_mcn_mock.conformance.questions import Plan, Question
from pytest_mcn_mock.conformance.recording import (
    MAX_BODY_KEPT,
    TROUBLES,
    Answer,
    Mask,
    NotAsked,
    Participants,
    RecordedExchange,
    Recording,
    Sent,
    make_answer,
)
from pytest_mcn_mock.conformance.sending import KeptConnection, Trouble
from pytest_mcn_mock.conformance.webhook import Message
from pytest_mcn_mock.errors import Unreachable, UsageError
from pytest_mcn_mock.model.checks import check_url
from pytest_mcn_mock.model.deliveries import CdrRequest
from pytest_mcn_mock.web.dialects import API_MCN

MAX_ANSWER: Final = 65_536
"""Bytes of an answer's body that are read."""
MOST_UNANSWERED: Final = 3
"""After this number of unanswered questions in a row, the rest is not asked."""
INTERRUPTED: Final = "interrupted; the question that was being asked may have been charged"
"""The reason why a cancelled interview stopped."""
Ask = Callable[[Sent], Awaitable[Answer | Trouble]]
_HEADERS: Final = {"User-Agent": "mcn-mock", "Accept-Encoding": "identity", "Connection": "close"}


class RealServer:
    """A real server, asked with a token.

    Redirects are not followed, cookies are not kept, and no proxy of the environment is used, so that the token reaches
    no other server. Certificates are always verified, with the authorities of this machine or with those of ``cafile``.

    Raises UsageError for a URL or a file of certificates that cannot be used.
    """

    def __init__(self, base_url: str, token: str, *, timeout_s: float, cafile: Path | None = None) -> None:
        self._base_url = check_base_url(base_url)
        self._token = token
        self._timeout_s = timeout_s
        self._tls = None if cafile is None else make_context(read_trust(cafile, name="--cacert"))

    async def ask(self, sent: Sent) -> Answer | Trouble:
        """Return the answer, or the reason why there is none."""
        url = f"{self._base_url}/{sent.path}" + (f"?{sent.query}" if sent.query else "")
        request = CdrRequest(sent.method, url, _HEADERS | sent.headers(self._token), sent.body.encode())
        connection = KeptConnection(self._tls, MAX_ANSWER + 1)
        try:
            exchange = await connection.exchange(Message(request), self._timeout_s)
            trouble = exchange.trouble or connection.broken
            if trouble is not None or exchange.response is None:
                return trouble or Trouble.CLOSED
        finally:
            connection.close()
        body = exchange.response.body
        headers = {
            "content-type": (exchange.header("content-type") or "").partition(";")[0].strip().lower()[:100],
            "location": _without_query(exchange.header("location") or ""),
        }
        kept = {name: value for name, value in headers.items() if value}
        return make_answer(exchange.response.status, kept, body[:MAX_ANSWER], is_cut=len(body) > MAX_ANSWER)


def check_base_url(url: str) -> str:
    """Return the base URL without a slash at its end. Raise UsageError if it cannot be used."""
    return check_url(url, name="--base-url", example=API_MCN.vendor_url, is_base=True).rstrip("/")


def _without_query(location: str) -> str:
    """Return the target of a redirect without its parts that may be secret."""
    try:
        parts = urlsplit(location[:2000])
        host = f"{parts.scheme}://{parts.hostname}" if parts.hostname else ""
    except ValueError:
        return ""
    return host + unquote(parts.path, errors="replace")[:200]


async def interview(
    ask: Ask,
    participants: Participants,
    plan: Plan,
    mask: Mask,
    *,
    base_url: str,
    recorded_at: str,
    pause: Callable[[], Awaitable[None]],
    announce: Callable[[str], None] = lambda _: None,
) -> Recording:
    """Ask the questions of the plan, with a ``pause`` between two. Return a recording without secrets.

    ``announce`` gets each question's name before it is asked. The interview stops early if the server accepts a
    harmless question, which may then cost money; if a call may have been placed but no answer came; if the server no
    longer answers; and if it is cancelled, for example by Ctrl-C. A cancelled interview returns its recording too,
    because its questions may have cost money.

    Raises Unreachable if the server answers nothing at all; UsageError if it refuses the token, or the token for this
    account.
    """
    exchanges: list[RecordedExchange] = []
    spent = unanswered = 0
    stopped: str | None = None
    for n, question in enumerate(plan.questions):
        try:
            if n:
                await pause()
            announce(question.name)
            got = await ask(question.render(participants))
        except asyncio.CancelledError:
            stopped = INTERRUPTED
            break
        answer, trouble = (got, None) if isinstance(got, Answer) else (None, got)
        shown = question.render(mask.participants)
        shown = structs.replace(shown, body=shown.body[:MAX_BODY_KEPT])
        exchanges.append(RecordedExchange(question.name, shown, answer and mask.answer(answer), trouble))
        unanswered = 0 if answer else unanswered + 1
        if question.calls is not None and (answer is None or answer.is_acceptance):
            spent += question.price(participants)
        _check_token(question, answer, mask.participants)
        stopped = _why_stop(question, answer, unanswered)
        if stopped is not None:
            break
    if exchanges and all(exchange.answer is None for exchange in exchanges):
        raise Unreachable(f"no answer from {base_url}: {TROUBLES[exchanges[-1].trouble or Trouble.CLOSED]}")
    not_asked = [NotAsked(question.name, f"stopped: {stopped}") for question in plan.questions[len(exchanges) :]]
    masked = mask.participants
    return Recording(
        base_url=base_url,
        recorded_at=recorded_at,
        account_id=masked.account_id,
        ring=masked.ring,
        caller_did=masked.caller_did,
        spent_kopecks=spent,
        stopped=stopped,
        exchanges=tuple(exchanges),
        not_asked=(*not_asked, *plan.not_asked),
    )


def _check_token(question: Question, answer: Answer | None, participants: Participants) -> None:
    """Raise UsageError if the server refuses the token itself, because it would then refuse every question."""
    if question.calls is not None or not question.shows_token or answer is None:
        return
    if answer.status == 401:
        raise UsageError(
            "the server refused your token (HTTP 401), so nothing can be compared; give another one as --token"
        )
    if answer.status == 403:
        raise UsageError(
            f"the server refused your token for account {participants.account_id} (HTTP 403), so nothing can be "
            "compared; give the token's own account as --account, or another --token"
        )


def _why_stop(question: Question, answer: Answer | None, unanswered: int) -> str | None:
    if question.calls is None and answer is not None and answer.is_acceptance:
        return f"the server accepted {question.name}, which a correct server refuses; it may have charged for it"
    if question.calls is not None and answer is None:
        return f"no answer to {question.name}, which may have been charged"
    if unanswered == MOST_UNANSWERED:
        return f"{MOST_UNANSWERED} questions in a row were not answered"
    return None
