"""What the fake says to the same request: the same application as in the servers, in process."""

from __future__ import annotations

from typing import Final

from pytest_mcn_mock.compose import compose
from pytest_mcn_mock.drift.exchanges import Answer, Sent, make_answer
from pytest_mcn_mock.drift.questions import Party
from pytest_mcn_mock.errors import Refusal
from pytest_mcn_mock.flow import finish
from pytest_mcn_mock.model.assumptions import Assumptions
from pytest_mcn_mock.settings import Settings
from pytest_mcn_mock.web.application import BASE_PATH
from pytest_mcn_mock.web.http import MAX_BODY, Request, answer_of

_TOKEN: Final = "the-token-of-the-fake"  # noqa: S105 - it never leaves the process
_BALANCE: Final = "1000.00"


class Fake:
    """An operator with one account, that of the party, which has money enough and the connected number."""

    def __init__(self, party: Party, assumptions: Assumptions) -> None:
        self.assumptions = assumptions
        exchange = compose(Settings(assumptions=assumptions), lambda _: None)
        exchange.operator.accounts.open(
            seed=1,
            balance=_BALANCE,
            account_id=party.account_id,
            token=_TOKEN,
            numbers=() if party.caller_did is None else (party.caller_did,),
        )
        self._application = exchange.application
        self._journal = exchange.operator.journal

    def answer(self, sent: Sent) -> tuple[Answer, Refusal | None]:
        """The answer to a request, and the refusal that it is, if it is one."""
        body = sent.body.encode()
        flow = self._application.serve(
            Request(
                sent.method,
                f"{BASE_PATH}/{sent.path}",
                sent.query.encode(),
                {name.lower(): value for name, value in sent.headers(_TOKEN).items()},
                body if len(body) <= MAX_BODY else None,
            )
        )
        response = answer_of(flow)
        finish(flow)
        (entry,) = self._journal.page(limit=1, newest_first=True)
        answer = make_answer(response.status, response.headers.get("Content-Type", ""), response.body)
        return answer, entry.refusal
