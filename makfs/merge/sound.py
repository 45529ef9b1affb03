"""Whether a merged draft parses, told from what changed: pieces of valid files, put where such pieces go.

N1  Text that a valid version has as a node parses wherever a sibling of that node may stand; text that
    neither version has is parsed by itself, at its own indentation.
N2  A class has a body, all of one indentation. Where a draft mixes two sides' members so that this is not
    plain, the whole result is parsed instead.
"""

from makfs.merge.sources import Draft
from makfs.syntax import parses
from makfs.syntax.node import Kind

_PLAIN = frozenset(Kind) - {Kind.BROKEN, Kind.OPAQUE}


def is_sound(draft: Draft, text: bytes) -> bool:
    """Tell whether a draft of valid versions, rendered as `text`, parses. Cost: that of its new texts."""
    plain = all(draft.node(uid).kind in _PLAIN for uid in draft.order)
    if plain and all(_parses_alone(draft, uid) for uid in draft.fresh) and _classes_are_plain(draft):
        return True
    return parses(draft.path, text)


def _parses_alone(draft: Draft, uid: int) -> bool:
    node, text = draft.node(uid), draft.text[uid]
    if node.kind is Kind.TAIL:
        return True
    if node.kind is Kind.CLASS:
        return False  # a header has no body of its own
    return parses(draft.path, b"if 1:\n" + text if node.scope else text)


def _classes_are_plain(draft: Draft) -> bool:
    forest = draft.forest
    members: dict[int, list[int]] = {}
    for uid in draft.order:
        members.setdefault(draft.parent[uid], []).append(uid)
    for uid in draft.order:
        if draft.node(uid).kind is not Kind.CLASS:
            continue
        mine, head = (side.children.get(uid, []) for side in (forest.mine, forest.head))
        body = members.get(uid, [])
        if uid in forest.mine.node and uid in forest.head.node and not (mine and head):
            return False  # one side has `class A: pass`
        if not body and (mine or head):
            return False
        if len({_indent(draft, member) for member in body} - {None}) > 1:
            return False
    return True


def _indent(draft: Draft, uid: int) -> bytes | None:
    """Return the white space before a member's statement; a tail has none."""
    if draft.node(uid).kind is Kind.TAIL:
        return None
    for line in draft.text[uid].split(b"\n"):
        code = line.lstrip()
        if code and not code.startswith(b"#"):
            return line[: len(line) - len(code)]
    return None
