"""Line ends as a property of the file: how its lines end, and whether the last one does.

E1  Where the versions end their lines differently, each in one way, they are merged with plain line feeds,
    and the result gets the ends of the side that changed them.
E2  Where both sides changed more than the final newline, its presence is merged by itself; while merging,
    every line has its end, so that what is put after the last line starts on its own.
E3  Where the final newline is all that one side changed, an addition of the other below it is a conflict.
"""

from dataclasses import replace
from typing import TypeVar

from makfs.syntax.node import Source

T = TypeVar("T")


def three_way(base: T, mine: T, head: T) -> T:
    """Merge a property that has few values: the changed one, mine's if both changed it."""
    return head if mine == base else mine


def crlf_of(text: bytes) -> bool | None:
    """Tell whether lines end in CR LF: True or False for all, None for some or where there are no lines."""
    line_feeds = text.count(b"\n")
    pairs = text.count(b"\r\n")
    if not line_feeds or (pairs and pairs != line_feeds):
        return None
    return bool(pairs)


def to_lf(text: bytes) -> bytes:
    """Return the text with plain line feeds."""
    return text.replace(b"\r\n", b"\n")


def to_crlf(text: bytes) -> bytes:
    """Return a text of plain line feeds with CR LF."""
    return text.replace(b"\n", b"\r\n")


def is_ended(source: Source) -> bool:
    """Tell whether the last line has its end; an empty file has."""
    return not source.nodes or source.nodes[-1].text.endswith((b"\n", b"\r"))


def ended(source: Source) -> Source:
    """Return the source with an end for its last line."""
    if is_ended(source):
        return source
    last = source.nodes[-1]
    end = (
        b"\r\n"
        if b"\r\n" in last.text or (len(source.nodes) > 1 and b"\r\n" in source.nodes[0].text)
        else b"\n"
    )
    return replace(source, nodes=(*source.nodes[:-1], replace(last, text=last.text + end)))


def unended(text: bytes) -> bytes:
    """Return the text without the end of its last line."""
    return text.removesuffix(b"\n").removesuffix(b"\r")
