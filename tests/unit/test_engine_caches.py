"""A view's own pages after its direct writes: whoever patches a file leaves no older one behind (I4)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.engine.staging import drops_pages
from tests.property.engine_kernel import Caches, Process, one_file

TEXT = b"def f():\n    return 1\n"
PATCHED = b"def f():\n    return 2\n"


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    """Serve one file to alice, without a mount."""
    with one_file(tmp_path, TEXT, ("alice",)) as served:
        yield served


def test_patch_leaves_no_older_page_in_its_view_though_the_kernel_drops_none(caches: Caches) -> None:
    """Linux before 6.6 keeps the pages that a direct write made wrong."""
    caches.be_old()
    reader, writer = Process(caches, "alice", 1), Process(caches, "alice", 2)
    assert reader.read("a.py") == TEXT
    writer.write("a.py", PATCHED, os.O_WRONLY)
    assert reader.read("a.py") == PATCHED


def test_page_that_a_reader_filled_while_the_patch_was_on_its_way_does_not_stay(caches: Caches) -> None:
    """Any kernel drops pages before it sends the write; what is read until that arrives is the old text."""
    reader, writer = Process(caches, "alice", 1), Process(caches, "alice", 2)
    reading = reader.open("a.py")
    file = writer.open("a.py", os.O_WRONLY)
    assert reading.read() == TEXT
    filled = dict(caches.pages)
    assert filled
    file.write(0, PATCHED)
    caches.pages.update(filled)
    reading.close()
    file.close()
    assert reader.read("a.py") == PATCHED


def test_patch_that_nobody_read_meanwhile_tells_the_kernel_nothing(caches: Caches) -> None:
    """It is what most clients do, and a notification takes as long as the rest of it."""
    reader, writer = Process(caches, "alice", 1), Process(caches, "alice", 2)
    assert reader.read("a.py") == TEXT
    caches.told.clear()
    writer.write("a.py", PATCHED, os.O_WRONLY)
    assert caches.told == []
    assert reader.read("a.py") == PATCHED


@pytest.mark.parametrize(
    ("release", "drops"),
    [
        ("6.18.44", True),
        ("6.6.0-generic", True),
        ("10.0", True),
        ("6.5.9", False),
        ("5.15.0-1", False),
        ("?", True),
    ],
)
def test_kernel_says_by_its_release_whether_it_drops_pages(release: str, drops: bool) -> None:
    assert drops_pages(release) is drops
