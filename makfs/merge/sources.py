"""Merge three versions of a file node by node.

S1  Different nodes changed: each side's text is taken as it stands. One node changed by both: see `piece`.
S2  A node that one side deleted and the other changed is a conflict; so are a class deleted with anything
    changed inside, a node that one side renamed and the other renamed or edited, and a name that both
    added with different texts.
S3  Siblings keep the order that `order` finds. Where both sides added at one place, definitions follow one
    another, for their order says nothing; other statements are a conflict, for theirs does.
S4  An addition whose neighbours on its own side the other side deleted has lost its place: a conflict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from makfs.ids import NodeUid
from makfs.merge.forest import ROOT, Forest, Version
from makfs.merge.order import Meeting, merge_order
from makfs.merge.piece import merge_piece
from makfs.merge.result import ConflictItem, What
from makfs.merge.speech import item
from makfs.syntax.node import Kind, Node

Older = Callable[[NodeUid], Sequence[bytes]]
DEFINITIONS = frozenset({Kind.FUNC, Kind.METHOD, Kind.CLASS})


@dataclass(slots=True)
class Draft:
    """The merge of one file in the making."""

    path: str
    forest: Forest
    allow_lines: bool
    older: Older | None
    text: dict[int, bytes] = field(default_factory=dict)  # of every node that is kept
    parent: dict[int, int] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    fresh: set[int] = field(default_factory=set)  # whose text neither side has
    touched: list[int] = field(default_factory=list)  # that are not the same in all three versions
    loose: set[int] = field(default_factory=set)  # whose lines need not add up: imports, layout given up
    dropped: list[int] = field(default_factory=list)
    items: list[ConflictItem] = field(default_factory=list)

    def refuse(self, uid: int, what: What) -> None:
        """Note a conflict at a node."""
        self.items.append(item(what, self.path, self.node(uid)))

    def node(self, uid: int) -> Node:
        """Return the node as the result knows it: by mine's name where only mine renamed it."""
        forest = self.forest
        base, mine, head = forest.base.node.get(uid), forest.mine.node.get(uid), forest.head.node.get(uid)
        if mine is not None and head is not None and base is not None and head.qualname == base.qualname:
            return mine
        return next(node for node in (head, mine, base) if node is not None)

    def still(self) -> list[Node]:
        """Return the nodes that are the same in all versions."""
        touched = set(self.touched)
        inside = [self.node(uid) for uid in self.order if uid not in touched]
        return [*self.forest.before, *inside, *self.forest.after]

    def older_texts(self, uid: int) -> Sequence[bytes]:
        """Return the texts of a node that head's newer one replaced, as far as the caller knows."""
        return self.older(NodeUid(uid)) if self.older is not None and uid > 0 else ()


def merge_nodes(path: str, forest: Forest, *, allow_lines: bool, older: Older | None) -> Draft:
    """Return the merged draft; with `items`, it is refused and its texts are incomplete."""
    draft = Draft(path, forest, allow_lines, older)
    for uid in forest.uids():
        if forest.is_still(uid):
            draft.text[uid] = forest.head.node[uid].text
            draft.parent[uid] = forest.head.parent[uid]
        else:
            draft.touched.append(uid)
            _settle(draft, uid)
    if not draft.items:
        _arrange(draft, ROOT)
    if not draft.items and len(draft.order) < len(draft.text):
        placed = set(draft.order)
        draft.refuse(next(uid for uid in draft.text if uid not in placed), What.DELETE_EDIT)
    return draft


def _settle(draft: Draft, uid: int) -> None:
    """Decide on one node: its text and parent, that it is gone, or a conflict (S1, S2)."""
    forest = draft.forest
    base, mine, head = forest.base.node.get(uid), forest.mine.node.get(uid), forest.head.node.get(uid)
    if mine is not None and head is not None:
        draft.parent[uid] = _parent(draft, uid)
        if base is not None:
            _settle_shared(draft, uid, base, mine, head)
        elif mine.core.strip() == head.core.strip():
            draft.text[uid] = head.text
        else:
            draft.refuse(uid, What.ADD_ADD)
    elif mine is not None:
        _settle_single(draft, uid, base, mine, forest.mine)
    elif head is not None:
        _settle_single(draft, uid, base, head, forest.head)


