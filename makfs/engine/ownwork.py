"""What a snapshot view changed, and what becomes of that on the head: merged path by path, or the clashes.

O1  A path that only one side changed is that side's. Both sides' changes of a file are merged node by node,
    as writes are; anything else that both changed is a clash. All clashes are found, not the first.
O2  What is planned is a tree: nothing stands in a file's place and below it at once.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from makfs.engine.backing import is_reachable
from makfs.engine.core import Core, parent_of
from makfs.engine.inodes import Realm
from makfs.engine.lower import in_git
from makfs.engine.merging import merge
from makfs.engine.together import NOTHING, Thing, Want, past_thing
from makfs.engine.views import View
from makfs.errors import NotKept
from makfs.ids import RepoPath, Seq
from makfs.merge import Conflict
from makfs.store.model import FileKind, LogQuery

_KINDS = {FileKind.FILE: "a file", FileKind.DIR: "a folder", FileKind.SYMLINK: "a link"}


@dataclass(frozen=True, slots=True)
class Clash:
    """What both sides changed so that they cannot be merged."""

    path: str
    addresses: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One path that the view changed."""

    path: str
    mine: Thing
    head: Thing
    result: Thing


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the view changed, on the head."""

    pieces: tuple[Piece, ...]
    clashes: tuple[Clash, ...]

    def wants(self) -> tuple[Want, ...]:
        """Return what the head shall become, files that only moved named as such."""
        moved = self._moved()
        return tuple(
            Want(piece.path, piece.result, moved.get(piece.path))
            for piece in self.pieces
            if piece.result != piece.head
        )

    def _moved(self) -> dict[str, str]:
        """Return which new file has the very text of which removed one: new path -> old path."""
        gone: dict[bytes, list[str]] = {}
        for piece in self.pieces:
            if not piece.result.is_there and piece.head.kind is FileKind.FILE and piece.head.data:
                gone.setdefault(piece.head.data, []).append(piece.path)
        moved: dict[str, str] = {}
        for piece in self.pieces:
            new = piece.result.kind is FileKind.FILE and not piece.head.is_there
            if new and (olds := gone.get(piece.result.data)):
                moved[piece.path] = olds.pop(0)
        return moved


# ---- what is the view's own


def own_paths(core: Core, view: View) -> list[str]:
    """Return the paths that may differ from the snapshot, in order: private files, and what is hidden."""
    upper = view.upper
    assert upper is not None
    found = {path for path, st in own_files(core, view) if stat.S_IFMT(st.st_mode) in _TYPES}
    for path in upper.whiteouts:
        if not in_git(path) and not _is_scratch(core, view, path, is_dir=False):
            found.update(_hidden_below(view, path))
    return sorted(found)


_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


def own_files(core: Core, view: View, folder: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in the private layer, folders after what is in them; not `.git`, not ignored files."""
    upper = view.upper
    assert upper is not None
    for entry in sorted(os.scandir(upper.at(folder)), key=lambda entry: entry.name):
        path = f"{folder}/{entry.name}" if folder else entry.name
        st = entry.stat(follow_symlinks=False)
        is_dir = stat.S_ISDIR(st.st_mode)
        if in_git(path) or _is_scratch(core, view, path, is_dir=is_dir):
            continue
        if is_dir:
            yield from own_files(core, view, path)
        yield path, st


def _is_scratch(core: Core, view: View, path: str, *, is_dir: bool) -> bool:
    """Tell whether a path is ignored, or of a repository inside this one: not the view's to publish."""
    return core.realm_at(view, path, is_dir=is_dir) is not Realm.SNAP


def _hidden_below(view: View, path: str) -> Iterator[str]:
    """Yield a hidden path and all that the snapshot has in it."""
    assert view.stand is not None
    st = view.stand.lower.lstat(path)
    if st is None:
        return
    yield path
    if stat.S_ISDIR(st.st_mode):
        for name in view.stand.lower.names(path):
            yield from _hidden_below(view, f"{path}/{name}")


def own_thing(core: Core, view: View, path: str) -> Thing:
    """Return what the view has at a path. Raises OSError."""
    upper = view.upper
    assert upper is not None
    assert view.stand is not None
    st = upper.lstat(path) if is_reachable(upper.root, path) else None
    if st is None:
        return NOTHING
    mode = stat.S_IMODE(st.st_mode)
    if stat.S_ISDIR(st.st_mode):
        below = view.stand.lower.lstat(path)
        if below is not None and stat.S_ISDIR(below.st_mode) and mode == stat.S_IMODE(below.st_mode) | 0o700:
            mode = stat.S_IMODE(below.st_mode)  # made so that files could be put into it
        return Thing(FileKind.DIR, mode)
    if stat.S_ISLNK(st.st_mode):
        return Thing(FileKind.SYMLINK, 0o777, os.fsencode(os.readlink(upper.at(path))))
    with open(upper.at(path), "rb", buffering=0) as file:
        return Thing(FileKind.FILE, mode, file.readall())


