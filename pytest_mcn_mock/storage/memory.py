"""State in memory: dictionaries. This is the default; the state is lost when the process ends."""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from pytest_mcn_mock.errors import Conflict
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import NEXT_CALL, Delivery, DeliveryState, host_of, is_still_due, without_answer
from pytest_mcn_mock.model.money import Entry, EntryKind, Ledger
from pytest_mcn_mock.model.outcomes import Outcome
from pytest_mcn_mock.reasons import Reason
from pytest_mcn_mock.service.ports import (
    ANY,
    AccountDecision,
    AccountSnapshot,
    AccountState,
    Backlog,
    CallDecision,
    Claimed,
    Counts,
    Due,
    Ended,
    Settled,
    Tally,
    has_fields,
)
from pytest_mcn_mock.storage import ANSWER_SIZE, MAX_ANSWERS_SIZE, Room, no_account, no_call, no_delivery

THE_CALL: Final = 0
"""Stands for a delivery's id if the work is to end the call."""


class AccountRow(Struct, eq=False):
    """An account with everything it has. ``waiting`` are deliveries that wait until one of another call is settled."""

    account: Account
    ledger: Ledger
    accepted_calls: int = 0
    spent: int = 0
    listed: int = 0
    pending: int = 0
    calls: dict[str, CallRow] = field(default_factory=dict)
    waiting: dict[int, CallRow] = field(default_factory=dict)

    def state(self) -> AccountState:
        """Return the account and its balance."""
        return AccountState(self.account, self.ledger.balance)


class CallRow(Struct, eq=False):
    """A call with its deliveries by their ids, how many of them are pending, and the work to end it until that is
    claimed.
    """

    owner: AccountRow
    call: Call
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    pending: int = 0
    to_end: Work | None = None
    is_listed: bool = True
    is_answered: bool = False

    def is_finished(self) -> bool:
        """Return whether the call has ended, and none of its deliveries is pending."""
        return self.call.ending is not None and not self.pending


class Work(Struct, eq=False):
    """A call to end, or a delivery to send to the host. ``is_over``: it was claimed, or is not due any more."""

    due_at: float
    row: CallRow
    delivery_id: int
    host: str
    is_over: bool = False


_Entry = tuple[float, int, int, int, Work]
"""Work in a heap: ``due_at``, the delivery's id, the call's ``seq``, a number of its own, and the work itself."""


class Queue:
    """Work in the order in which it is due, and in the order of its numbers if it is due at the same moment, as in SQL.

    Work for a host without room waits in a heap of its own.
    """

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._lines: dict[str, list[_Entry]] = {}
        self._order = 0
        self._size = 0

    def push(self, work: Work) -> None:
        """Add work."""
        self._order += 1
        self._size += 1
        heapq.heappush(self._heap, (work.due_at, work.delivery_id, work.row.call.seq, self._order, work))

    def drop(self, work: Work) -> None:
        """Take out work that is not due any more."""
        work.is_over = True
        del work.row  # nothing of a closed account is kept
        self._size -= 1
        # At most half of the entries are over, so that a closed account leaves nothing behind.
        if len(self._heap) + sum(map(len, self._lines.values())) > 2 * self._size:
            self._heap = _without_the_past(self._heap)
            self._lines = {host: kept for host, line in self._lines.items() if (kept := _without_the_past(line))}

    def take(self, until: float, room: Room, newest_call: int | None, limit: int) -> list[Work]:
        """Take out at most ``limit`` pieces of work that are due by ``until``."""
        taken: list[Work] = []
        newer: list[_Entry] = []
        for host in list(self._lines):
            if room.has(host):
                self._call_up(host)
        while len(taken) < limit and self._heap and self._heap[0][0] <= until:
            entry = heapq.heappop(self._heap)
            work = entry[-1]
            if work.is_over:
                continue
            if work.delivery_id != THE_CALL and not room.has(work.host):
                heapq.heappush(self._lines.setdefault(work.host, []), entry)
                continue
            if work.host in self._lines:
                self._call_up(work.host)
            if newest_call is not None and work.row.call.seq > newest_call:
                newer.append(entry)
                continue
            work.is_over = True
            self._size -= 1
            taken.append(work)
            if work.delivery_id != THE_CALL:
                room.take(work.host)
        for entry in newer:
            heapq.heappush(self._heap, entry)
        return taken

    def next_due_at(self) -> float | None:
        """Return when the next work falls due, None if there is none."""
        while self._heap and self._heap[0][-1].is_over:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def has_lines(self) -> bool:
        """Return whether work waits for room."""
        return bool(self._lines) and any(not work.is_over for line in self._lines.values() for *_, work in line)

    def overdue(self, now: float) -> Iterator[float]:
        """Yield the due time of each due delivery that is not claimed."""
        for due_at, *_, work in chain(self._heap, *self._lines.values()):
            if due_at <= now and not work.is_over and work.delivery_id != THE_CALL:
                yield due_at

    def _call_up(self, host: str) -> None:
        """Put the first of the work that waits for room at the host into the common order again."""
        line = self._lines[host]
        while line:
            entry = heapq.heappop(line)
            if not entry[-1].is_over:
                heapq.heappush(self._heap, entry)
                break
        if not line:
            del self._lines[host]


