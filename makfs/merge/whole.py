"""Merge whole files: nodes where the three versions have them, lines where they do not.

W1  Never an exception, whatever the bytes. Never a result that fails the checks of `guard`, or that does not
    parse though mine and head do.
W2  merge(base, mine, base) is mine; merge(base, base, head) is head; merge(base, same, same) is the same.
W3  Where nodes give no answer and the policy allows lines, lines may: a change of structure that nodes could
    not follow is often plain to the eye. The same checks hold. Where nodes do have an answer, it stands: a
    node renamed or deleted against a change, a name added twice, and a stale copy (`piece`, P4), which only
    nodes tell from an edit, are never left to lines.
W4  A version that does not parse is merged by lines; without lines, only if its nodes merge as well.
W5  Files that are not source are merged by lines if the policy allows it; binary ones never.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from makfs.ids import NodeUid
from makfs.merge import ends, guard
from makfs.merge.forest import Forest, Version, plant
from makfs.merge.guard import Quartet
from makfs.merge.result import Conflict, ConflictItem, Merged, What
from makfs.merge.sound import is_sound
from makfs.merge.sources import Draft, Older, merge_nodes
from makfs.merge.speech import item
from makfs.merge.text import is_binary, merge_text
from makfs.syntax import identify, parses, split
from makfs.syntax.node import Kind, Node, Source

Items = tuple[ConflictItem, ...]
_ANSWERED = frozenset({What.RENAME, What.DELETE_EDIT, What.ADD_ADD})
_NOT_ADDED_UP = "a line would be lost or doubled"
_CUT_OFF = "one side ends the file at a line below which the other added something"


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
    crlf = [ends.crlf_of(text) for text in (base, mine, head)]
    if True in crlf and False in crlf and None not in crlf:
        merged = merge_file(path, *map(ends.to_lf, (base, mine, head)), allow_lines=allow_lines, older=older)
        if isinstance(merged, Merged) and ends.three_way(*crlf):
            return replace(merged, text=ends.to_crlf(merged.text))
        return merged
    old, uid = identify(path, None, base, 1)
    my, uid = identify(path, old, mine, uid)
    new, uid = identify(path, old, head, uid)
    by_uid: Older | None = None
    if older is not None:
        addresses = {node.uid: f"{path}::{node.qualname}" for node in (*my.nodes, *new.nodes)}
        by_uid = _by_uid(addresses, older)
    return merge_sources(path, old, my, new, allow_lines=allow_lines, older=by_uid)


def _by_uid(addresses: dict[NodeUid, str], older: Callable[[str], Sequence[bytes]]) -> Older:
    return lambda uid: older(addresses[uid])


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

    `older` gives the texts of a node that head's text replaced, for a uid. Cost: that of the changed stretch.
    """
    forest = plant(base, mine, head)
    texts = [_text(side) for side in (forest.base, forest.mine, forest.head)]
    if texts[1] in (texts[0], texts[2]):
        return Merged(head.text)
    if texts[2] == texts[0]:
        return Merged(mine.text)
    if any(_is_opaque(source) for source in (base, mine, head)):
        return _merge_opaque(path, base.text, mine.text, head.text, allow_lines=allow_lines)
    if any(b"\r\n" in text for text in texts) and not all(b"\r\n" in text for text in texts):
        crlf = [ends.crlf_of(source.text) for source in (base, mine, head)]
        if None not in crlf and len(set(crlf)) > 1:
            return merge_file(path, base.text, mine.text, head.text, allow_lines=allow_lines)
    final = [ends.is_ended(source) for source in (base, mine, head)]
    if not all(final):
        whole = [ends.ended(source) for source in (base, mine, head)]
        if whole[0] not in whole[1:] and whole[1] != whole[2]:
            merged = _merge(path, plant(*whole), *whole, allow_lines=allow_lines, older=older)
            if isinstance(merged, Merged) and not ends.three_way(*final):
                return replace(merged, text=ends.unended(merged.text))
            return merged
    return _merge(path, forest, base, mine, head, allow_lines=allow_lines, older=older)


def _merge(
    path: str,
    forest: Forest,
    base: Source,
    mine: Source,
    head: Source,
    *,
    allow_lines: bool,
    older: Older | None,
) -> Merged | Conflict:
    draft = merge_nodes(path, forest, allow_lines=allow_lines, older=older)
    items = tuple(draft.items) or _check_draft(draft)
    if not (base.valid and mine.valid and head.valid):
        if items and not allow_lines:
            return Conflict(items)
        return _merge_lines(path, base, mine, head, items)
    if not items:
        texts = _texts(draft)
        if not all(text.endswith((b"\n", b"\r")) for text in texts[:-1]):
            return Conflict((item(What.GUARD, path, None, _CUT_OFF),))  # E3
        text = b"".join(texts)
        if is_sound(draft, text):
            return Merged(text, tuple(f"{path}::{draft.node(uid).qualname}" for uid in draft.dropped))
        items = (item(What.GUARD, path, None, "the result would not parse"),)
    if draft.dropped or not allow_lines or any(each.what in _ANSWERED for each in items):
        return Conflict(items)
    return _merge_lines(path, base, mine, head, items)


