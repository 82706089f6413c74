"""The sandbox's metrics, for Prometheus.

Counting is done here, with plain numbers on the event loop's thread, at a few microseconds a call; the library is asked
for the text alone, when somebody asks for that. Whatever is a label has few values, none of them from a request.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from pytest_mcn_mock.errors import NotFound
from pytest_mcn_mock.model.calls import account_of
from pytest_mcn_mock.model.deliveries import DeliveryState
from pytest_mcn_mock.service import events
from pytest_mcn_mock.service.events import Events
from pytest_mcn_mock.service.ports import Clock

if TYPE_CHECKING:  # takes as long to import as the rest of the sandbox
    from prometheus_client.core import Metric

_REQUEST_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CDR_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SHARED: Final = ", in the whole state: replicas that share it say the same, so take max and not sum"
MAX_STAMPS: Final = 20_000
"""Calls whose CDR is waited for at most, to measure how long it took."""


class _Histogram:
    """Seconds, counted by their bucket; the last one has no upper bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus has them."""
        passed, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            passed += count
            buckets.append((bound, float(passed)))
        return buckets


class Gauges(Struct, frozen=True):
    """Values that are counted elsewhere, and read when the metrics are shown.

    ``pending`` and ``max_pending`` are CDRs; ``waiting`` and ``under_way`` attempts; ``lag_s``
    the age in seconds of the oldest CDR that is due and not settled, 0 if there is none; ``dropped`` what bounded lists
    have lost, by name; ``guarded`` refusals of the guard by code.
    """

    pending: int
    max_pending: int
    waiting: int
    under_way: int
    lag_s: float
    dropped: Mapping[str, int]
    guarded: Mapping[str, int]
    is_ready: bool


class Metrics:
    """Counts events: a subscriber to ``service.events``."""

    def __init__(self, read_version: Callable[[], str], clock: Clock, *, store: str, replica: str) -> None:
        self._read_version = read_version
        self._store = store
        self._replica = replica
        self._clock = clock
        self._gauges: Callable[[], Awaitable[Gauges]] | None = None
        self._shown: Gauges | None = None
        self._requests: Counter[int] = Counter()
        self._refusals: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._charged: Counter[tuple[str, str]] = Counter()
        self._deliveries: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self._answered: OrderedDict[str, float] = OrderedDict()
        self._request_s = _Histogram(_REQUEST_BUCKETS)
        self._cdr_s = _Histogram(_CDR_BUCKETS)

    def watch(self, gauges: Callable[[], Awaitable[Gauges]]) -> None:
        """Show these too."""
        self._gauges = gauges

    def subscribe_to(self, publisher: Events) -> None:
        """Count what happens from now on."""
        publisher.subscribe(events.RequestAnswered, self._count_request)
        publisher.subscribe(events.CallPlaced, self._count_charge)
        publisher.subscribe(events.CallEnded, self._count_call)
        publisher.subscribe(events.AttemptMade, self._count_attempt)
        publisher.subscribe(events.DeliverySettled, self._count_delivery)
        publisher.subscribe(events.AccountClosed, self._forget_account)
        # The counters stay after a reset, because a counter does not go back.
        publisher.subscribe(events.StateReset, lambda _: self._answered.clear())

    async def render(self) -> tuple[str, bytes]:
        """Return content type and text. Raises NotFound, with the package to install, if the library is missing."""
        try:
            from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
        except ModuleNotFoundError as error:
            raise NotFound(
                f"metrics need {error.name}, which is not installed: pip install 'pytest-mcn-mock[sandbox]'"
            ) from error
        self._shown = None if self._gauges is None else await self._gauges()
        registry = CollectorRegistry()
        registry.register(self)
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """Every metric, for the library."""
        yield _info(
            "mcn_mock_build", "The running version.", version=self._read_version(), python=platform.python_version()
        )
        # Not a label of every series: Prometheus gives the series of each scraped server its ``instance``.
        # https://prometheus.io/docs/instrumenting/writing_exporters/#target-labels-not-static-scraped-labels
        yield _info(
            "mcn_mock_replica", "This server, and the kind of its state.", replica=self._replica, store=self._store
        )
        yield _counter("mcn_mock_requests", "Requests to the vendor's API, by HTTP status.", "status", self._requests)
        yield _counter("mcn_mock_refusals", "Refused requests to the vendor's API, by code.", "code", self._refusals)
        yield _counter("mcn_mock_faults", "Requests that a fault has altered, by its kind.", "kind", self._faults)
        yield _counter("mcn_mock_calls", "Calls that have ended.", "method dialect outcome", self._calls)
        yield _counter(
            "mcn_mock_charged_kopecks", "The cost of accepted calls, in kopecks.", "method dialect", self._charged
        )
        yield _counter("mcn_mock_deliveries", "CDRs that are settled, by result.", "result", self._deliveries)
        yield _counter("mcn_mock_attempts", "Attempts to deliver a CDR, by result.", "result", self._attempts)
        yield _histogram("mcn_mock_request_seconds", "From a request to its answer, in seconds.", self._request_s)
        yield _histogram("mcn_mock_cdr_seconds", "From an answer to its CDR's acknowledgement, both here.", self._cdr_s)
        if (now := self._shown) is None:
            return
        yield _gauge("mcn_mock_cdrs_pending", f"CDRs that are pending{_SHARED}.", now.pending)
        yield _gauge("mcn_mock_cdrs_pending_limit", f"As many CDRs may be pending{_SHARED}.", now.max_pending)
        yield _gauge("mcn_mock_attempts_waiting", f"CDRs that are due and wait for room{_SHARED}.", now.waiting)
        yield _gauge("mcn_mock_attempts_under_way", "Attempts that wait for an answer.", now.under_way)
        yield _gauge("mcn_mock_cdr_lag_seconds", f"Age of the oldest CDR that is due, not settled{_SHARED}.", now.lag_s)
        yield _gauge("mcn_mock_ready", "Whether new calls are taken.", int(now.is_ready))
        yield _counter("mcn_mock_dropped", f"Items dropped by bounded lists; calls{_SHARED}.", "what", now.dropped)
        yield _counter("mcn_mock_guarded", "Requests that the guard has refused, by code.", "code", now.guarded)

    def _count_request(self, event: events.RequestAnswered) -> None:
        entry = event.request
        self._requests[entry.status or 0] += 1
        now = self._clock.now(entry.account_id)
        self._request_s.observe(max(0.0, now - entry.received_at))
        if entry.fault is not None:
            self._faults[entry.fault] += 1
        if entry.refusal is not None:
            self._refusals[entry.refusal.code] += 1
        elif entry.verification_call_uuid is not None:
            self._answered[entry.verification_call_uuid] = now
            if len(self._answered) > MAX_STAMPS:
                self._answered.popitem(last=False)

    def _count_charge(self, event: events.CallPlaced) -> None:
        self._charged[event.call.method, event.call.dialect] += event.call.price

    def _count_call(self, event: events.CallEnded) -> None:
        call = event.call
        if call.ending is not None:
            self._calls[call.method, call.dialect, call.ending.outcome] += 1

    def _count_attempt(self, event: events.AttemptMade) -> None:
        attempt = event.attempt
        if attempt.error is None:
            self._attempts["acknowledged"] += 1
        else:
            self._attempts["no_answer" if attempt.status is None else "refused"] += 1

    def _count_delivery(self, event: events.DeliverySettled) -> None:
        delivery = event.delivery
        self._deliveries[delivery.state] += 1
        if delivery.state is DeliveryState.DELIVERED:
            answered = self._answered.pop(delivery.verification_call_uuid, None)
            if answered is not None:
                last = delivery.attempts[-1]
                self._cdr_s.observe(max(0.0, last.at + last.duration_s - answered))

    def _forget_account(self, event: events.AccountClosed) -> None:
        for uuid in [uuid for uuid in self._answered if account_of(uuid) == event.account_id]:
            del self._answered[uuid]


def _info(name: str, help_text: str, **labels: str) -> Metric:
    from prometheus_client.core import InfoMetricFamily

    return InfoMetricFamily(name, help_text, value=labels)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, help_text, value=value)


def _counter(name: str, help_text: str, labels: str, counts: Mapping[Any, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, help_text, labels=labels.split())
    for key, count in sorted(counts.items()):
        family.add_metric([str(part) for part in (key if isinstance(key, tuple) else (key,))], count)
    return family


def _histogram(name: str, help_text: str, histogram: _Histogram) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    return HistogramMetricFamily(name, help_text, buckets=histogram.buckets(), sum_value=histogram.total)
