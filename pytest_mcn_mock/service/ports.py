"""The interfaces that the service needs: storage, clock, worker. Times are in seconds since the epoch, money in
kopecks.

What callers take apart is a NamedTuple. What each order makes is a Struct, which is made in C.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery, DeliveryState
from pytest_mcn_mock.model.money import Entry, EntryKind
from pytest_mcn_mock.model.outcomes import Outcome

ANY: Final[Mapping[str, str]] = MappingProxyType({})
"""No condition: see ``has_fields``."""


def has_fields(item: object, fields: Mapping[str, str]) -> bool:
    """Return whether a call, a delivery or another item has these values in its fields of these names."""
    return all(getattr(item, name) == value for name, value in fields.items())


class AccountState(NamedTuple):
    """An account and its balance."""

    account: Account
    balance: int


class Posting(NamedTuple):
    """A new entry for the ledger."""

    kind: EntryKind
    kopecks: int
    at: float


class AccountDecision(NamedTuple):
    """The account after a change, and the new entry for its ledger."""

    account: Account
    posting: Posting | None = None


class AccountSnapshot(Struct, frozen=True):
    """The state on which an order is decided: the account, its balance, how many of its calls were accepted, the
    numbers of the next call and of the next delivery, how many deliveries of all accounts are pending, and how many
    calls are kept although the journal does not list them any more.
    """

    account: Account
    balance: int
    accepted_calls: int
    next_call: int
    next_delivery: int
    pending: int
    unlisted: int


class CallDecision(Struct, frozen=True):
    """The decision on an order: the call, its deliveries, and the account afterwards. New
    deliveries are numbered from ``next_delivery`` on, in order. The storage numbers a delivery whose id is 0.
    """

    call: Call
    deliveries: Sequence[Delivery]
    account: Account


class Ended(Struct, frozen=True):
    """A call that a step has ended, and its deliveries. The storage numbers a delivery whose id is 0, and drops the
    call's deliveries that are not among them.
    """

    call: Call
    deliveries: Sequence[Delivery]


class Due(Struct, frozen=True):
    """Work that was claimed: a call to end or, if there is a delivery, a CDR to send to a webhook of the account."""

    due_at: float
    account: Account
    call: Call
    delivery: Delivery | None = None


class Claimed(NamedTuple):
    """The claimed work in order of its due time, and the time when the next work is due. With ``lacks_room`` some due
    deliveries were not claimed, because too many attempts to their hosts are in flight.
    """

    work: Sequence[Due]
    next_due_at: float | None
    lacks_room: bool = False


class Settled(Struct, frozen=True):
    """A delivery and its account before and after a step, and when another delivery that waited for it is due."""

    before: Delivery
    delivery: Delivery
    account_before: Account
    account: Account
    follower_due_at: float | None = None


class Counts(NamedTuple):
    """How many deliveries are ``pending``, how many calls are kept but ``unlisted``, and how many calls the journal
    ``dropped`` because it was full.
    """

    pending: int
    unlisted: int
    dropped: int


class Tally(Struct, frozen=True):
    """Counts for accounts: the calls that were ``accepted`` since they were opened and their cost in kopecks
    (``spent``), the calls that the journal lists, and the ``pending`` deliveries.

    The rest counts the newest calls and deliveries of the journal: the calls by outcome, None while they ring; the
    deliveries by state; and for each minute since a moment how many calls were placed and how many of them answered.
    """

    accepted: int
    spent: int
    listed: int
    pending: int
    outcomes: Mapping[Outcome | None, int]
    deliveries: Mapping[DeliveryState, int]
    minutes: Mapping[int, tuple[int, int]]


class Backlog(NamedTuple):
    """How many deliveries are due and not claimed, and since when the oldest of them has been due."""

    waiting: int
    oldest_due_at: float | None


class Storage(Protocol):
    """The state and its steps. Each method is one atomic step, and returns when its result is kept.

    A step calls a pure function of the rules, which gets the present state and returns a decision. If that function
    raises, nothing has changed. Raises StorageFailed if the result could not be kept; nothing has changed then either.
    Raises NotFound if there is no such account, call or delivery.
    """

    latest: float
    """The latest moment in the state that was opened."""
    on_recovery: Callable[[], object]
    """Called when steps can be kept again."""
    gather_s: float
    """How many seconds the worker gathers due work after it has claimed several pieces: 0 if a claim costs little."""

    @property
    def has_replicas(self) -> bool:
        """Return whether other processes may have the same state."""
        ...

    @property
    def failure(self) -> str | None:
        """Return the reason why no step can be kept at the moment; None if steps are kept."""
        ...

    async def watch(self) -> None:
        """Watch whether the state can be kept, until cancelled. Return at once if there is nothing to watch."""

    async def close(self) -> None:
        """Close the storage."""

    async def resume(self) -> None:
        """Void every claim, and treat every order as answered: the process that had them has ended."""

    async def reset(self, accounts: Sequence[tuple[Account, int]], at: float) -> float:
        """Forget everything, and open these accounts with their opening balances. Ids of accounts may be given out
        again; numbers of calls and deliveries go on. Return ``at``, or the moment by the database's clock if other
        processes have the same state.
        """
        ...

    # Accounts

    async def open_account(self, account: Account, opening: int, at: float) -> Account:
        """Add an account with its opening balance; return it with its ``seq``. Conflict if its id or token is taken."""
        ...

    async def close_account(self, account_id: str) -> None:
        """Forget an account with its calls and deliveries. Its id is not used again."""

    async def change_account(
        self, account_id: str, decide: Callable[[Account, int], AccountDecision]
    ) -> tuple[AccountState, AccountState]:
        """Change an account, and its balance by a posting; return it before and after."""
        ...

    async def account(self, account_id: str) -> AccountState:
        """Return an account."""
        ...

    async def account_of_token(self, token: str) -> Account | None:
        """Return the account that a token names, or None."""
        ...

    async def release_id(self, account_id: str) -> None:
        """Let the id of a closed account be given to an account again."""

    async def is_taken(self, account_id: str) -> bool:
        """Return whether an account has or had the id."""
        ...

    async def accounts(self, after: int, limit: int) -> Sequence[AccountState]:
        """Return accounts in order of opening, behind the one whose ``seq`` is ``after``."""
        ...

    async def ledger(self, account_id: str) -> Sequence[Entry]:
        """Return an account's entries, oldest first. Their sum is the balance."""
        ...

    # Calls and deliveries. A list is in order of arrival, or the newest first; ``after`` is the last one seen, 0 for
    # none. It has the items that the bounded journal lists.

    async def place(self, account_id: str, decide: Callable[[AccountSnapshot], CallDecision]) -> CallDecision:
        """Charge and record a call and its deliveries. Nothing of it is due before ``answered``."""
        ...

    async def answered(self, verification_call_uuid: str) -> float | None:
        """Note that the order's answer was sent; return when the first work of the call is due, None if none is.

        If other processes may have the same state, the next ``claim`` of this one notes that, in the same step. It is
        due at once then: the result is 0.
        """
        ...

    async def end_call(
        self, verification_call_uuid: str, decide: Callable[[Call, Sequence[Delivery]], Ended]
    ) -> Ended | None:
        """End a ringing call. Return None if it has ended, or is gone."""
        ...

    async def call(self, verification_call_uuid: str) -> Call:
        """Return a call."""
        ...

    async def calls(
        self,
        account_id: str | None,
        after: int,
        limit: int,
        *,
        newest_first: bool = False,
        fields: Mapping[str, str] = ANY,
    ) -> Sequence[Call]:
        """Return calls of an account, or of all, with these ``login_did``, ``code`` and ``state``."""
        ...

    async def delivery(self, delivery_id: int) -> Delivery:
        """Return a delivery."""
        ...

    async def deliveries_of(self, verification_call_uuid: str) -> Sequence[Delivery]:
        """Return the deliveries of a call, in order of their ids."""
        ...

    async def deliveries(
        self,
        account_id: str | None,
        after: int,
        limit: int,
        *,
        newest_first: bool = False,
        fields: Mapping[str, str] = ANY,
    ) -> Sequence[Delivery]:
        """Return deliveries of an account, or of all, in order of their ids: those with this ``state``, of calls with
        these ``login_did`` and ``code``.
        """
        ...

    async def states_of(self, calls: Sequence[Call]) -> Mapping[int, Sequence[tuple[int, DeliveryState]]]:
        """Return the ids and states of the deliveries of each call that has one, by the call's ``seq``."""
        ...

    async def tally(self, account_id: str | None, since: float, most: int) -> Tally:
        """Count what an account has, or all have; the minutes since that moment, and at most the newest ``most`` calls
        and as many deliveries.
        """
        ...

    async def pending(self, limit: int) -> Sequence[Delivery]:
        """Return deliveries that are pending, in order of their ids, whether they are listed or not."""
        ...

    async def change_delivery(
        self, delivery_id: int, decide: Callable[[Delivery, Call, Account], Delivery]
    ) -> tuple[Delivery, Delivery]:
        """Change a delivery; return it before and after. A claim on it is void then."""
        ...

    async def counts(self) -> Counts:
        """Return how many deliveries and calls there are."""
        ...

    # Due work: calls to end at ``ends_at``, and pending deliveries to send at ``due_at``

    async def claim(
        self,
        until: float,
        prepare: Callable[[Delivery, Call, Account], Delivery],
        *,
        lease_s: float,
        limit: int,
        account_id: str | None = None,
        newest_call: int | None = None,
        under_way: Mapping[str, int],
        per_host: int,
    ) -> Claimed:
        """Claim at most ``limit`` pieces of work that is due by ``until``, of one account or of all, for ``lease_s``
        seconds. No other process can claim it in that time.

        ``prepare`` renders the CDR of each delivery, which is kept. Work of calls that were placed after the one whose
        ``seq`` is ``newest_call`` is not claimed. Neither are deliveries to a host (``host_of``) that already has
        ``per_host`` attempts in flight, including those claimed here; ``under_way`` counts the others.
        """
        ...

    async def is_held(self, until: float, newest_call: int) -> bool:
        """Return whether other processes may have claimed work that is due by ``until``, of calls up to that one."""
        ...

    async def backlog(self, now: float) -> Backlog:
        """Return how many due deliveries are not claimed."""
        ...

    async def renew(self, delivery_ids: Collection[int], lease_s: float) -> None:
        """Extend the claims on deliveries by ``lease_s`` seconds from now."""

    async def settle(
        self, claimed: Delivery, now: float, decide: Callable[[Delivery, Account], tuple[Delivery, Account]]
    ) -> Settled:
        """Record the result of an attempt: change a delivery and its account. End the claim on the delivery if it is
        still due as when it was ``claimed``. If it is no longer pending, make the delivery that waited for it due at
        ``now``.
        """
        ...


