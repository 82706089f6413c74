"""What the operator needs from outside itself. Times are in seconds since the epoch, money in kopecks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from pytest_mcn_mock.errors import Overloaded
from pytest_mcn_mock.flow import Turn
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import Delivery
from pytest_mcn_mock.model.money import Entry, EntryKind
from pytest_mcn_mock.model.requests import ApiRequest

_T = TypeVar("_T")


class AccountSnapshot(NamedTuple):
    """How things stand when an order arrives: the account, its balance in kopecks, how many calls it has had accepted,
    and the numbers of the store's next call and next delivery.
    """

    account: Account
    balance: int
    accepted_calls: int
    next_call: int
    next_delivery: int


class CallDecision(Struct, frozen=True):
    """What was decided for an order: the call, the CDRs it owes, and the account as it is afterwards.

    The call has the number of the next one, and the deliveries those from the next one on, in order; one with the id 0
    is numbered after these.
    """

    call: Call
    deliveries: Sequence[Delivery]
    account: Account


class Clock(Protocol):
    """The time, of which each account may have its own. ``is_shared`` where all have the same."""

    is_shared: bool

    def now(self, account_id: str | None) -> float:
        """Seconds since the epoch, for an account or, with None, for none of them; it never goes back."""
        ...

    def move(self, account_id: str | None, seconds: float) -> None:
        """Put the account's time forward."""

    def reach(self, account_id: str, moment: float) -> None:
        """What was due at that moment happens now: it is that late, if it is not later already."""


class AccountStore(Protocol):
    """Accounts and their money."""

    def add(self, account: Account, opening: int, at: float) -> None:
        """Add an account with its opening balance; UsageError if its id or its token is taken."""

    def remove(self, account_id: str) -> None:
        """Remove an account with its calls and deliveries; its id is not given out again."""

    def is_taken(self, account_id: str) -> bool:
        """Whether an account has or had the id."""
        ...

    def clear(self) -> None:
        """Remove every account with its calls and deliveries. Every account id may be given out again; the numbers of
        calls and deliveries go on.
        """

    def get(self, account_id: str) -> Account:
        """The account; NotFound if there is none."""
        ...

    def of_token(self, token: str) -> Account | None:
        """The account that the token names."""
        ...

    def all(self) -> Sequence[Account]:
        """Every account, in order of opening."""
        ...

    def page(self, after: int, limit: int) -> Sequence[Account]:
        """Accounts in order of opening, behind the one whose ``seq`` is ``after``, 0 for the first."""
        ...

    def change(self, account_id: str, change: Callable[[Account], Account]) -> Account:
        """Replace the account by what ``change`` makes of it, in one atomic step."""
        ...

    def together(self) -> AbstractContextManager[object]:
        """Make one step of all steps within: nobody sees a part of them, and they are kept together or not at all."""
        ...

    def balance(self, account_id: str) -> int:
        """Kopecks."""
        ...

    def entries(self, account_id: str) -> Sequence[Entry]:
        """The account's ledger, oldest first; its sum is the balance."""
        ...

    def post(self, account_id: str, kind: EntryKind, amount: Callable[[int], int], at: float) -> int:
        """Add the entry whose kopecks ``amount`` makes of the balance, in one atomic step; return the new balance."""
        ...


class CallStore(Protocol):
    """Calls, and the CDRs they owe. A list is in order of arrival, or the newest first; ``after`` is the last one seen,
    0 for none.
    """

    def place(
        self, account_id: str, decide: Callable[[AccountSnapshot], CallDecision]
    ) -> tuple[Call, Sequence[Delivery]]:
        """One atomic step: let ``decide`` see how things stand, then charge and record the call and what it owes.

        Whatever ``decide`` raises leaves everything as it was.
        """
        ...

    def end(
        self, verification_call_uuid: str, end: Callable[[Call, Sequence[Delivery]], tuple[Call, Sequence[Delivery]]]
    ) -> tuple[Call, Sequence[Delivery]] | None:
        """One atomic step: replace the call and its deliveries by what ``end`` makes of them; a delivery with the id 0
        is a new one. None if the call had ended before, or is gone.
        """
        ...

    def get(self, verification_call_uuid: str) -> Call:
        """The call; NotFound if there is none."""
        ...

    def page(self, account_id: str | None, after: int, limit: int, *, newest_first: bool = False) -> Sequence[Call]:
        """Calls of an account, or of all."""
        ...

    def delivery(self, delivery_id: int) -> Delivery:
        """The delivery; NotFound if there is none."""
        ...

    def deliveries_of(self, verification_call_uuid: str) -> Sequence[Delivery]:
        """The deliveries of a call, a subscription each."""
        ...

    def page_of_deliveries(
        self, account_id: str | None, after: int, limit: int, *, newest_first: bool = False
    ) -> Sequence[Delivery]:
        """Deliveries of an account, or of all."""
        ...

    def change_delivery(self, delivery_id: int, change: Callable[[Delivery], Delivery]) -> Delivery:
        """Replace the delivery by what ``change`` makes of it, in one atomic step."""
        ...

    def settle(
        self, delivery_id: int, settle: Callable[[Delivery, Account], tuple[Delivery, Account]]
    ) -> tuple[Delivery, Account]:
        """Replace the delivery and its account by what ``settle`` makes of them, in one atomic step."""
        ...

    def pending(self) -> Sequence[Delivery]:
        """Every delivery that is still pending."""
        ...

    def ringing(self) -> Sequence[Call]:
        """Every call that has not ended."""
        ...

    def count_pending(self) -> int:
        """How many deliveries are still pending; asked for every call, also from within ``place``."""
        ...

    def count_unlisted(self) -> int:
        """How many calls are kept although the journal lists them no more: they ring, or owe a CDR."""
        ...

    def count_dropped(self) -> int:
        """How many calls are listed no more, because the journal was full."""
        ...