def _settle_shared(draft: Draft, uid: int, base: Node, mine: Node, head: Node) -> None:
    if _renames_clash(draft, uid, base, mine, head):
        draft.refuse(uid, What.RENAME)
        return
    older = draft.older_texts(uid) if base.text not in (mine.text, head.text) else ()
    piece = merge_piece(base, mine, head, allow_lines=draft.allow_lines, older=older)
    if isinstance(piece, What):
        draft.refuse(uid, piece)
        return
    draft.text[uid] = piece.text
    if piece.fresh:
        draft.fresh.add(uid)
    if piece.loose:
        draft.loose.add(uid)
    if piece.stale:
        draft.dropped.append(uid)


def _settle_single(draft: Draft, uid: int, base: Node | None, left: Node, side: Version) -> None:
    """Decide on a node that only one side still has: added, deleted, or deleted against a change."""
    if base is None:
        draft.text[uid] = left.text
        draft.parent[uid] = side.parent[uid]
    elif left.core.strip() != base.core.strip() or side.parent[uid] != draft.forest.base.parent[uid]:
        if side is draft.forest.mine and left.text in draft.older_texts(uid):
            draft.dropped.append(uid)
            draft.loose.add(uid)
        else:
            draft.refuse(uid, What.DELETE_EDIT)


def _renames_clash(draft: Draft, uid: int, base: Node, mine: Node, head: Node) -> bool:
    """Tell whether a rename meets another rename or an edit (S2). A class's header alone may do both."""
    forest = draft.forest
    old, my, new = forest.base.name(uid), forest.mine.name(uid), forest.head.name(uid)
    if my == new:
        return False
    if old not in (my, new):
        return True
    return base.kind is not Kind.CLASS and base.core not in (mine.core, head.core)


def _parent(draft: Draft, uid: int) -> int:
    """Return the class a node belongs to, ROOT for the module; refuse two moves into different classes."""
    forest = draft.forest
    base, mine, head = (version.parent.get(uid) for version in (forest.base, forest.mine, forest.head))
    assert mine is not None
    assert head is not None
    if mine in (base, head):
        return head
    if head != base:
        draft.refuse(uid, What.ORDER)
    return mine


def _arrange(draft: Draft, parent: int) -> None:
    """Put the kept children of a class or the module in order, and theirs (S3)."""
    versions = draft.forest.base, draft.forest.mine, draft.forest.head
    base, mine, head = (version.children.get(parent, []) for version in versions)
    if not mine and not head:
        return
    keep = {uid for uid in (*mine, *head) if uid in draft.text and draft.parent[uid] == parent}
    order = merge_order(base, mine, head, keep)
    if order is None:
        draft.refuse(parent or (mine or head)[0], What.ORDER)
        return
    for meeting in order.meetings:
        if not _commutes(draft, meeting):
            draft.refuse(meeting.mine[0], What.ORDER)
    for side in (mine, head):
        for uid in _adrift(draft, side, set(base)):
            draft.refuse(uid, What.ORDER)
    for uid in order.uids:
        draft.order.append(uid)
        if any(uid in version.children for version in versions):
            _arrange(draft, uid)


def _commutes(draft: Draft, meeting: Meeting) -> bool:
    """Tell whether two runs of additions may stand in either order."""
    return any(
        all(draft.node(uid).kind in DEFINITIONS for uid in run) for run in (meeting.head, meeting.mine)
    )


def _adrift(draft: Draft, side: Sequence[int], base: set[int]) -> list[int]:
    """Return the additions whose neighbours on their own side are both gone from the result (S4)."""
    lost: list[int] = []
    for index, uid in enumerate(side):
        if uid in base or uid not in draft.text:
            continue
        before = next((other for other in reversed(side[:index]) if other in base), None)
        after = next((other for other in side[index + 1 :] if other in base), None)
        if before is not None and before not in draft.text and (after is None or after not in draft.text):
            lost.append(uid)
    return lost
