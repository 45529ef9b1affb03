"""Locks in the store: what comes back after reopening, kill -9, a full disk. S1, S2, J6, Y1, Y2."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from makfs.errors import BadName, StoreFull
from makfs.ids import Address, AgentId
from makfs.locks import Claim, Event, LockTable, Mode, Row, Rows, What
from makfs.locks.rows import grant_row, waiter_rows
from makfs.store.checking import check_file
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import ALICE, LARGE_BYTES, change, draft, file_state, held, waiting
from tests.unit.test_store_durability import fill, small_disk

__all__ = ["small_disk"]  # a fixture

ROOT = Path(__file__).parent.parent.parent
HOSTILE = [
    "", "resource:port:8000", "a b/c'\"%--.py::C.m", "caf\udce9/x.py::f", "caf\xe9/\u202e.py", "\udcff", "\n",
    "\udcc3(/", "x" * 5_000, "\U0001f512.py::Klasse.l\xf6sche",
]  # fmt: skip


def open_store(directory: Path) -> SqliteStore:
    return SqliteStore.open(directory, large_bytes=LARGE_BYTES)


def reopen(store: SqliteStore) -> SqliteStore:
    store.close()
    return open_store(store.file.parent)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()
    assert check_file(opened.file) == []


def same(rows: Rows) -> tuple[int, int, list[tuple[object, ...]], tuple[Row, ...]]:
    """Return rows for comparison: the order of grants means nothing, that of waiters' claims does."""
    return rows.fence, rows.ticket, sorted(tuple(row.values()) for row in rows.grants), rows.waiters


def addresses(store: SqliteStore) -> list[object]:
    return [row["address"] for row in store.lock_rows().grants]


def on_disk(store: SqliteStore) -> Rows:
    """Return what a process that was killed now would find."""
    again = open_store(store.file.parent)
    rows = again.lock_rows()
    again._connection.close()
    return rows


def keep(store: SqliteStore, table: LockTable, events: Iterable[Event]) -> None:
    """Tell the store what happened, event by event."""
    for event in events:
        ended = event.what in (What.RELEASED, What.EXPIRED)
        over = event.what in (What.PROMOTED, What.CANCELLED, What.GAVE_UP)
        store.keep_locks(
            fence=table.fence,
            ticket=table.ticket,
            grants=() if ended else map(grant_row, event.grants),
            gone=[(grant.agent, grant.address) for grant in event.grants if ended],
            waiters=waiter_rows(event.waiter) if event.waiter and event.what is What.QUEUED else (),
            left=[event.waiter.ticket] if event.waiter and over else (),
        )


def something(table: LockTable, chance: random.Random, now_ns: int) -> tuple[Event, ...]:
    """Let one of four agents do something with some hostile addresses."""
    agent = AgentId(f"agent{chance.randrange(4)}")
    waits = [waiter.ticket for waiter in table.waiters() if waiter.agent == agent]
    what = chance.random()
    if what < 0.6:
        wanted = chance.sample(HOSTILE[1:], chance.randrange(1, 4))
        claims = [Claim(Address(each), chance.choice(list(Mode))) for each in wanted]
        return table.request(
            agent,
            claims,
            now_ns=now_ns,
            lease_ns=chance.randrange(1, 40),
            wait_ns=chance.randrange(60),
            priority=chance.randrange(-2, 3),
            while_active=chance.random() < 0.5,
        ).events
    if what < 0.7 and waits:
        return table.cancel(chance.choice(waits), now_ns=now_ns)
    return table.release(agent, now_ns=now_ns) if what < 0.85 else table.expire(now_ns=now_ns)


@pytest.mark.parametrize("seed", range(8))
def test_a_table_comes_back_as_it_was_whenever_the_store_is_opened_again(tmp_path: Path, seed: int) -> None:
    chance, table, store, queued = random.Random(seed), LockTable(aging_ns=10), open_store(tmp_path), 0
    for now_ns in range(1, 400):
        keep(store, table, table.expire(now_ns=now_ns))  # first: a decision tells its own event first
        keep(store, table, something(table, chance, now_ns))
        assert same(store.lock_rows()) == same(table.to_rows()), "S2"
        queued += bool(table.to_rows().waiters)
        match chance.randrange(40):
            case 0:
                store = reopen(store)
            case 1:
                store.commit(draft(change("a", file_state([b"%d" % now_ns]))))
                assert same(on_disk(store)) == same(table.to_rows())
            case 2:
                with pytest.raises(AssertionError, match="J1"):
                    store.commit(draft())
            case 3:
                store.write_lazies()
                assert store.check() == [], "J6"
                table, events = LockTable.from_rows(store.lock_rows(), now_ns=now_ns, aging_ns=10)
                keep(store, table, events)
    assert queued > 50, "waiters were tried too"
    store.close()


