"""A run of the contract against one endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from pytest_mcn_mock.conformance.cases import Case, Rounds
from pytest_mcn_mock.conformance.catalogue import BARE, ORDINARY, SPOILT
from pytest_mcn_mock.conformance.exchanges import Exchange, Transport, Trouble
from pytest_mcn_mock.conformance.judge import Verdict, judge
from pytest_mcn_mock.conformance.messages import Writer
from pytest_mcn_mock.conformance.webhook import Form, Webhook
from pytest_mcn_mock.model.deliveries import is_acknowledgement


def deliver(case: Case, rounds: Rounds, transport: Transport, timeout_s: float) -> list[Exchange]:
    """Send what the case has written, round after round; the exchanges in the order of its messages."""
    return [
        exchange for messages in rounds for exchange in transport.deliver(messages, timeout_s, in_turn=case.in_turn)
    ]


def is_served(webhook: Webhook, transport: Transport, statuses: Collection[int | None]) -> bool:
    """Whether anything is served under the URL, as far as can be told: not where ordinary records and one that is cut
    off all get a 404. ``statuses`` are those of ordinary records.
    """
    if webhook.form is not Form.JSON or set(statuses) != {404}:
        return True
    writer = Writer(webhook, seed=0, now=0)
    return any(
        exchange.status != 404 for exchange in deliver(SPOILT, SPOILT.write(writer), transport, webhook.timeout_s)
    )


@dataclass(slots=True)
class Run:
    """A run, case after case, so that what is found is that case's own.

    ``uuids`` are calls that the endpoint knows. ``now`` gives seconds since the epoch. ``probe`` comes first.
    """

    webhook: Webhook
    transport: Transport
    seed: int
    now: Callable[[], float]
    uuids: Sequence[str] = ()
    verdicts: list[Verdict] = field(default_factory=list)
    ordinary: int | None = None
    """The status that the probe got; None where there was none."""
    is_served: bool = True
    _bare: str | None = None

    def probe(self) -> str | None:
        """Send one ordinary record; why the endpoint cannot be reached, or None where it can."""
        (exchange,) = self._deliver(ORDINARY, 0)
        if exchange.trouble in (Trouble.UNREACHABLE, Trouble.NOT_ACCEPTED):
            return exchange.detail or "the connection was not accepted"
        self.ordinary = exchange.status if exchange.trouble is None else None
        self.is_served = is_served(self.webhook, self.transport, {self.ordinary})
        return None

    def each(self, cases: Sequence[Case]) -> Iterator[Verdict]:
        """The verdict on each case, as soon as it is there; ``verdicts`` keeps them."""
        for number, case in enumerate(cases, 1):
            verdict = judge(
                case,
                self._deliver(case, number),
                timeout_s=self.webhook.timeout_s,
                is_lenient=self.is_lenient,
                ordinary=None if case is ORDINARY else self.ordinary,
                without_final_status=self._send_without_final_status,
            )
            self.verdicts.append(verdict)
            yield verdict

    @property
    def is_lenient(self) -> bool:
        """Whether a 4xx may mean that the endpoint does not know the call: no uuid is given that it knows, and it did
        not acknowledge the probe, whose call it did not know either. Where nothing seems to be served it does not.
        """
        return self.is_served and not self.uuids and not is_acknowledgement(self.ordinary or 0)

    def _send_without_final_status(self) -> str | None:
        """What a record without final_status gets, None if an ordinary one is not acknowledged. It is sent once."""
        if not is_acknowledgement(self.ordinary or 0):
            return None
        if self._bare is None:
            (exchange,) = self._deliver(BARE, 0)
            self._bare = exchange.shown
        return self._bare

    def _deliver(self, case: Case, number: int) -> list[Exchange]:
        writer = Writer(self.webhook, seed=self.seed + number, now=self.now(), uuids=self.uuids)
        return deliver(case, case.write(writer), self.transport, self.webhook.timeout_s)
