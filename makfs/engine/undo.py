"""Taking commits back: what the tree would be without them, by node, or why that cannot be said.

U1  Commits are taken back newest first: each from its own text to the one before it, merged onto what the
    later ones left. So commits that build on one another can be taken back together, in whatever order named.
U2  Nothing is taken back by half: where later work touched the same node, the whole is refused, naming both.
U3  The result is an ordinary commit, which can be taken back itself.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from makfs.engine.core import Core
from makfs.engine.together import NOTHING, Thing, Want, past_thing
from makfs.errors import Busy, NotFound
from makfs.ids import RepoPath, Seq
from makfs.merge import Conflict, merge_file
from makfs.store.model import CommitDetail, FileKind, LogQuery

_SHOWN = 5


class CannotUndo(Busy):
    """Later work stands on what should be taken back; nothing was changed."""


@dataclass(slots=True)
class _Tree:
    """The tree while commits are taken back: what differs from head."""

    head: Callable[[str], Thing]
    changed: dict[str, Thing] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)  # path now -> path of the same file at head

    def at(self, path: str) -> Thing:
        """Return what stands at a path."""
        found = self.changed.get(path)
        return self.head(path) if found is None else found


def plan_undo(core: Core, seqs: Iterable[int], head: Callable[[str], Thing]) -> tuple[Want, ...]:
    """Return what the paths become without these commits (U1). Raises NotFound, NotKept, CannotUndo (U2)."""
    wanted = sorted(set(seqs), reverse=True)
    tree, clashes = _Tree(head), list[str]()
    for seq in wanted:
        detail = core.store.detail(Seq(seq))
        if detail is None:
            raise NotFound(f"There is no commit {seq}; the newest is {core.store.head}.")
        _take_back(core, tree, detail, clashes, frozenset(wanted))
    if clashes:
        more = f" And {len(clashes) - _SHOWN} more." if len(clashes) > _SHOWN else ""
        raise CannotUndo(f"Nothing was undone. {' '.join(clashes[:_SHOWN])}{more}")
    _keep_folders_in_use(core, tree)
    return tuple(
        Want(path, thing, tree.moved.get(path)) for path, thing in tree.changed.items() if thing != head(path)
    )


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
    core: Core, tree: _Tree, detail: CommitDetail, clashes: list[str], taken: frozenset[int]
) -> None:
    seq, moved = detail.commit.seq, detail.moved
    _move_back(core, tree, moved, seq, clashes, taken)
    ends = {*moved, *moved.values()}
    for path in detail.commit.paths:
        if path in ends:
            continue
        before, after = past_thing(core, path, Seq(seq - 1)), past_thing(core, path, seq)
        result = _without(path, before, after, tree.at(path))
        if isinstance(result, Thing):
            tree.changed[path] = result
        else:
            clashes.append(_clash(core, path, result, seq, taken))


def _move_back(
    core: Core,
    tree: _Tree,
    moved: Mapping[RepoPath, RepoPath],
    seq: Seq,
    clashes: list[str],
    taken: frozenset[int],
) -> None:
    """Take renames back, all of a commit at once: an exchange is two."""
    if not moved:
        return
    results: dict[str, Thing] = {}
    origins: dict[str, str] = {}
    olds = set(moved.values())
    for new, old in moved.items():
        there, free = tree.at(new), tree.at(old)
        if not there.is_there:
            clashes.append(_clash(core, new, f"{new} is not there any more", seq, taken))
        elif free.is_there and old not in moved:
            clashes.append(_clash(core, old, f"{old} is there again", seq, taken))
        else:
            results[old] = there
            origins[old] = tree.moved.get(new, new)
            if new not in olds:
                results[new] = past_thing(core, new, Seq(seq - 1))
    tree.changed |= results
    for path in results:
        tree.moved.pop(path, None)
    tree.moved |= {path: origin for path, origin in origins.items() if path != origin}


def _without(path: str, before: Thing, after: Thing, now: Thing) -> Thing | str:
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
        return ", ".join(dict.fromkeys(item.address for item in merged.items)) + " changed"
    return Thing(FileKind.FILE, mode, merged.text)


def _verb(after: Thing, now: Thing) -> str:
    if not now.is_there:
        return "removed"
    return "changed" if after.is_there else "made again"


def _clash(core: Core, path: str, what: str, seq: Seq, taken: frozenset[int]) -> str:
    """Say what later commit is in the way of taking one back."""
    later = [
        commit
        for commit in core.store.log(LogQuery(limit=50, path=RepoPath(path)))
        if commit.seq > seq and commit.seq not in taken
    ]
    if not later:
        return f"Commit {seq} cannot be taken back: {what}."
    last = later[-1]
    return f"Commit {seq} cannot be taken back: {what} in {last.seq}, by {last.agent}."


__all__ = ["NOTHING", "CannotUndo", "plan_undo"]
