"""How two trees differ. Works on a reader of the store; changes nothing.

D1  Both sides are trees of commits: every path has a state at every seq since its origin (J2, J3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from makfs.engine.historyapi import DiffPage, FileDiff, Side
from makfs.engine.tracing import SCRATCH_UID
from makfs.errors import NotKept
from makfs.ids import NodeUid, RepoPath, Seq
from makfs.store.model import FileKind, NodeEdit, Revision
from makfs.store.protocol import Reader
from makfs.syntax import address, diff, identify, is_source, restore
from makfs.syntax.node import NodeChange, Source

PAGE_BYTES = 8 << 20  # texts in one answer; the last file may go over it
_SHOWN = (FileKind.FILE, FileKind.SYMLINK)  # as git does, folders are not told of


@dataclass(frozen=True, slots=True)
class _Pair:
    """One file on both sides."""

    path: RepoPath
    old: Revision | None
    new: Revision | None


def compare(
    reader: Reader, old: Seq, new: Seq, paths: Sequence[RepoPath], *, by_node: bool, after: RepoPath | None
) -> DiffPage:
    """Return the next page of the difference. Cost: every path touched between the two, a page's texts."""
    low, high = min(old, new), max(old, new)
    touched = [path for path in reader.changed(low, high) if _is_wanted(path, paths)]
    found: list[FileDiff] = []
    size = 0
    for pair in _pairs(reader, touched, old, new):
        if after is not None and pair.path <= after:
            continue
        if size >= PAGE_BYTES:
            return DiffPage(old, new, tuple(found), found[-1].path)
        found.append(_difference(reader, pair, by_node=by_node))
        size += sum(len(side.data or b"") for side in (found[-1].old, found[-1].new) if side is not None)
    return DiffPage(old, new, tuple(found), None)


def _is_wanted(path: str, paths: Sequence[str]) -> bool:
    return not paths or any(not each or path == each or path.startswith(each + "/") for each in paths)


def _pairs(reader: Reader, touched: Sequence[RepoPath], old: Seq, new: Seq) -> list[_Pair]:
    """Return what differs, in the order of paths; a file that went to another path is one pair."""
    pairs: list[_Pair] = []
    gone: dict[int, Revision] = {}
    for path in touched:
        was, now = _shown(reader.revision(path, old)), _shown(reader.revision(path, new))
        if was is not None and now is None:
            gone[was.file] = was
        if _state(was) != _state(now):
            pairs.append(_Pair(path, was, now))
    came = {
        pair.new.file: pair.path for pair in pairs if pair.old is None and pair.new and pair.new.file in gone
    }
    whole: list[_Pair] = []
    for pair in pairs:
        if pair.new is None and pair.old is not None and pair.old.file in came:
            continue
        if pair.old is None and pair.new is not None and came.get(pair.new.file) == pair.path:
            pair = _Pair(pair.path, gone[pair.new.file], pair.new)
        whole.append(pair)
    return whole


def _shown(revision: Revision | None) -> Revision | None:
    return revision if revision is not None and revision.kind in _SHOWN else None


def _state(revision: Revision | None) -> object:
    if revision is None:
        return None
    return revision.kind, revision.mode, revision.content_hash, revision.target


def _difference(reader: Reader, pair: _Pair, *, by_node: bool) -> FileDiff:
    same = _content(pair.old) == _content(pair.new)
    old, new = _side(reader, pair.old, same=same), _side(reader, pair.new, same=same)
    edits = _edits(reader, pair) if by_node and not same else ()
    moved = pair.old.path if pair.old is not None and pair.old.path != pair.path else None
    return FileDiff(pair.path, moved, old, new, edits, same)


def _content(revision: Revision | None) -> object:
    return None if revision is None else (revision.kind, revision.content_hash, revision.target)


def _side(reader: Reader, revision: Revision | None, *, same: bool) -> Side | None:
    if revision is None:
        return None
    if same:
        return Side(revision.kind, revision.mode, b"")
    if revision.kind is FileKind.SYMLINK:
        return Side(revision.kind, revision.mode, revision.target)
    try:
        data: bytes | None = b"".join(node.text for node in reader.nodes(revision.path, revision.seq))
    except NotKept:
        data = None
    return Side(revision.kind, revision.mode, data)


def _edits(reader: Reader, pair: _Pair) -> tuple[NodeEdit, ...]:
    """Return the difference by node; () where a side is not source, and the texts alone can be compared."""
    if not is_source(pair.path) or not all(_is_text(each) for each in (pair.old, pair.new)):
        return ()
    old, new = _tiles(reader, pair.old), _tiles(reader, pair.new)
    before, uid = restore(pair.path, old, SCRATCH_UID)
    after, uid = restore(pair.path, new, uid)
    if pair.old is not None and pair.new is not None and not (_are_known(old) and _are_known(new)):
        is_forward = pair.old.seq <= pair.new.seq
        first, last = (before, after) if is_forward else (after, before)
        later = _first_known(reader, pair.old, pair.new, uid)
        if later is not None and _are_known(new if is_forward else old):
            first, _ = identify(pair.path, later, first.text, uid)
        else:
            last, _ = identify(pair.path, first, last.text, uid)
        before, after = (first, last) if is_forward else (last, first)
    return tuple(_edit(pair.path, change) for change in diff(before, after))


def _tiles(reader: Reader, revision: Revision | None) -> list[tuple[NodeUid, bytes]]:
    nodes = () if revision is None else reader.nodes(revision.path, revision.seq)
    return [(node.uid, node.text) for node in nodes]


def _are_known(tiles: Sequence[tuple[NodeUid, bytes]]) -> bool:
    """Tell whether nodes have uids. A file's first version is kept as one text without any."""
    return all(uid for uid, _ in tiles)


def _first_known(reader: Reader, one: Revision, other: Revision, uid: int) -> Source | None:
    """Return the first version after the earlier one whose nodes have uids: the earlier's nodes are these."""
    early, late = sorted((one, other), key=lambda revision: revision.seq)
    for stretch in reversed(reader.stretches(late.path, late.seq)):
        for found in reader.node_lists(stretch) if stretch.last > early.seq else ():
            if found.seq > early.seq and found.uids and all(found.uids):
                texts = reader.texts(found.texts)
                tiles = [(node, texts[text]) for node, text in zip(found.uids, found.texts, strict=True)]
                return restore(late.path, tiles, uid)[0]
    return None


def _is_text(revision: Revision | None) -> bool:
    return revision is None or (revision.kind is FileKind.FILE and revision.kept)


def _edit(path: RepoPath, change: NodeChange) -> NodeEdit:
    node = change.after or change.before
    assert node is not None
    before, after = change.before, change.after
    renamed = before is not None and after is not None and before.qualname != after.qualname
    return NodeEdit(
        path,
        change.op.value,
        node.kind.value,
        address(path, node),
        NodeUid(0),
        before.text if before else None,
        after.text if after else None,
        address(path, before) if before is not None and renamed else "",
    )