def _texts(draft: Draft) -> list[bytes]:
    """Return the texts of the result's nodes, in order."""
    forest = draft.forest
    texts = [node.text for node in forest.before]
    texts.extend(draft.text[uid] for uid in draft.order)
    texts.extend(node.text for node in forest.after)
    return texts


def _text(version: Version) -> bytes:
    return b"".join(node.text for node in version.node.values())


def _is_opaque(source: Source) -> bool:
    return any(node.kind is Kind.OPAQUE for node in source.nodes)


def _merge_opaque(
    path: str, base: bytes, mine: bytes, head: bytes, *, allow_lines: bool
) -> Merged | Conflict:
    """Merge what is no source (W5)."""
    if any(map(is_binary, (base, mine, head))):
        return Conflict((item(What.BINARY, path),))
    if not allow_lines:
        return Conflict((item(What.EDIT_EDIT, path),))
    merged = merge_text(base, mine, head)
    if isinstance(merged, bytes):
        return Merged(merged)
    return Conflict(tuple(item(What.EDIT_EDIT, path, None, clash.place) for clash in merged))


def _merge_lines(path: str, base: Source, mine: Source, head: Source, items: Items) -> Merged | Conflict:
    """Merge by lines and hold the result against the same checks (W3, W4)."""
    merged = merge_text(base.text, mine.text, head.text)
    if not isinstance(merged, bytes):
        return Conflict(items or tuple(item(What.EDIT_EDIT, path, None, clash.place) for clash in merged))
    if not (mine.valid and head.valid):
        return Merged(merged)
    result = split(path, merged)
    if not (result.valid and parses(path, merged)):
        return Conflict(items or (item(What.GUARD, path, None, "the result would not parse"),))
    if not guard.lines_add_up(base.text, mine.text, head.text, merged):
        return Conflict(items or (item(What.GUARD, path, None, _NOT_ADDED_UP),))
    wrong = _check_names(path, Quartet(base.nodes, mine.nodes, head.nodes, result.nodes))
    return Conflict(items or wrong) if wrong else Merged(merged)


def _check_draft(draft: Draft) -> Items:
    """Hold a draft against the guard, within the changed stretch."""
    forest = draft.forest
    strict = [uid for uid in draft.touched if uid not in draft.loose]
    base, mine, head = (
        b"".join(side.node[uid].text for uid in strict if uid in side.node)
        for side in (forest.base, forest.mine, forest.head)
    )
    result = b"".join(draft.text[uid] for uid in strict if uid in draft.text)
    if not guard.lines_add_up(base, mine, head, result):
        return (item(What.GUARD, draft.path, None, _NOT_ADDED_UP),)
    if not draft.dropped and guard.vanished(base, mine, head, result) and not _lines_agree(draft):
        return (item(What.GUARD, draft.path, None, "nothing of one side's change would be left to see"),)
    old, my, new = (
        tuple(side.node[uid] for uid in draft.touched if uid in side.node)
        for side in (forest.base, forest.mine, forest.head)
    )
    nodes = tuple(_result_node(draft, uid) for uid in draft.touched if uid in draft.text)
    return _check_names(draft.path, Quartet(old, my, new, nodes, draft.still))


def _lines_agree(draft: Draft) -> bool:
    """Tell whether a merge by lines says what the draft says, white space aside (G5)."""
    forest = draft.forest
    sides = (
        b"".join(node.text for uid, node in side.node.items() if uid not in draft.loose)
        for side in (forest.base, forest.mine, forest.head)
    )
    by_lines = merge_text(*sides)
    texts = [draft.text[uid] for uid in draft.order if uid not in draft.loose]
    return isinstance(by_lines, bytes) and by_lines.split() == b"".join(texts).split()


def _result_node(draft: Draft, uid: int) -> Node:
    """Return a node of the result with its own text and what that text defines."""
    node, text = draft.node(uid), draft.text[uid]
    for side in (draft.forest.head, draft.forest.mine):
        model = side.node.get(uid)
        if model is not None and text.endswith(model.core):
            return replace(node, text=text, defines=model.defines)
    defines = [name for part in split(draft.path, text).nodes for name in part.defines]
    return replace(node, text=text, defines=tuple(dict.fromkeys(defines)) if node.defines else ())


def _check_names(path: str, four: Quartet) -> Items:
    """Hold a result against G2 to G4."""
    twice = guard.doubled(four)
    if twice is not None:
        return (item(What.GUARD, path, twice, "it would be there twice"),)
    name = guard.orphaned(four)
    if name is not None:
        return (item(What.GUARD, path, None, _taken(name.decode())),)
    name = guard.unused(four)
    if name is not None:
        return (item(What.GUARD, path, None, f"nobody would use the import {name.decode()} any more"),)
    return ()


def _taken(name: str) -> str:
    return f"one side took the name {name} away, the other uses it"
