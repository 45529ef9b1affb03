"""Merge whole files: nodes where the three versions have them, lines where they do not.

W1  Never an exception, whatever the bytes. Never a result that fails the checks of `guard`.
W2  merge(base, mine, base) is mine; merge(base, base, head) is head; merge(base, same, same) is the same.
W3  Where nodes give no answer and the policy allows lines, lines may: a change of structure that nodes could
    not follow is often plain to the eye. The same checks hold. A stale copy (`piece`, P4) is never merged
    by lines: only nodes tell it from an edit.
W4  A version that does not parse is merged by lines; without lines, only if its nodes merge as well.
W5  Files that are not source are merged by lines if the policy allows it; binary ones never.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from makfs.ids import NodeUid
from makfs.merge import guard
from makfs.merge.forest import plant
from makfs.merge.result import Conflict, ConflictItem, Merged, What
from makfs.merge.sources import Draft, Older, merge_nodes
from makfs.merge.speech import item
from makfs.merge.text import is_binary, merge_text
from makfs.syntax import identify, parses, split
from makfs.syntax.node import Kind, Node, Source


def merge_file(
    path: str,
    base: bytes,
    mine: bytes,
    head: bytes,
    *,
    allow_lines: bool = True,
    older: Callable[[str], Sequence[bytes]] | None = None,
) -> Merged | Conflict:
    """Merge three texts of the file at `path`. `older` gives the texts of an address that came before head's.

    Cost: three full splits; callers that hold nodes use `merge_sources`.
    """
    if mine in (base, head):
        return Merged(head)
    if head == base:
        return Merged(mine)
    old, uid = identify(path, None, base, 1)
    my, uid = identify(path, old, mine, uid)
    new, uid = identify(path, old, head, uid)
    by_uid: Callable[[NodeUid], Sequence[bytes]] | None = None
    if older is not None:
        addresses = {node.uid: f"{path}::{node.qualname}" for node in (*my.nodes, *new.nodes)}
        by_address = older

        def by_uid(uid: NodeUid) -> Sequence[bytes]:
            return by_address(addresses[uid])

    return merge_sources(path, old, my, new, allow_lines=allow_lines, older=by_uid)


def merge_sources(
    path: str,
    base: Source,
    mine: Source,
    head: Source,
    *,
    allow_lines: bool = True,
    older: Older | None = None,
) -> Merged | Conflict:
    """Merge three versions whose nodes carry aligned uids (0: not matched).

    `older` gives the texts of a node that its newer text in head replaced. Cost: that of the changed stretch.
    """
    forest = plant(base, mine, head)
    if _text(forest.mine.node.values()) in (
        _text(forest.base.node.values()),
        _text(forest.head.node.values()),
    ):
        return Merged(head.text)
    if _text(forest.head.node.values()) == _text(forest.base.node.values()):
        return Merged(mine.text)
    if any(_is_opaque(source) for source in (base, mine, head)):
        return _merge_opaque(path, base.text, mine.text, head.text, allow_lines=allow_lines)
    draft = merge_nodes(path, forest, allow_lines=allow_lines, older=older)
    items = tuple(draft.items) or _check_draft(draft)
    if not (base.valid and mine.valid and head.valid):
        if items and not allow_lines:
            return Conflict(items)
    elif not items:
        text = b"".join(
            [*_texts(forest.before), *(draft.text[uid] for uid in draft.order), *_texts(forest.after)]
        )
        if parses(path, text):
            dropped = tuple(f"{path}::{draft.node(uid).qualname}" for uid in draft.dropped)
            return Merged(text, dropped)
        items = (item(What.GUARD, path, None, "the result would not parse"),)
    if draft.dropped or (items and not allow_lines):
        return Conflict(items)
    return _merge_lines(path, base, mine, head, items)


def _texts(nodes: Sequence[Node]) -> list[bytes]:
    return [node.text for node in nodes]


def _text(nodes: Iterable[Node]) -> bytes:
    return b"".join(node.text for node in nodes)


def _is_opaque(source: Source) -> bool:
    return len(source.nodes) == 1 and source.nodes[0].kind is Kind.OPAQUE


def _merge_opaque(
    path: str, base: bytes, mine: bytes, head: bytes, *, allow_lines: bool
) -> Merged | Conflict:
    if any(map(is_binary, (base, mine, head))):
        return Conflict((item(What.BINARY, path),))
    merged = merge_text(base, mine, head) if allow_lines else ()
    if isinstance(merged, bytes):
        return Merged(merged)
    return Conflict(
        tuple(item(What.EDIT_EDIT, path, None, clash.place) for clash in merged)
        or (item(What.EDIT_EDIT, path),)
    )


def _merge_lines(
    path: str, base: Source, mine: Source, head: Source, items: tuple[ConflictItem, ...]
) -> Merged | Conflict:
    """Merge by lines and hold the result against the same checks (W3, W4)."""
    merged = merge_text(base.text, mine.text, head.text)
    if not isinstance(merged, bytes):
        return Conflict(items or tuple(item(What.EDIT_EDIT, path, None, clash.place) for clash in merged))
    if not (mine.valid and head.valid):
        return Merged(merged)
    if not parses(path, merged):
        return Conflict(items or (item(What.GUARD, path, None, "the result would not parse"),))
    wrong = _check_names(path, base.nodes, mine.nodes, head.nodes, split(path, merged).nodes)
    return Conflict(wrong) if wrong else Merged(merged)


def _check_draft(draft: Draft) -> tuple[ConflictItem, ...]:
    """Hold a draft against G1 to G4, within the changed stretch."""
    forest = draft.forest
    base, mine, head = (
        b"".join(node.text for uid, node in side.node.items() if uid not in draft.loose)
        for side in (forest.base, forest.mine, forest.head)
    )
    got = b"".join(draft.text[uid] for uid in draft.order if uid not in draft.loose)
    if not guard.lines_add_up(base, mine, head, got):
        return (item(What.GUARD, draft.path, None, "a line would be lost or doubled"),)
    if not draft.dropped and guard.swallowed(base, mine, head, got):
        return (item(What.GUARD, draft.path, None, "nothing of one side's change would be left to see"),)
    result = [_result_node(draft, uid) for uid in draft.order]
    old, my, new = (list(side.node.values()) for side in (forest.base, forest.mine, forest.head))
    return _check_names(draft.path, old, my, new, result)


def _result_node(draft: Draft, uid: int) -> Node:
    node, text = draft.node(uid), draft.text[uid]
    if uid in draft.fresh and node.defines:
        defines = [name for part in split(draft.path, text).nodes for name in part.defines]
        return replace(node, text=text, defines=tuple(dict.fromkeys(defines)))
    return node if node.text == text else replace(node, text=text)


def _check_names(
    path: str, base: Sequence[Node], mine: Sequence[Node], head: Sequence[Node], result: Sequence[Node]
) -> tuple[ConflictItem, ...]:
    """Hold a result against G2 and G3."""
    twice = guard.doubled(mine, head, result)
    if twice is not None:
        return (item(What.GUARD, path, twice, "it would be there twice"),)
    name = guard.orphaned(base, mine, head, result)
    if name is not None:
        more = f"one side took {name.decode()} away and the other uses it"
        return (item(What.GUARD, path, None, more),)
    return ()
