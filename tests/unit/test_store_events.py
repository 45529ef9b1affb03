"""What happened, in one order with the commits: H1-H4 of events.py."""

from pathlib import Path

import pytest

from makfs.errors import MakfsError
from makfs.ids import AgentId, Seq
from makfs.store import events
from makfs.store.happened import HappenedPage, Position
from makfs.store.model import Mark
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import LARGE_BYTES, change, draft, file_state

ALL = Position(0)


def opened(directory: Path) -> SqliteStore:
    return SqliteStore.open(directory, large_bytes=LARGE_BYTES)


def commit_text(store: SqliteStore, path: str, text: bytes) -> None:
    store.commit(draft(change(path, file_state([text]), write_through=False)))


def page(store: SqliteStore, since: Position = ALL) -> HappenedPage:
    store.write_lazies()
    with store.reader() as reader:
        return reader.happened(since, store.events.newest)


def told(store: SqliteStore, since: Position = ALL) -> list[str]:
    """Return `position kind` of everything after a position, read page by page."""
    found: list[str] = []
    while since < store.events.newest:
        got = page(store, since)
        found += [f"{each.at} {each.kind}" for each in got.happenings]
        assert got.next > since, "every page goes on"
        since = got.next
    return found


def record(store: SqliteStore, kind: str, **fields: object) -> None:
    store.events.record(kind, "alice", 5, fields)


def test_events_stand_between_the_commits_between_which_they_happened(tmp_path: Path) -> None:
    store = opened(tmp_path)
    record(store, "agent-added")
    commit_text(store, "a.py", b"x = 1\n")
    record(store, "lock-released")
    record(store, "lock-released")
    commit_text(store, "a.py", b"x = 2\n")
    assert told(store) == [
        "0.1 agent-added",
        "1 commit",
        "1.1 lock-released",
        "1.2 lock-released",
        "2 commit",
    ]
    assert told(store, Position(1, 1)) == ["1.2 lock-released", "2 commit"]
    store.close()


def test_positions_go_on_growing_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    commit_text(store, "a.py", b"x = 1\n")
    record(store, "one")
    store.close()
    store = opened(tmp_path)
    record(store, "two")
    assert told(store) == ["1 commit", "1.1 one", "1.2 two"], "H1"
    store.close()


def fail_within(store: SqliteStore) -> None:
    with store._transaction():
        record(store, "within")
        raise MakfsError("no")


def test_an_event_of_a_transaction_that_fails_is_forgotten_and_those_before_it_are_kept(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path)
    record(store, "before")
    with pytest.raises(MakfsError):
        fail_within(store)
    record(store, "after")
    assert [each.partition(" ")[2] for each in told(store)] == ["before", "after"], "H4"
    store.close()


def test_a_mark_and_its_event_are_written_in_one_transaction(tmp_path: Path) -> None:
    store = opened(tmp_path)
    commit_text(store, "a.py", b"x = 1\n")
    store.set_mark(Mark("one", Seq(1), 7))
    assert not store.events.is_lazy
    store.delete_mark("one")
    assert told(store) == ["1 commit", "1.1 mark-set", "1.2 mark-deleted"]
    store.close()


def test_few_events_wait_for_the_next_ones_and_many_are_written_with_a_commit(tmp_path: Path) -> None:
    store = opened(tmp_path)
    record(store, "one")
    commit_text(store, "a.py", b"x = 1\n")
    assert store.events.is_lazy
    for _ in range(40):
        record(store, "more")
    commit_text(store, "a.py", b"x = 2\n")
    assert not store.events.is_lazy
    store.close()


def test_only_the_newest_are_kept_and_it_is_known_up_to_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_PRUNED_SQL", events._PRUNED_SQL.replace(str(events.KEPT), "10"))
    monkeypatch.setattr(events, "_PRUNE_EVERY", 1)
    store = opened(tmp_path)
    commit_text(store, "a.py", b"x = 1\n")
    for number in range(25):
        record(store, f"k{number}")
        store.write_lazies()
    assert page(store).forgotten == Position(1, 15)
    assert told(store) == ["1 commit", *(f"1.{number + 1} k{number}" for number in range(15, 25))], "H3"
    store.close()


def test_pages_of_many_events_and_commits_leave_nothing_out(tmp_path: Path) -> None:
    store = opened(tmp_path)
    expected: list[str] = []
    for number in range(1, 401):
        commit_text(store, "a.py", b"x = %d\n" % number)
        expected.append(f"{number} commit")
        for place in range(1, 4):
            record(store, "event")
            expected.append(f"{number}.{place} event")
    assert told(store) == expected
    assert len(page(store).happenings) == events.MOST_ROWS
    store.close()


def test_a_page_ends_where_it_was_asked_to(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for number in range(1, 4):
        record(store, "event")
        commit_text(store, "a.py", b"x = %d\n" % number)
    store.write_lazies()
    with store.reader() as reader:
        ends = [reader.happened(ALL, upto) for upto in (Position(0, 1), Position(1), Position(1, 1))]
    assert [len(each.happenings) for each in ends] == [1, 2, 3]
    assert [each.next for each in ends] == [Position(0, 1), Position(1), Position(1, 1)]
    store.close()


def test_since_a_time_is_what_happened_from_then_on(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for time_ns, kind in ((10, "one"), (20, "two"), (30, "three")):
        store.events.record(kind, "", time_ns, {})
    store.write_lazies()
    with store.reader() as reader:
        since = [reader.position_of_time(time_ns) for time_ns in (0, 20, 25, 99)]
    assert [told(store, each)[:1] for each in since] == [["0.1 one"], ["0.2 two"], ["0.3 three"], []]
    store.close()


def test_gc_takes_events_before_its_cut_and_the_page_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for number in range(1, 4):
        commit_text(store, "a.py", b"x = %d\n" % number)
        record(store, "event")
    store.write_lazies()
    for _ in store.collect(Seq(2)):
        pass
    assert page(store).cut == Position(2)
    assert told(store) == ["2.1 event", "3 commit", "3.1 event"]
    store.close()


def test_an_events_agent_and_fields_come_back_as_they_were(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.events.record("run-ended", AgentId("b\udcffb"), 5, {"run": 3, "paths": ["a/b.py"], "exit": None})
    (found,) = page(store).happenings
    assert (found.agent, dict(found.fields)) == ("b\udcffb", {"run": 3, "paths": ["a/b.py"], "exit": None})
    assert found.paths == ("a/b.py",)
    store.close()
