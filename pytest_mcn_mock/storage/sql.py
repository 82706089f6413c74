"""State in a database, which is kept when the process ends. A step is statements in a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Float,
    Integer,
    Row,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    extract,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    true,
    update,
)

from pytest_mcn_mock.errors import Conflict
from pytest_mcn_mock.model.accounts import Account
from pytest_mcn_mock.model.calls import Call
from pytest_mcn_mock.model.deliveries import NEXT_CALL, Delivery, DeliveryState, is_still_due, without_answer
from pytest_mcn_mock.model.money import Entry, EntryKind
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
    Posting,
    Settled,
    Tally,
)
from pytest_mcn_mock.storage import MAX_ANSWERS_SIZE, Room, no_account, no_call, no_delivery
from pytest_mcn_mock.storage.engine import Engine, Load, RowLocked, Statements, Step
from pytest_mcn_mock.storage.tables import (
    IS_PENDING,
    ZERO,
    account_values,
    accounts,
    as_array,
    call_values,
    calls,
    decode_account,
    decode_call,
    decode_delivery,
    deliveries,
    delivery_values,
    encode,
    entry_of,
    is_one_of,
    ledger,
    new_delivery,
    numbers,
    state_of,
    taken_ids,
    totals,
)
from pytest_mcn_mock.storage.together import Together
from pytest_mcn_mock.text import is_encodable

_ALL_CALLS: Final = 2**62
_TIDIED_AT_ONCE: Final = 500
_PLACED_AT_ONCE: Final = 16
"""Orders in a step."""
_SETTLED_AT_ONCE: Final = 64
_LOCKED_AT_ONCE: Final = 64
"""The most deliveries that a claim looks at: each of them is locked, whether its host has room for it or not."""
_LOCKED_AT_LEAST: Final = 8
GATHER_S: Final = 0.008
"""How long claims and results, for which no client waits, are gathered if there are many: in a database that has
replicas, a step for many takes little longer than for one.
"""
ORDER_S: Final = 30.0
"""How long after an order another process waits for its answer. It is renewed as long as the process lives."""

# Statements, each written once: SQLAlchemy finds the compiled text by the statement


def _sum(column: Any) -> Any:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


_ID: Any = bindparam("key")
_STATE = select(accounts.c.data, *totals.c).join_from(accounts, totals, totals.c.account_id == accounts.c.id)
_PENDING = select(_sum(totals.c.pending)).where(totals.c.pending > ZERO)
_UNLISTED = select(_sum(totals.c.unlisted)).where(totals.c.unlisted > ZERO)

_READ_ACCOUNT: Final = _STATE.where(accounts.c.id == _ID)
_LOCK_ACCOUNT: Final = select(accounts.c.id).where(accounts.c.id == _ID).with_for_update()
_LOCK_ACCOUNTS: Final = (
    select(accounts.c.id).where(is_one_of(accounts.c.id, "keys")).order_by(accounts.c.id).with_for_update()
)
_LOCK_TABLES: Final = text("LOCK TABLE accounts, calls, deliveries, totals IN EXCLUSIVE MODE")
_WAIT_SHORTLY: Final = text("SET LOCAL lock_timeout = '100ms'")
_LOCK_TO_CLOSE: Final = _READ_ACCOUNT.with_for_update(of=accounts)
_READ_ACCOUNTS: Final = _STATE.where(accounts.c.seq > bindparam("after")).order_by(accounts.c.seq).limit(bindparam("n"))
_READ_TOKEN: Final = select(accounts.c.data).where(accounts.c.token == _ID)
_READ_TAKEN: Final = select(taken_ids.c.id).where(taken_ids.c.id == _ID)
_RELEASE_ID: Final = delete(taken_ids).where(taken_ids.c.id == _ID, ~exists().where(accounts.c.id == taken_ids.c.id))
_READ_NUMBERS: Final = select(numbers)
_LOCK_NUMBERS: Final = _READ_NUMBERS.with_for_update()
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
_TAKE_DELIVERY_NUMBERS: Final = select(
    func.array(
        select(func.nextval("delivery_numbers")).select_from(func.generate_series(1, bindparam("n"))).scalar_subquery()
    ).label("numbers")
)
_WANTED = func.unnest(cast(bindparam("keys", type_=Text), ARRAY(Text))).column_valued("account_id")
_ORDERS = select(_WANTED, func.count().label("n")).group_by(_WANTED).subquery("orders")
_READ_TO_PLACE_SHARED: Final = (
    select(
        accounts.c.data,
        *totals.c,
        func.array(
            select(func.nextval("call_numbers"))
            .select_from(func.generate_series(1, _ORDERS.c.n))
            .correlate(_ORDERS)
            .scalar_subquery()
        ).label("call_numbers"),
        func.array(
            select(func.nextval("delivery_numbers"))
            .select_from(func.generate_series(1, accounts.c.webhooks * _ORDERS.c.n))
            .correlate(accounts, _ORDERS)
            .scalar_subquery()
        ).label("delivery_numbers"),
        _PENDING.scalar_subquery().label("all_pending"),
        _UNLISTED.scalar_subquery().label("all_unlisted"),
    )
    .select_from(_ORDERS)
    .join(accounts, accounts.c.id == _ORDERS.c.account_id)
    .join(totals, totals.c.account_id == accounts.c.id)
)
"""``keys`` has an account's id for each order: each order gets a number for its call, and as many for deliveries as the
account has webhooks.
"""
_READ_LEDGER: Final = select(ledger).where(ledger.c.account_id == _ID).order_by(ledger.c.n)
_READ_CALL: Final = select(calls).where(calls.c.verification_call_uuid == _ID)
_LOCK_CALL: Final = _READ_CALL.with_for_update()
_READ_ANSWERED: Final = select(
    calls.c.seq,
    calls.c.verification_call_uuid,
    calls.c.state,
    calls.c.is_answered,
    calls.c.ends_at,
    select(func.min(deliveries.c.due_at))
    .where(
        deliveries.c.call_seq == calls.c.seq,
        or_(deliveries.c.lease_until.is_(None), deliveries.c.is_answered.is_(False)),
    )
    .scalar_subquery()
    .label("due_at"),
).where(calls.c.verification_call_uuid == _ID)
_READ_OLDEST: Final = (
    select(calls.c.seq, calls.c.account_id, calls.c.state).where(calls.c.is_listed).order_by(calls.c.seq).limit(1)
)
_LOCK_OLDEST: Final = (
    select(calls.c.seq, calls.c.account_id, calls.c.state)
    .where(calls.c.is_listed)
    .order_by(calls.c.seq)
    .limit(bindparam("n"))
    .with_for_update(skip_locked=True)
)
_READ_LISTED: Final = select(_sum(totals.c.listed))
_DROP_MORE: Final = update(numbers).values(dropped=numbers.c.dropped + bindparam("more"))
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
_LOCK_DELIVERY: Final = _DELIVERY_STEP.where(deliveries.c.id == _ID).with_for_update(of=deliveries)
_MAY_FOLLOW = deliveries.alias()
_LOCK_DELIVERIES: Final = (
    _DELIVERY_STEP.where(is_one_of(deliveries.c.id, "keys"))
    .add_columns(
        exists()
        .where(
            _MAY_FOLLOW.c.account_id == deliveries.c.account_id,
            or_(_MAY_FOLLOW.c.waits_for == deliveries.c.id, _MAY_FOLLOW.c.waits_for == literal_column(str(NEXT_CALL))),
            _MAY_FOLLOW.c.waits_for.is_not(None),
        )
        .label("may_be_followed")
    )
    .order_by(deliveries.c.id)
    .with_for_update(of=deliveries)
)
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
_POST_CHARGES: Final = _WRITE_TOTALS.values(
    accepted_calls=totals.c.accepted_calls + bindparam("more"),
    spent=totals.c.spent + bindparam("more_spent"),
    pending=totals.c.pending + bindparam("more_pending"),
    listed=totals.c.listed + bindparam("more"),
)
_WRITE_NUMBERS: Final = update(numbers)
_MARK_RESET: Final = _WRITE_NUMBERS.values(
    reset_at=cast(extract("epoch", func.clock_timestamp()), Float(53))
).returning(numbers.c.reset_at)
_LIST_FEWER: Final = _WRITE_NUMBERS.values(listed=numbers.c.listed - bindparam("fewer"))
_WRITE_CALL: Final = update(calls).where(calls.c.seq == _ID)
_WRITE_DELIVERY: Final = update(deliveries).where(deliveries.c.id == _ID)
_ANSWER_DELIVERIES: Final = (
    update(deliveries)
    .where(deliveries.c.call_seq == _ID, deliveries.c.is_answered.is_(False))
    .values(is_answered=True, lease_until=None)
)
_ANSWER_ALL: Final = [
    update(table)
    .where(is_one_of(calls.c.verification_call_uuid, "keys"), table.c.is_answered.is_(False), *of_call)
    .values(is_answered=True, lease_until=None)
    for table, of_call in (
        (calls, (calls.c.state != "completed",)),
        (deliveries, (calls.c.state == "completed", deliveries.c.call_seq == calls.c.seq)),
    )
]
"""Calls before deliveries: a call that ends meanwhile is not ringing for the first and has ended for the second."""
_RENEW: Final = _WRITE_DELIVERY.where(deliveries.c.lease_until.is_not(None))
_RESUME: Final = [
    update(table)
    .where(or_(table.c.lease_until.is_not(None), table.c.is_answered.is_(False)))
    .values(lease_until=None, is_answered=True)
    for table in (calls, deliveries)
]
_ANSWER_LEFT: Final = [
    update(table)
    .where(table.c.is_answered.is_(False), table.c.lease_until < bindparam("now"))
    .values(is_answered=True, lease_until=None)
    for table in (calls, deliveries)
]
_KEEP_OPEN: Final = [
    update(table).where(table.c.verification_call_uuid == _ID, table.c.is_answered.is_(False))
    for table in (calls, deliveries)
]
_READ_UNANSWERED: Final = [
    select(number)
    .where(
        number <= bindparam("newest"),
        table.c.is_answered.is_(False),
        table.c.lease_until > bindparam("now"),
        table.c.verification_call_uuid.not_in(bindparam("own", expanding=True)),
        *is_over,
    )
    .limit(1)
    for table, number, is_over in (
        (calls, calls.c.seq, ()),
        (deliveries, deliveries.c.call_seq, (deliveries.c.due_at.is_not(None),)),  # the call of the others rings
    )
]
_READ_HELD: Final = [
    select(number)
    .where(
        number <= bindparam("newest"),
        due <= bindparam("until"),
        table.c.is_answered,
        table.c.lease_until > bindparam("now"),
    )
    .limit(1)
    for table, number, due in (
        (calls, calls.c.seq, calls.c.ends_at),
        (deliveries, deliveries.c.call_seq, deliveries.c.due_at),
    )
]
_DROP_CALL: Final = delete(calls).where(calls.c.seq == _ID)
_DROP_DELIVERY: Final = delete(deliveries).where(deliveries.c.id == _ID)
_DROP_DELIVERIES: Final = delete(deliveries).where(deliveries.c.call_seq == _ID)
_UNLIST_CALLS: Final = update(calls).where(is_one_of(calls.c.seq, "keys")).values(is_listed=False)
_DROP_SETTLED_CALLS: Final = (
    delete(calls)
    .where(
        is_one_of(calls.c.seq, "keys"),
        calls.c.state == "completed",
        ~exists().where(deliveries.c.call_seq == calls.c.seq, IS_PENDING),
    )
    .returning(calls.c.seq, calls.c.account_id)
)
_DROP_DELIVERIES_OF_CALLS: Final = delete(deliveries).where(is_one_of(deliveries.c.call_seq, "keys"))
# Other steps lock rows in the same order: first the account, so that it accepts no more orders, then its rows.
_FORGET_ACCOUNT: Final = [
    delete(accounts).where(accounts.c.id == _ID),
    delete(calls).where(calls.c.account_id == _ID),
    delete(deliveries).where(deliveries.c.account_id == _ID),
    delete(totals).where(totals.c.account_id == _ID),
    delete(ledger).where(ledger.c.account_id == _ID),
]
_FORGET_ALL: Final = [delete(table) for table in (accounts, calls, deliveries, totals, ledger, taken_ids)]
_INSERT: Final = {table: insert(table) for table in (accounts, totals, taken_ids, ledger, calls, deliveries)}
_DROP_ENTRIES: Final = delete(ledger).where(ledger.c.account_id == _ID, ledger.c.n < bindparam("first"))
_BRING_FORWARD: Final = (
    update(ledger)
    .where(ledger.c.account_id == _ID, ledger.c.n == bindparam("first"))
    .values(kind=EntryKind.BROUGHT_FORWARD.value, kopecks=ledger.c.balance, verification_call_uuid=None)
)


@cache
def _states_of(*, has_replicas: bool) -> Select[Any]:
    """Return the query for the states of the deliveries of calls."""
    of_calls = is_one_of if has_replicas else lambda column, name: column.in_(bindparam(name, expanding=True))
    return (
        select(deliveries.c.call_seq, deliveries.c.id, deliveries.c.state)
        .where(of_calls(deliveries.c.call_seq, "keys"))
        .order_by(deliveries.c.id)
    )


@cache
def _totals(*, of_account: bool) -> Select[Any]:
    """Return the query for the counts of an account, or of all."""
    columns = (totals.c.accepted_calls, totals.c.spent, totals.c.listed, totals.c.pending)
    query = select(*(_sum(column).label(column.name) for column in columns))
    return query.where(totals.c.account_id == _ID) if of_account else query


@cache
def _tally(table: Table, *, of_account: bool, has_replicas: bool) -> Select[Any]:
    """Return the query that counts the newest listed calls by outcome and minute (-1 before the first one), or the
    newest deliveries by state.
    """
    newest = _newest(table, of_account=of_account).subquery()
    if table is deliveries:
        return select(newest.c.state, func.count().label("n")).group_by(newest.c.state)
    since: Any = bindparam("since", type_=Float(53))
    past = (newest.c.placed_at - since) / literal_column("60.0")
    whole = (
        func.floor(past) if has_replicas else cast(past, Integer)
    )  # PostgreSQL's cast rounds, and SQLite may lack floor
    minute = case((past >= ZERO, whole), else_=literal_column("-1")).label("minute")
    return select(newest.c.outcome, minute, func.count().label("n")).group_by(newest.c.outcome, minute)


def _newest(table: Table, *, of_account: bool) -> Select[Any]:
    query = (
        select(calls.c.outcome, calls.c.placed_at).where(calls.c.is_listed) if table is calls else select(table.c.state)
    )
    if of_account:
        query = query.where(table.c.account_id == _ID)
    return query.order_by(table.primary_key.columns.values()[0].desc()).limit(bindparam("n", type_=BigInteger))


@cache
def _page(table: Table, fields: tuple[str, ...], *, of_account: bool, newest_first: bool) -> Select[Any]:
    """Return the query for listed calls, or for their deliveries, with given values of the fields of these names."""
    number = calls.c.seq if table is calls else deliveries.c.id
    query = select(table.c.data).limit(bindparam("n"))
    of_table = [table.c[name] == bindparam(name) for name in fields if name in table.c]
    of_call = [calls.c[name] == bindparam(name) for name in fields if name not in table.c]
    if table is calls:
        query = query.where(calls.c.is_listed, *of_table)
    else:
        query = query.where(exists().where(calls.c.seq == deliveries.c.call_seq, calls.c.is_listed, *of_call))
        query = query.where(*of_table)
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
    """Return the query for the next times at which a call must be ended and a delivery must be sent. A delivery that is
    due already but has no room does not count.
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
        .with_for_update(of=calls, skip_locked=True)
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
        .with_for_update(of=deliveries, skip_locked=True)
    )
    if has_exceptions:
        query = query.where(
            deliveries.c.host.not_in(bindparam("full", expanding=True)),
            deliveries.c.id.not_in(bindparam("taken", expanding=True)),
        )
    return query


