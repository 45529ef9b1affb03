"""Commits taken back, one history after the other: modes, folders, moves, what a refusal names (U1-U3)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from makfs.engine.api import Reverted, Undoing
from makfs.engine.undo import CannotUndo
from makfs.ids import RepoPath, Seq
from tests.property.engine_kernel import Caches, Process

RENAME_EXCHANGE = 2  # renameat2(2)


def text(*values: int) -> bytes:
    return b"\n\n".join(b"def f%d():\n    return %d\n" % each for each in enumerate(values))


class Desk:
    """A kernel without a mount, and two agents at work."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.caches = Caches(repo, ("alice", "bob"))
        self.alice = Process(self.caches, "alice", 0)
        self.bob = Process(self.caches, "bob", 1)

    def undo(self, *seqs: int) -> Reverted:
        return trio.run(self.caches.kernel.undo, Undoing(seqs))

    def moved(self, seq: Seq | None) -> dict[str, str]:
        assert seq is not None
        detail = self.caches.core.store.detail(seq)
        assert detail is not None
        return {str(new): str(old) for new, old in detail.moved.items()}

    def file_at(self, path: str, seq: int | None = None) -> int:
        revision = self.caches.core.store.revision(RepoPath(path), None if seq is None else Seq(seq))
        assert revision is not None
        return int(revision.file)

    def is_refused(self, *seqs: int) -> str:
        with pytest.raises(CannotUndo) as refusal:
            self.undo(*seqs)
        return str(refusal.value)

    def files(self) -> dict[str, bytes]:
        return {
            str(at.relative_to(self.repo)): at.read_bytes()
            for at in self.repo.rglob("*")
            if at.is_file() and ".makfs" not in at.parts
        }


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Serve two files."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "a.py").write_bytes(text(1, 2))
    (repo / "b.py").write_bytes(text(10, 20, 30))
    made = Desk(repo)
    yield made
    made.caches.close()


def test_mode_goes_back_and_later_text_stays(desk: Desk) -> None:
    desk.alice.chmod("a.py", 0o755)
    desk.bob.write("a.py", text(1, 3))
    desk.undo(1)
    assert (desk.repo / "a.py").stat().st_mode & 0o777 == 0o644
    assert desk.bob.read("a.py") == text(1, 3)


def test_text_goes_back_and_later_mode_stays(desk: Desk) -> None:
    desk.alice.write("a.py", text(5, 2))
    desk.bob.chmod("a.py", 0o755)
    desk.undo(1)
    assert (desk.repo / "a.py").stat().st_mode & 0o777 == 0o755
    assert desk.bob.read("a.py") == text(1, 2)


def test_folder_in_which_somebody_works_by_now_stays(desk: Desk) -> None:
    desk.alice.mkdir("d")
    desk.alice.mkdir("d/e")
    desk.alice.mkdir("empty")
    desk.bob.write("d/e/c.py", text(1))
    assert desk.undo(1, 2, 3).paths == ("empty",)
    assert desk.bob.read("d/e/c.py") == text(1)
    assert not (desk.repo / "empty").exists()


def test_what_was_taken_back_already_is_no_clash(desk: Desk) -> None:
    desk.alice.write("new.py", text(1))
    made = desk.caches.core.store.head
    seqs = range(1, made + 1)
    assert desk.undo(*seqs).seq == made + 1
    assert desk.undo(*seqs).seq is None
    assert "new.py" not in desk.files()


def test_two_renames_go_back_as_one_move_of_the_same_file(desk: Desk) -> None:
    desk.alice.rename("a.py", "m.py")
    desk.bob.rename("m.py", "n.py")
    moved_on = desk.file_at("n.py")
    done = desk.undo(1, 2)
    assert desk.moved(done.seq) == {"a.py": "n.py"}
    assert desk.file_at("a.py") == moved_on


def test_file_that_came_back_on_its_own_is_followed_to_where_it_began(desk: Desk) -> None:
    desk.alice.rename("a.py", "m.py")
    desk.alice.rename("m.py", "n.py")
    desk.alice.rename("n.py", "m.py")
    done = desk.undo(1, 2, 3)
    assert desk.moved(done.seq) == {"a.py": "m.py"}


def test_file_made_again_from_the_past_is_not_the_one_that_took_its_name(desk: Desk) -> None:
    desk.alice.rename("a.py", "m.py")
    desk.alice.unlink("m.py")
    desk.bob.write("m.py", text(7, 8, 9))
    last = int(desk.caches.core.store.head)
    another = desk.file_at("m.py")
    done = desk.undo(*range(1, last + 1))
    assert desk.files()["a.py"] == text(1, 2)
    assert "m.py" not in desk.files()
    assert desk.moved(done.seq) == {}
    assert desk.file_at("a.py") != another


def test_exchange_goes_back_with_the_later_edits_of_both(desk: Desk) -> None:
    desk.alice.read("a.py")
    desk.alice.read("b.py")
    desk.alice.rename("a.py", "b.py", RENAME_EXCHANGE)
    assert desk.bob.read("a.py") == text(10, 20, 30)
    desk.bob.write("a.py", text(11, 20, 30))
    assert desk.bob.read("b.py") == text(1, 2)
    desk.bob.write("b.py", text(1, 5))
    desk.undo(1)
    assert desk.files() == {"a.py": text(1, 5), "b.py": text(11, 20, 30)}


def test_refusal_names_the_first_that_wrote_the_same_node(desk: Desk) -> None:
    desk.alice.write("a.py", text(5, 2))
    desk.bob.read("a.py")
    desk.bob.write("a.py", text(5, 3))  # another node
    desk.bob.write("a.py", text(6, 3))
    desk.alice.read("a.py")
    desk.alice.write("a.py", text(7, 3))
    assert "a.py::f0 changed in 3, by bob." in desk.is_refused(1)
    assert desk.files()["a.py"] == text(7, 3)