class Clock(Protocol):
    """The time, of which each account may have its own. ``is_shared`` if all have the same."""

    is_shared: bool

    def now(self, account_id: str | None) -> float:
        """Return seconds since the epoch, for an account or, with None, for none of them; it never goes back."""
        ...

    def move(self, account_id: str | None, seconds: float) -> None:
        """Put the account's time forward."""

    def begin_again(self, account_id: str) -> None:
        """Let the time of a closed account begin again, if it has its own."""

    def reach(self, account_id: str | None, moment: float) -> None:
        """Put a time that stands still forward to the moment, if it is not later already."""


class Worker(Protocol):
    """Ends calls and sends CDRs when they are due. Its methods return at once."""

    def wake(self, account_id: str, due_at: float) -> None:
        """Look for due work of the account at that moment."""

    def expect_attempt(self, verification_call_uuid: str) -> Awaitable[None]:
        """Return an awaitable that is done when a CDR of the call was tried, or will not be. To be called on the event
        loop.
        """
        ...

    async def advance(self, seconds: float, account_id: str | None = None) -> None:
        """Put the time forward: that of an account that has its own, or with None that of all. Return when the work
        that falls due on the way is done.

        Refusal if that does not end, or if the server stops meanwhile.
        """

    def forget(self, account_id: str | None = None) -> None:
        """End all waits for the work of a closed account or, with None, all waits, because everything was forgotten."""