async def _check(step: Statements, given: Row[Any]) -> None:
    """Raise ValueError if a value cannot be read, belongs to nothing, or if money does not add up."""
    if not all(isinstance(number, (int, float)) for number in given):
        raise ValueError("it has lost count of what it has")
    balances = {}
    for row in await step.rows(_STATE):
        decode_account.__wrapped__(row.data)
        balances[row.account_id] = row
    sums: dict[str, tuple[int, int]] = {}
    for row in await step.rows(select(ledger).order_by(ledger.c.account_id, ledger.c.n)):
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
    for row in await step.rows(select(calls.c.seq, calls.c.account_id, calls.c.data)):
        _owner(balances, row.account_id)
        decode_call(row.data)
        owners[row.seq] = True
    for row in await step.rows(select(deliveries.c.call_seq, deliveries.c.data)):
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


def _due_at(row: Any) -> float | None:
    """Return when there is work for a call that was answered, None if there is none."""
    due_at: float | None = row.due_at if row.state == "completed" else row.ends_at
    return due_at


_Decide = Callable[[AccountSnapshot], CallDecision]
_Order = tuple[str, _Decide]
_Result = tuple[Delivery, Callable[[Delivery, Account], tuple[Delivery, Account]]]


class _Charged:
    """An account while a step places orders on it. ``row`` is how it was before the step."""

    def __init__(self, row: Any) -> None:
        self.row = row
        self.before = self.account = decode_account(row.data)
        self.balance: int = row.balance
        self.last_entry: int = row.last_entry
        self.accepted = self.pending = 0
        self._call_numbers = iter(row.call_numbers)
        self.delivery_numbers = iter(row.delivery_numbers)

    def snapshot(self, more_pending: int) -> AccountSnapshot:
        """Return the state on which the next order is decided, after a step has made ``more_pending`` deliveries."""
        return AccountSnapshot(
            self.account,
            self.balance,
            self.row.accepted_calls + self.accepted,
            next(self._call_numbers),
            1,
            self.row.all_pending + more_pending,
            self.row.all_unlisted,
        )

    def charge(self, call: Call, made: Sequence[Delivery], account: Account) -> None:
        """Note an order that was accepted, and the account afterwards."""
        self.account = account
        self.balance -= call.price
        self.last_entry += 1
        self.accepted += 1
        self.pending += _count_pending(made)


