"""State in a database, which is kept when the process ends. A step is statements in a transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from pytest_mcn_mock.errors import Conflict
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import NEXT_CALL, Delivery, DeliveryState, is_still_due, without_answer
from pytest_mcn_mock.model.money import Entry, EntryKind
from pytest_mcn_mock.service.ports import (
    AccountDecision,
    AccountSnapshot,
    AccountState,
    Backlog,
    CallDecision,
    Claimed,
    Counts,
    Due,
    Ended,
    Posting,
    Settled,
)
from pytest_mcn_mock.storage import MAX_ANSWERS_SIZE, Room, no_account, no_call, no_delivery
from pytest_mcn_mock.storage.tables import (
    IS_PENDING,
    ZERO,
    accounts,
    call_values,
    calls,
    decode_account,
    decode_call,
    decode_delivery,
    deliveries,
    delivery_values,
    encode,
    entry_of,
    ledger,
    new_delivery,
    numbers,
    state_of,
    taken_ids,
    totals,
)
from pytest_mcn_mock.storage.transactions import Statements, Step, Transactions

_ALL_CALLS: Final = 2**62

# Statements, each written once: SQLAlchemy finds what it has compiled by the statement


def _sum(column: Any) -> Any:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


_ID: Any = bindparam("key")
_STATE = select(accounts.c.data, *totals.c).join_from(accounts, totals, totals.c.account_id == accounts.c.id)
_PENDING = select(_sum(totals.c.pending)).where(totals.c.pending > ZERO)
_UNLISTED = select(_sum(totals.c.unlisted)).where(totals.c.unlisted > ZERO)

_READ_ACCOUNT: Final = _STATE.where(accounts.c.id == _ID)
_LOCK_ACCOUNT: Final = _READ_ACCOUNT.with_for_update()
_READ_ACCOUNTS: Final = _STATE.where(accounts.c.seq > bindparam("after")).order_by(accounts.c.seq).limit(bindparam("n"))
_READ_TOKEN: Final = select(accounts.c.data).where(accounts.c.token == _ID)
_READ_TAKEN: Final = select(taken_ids.c.id).where(taken_ids.c.id == _ID)
_READ_NUMBERS: Final = select(numbers)
_READ_COUNTS: Any = select(
    _PENDING.scalar_subquery().label("pending"), _UNLISTED.scalar_subquery().label("unlisted"), numbers.c.dropped
)
_READ_TO_PLACE: Final = (
    select(
        accounts.c.data,
        *totals.c,
        numbers.c.calls.label("calls_placed"),
        numbers.c.deliveries.label("deliveries_made"),
        numbers.c.listed.label("all_listed"),
        numbers.c.dropped,
        _PENDING.scalar_subquery().label("all_pending"),
        _UNLISTED.scalar_subquery().label("all_unlisted"),
    )
    .select_from(accounts.join(totals, totals.c.account_id == accounts.c.id).join(numbers, true()))
    .where(accounts.c.id == _ID)
    .with_for_update()
)
_READ_LEDGER: Final = select(ledger).where(ledger.c.account_id == _ID).order_by(ledger.c.n)
_READ_CALL: Final = select(calls).where(calls.c.verification_call_uuid == _ID)
_READ_ANSWERED: Final = select(
    calls.c.seq,
    calls.c.state,
    calls.c.ends_at,
    select(func.min(deliveries.c.due_at))
    .where(deliveries.c.call_seq == calls.c.seq, deliveries.c.lease_until.is_(None))
    .scalar_subquery()
    .label("due_at"),
).where(calls.c.verification_call_uuid == _ID)
_READ_OLDEST: Final = (
    select(calls.c.seq, calls.c.account_id, calls.c.state).where(calls.c.is_listed).order_by(calls.c.seq).limit(1)
)
_READ_DELIVERY: Final = select(deliveries.c.data).where(deliveries.c.id == _ID)
_READ_DELIVERIES_OF: Final = (
    select(deliveries.c.data, deliveries.c.lease_until).where(deliveries.c.call_seq == _ID).order_by(deliveries.c.id)
)
_READ_PENDING: Final = select(deliveries.c.data).where(IS_PENDING).order_by(deliveries.c.id).limit(bindparam("n"))
_READ_PENDING_OF: Final = select(deliveries.c.id).where(deliveries.c.call_seq == _ID, IS_PENDING).limit(1)
_DELIVERY_STEP: Final = (
    select(
        deliveries,
        calls.c.state.label("call_state"),
        calls.c.is_listed,
        calls.c.data.label("call"),
        accounts.c.data.label("account"),
    )
    .select_from(deliveries, calls, accounts)
    .where(calls.c.seq == deliveries.c.call_seq, accounts.c.id == deliveries.c.account_id)
)
_LOCK_DELIVERY: Final = _DELIVERY_STEP.where(deliveries.c.id == _ID).with_for_update()
_READ_FOLLOWERS: Final = _DELIVERY_STEP.where(
    deliveries.c.account_id == _ID,
    deliveries.c.waits_for.in_([NEXT_CALL, bindparam("id")]),
    IS_PENDING,
    or_(
        deliveries.c.waits_for == bindparam("id"),
        and_(deliveries.c.call_seq != bindparam("call_seq"), deliveries.c.is_answered, calls.c.state == "completed"),
    ),
)
_READ_BACKLOG: Any = select(func.count().label("waiting"), func.min(deliveries.c.due_at).label("oldest")).where(
    deliveries.c.due_at <= bindparam("until"),
    deliveries.c.is_answered,
    or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until <= bindparam("now")),
)
_HAS_ANSWERS = deliveries.c.answers_size > ZERO
_READ_ANSWERS_SIZE: Final = select(_sum(deliveries.c.answers_size)).where(_HAS_ANSWERS)
_READ_OLDEST_ANSWERS: Final = (
    select(deliveries.c.id, deliveries.c.answers_size, deliveries.c.data)
    .where(_HAS_ANSWERS)
    .order_by(deliveries.c.touched_at, deliveries.c.id)
    .limit(1)
)

_WRITE_ACCOUNT: Final = update(accounts).where(accounts.c.id == _ID)
_WRITE_TOTALS: Final = update(totals).where(totals.c.account_id == _ID)
_ADD_TO_TOTALS: Final = _WRITE_TOTALS.values(
    pending=totals.c.pending + bindparam("more_pending"),
    listed=totals.c.listed + bindparam("more_listed"),
    unlisted=totals.c.unlisted + bindparam("more_unlisted"),
)
_POST_CHARGE: Final = _WRITE_TOTALS.values(
    accepted_calls=totals.c.accepted_calls + 1,
    pending=totals.c.pending + bindparam("more_pending"),
    listed=totals.c.listed + 1,
)
_WRITE_NUMBERS: Final = update(numbers)
_LIST_FEWER: Final = _WRITE_NUMBERS.values(listed=numbers.c.listed - bindparam("fewer"))
_WRITE_CALL: Final = update(calls).where(calls.c.seq == _ID)
_WRITE_DELIVERY: Final = update(deliveries).where(deliveries.c.id == _ID)
_ANSWER_DELIVERIES: Final = update(deliveries).where(deliveries.c.call_seq == _ID).values(is_answered=True)
_RENEW: Final = _WRITE_DELIVERY.where(deliveries.c.lease_until.is_not(None))
_RESUME: Final = [
    update(table)
    .where(or_(table.c.lease_until.is_not(None), table.c.is_answered.is_(False)))
    .values(lease_until=None, is_answered=True)
    for table in (calls, deliveries)
]
_DROP_CALL: Final = delete(calls).where(calls.c.seq == _ID)
_DROP_DELIVERY: Final = delete(deliveries).where(deliveries.c.id == _ID)
_DROP_DELIVERIES: Final = delete(deliveries).where(deliveries.c.call_seq == _ID)
_FORGET_ACCOUNT: Final = [
    delete(deliveries).where(deliveries.c.account_id == _ID),
    delete(calls).where(calls.c.account_id == _ID),
    delete(ledger).where(ledger.c.account_id == _ID),
    delete(totals).where(totals.c.account_id == _ID),
    delete(accounts).where(accounts.c.id == _ID),
]
_FORGET_ALL: Final = [delete(table) for table in (deliveries, calls, ledger, totals, accounts, taken_ids)]
_INSERT: Final = {table: insert(table) for table in (accounts, totals, taken_ids, ledger, calls, deliveries)}
_DROP_ENTRIES: Final = delete(ledger).where(ledger.c.account_id == _ID, ledger.c.n < bindparam("first"))
_BRING_FORWARD: Final = (
    update(ledger)
    .where(ledger.c.account_id == _ID, ledger.c.n == bindparam("first"))
    .values(kind=EntryKind.BROUGHT_FORWARD.value, kopecks=ledger.c.balance, verification_call_uuid=None)
)


@cache
def _page(table: Table, *, of_account: bool, newest_first: bool) -> Select[Any]:
    """Return the query for listed calls, or for their deliveries."""
    number = calls.c.seq if table is calls else deliveries.c.id
    query = select(table.c.data).limit(bindparam("n"))
    if table is calls:
        query = query.where(calls.c.is_listed)
    else:
        query = query.where(exists().where(calls.c.seq == deliveries.c.call_seq, calls.c.is_listed))
    if of_account:
        query = query.where(table.c.account_id == _ID)
    if newest_first:
        return query.where(number < bindparam("after")).order_by(number.desc())
    return query.where(number > bindparam("after")).order_by(number)


def _can_be_claimed(table: Table, *, of_account: bool) -> Any:
    is_free = or_(table.c.lease_until.is_(None), table.c.lease_until <= bindparam("now"))
    return and_(table.c.is_answered, is_free, *([table.c.account_id == _ID] if of_account else []))


@cache
def _next_due(*, of_account: bool, has_full_hosts: bool) -> Select[Any]:
    """Return the query for the next moments at which a call has to be ended and a delivery has to be sent. A delivery
    that is due already and has no room does not count.
    """
    call = select(calls.c.ends_at).where(calls.c.ends_at.is_not(None), _can_be_claimed(calls, of_account=of_account))
    delivery = select(deliveries.c.due_at).where(
        deliveries.c.due_at.is_not(None), _can_be_claimed(deliveries, of_account=of_account)
    )
    if has_full_hosts:
        has_room = deliveries.c.host.not_in(bindparam("full", expanding=True))
        delivery = delivery.where(or_(has_room, deliveries.c.due_at > bindparam("until")))
    return select(
        call.order_by(calls.c.ends_at).limit(1).scalar_subquery().label("call"),
        delivery.order_by(deliveries.c.due_at).limit(1).scalar_subquery().label("delivery"),
    )


@cache
def _waiting_for_room(*, of_account: bool) -> Select[Any]:
    """Return the query for a delivery that is due, and is left because its host has no room."""
    return (
        select(deliveries.c.id)
        .where(
            deliveries.c.due_at <= bindparam("until"),
            deliveries.c.host.in_(bindparam("full", expanding=True)),
            _can_be_claimed(deliveries, of_account=of_account),
        )
        .limit(1)
    )


@cache
def _due_calls(*, of_account: bool) -> Select[Any]:
    return (
        select(
            calls.c.seq, calls.c.ends_at.label("due_at"), calls.c.data.label("call"), accounts.c.data.label("account")
        )
        .select_from(calls, accounts)
        .where(
            accounts.c.id == calls.c.account_id,
            _can_be_claimed(calls, of_account=of_account),
            calls.c.ends_at <= bindparam("until"),
            calls.c.seq <= bindparam("newest"),
        )
        .order_by(calls.c.ends_at, calls.c.seq)
        .limit(bindparam("n"))
    )


@cache
def _due_deliveries(*, of_account: bool, has_exceptions: bool) -> Select[Any]:
    query = (
        select(
            deliveries.c.id,
            deliveries.c.due_at,
            deliveries.c.host,
            deliveries.c.data,
            calls.c.data.label("call"),
            accounts.c.data.label("account"),
        )
        .select_from(deliveries, calls, accounts)
        .where(
            calls.c.seq == deliveries.c.call_seq,
            accounts.c.id == deliveries.c.account_id,
            _can_be_claimed(deliveries, of_account=of_account),
            deliveries.c.due_at <= bindparam("until"),
            deliveries.c.call_seq <= bindparam("newest"),
        )
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(bindparam("n"))
    )
    if has_exceptions:
        query = query.where(
            deliveries.c.host.not_in(bindparam("full", expanding=True)),
            deliveries.c.id.not_in(bindparam("taken", expanding=True)),
        )
    return query


def _check(step: Statements, given: Row[Any]) -> None:
    """Raise ValueError if a value cannot be read, belongs to nothing, or if money does not add up."""
    if not all(isinstance(number, int) for number in given):
        raise ValueError("it has lost count of what it has")
    balances = {}
    for row in step.rows(_STATE):
        decode_account.__wrapped__(row.data)
        balances[row.account_id] = row
    sums: dict[str, tuple[int, int]] = {}
    for row in step.rows(select(ledger).order_by(ledger.c.account_id, ledger.c.n)):
        owner = _owner(balances, row.account_id)
        n, balance = sums.get(row.account_id, (owner.first_entry - 1, 0))
        sums[row.account_id] = n, balance = n + 1, balance + row.kopecks
        EntryKind(row.kind)
        if (row.n, row.balance) != (n, balance):
            raise ValueError(f"the ledger of account {row.account_id} does not add up at entry {row.n}")
    for account_id, owner in balances.items():
        if account_id not in sums:
            raise ValueError(f"account {account_id} has no ledger")
        if sums[account_id] != (owner.last_entry, owner.balance):
            raise ValueError(f"the ledger of account {account_id} does not add up to its balance")
    owners = {}
    for row in step.rows(select(calls.c.seq, calls.c.account_id, calls.c.data)):
        _owner(balances, row.account_id)
        decode_call(row.data)
        owners[row.seq] = True
    for row in step.rows(select(deliveries.c.call_seq, deliveries.c.data)):
        _owner(owners, row.call_seq)
        decode_delivery(row.data)


def _owner(owners: Mapping[Any, Any], key: Any) -> Any:
    try:
        return owners[key]
    except KeyError:
        raise ValueError(f"a row belongs to {key!r}, which is not there") from None


def _count_pending(items: Sequence[Delivery]) -> int:
    return sum(delivery.state is DeliveryState.PENDING for delivery in items)


def _number(items: Sequence[Delivery], made: int) -> tuple[list[Delivery], int]:
    """Number the deliveries that have no number after those that have one; return them and the last number given."""
    made = max(made, *(delivery.id for delivery in items), 0)
    numbered = []
    for delivery in items:
        if not delivery.id:
            made += 1
            delivery = replace(delivery, id=made)  # noqa: PLW2901 - the numbered one takes its place
        numbered.append(delivery)
    return numbered, made


class SqlStorage(Transactions):
    """Implements ``service.ports.Storage``, where each method is described, in the database that the URL names.

    ``journal_size`` bounds the calls that are listed, and each account's ledger entries, as in memory.

    Raise ConfigError if the URL is wrong or its database cannot be used.
    """

    def __init__(self, url: str, journal_size: int) -> None:
        self._journal_size = journal_size
        self._answers_size = 0
        self.latest = 0.0
        super().__init__(url, self._load)

    # Opening

    def _load(self, step: Statements) -> None:
        """Check what is there, and fit it into the journal. ValueError if it is damaged."""
        if (given := step.first(_READ_NUMBERS)) is None:
            if step.first(select(accounts.c.id).limit(1)) is not None:
                raise ValueError("it has lost count of what it has")
            step.write(insert(numbers), dict.fromkeys(numbers.c.keys(), 0))
            given = step.first(_READ_NUMBERS)
        _check(step, given)
        moments = [
            func.max(column) for column in (ledger.c.at, calls.c.placed_at, calls.c.ended_at, deliveries.c.touched_at)
        ]
        self.latest = max(0.0, *(step.first(select(moment))[0] or 0.0 for moment in moments))
        self._answers_size = step.first(_READ_ANSWERS_SIZE)[0]
        for row in step.rows(select(totals.c.account_id, totals.c.first_entry, totals.c.last_entry)):
            first = self._fold(step, row.account_id, row.first_entry, row.last_entry)
            if first != row.first_entry:
                step.write(_WRITE_TOTALS, {"key": row.account_id, "first_entry": first})
        listed, dropped = given.listed, given.dropped
        while listed > self._journal_size:
            self._unlist_oldest(step)
            listed, dropped = listed - 1, dropped + 1
        step.write(_WRITE_NUMBERS, {"listed": listed, "dropped": dropped})

    async def resume(self) -> None:
        with self.step() as step:
            for statement in _RESUME:
                step.write(statement)
        await step.kept()

    async def reset(self, accounts: Sequence[tuple[Account, int]], at: float) -> None:
        with self.step() as step:
            for statement in _FORGET_ALL:
                step.write(statement)
            step.write(_WRITE_NUMBERS, {"listed": 0})
            for account, opening in accounts:
                self._open(step, account, opening, at)
        await step.kept()

    # Accounts

    async def open_account(self, account: Account, opening: int, at: float) -> Account:
        with self.step() as step:
            opened = self._open(step, account, opening, at)
        await step.kept()
        return opened

    def _open(self, step: Step, account: Account, opening: int, at: float) -> Account:
        if step.first(_READ_TAKEN, key=account.id) is not None:
            raise Conflict(f"account {account.id} exists already, or did; choose another id")
        if step.first(_READ_TOKEN, key=account.token) is not None:
            raise Conflict(f"the token of account {account.id} is another account's; a token names one account")
        opened = replace(account, seq=step.first(_READ_NUMBERS).accounts + 1)
        row = {"id": opened.id, "seq": opened.seq, "token": opened.token, "data": encode(opened)}
        step.write(_WRITE_NUMBERS, {"accounts": opened.seq})
        step.write(_INSERT[accounts], row)
        step.write(_INSERT[taken_ids], {"id": opened.id})
        step.write(
            _INSERT[totals],
            {
                "account_id": opened.id,
                "accepted_calls": 0,
                "balance": opening,
                "first_entry": 1,
                "last_entry": 1,
                "pending": 0,
                "listed": 0,
                "unlisted": 0,
            },
        )
        self._post(step, opened.id, 1, opening, Posting(EntryKind.OPENING, opening, at))
        return opened

    def _post(
        self, step: Statements, account_id: str, n: int, balance: int, posting: Posting, uuid: str | None = None
    ) -> None:
        step.write(
            _INSERT[ledger],
            {
                "account_id": account_id,
                "n": n,
                "kind": posting.kind.value,
                "kopecks": posting.kopecks,
                "balance": balance,
                "at": posting.at,
                "verification_call_uuid": uuid,
            },
        )

    def _fold(self, step: Statements, account_id: str, first: int, last: int) -> int:
        """Fold the oldest entries into one if there are too many; return the number of the first one."""
        least = last - max(self._journal_size, 2) + 1
        if first >= least:
            return first
        step.write(_DROP_ENTRIES, {"key": account_id, "first": least})
        step.write(_BRING_FORWARD, {"key": account_id, "first": least})
        return least

    async def close_account(self, account_id: str) -> None:
        with self.step() as step:
            row = step.first(_LOCK_ACCOUNT, key=account_id)
            if row is None:
                raise no_account(account_id)
            if row.listed:
                step.write(_LIST_FEWER, {"fewer": row.listed})
            for statement in _FORGET_ACCOUNT:
                step.write(statement, {"key": account_id})
        await step.kept()

    async def change_account(
        self, account_id: str, decide: Callable[[Account, int], AccountDecision]
    ) -> tuple[AccountState, AccountState]:
        with self.step() as step:
            row = step.first(_LOCK_ACCOUNT, key=account_id)
            if row is None:
                raise no_account(account_id)
            before = state_of(row)
            account, posting = decide(*before)
            self._write_account(step, before.account, account)
            balance = before.balance
            if posting is not None:
                balance += posting.kopecks
                n = row.last_entry + 1
                self._post(step, account_id, n, balance, posting)
                first = self._fold(step, account_id, row.first_entry, n)
                step.write(
                    _WRITE_TOTALS, {"key": account_id, "balance": balance, "first_entry": first, "last_entry": n}
                )
        await step.kept()
        return before, AccountState(account, balance)

    def _write_account(self, step: Step, before: Account, account: Account) -> None:
        if account is not before:
            step.write(_WRITE_ACCOUNT, {"key": account.id, "data": encode(account)})

    async def account(self, account_id: str) -> AccountState:
        row = await self.kept_first(_READ_ACCOUNT, key=account_id)
        if row is None:
            raise no_account(account_id)
        return state_of(row)

    async def account_of_token(self, token: str) -> Account | None:
        row = self.first(_READ_TOKEN, key=token)
        return None if row is None else decode_account(row.data)

    async def is_taken(self, account_id: str) -> bool:
        return self.first(_READ_TAKEN, key=account_id) is not None

    async def accounts(self, after: int, limit: int) -> Sequence[AccountState]:
        return [state_of(row) for row in await self.kept_rows(_READ_ACCOUNTS, after=after, n=limit)]

    async def ledger(self, account_id: str) -> Sequence[Entry]:
        rows = await self.kept_rows(_READ_LEDGER, key=account_id)
        if not rows:
            raise no_account(account_id)
        return tuple(entry_of(row) for row in rows)

    # Calls and deliveries

    async def place(self, account_id: str, decide: Callable[[AccountSnapshot], CallDecision]) -> CallDecision:
        with self.step() as step:
            row = step.first(_READ_TO_PLACE, key=account_id)
            if row is None:
                raise no_account(account_id)
            account = decode_account(row.data)
            decided = decide(
                AccountSnapshot(
                    account,
                    row.balance,
                    row.accepted_calls,
                    row.calls_placed + 1,
                    row.deliveries_made + 1,
                    row.all_pending,
                    row.all_unlisted,
                )
            )
            call = decided.call
            numbered, made = _number(decided.deliveries, row.deliveries_made)
            values = {
                "seq": call.seq,
                "verification_call_uuid": call.verification_call_uuid,
                "account_id": account_id,
                "placed_at": call.placed_at,
                "is_answered": False,
                "is_listed": True,
                **call_values(call),
            }
            new = [new_delivery(delivery, call, is_answered=False) for delivery in numbered]
            step.write(_INSERT[calls], values)
            if new:
                step.write(_INSERT[deliveries], new)
            balance, n = row.balance - call.price, row.last_entry + 1
            charge = Posting(EntryKind.CHARGE, -call.price, call.placed_at)
            self._post(step, account_id, n, balance, charge, call.verification_call_uuid)
            step.write(
                _POST_CHARGE,
                {
                    "key": account_id,
                    "balance": balance,
                    "first_entry": self._fold(step, account_id, row.first_entry, n),
                    "last_entry": n,
                    "more_pending": _count_pending(numbered),
                },
            )
            self._write_account(step, account, decided.account)
            listed, dropped = row.all_listed + 1, row.dropped
            if listed > self._journal_size:
                self._unlist_oldest(step)
                listed, dropped = listed - 1, dropped + 1
            step.write(_WRITE_NUMBERS, {"calls": call.seq, "deliveries": made, "listed": listed, "dropped": dropped})
        await step.kept()
        return CallDecision(call, numbered, decided.account)

    def _unlist_oldest(self, step: Statements) -> None:
        oldest = step.first(_READ_OLDEST)
        self._add_to_totals(step, oldest.account_id, listed=-1, unlisted=1)
        step.write(_WRITE_CALL, {"key": oldest.seq, "is_listed": False})
        if oldest.state == "completed":
            self._drop_if_settled(step, oldest.seq, oldest.account_id)

    def _drop_if_settled(self, step: Statements, call_seq: int, account_id: str) -> None:
        """Drop a call that has ended and is listed no more, if none of its deliveries is pending."""
        if step.first(_READ_PENDING_OF, key=call_seq) is not None:
            return
        step.write(_DROP_DELIVERIES, {"key": call_seq})
        step.write(_DROP_CALL, {"key": call_seq})
        self._add_to_totals(step, account_id, unlisted=-1)

    def _add_to_totals(
        self, step: Statements, account_id: str, *, pending: int = 0, listed: int = 0, unlisted: int = 0
    ) -> None:
        if pending or listed or unlisted:
            more = {"more_pending": pending, "more_listed": listed, "more_unlisted": unlisted}
            step.write(_ADD_TO_TOTALS, {"key": account_id, **more})

    async def answered(self, verification_call_uuid: str) -> float | None:
        with self.step() as step:
            row = step.first(_READ_ANSWERED, key=verification_call_uuid)
            if row is None:
                return None
            # A call that rings gives its deliveries this mark when it ends; one that has ended needs it no more.
            if row.state == "completed":
                step.write(_ANSWER_DELIVERIES, {"key": row.seq})
            else:
                step.write(_WRITE_CALL, {"key": row.seq, "is_answered": True})
        await step.kept()
        due_at: float | None = row.due_at if row.state == "completed" else row.ends_at
        return due_at

    async def end_call(
        self, verification_call_uuid: str, decide: Callable[[Call, Sequence[Delivery]], Ended]
    ) -> Ended | None:
        with self.step() as step:
            row = step.first(_READ_CALL, key=verification_call_uuid)
            if row is None or row.state == "completed":
                return None
            before = {}
            for delivery_row in step.rows(_READ_DELIVERIES_OF, key=row.seq):
                delivery = decode_delivery(delivery_row.data)
                before[delivery.id] = delivery
            call, decided = decide(decode_call(row.data), list(before.values()))
            after = list(decided)
            if not all(delivery.id for delivery in after):
                after, made = _number(after, step.first(_READ_NUMBERS).deliveries)
                step.write(_WRITE_NUMBERS, {"deliveries": made})
            step.write(_WRITE_CALL, {"key": row.seq, "lease_until": None, **call_values(call)})
            changed = [
                {"key": d.id, "is_answered": row.is_answered, **delivery_values(d, has_ended=True)}
                for d in after
                if d.id in before
            ]
            new = [new_delivery(d, call, is_answered=row.is_answered) for d in after if d.id not in before]
            for dropped in before.keys() - {d.id for d in after}:
                step.write(_DROP_DELIVERY, {"key": dropped})
            if changed:
                step.write(_WRITE_DELIVERY, changed)
            if new:
                step.write(_INSERT[deliveries], new)
            more = _count_pending(after) - _count_pending(list(before.values()))
            self._add_to_totals(step, row.account_id, pending=more)
            if not row.is_listed:
                self._drop_if_settled(step, row.seq, row.account_id)
        await step.kept()
        return Ended(call, after)

    async def call(self, verification_call_uuid: str) -> Call:
        row = await self.kept_first(_READ_CALL, key=verification_call_uuid)
        if row is None:
            raise no_call(verification_call_uuid)
        return decode_call(row.data)

    async def calls(
        self, account_id: str | None, after: int, limit: int, *, newest_first: bool = False
    ) -> Sequence[Call]:
        rows = await self._page(calls, account_id, after, limit, newest_first=newest_first)
        return [decode_call(row.data) for row in rows]

    async def delivery(self, delivery_id: int) -> Delivery:
        row = await self.kept_first(_READ_DELIVERY, key=delivery_id)
        if row is None:
            raise no_delivery(delivery_id)
        return decode_delivery(row.data)

    async def deliveries_of(self, verification_call_uuid: str) -> Sequence[Delivery]:
        row = await self.kept_first(_READ_CALL, key=verification_call_uuid)
        if row is None:
            raise no_call(verification_call_uuid)
        return tuple(decode_delivery(found.data) for found in await self.kept_rows(_READ_DELIVERIES_OF, key=row.seq))

    async def deliveries(
        self, account_id: str | None, after: int, limit: int, *, newest_first: bool = False
    ) -> Sequence[Delivery]:
        rows = await self._page(deliveries, account_id, after, limit, newest_first=newest_first)
        return [decode_delivery(row.data) for row in rows]

    async def _page(
        self, table: Table, account_id: str | None, after: int, limit: int, *, newest_first: bool
    ) -> Sequence[Row[Any]]:
        if newest_first and not after:
            after = _ALL_CALLS
        query = _page(table, of_account=account_id is not None, newest_first=newest_first)
        key = {} if account_id is None else {"key": account_id}
        rows = await self.kept_rows(query, after=after, n=limit, **key)
        if not rows and account_id is not None:
            await self.account(account_id)
        return rows

    async def pending(self, limit: int) -> Sequence[Delivery]:
        return [decode_delivery(row.data) for row in await self.kept_rows(_READ_PENDING, n=limit)]

    async def change_delivery(
        self, delivery_id: int, decide: Callable[[Delivery, Call, Account], Delivery]
    ) -> tuple[Delivery, Delivery]:
        with self.step() as step:
            row = self._lock_delivery(step, delivery_id)
            before = decode_delivery(row.data)
            changed = decide(before, decode_call(row.call), decode_account(row.account))
            self._write_delivery(step, row, before, changed, voids_claim=not is_still_due(changed, before))
        await step.kept()
        return before, changed

    def _lock_delivery(self, step: Step, delivery_id: int) -> Any:
        row = step.first(_LOCK_DELIVERY, key=delivery_id)
        if row is None:
            raise no_delivery(delivery_id)
        return row

    def _write_delivery(self, step: Step, row: Any, before: Delivery, changed: Delivery, *, voids_claim: bool) -> None:
        values = delivery_values(changed, has_ended=row.call_state == "completed")
        step.write(_WRITE_DELIVERY, {"key": row.id, "lease_until": None if voids_claim else row.lease_until, **values})
        more = _count_pending((changed,)) - _count_pending((before,))
        self._add_to_totals(step, row.account_id, pending=more)
        self._answers_size += values["answers_size"] - row.answers_size
        if not row.is_listed and row.call_state == "completed":
            self._drop_if_settled(step, row.call_seq, row.account_id)

    async def counts(self) -> Counts:
        return Counts(*(await self.kept_first(_READ_COUNTS)))

    # Due work

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
        now = time.time()
        room = Room(under_way, per_host)
        scope = {"now": now} if account_id is None else {"now": now, "key": account_id}
        bounds = {**scope, "until": until, "newest": _ALL_CALLS if newest_call is None else newest_call}
        with self.step() as step:
            next_call, next_delivery = self._next_due(step, scope, until, room.full)
            to_end = []
            if next_call is not None and next_call <= until:
                to_end = list(step.rows(_due_calls(of_account=account_id is not None), n=limit, **bounds))
            to_send = []
            if next_delivery is not None and next_delivery <= until:
                to_send = self._due_deliveries(step, bounds, limit, room)
            # In the order in which they are due; a call goes before a delivery.
            taken = sorted([*to_end, *to_send], key=lambda row: row.due_at)[:limit]
            room = Room(under_way, per_host)
            work: list[Due] = []
            leased_calls: list[dict[str, Any]] = []
            leased: list[dict[str, Any]] = []
            for row in taken:
                account, call = decode_account(row.account), decode_call(row.call)
                if hasattr(row, "seq"):
                    work.append(Due(row.due_at, account, call))
                    leased_calls.append({"key": row.seq, "lease_until": now + lease_s})
                    continue
                room.take(row.host)
                delivery = prepare(decode_delivery(row.data), call, account)
                work.append(Due(row.due_at, account, call, delivery))
                leased.append({"key": row.id, "lease_until": now + lease_s, "data": encode(delivery)})
            if leased_calls:
                step.write(_WRITE_CALL, leased_calls)
            if leased:
                step.write(_WRITE_DELIVERY, leased)
            if work:
                next_call, next_delivery = self._next_due(step, scope, until, room.full)
            full = {"full": list(room.full)}
            waiting = _waiting_for_room(of_account=account_id is not None) if room.full else None
            lacks_room = waiting is not None and step.first(waiting, **scope, **full, until=until) is not None
        await step.kept()
        next_due_at = min((due for due in (next_call, next_delivery) if due is not None), default=None)
        return Claimed(work, next_due_at, lacks_room)

    def _next_due(self, step: Step, scope: Mapping[str, Any], until: float, full: Collection[str]) -> Any:
        query = _next_due(of_account="key" in scope, has_full_hosts=bool(full))
        return step.first(query, **scope, **({"full": list(full), "until": until} if full else {}))

    def _due_deliveries(self, step: Step, bounds: Mapping[str, Any], limit: int, room: Room) -> list[Row[Any]]:
        """Return deliveries that are due and have room. Those to a host that has become full make way for others."""
        taken: list[Row[Any]] = []
        while True:
            exceptions = {"full": list(room.full), "taken": [row.id for row in taken]} if taken or room.full else {}
            query = _due_deliveries(of_account="key" in bounds, has_exceptions=bool(exceptions))
            wanted = limit - len(taken)
            found = step.rows(query, n=wanted, **bounds, **exceptions)
            for row in found:
                if room.has(row.host):
                    room.take(row.host)
                    taken.append(row)
            if len(found) < wanted or len(taken) == limit:
                return taken

    async def backlog(self, now: float) -> Backlog:
        return Backlog(*await self.kept_first(_READ_BACKLOG, until=now, now=time.time()))

    async def renew(self, delivery_ids: Collection[int], lease_s: float) -> None:
        if not delivery_ids:
            return
        until = time.time() + lease_s
        with self.step() as step:
            step.write(_RENEW, [{"key": delivery_id, "lease_until": until} for delivery_id in delivery_ids])
        await step.kept()

    async def settle(
        self, claimed: Delivery, now: float, decide: Callable[[Delivery, Account], tuple[Delivery, Account]]
    ) -> Settled:
        with self.step() as step:
            row = self._lock_delivery(step, claimed.id)
            before, account_before = decode_delivery(row.data), decode_account(row.account)
            changed, account = decide(before, account_before)
            self._write_account(step, account_before, account)
            ends_claim = is_still_due(before, claimed) or not is_still_due(changed, before)
            self._write_delivery(step, row, before, changed, voids_claim=ends_claim)
            is_settled = before.state is DeliveryState.PENDING and changed.state is not DeliveryState.PENDING
            follower_due_at = self._follow(step, row, now) if is_settled else None
            if self._answers_size > MAX_ANSWERS_SIZE:
                self._forget_answers(step)
        await step.kept()
        return Settled(before, changed, account_before, account, follower_due_at)

    def _follow(self, step: Step, settled: Any, now: float) -> float | None:
        """Make due what waited for the delivery; return when, None if nothing did."""
        followers = step.rows(_READ_FOLLOWERS, key=settled.account_id, call_seq=settled.call_seq, id=settled.id)
        for row in followers:
            before = decode_delivery(row.data)
            released = replace(before, due_at=now, waits_for=None)
            self._write_delivery(step, row, before, released, voids_claim=True)
        return now if followers else None

    def _forget_answers(self, step: Step) -> None:
        """Forget the oldest answers, until there is room for some time."""
        (self._answers_size,) = step.first(_READ_ANSWERS_SIZE)
        if self._answers_size <= MAX_ANSWERS_SIZE:
            return
        while self._answers_size > MAX_ANSWERS_SIZE * 7 // 8:
            row = step.first(_READ_OLDEST_ANSWERS)
            delivery = decode_delivery(row.data)
            for attempt in delivery.attempts:
                delivery = without_answer(delivery, attempt.number)
            step.write(_WRITE_DELIVERY, {"key": row.id, "answers_size": 0, "data": encode(delivery)})
            self._answers_size -= row.answers_size