def changed_paths(core: Core, view: View) -> list[str]:
    """Return the paths at which the view differs from its snapshot. Cost: reads the private files."""
    return [path for path in own_paths(core, view) if _differs(core, view, path)]


def _differs(core: Core, view: View, path: str) -> bool:
    assert view.stand is not None
    try:
        return own_thing(core, view, path) != past_thing(core, path, view.stand.at)
    except NotKept:
        return True


# ---- what becomes of it


def make_plan(core: Core, view: View, now: Callable[[str], Thing]) -> Plan:
    """Merge all that the view changed onto the head, which `now` tells. Raises OSError."""
    pieces: list[Piece] = []
    clashes: list[Clash] = []
    for path in own_paths(core, view):
        piece = _merged(core, view, path, now)
        if isinstance(piece, Clash):
            clashes.append(piece)
        elif piece is not None:
            pieces.append(piece)
    clashes += _misplaced(core, pieces, now)
    return Plan(tuple(_keep_folders_in_use(core, pieces)), tuple(clashes))


def _merged(core: Core, view: View, path: str, now: Callable[[str], Thing]) -> Piece | Clash | None:
    assert view.stand is not None
    mine, head = own_thing(core, view, path), now(path)
    large = core.config.store.large_bytes
    if len(mine.data) > large and mine != head:
        return Clash(path, (path,), f"{path} is larger than {large} bytes, and such files are not published.")
    try:
        base = past_thing(core, path, view.stand.at)
    except NotKept:
        if mine == head:
            return Piece(path, mine, head, head)
        return Clash(path, (path,), f"{path} was too large to be kept as it was at {view.stand.at}.")
    if mine in (base, head):
        return Piece(path, mine, head, head)
    if head == base:
        return Piece(path, mine, head, mine)
    return _both(core, path, base, mine, head, view.stand.at)


def _both(core: Core, path: str, base: Thing, mine: Thing, head: Thing, at: Seq) -> Piece | Clash:
    """Merge what both sides changed."""
    if head.kind is mine.kind is FileKind.DIR:
        return Piece(path, mine, head, mine if base.kind is FileKind.DIR and base.mode == head.mode else head)
    if not (head.kind is mine.kind is FileKind.FILE) or base.kind not in (FileKind.FILE, FileKind.ABSENT):
        what = f"{path} is {_kind(mine)} here, {_kind(head)} at head{_whose(core, path)}."
        return Clash(path, (path,), what)
    mode = mine.mode if base.kind is FileKind.FILE and head.mode == base.mode else head.mode
    if mine.data == head.data:
        return Piece(path, mine, head, Thing(FileKind.FILE, mode, head.data))
    merged = merge(core, core.file(path), base.data, mine.data, head.data, int(at))
    if isinstance(merged, Conflict):
        addresses = tuple(dict.fromkeys(item.address for item in merged.items)) or (path,)
        what = f"{', '.join(addresses[:3])} was changed here, and{_whose(core, path)}."
        return Clash(path, addresses, what)
    return Piece(path, mine, head, Thing(FileKind.FILE, mode, merged.text))


def _kind(thing: Thing) -> str:
    return _KINDS.get(thing.kind, "removed")


def _whose(core: Core, path: str) -> str:
    """Say who changed a path last."""
    last = core.store.log(LogQuery(limit=1, path=RepoPath(path)))
    return f" by {last[0].agent} in commit {last[0].seq}" if last else " in the repository"


def _misplaced(core: Core, pieces: list[Piece], now: Callable[[str], Thing]) -> Iterator[Clash]:
    """Yield what would stand in a file, or in whose place something is at head (O2)."""
    results = {piece.path: piece.result for piece in pieces}

    def at(path: str) -> Thing:
        return results[path] if path in results else now(path)

    for piece in pieces:
        if piece.result == piece.head:
            continue
        folder = parent_of(piece.path) if piece.result.is_there else ""
        if folder and at(folder).kind in (FileKind.FILE, FileKind.SYMLINK):
            yield Clash(
                piece.path, (piece.path,), f"{folder} is {_kind(at(folder))} at head{_whose(core, folder)}."
            )
        if piece.head.kind is FileKind.DIR and piece.result.kind in (FileKind.FILE, FileKind.SYMLINK):
            inside = [f"{piece.path}/{name}" for name in core.backing.names(piece.path)]
            left = [path for path in inside if at(path).is_there]
            if left:
                yield Clash(piece.path, (piece.path,), f"{left[0]} was made{_whose(core, left[0])}.")


def _keep_folders_in_use(core: Core, pieces: list[Piece]) -> list[Piece]:
    """Leave folders that the view removed and in which there is something else by now."""
    found = {piece.path: piece for piece in pieces}
    for path in sorted(found, reverse=True):
        piece = found[path]
        if piece.result.is_there or piece.head.kind is not FileKind.DIR:
            continue
        inside = [f"{path}/{name}" for name in core.backing.names(path)]
        if any(each not in found or found[each].result.is_there for each in inside):
            found[path] = replace(piece, result=piece.head)
    return [found[piece.path] for piece in pieces]
