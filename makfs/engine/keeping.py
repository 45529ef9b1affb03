"""What becomes of a store as a whole: old history cut, beside commits or with nobody there; mended."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from makfs.config import Config
from makfs.engine.api import Progress
from makfs.engine.backing import STATE_DIR
from makfs.errors import Busy, NotFound
from makfs.ids import PERSON
from makfs.store.connection import FILE_NAME
from makfs.store.mending import mend
from makfs.store.model import Collected
from makfs.store.protocol import Store
from makfs.store.retention import shorten
from makfs.store.sqlite import SqliteStore

_collecting = trio.Lock()


def cut_sentence(seq: int, cut: int) -> str:
    """Say that what a commit changed is not kept."""
    return f"What commit {seq} changed is not kept: makfs gc cut the history up to commit {cut}."


async def collect(
    store: Store, keep: int | None, since_ns: int | None, dry_run: bool, progress: Progress
) -> Collected:
    """Cut history while others commit: they wait for one step at most. Raises Busy, StoreError."""
    try:
        _collecting.acquire_nowait()
    except trio.WouldBlock:
        raise Busy("History is being cut already; wait until that is done.") from None
    try:
        steps = store.collect(store.boundary(keep, since_ns), dry_run=dry_run)
        count = 0
        while True:
            try:
                what = next(steps)
            except StopIteration as end:
                done: Collected = end.value
                if not dry_run:
                    told = {"cut": done.cut, "freed_bytes": done.freed_bytes}
                    store.events.record("gc", PERSON, time.time_ns(), told)
                return done
            count += 1
            progress(what, count, 0)
            await trio.lowlevel.checkpoint()
    finally:
        _collecting.release()


def collect_unserved(
    repo: Path, config: Config, keep: int | None, since_ns: int | None, dry_run: bool, progress: Progress
) -> Collected:
    """Cut the history of a repository that nobody serves, and make the file shorter. Raises StoreError."""
    store = _open(repo, config)
    try:
        done = trio.run(collect, store, keep, since_ns, dry_run, progress)
    finally:
        store.close()
    if not dry_run:
        progress("rewriting the store", 0, 1)
        shorten(store.file)
        done.file_bytes = store.file.stat().st_size
    return done


def repair_unserved(repo: Path, config: Config) -> Sequence[str]:
    """Mend the store of a repository that nobody serves; return what was done, a sentence each.

    A copy of it is kept first; the repository's own files are only read. Raises StoreError, NotFound.
    """
    _open(repo, config).close()  # the log goes into the file, an old store climbs
    file = repo / STATE_DIR / FILE_NAME
    copy = file.with_name(f"{FILE_NAME}.before-repair-{time.strftime('%Y%m%d-%H%M%S')}")
    shutil.copy2(file, copy)
    done = mend(file, repo)
    if not done:
        copy.unlink()
        return []
    return [*done, f"The store as it was before is {copy}."]


def _open(repo: Path, config: Config) -> SqliteStore:
    if not (repo / STATE_DIR / FILE_NAME).exists():
        raise NotFound(f"{repo} has no makfs store; nothing was ever mounted from it.")
    return SqliteStore.open(repo / STATE_DIR, large_bytes=config.store.large_bytes)