def _without_the_past(heap: list[_Entry]) -> list[_Entry]:
    kept = [entry for entry in heap if not entry[-1].is_over]
    heapq.heapify(kept)
    return kept


def _take(queues: list[Queue], until: float, room: Room, newest_call: int | None, limit: int) -> list[Work]:
    """Take out at most ``limit`` pieces of due work of all these queues, in order of their due time."""
    if len(queues) == 1:
        return queues[0].take(until, room, newest_call, limit)
    taken: list[Work] = []
    while len(taken) < limit:
        for queue in sorted(queues, key=lambda queue: queue.next_due_at() or 0.0):
            if work := queue.take(until, room, newest_call, 1):
                taken += work
                break
        else:
            break
    return taken


class Answers:
    """The answers of endpoints that are kept, the oldest first: MAX_ANSWERS_SIZE bytes for all."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, int, int]] = deque()
        self._size = 0

    def add(self, delivery: Delivery, is_there: Callable[[int], object]) -> Sequence[tuple[int, int]]:
        """Count the answer to the last attempt; return deliveries and attempts whose answers must be dropped."""
        attempt = delivery.attempts[-1]
        if attempt.response is None:
            return ()
        while self._kept and not is_there(self._kept[0][0]):  # its answers are gone with it
            self._size -= self._kept.popleft()[2]
        taken = attempt.response.size() + ANSWER_SIZE
        self._kept.append((delivery.id, attempt.number, taken))
        self._size += taken
        dropped = []
        while self._size > MAX_ANSWERS_SIZE:
            oldest, number, size = self._kept.popleft()
            self._size -= size
            if is_there(oldest):
                dropped.append((oldest, number))
        return dropped

    def clear(self) -> None:
        """Count from nothing."""
        self._kept.clear()
        self._size = 0


class MemoryStorage:
    """Implements ``service.ports.Storage``, where each method is described. No method ever waits.

    ``journal_size`` bounds the calls that are listed, and each account's ledger entries. The oldest call goes first. If
    it rings, or has a pending CDR, it is unlisted then, and is kept until that is over. ``has_one_time`` says whether
    all accounts have the same time: if not, work is claimed account by account.
    """

    latest = 0.0
    has_replicas = False
    failure: str | None = None
    on_recovery: Callable[[], object] = staticmethod(lambda: None)
    gather_s = 0.0

    def __init__(self, journal_size: int, *, has_one_time: bool) -> None:
        self._journal_size = journal_size
        self._has_one_time = has_one_time
        self._accounts: dict[str, AccountRow] = {}
        self._by_token: dict[str, AccountRow] = {}
        self._taken: set[str] = set()
        self._calls: dict[str, CallRow] = {}
        self._journal: OrderedDict[str, CallRow] = OrderedDict()
        self._of_delivery: dict[int, CallRow] = {}
        self._to_send: dict[int, Work] = {}
        """The unclaimed work of deliveries, by their ids."""
        self._queues: defaultdict[str | None, Queue] = defaultdict(Queue)
        self._answers = Answers()
        self._accounts_opened = self._calls_placed = self._deliveries_made = 0
        self._pending = self._dropped = 0

    async def watch(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def resume(self) -> None:
        """Queue the work again that was claimed: the loop that did it has ended."""
        for row in self._calls.values():
            row.is_answered = True
            self._enqueue_all(row)

    async def reset(self, accounts: Sequence[tuple[Account, int]], at: float) -> float:
        for kept in (self._accounts, self._by_token, self._taken, self._calls, self._journal, self._of_delivery):
            kept.clear()
        self._to_send.clear()
        self._queues.clear()
        self._answers.clear()
        self._pending = 0
        for account, opening in accounts:
            await self.open_account(account, opening, at)
        return at

    # Accounts

    async def open_account(self, account: Account, opening: int, at: float) -> Account:
        if account.id in self._taken:
            raise Conflict(Reason("account_taken", {"account": account.id}), "id")
        if account.token in self._by_token:
            raise Conflict(Reason("token_taken", {"account": account.id}), "token")
        self._accounts_opened += 1
        row = AccountRow(replace(account, seq=self._accounts_opened), Ledger(max(2, self._journal_size)))
        row.ledger.post(EntryKind.OPENING, opening, at)
        self._accounts[account.id] = self._by_token[account.token] = row
        self._taken.add(account.id)
        return row.account

    async def close_account(self, account_id: str) -> None:
        row = self._account_row(account_id)
        for call in row.calls.values():
            self._forget(call)
        del self._accounts[account_id], self._by_token[row.account.token]
        self._queues.pop(account_id, None)

    async def change_account(
        self, account_id: str, decide: Callable[[Account, int], AccountDecision]
    ) -> tuple[AccountState, AccountState]:
        row = self._account_row(account_id)
        before = row.state()
        row.account, posting = decide(row.account, row.ledger.balance)
        if posting is not None:
            row.ledger.post(*posting)
        return before, row.state()

    async def account(self, account_id: str) -> AccountState:
        return self._account_row(account_id).state()

    async def account_of_token(self, token: str) -> Account | None:
        row = self._by_token.get(token)
        return None if row is None else row.account

    async def release_id(self, account_id: str) -> None:
        if account_id not in self._accounts:
            self._taken.discard(account_id)

    async def is_taken(self, account_id: str) -> bool:
        return account_id in self._taken

    async def accounts(self, after: int, limit: int) -> Sequence[AccountState]:
        return [row.state() for row in islice((r for r in self._accounts.values() if r.account.seq > after), limit)]

    async def ledger(self, account_id: str) -> Sequence[Entry]:
        return tuple(self._account_row(account_id).ledger)

    # Calls and deliveries

    async def place(self, account_id: str, decide: Callable[[AccountSnapshot], CallDecision]) -> CallDecision:
        owner = self._account_row(account_id)
        decided = decide(
            AccountSnapshot(
                owner.account,
                owner.ledger.balance,
                owner.accepted_calls,
                self._calls_placed + 1,
                self._deliveries_made + 1,
                self._pending,
                self._unlisted(),
            )
        )
        call = decided.call
        self._calls_placed += 1
        row = CallRow(owner, call)
        self._enter(row, decided.deliveries)
        owner.account = decided.account
        owner.accepted_calls += 1
        owner.spent += call.price
        owner.listed += 1
        owner.ledger.post(EntryKind.CHARGE, -call.price, call.placed_at, call.verification_call_uuid)
        self._calls[call.verification_call_uuid] = owner.calls[call.verification_call_uuid] = row
        self._journal[call.verification_call_uuid] = row
        if len(self._journal) > self._journal_size:
            self._unlist_oldest()
        return CallDecision(call, list(row.deliveries.values()), owner.account)

    async def answered(self, verification_call_uuid: str) -> float | None:
        row = self._calls.get(verification_call_uuid)
        if row is None or row.is_answered:
            return None
        row.is_answered = True
        return self._enqueue_all(row)

    async def end_call(
        self, verification_call_uuid: str, decide: Callable[[Call, Sequence[Delivery]], Ended]
    ) -> Ended | None:
        row = self._calls.get(verification_call_uuid)
        if row is None or row.call.ending is not None:
            return None
        before = list(row.deliveries.values())
        ended = decide(row.call, before)
        row.call = ended.call
        for delivery in before:  # some may be dropped
            self._count_pending(row, -(delivery.state is DeliveryState.PENDING))
            del self._of_delivery[delivery.id]
        row.deliveries = {}
        self._enter(row, ended.deliveries)
        self._unqueue_end(row)
        self._enqueue_all(row)
        self._drop_if_done(row)
        return Ended(row.call, list(row.deliveries.values()))

    async def call(self, verification_call_uuid: str) -> Call:
        return self._call_row(verification_call_uuid).call

    async def calls(
        self,
        account_id: str | None,
        after: int,
        limit: int,
        *,
        newest_first: bool = False,
        fields: Mapping[str, str] = ANY,
    ) -> Sequence[Call]:
        rows = self._listed(account_id, newest_first=newest_first)
        calls = (row.call for row in rows if has_fields(row.call, fields))
        return list(islice((call for call in calls if _is_behind(call.seq, after, newest_first)), limit))

    async def delivery(self, delivery_id: int) -> Delivery:
        return self._row_of(delivery_id).deliveries[delivery_id]

    async def deliveries_of(self, verification_call_uuid: str) -> Sequence[Delivery]:
        row = self._call_row(verification_call_uuid)
        return tuple(delivery for _, delivery in sorted(row.deliveries.items()))

    async def deliveries(
        self,
        account_id: str | None,
        after: int,
        limit: int,
        *,
        newest_first: bool = False,
        fields: Mapping[str, str] = ANY,
    ) -> Sequence[Delivery]:
        of_call = {name: value for name, value in fields.items() if name != "state"}
        rows = (row for row in self._listed(account_id) if has_fields(row.call, of_call))
        states = {fields["state"]} if "state" in fields else set(DeliveryState)
        deliveries = (delivery for row in rows for delivery in row.deliveries.values() if delivery.state in states)
        found = [delivery for delivery in deliveries if _is_behind(delivery.id, after, newest_first)]
        # A delivery that the end of a call added is younger than those of the calls placed meanwhile.
        return sorted(found, key=lambda delivery: delivery.id, reverse=newest_first)[:limit]

    async def states_of(self, calls: Sequence[Call]) -> Mapping[int, Sequence[tuple[int, DeliveryState]]]:
        rows = (self._calls.get(call.verification_call_uuid) for call in calls)
        found = {row.call.seq: [(d.id, d.state) for d in row.deliveries.values()] for row in rows if row is not None}
        return {seq: sorted(states) for seq, states in found.items() if states}

    async def tally(self, account_id: str | None, since: float, most: int) -> Tally:
        owners = self._accounts.values() if account_id is None else [self._account_row(account_id)]
        outcomes: Counter[Outcome | None] = Counter()
        states: Counter[DeliveryState] = Counter()
        minutes: dict[int, tuple[int, int]] = {}
        for row in islice(self._listed(account_id, newest_first=True), most):
            outcome = None if row.call.ending is None else row.call.ending.outcome
            outcomes[outcome] += 1
            for delivery in row.deliveries.values():
                states[delivery.state] += 1
            if row.call.placed_at >= since:
                minute = int((row.call.placed_at - since) // 60)
                placed, answered = minutes.get(minute, (0, 0))
                minutes[minute] = placed + 1, answered + (outcome is Outcome.ANSWERED)
        return Tally(
            accepted=sum(owner.accepted_calls for owner in owners),
            spent=sum(owner.spent for owner in owners),
            listed=sum(owner.listed for owner in owners),
            pending=sum(owner.pending for owner in owners),
            outcomes=outcomes,
            deliveries=states,
            minutes=minutes,
        )

    async def pending(self, limit: int) -> Sequence[Delivery]:
        deliveries = (delivery for row in self._calls.values() for delivery in row.deliveries.values())
        pending = [delivery for delivery in deliveries if delivery.state is DeliveryState.PENDING]
        return sorted(pending, key=lambda delivery: delivery.id)[:limit]

    async def change_delivery(
        self, delivery_id: int, decide: Callable[[Delivery, Call, Account], Delivery]
    ) -> tuple[Delivery, Delivery]:
        row = self._row_of(delivery_id)
        before = row.deliveries[delivery_id]
        changed = decide(before, row.call, row.owner.account)
        self._put(row, before, changed)
        if not is_still_due(changed, before):
            self._enqueue(row, changed)
        self._drop_if_done(row)
        return before, changed

    async def counts(self) -> Counts:
        return Counts(self._pending, self._unlisted(), self._dropped)

    # Due work

    async def claim(
        self,
        until: float,
        prepare: Callable[[Delivery, Call, Account], Delivery],
        *,
        lease_s: float,  # noqa: ARG002 - what is taken is in no queue, and dies with the process
        limit: int,
        account_id: str | None = None,
        newest_call: int | None = None,
        under_way: Mapping[str, int],
        per_host: int,
    ) -> Claimed:
        if account_id is None or self._has_one_time:
            queues = list(self._queues.values())
        else:
            queues = [self._queues[account_id]] if account_id in self._queues else []
        claimed = []
        for work in _take(queues, until, Room(under_way, per_host), newest_call, limit):
            row, number = work.row, work.delivery_id
            if number == THE_CALL:
                row.to_end = None
                claimed.append(Due(work.due_at, row.owner.account, row.call))
                continue
            del self._to_send[number]
            prepared = row.deliveries[number] = prepare(row.deliveries[number], row.call, row.owner.account)
            claimed.append(Due(work.due_at, row.owner.account, row.call, prepared))
        due_times = [at for queue in queues if (at := queue.next_due_at()) is not None]
        return Claimed(claimed, min(due_times, default=None), any(queue.has_lines() for queue in queues))

    async def is_held(self, until: float, newest_call: int) -> bool:  # noqa: ARG002 - a claim is by this process
        return False

    async def backlog(self, now: float) -> Backlog:
        overdue = [due_at for queue in self._queues.values() for due_at in queue.overdue(now)]
        return Backlog(len(overdue), min(overdue, default=None))

    async def renew(self, delivery_ids: Collection[int], lease_s: float) -> None:
        pass

    async def settle(
        self, claimed: Delivery, now: float, decide: Callable[[Delivery, Account], tuple[Delivery, Account]]
    ) -> Settled:
        row = self._row_of(claimed.id)
        owner = row.owner
        before, account_before = row.deliveries[claimed.id], owner.account
        changed, owner.account = decide(before, account_before)
        self._put(row, before, changed)
        if is_still_due(before, claimed) or not is_still_due(changed, before):
            self._enqueue(row, changed)
        if len(changed.attempts) > len(before.attempts):
            for delivery_id, number in self._answers.add(changed, self._of_delivery.get):
                self._forget_answer(delivery_id, number)
        is_settled = before.state is DeliveryState.PENDING and changed.state is not DeliveryState.PENDING
        follower_due_at = self._follow(row, changed, now) if is_settled else None
        self._drop_if_done(row)
        return Settled(before, changed, account_before, owner.account, follower_due_at)

    def _follow(self, row: CallRow, settled: Delivery, now: float) -> float | None:
        """Make the delivery that waited for this one due. Return its due time, or None if none waited."""
        if len(row.deliveries) == 1 and not row.owner.waiting:  # so it is for most calls
            return None
        followers = [
            (row, own)
            for own in row.deliveries.values()
            if own.waits_for == settled.id and own.state is DeliveryState.PENDING
        ]
        for delivery_id, other in row.owner.waiting.items():
            if other is not row:
                followers.append((other, other.deliveries[delivery_id]))
        for follower_row, follower in followers:
            released = replace(follower, due_at=now, waits_for=None)
            self._put(follower_row, follower, released)
            self._enqueue(follower_row, released)
        return now if followers else None

    # The queue

    def _enqueue_all(self, row: CallRow) -> float | None:
        """Queue the call's work, if its order was answered. Return when the first of it is due, None if none is."""
        call = row.call
        if not row.is_answered:
            return None
        if call.ending is None:
            if call.ends_at is not None and row.to_end is None:
                row.to_end = Work(call.ends_at, row, THE_CALL, "")
                self._queue_of(row).push(row.to_end)
            return call.ends_at
        first = None
        for delivery in row.deliveries.values():
            due_at = self._enqueue(row, delivery)
            if due_at is not None and (first is None or due_at < first):
                first = due_at
        return first

    def _enqueue(self, row: CallRow, delivery: Delivery) -> float | None:
        """Queue the delivery's work as it is now, and no older one. Return when it is due, None if it is not."""
        self._unqueue(row, delivery.id)
        if not row.is_answered or delivery.state is not DeliveryState.PENDING or row.call.ending is None:
            return None
        if delivery.waits_for == NEXT_CALL:
            row.owner.waiting[delivery.id] = row
            return None
        if delivery.due_at is not None:
            work = self._to_send[delivery.id] = Work(delivery.due_at, row, delivery.id, host_of(delivery.url))
            self._queue_of(row).push(work)
        return delivery.due_at

    def _unqueue(self, row: CallRow, delivery_id: int) -> None:
        row.owner.waiting.pop(delivery_id, None)
        if (work := self._to_send.pop(delivery_id, None)) is not None:
            self._queue_of(row).drop(work)

    def _unqueue_end(self, row: CallRow) -> None:
        if row.to_end is not None:
            self._queue_of(row).drop(row.to_end)
            row.to_end = None

    def _queue_of(self, row: CallRow) -> Queue:
        return self._queues[None if self._has_one_time else row.call.account_id]

    # Rows

    def _put(self, row: CallRow, before: Delivery, changed: Delivery) -> None:
        self._count_pending(row, (changed.state is DeliveryState.PENDING) - (before.state is DeliveryState.PENDING))
        row.deliveries[changed.id] = changed

    def _count_pending(self, row: CallRow, more: int) -> None:
        self._pending += more
        row.owner.pending += more
        row.pending += more

    def _enter(self, row: CallRow, deliveries: Sequence[Delivery]) -> None:
        """Give the call these deliveries. One without a number is numbered after those that have one."""
        for delivery in deliveries:
            self._deliveries_made = max(self._deliveries_made, delivery.id)
        for delivery in deliveries:
            numbered = delivery if delivery.id else self._numbered(delivery)
            row.deliveries[numbered.id] = numbered
            self._of_delivery[numbered.id] = row
            self._count_pending(row, numbered.state is DeliveryState.PENDING)

    def _numbered(self, delivery: Delivery) -> Delivery:
        self._deliveries_made += 1
        return replace(delivery, id=self._deliveries_made)

    def _forget_answer(self, delivery_id: int, number: int) -> None:
        deliveries = self._row_of(delivery_id).deliveries
        deliveries[delivery_id] = without_answer(deliveries[delivery_id], number)

    def _listed(self, account_id: str | None, *, newest_first: bool = False) -> Iterator[CallRow]:
        journal = self._journal if account_id is None else self._account_row(account_id).calls
        rows = reversed(journal.values()) if newest_first else iter(journal.values())
        return (row for row in rows if row.is_listed)

    def _account_row(self, account_id: str) -> AccountRow:
        try:
            return self._accounts[account_id]
        except KeyError:
            raise no_account(account_id) from None

    def _call_row(self, verification_call_uuid: str) -> CallRow:
        try:
            return self._calls[verification_call_uuid]
        except KeyError:
            raise no_call(verification_call_uuid) from None

    def _row_of(self, delivery_id: int) -> CallRow:
        try:
            return self._of_delivery[delivery_id]
        except KeyError:
            raise no_delivery(delivery_id) from None

    def _unlisted(self) -> int:
        return len(self._calls) - len(self._journal)

    def _unlist_oldest(self) -> None:
        _, row = self._journal.popitem(last=False)
        row.is_listed = False
        row.owner.listed -= 1
        self._dropped += 1
        self._drop_if_done(row)

    def _drop_if_done(self, row: CallRow) -> None:
        if not row.is_listed and row.is_finished():
            self._forget(row)
            row.owner.calls.pop(row.call.verification_call_uuid)

    def _forget(self, row: CallRow) -> None:
        uuid = row.call.verification_call_uuid
        self._journal.pop(uuid, None)
        del self._calls[uuid]
        if row.to_end is not None:
            self._unqueue_end(row)
        for delivery in row.deliveries.values():
            del self._of_delivery[delivery.id]
            if delivery.state is DeliveryState.PENDING:
                self._unqueue(row, delivery.id)
                self._count_pending(row, -1)


def _is_behind(number: int, after: int, newest_first: bool) -> bool:
    return number < after if newest_first and after else number > after