class SqlStorage:
    """Implements ``service.ports.Storage``, where each method is described, in a database.

    ``journal_size`` bounds the calls that are listed, and each account's ledger entries, as in memory.

    ``open_engine`` opens the database. Raises ConfigError if it cannot be used.
    """

    def __init__(self, open_engine: Callable[[Load], Engine], journal_size: int) -> None:
        self._journal_size = journal_size
        self._answers_size = 0
        self.latest = self.forward_s = self.reset_at = 0.0
        self._db = open_engine(self._load)
        self.gather_s = GATHER_S if self._db.has_replicas else 0.0
        self._placing: Together[_Order, CallDecision | None] = Together(self._place_all, _PLACED_AT_ONCE)
        self._answered: set[str] = set()
        """Calls whose answer the next claim notes, in a database that has replicas."""
        self._settling: Together[_Result, Settled | None] = Together(self._settle_all, _SETTLED_AT_ONCE, self.gather_s)

    @property
    def has_replicas(self) -> bool:
        """Whether other processes may have the same state."""
        return self._db.has_replicas

    @property
    def database(self) -> Engine:
        """The database, whose steps these are."""
        return self._db

    @property
    def failure(self) -> str | None:
        return self._db.failure

    @property
    def on_recovery(self) -> Callable[[], object]:
        return self._db.on_recovery

    @on_recovery.setter
    def on_recovery(self, call: Callable[[], object]) -> None:
        self._db.on_recovery = call

    async def watch(self) -> None:
        await self._db.watch()

    async def close(self) -> None:
        await self._db.close()

    # Opening

    async def _load(self, step: Statements, has_replicas: bool) -> None:
        """Check the state, and cut it to the size of the journal. Raise ValueError if it is damaged."""
        if (given := await step.first(_READ_NUMBERS)) is None:
            if await step.first(select(accounts.c.id).limit(1)) is not None:
                raise ValueError("it has lost count of what it has")
            await step.write(insert(numbers), dict.fromkeys(numbers.c.keys(), 0))
            given = await step.first(_READ_NUMBERS)
        if has_replicas:
            self.forward_s, self.reset_at = given.forward_s, given.reset_at
            return
        for column in (ledger.c.at, calls.c.placed_at, calls.c.ended_at, deliveries.c.touched_at):
            self.latest = max(self.latest, (await step.first(select(func.max(column))))[0] or 0.0)
        await _check(step, given)
        self._answers_size = (await step.first(_READ_ANSWERS_SIZE))[0]
        for row in await step.rows(select(totals.c.account_id, totals.c.first_entry, totals.c.last_entry)):
            first = await self._fold(step, row.account_id, row.first_entry, row.last_entry)
            if first != row.first_entry:
                await step.write(_WRITE_TOTALS, {"key": row.account_id, "first_entry": first})
        listed, dropped = given.listed, given.dropped
        while listed > self._journal_size:
            await self._unlist_oldest(step)
            listed, dropped = listed - 1, dropped + 1
        await step.write(_WRITE_NUMBERS, {"listed": listed, "dropped": dropped})

    async def resume(self) -> None:
        if self.has_replicas:  # claims of others hold, and those of processes that have ended run out
            return
        async with self._db.step() as step:
            for statement in _RESUME:
                await step.write(statement)
        await step.kept()

    async def reset(self, accounts: Sequence[tuple[Account, int]], at: float) -> float:
        async with self._db.step() as step:
            await step.write(_WRITE_NUMBERS, {"listed": 0})  # this lock also stops the opening of accounts
            if self.has_replicas:  # other steps lock several rows, in another order than they are deleted in
                await step.write(_LOCK_TABLES)
            reset_at: float = (await step.first(_MARK_RESET)).reset_at if self.has_replicas else at
            for statement in _FORGET_ALL:
                await step.write(statement)
            for account, opening in accounts:
                await self._open(step, account, opening, at)
        await step.kept()
        return reset_at

    # Accounts

    async def open_account(self, account: Account, opening: int, at: float) -> Account:
        async with self._db.step() as step:
            opened = await self._open(step, account, opening, at)
        await step.kept()
        return opened

    async def _open(self, step: Step, account: Account, opening: int, at: float) -> Account:
        given = await step.first(_LOCK_NUMBERS)  # accounts are opened one after the other
        if await step.first(_READ_TAKEN, key=account.id) is not None:
            raise Conflict(Reason("account_taken", {"account": account.id}), "id")
        if await step.first(_READ_TOKEN, key=account.token) is not None:
            raise Conflict(Reason("token_taken", {"account": account.id}), "token")
        opened = replace(account, seq=given.accounts + 1)
        row = {"id": opened.id, "seq": opened.seq, "token": opened.token, **account_values(opened)}
        await step.write(_WRITE_NUMBERS, {"accounts": opened.seq})
        await step.write(_INSERT[accounts], row)
        await step.write(_INSERT[taken_ids], {"id": opened.id})
        await step.write(
            _INSERT[totals],
            {
                "account_id": opened.id,
                "accepted_calls": 0,
                "balance": opening,
                "spent": 0,
                "first_entry": 1,
                "last_entry": 1,
                "pending": 0,
                "listed": 0,
                "unlisted": 0,
            },
        )
        await self._post(step, opened.id, 1, opening, Posting(EntryKind.OPENING, opening, at))
        return opened

    async def _post(
        self, step: Statements, account_id: str, n: int, balance: int, posting: Posting, uuid: str | None = None
    ) -> None:
        await step.write(
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

    async def _fold(self, step: Statements, account_id: str, first: int, last: int) -> int:
        """Fold the oldest entries into one if there are too many; return the number of the first one."""
        least = last - max(self._journal_size, 2) + 1
        if first >= least:
            return first
        await step.write(_DROP_ENTRIES, {"key": account_id, "first": least})
        await step.write(_BRING_FORWARD, {"key": account_id, "first": least})
        return least

    async def close_account(self, account_id: str) -> None:
        async with self._db.step() as step:
            row = await step.first(_LOCK_TO_CLOSE, key=account_id)
            if row is None:
                raise no_account(account_id)
            if row.listed and not self.has_replicas:
                await step.write(_LIST_FEWER, {"fewer": row.listed})
            for statement in _FORGET_ACCOUNT:
                await step.write(statement, {"key": account_id})
        await step.kept()

    async def change_account(
        self, account_id: str, decide: Callable[[Account, int], AccountDecision]
    ) -> tuple[AccountState, AccountState]:
        async with self._db.step() as step:
            row = await self._lock_account(step, account_id, _READ_ACCOUNT)
            before = state_of(row)
            account, posting = decide(*before)
            await self._write_account(step, before.account, account)
            balance = before.balance
            if posting is not None:
                balance += posting.kopecks
                n = row.last_entry + 1
                await self._post(step, account_id, n, balance, posting)
                first = await self._fold(step, account_id, row.first_entry, n)
                await step.write(
                    _WRITE_TOTALS, {"key": account_id, "balance": balance, "first_entry": first, "last_entry": n}
                )
        await step.kept()
        return before, AccountState(account, balance)

    async def _lock_account(self, step: Step, account_id: str, query: Any, **values: Any) -> Any:
        """Lock an account and return the row of a query for it. Raise NotFound if there is no such account.

        Settling does not wait for this lock, because it adds to ``totals``, which has another lock. A separate query
        sees the rows that were written while this step waited for the lock.
        """
        locked, found = await step.rows_of_each(
            (_LOCK_ACCOUNT, {"key": account_id}), (query, {"key": account_id, **values})
        )
        if not locked or not found:
            raise no_account(account_id)
        return found[0]

    async def _write_account(self, step: Step, before: Account, account: Account) -> None:
        if account is not before:
            await step.write(_WRITE_ACCOUNT, {"key": account.id, **account_values(account)})

    async def account(self, account_id: str) -> AccountState:
        row = await self._db.kept_first(_READ_ACCOUNT, key=account_id)
        if row is None:
            raise no_account(account_id)
        return state_of(row)

    async def account_of_token(self, token: str) -> Account | None:
        if "\0" in token or not is_encodable(token):  # no database can look for it
            return None
        row = await self._db.first(_READ_TOKEN, key=token)
        return None if row is None else decode_account(row.data)

    async def release_id(self, account_id: str) -> None:
        async with self._db.step() as step:
            await step.write(_RELEASE_ID, {"key": account_id})
        await step.kept()

    async def is_taken(self, account_id: str) -> bool:
        return await self._db.first(_READ_TAKEN, key=account_id) is not None

    async def accounts(self, after: int, limit: int) -> Sequence[AccountState]:
        return [state_of(row) for row in await self._db.kept_rows(_READ_ACCOUNTS, after=after, n=limit)]

    async def ledger(self, account_id: str) -> Sequence[Entry]:
        rows = await self._db.kept_rows(_READ_LEDGER, key=account_id)
        if not rows:
            raise no_account(account_id)
        return tuple(entry_of(row) for row in rows)

    # Calls and deliveries

    async def place(self, account_id: str, decide: _Decide) -> CallDecision:
        if self.has_replicas:
            order = account_id, decide
            placed = await self._placing.do("", order)
            if placed is None:
                placed = await self._placing.do(account_id, order)
            assert placed is not None  # noqa: S101 - for the type checker: no other account was in that step
            return placed
        async with self._db.step() as step:
            row = await step.first(_READ_TO_PLACE, key=account_id)
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
            balance, n = row.balance - call.price, row.last_entry + 1
            await self._insert_call(step, call, numbered, n, balance, open_until=None)
            await self._post_charges(step, row, n, balance, 1, _count_pending(numbered))
            await self._write_account(step, account, decided.account)
            listed, dropped = row.all_listed + 1, row.dropped
            if listed > self._journal_size:
                await self._unlist_oldest(step)
                listed, dropped = listed - 1, dropped + 1
            await step.write(
                _WRITE_NUMBERS, {"calls": call.seq, "deliveries": made, "listed": listed, "dropped": dropped}
            )
        await step.kept()
        return CallDecision(call, numbered, decided.account)

    async def _insert_call(
        self, step: Step, call: Call, made: Sequence[Delivery], n: int, balance: int, *, open_until: float | None
    ) -> None:
        """Insert an accepted call, its deliveries, and its charge as the entry ``n`` of the ledger."""
        values = {
            "seq": call.seq,
            "verification_call_uuid": call.verification_call_uuid,
            "account_id": call.account_id,
            "login_did": call.login_did,
            "code": call.code,
            "placed_at": call.placed_at,
            # A call that rings gives its deliveries this mark when it ends; one that has ended needs it no more.
            "is_answered": call.ending is not None,
            "lease_until": None if call.ending is not None else open_until,
            "is_listed": True,
            **call_values(call),
        }
        await step.write(_INSERT[calls], values)
        if new := [{**new_delivery(d, call, is_answered=False), "lease_until": open_until} for d in made]:
            await step.write(_INSERT[deliveries], new)
        charge = Posting(EntryKind.CHARGE, -call.price, call.placed_at)
        await self._post(step, call.account_id, n, balance, charge, call.verification_call_uuid)

    async def _post_charges(self, step: Step, row: Any, last: int, balance: int, more: int, pending: int) -> None:
        """Write the totals of an account for which ``more`` calls were accepted."""
        first = await self._fold(step, row.account_id, row.first_entry, last)
        values = {"balance": balance, "first_entry": first, "last_entry": last}
        added = {"more": more, "more_spent": row.balance - balance, "more_pending": pending}
        await step.write(_POST_CHARGES, {"key": row.account_id, **values, **added})

    async def _place_all(self, _: str, orders: Sequence[_Order]) -> Sequence[CallDecision | Exception | None]:
        """Place orders one after the other, in a database that has replicas: their accounts are locked once. Return
        None for each if an account stays locked elsewhere, so that the other accounts do not wait for it.
        """
        keys = [account_id for account_id, _ in orders]
        is_of_many = len(set(keys)) > 1
        done: list[CallDecision | Exception] = []
        try:
            async with self._db.step() as step:
                if is_of_many:
                    await step.write(_WAIT_SHORTLY)
                # A separate query sees the rows that were written while this step waited for the locks.
                asked = {"keys": as_array(keys)}
                locked, found = await step.rows_of_each((_LOCK_ACCOUNTS, asked), (_READ_TO_PLACE_SHARED, asked))
                ids = {row.id for row in locked}
                charged = {row.account_id: _Charged(row) for row in found if row.account_id in ids}
                # If this process dies before the answer, another takes the call to be answered then.
                open_until = self._now() + ORDER_S
                for account_id, decide in orders:
                    if (of := charged.get(account_id)) is None:
                        done.append(no_account(account_id))
                        continue
                    try:
                        decided = decide(of.snapshot(sum(each.pending for each in charged.values())))
                    except Exception as error:
                        done.append(error)
                        continue
                    made = await self._take_numbers(step, decided.deliveries, of.delivery_numbers)
                    of.charge(decided.call, made, decided.account)
                    await self._insert_call(step, decided.call, made, of.last_entry, of.balance, open_until=open_until)
                    done.append(CallDecision(decided.call, made, decided.account))
                for _, of in sorted(charged.items()):
                    if of.accepted:
                        await self._post_charges(step, of.row, of.last_entry, of.balance, of.accepted, of.pending)
                        await self._write_account(step, of.before, of.account)
        except RowLocked:
            if not is_of_many:
                raise
            return [None] * len(orders)
        await step.kept()
        return done

    async def _take_numbers(self, step: Any, made: Sequence[Delivery], reserved: Iterator[int]) -> list[Delivery]:
        """Return the deliveries with numbers that were taken for them. ``decide`` has numbered them from 1."""
        numbers = list(islice(reserved, len(made)))
        if (lacking := len(made) - len(numbers)) > 0:
            numbers += (await step.first(_TAKE_DELIVERY_NUMBERS, n=lacking)).numbers
        taken = dict(enumerate(numbers, 1))
        numbered = []
        for place, delivery in enumerate(made, 1):
            waits_for = taken.get(delivery.waits_for, delivery.waits_for) if delivery.waits_for else delivery.waits_for
            numbered.append(replace(delivery, id=numbers[place - 1], waits_for=waits_for))
        return numbered

    async def tidy(self) -> None:
        """Take calls off a journal that is too long. In a database that has replicas no order does that itself."""
        while True:
            async with self._db.step() as step:
                if await self._excess(step) <= 0:
                    break
                await step.first(_LOCK_NUMBERS)  # one process at a time
                excess = min(await self._excess(step), _TIDIED_AT_ONCE)  # another one may have done it meanwhile
                oldest = await step.rows(_LOCK_OLDEST, n=max(0, excess))
                if not oldest:
                    break
                await self._unlist_all(step, oldest)
                await step.write(_DROP_MORE, {"more": len(oldest)})
        async with self._db.step() as step:
            for statement in _ANSWER_LEFT:
                await step.write(statement, {"now": self._now()})

    async def _excess(self, step: Statements) -> int:
        """Return how many calls are listed beyond what the journal may have."""
        listed: int = (await step.first(_READ_LISTED))[0]
        return listed - self._journal_size

    async def _unlist_all(self, step: Statements, oldest: Sequence[Any]) -> None:
        """Do the same as ``_unlist`` for several calls. The totals, which every order changes, come last."""
        keys = as_array(row.seq for row in oldest)
        await step.write(_UNLIST_CALLS, {"keys": keys})
        dropped = await step.rows(_DROP_SETTLED_CALLS, keys=keys)
        await step.write(_DROP_DELIVERIES_OF_CALLS, {"keys": as_array(row.seq for row in dropped)})
        unlisted, gone = (Counter(row.account_id for row in rows) for rows in (oldest, dropped))
        for account_id in sorted(unlisted):
            left = unlisted[account_id] - gone[account_id]
            await self._add_to_totals(step, account_id, listed=-unlisted[account_id], unlisted=left)

    async def renew_orders(self, uuids: Collection[str]) -> None:
        """Keep orders open whose answer is still to be sent."""
        if not uuids:
            return
        async with self._db.step() as step:
            for statement in _KEEP_OPEN:
                values = [{"key": uuid, "lease_until": self._now() + ORDER_S} for uuid in uuids]
                await step.write(statement, values)

    async def has_unanswered(self, newest_call: int, own: Collection[str]) -> bool:
        """Return whether an order up to that call is not answered yet, except this process's ``own``."""
        values = {"newest": newest_call, "now": self._now(), "own": list(own)}
        return any([await self._db.first(query, **values) is not None for query in _READ_UNANSWERED])

    def _now(self) -> float:
        """Return the database's time: the clocks of processes on other machines may differ."""
        return self._db.now()

    async def _unlist_oldest(self, step: Statements) -> None:
        await self._unlist(step, await step.first(_READ_OLDEST))

    async def _unlist(self, step: Statements, oldest: Any) -> None:
        await self._add_to_totals(step, oldest.account_id, listed=-1, unlisted=1)
        await step.write(_WRITE_CALL, {"key": oldest.seq, "is_listed": False})
        if oldest.state == "completed":
            await self._drop_if_settled(step, oldest.seq, oldest.account_id)

    async def _drop_if_settled(self, step: Statements, call_seq: int, account_id: str) -> None:
        """Drop a call that has ended and is listed no more, if none of its deliveries is pending."""
        if await step.first(_READ_PENDING_OF, key=call_seq) is not None:
            return
        await step.write(_DROP_DELIVERIES, {"key": call_seq})
        await step.write(_DROP_CALL, {"key": call_seq})
        await self._add_to_totals(step, account_id, unlisted=-1)

    async def _add_to_totals(
        self, step: Statements, account_id: str, *, pending: int = 0, listed: int = 0, unlisted: int = 0
    ) -> None:
        if pending or listed or unlisted:
            more = {"more_pending": pending, "more_listed": listed, "more_unlisted": unlisted}
            await step.write(_ADD_TO_TOTALS, {"key": account_id, **more})

    async def answered(self, verification_call_uuid: str) -> float | None:
        if self.has_replicas:
            self._answered.add(verification_call_uuid)
            return 0.0
        async with self._db.step() as step:
            row = await step.first(_READ_ANSWERED, key=verification_call_uuid)
            if row is None:
                return None
            # A call that rings gives its deliveries this mark when it ends; one that has ended needs it no more.
            if row.state == "completed":
                await step.write(_ANSWER_DELIVERIES, {"key": row.seq})
            elif not row.is_answered:
                await step.write(_WRITE_CALL, {"key": row.seq, "is_answered": True, "lease_until": None})
        await step.kept()
        return _due_at(row)

    async def end_call(
        self, verification_call_uuid: str, decide: Callable[[Call, Sequence[Delivery]], Ended]
    ) -> Ended | None:
        async with self._db.step() as step:
            row = await step.first(_LOCK_CALL, key=verification_call_uuid)
            if row is None or row.state == "completed":
                return None
            before = {}
            for delivery_row in await step.rows(_READ_DELIVERIES_OF, key=row.seq):
                delivery = decode_delivery(delivery_row.data)
                before[delivery.id] = delivery
            ended = decide(decode_call(row.data), list(before.values()))
            call, after = ended.call, list(ended.deliveries)
            if not all(delivery.id for delivery in after):
                if self.has_replicas:
                    lacking = sum(not delivery.id for delivery in after)
                    fresh = iter((await step.first(_TAKE_DELIVERY_NUMBERS, n=lacking)).numbers)
                    after = [delivery if delivery.id else replace(delivery, id=next(fresh)) for delivery in after]
                else:
                    after, made = _number(after, (await step.first(_READ_NUMBERS)).deliveries)
                    await step.write(_WRITE_NUMBERS, {"deliveries": made})
            lease_until = None if row.is_answered else row.lease_until
            await step.write(_WRITE_CALL, {"key": row.seq, "lease_until": lease_until, **call_values(call)})
            changed = [
                {
                    "key": d.id,
                    "is_answered": row.is_answered,
                    "lease_until": lease_until,
                    **delivery_values(d, has_ended=True),
                }
                for d in after
                if d.id in before
            ]
            new = [
                {**new_delivery(d, call, is_answered=row.is_answered), "lease_until": lease_until}
                for d in after
                if d.id not in before
            ]
            for dropped in before.keys() - {d.id for d in after}:
                await step.write(_DROP_DELIVERY, {"key": dropped})
            if changed:
                await step.write(_WRITE_DELIVERY, changed)
            if new:
                await step.write(_INSERT[deliveries], new)
            more = _count_pending(after) - _count_pending(list(before.values()))
            await self._add_to_totals(step, row.account_id, pending=more)
            if not row.is_listed:
                await self._drop_if_settled(step, row.seq, row.account_id)
        await step.kept()
        return Ended(call, after)

    async def call(self, verification_call_uuid: str) -> Call:
        row = await self._db.kept_first(_READ_CALL, key=verification_call_uuid)
        if row is None:
            raise no_call(verification_call_uuid)
        return decode_call(row.data)

    async def calls(
        self,
        account_id: str | None,
        after: int,
        limit: int,
        *,
        newest_first: bool = False,
        fields: Mapping[str, str] = ANY,
    ) -> Sequence[Call]:
        rows = await self._page(calls, account_id, after, limit, fields, newest_first=newest_first)
        return [decode_call(row.data) for row in rows]

    async def delivery(self, delivery_id: int) -> Delivery:
        row = await self._db.kept_first(_READ_DELIVERY, key=delivery_id)
        if row is None:
            raise no_delivery(delivery_id)
        return decode_delivery(row.data)

    async def deliveries_of(self, verification_call_uuid: str) -> Sequence[Delivery]:
        row = await self._db.kept_first(_READ_CALL, key=verification_call_uuid)
        if row is None:
            raise no_call(verification_call_uuid)
        return tuple(
            decode_delivery(found.data) for found in await self._db.kept_rows(_READ_DELIVERIES_OF, key=row.seq)
        )

    async def deliveries(
        self,
        account_id: str | None,
        after: int,
        limit: int,
        *,
        newest_first: bool = False,
        fields: Mapping[str, str] = ANY,
    ) -> Sequence[Delivery]:
        rows = await self._page(deliveries, account_id, after, limit, fields, newest_first=newest_first)
        return [decode_delivery(row.data) for row in rows]

    async def _page(
        self,
        table: Table,
        account_id: str | None,
        after: int,
        limit: int,
        fields: Mapping[str, str],
        *,
        newest_first: bool,
    ) -> Sequence[Row[Any]]:
        if newest_first and not after:
            after = _ALL_CALLS
        query = _page(table, tuple(sorted(fields)), of_account=account_id is not None, newest_first=newest_first)
        key = {} if account_id is None else {"key": account_id}
        rows = await self._db.kept_rows(query, after=after, n=limit, **key, **fields)
        if not rows and account_id is not None:
            await self.account(account_id)
        return rows

    async def states_of(self, calls: Sequence[Call]) -> Mapping[int, Sequence[tuple[int, DeliveryState]]]:
        if not calls:
            return {}
        keys = [call.seq for call in calls]
        query = _states_of(has_replicas=self.has_replicas)
        found: dict[int, list[tuple[int, DeliveryState]]] = {}
        for row in await self._db.kept_rows(query, keys=as_array(keys) if self.has_replicas else keys):
            found.setdefault(row.call_seq, []).append((row.id, DeliveryState(row.state)))
        return found

    async def tally(self, account_id: str | None, since: float, most: int) -> Tally:
        of_account, key = account_id is not None, {} if account_id is None else {"key": account_id}
        total = await self._db.kept_first(_totals(of_account=of_account), **key)
        outcomes: Counter[Outcome | None] = Counter()
        minutes: dict[int, tuple[int, int]] = {}
        query = _tally(calls, of_account=of_account, has_replicas=self.has_replicas)
        for row in await self._db.kept_rows(query, n=most, since=since, **key):
            outcome = None if row.outcome is None else Outcome(row.outcome)
            outcomes[outcome] += row.n
            if row.minute >= 0:
                placed, answered = minutes.get(int(row.minute), (0, 0))
                more = row.n if outcome is Outcome.ANSWERED else 0
                minutes[int(row.minute)] = placed + row.n, answered + more
        query = _tally(deliveries, of_account=of_account, has_replicas=self.has_replicas)
        states = {DeliveryState(row.state): row.n for row in await self._db.kept_rows(query, n=most, **key)}
        return Tally(total.accepted_calls, total.spent, total.listed, total.pending, outcomes, states, minutes)

    async def pending(self, limit: int) -> Sequence[Delivery]:
        return [decode_delivery(row.data) for row in await self._db.kept_rows(_READ_PENDING, n=limit)]

    async def change_delivery(
        self, delivery_id: int, decide: Callable[[Delivery, Call, Account], Delivery]
    ) -> tuple[Delivery, Delivery]:
        async with self._db.step() as step:
            row = await self._lock_delivery(step, delivery_id)
            before = decode_delivery(row.data)
            changed = decide(before, decode_call(row.call), decode_account(row.account))
            await self._write_delivery(step, row, before, changed, voids_claim=not is_still_due(changed, before))
        await step.kept()
        return before, changed

    async def _lock_delivery(self, step: Step, delivery_id: int) -> Any:
        row = await step.first(_LOCK_DELIVERY, key=delivery_id)
        if row is None:
            raise no_delivery(delivery_id)
        return row

    async def _write_delivery(
        self, step: Step, row: Any, before: Delivery, changed: Delivery, *, voids_claim: bool
    ) -> None:
        values = delivery_values(changed, has_ended=row.call_state == "completed")
        await step.write(
            _WRITE_DELIVERY, {"key": row.id, "lease_until": None if voids_claim else row.lease_until, **values}
        )
        more = _count_pending((changed,)) - _count_pending((before,))
        await self._add_to_totals(step, row.account_id, pending=more)
        self._answers_size += values["answers_size"] - row.answers_size
        if not row.is_listed and row.call_state == "completed":
            await self._drop_if_settled(step, row.call_seq, row.account_id)

    async def counts(self) -> Counts:
        return Counts(*(await self._db.kept_first(_READ_COUNTS)))

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
        now = self._now()
        room = Room(under_way, per_host)
        scope = {"now": now} if account_id is None else {"now": now, "key": account_id}
        bounds = {**scope, "until": until, "newest": _ALL_CALLS if newest_call is None else newest_call}
        answered = frozenset(self._answered)
        async with self._db.step() as step:
            if answered:
                for statement in _ANSWER_ALL:
                    await step.write(statement, {"keys": as_array(answered)})
            to_end, to_send = await self._due(step, scope, bounds, limit, room)
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
                await step.write(_WRITE_CALL, leased_calls)
            if leased:
                await step.write(_WRITE_DELIVERY, leased)
            asked = [self._next_due(scope, until, room.full)]
            if room.full:
                waiting = _waiting_for_room(of_account=account_id is not None)
                asked.append((waiting, {**scope, "full": list(room.full), "until": until}))
            (next_due,), *left = await step.rows_of_each(*asked, is_last=True)
        await step.kept()
        self._answered -= answered
        return Claimed(work, min((due for due in next_due if due is not None), default=None), any(left))

    def _next_due(self, scope: Mapping[str, Any], until: float, full: Collection[str]) -> tuple[Any, dict[str, Any]]:
        query = _next_due(of_account="key" in scope, has_full_hosts=bool(full))
        return query, {**scope, **({"full": list(full), "until": until} if full else {})}

    async def _due(
        self, step: Step, scope: Mapping[str, Any], bounds: Mapping[str, Any], limit: int, room: Room
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return the rows of calls and deliveries that are due."""
        query = _due_calls(of_account="key" in bounds), {**bounds, "n": limit}
        if self.has_replicas:  # a query that finds nothing costs less than a round trip to know that
            exceptions = {"full": list(room.full), "taken": []} if room.full else {}
            of_deliveries = _due_deliveries(of_account="key" in bounds, has_exceptions=bool(exceptions))
            wanted = min(limit, _LOCKED_AT_ONCE, max(_LOCKED_AT_LEAST, room.least()))
            to_end, found = await step.rows_of_each(query, (of_deliveries, {**bounds, "n": wanted, **exceptions}))
            taken = [row for row in found if room.take_if_has(row.host)]
            if len(found) == wanted and len(taken) < limit:
                taken += await self._due_deliveries(step, bounds, limit, room, taken)
            return to_end, taken
        next_query, values = self._next_due(scope, bounds["until"], room.full)
        next_call, next_delivery = await step.first(next_query, **values)
        is_call_due = next_call is not None and next_call <= bounds["until"]
        is_delivery_due = next_delivery is not None and next_delivery <= bounds["until"]
        return (
            await step.rows(query[0], **query[1]) if is_call_due else [],
            await self._due_deliveries(step, bounds, limit, room, []) if is_delivery_due else [],
        )

    async def _due_deliveries(
        self, step: Step, bounds: Mapping[str, Any], limit: int, room: Room, before: Sequence[Row[Any]]
    ) -> list[Row[Any]]:
        """Return deliveries that are due and have room, beside those ``before``. Those to a host that has become full
        make way for others.
        """
        taken: list[Row[Any]] = []
        while True:
            known = [row.id for row in (*before, *taken)]
            exceptions = {"full": list(room.full), "taken": known} if known or room.full else {}
            query = _due_deliveries(of_account="key" in bounds, has_exceptions=bool(exceptions))
            wanted = min(limit - len(known), _LOCKED_AT_ONCE, max(_LOCKED_AT_LEAST, room.least()))
            found = await step.rows(query, n=wanted, **bounds, **exceptions)
            taken += [row for row in found if room.take_if_has(row.host)]
            if len(found) < wanted or len(before) + len(taken) == limit:
                return taken

    async def is_held(self, until: float, newest_call: int) -> bool:
        values = {"newest": newest_call, "until": until, "now": self._now()}
        return any([await self._db.kept_first(query, **values) is not None for query in _READ_HELD])

    async def backlog(self, now: float) -> Backlog:
        return Backlog(*await self._db.kept_first(_READ_BACKLOG, until=now, now=self._now()))

    async def renew(self, delivery_ids: Collection[int], lease_s: float) -> None:
        if not delivery_ids:
            return
        until = self._now() + lease_s
        async with self._db.step() as step:
            await step.write(_RENEW, [{"key": delivery_id, "lease_until": until} for delivery_id in delivery_ids])
        await step.kept()

    async def settle(
        self, claimed: Delivery, now: float, decide: Callable[[Delivery, Account], tuple[Delivery, Account]]
    ) -> Settled:
        if self.has_replicas and (settled := await self._settling.do("", (claimed, decide))) is not None:
            return settled
        async with self._db.step() as step:
            row = await self._lock_delivery(step, claimed.id)
            before, account_before = decode_delivery(row.data), decode_account(row.account)
            changed, account = decide(before, account_before)
            if self.has_replicas and account is not account_before:  # seldom, so that a hot account is seldom locked
                locked = await self._lock_account(step, account.id, _READ_ACCOUNT)
                account_before = decode_account(locked.data)
                changed, account = decide(before, account_before)
            await self._write_account(step, account_before, account)
            ends_claim = is_still_due(before, claimed) or not is_still_due(changed, before)
            await self._write_delivery(step, row, before, changed, voids_claim=ends_claim)
            is_settled = before.state is DeliveryState.PENDING and changed.state is not DeliveryState.PENDING
            follower_due_at = await self._follow(step, row, now) if is_settled else None
            if self._answers_size > MAX_ANSWERS_SIZE:
                await self._forget_answers(step)
        await step.kept()
        return Settled(before, changed, account_before, account, follower_due_at)

    async def _settle_all(self, _: str, results: Sequence[_Result]) -> Sequence[Settled | Exception | None]:
        """Settle deliveries, in a database that has replicas. Return None for one that needs a step of its own, because
        it changes more than itself and its account's count of pending ones.
        """
        settled: dict[int, Settled | Exception] = {}
        more: Counter[str] = Counter()
        async with self._db.step() as step:
            rows = await step.rows(_LOCK_DELIVERIES, keys=as_array({claimed.id for claimed, _ in results}))
            found = {row.id: row for row in rows}
            for claimed, decide in results:
                if (row := found.pop(claimed.id, None)) is None or row.may_be_followed or not row.is_listed:
                    continue
                before, account = decode_delivery(row.data), decode_account(row.account)
                try:
                    changed, account_after = decide(before, account)
                except Exception as error:
                    settled[claimed.id] = error
                    continue
                if account_after is not account:
                    continue
                ends_claim = is_still_due(before, claimed) or not is_still_due(changed, before)
                values = delivery_values(changed, has_ended=row.call_state == "completed")
                lease_until = None if ends_claim else row.lease_until
                await step.write(_WRITE_DELIVERY, {"key": row.id, "lease_until": lease_until, **values})
                more[row.account_id] += _count_pending((changed,)) - _count_pending((before,))
                self._answers_size += values["answers_size"] - row.answers_size
                settled[claimed.id] = Settled(before, changed, account, account, None)
            if self._answers_size > MAX_ANSWERS_SIZE:
                await self._forget_answers(step)
            for account_id in sorted(more):
                await self._add_to_totals(step, account_id, pending=more[account_id])
        await step.kept()
        return [settled.pop(claimed.id, None) for claimed, _ in results]

    async def _follow(self, step: Step, settled: Any, now: float) -> float | None:
        """Make the delivery that waited for this one due. Return its due time, or None if none waited."""
        followers = await step.rows(_READ_FOLLOWERS, key=settled.account_id, call_seq=settled.call_seq, id=settled.id)
        for row in followers:
            before = decode_delivery(row.data)
            released = replace(before, due_at=now, waits_for=None)
            await self._write_delivery(step, row, before, released, voids_claim=True)
        return now if followers else None

    async def _forget_answers(self, step: Step) -> None:
        """Forget the oldest answers, until there is room for some time."""
        (self._answers_size,) = await step.first(_READ_ANSWERS_SIZE)
        if self._answers_size <= MAX_ANSWERS_SIZE:
            return
        while self._answers_size > MAX_ANSWERS_SIZE * 7 // 8:
            row = await step.first(_READ_OLDEST_ANSWERS)
            delivery = decode_delivery(row.data)
            for attempt in delivery.attempts:
                delivery = without_answer(delivery, attempt.number)
            await step.write(_WRITE_DELIVERY, {"key": row.id, "answers_size": 0, "data": encode(delivery)})
            self._answers_size -= row.answers_size
