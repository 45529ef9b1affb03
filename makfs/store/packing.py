"""How node lists and texts are packed into bytes. Pure.

A node list is two columns, uids and text ids, each as spans of numbers that count up by one. The uids of a
file that was imported whole stay one span however often its nodes are edited; its text ids start as one
span, and each edited node cuts out one of its own, some four bytes.

P1  Unpacking what was packed gives the same list.
P2  Bytes that no list packs to raise ValueError.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

RAW, ZLIB = 0, 1
_WORTH_TRYING_BYTES = 512  # below it zlib saves few bytes and costs 4 us at every read of a file
_LEVEL = 1  # for texts this small higher levels cost twice the time for 3 % of the size


@dataclass(frozen=True, slots=True)
class Span:
    """`count` numbers from `start` on."""

    start: int
    count: int

    @property
    def last(self) -> int:
        """Return the last number of the span."""
        return self.start + self.count - 1


@dataclass(frozen=True, slots=True)
class NodeList:
    """The nodes of a revision, in order, by column. Both columns have the same length."""

    uids: tuple[Span, ...]
    texts: tuple[Span, ...]

    def each_uid(self) -> Iterator[int]:
        """Yield the uid of every node."""
        return (uid for span in self.uids for uid in range(span.start, span.start + span.count))

    def each_text(self) -> Iterator[int]:
        """Yield the text id of every node."""
        return (text for span in self.texts for text in range(span.start, span.start + span.count))


def pack_nodes(uids: Sequence[int], texts: Sequence[int]) -> bytes:
    """Pack a node list: the number of uid spans, the uid spans, the text spans. All numbers are varints."""
    assert len(uids) == len(texts), "P1: every node has a uid and a text"
    uid_numbers = _numbers(uids)
    out = bytearray()
    for number in (len(uid_numbers) // 2, *uid_numbers, *_numbers(texts)):
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out) if uids else b""


def unpack_nodes(packed: bytes) -> NodeList:
    """Return a packed node list. Raise ValueError if it is not one (P2)."""
    if not packed:
        return NodeList((), ())
    numbers = _varints(packed)
    middle = 1 + 2 * numbers[0]
    if len(numbers) % 2 == 0 or middle > len(numbers):
        raise ValueError("a node list ends in the middle of a span")
    uids, texts = _spans(numbers[1:middle], 0), _spans(numbers[middle:], 1)
    if not uids or sum(span.count for span in uids) != sum(span.count for span in texts):
        raise ValueError("a node list has not as many texts as nodes")
    return NodeList(uids, texts)


def _numbers(column: Sequence[int]) -> list[int]:
    """Return a column's spans, two numbers each: zigzag distance from where the last one ended, and count."""
    numbers: list[int] = []
    end = start = 0
    cuts = [at for at, (one, two) in enumerate(pairwise(column), 1) if two - one != 1]
    for cut in (*cuts, len(column)):
        if cut > start:
            numbers += (_zigzag(column[start] - end), cut - start)
            end, start = column[cut - 1] + 1, cut
    return numbers


def _spans(numbers: Sequence[int], lowest: int) -> tuple[Span, ...]:
    found: list[Span] = []
    end = 0
    for distance, count in zip(numbers[::2], numbers[1::2], strict=True):
        start = end + _unzigzag(distance)
        if start < lowest or count < 1:
            raise ValueError("a node list holds a number that cannot be")
        found.append(Span(start, count))
        end = start + count
    return tuple(found)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _unzigzag(number: int) -> int:
    return number >> 1 if number & 1 == 0 else -((number + 1) >> 1)


def _varints(packed: bytes) -> list[int]:
    numbers: list[int] = []
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            continue
        numbers.append(number)
        number = shift = 0
    if shift:
        raise ValueError("a node list ends in the middle of a number")
    return numbers


def pack_text(text: bytes) -> tuple[int, bytes]:
    """Return (codec, bytes to keep) of a node's text: compressed only if that saves an eighth."""
    if len(text) >= _WORTH_TRYING_BYTES:
        small = zlib.compress(text, _LEVEL)
        if len(small) <= len(text) - len(text) // 8:
            return ZLIB, small
    return RAW, text


def unpack_text(codec: int, kept: bytes) -> bytes:
    """Return the text. Raise ValueError if the bytes are damaged."""
    if codec == RAW:
        return kept
    try:
        return zlib.decompress(kept)
    except zlib.error as error:
        raise ValueError(f"a text does not decompress ({error})") from None
