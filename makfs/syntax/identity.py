"""A new text of a file to nodes that know who they are.

I1  An untouched node stays the same object; its uid never changes while its bytes stand.
I2  On valid text the boundaries, kinds and names are exactly the full splitter's.
I3  No uid is given twice, and none below `next_uid` is given anew.
"""

from collections.abc import Sequence
from dataclasses import replace

from makfs.ids import NodeUid
from makfs.syntax import broken, tolerant
from makfs.syntax.decode import decode, encoding_of, is_source
from makfs.syntax.layout import without_mark
from makfs.syntax.matching import match
from makfs.syntax.naming import are_apart, renumber
from makfs.syntax.node import Kind, Node, Source
from makfs.syntax.splitting import MAX_BYTES, parse_pieces, split, to_nodes
from makfs.syntax.window import Touched, WindowDoesNotParse, resplit, touched


def identify(
    path: str, prior: Source | None, text: bytes, next_uid: int, *, max_bytes: int = MAX_BYTES
) -> tuple[Source, int]:
    """Return the text's nodes with uids, and the first uid still free.

    Nodes that are matched to `prior`, itself identified, keep their uid; new ones get uids from `next_uid`
    on. Only the touched nodes and their neighbours are parsed when that suffices; cost for a one-function
    edit: below 1 ms of CPU at 5,000 lines. Never raises on any bytes.
    """
    is_plain = not text or not is_source(path) or len(text) > max_bytes
    if is_plain or prior is None or not prior.nodes or prior.nodes[0].kind is Kind.OPAQUE:
        return _afresh(path, prior, text, next_uid, max_bytes)
    place = touched(prior.nodes, text)
    if place.low == place.high and place.begin == place.end:
        return prior, next_uid
    encoding = encoding_of(text)
    if place.low < 2 and encoding != encoding_of(prior.text):
        return _afresh(path, prior, text, next_uid, max_bytes)
    found = _Identify(prior, text, place, encoding).run(next_uid)
    return _afresh(path, prior, text, next_uid, max_bytes) if found is None else found


def _afresh(
    path: str, prior: Source | None, text: bytes, next_uid: int, max_bytes: int
) -> tuple[Source, int]:
    """Split the whole text and match it as a whole."""
    new = split(path, text, max_bytes=max_bytes)
    old = broken.expand(prior.nodes) if prior else []
    nodes, next_uid = _with_uids(old, new.nodes, next_uid)
    return Source(tuple(nodes), new.valid), next_uid


class _Identify:
    """One text on one prior version of the file, both source and in one encoding."""

    def __init__(self, prior: Source, text: bytes, place: Touched, encoding: str | None) -> None:
        self.prior, self.text, self.place, self.encoding = prior, text, place, encoding
        self.nodes = prior.nodes

    def run(self, next_uid: int) -> tuple[Source, int] | None:
        """Try the window, then the whole file, then newer grammars, then what is left of the base.

        None if the text cannot be read.
        """
        found, suspicious = self._window(newer=False)
        if found is not None:
            return self._put(found, next_uid)
        decoded = decode(self.text, self.encoding)
        if decoded is None:
            return None
        lines = self.text.splitlines(keepends=True)
        pieces = parse_pieces(decoded, lines)
        if pieces is None and suspicious:
            # Were the text valid in a newer grammar, so would the window be: the whole need not be asked.
            found, _ = self._window(newer=True)
            return self._put(found, next_uid) if found is not None else self._broken(next_uid)
        if pieces is None:
            pieces, valid = tolerant.pieces(decoded, without_mark(lines))
            if not valid:
                return self._broken(next_uid)
        nodes, next_uid = _with_uids(broken.expand(self.nodes), to_nodes(pieces, lines), next_uid)
        return Source(tuple(nodes), True), next_uid

    def _window(self, *, newer: bool) -> tuple[list[Node] | None, bool]:
        """Return the nodes of the touched range, if they can be had alone; and whether it does not parse."""
        if not self.prior.valid:
            return None, False
        try:
            return resplit(self.nodes, self.text, self.place, self.encoding, newer=newer), False
        except WindowDoesNotParse:
            return None, True

    def _put(self, found: list[Node], next_uid: int) -> tuple[Source, int]:
        """Put the nodes of the window into the file."""
        head, old, tail = (
            self.nodes[: self.place.low],
            self.nodes[self.place.low : self.place.high],
            self.nodes[self.place.high :],
        )
        if not are_apart(old, found, head + tail):
            renamed = renumber((*head, *found, *tail))
            head, found = tuple(renamed[: len(head)]), renamed[len(head) : len(head) + len(found)]
            tail = tuple(renamed[len(head) + len(found) :])
        nodes, next_uid = _with_uids(old, found, next_uid)
        return Source((*head, *nodes, *tail), True), next_uid

    def _broken(self, next_uid: int) -> tuple[Source, int]:
        """Keep what is left of the base; the rest is broken nodes that cover what they replace."""
        parts = broken.draft(self.nodes, self.text, self.place, self.encoding)
        gaps = [part for part in parts if not part.kept]
        olds = [node for part in gaps for node in part.olds]
        lost = [*broken.expand(olds), *(node for node in olds if node.kind is Kind.BROKEN)]
        fresh = [node for part in gaps for node in part.news]
        nodes, next_uid = _with_uids(lost, fresh, next_uid)
        alive = {node.uid for node in nodes}
        for part in gaps:
            part.news, nodes = nodes[: len(part.news)], nodes[len(part.news) :]
        return Source(tuple(renumber(broken.cover(parts, alive))), False), next_uid


def _with_uids(old: Sequence[Node], new: Sequence[Node], next_uid: int) -> tuple[list[Node], int]:
    """Return the new nodes, each with the uid of the old node it is, or else a new one."""
    pairs = match(old, new)
    nodes: list[Node] = []
    for index, node in enumerate(new):
        if index in pairs:
            uid = old[pairs[index]].uid
        else:
            uid, next_uid = NodeUid(next_uid), next_uid + 1
        nodes.append(replace(node, uid=uid))
    return nodes, next_uid
