"""Snapshot views on the disk: where each stands, and how it moves to another commit.

S1  A move is decided before anything of the view changes, by a file that says all of it (`moving`), or by
    the commit that the file waits for. A crash leaves the view as it was, or a move that the next start
    carries out again; every step of it may be done twice.
S2  A move takes nothing that is not the view's own: ignored files stay, special files stay.
"""

import contextlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from makfs.engine.backing import is_reachable
from makfs.engine.core import Core
from makfs.engine.lower import PastLower, in_git, is_shared_git
from makfs.engine.ownwork import own_files
from makfs.engine.upper import Upper
from makfs.engine.views import Stand, View
from makfs.errors import Busy
from makfs.ids import AgentId, Seq
from makfs.settings import Isolation
from makfs.store.model import LogQuery

PUBLISHED = "published"  # how the notes of such commits begin
_MOVING, _STAGED = "moving", "merged"


@dataclass(frozen=True, slots=True)
class Put:
    """A merged text for a file of the view, ready in the folder `merged`."""

    number: int
    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Move:
    """From one commit to another. `after`: only if the agent has published since that commit."""

    at: int
    after: int | None = None
    everything: bool = False  # all that the view changed goes
    git: bool = False  # and its `.git` begins anew
    puts: tuple[Put, ...] = ()
    drops: tuple[str, ...] = ()
    whiteouts: tuple[str, ...] = ()


def view_folder(core: Core, name: str) -> Path:
    """Return where the private files of a view are."""
    return core.backing.state / "views" / name


def kept_isolation(core: Core, agent: AgentId) -> Isolation | None:
    """Return what a view of that name was, None if there was none or it was live."""
    return None if core.store.get_meta(_key(agent)) in (None, "") else Isolation.SNAPSHOT


def _key(agent: AgentId) -> str:
    return f"view:{agent}"


