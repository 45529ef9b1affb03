"""Differences of files in git's format, byte for byte what `git apply` takes. Pure.

U1  The lines of a difference with their ends taken off, joined by line feeds, are git's patch.
"""

import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from makfs.engine.historyapi import FileDiff, Side
from makfs.store.model import FileKind

CONTEXT = 3
EXACT_CELLS = 16_000_000  # product of line counts beyond which what differs is one block
_HEADING = re.compile(rb"[A-Za-z_$]")
_HEADING_BYTES = 80
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}

Block = tuple[int, int, int, int]  # old lines from, to; new lines from, to


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a patch, without its end. `kind` is its first character, or "h" of a file's head."""

    kind: str
    raw: bytes


def patch(file: FileDiff) -> Iterator[Line]:
    """Return the patch of one file."""
    old, new = file.old, file.new
    if old is not None and new is not None and old.kind is not new.kind:
        yield from patch(FileDiff(file.old_path or file.path, None, old, None, ()))
        yield from patch(FileDiff(file.path, None, None, new, ()))
        return
    before, after = split(old), split(new)
    blocks = changed(before, after) if _is_text(old) and _is_text(new) else []
    yield from (Line("h", line) for line in _head(file, before, blocks))
    if file.same:
        return
    yield from _body(file, before, after, blocks)


def _body(
    file: FileDiff, before: Sequence[bytes], after: Sequence[bytes], blocks: Sequence[Block]
) -> Iterator[Line]:
    one = b"/dev/null" if file.old is None else quoted("a/" + (file.old_path or file.path))
    other = b"/dev/null" if file.new is None else quoted("b/" + file.path)
    if not (_is_text(file.old) and _is_text(file.new)):
        kept = all(side is None or side.data is not None for side in (file.old, file.new))
        yield Line("h", b"%s %s and %s differ" % (b"Binary files" if kept else b"Large files", one, other))
    elif blocks:
        yield Line("h", b"--- " + one + (b"\t" if b" " in one and not one.startswith(b'"') else b""))
        yield Line("h", b"+++ " + other + (b"\t" if b" " in other and not other.startswith(b'"') else b""))
        yield from hunks(before, after, blocks)


def _head(file: FileDiff, before: Sequence[bytes], blocks: Sequence[Block]) -> Iterator[bytes]:
    old, new = file.old, file.new
    yield b"diff --git %s %s" % (quoted("a/" + (file.old_path or file.path)), quoted("b/" + file.path))
    if old is None and new is not None:
        yield b"new file mode " + _mode(new)
    elif new is None and old is not None:
        yield b"deleted file mode " + _mode(old)
    elif old is not None and new is not None and old.mode != new.mode:
        exact = _mode(old) == _mode(new)
        yield b"old mode " + (b"100%03o" % old.mode if exact else _mode(old))
        yield b"new mode " + (b"100%03o" % new.mode if exact else _mode(new))
    if file.old_path is not None and old is not None and new is not None:
        yield b"similarity index %d%%" % (100 if file.same else _similarity(old, new, before, blocks))
        yield b"rename from " + quoted(file.old_path)
        yield b"rename to " + quoted(file.path)
    if not file.same:
        same = b" " + _mode(new) if old is not None and new is not None and old.mode == new.mode else b""
        yield b"index %s..%s%s" % (_blob(old), _blob(new), same)


def _mode(side: Side) -> bytes:
    if side.kind is FileKind.SYMLINK:
        return b"120000"
    return b"100755" if side.mode & 0o100 else b"100644"


def _blob(side: Side | None) -> bytes:
    """Return the beginning of git's name of a content."""
    if side is None:
        return b"0000000"
    data = side.data or b""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()[:7].encode()


def _similarity(old: Side, new: Side, before: Sequence[bytes], blocks: Sequence[Block]) -> int:
    gone = sum(len(line) for low, high, _, _ in blocks for line in before[low:high])
    most = max(len(old.data or b""), len(new.data or b""), 1)
    return max(0, min(99, (len(old.data or b"") - gone) * 100 // most))


def quoted(path: str) -> bytes:
    """Return a path as git writes it: in quotes, with octal escapes, if it has unusual bytes."""
    raw = path.encode("utf-8", "surrogateescape")
    if all(0x20 <= byte < 0x7F and byte not in (34, 92) for byte in raw):
        return raw
    shown = "".join(
        _ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}") for byte in raw
    )
    return f'"{shown}"'.encode()


def split(side: Side | None) -> list[bytes]:
    """Return a side's lines, with their ends."""
    data = b"" if side is None else side.data or b""
    lines = data.split(b"\n")
    return [*(line + b"\n" for line in lines[:-1]), *([lines[-1]] if lines[-1] else [])]


def _is_text(side: Side | None) -> bool:
    """Tell whether a side can be shown by lines; as in git, a NUL near the beginning says no."""
    return side is None or (side.data is not None and b"\0" not in side.data[:8000])


def changed(old: Sequence[bytes], new: Sequence[bytes]) -> list[Block]:
    """Return the blocks that differ, in order."""
    low, most = 0, min(len(old), len(new))
    while low < most and old[low] == new[low]:
        low += 1
    high, most = 0, most - low
    while high < most and old[-1 - high] == new[-1 - high]:
        high += 1
    one, other = old[low : len(old) - high], new[low : len(new) - high]
    if not one and not other:
        return []
    if len(one) * len(other) > EXACT_CELLS:
        return [(low, len(old) - high, low, len(new) - high)]
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    return [
        (low + a, low + b, low + c, low + d) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"
    ]


def hunks(old: Sequence[bytes], new: Sequence[bytes], blocks: Sequence[Block]) -> Iterator[Line]:
    """Return the hunks of a patch."""
    groups: list[list[Block]] = []
    for block in blocks:
        if groups and block[0] - groups[-1][-1][1] <= 2 * CONTEXT:
            groups[-1].append(block)
        else:
            groups.append([block])
    for group in groups:
        yield from _hunk(old, new, group)


def _hunk(old: Sequence[bytes], new: Sequence[bytes], group: Sequence[Block]) -> Iterator[Line]:
    lead = min(CONTEXT, group[0][0])
    tail = min(CONTEXT, len(old) - group[-1][1])
    a, b = group[0][0] - lead, group[-1][1] + tail
    c, d = group[0][2] - lead, group[-1][3] + tail
    heading = next((line for line in reversed(old[:a]) if _HEADING.match(line)), b"").rstrip()[
        :_HEADING_BYTES
    ]
    head = b"@@ -%s +%s @@" % (_range(a, b), _range(c, d))
    yield Line("@", head + (b" " + heading if heading else b""))
    at = a
    for low, high, new_low, new_high in group:
        yield from _told(" ", old[at:low])
        yield from _told("-", old[low:high])
        yield from _told("+", new[new_low:new_high])
        at = high
    yield from _told(" ", old[at:b])


def _range(low: int, high: int) -> bytes:
    count = high - low
    start = low + 1 if count else low
    return b"%d" % start if count == 1 else b"%d,%d" % (start, count)


def _told(kind: str, lines: Sequence[bytes]) -> Iterator[Line]:
    for line in lines:
        yield Line(kind, kind.encode() + line.removesuffix(b"\n"))
        if not line.endswith(b"\n"):
            yield Line("\\", b"\\ No newline at end of file")