@pytest.mark.parametrize("address", HOSTILE)
def test_an_address_of_any_bytes_comes_back(store: SqliteStore, address: str) -> None:
    store.keep_locks(
        fence=1, ticket=1, grants=[grant_row(held(address))], waiters=waiter_rows(waiting(address))
    )
    again = reopen(store)
    rows = again.lock_rows()
    assert (rows.grants, rows.waiters) == ((grant_row(held(address)),), waiter_rows(waiting(address)))
    again.keep_locks(fence=1, ticket=1, gone=[(ALICE, address)], left=[1])
    again = reopen(again)
    assert again.lock_rows() == Rows(1, 1, (), ())
    again.close()


@pytest.mark.parametrize("address", ["a\0b", "\ud800.py"])
def test_an_address_no_file_can_have_is_refused_and_nothing_of_the_call_is_kept(
    store: SqliteStore, address: str
) -> None:
    fine, bad = grant_row(held("a")), grant_row(held(address))
    with pytest.raises(BadName):
        store.keep_locks(fence=1, ticket=1, grants=[fine, bad])
    with pytest.raises(BadName):
        store.keep_locks(fence=1, ticket=1, grants=[fine], waiters=waiter_rows(waiting(address)))
    with pytest.raises(BadName):
        store.keep_locks(fence=1, ticket=1, grants=[fine], gone=[(ALICE, address)])
    assert store.lock_rows() == Rows(0, 0, (), ())


def test_claims_of_a_waiter_come_back_in_the_order_in_which_they_were_made(store: SqliteStore) -> None:
    several = waiting("b", "\udcff", "a", "c", "\xe9")
    store.keep_locks(
        fence=1, ticket=2, waiters=(*waiter_rows(several), *waiter_rows(waiting("z", "y", ticket=2)))
    )
    again = reopen(store)
    assert [row["address"] for row in again.lock_rows().waiters] == [
        "b",
        "\udcff",
        "a",
        "c",
        "\xe9",
        "z",
        "y",
    ]
    again.close()


def test_what_is_put_and_removed_before_a_transaction_is_never_written_y1(store: SqliteStore) -> None:
    store.keep_locks(fence=1, ticket=1, grants=[grant_row(held("a"))], waiters=waiter_rows(waiting("a")))
    store.keep_locks(fence=1, ticket=1, gone=[(ALICE, "a")], left=[1])
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    store.write_lazies()
    assert statements
    assert not [each for each in statements if "lock_grant" in each or "lock_waiter" in each]
    statements.clear()
    store.write_lazies()
    assert statements == [], "nothing is lazy any more"


def test_one_call_puts_first_and_removes_then_and_a_later_call_puts_again(store: SqliteStore) -> None:
    one, two = grant_row(held("a")), grant_row(held("a", fence=2))
    store.keep_locks(fence=1, ticket=0, grants=[one])
    store.write_lazies()
    store.keep_locks(fence=2, ticket=0, grants=[two], gone=[(ALICE, "a")])
    assert addresses(store) == []
    store.keep_locks(fence=2, ticket=0, grants=[two])
    assert store.lock_rows().grants == (two,)
    assert on_disk(store).grants == (one,), "S2: lazy"
    store.write_lazies()
    assert on_disk(store).grants == (two,)


def test_numbers_never_go_back_y2(store: SqliteStore) -> None:
    store.keep_locks(fence=7, ticket=9)
    store.keep_locks(fence=3, ticket=4)
    again = reopen(store)
    assert again.lock_rows() == Rows(7, 9, (), ())
    assert again.get_meta("@lock_fence") == "7"
    again.close()