class Durability(Protocol):
    """Whether the state outlives the process.

    ``latest`` is the latest moment in what it was opened with. ``on_recovery`` is called once everything can be kept
    again, on any thread, to call ``reopen``; ``on_kept`` when something is kept that ``when_kept`` waits for, to call
    ``tell_kept``.
    """

    latest: float
    on_recovery: Callable[[], None]
    on_kept: Callable[[], None]

    @property
    def when_kept(self) -> Callable[[Callable[[], None]], None] | None:
        """Run a function once all that has changed so far is kept, and never if it could not be. None if nothing has
        to be kept: the function can run at once.
        """
        ...

    @property
    def failure(self) -> str | None:
        """Why nothing can be kept at the moment, and every step is refused; None if all is well."""
        ...

    def settled(self, delivery_id: int | None = None) -> Future[None] | None:
        """Done once all that has changed so far, or what made that delivery what it is, is kept; with StorageFailed
        where it could not be and did not happen. None where there is nothing to wait for.

        On the thread on which ``on_recovery`` ends in ``reopen`` it also tells of a failure since the change.
        """
        ...

    def reopen(self) -> None:
        """Take steps again, after a failure."""

    def tell_kept(self) -> None:
        """Run what ``when_kept`` was given and can run now, in order."""

    def close(self) -> None:
        """Keep what has changed, and let go of the place where it is kept."""


class Queue(Protocol):
    """Calls that wait until there is room for their CDRs; they are placed in the order in which they came."""

    def __len__(self) -> int:
        """How many wait."""
        ...

    def join(self, refusal: Overloaded, attempt: Callable[[], _T]) -> Turn[_T]:
        """What ``attempt`` returns or raises, once it raises no Overloaded; the refusal if that takes too long.

        Whoever gives up cancels the future: it is not attempted then. Raises the refusal where too many wait.
        """
        ...

    def refuse_all(self) -> None:
        """Whoever waits is refused."""

    def open(self) -> None:
        """The server starts, perhaps again: there may be waiting."""

    def close(self) -> None:
        """The server stops: whoever waits is refused, and nobody waits any more."""


class Courier(Protocol):
    """Carries out what is due. Its methods return at once and may be called from any thread.

    A delivery that was tried or sent again since it was handed over (``is_still_due``) is no longer due by that.
    """

    def end_call(self, call: Call) -> None:
        """End the call as planned when it is due."""

    def deliver(self, delivery: Delivery) -> None:
        """Try the delivery when it is due."""

    def forget(self, account_id: str) -> None:
        """The account is closed: nothing that was handed over for it is due any more."""

    def forget_all(self) -> None:
        """Nothing that was handed over before is due any more."""

    def start_waiting(self) -> None:
        """The server starts, perhaps again: the time can be put forward."""

    def stop_waiting(self) -> None:
        """The server stops: whoever waits for ``advance`` gets a Refusal, at once and from now on."""

    def advance(self, seconds: float, after: Future[None] | None = None) -> Future[None]:
        """Put the time forward for every account, ``after`` this is done or has taken too long; done once all that was
        handed over before and fell due has been tried, in order. It fails with a Refusal that says why if the server
        stops, or if what fell due does not end.
        """
        ...


Item = Call | Delivery | ApiRequest


class Observer(Protocol):
    """Hears of every change, after it was kept."""

    def changed(self, account_id: str, item: Item | None = None, before: Item | None = None) -> None:
        """A call, a delivery or a request of the account is now this or, with None, the account itself changed. The
        ``account_id`` is empty for a request to a path without one. ``before`` is what the call or the delivery was
        before, None for a new call.
        """

    def closed(self, account_id: str) -> None:
        """The account was closed, and all that was its own is forgotten."""

    def reset(self) -> None:
        """Everything was forgotten."""
