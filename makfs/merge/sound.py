"""Whether a merged draft parses, told from what changed: pieces of valid files, put where such pieces go.

N1  Text that a valid version has as a node parses wherever a sibling of that node may stand; text that
    neither version has is parsed by itself, at its own indentation.
N2  A class has a body, all of one indentation. Where a draft mixes two sides' members so that this is not
    plain, the whole result is parsed instead.
"""

from makfs.merge.forest import ROOT
from makfs.merge.sources import Draft
from makfs.syntax import parses
from makfs.syntax.node import Kind

_PLAIN = frozenset(Kind) - {Kind.BROKEN, Kind.OPAQUE}


def is_sound(draft: Draft, text: bytes) -> bool:
    """Tell whether a draft of valid versions, rendered as `text`, parses. Cost: that of its new texts."""
    plain = all(draft.node(uid).kind in _PLAIN for uid in draft.touched)
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
    """Tell whether N2 can be seen to hold in every class that has, or had, a touched member."""
    forest = draft.forest
    versions = forest.base, forest.mine, forest.head
    touched = {side.parent[uid] for uid in draft.touched for side in versions if uid in side.parent}
    touched.update(uid for uid in draft.touched if draft.node(uid).kind is Kind.CLASS)
    touched.update(draft.parent[uid] for uid in draft.touched if uid in draft.parent)
    members: dict[int, list[int]] = {uid: [] for uid in touched if uid != ROOT and uid in draft.text}
    if not members:
        return True
    for uid in draft.order:
        if draft.parent[uid] in members:
            members[draft.parent[uid]].append(uid)
    moved = set(draft.touched)
    for uid, body in members.items():
        sides = [side.children.get(uid, []) for side in (forest.mine, forest.head) if uid in side.node]
        if any(sides) and not (all(sides) and body):
            return False  # one side has `class A: pass`, or nobody's members are left
        still = [member for member in body if member not in moved][:8]  # they have one indentation
        indents = {_indent(draft, member) for member in (*still, *moved.intersection(body))}
        if len(indents - {None}) > 1:
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