def test_a_full_disk_keeps_what_is_lazy_for_the_next_transaction_s1(small_disk: Path) -> None:
    store = open_store(small_disk)
    store.keep_locks(fence=1, ticket=1, grants=[grant_row(held("kept"))])
    store.write_lazies()
    ballast = fill(small_disk)
    many = [grant_row(held(f"{number}{'x' * 500}", fence=2)) for number in range(500)]
    store.keep_locks(fence=2, ticket=1, grants=many, gone=[(ALICE, "kept")])
    for _ in range(2):
        with pytest.raises(StoreFull):
            store.write_lazies()
        assert len(store.lock_rows().grants) == 500
    assert [row["address"] for row in on_disk(store).grants] == ["kept"]
    ballast.unlink()
    store.commit(draft(change("a", file_state([b"1"]))))
    assert len(on_disk(store).grants) == 500
    assert store.check() == []
    store.close()


# Claims, writes, tells; releases the one before without writing.
CLAIMER = """
import sys
from pathlib import Path
from makfs.locks.rows import grant_row
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import ALICE, LARGE_BYTES, held

store = SqliteStore.open(Path(sys.argv[1]), large_bytes=LARGE_BYTES)
print("ready", flush=True)
for number in range(1, 1_000_000):
    grant = held(f"caf\\udce9/{number}", fence=number)
    store.keep_locks(fence=number, ticket=number, grants=[grant_row(grant)])
    store.write_lazies()
    print(number, flush=True)
    store.keep_locks(fence=number, ticket=number, gone=[(ALICE, grant.address)])
"""


@pytest.mark.parametrize("kill_after", [0, 1, 50])
def test_a_grant_written_explicitly_survives_kill_9(tmp_path: Path, kill_after: int) -> None:
    written = 0
    child = subprocess.Popen(
        [sys.executable, "-c", CLAIMER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.readline() == "ready\n"
        for _ in range(kill_after):
            written = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        for line in child.stdout:
            written = int(line) if line.endswith("\n") else written
    store = open_store(tmp_path)
    assert store.check() == [], "J6"
    rows = store.lock_rows()
    assert rows.fence == rows.ticket
    assert rows.fence in (written, written + 1)
    assert [row["fence"] for row in rows.grants] == ([rows.fence] if rows.fence else [])
    store.close()


DAMAGE = {
    "J6 fence 99: The newest fence on record is 2": "UPDATE lock_grant SET fence = 99 WHERE address = 'a'",
    "J6 ticket 1: The newest ticket on record is 0": "UPDATE meta SET value = '0' WHERE key = '@lock_ticket'",
    "J6 locks: The locks cannot be put together: The stored grant 2": "UPDATE lock_grant SET agent = 'bob',"
    " address = 'a::f' WHERE address = 'b'",
    "J6 locks: The locks cannot be put together: A stored lock is damaged": "UPDATE lock_grant SET"
    " address = '/' WHERE address = 'a'",
    "J6 locks: The locks cannot be put together: invalid": "UPDATE meta SET value = 'x'"
    " WHERE key = '@lock_fence'",
    "J6 lock_grant: An address in it is stored": "UPDATE lock_grant SET address = x'61' WHERE address = 'a'",
    "J6 lock_waiter: An address in it is stored": "UPDATE lock_waiter SET address = 5",
    "J6 locks: The locks cannot be put together: A stored lock has no address or no mode": "UPDATE lock_grant"
    " SET mode = 'Y' WHERE address = 'a'",
}  # fmt: skip


@pytest.mark.parametrize("expected", DAMAGE)
def test_check_finds_damaged_locks(tmp_path: Path, expected: str) -> None:
    store = open_store(tmp_path)
    grants = [grant_row(held("a")), grant_row(held("b", fence=2))]
    store.keep_locks(fence=2, ticket=1, grants=grants, waiters=waiter_rows(waiting("a")))
    store.close()
    assert check_file(store.file) == []
    connection = sqlite3.connect(store.file)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    assert connection.execute(DAMAGE[expected]).rowcount == 1
    connection.commit()
    connection.close()
    sentences = [f"{each.invariant} {each.where}: {each.sentence}" for each in check_file(store.file)]
    assert any(sentence.startswith(expected) for sentence in sentences), sentences
    assert all(sentence.endswith(".") and ".." not in sentence for sentence in sentences)


def test_keeping_a_grant_costs_microseconds_and_no_statement(store: SqliteStore) -> None:
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    row, key = grant_row(held("pkg/a.py::f")), (ALICE, "pkg/a.py::f")
    started = time.process_time()
    for number in range(5_000):
        store.keep_locks(fence=number, ticket=number, grants=(row,))
        store.keep_locks(fence=number, ticket=number, gone=(key,))
    assert (time.process_time() - started) * 1e6 / 10_000 < 50
    assert statements == []
