"""What a lock table was asked, asked again: D1, D2, Y3."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from makfs.ids import Address, AgentId
from makfs.locks import Claim, Mode, NotHeld
from makfs.locks.recorded import (
    START,
    Call,
    Recorded,
    RecordedTable,
    arguments_json,
    outcome_text,
    replay_locks,
)
from makfs.store.lockevents import read_events
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import LARGE_BYTES

AGENTS = ["alice", "bob", "carol"]
ADDRESSES = ["", "a.py", "a.py::f", "a.py::g", "b.py", "resource:tests"]
STEPS = st.tuples(
    st.sampled_from(
        ["request", "request", "request", "release", "renew", "touch", "expire", "bury", "cancel"]
    ),
    st.sampled_from(AGENTS),
    st.lists(st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(list(Mode))), min_size=1, max_size=3),
    st.integers(0, 40),
    st.sampled_from([0, 30]),
    st.booleans(),
)
Step = tuple[str, str, list[tuple[str, Mode]], int, int, bool]


def run(table: RecordedTable, steps: Sequence[Step]) -> None:
    """Call the table as the engine does; what it refuses to do changes nothing."""
    now_ns = 1_000
    for call, name, asked, passed_ns, wait_ns, active in steps:
        now_ns += passed_ns
        agent, claims = AgentId(name), {Address(address): mode for address, mode in asked}
        try:
            match call:
                case "request":
                    table.request(
                        agent, [Claim(*each) for each in claims.items()], now_ns=now_ns, lease_ns=50,
                        wait_ns=wait_ns, while_active=active,
                    )  # fmt: skip
                case "release":
                    table.release(agent, None if active else tuple(claims), now_ns=now_ns)
                case "renew":
                    table.renew(agent, None if active else tuple(claims), now_ns=now_ns)
                case "touch":
                    table.touch(agent, now_ns=now_ns)
                case "expire":
                    table.expire(now_ns=now_ns)
                case "bury":
                    table.bury(agent, now_ns=now_ns)
                case _:
                    table.cancel(passed_ns, now_ns=now_ns)
        except NotHeld:
            pass


def recorded(calls: Sequence[Call]) -> list[Recorded]:
    import json

    return [
        Recorded(n, c.now_ns, c.call, c.agent or "", json.loads(arguments_json(c)), outcome_text(c.outcome))
        for n, c in enumerate(calls, 1)
    ]


@given(steps=st.lists(STEPS, max_size=60))
def test_every_decision_is_made_again_from_what_was_asked(steps: list[Step]) -> None:
    calls: list[Call] = []
    table = RecordedTable()
    table.record = calls.append
    run(table, steps)
    found = replay_locks(recorded(calls))
    assert not found.difference, "D1"
    assert found.starts == bool(calls)


@given(steps=st.lists(STEPS, min_size=20, max_size=60), at=st.integers(0, 100))
def test_an_answer_that_was_changed_is_found(steps: list[Step], at: int) -> None:
    calls: list[Call] = []
    table = RecordedTable()
    table.record = calls.append
    run(table, steps)
    kept = recorded(calls)
    others = [n for n, each in enumerate(kept) if each.call != START]
    if others:
        n = others[at % len(others)]
        kept[n] = dataclasses.replace(kept[n], outcome=kept[n].outcome[:-1] + "?")
        assert f"Call {n + 1}, {kept[n].call} of" in replay_locks(kept).difference


def test_the_store_keeps_what_was_asked_in_order(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    table = RecordedTable()
    table.record = store.record_lock
    run(
        table,
        [("request", "alice", [("a.py", Mode.X)], 1, 0, True), ("touch", "alice", [], 1, 0, False)] * 50,
    )
    assert not list(read_events(store.file))
    store.write_lazies()
    kept = list(read_events(store.file))
    assert [each.number for each in kept] == [*range(1, len(kept) + 1)]
    assert not replay_locks(kept).difference
    store.close()
    again = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    later = RecordedTable()
    later.record = again.record_lock
    run(later, [("request", "bob", [("b.py", Mode.X)], 1, 0, True)])
    again.close()
    whole = list(read_events(store.file))
    assert replay_locks(whole).starts == 2
    assert [each.number for each in whole] == [*range(1, len(whole) + 1)]
