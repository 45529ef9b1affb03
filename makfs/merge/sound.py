"""Whether a merged draft parses, told from what changed: pieces of valid files, put where such pieces go.

N1  Text that a valid version has as a node parses wherever a sibling of that node may stand; text that
    neither version has is parsed by itself, at its own indentation.
N2  A class has a body, all of one indentation. Members of different indentations are refused, for the deeper
    one would become part of the one above; where it is not plain that a body is left, the whole is parsed.
"""

from makfs.merge.forest import ROOT
from makfs.merge.sources import Draft
from makfs.syntax import parses
from makfs.syntax.node import Kind

_PLAIN = frozenset(Kind) - {Kind.BROKEN, Kind.OPAQUE}


def is_sound(draft: Draft, text: bytes) -> bool:
    """Tell whether a draft of valid versions, rendered as `text`, parses as the nodes that it was made of.

    Cost: that of its new texts, of the whole only where N2 leaves a doubt.
    """
    bodies = _touched_bodies(draft)
    if any(_is_mixed(draft, body) for body in bodies.values()):
        return False
    plain = all(draft.node(uid).kind in _PLAIN for uid in draft.touched)
    plain = plain and all(_has_body(draft, uid, body) for uid, body in bodies.items())
    return (plain and all(_parses_alone(draft, uid) for uid in draft.fresh)) or parses(draft.path, text)


def _parses_alone(draft: Draft, uid: int) -> bool:
    node, text = draft.node(uid), draft.text[uid]
    if node.kind is Kind.TAIL:
        return True
    if node.kind is Kind.CLASS:
        return False  # a header has no body of its own
    return parses(draft.path, b"if 1:\n" + text if node.scope else text)


def _touched_bodies(draft: Draft) -> dict[int, list[int]]:
    """Return the members of every class that is touched, or has or had a touched member."""
    forest = draft.forest
    versions = forest.base, forest.mine, forest.head
    touched = {side.parent[uid] for uid in draft.touched for side in versions if uid in side.parent}
    touched.update(uid for uid in draft.touched if draft.node(uid).kind is Kind.CLASS)
    touched.update(draft.parent[uid] for uid in draft.touched if uid in draft.parent)
    bodies: dict[int, list[int]] = {uid: [] for uid in touched if uid != ROOT and uid in draft.text}
    for uid in draft.order if bodies else ():
        if draft.parent[uid] in bodies:
            bodies[draft.parent[uid]].append(uid)
    return bodies


def _is_mixed(draft: Draft, body: list[int]) -> bool:
    """Tell whether a class's members have different indentations: one would be read as part of another."""
    moved = set(draft.touched)
    still = [member for member in body if member not in moved][:8]  # they have one indentation
    indents = {_indent(draft, member) for member in (*still, *moved.intersection(body))}
    return len(indents - {None}) > 1


def _has_body(draft: Draft, uid: int, body: list[int]) -> bool:
    """Tell whether a class surely has a body: no side had `class A: pass`, and members are left."""
    forest = draft.forest
    sides = [side.children.get(uid, []) for side in (forest.mine, forest.head) if uid in side.node]
    return (bool(body) and all(sides)) or not any(sides)


def _indent(draft: Draft, uid: int) -> bytes | None:
    """Return the white space before a member's statement; a tail has none."""
    if draft.node(uid).kind is Kind.TAIL:
        return None
    for line in draft.text[uid].split(b"\n"):
        code = line.lstrip()
        if code and not code.startswith(b"#"):
            return line[: len(line) - len(code)]
    return None
