"""What a state file holds is what the store held, whatever happened to it, however the process ended."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from helpers import store_calls
from helpers.store_calls import placed
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_mcn_mock.errors import ConfigError, NotFound, StorageFailed
from pytest_mcn_mock.model.accounts import Account, add_fault, add_subscription
from pytest_mcn_mock.model.calls import Call, end
from pytest_mcn_mock.model.deliveries import Attempt, CdrRequest, CdrResponse, Delivery, DeliveryState
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.model.outcomes import Outcome, ending
from pytest_mcn_mock.model.webhooks import make_subscription
from pytest_mcn_mock.service.ports import AccountSnapshot, CallDecision
from pytest_mcn_mock.storage.sql import SqlStore

JOURNAL, OPENING = 5, 100_000
BUSY = ending(Outcome.BUSY, unavailable_cause=20)
WEBHOOK = make_subscription("http://localhost/", headers={"X": "ü"}, constants={"a": True, "b": 1, "c": "d"})


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, committed and closed at the end."""
    with closing(sqlite3.connect(path)) as database, database:
        yield database


def open_store(folder: Path, journal: int = JOURNAL) -> SqlStore:
    return SqlStore(f"sqlite:///{folder}/state.db", journal)


def settle(store: SqlStore) -> None:
    settled = store.settled()
    if settled is not None:
        settled.result(timeout=30)


def contents(store: SqlStore) -> dict[str, object]:
    accounts = store.accounts.all()
    listed = store.calls.page(None, 0, 1000)
    return {
        "accounts": accounts,
        "ledgers": [(store.accounts.balance(a.id), store.accounts.entries(a.id)) for a in accounts],
        "taken": [str(n) for n in range(1, 10) if store.accounts.is_taken(str(n))],
        "calls": listed,
        "newest": store.calls.page(None, 0, 1000, newest_first=True),
        "of each": [store.calls.page(a.id, 0, 1000) for a in accounts],
        "deliveries": store.calls.page_of_deliveries(None, 0, 1000),
        "pending": sorted(store.calls.pending(), key=lambda delivery: delivery.id),
        "count of pending": store.calls.count_pending(),
        "ringing": sorted(store.calls.ringing(), key=lambda call: call.seq),
    }


def accept(standing: AccountSnapshot) -> CallDecision:
    n = standing.accepted_calls
    placement = store_calls.accept(standing, 0.1 * n)
    fault = Fault(FaultKind.CDR_LATE, delay_s=1.5) if n % 3 == 2 else None
    return replace(placement, call=replace(placement.call, cdr_fault=fault))


def accept_and_change(standing: AccountSnapshot) -> CallDecision:
    account = standing.account
    return replace(accept(standing), account=replace(account, fault_draws=account.fault_draws + 1))


def finish(call: Call, deliveries: Sequence[Delivery]) -> tuple[Call, Sequence[Delivery]]:
    told = [replace(d, due_at=1.5) for d in deliveries]
    again = [replace(d, id=0, says=BUSY, of_uuid="0_1", waits_for=d.id, due_at=None) for d in told[:1]]
    return end(call, BUSY, 1.0), [*told, *again]


def attempted(delivery: Delivery) -> Delivery:
    response = CdrResponse(500, {"Server": "x"}, b"\xff\x00")
    attempt = Attempt(len(delivery.attempts) + 1, 2.0, 0.25, response, "HTTP 500")
    request = CdrRequest("POST", delivery.url, {"A": "b"}, "ü".encode())
    return replace(delivery, attempts=(*delivery.attempts, attempt), request=request, cdr={"q931_status": 17}, due_at=3)


def settled(delivery: Delivery) -> Delivery:
    return replace(delivery, state=DeliveryState.DELIVERED, due_at=None)


def pick(items: Sequence[Any], number: int) -> Any:
    return items[number % len(items)] if items else None


def add(store: SqlStore, number: int) -> None:
    account = add_subscription(Account(str(number), f"token-{number}", number), WEBHOOK)
    if not store.accounts.is_taken(account.id):
        store.accounts.add(account, OPENING, 0.25)


def change_delivery(change: Callable[[Delivery], Delivery]) -> Callable[[SqlStore, int], None]:
    def step(store: SqlStore, number: int) -> None:
        delivery = pick(store.calls.pending(), number)
        if delivery is not None:
            store.calls.change_delivery(delivery.id, change)

    return step


def with_account(step: Callable[[SqlStore, str, int], object]) -> Callable[[SqlStore, int], None]:
    def on_one(store: SqlStore, number: int) -> None:
        account = pick(store.accounts.all(), number)
        if account is not None:
            step(store, account.id, number)

    return on_one