class Stands:
    """Makes snapshot views and moves them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # ---- make

    def open(self, view: View) -> None:
        """Give a view its snapshot: where it stood, or the head. Raises Busy for a `.git` that is a file."""
        core, folder = self._core, view_folder(self._core, view.agent)
        os.makedirs(folder / "files", exist_ok=True)
        text = core.store.get_meta(_key(view.agent))
        kept = json.loads(text) if text else None
        if kept is None:
            kept = self._begin(view.agent, folder)
        lower = PastLower(core, folder, Seq(kept["at"]), kept["since_ns"], has_git=bool(kept["git"]))
        view.upper = Upper(folder, lower)
        view.stand = Stand(lower)
        self._finish_interrupted(view)

    def _begin(self, agent: AgentId, folder: Path) -> dict[str, int]:
        core = self._core
        git = core.backing.lstat(".git")
        if git is not None and not stat.S_ISDIR(git.st_mode):
            raise Busy(
                f"{core.backing.root} is a linked git worktree (.git is a file), and a snapshot view needs a "
                ".git of its own. Mount the main working tree, or make the view with --isolation live."
            )
        (folder / _MOVING).unlink(missing_ok=True)
        if git is not None:
            self._copy_git(folder)
        top = os.lstat(core.backing.root)
        os.chmod(folder / "files", stat.S_IMODE(top.st_mode) | 0o700)
        if os.geteuid() == 0:
            os.chown(folder / "files", top.st_uid, top.st_gid)
        kept = {"at": int(core.store.head), "since_ns": time.time_ns(), "git": int(git is not None)}
        core.store.set_meta(_key(agent), json.dumps(kept))
        return kept

    def _copy_git(self, folder: Path) -> None:
        """Copy `.git` as it is now, but for the objects: another's commits are not seen, its own not lost.

        git is told not to remove objects: those that only the repository refers to look unneeded from here.
        """
        new, at = folder / "git.new", folder / "files" / ".git"
        for each in (new, at):
            shutil.rmtree(each, ignore_errors=True)
        source = self._core.backing.at(".git")

        def skipped(place: str, names: list[str]) -> list[str]:
            below = os.path.relpath(place, source)
            prefix = ".git/" if below == "." else f".git/{below}/"
            return [name for name in names if is_shared_git(prefix + name) or name.endswith(".lock")]

        shutil.copytree(source, new, symlinks=True, ignore=skipped)
        if os.geteuid() == 0:
            self._own_as(new, Path(source))
        with open(new / "config", "a") as file:
            file.write("[gc]\n\tauto = 0\n[extensions]\n\tpreciousObjects = true\n")
        os.rename(new, at)

    @staticmethod
    def _own_as(copied: Path, source: Path) -> None:
        for folder, _, names in os.walk(copied):
            for name in ("", *names):
                at = Path(folder) / name
                with contextlib.suppress(FileNotFoundError):
                    st = os.lstat(source / at.relative_to(copied))
                    os.lchown(at, st.st_uid, st.st_gid)

    def forget(self, view: View) -> None:
        """Let the next view of that name be a live one. Raises Busy if this one has edits."""
        edits = [path for path, st in own_files(self._core, view) if not stat.S_ISDIR(st.st_mode)]
        if edits:
            raise Busy(
                f"{view.agent} has {len(edits)} unpublished edits, {edits[0]} among them: publish or discard "
                "them first, as a snapshot view."
            )
        assert view.upper is not None
        shutil.rmtree(view.upper.at(".git"), ignore_errors=True)
        view.upper.set_whiteouts(self._kept_whiteouts(view))
        self._core.store.set_meta(_key(view.agent), "")

    # ---- moving, S1

    def decide(self, view: View, move: Move, texts: Iterable[bytes] = ()) -> None:
        """Write down a move, with the texts of its puts."""
        folder = view_folder(self._core, view.agent)
        shutil.rmtree(folder / _STAGED, ignore_errors=True)
        for put, text in zip(move.puts, texts, strict=True):
            os.makedirs(folder / _STAGED, exist_ok=True)
            (folder / _STAGED / str(put.number)).write_bytes(text)
        new = folder / f"{_MOVING}.new"
        new.write_text(json.dumps(asdict(move)), "ascii")
        os.replace(new, folder / _MOVING)

    def call_off(self, view: View) -> None:
        """Forget a move that was decided and waits for a commit that did not come."""
        (view_folder(self._core, view.agent) / _MOVING).unlink(missing_ok=True)

    def carry_out(self, view: View, move: Move) -> None:
        """Do all of a move; again after a crash. Raises OSError."""
        core, upper, stand = self._core, view.upper, view.stand
        assert upper is not None
        assert stand is not None
        folder = view_folder(core, view.agent)
        for put in move.puts:
            self._put(upper, folder / _STAGED / str(put.number), put)
        gone = [path for path, _ in own_files(core, view)] if move.everything else sorted(move.drops)[::-1]
        for path in gone:
            self._drop(upper, path)
        upper.set_whiteouts({*self._kept_whiteouts(view), *move.whiteouts})
        if move.git and stand.lower.has_git:
            self._copy_git(folder)
        since_ns = time.time_ns()
        kept = {"at": move.at, "since_ns": since_ns, "git": int(stand.lower.has_git)}
        core.store.set_meta(_key(view.agent), json.dumps(kept))
        (folder / _MOVING).unlink(missing_ok=True)
        shutil.rmtree(folder / _STAGED, ignore_errors=True)
        stand.lower.move(Seq(move.at), since_ns)

    @staticmethod
    def _put(upper: Upper, staged: Path, put: Put) -> None:
        if not staged.exists():  # put before a crash
            return
        at = upper.prepare(put.path)
        os.chmod(staged, put.mode)
        if os.geteuid() == 0 and (st := upper.lstat(put.path)) is not None:
            os.chown(staged, st.st_uid, st.st_gid)
        os.rename(staged, at)

    @staticmethod
    def _drop(upper: Upper, path: str) -> None:
        if not is_reachable(upper.root, path):
            return
        st = upper.lstat(path)
        with contextlib.suppress(OSError):  # a folder in which ignored or special files stay (S2)
            if st is not None and stat.S_ISDIR(st.st_mode):
                os.rmdir(upper.at(path))
            elif st is not None and (stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode)):
                os.unlink(upper.at(path))

    def _kept_whiteouts(self, view: View) -> set[str]:
        """Return the whiteouts of ignored files: no move touches them."""
        assert view.upper is not None
        return {
            path
            for path in view.upper.whiteouts
            if in_git(path) or self._core.classifier.realm(path, is_dir=False).name == "SCRATCH"
        }

    def _finish_interrupted(self, view: View) -> None:
        """Carry out a move that a crash interrupted, if it was decided (S1)."""
        try:
            text = (view_folder(self._core, view.agent) / _MOVING).read_text("ascii")
        except FileNotFoundError:
            return
        given = json.loads(text)
        given["puts"] = tuple(Put(**put) for put in given["puts"])
        move = Move(**given)
        if move.after is None:
            self.carry_out(view, move)
            return
        seq = self.published_since(view.agent, move.after)
        if seq is None:
            self.call_off(view)
        else:
            self.carry_out(view, Move(int(seq), everything=True))

    def published_since(self, agent: AgentId, after: int) -> Seq | None:
        """Return the commit by which an agent has published since another, None if it has not."""
        for commit in self._core.store.log(LogQuery(limit=50, agent=agent)):
            if commit.seq > after and commit.note.startswith(PUBLISHED):
                return commit.seq
        return None
