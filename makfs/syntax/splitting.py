"""The full splitter: the bytes of a file to its nodes, and the judgement whether they parse.

Never raises on any bytes. Cost: about 5 ms of CPU per 1,000 lines, holding the interpreter's lock.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from makfs.syntax import by_ast, tolerant
from makfs.syntax.decode import decode, encoding_of, is_source
from makfs.syntax.layout import Piece, lay_out, without_mark
from makfs.syntax.naming import Namer
from makfs.syntax.node import Kind, Node, Source

MAX_BYTES = 2_000_000
"""Larger files are one opaque node."""

EMPTY = Source((), True)


def split(path: str, text: bytes, *, max_bytes: int = MAX_BYTES) -> Source:
    """Return the file's nodes, none of them identified (uid 0).

    What is not source, not readable as text or larger than `max_bytes` is one opaque node, `valid` unless
    it is source that cannot be read. Source that does not parse is split as far as it can be; the rest
    is broken nodes.
    """
    if not text:
        return EMPTY
    if not is_source(path) or len(text) > max_bytes:
        return opaque(text, valid=True)
    decoded = decode(text, encoding_of(text))
    if decoded is None:
        return opaque(text, valid=False)
    return split_decoded(text, decoded)


def split_decoded(text: bytes, decoded: str) -> Source:
    """Split a text that is already decoded."""
    lines = text.splitlines(keepends=True)
    parsed = parse_pieces(decoded, lines)
    if parsed is not None:
        return Source(tuple(to_nodes(parsed, lines)), True)
    pieces, valid = tolerant.pieces(decoded, without_mark(lines))
    return Source(tuple(to_nodes(pieces, lines)), valid)


def parse_pieces(decoded: str, lines: list[bytes], *, at_start: bool = True) -> list[Piece] | None:
    """Return the pieces of a text the running Python accepts, else None."""
    tree = by_ast.parse(decoded)
    if isinstance(tree, Exception):
        return None
    seen = without_mark(lines) if at_start else lines
    return lay_out(seen, by_ast.statements(tree), at_start=at_start)


def to_nodes(pieces: Iterable[Piece], lines: Sequence[bytes]) -> list[Node]:
    """Give pieces their bytes and their names."""
    namer = Namer()
    text = b"".join(lines)
    offsets = [0, *accumulate(map(len, lines))]
    nodes: list[Node] = []
    for piece in pieces:
        scope, name = namer.name(piece.scope, piece.kind, piece.base)
        begin = offsets[piece.first]
        body = text[begin : offsets[piece.end]]
        nodes.append(Node(piece.kind, scope, name, body, offsets[piece.core] - begin, defines=piece.defines))
    return nodes


def parses(path: str, text: bytes) -> bool:
    """Tell whether a file's text is valid: what is not source always is, what cannot be read never.

    The running Python's parser decides; what it refuses, but newer grammars accept, is valid too.
    """
    if not is_source(path):
        return True
    decoded = decode(text, encoding_of(text))
    if decoded is None:
        return False
    if not isinstance(by_ast.parse(decoded), Exception):
        return True
    return tolerant.pieces(decoded, without_mark(text.splitlines(keepends=True)))[1]


def opaque(text: bytes, *, valid: bool) -> Source:
    """Return a file that is not split."""
    return Source((Node(Kind.OPAQUE, "", "#opaque", text),), valid)
