"""Taking commits back: what the tree would be without them, by node, or why that cannot be said.

U1  Commits are taken back newest first: each from its own text to the one before it, merged onto what the
    later ones left. So commits that build on one another can be taken back together, in whatever order named.
U2  Nothing is taken back by half: where later work touched the same node, the whole is refused, naming both.
U3  The result is an ordinary commit, which can be taken back itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from makfs.engine.core import Core
from makfs.engine.keeping import cut_sentence
from makfs.engine.together import NOTHING, Thing, Want, past_thing
from makfs.errors import Busy, NotFound, NotKept
from makfs.ids import RepoPath, Seq
from makfs.merge import Conflict, merge_file
from makfs.store.model import Commit, CommitDetail, FileKind, LogQuery, NodeEdit

_SHOWN = 5
_PAGE = 100  # commits looked through at a time for the one in the way


class CannotUndo(Busy):
    """Later work stands on what should be taken back; nothing was changed."""


@dataclass(slots=True)
class _Tree:
    """The tree while commits are taken back: what differs from head."""

    head: Callable[[str], Thing]
    changed: dict[str, Thing] = field(default_factory=dict)
    moved: dict[str, str | None] = field(default_factory=dict)  # path now -> path at head, if it has one

    def at(self, path: str) -> Thing:
        """Return what stands at a path."""
        found = self.changed.get(path)
        return self.head(path) if found is None else found


def plan_undo(core: Core, seqs: Iterable[int], head: Callable[[str], Thing]) -> tuple[Want, ...]:
    """Return what the paths become without these commits (U1). Raises NotFound, NotKept, CannotUndo (U2)."""
    wanted = sorted(set(seqs), reverse=True)
    tree, clashes = _Tree(head), dict[str, str]()  # of each path the first
    for seq in wanted:
        detail = core.store.detail(Seq(seq))
        if detail is None:
            raise NotFound(f"There is no commit {seq}; the newest is {core.store.head}.")
        if seq <= core.store.cut():
            raise NotKept(cut_sentence(seq, core.store.cut()))
        _take_back(core, tree, detail, clashes, frozenset(wanted))
    if clashes:
        more = f" And {len(clashes) - _SHOWN} more." if len(clashes) > _SHOWN else ""
        raise CannotUndo(
            f"Nothing was undone. {' '.join(list(dict.fromkeys(clashes.values()))[:_SHOWN])}{more}"
        )
    _keep_folders_in_use(core, tree)
    changed = {path: thing for path, thing in tree.changed.items() if thing != head(path)}
    return tuple(Want(path, thing, _moved_from(tree, path, changed)) for path, thing in changed.items())


def _moved_from(tree: _Tree, path: str, changed: Mapping[str, Thing]) -> str | None:
    """Return where the file of a path is at head, if it leaves there: what is gone at head moves nowhere."""
    origin = tree.moved.get(path)
    return origin if origin is not None and origin in changed and tree.head(origin).is_there else None


def _keep_folders_in_use(core: Core, tree: _Tree) -> None:
    """Leave folders in which something else is by now; one that stays keeps those above it."""
    for path in sorted(tree.changed, reverse=True):
        if tree.changed[path].is_there or tree.head(path).kind is not FileKind.DIR:
            continue
        inside = {f"{path}/{name}" for name in core.backing.names(path)}
        inside |= {each for each in tree.changed if each.startswith(f"{path}/")}
        if any(tree.at(each).is_there for each in inside):
            tree.changed[path] = tree.head(path)


def _take_back(
    core: Core, tree: _Tree, detail: CommitDetail, clashes: dict[str, str], taken: frozenset[int]
) -> None:
    seq, moved = detail.commit.seq, detail.moved
    _move_back(core, tree, moved, seq, clashes, taken)
    ends = {*moved, *moved.values()}
    for path in detail.commit.paths:
        if path in ends:
            continue
        before, after = past_thing(core, path, Seq(seq - 1)), past_thing(core, path, seq)
        now = tree.at(path)
        result = _without(path, before, after, now)
        if isinstance(result, Thing):
            tree.changed[path] = result
            if result.is_there is not now.is_there:
                tree.moved[path] = None  # made again, from the past
        else:
            clashes.setdefault(path, _against(core, path, result, seq, taken))
            tree.changed[path] = before  # lest what is taken back next clashes with this one


def _move_back(
    core: Core,
    tree: _Tree,
    moved: Mapping[RepoPath, RepoPath],
    seq: Seq,
    clashes: dict[str, str],
    taken: frozenset[int],
) -> None:
    """Take renames back, all of a commit at once: an exchange is two."""
    if not moved:
        return
    results: dict[str, Thing] = {}
    origins: dict[str, str | None] = {}
    olds = set(moved.values())
    for new, old in moved.items():
        there, clash = tree.at(new), _in_the_way(core, tree, (old, new), moved, seq, taken)
        before = past_thing(core, old, Seq(seq - 1))
        back = before if clash else _without(new, before, past_thing(core, new, seq), there)
        if not isinstance(back, Thing):
            clash, back = _against(core, new, back, seq, taken), before
        if clash:
            clashes.setdefault(old, clashes.setdefault(new, clash))
        results[old] = back
        origins[old] = tree.moved.get(new, new)
        if new not in olds:
            results[new] = past_thing(core, new, Seq(seq - 1))
            origins[new] = None
    tree.changed |= results
    for path in results:
        tree.moved.pop(path, None)
    tree.moved |= {path: origin for path, origin in origins.items() if path != origin}


def _in_the_way(
    core: Core,
    tree: _Tree,
    pair: tuple[str, str],
    moved: Mapping[RepoPath, RepoPath],
    seq: Seq,
    taken: frozenset[int],
) -> str:
    """Say what stands against a move back from the new to the old path, "" if nothing does."""
    old, new = pair
    there, free = tree.at(new), tree.at(old)
    if not there.is_there:
        return _clash(core, new, f"{new} is not there any more", seq, taken)
    if old not in moved and free != past_thing(core, old, seq):
        what = "is there again" if free.is_there else "is not there any more"
        return _clash(core, old, f"{old} {what}", seq, taken)
    if _is_another(core, tree, new, seq, there):
        return _clash(core, new, f"{new} is another file now", seq, taken)
    return ""


def _is_another(core: Core, tree: _Tree, path: str, seq: Seq, there: Thing) -> bool:
    """Tell whether what is at a path is not the file that a commit moved there, and does not say the same."""
    origin = tree.moved.get(path, path)
    if origin is None or there == past_thing(core, path, seq):
        return False
    then, now = core.store.revision(RepoPath(path), seq), core.store.revision(RepoPath(origin))
    return then is not None and now is not None and then.file != now.file


def _without(path: str, before: Thing, after: Thing, now: Thing) -> Thing | Conflict | str:
    """Return what a path becomes without a change from `before` to `after`, or what stands against it."""
    if now == after:
        return before
    if before == after or now == before:
        return now
    kinds = {before.kind, after.kind, now.kind}
    if kinds != {FileKind.FILE}:
        return f"{path} was {_verb(after, now)}"
    mode = before.mode if now.mode == after.mode else now.mode
    if before.data == after.data or now.data == before.data:
        return Thing(FileKind.FILE, mode, now.data)
    merged = merge_file(path, after.data, before.data, now.data, allow_lines=False)
    if isinstance(merged, Conflict):
        return merged
    return Thing(FileKind.FILE, mode, merged.text)


def _verb(after: Thing, now: Thing) -> str:
    if not now.is_there:
        return "removed"
    return "changed" if after.is_there else "made again"


def _against(core: Core, path: str, what: Conflict | str, seq: Seq, taken: frozenset[int]) -> str:
    """Say what `_without` found in the way."""
    if isinstance(what, str):
        return _clash(core, path, what, seq, taken)
    addresses = tuple(dict.fromkeys(item.address for item in what.items))
    return _clash(core, path, f"{', '.join(addresses)} changed", seq, taken, addresses)


def _clash(
    core: Core, path: str, what: str, seq: Seq, taken: frozenset[int], addresses: Sequence[str] = ()
) -> str:
    """Say what later commit is in the way of taking one back."""
    later = _first_later(core, path, seq, taken, addresses)
    if later is None:
        return f"Commit {seq} cannot be taken back: {what}."
    return f"Commit {seq} cannot be taken back: {what} in {later.seq}, by {later.agent}."


def _first_later(
    core: Core, path: str, seq: Seq, taken: frozenset[int], addresses: Sequence[str]
) -> Commit | None:
    """Return the first commit after `seq`, of those that stay, that wrote these nodes.

    Without addresses, or if none is found, the newest that touched the path: it is as that one left it.
    """
    mine = {edit.uid for edit in _edits(core, seq, path) if edit.address in addresses}
    anything: Commit | None = None
    same: Commit | None = None
    before: Seq | None = None
    while page := core.store.log(LogQuery(limit=_PAGE, path=RepoPath(path), before=before)):
        for commit in page:
            if commit.seq <= seq:
                return same or anything
            if commit.seq not in taken:
                if not addresses:
                    return commit
                anything = anything or commit
                edits = _edits(core, commit.seq, path)
                if mine & {edit.uid for edit in edits} or {edit.address for edit in edits} & {*addresses}:
                    same = commit
        before = page[-1].seq
    return same or anything


def _edits(core: Core, seq: Seq, path: str) -> list[NodeEdit]:
    detail = core.store.detail(seq)
    return [] if detail is None else [edit for edit in detail.edits if edit.path == path]


__all__ = ["NOTHING", "CannotUndo", "plan_undo"]
