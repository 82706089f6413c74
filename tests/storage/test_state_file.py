"""What is a state file's own: it holds what was answered however the process ended, and says why if it cannot."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from helpers.storage_steps import (
    OPENING,
    PRICE,
    Steps,
    accept,
    accept_ended,
    account,
    fail,
    finish,
    finish_twice_told,
    reorder,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_mcn_mock.errors import ConfigError, NotFound, StorageFailed
from pytest_mcn_mock.model.accounts import Account, add_fault
from pytest_mcn_mock.model.deliveries import Attempt, CdrResponse, DeliveryState
from pytest_mcn_mock.model.faults import Fault, FaultKind
from pytest_mcn_mock.model.money import EntryKind
from pytest_mcn_mock.service.ports import AccountDecision, AccountSnapshot, CallDecision, Posting
from pytest_mcn_mock.storage import transactions
from pytest_mcn_mock.storage.memory import MemoryStorage
from pytest_mcn_mock.storage.sql import SqlStorage
from pytest_mcn_mock.storage.transactions import Transactions

JOURNAL = 5
Open = Callable[..., Steps]


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, committed and closed at the end."""
    with closing(sqlite3.connect(path)) as database, database:
        yield database


def execute(path: Path, statement: str) -> None:
    with connected(path) as database:
        database.execute(statement)


def let_fail(path: Path, when: str) -> None:
    """Let every transaction fail that does this: ``INSERT ON calls``."""
    execute(path, f"CREATE TRIGGER failing BEFORE {when} BEGIN SELECT RAISE(ABORT, 'no room'); END")


