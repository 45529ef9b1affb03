"""Text for terminals: safe, aligned, fitted. Pure.

T1  What `printable` returns holds no control, format or undecodable character: a hostile name cannot
    move the cursor, colour the screen, reorder the line or break it in two.
T2  What `fit` and `fit_address` return is at most `width` columns wide.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

ELLIPSIS = "\u2026"
_PLAIN = re.compile(r"[\x20-\x7e]*")


def printable(text: str, keep: str = "") -> str:
    r"""Return the text with what a terminal might obey as \xHH, \uHHHH; `keep` names exceptions."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(char if char in keep else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def columns(text: str) -> int:
    """Return how many columns a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) == "Me":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Return the text, its end cut off if it is wider than `width`."""
    if columns(text) <= width:
        return text
    if width < 1:
        return ""
    taken = ""
    for char in text:
        if columns(taken + char) > width - 1:
            break
        taken += char
    return taken + ELLIPSIS


def fit_end(text: str, width: int) -> str:
    """Return the text, its beginning cut off if it is wider than `width`."""
    if columns(text) <= width:
        return text
    if width < 1:
        return ""
    taken = ""
    for char in reversed(text):
        if columns(char + taken) > width - 1:
            break
        taken = char + taken
    return ELLIPSIS + taken


def fit_address(address: str, width: int) -> str:
    """Return an address or path, leading folders cut off as far as needed: `…/request.py::Request.host`."""
    if columns(address) <= width:
        return address
    path, separator, name = address.partition("::")
    parts = path.split("/")
    for first in range(1, len(parts)):
        shorter = f"{ELLIPSIS}/{'/'.join(parts[first:])}{separator}{name}"
        if columns(shorter) <= width:
            return shorter
    return fit_end(address, width)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return the text filled with blanks to `width` columns, on its left if `right`."""
    blanks = " " * max(0, width - columns(text))
    return blanks + text if right else text + blanks


def wrap(text: str, width: int | None, lead: str = "") -> list[str]:
    """Return a sentence behind `lead` in lines of at most `width` columns, broken at blanks; None: one line.

    A word that is wider than the line, a path say, stays whole: it is there to be copied.
    """
    if width is None:
        return [lead + text]
    lines, blank = [lead], " " * columns(lead)
    fresh = True  # nothing but the lead is in the last line yet
    for word in text.split(" "):
        if not fresh and columns(lines[-1]) + 1 + columns(word) > width:
            lines.append(blank)
            fresh = True
        lines[-1] += word if fresh else f" {word}"
        fresh = False
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Return aligned lines, the head first; columns named in `right` are aligned right."""
    cells = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(columns(row[index]) for row in cells) for index in range(len(head))]
    to_right = frozenset(right)
    return [
        "  ".join(
            pad(cell, widths[index], right=index in to_right) for index, cell in enumerate(row)
        ).rstrip()
        for row in cells
    ]


def some(count: int, what: str) -> str:
    """Return "1 file", "2 files"."""
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: "3 s", "2 min 5 s", "4 h 2 min", "9 d 1 h"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    for size, name, small, small_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name} {rest} {small_name}" if rest else f"{whole // size} {name}"
    raise AssertionError(seconds)


def size(size_bytes: int) -> str:
    """Return a number of bytes for people, in powers of 1024: "512 B", "1.4 KiB", "143 MiB"."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError(size_bytes)