def end_one(store: SqlStore, number: int) -> None:
    call = pick(store.calls.ringing(), number)
    if call is not None:
        store.calls.end(call.verification_call_uuid, finish)


def clear(store: SqlStore, number: int) -> None:
    store.accounts.clear()


STEPS: dict[str, Callable[[SqlStore, int], None]] = {
    "add": add,
    "place": with_account(lambda store, account_id, _: placed(store, account_id, accept)),
    "place and change": with_account(lambda store, account_id, _: placed(store, account_id, accept_and_change)),
    "end": end_one,
    "attempt": change_delivery(attempted),
    "deliver": change_delivery(settled),
    "top up": with_account(lambda store, i, n: store.accounts.post(i, EntryKind.TOP_UP, lambda _: n, 0.5)),
    "change": with_account(
        lambda store, i, _: store.accounts.change(i, lambda a: add_fault(a, Fault(FaultKind.STATUS, times=None)))
    ),
    "remove": with_account(lambda store, account_id, _: store.accounts.remove(account_id)),
    "clear": clear,
    "commit": lambda store, _: settle(store),
}
OFTEN = ["place", "end", "deliver", "add"]
steps = st.lists(st.tuples(st.sampled_from([*OFTEN, *OFTEN, *STEPS]), st.integers(1, 9)), max_size=40)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_whatever_happened_a_store_opened_again_holds_the_same(happenings: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as name:
        folder, crashed = Path(name), Path(name) / "crashed"
        store = open_store(folder)
        add(store, 1)
        for step, number in happenings:
            STEPS[step](store, number)
        settle(store)
        held = contents(store)
        crashed.mkdir()
        for path in folder.glob("state.db*"):  # what a process that is killed now leaves
            shutil.copy(path, crashed)
        store.close()
        for place_of_it in (folder, crashed):
            again = open_store(place_of_it)
            try:
                assert contents(again) == held
            finally:
                again.close()


def test_no_number_is_given_twice(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    add(store, 1)
    add(store, 2)
    for _ in range(JOURNAL):
        end_one_of(store, placed(store, "1", accept))
    seen = placed(store, "2", accept)
    last = store.calls.pending()[-1].id
    store.accounts.remove("2")
    store.close()
    store = open_store(tmp_path)
    call = placed(store, "1", accept)
    assert call.seq == seen.seq + 1
    assert store.calls.deliveries_of(call.verification_call_uuid)[0].id == last + 1
    assert (
        call.verification_call_uuid
        == accept(AccountSnapshot(store.accounts.get("1"), 100, JOURNAL, 1, 1)).call.verification_call_uuid
    )
    store.accounts.clear()
    add(store, 1)
    assert store.accounts.get("1").seq == 3
    store.close()
    store = open_store(tmp_path)
    assert placed(store, "1", accept).seq == call.seq + 1
    store.close()


def end_one_of(store: SqlStore, call: Call) -> None:
    store.calls.end(call.verification_call_uuid, finish)
    for delivery in store.calls.deliveries_of(call.verification_call_uuid):
        store.calls.change_delivery(delivery.id, settled)


def test_a_smaller_journal_takes_what_fits_into_it(tmp_path: Path) -> None:
    store = open_store(tmp_path, 20)
    add(store, 1)
    calls = [placed(store, "1", accept) for _ in range(15)]
    for call in calls[1:]:
        end_one_of(store, call)
    balance = store.accounts.balance("1")
    store.close()
    for _ in range(2):
        store = open_store(tmp_path, 4)
        assert [call.seq for call in store.calls.page(None, 0, 100)] == [12, 13, 14, 15]
        assert [call.seq for call in store.calls.ringing()] == [1], "it has not ended, so it is kept"
        entries = store.accounts.entries("1")
        assert (len(entries), sum(entry.kopecks for entry in entries)) == (4, balance)
        with pytest.raises(NotFound):
            store.calls.get(calls[1].verification_call_uuid)
        store.close()
    with connected(tmp_path / "state.db") as database:
        assert database.execute("SELECT count(*) FROM calls").fetchone() == (5,)
        assert database.execute("SELECT count(*) FROM ledger").fetchone() == (4,)


def test_an_answer_with_bytes_that_are_no_text_is_kept_as_far_as_it_is_text(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    add(store, 1)
    call = placed(store, "1", accept)
    store.calls.end(call.verification_call_uuid, finish)
    response = CdrResponse(500, {"X": "a\udcffb"}, b"")
    store.calls.change_delivery(1, lambda d: replace(d, attempts=(Attempt(1, 0.0, 0.0, response, "\udcff"),)))
    settle(store)
    store.close()
    store = open_store(tmp_path)
    (attempt,) = store.calls.delivery(1).attempts
    assert attempt.response == CdrResponse(500, {"X": "a?b"}, b"")
    store.close()


def test_the_store_is_where_it_was_committed_after_a_commit_that_failed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    add(store, 1)
    first = placed(store, "1", accept)
    settle(store)
    before = contents(store)
    with connected(tmp_path / "state.db") as other:
        other.execute("CREATE TRIGGER no BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no room'); END")
    second = placed(store, "1", accept)
    store.calls.end(first.verification_call_uuid, finish)
    waiting = store.settled()
    assert waiting is not None
    assert "no room" in str(waiting.exception(timeout=30))
    assert contents(store) == before
    later = store.settled()
    assert later is not None
    assert isinstance(later.exception(timeout=30), StorageFailed), "who looks later hears of it too"
    with pytest.raises(StorageFailed):
        placed(store, "1", accept)
    with pytest.raises(NotFound):
        store.calls.get(second.verification_call_uuid)
    store.close()
    with connected(tmp_path / "state.db") as other:
        other.execute("DROP TRIGGER no")
    store = open_store(tmp_path)
    assert contents(store) == before
    store.close()


def file_of(folder: Path) -> Path:
    path = folder / "state.db"
    store = SqlStore(f"sqlite:///{path}", JOURNAL)
    add(store, 1)
    placed(store, "1", accept)
    store.close()
    return path


def newer(path: Path) -> None:
    with connected(path) as database:
        database.execute("UPDATE meta SET value = '2' WHERE key = 'schema_version'")


def sql(statement: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with connected(path) as database:
            database.execute(statement)

    return run


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.unlink()
    with connected(path) as database:
        database.execute("CREATE TABLE notes (text)")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "newer": (newer, "is of a newer version of mcn-mock, form 2; this one knows 1"),
    "no version": (sql("DELETE FROM meta"), "is a database of another program"),
    "torn": (torn, "malformed|damaged"),
    "text": (lambda path: path.write_text("no database, but a text\n" * 100), "file is not a database"),
    "foreign": (foreign, "is a database of another program"),
    "no account": (sql("DELETE FROM accounts"), "is damaged: .*'1'"),
    "no JSON": (sql("UPDATE calls SET data = '{'"), "is damaged: "),
    "a value that cannot be": (
        sql("""UPDATE accounts SET data = replace(data, '"seed":1', '"seed":-1')"""),
        "damaged: ",
    ),
    "money gone": (sql("UPDATE ledger SET kopecks = kopecks - 1 WHERE n = 1"), "does not add up at entry 1"),
    "an entry gone": (sql("DELETE FROM ledger"), "account 1 has no ledger"),
    "a table gone": (sql("DROP TABLE deliveries"), "no such table: deliveries"),
    "a counter that is none": (sql("UPDATE meta SET value = 'x' WHERE key = 'calls_placed'"), "is damaged: "),
}


@pytest.mark.parametrize("spoil, problem", SPOILT.values(), ids=SPOILT)
def test_a_file_that_cannot_be_used_is_said_and_left_as_it_is(
    tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    path = file_of(tmp_path)
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=problem) as caught:
        SqlStore(f"sqlite:///{path}", JOURNAL)
    assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.db"]


@pytest.mark.parametrize(
    "url, problem",
    [
        ("", "is no database URL; it is sqlite:///"),
        ("state.db", "is no database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://state.db", "names more than a file"),
        ("sqlite:///state.db?mode=ro", "names more than a file"),
        ("postgresql://me:secret@localhost/x", "'postgresql' is not known; known is sqlite:///"),
        ("sqlite+aiosqlite:///x", "is not known"),
        ("SQLITE:///x", "is not known"),
        ("sqlite:////no/such/folder/state.db", "/no/such/folder/state.db cannot be opened: No such file or directory"),
        ("sqlite:////", "/ cannot be opened: Is a directory"),
        ("sqlite:////dev/null/x", "/dev/null/x cannot be opened: Not a directory"),
        ("sqlite:///" + "x" * 300, "cannot be opened: File name too long"),
        ("sqlite:///a\0b", "names no file, but"),
    ],
)
def test_a_url_that_cannot_be_used_is_said(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        SqlStore(url, JOURNAL)
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)


def test_two_do_not_use_one_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(ConfigError, match="another sandbox uses it"):
        open_store(tmp_path)
    store.close()
    open_store(tmp_path).close()


def test_others_may_read_while_it_is_used(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    add(store, 1)
    placed(store, "1", accept)
    settle(store)
    with connected(tmp_path / "state.db") as reader:
        query = "SELECT account_id, state, placed_at FROM calls"
        assert reader.execute(query).fetchall() == [("1", "ringing", 0.0)]
        assert reader.execute("SELECT sum(kopecks) FROM ledger").fetchone() == (OPENING - 15,)
    store.close()
