"""Following what happened: H5 and H6 of news.py."""

import gc
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from makfs.engine.news import News
from makfs.engine.newsapi import EventQuery, EventsPage
from makfs.store.happened import Position
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import LARGE_BYTES, change, draft, file_state

EVERYTHING = EventQuery()
PATIENCE_S = 30  # nothing here is timed


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    yield made
    made.close()


def commit(store: SqliteStore, path: str = "a.py", text: bytes = b"x = 1\n") -> None:
    store.commit(draft(change(path, file_state([text]), write_through=False)))


def kinds(page: EventsPage) -> list[str]:
    return [json.loads(line)["kind"] for line in page.lines]


def ask(news: News, since: str, query: EventQuery = EVERYTHING) -> EventsPage:
    async def once() -> EventsPage:
        position = Position.parse(since)
        assert position is not None
        return await news.page(position, query, first=True)

    return trio.run(once)


def test_a_follower_is_woken_by_a_commit_and_by_an_event_that_is_not_written_yet(store: SqliteStore) -> None:
    news = News(store)
    seen: list[str] = []

    async def follow() -> None:
        at = news.newest
        while len(seen) < 3:
            with trio.fail_after(PATIENCE_S):
                page = await news.page(at, EVERYTHING, wait_s=86_400)
            seen.extend(kinds(page))
            at = Position.parse(page.next) or at

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.testing.wait_all_tasks_blocked()
            news.tell("agent-added", "alice")
            await trio.testing.wait_all_tasks_blocked(0.05)
            commit(store)
            news.tell("agent-removed", "alice")

    trio.run(main)
    assert seen == ["agent-added", "commit", "agent-removed"]


def test_an_event_recorded_while_a_page_is_read_comes_with_the_next_page_and_is_not_passed_over(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = News(store)
    news.tell("one")
    plain = trio.to_thread.run_sync

    async def meanwhile(work: object) -> object:
        news.tell("two")  # stays in memory ...
        commit(store)  # ... while a later commit is in the database
        return await plain(work)  # type: ignore[arg-type]

    monkeypatch.setattr("makfs.engine.news.trio.to_thread.run_sync", meanwhile)
    first = ask(news, "0")
    monkeypatch.setattr("makfs.engine.news.trio.to_thread.run_sync", plain)
    assert kinds(first) == ["one"], "H6"
    assert kinds(ask(news, first.next)) == ["two", "commit"]


def test_filters_let_through_what_they_name_and_nothing_else(store: SqliteStore) -> None:
    news = News(store)
    commit(store, "src/a.py")
    commit(store, "docs/b.md")
    news.tell("lock-granted", "bob", claims=[{"address": "src/a.py::f", "mode": "write"}])
    news.tell("message-sent", "alice", id=1, to=["carol"])
    assert kinds(ask(news, "0", EventQuery(kinds=("lock",)))) == ["lock-granted"]
    assert kinds(ask(news, "0", EventQuery(kinds=("loc",)))) == []
    assert kinds(ask(news, "0", EventQuery(paths=("src",)))) == ["commit", "lock-granted"]
    assert kinds(ask(news, "0", EventQuery(agents=("carol", "bob")))) == ["lock-granted", "message-sent"]
    assert kinds(ask(news, "0", EventQuery(agents=("alice",), paths=("docs/b.md",)))) == ["commit"]


def test_what_gc_took_is_said_first(store: SqliteStore) -> None:
    news = News(store)
    for number in range(4):
        commit(store, text=b"x = %d\n" % number)
    for _ in store.collect(store.boundary(2, None)):
        pass
    first, *rest = [json.loads(line) for line in ask(news, "0").lines]
    assert (first["kind"], first["at"], first["told"]) == ("cut", "2", "nothing")
    assert [each["seq"] for each in rest] == [3, 4]
    assert kinds(ask(news, "2")) == ["commit", "commit"]


def test_followers_that_do_not_read_cost_no_memory(store: SqliteStore) -> None:
    news = News(store)

    async def main() -> int:
        async with trio.open_nursery() as nursery:
            at = news.newest
            for _ in range(20):  # each got one page and never asks again
                nursery.start_soon(lambda: news.page(at, EVERYTHING, wait_s=60))
            await trio.testing.wait_all_tasks_blocked()
            news.tell("first")
            await trio.testing.wait_all_tasks_blocked(0.05)
            for _ in range(200):
                news.tell("event", "alice", text="x" * 100)
            store.write_lazies()
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(50):
                for _ in range(200):
                    news.tell("event", "alice", text="x" * 100)
                store.write_lazies()
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return after - before

    grown_bytes = trio.run(main)
    assert grown_bytes < 64 << 10, f"10,000 events, {grown_bytes} bytes kept: H5"
