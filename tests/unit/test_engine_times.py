"""Times that a writer sets while its bytes are staged."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.engine.filesystem import Change
from tests.property.engine_kernel import Caches, Process

TEXT = b"X = 1\n"
THEN, FIRST = 10**18, 9 * 10**17


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    """Serve a file of an hour ago to two agents, without a mount."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "a.py").write_bytes(TEXT)
    os.utime(repo / "a.py", ns=(FIRST, FIRST))
    served = Caches(repo, ("alice", "bob"))
    yield served
    served.close()


@pytest.mark.parametrize("text", [b"X = 2\n", TEXT])
def test_times_set_on_an_edit_are_seen_by_others_with_it_and_not_before(caches: Caches, text: bytes) -> None:
    alice = Process(caches, "alice", 1)
    file = alice.open("a.py", os.O_WRONLY | os.O_TRUNC)
    file.write(0, text)
    alice.set(file.ino, Change(atime_ns=THEN + 1, mtime_ns=THEN))
    seen = caches.stat("alice", "a.py")
    assert (seen.st_atime_ns, seen.st_mtime_ns) == (THEN + 1, THEN)
    assert (caches.repo / "a.py").stat().st_mtime_ns == FIRST, "nobody else knows of the edit yet"
    assert caches.stat("bob", "a.py").st_mtime_ns == FIRST
    file.close()
    for st in (caches.stat("bob", "a.py"), caches.stat("alice", "a.py"), (caches.repo / "a.py").stat()):
        assert (st.st_atime_ns, st.st_mtime_ns) == (THEN + 1, THEN)
    assert caches.findings() == []