def let_succeed(path: Path) -> None:
    execute(path, "DROP TRIGGER failing")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def open_steps(loop: asyncio.AbstractEventLoop, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A function that opens the state file, which may have been closed meanwhile."""
    monkeypatch.setattr(transactions, "RETRY_S", 0.01)
    opened: list[Steps] = []

    def open_it(at: Path = path, journal_size: int = JOURNAL) -> Steps:
        opened.append(Steps(SqlStorage(partial(Transactions, f"sqlite:///{at}"), journal_size), loop))
        return opened[-1]

    yield open_it
    for steps in opened:
        if not steps.has_ended:
            steps.end()


@pytest.fixture
def steps(open_steps: Open) -> Steps:
    """A new state file with an account that has a webhook."""
    opened = open_steps()
    opened.open()
    return opened


# What it holds


def take(steps: Steps, kind: str, which: int) -> object:
    """Take a step of that kind with one of the things that there are."""
    storage, run = steps.storage, steps.run
    match kind:
        case "open":
            number = str(which or 1)
            return None if run(storage.is_taken(number)) else steps.open(number, "http://a/", "http://b/")
        case "reset":
            steps.handed.clear()
            return run(storage.reset([(account("9", "http://a/"), OPENING)], 9.0))
        case "claim":
            return claim(steps, which)
        case "settle" | "fail":
            return settle(steps, kind, which)
        case "end" | "end twice told" | "reorder":
            ringing = [call for call in run(storage.calls(None, 0, 100)) if call.ending is None]
            how = {"end": finish, "end twice told": finish_twice_told, "reorder": reorder}[kind]
            return steps.finish(ringing[which % len(ringing)], how) if ringing else None
        case "resend" | "give up":
            return change_delivery(steps, kind, which)
    ids = [state.account.id for state in run(storage.accounts(0, 100))]
    return WITH_ACCOUNT[kind](steps, ids[which % len(ids)]) if ids else None


def claim(steps: Steps, which: int) -> object:
    """Claim what is due, and end the calls of it."""
    taken = steps.claim(newest_call=which or None, under_way={"b": which or 3}, per_host=5)
    for due in taken.work:
        if due.delivery is None:
            steps.finish(due.call)
        else:
            steps.handed.append(due.delivery)
    work = sorted((due.due_at, due.call.seq, due.delivery.id if due.delivery else 0) for due in taken.work)
    return work if which else (work, taken.next_due_at, taken.lacks_room)


def settle(steps: Steps, kind: str, which: int) -> object:
    """Settle one of the deliveries that were claimed."""
    if not steps.handed:
        return None
    handed = sorted(steps.handed, key=lambda delivery: delivery.id)[which % len(steps.handed)]
    steps.handed.remove(handed)
    try:
        return steps.settle(handed) if kind == "settle" else steps.settle(handed, error="no", due_at=1.0 + which)
    except NotFound as error:
        return str(error)


def change_delivery(steps: Steps, kind: str, which: int) -> object:
    deliveries = steps.run(steps.storage.deliveries(None, 0, 100))
    if not deliveries:
        return None
    chosen = deliveries[which % len(deliveries)]
    call = steps.run(steps.storage.call(chosen.verification_call_uuid))
    if kind == "resend" and call.ending is not None:
        return steps.resend(chosen, at=float(which))
    return steps.change(chosen, state=DeliveryState.FAILED, due_at=None)


def change_account(change: Callable[[Account], AccountDecision]) -> Callable[[Steps, str], object]:
    return lambda steps, account_id: steps.run(steps.storage.change_account(account_id, lambda of, _: change(of)))


WITH_ACCOUNT: dict[str, Callable[[Steps, str], object]] = {
    "place": lambda steps, account_id: steps.place(account_id),
    "place ended": lambda steps, account_id: steps.place(account_id, accept_ended, answered=False),
    "close": lambda steps, account_id: steps.run(steps.storage.close_account(account_id)),
    "top up": change_account(lambda of: AccountDecision(of, Posting(EntryKind.TOP_UP, 7, 0.5))),
    "add fault": change_account(lambda of: AccountDecision(add_fault(of, Fault(FaultKind.STATUS, times=None)))),
}
OFTEN = ("place", "end", "claim", "settle")
KINDS = (*OFTEN, "place ended", "end twice told", "reorder", "fail", "resend", "give up", "top up", "add fault")


# CDRs that are due at one moment, with room for some of them: some are new, some have waited for room.
@settings(max_examples=12, deadline=None)
@example([("place", 0), ("place", 0), ("end", 1), ("end", 0), ("claim", 4)])
@example([*[("place", 0)] * 3, ("end", 2), ("claim", 5), ("end", 1), ("end", 0), ("claim", 0)])
@given(
    st.lists(
        st.tuples(st.sampled_from([*OFTEN, *OFTEN, *KINDS, "open", "close", "reset"]), st.integers(0, 9)),
        max_size=40,
    )
)
def test_it_holds_what_memory_would_whatever_happened_and_opened_again(happenings: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as name, closing(asyncio.new_event_loop()) as loop:
        folder, crashed = Path(name), Path(name) / "crashed"
        steps = Steps(SqlStorage(partial(Transactions, f"sqlite:///{folder}/state.db"), JOURNAL), loop)
        model = Steps(MemoryStorage(JOURNAL, has_one_time=True), loop)
        try:
            for kind, which in [("open", 1), ("open", 2), *happenings]:
                assert take(steps, kind, which) == take(model, kind, which)
            held = steps.contents()
            assert held == model.contents()
            crashed.mkdir()
            for file in folder.glob("state.db*"):  # what a process that is killed now leaves
                shutil.copy(file, crashed)
        finally:
            steps.end()
            model.end()
        for place in (folder, crashed):
            again = Steps(SqlStorage(partial(Transactions, f"sqlite:///{place}/state.db"), JOURNAL), loop)
            assert again.contents() == held
            again.end()


def test_no_number_is_given_twice(open_steps: Open, steps: Steps) -> None:
    steps.open("2")
    seen = [steps.place("2") for _ in range(3)][-1]
    last = steps.deliveries_of(seen)[-1].id
    steps.run(steps.storage.close_account("2"))
    steps.end()
    steps = open_steps()
    call = steps.place()
    assert call.seq == seen.seq + 1
    assert steps.deliveries_of(call)[0].id == last + 1
    steps.run(steps.storage.reset([], 0.0))
    assert steps.open().seq == 3
    steps.end()
    assert open_steps().place().seq == call.seq + 1


def test_a_smaller_journal_takes_what_fits_into_it(open_steps: Open, path: Path) -> None:
    steps = open_steps(journal_size=20)
    steps.open()
    calls = [steps.place() for _ in range(15)]
    for call in calls[1:]:
        steps.deliver(call)
    balance = steps.balance()
    steps.end()
    for _ in range(2):
        steps = open_steps(journal_size=4)
        assert [call.seq for call in steps.run(steps.storage.calls(None, 0, 100))] == [12, 13, 14, 15]
        assert steps.run(steps.storage.call(calls[0].verification_call_uuid)) == calls[0], "it rings, so it is kept"
        assert steps.run(steps.storage.counts()) == (1, 1, 11)
        assert len(steps.run(steps.storage.ledger("1"))) == 4
        assert steps.balance() == balance
        with pytest.raises(NotFound):
            steps.run(steps.storage.call(calls[1].verification_call_uuid))
        steps.end()
    with connected(path) as database:
        assert database.execute("SELECT count(*) FROM calls").fetchone() == (5,)
        assert database.execute("SELECT count(*) FROM ledger").fetchone() == (4,)


def test_an_answer_with_bytes_that_are_not_text_is_kept_as_far_as_it_is_text(open_steps: Open, steps: Steps) -> None:
    steps.deliver(steps.place())
    attempt = Attempt(1, 0.0, 0.0, CdrResponse(500, {"X": "a\udcffb"}, b""), "\udcff")
    steps.change(steps.run(steps.storage.delivery(1)), attempts=(attempt,))
    steps.end()
    again = open_steps()
    (kept,) = again.run(again.storage.delivery(1)).attempts
    assert (kept.response, kept.error) == (CdrResponse(500, {"X": "a?b"}, b""), "?")


def test_its_latest_moment_is_known(open_steps: Open, steps: Steps) -> None:
    assert steps.storage.latest == 0.0
    steps.end()
    steps = open_steps()
    assert steps.storage.latest == 0.25, "the account was opened then"
    steps.finish(steps.place())
    steps.end()
    steps = open_steps()
    assert steps.storage.latest == 1.0, "the call ended then"
    steps.settle(steps.claimed()[0])
    steps.end()
    assert open_steps().storage.latest == 2.25, "the attempt ended then"


# Claims of a process that has ended


def test_a_killed_process_leaves_claims_that_are_void_after_resuming(
    open_steps: Open, steps: Steps, tmp_path: Path
) -> None:
    ringing, ended = steps.place(), steps.place(answered=False)
    steps.finish(ended)
    steps.run(steps.storage.answered(ended.verification_call_uuid))
    unanswered = steps.place("1", accept_ended, answered=False)
    assert len(steps.claim().work) == 2
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in tmp_path.glob("state.db*"):
        shutil.copy(file, crashed)
    again = open_steps(crashed / "state.db")
    assert not again.claim(1e9).work
    again.run(again.storage.resume())
    assert sorted(due.call.seq for due in again.claim().work) == [ringing.seq, ended.seq, unanswered.seq]


def test_a_claim_runs_out_unless_it_is_renewed(steps: Steps) -> None:
    ringing, ended = steps.place(), steps.place()
    steps.finish(ended)
    assert len(steps.claim(lease_s=-1).work) == 2
    work, next_due_at, _ = steps.claim(lease_s=-1)
    assert ({due.call.seq for due in work}, next_due_at) == ({ringing.seq, ended.seq}, 1.0)
    assert steps.run(steps.storage.backlog(10.0)).waiting == 1
    steps.run(steps.storage.renew([1, 2], 60))
    assert [due.delivery for due in steps.claim().work] == [None]


# Commits


def test_steps_of_one_round_share_a_commit_and_its_failure(steps: Steps, path: Path) -> None:
    let_fail(path, "INSERT ON deliveries WHEN NEW.id = 3")
    before = steps.contents()

    async def place_three() -> list[object]:
        three = [steps.storage.place("1", accept) for _ in range(3)]
        return await asyncio.gather(*three, return_exceptions=True)

    results = steps.run(place_three())
    assert [str(result) for result in results] == ["the state cannot be written: no room"] * 3
    assert all(isinstance(result, StorageFailed) for result in results)
    assert steps.contents() == before


@pytest.mark.parametrize("failing, balance", [(2, OPENING), (99, OPENING - 2 * PRICE)])
def test_what_is_not_committed_yet_is_shown_to_nobody(steps: Steps, path: Path, failing: int, balance: int) -> None:
    let_fail(path, f"INSERT ON deliveries WHEN NEW.id = {failing}")

    async def read_between_two() -> list[Any]:
        storage = steps.storage
        return await asyncio.gather(
            storage.place("1", accept),
            storage.account("1"),
            storage.accounts(0, 10),
            storage.ledger("1"),
            storage.calls("1", 0, 10),
            storage.deliveries(None, 0, 10),
            storage.pending(10),
            storage.counts(),
            storage.place("1", accept),
            return_exceptions=True,
        )

    _, account, (listed,), ledger, calls, deliveries, pending, counts, _ = steps.run(read_between_two())
    is_kept = balance != OPENING
    assert steps.balance() == balance
    assert account.balance == listed.balance == ledger[-1].balance == OPENING - PRICE * is_kept
    assert len(calls) == len(deliveries) == len(pending) == counts.pending == is_kept


def test_a_refusal_of_the_rules_leaves_the_others_of_its_round_alone(open_steps: Open, steps: Steps) -> None:
    async def place_two() -> tuple[object, ...]:
        storage = steps.storage
        ordered = (storage.place("1", accept), storage.place("1", fail), storage.place("1", accept))
        return await asyncio.gather(*ordered, return_exceptions=True)

    first, refused, second = steps.run(place_two())
    assert isinstance(refused, ZeroDivisionError)
    assert isinstance(first, CallDecision)
    assert isinstance(second, CallDecision)
    assert (first.call.seq, second.call.seq) == (1, 2)
    steps.end()
    assert open_steps().balance() == OPENING - 2 * PRICE


def test_whoever_stops_waiting_for_a_commit_stops_no_other(open_steps: Open, steps: Steps) -> None:
    async def place_two() -> None:
        first, second = (asyncio.ensure_future(steps.storage.place("1", accept)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).call.seq == 2
        assert first.cancelled()

    steps.run(place_two())
    steps.end()
    assert open_steps().balance() == OPENING - 2 * PRICE


def test_a_step_on_another_thread_is_kept_when_it_returns(open_steps: Open, steps: Steps, path: Path) -> None:
    def place_without_a_loop() -> None:
        with pytest.raises(StopIteration):
            steps.storage.place("1", accept).send(None)
        with connected(path) as reader:
            counted.append(reader.execute("SELECT count(*) FROM calls").fetchone()[0])

    async def place_on_both() -> None:
        own = asyncio.ensure_future(steps.storage.place("1", accept))
        await asyncio.sleep(0)
        thread = threading.Thread(target=place_without_a_loop)
        thread.start()
        thread.join()
        assert (await own).call.seq == 1

    counted: list[int] = []
    steps.run(place_on_both())
    assert counted == [2], "with what was not committed yet of the loop's"


def test_an_order_waits_for_another_program_that_writes(steps: Steps, path: Path) -> None:
    decided = threading.Event()

    def decide(snapshot: AccountSnapshot) -> CallDecision:
        decided.set()
        return accept(snapshot)

    ordering = threading.Thread(target=steps.place, args=("1", decide))
    with connected(path) as other:
        other.execute("BEGIN IMMEDIATE")
        ordering.start()
        assert not decided.wait(0.2)
        other.rollback()
    ordering.join()
    assert steps.balance() == OPENING - PRICE


def test_nothing_is_kept_until_the_database_takes_something_again(
    steps: Steps, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = steps.place()
    before = steps.contents()
    told: list[str | None] = []
    assert isinstance(steps.storage, SqlStorage)
    steps.storage.on_recovery = lambda: told.append(steps.storage.failure)
    with connected(path) as other:
        other.execute("CREATE TRIGGER no BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no room'); END")
        other.execute("CREATE TRIGGER nor BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'no room'); END")
    for _ in range(2):
        with pytest.raises(StorageFailed, match="the state cannot be written: no room"):
            steps.place()
    with pytest.raises(StorageFailed, match="no room"):
        steps.finish(first)
    steps.run(asyncio.sleep(0.05))
    assert steps.storage.failure == "the state cannot be written: no room"
    assert (steps.contents(), told) == (before, [])
    with connected(path) as other:
        other.execute("DROP TRIGGER no")
        other.execute("DROP TRIGGER nor")
    recover(steps)
    assert told == [None]
    assert steps.place().seq == first.seq + 1
    assert [(record.levelno, record.message) for record in caplog.records if record.levelno > logging.DEBUG] == [
        (logging.ERROR, "the state cannot be written: no room; new calls are refused until it can"),
        (logging.WARNING, "the state can be written again"),
    ]


def recover(steps: Steps) -> None:
    """Wait until the storage takes steps again."""
    wait_until(steps, lambda: steps.storage.failure is None)


def break_down(steps: Steps) -> None:
    """Wait until the storage notices, though nobody takes a step."""
    wait_until(steps, lambda: steps.storage.failure is not None)


def wait_until(steps: Steps, holds: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not holds():  # noqa: ASYNC110 - the storage reports a failure to nobody
            await asyncio.sleep(0.01)

    steps.run(asyncio.wait_for(wait(), 30))


def test_a_mistake_of_ours_in_the_middle_of_a_step_takes_nothing_half(
    steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    before = steps.contents()
    with pytest.raises(StorageFailed):
        steps.place("1", lambda snapshot: replace(accept(snapshot), account=object()))
    recover(steps)
    assert steps.contents() == before
    assert "Traceback" in caplog.text


# Files


@pytest.mark.parametrize("is_idle", [False, True])
def test_a_file_that_is_moved_away_is_noticed_until_it_is_back(
    steps: Steps, path: Path, tmp_path: Path, is_idle: bool, open_steps: Open
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    steps.place()
    files = list(tmp_path.glob("state.db*"))
    for file in files:
        file.rename(there / file.name)
    if is_idle:
        break_down(steps)
    for _ in range(2):
        with pytest.raises(StorageFailed, match=r"state\.db is gone: it was deleted or moved; put it back"):
            steps.place()
    assert steps.balance() == OPENING - PRICE, "what was kept can still be read"
    for file in files:
        (there / file.name).rename(file)
    recover(steps)
    steps.place()
    steps.end()
    assert open_steps().balance() == OPENING - 2 * PRICE


def test_a_file_that_is_cut_short_takes_no_steps(steps: Steps, path: Path) -> None:
    steps.place()
    os.truncate(path, 0)
    with pytest.raises(StorageFailed):
        steps.place()
    break_down(steps)
    assert "cut short" in str(steps.storage.failure)


def test_a_file_that_is_replaced_is_left_alone(open_steps: Open, steps: Steps, path: Path, tmp_path: Path) -> None:
    steps.place()
    other = open_steps(tmp_path / "other.db")
    other.open("2")
    other.end()
    content = (tmp_path / "other.db").read_bytes()
    (tmp_path / "other.db").rename(path)
    with pytest.raises(StorageFailed, match="is another file now"):
        steps.place()
    steps.end()
    assert path.read_bytes() == content
    again = open_steps()
    assert [state.account.id for state in again.run(again.storage.accounts(0, 9))] == ["2"]


def test_a_write_ahead_log_that_is_deleted_costs_nothing(open_steps: Open, steps: Steps, path: Path) -> None:
    steps.place()
    path.with_name("state.db-wal").unlink()
    with pytest.raises(StorageFailed, match=r"state\.db-wal is gone"):
        steps.place()
    recover(steps)
    steps.place()
    steps.end()
    assert open_steps().balance() == OPENING - 2 * PRICE


# Opening


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.unlink()
    execute(path, "CREATE TABLE notes (text)")


def by(statement: str) -> Callable[[Path], None]:
    return lambda path: execute(path, statement)


VERSION = "UPDATE meta SET value = '{}' WHERE key = 'schema_version'"
DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "newer": (by(VERSION.format(4)), "is of a newer version of mcn-mock, form 4; this one knows 3$"),
    "older": (by(VERSION.format(1)), "is of an older version of mcn-mock, form 1; this one knows 3; start with a new"),
    "no version": (by("DELETE FROM meta"), "is a database of another program"),
    "torn": (torn, "malformed|damaged"),
    "text": (lambda path: path.write_text("a text and no database\n" * 100), "file is not a database"),
    "foreign": (foreign, "is a database of another program"),
    "no account": (by("DELETE FROM accounts"), "is damaged: .*'1'"),
    "no call": (by("DELETE FROM calls"), "is damaged: a row belongs to 1, which is not there"),
    "no JSON": (by("UPDATE calls SET data = '{'"), "is damaged: "),
    "a value that is wrong": (by("""UPDATE accounts SET data = replace(data, '"seed":1', '"seed":-1')"""), "damaged: "),
    "a kind that is wrong": (by("UPDATE ledger SET kind = 'x'"), "damaged: 'x' is not a valid"),
    "money gone": (by("UPDATE ledger SET kopecks = kopecks - 1 WHERE n = 1"), "does not add up at entry 1"),
    "money gone elsewhere": (by("UPDATE totals SET balance = 1"), "does not add up to its balance"),
    "an entry gone": (by("DELETE FROM ledger"), "account 1 has no ledger"),
    "totals gone": (by("DELETE FROM totals"), "is damaged: .*'1'"),
    "a table gone": (by("DROP TABLE deliveries"), "no such table: deliveries"),
    "a number that is none": (by("UPDATE numbers SET calls = 'x'"), "is damaged: "),
    "numbers gone": (by("DELETE FROM numbers"), "is damaged: "),
}


@pytest.mark.parametrize("damage, problem", DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_cannot_be_used_is_said_and_left_as_it_is(
    steps: Steps, path: Path, damage: Callable[[Path], object], problem: str
) -> None:
    steps.place()
    steps.end()
    damage(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=problem) as caught:
        SqlStorage(partial(Transactions, f"sqlite:///{path}"), JOURNAL)
    assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]


@pytest.mark.parametrize(
    "url, problem",
    [
        ("", "is not a database URL; it is sqlite:///"),
        ("state.db", "is not a database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://state.db", "names more than a file"),
        ("sqlite:///state.db?mode=ro", "names more than a file"),
        ("mysql://me:secret@localhost/x", "'mysql' is not known; known is sqlite:///"),
        ("sqlite+aiosqlite:///x", "is not known"),
        ("sqlite:////nowhere/state.db", "cannot be opened: No such file or directory"),
        ("sqlite:///" + "x" * 300, "cannot be opened: File name too long"),
        ("sqlite:///a\0b", "names no file, but"),
    ],
)
def test_a_url_that_cannot_be_used_is_said(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        SqlStorage(partial(Transactions, url), JOURNAL)
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)


def test_two_do_not_use_one_file(open_steps: Open, steps: Steps) -> None:
    with pytest.raises(ConfigError, match="another sandbox uses it"):
        open_steps()
    steps.end()
    open_steps().end()


def test_others_may_read_while_it_is_used(steps: Steps, path: Path) -> None:
    steps.place()
    with connected(path) as reader:
        query = "SELECT account_id, state, placed_at FROM calls"
        assert reader.execute(query).fetchall() == [("1", "ringing", 0.0)]
        assert reader.execute("SELECT sum(kopecks) FROM ledger").fetchone() == (OPENING - PRICE,)
