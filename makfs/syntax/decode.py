"""Bytes of a source file to the `str` that parsers take. Never raises; what cannot be read is None.

D1  A decoded text has exactly the lines of its bytes: LF, CR and CR LF end a line, nothing else does.
"""

import codecs
import re

SUFFIXES = (".py", ".pyi")
BOM = codecs.BOM_UTF8
_COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLANK = re.compile(rb"[ \t\f]*(?:#|$)")
_PROBE = bytes(range(128)) + rb"a-b \n \u000a \x41 +AAo- ~{~"  # where other codecs escape


def is_source(path: str) -> bool:
    """Tell by the path's suffix whether the file is split into nodes."""
    return path.endswith(SUFFIXES)


def encoding_of(text: bytes) -> str | None:
    """Return the codec that reads the file, or None when no codec can (PEP 263, and D1).

    Codecs that are not supersets of ASCII (UTF-16, UTF-7, unicode_escape) or that carry state from byte
    to byte (ISO-2022) are refused: their newlines are not newlines to a byte splitter.
    """
    if b"coding" not in text[:1024]:
        return "utf-8"
    cookie = _cookie(text.removeprefix(BOM))
    if cookie is None:
        return "utf-8"
    try:
        name = codecs.lookup(cookie).name
        plain = _PROBE.decode(name) == _PROBE.decode("ascii")
    except (LookupError, ValueError, AttributeError, TypeError, Warning):
        return None
    if not plain or name.startswith("iso2022") or (text.startswith(BOM) and name != "utf-8"):
        return None
    return "utf-8" if name == "utf-8-sig" else name


def _cookie(body: bytes) -> str | None:
    """Return the codec named in the first two lines, if they name one."""
    head = body[:1024].splitlines()[:2]
    for line in head:
        found = _COOKIE.match(line)
        if found:
            return found[1].decode("ascii", "replace")
        if not _BLANK.match(line):
            return None
    return None


def decode(text: bytes, encoding: str | None) -> str | None:
    """Return the text without its byte order mark, or None if it is binary or undecodable."""
    if encoding is None or b"\0" in text:
        return None
    try:
        return text.removeprefix(BOM).decode(encoding)
    except (ValueError, TypeError, AttributeError):
        return None
