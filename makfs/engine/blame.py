"""Who wrote each line: authors carried forward through the revisions of one file. Pure.

B1  A line of a node keeps its author while the node has it, wherever the node goes, whatever its name.
B2  A line that leaves one node for another in one commit keeps its author, if it stays in order.
B3  Every line has exactly one author; a line that no revision before had is its commit's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from makfs.ids import NodeUid, Seq
from makfs.merge.lines import diff_lines, split_lines
from makfs.store.model import FileKind, NodeIds

Texts = Callable[[Iterable[int]], Mapping[int, bytes]]
Line = tuple[Seq, bytes]


@dataclass(slots=True)
class _Piece:
    """One node's lines and their authors; None: not known yet."""

    uid: NodeUid
    text: int
    lines: Sequence[bytes]
    authors: list[Seq | None]


def blame(revisions: Iterable[NodeIds], texts: Texts) -> list[Line]:
    """Return the lines of the last revision, each with the commit that wrote it.

    `revisions` go from the oldest to the newest. Cost: each one's list of nodes, and a comparison for each
    node that changed.
    """
    pieces: list[_Piece] = []
    for revision in revisions:
        if revision.kind is not FileKind.FILE or not revision.kept:
            pieces = []  # what is deleted, or not kept, is nobody's any more
        else:
            pieces = _carried(pieces, revision, texts)
    return [
        (Seq(author or 0), line)
        for piece in pieces
        for author, line in zip(piece.authors, piece.lines, strict=True)
    ]


def _carried(pieces: list[_Piece], revision: NodeIds, texts: Texts) -> list[_Piece]:
    """Return the pieces of a revision, after those of the one before it."""
    before = {(piece.uid, piece.text): piece for piece in pieces}
    wanted = list(zip(revision.uids, revision.texts, strict=True))
    new = [text for uid, text in wanted if (uid, text) not in before]
    if not new:
        return [before[each] for each in wanted]
    found = texts(set(new))
    made: list[_Piece] = []
    kept: set[int] = set()
    for uid, text in wanted:
        piece = before.get((uid, text))
        if piece is None or id(piece) in kept:
            lines = split_lines(found[text]) if piece is None else piece.lines
            piece = _Piece(uid, text, lines, [None] * len(lines))
        kept.add(id(piece))
        made.append(piece)
    _fill(
        [piece for piece in pieces if id(piece) not in kept],
        [piece for piece in made if None in piece.authors],
        revision.seq,
    )
    return made


def _fill(gone: Sequence[_Piece], come: Sequence[_Piece], seq: Seq) -> None:
    """Give the pieces that came their authors: from the same node, then from whatever left, then `seq`."""
    same = {piece.uid: piece for piece in gone if piece.uid}
    left: list[tuple[bytes, Seq | None]] = []
    taken: dict[int, set[int]] = {}
    for piece in come:
        old = same.get(piece.uid)
        if old is not None:
            pairs = _equal(old.lines, piece.lines)
            for old_at, new_at in pairs:
                piece.authors[new_at] = old.authors[old_at]
            taken[id(old)] = {old_at for old_at, _ in pairs}
    for piece in gone:
        used = taken.get(id(piece), ())
        left += [
            (line, author)
            for at, (line, author) in enumerate(zip(piece.lines, piece.authors, strict=True))
            if at not in used
        ]
    open_places = [(piece, at) for piece in come for at, who in enumerate(piece.authors) if who is None]
    if left and open_places:
        lines = [piece.lines[at] for piece, at in open_places]
        for old_at, new_at in _equal([line for line, _ in left], lines):
            piece, at = open_places[new_at]
            piece.authors[at] = left[old_at][1]
    for piece in come:
        piece.authors = [seq if who is None else who for who in piece.authors]


def _equal(old: Sequence[bytes], new: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return the pairs of places of lines that stayed."""
    pairs: list[tuple[int, int]] = []
    old_at = new_at = 0
    for hunk in diff_lines(old, new):
        pairs += zip(range(old_at, hunk.old_start), range(new_at, hunk.new_start), strict=True)
        old_at, new_at = hunk.old_end, hunk.new_end
    pairs += zip(range(old_at, len(old)), range(new_at, len(new)), strict=True)
    return pairs
