"""Rewrite the list of names in one `from ... import ...` statement; the only user of libcst in this room.

A1  Names that stay keep their text, their comments and their line; a new name copies the separator of its
    neighbour, so a list of one name per line stays one.
A2  A sorted list stays sorted; otherwise new names stand at the end.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import libcst as cst

from makfs.syntax.by_tree import is_deep

_MOST_BYTES = 100_000
Name = tuple[str, str]  # imported name, alias or ""
Rank = tuple[int, str]


def rewrite_names(statement: bytes, wanted: Sequence[Name]) -> bytes | None:
    """Return the statement with exactly the `wanted` names, or None if it is not one `from` import."""
    if len(statement) > _MOST_BYTES or is_deep(statement.decode("utf-8", "replace")):
        return None  # libcst would take the process with it
    try:
        module = cst.parse_module(statement)
    except (cst.ParserSyntaxError, UnicodeDecodeError, ValueError):
        return None
    line = module.body[0] if len(module.body) == 1 else None
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        return None
    imported = line.body[0]
    if not isinstance(imported, cst.ImportFrom) or isinstance(imported.names, cst.ImportStar):
        return None
    names = _without(list(imported.names), set(wanted))
    if not names:
        return None
    key = _sort_key([_name(alias) for alias in imported.names])
    for name in wanted:
        if name not in {_name(alias) for alias in names}:
            _insert(names, name, key)
    new = module.with_changes(body=[line.with_changes(body=[imported.with_changes(names=names)])])
    return new.bytes


def _name(alias: cst.ImportAlias) -> Name:
    return alias.evaluated_name, alias.evaluated_alias or ""


def _without(names: list[cst.ImportAlias], wanted: set[Name]) -> list[cst.ImportAlias]:
    """Drop names that are not wanted; the new last name takes over the old last one's separator."""
    kept = [alias for alias in names if _name(alias) in wanted]
    if kept and kept[-1] is not names[-1]:
        kept[-1] = kept[-1].with_changes(comma=names[-1].comma)
    return kept


def _sort_key(names: Sequence[Name]) -> Callable[[Name], Rank] | None:
    """Return the order that the list already has, if any: by bytes, ignoring case, or constants first."""
    keys: tuple[Callable[[Name], Rank], ...] = (_plain, _folded, _ranked)
    for key in keys:
        values = [key(name) for name in names]
        if values == sorted(values):
            return key
    return None


def _plain(name: Name) -> Rank:
    return 0, name[0]


def _folded(name: Name) -> Rank:
    return 0, name[0].lower()


def _ranked(name: Name) -> Rank:
    """Constants, classes, functions: isort's default order."""
    text = name[0]
    rank = 0 if text.isupper() and len(text) > 1 else 1 if text[:1].isupper() else 2
    return rank, text.lower()


def _insert(names: list[cst.ImportAlias], name: Name, key: Callable[[Name], Rank] | None) -> None:
    place = len(names)
    if key is not None:
        place = bisect_left([key(_name(alias)) for alias in names], key(name))
    as_name = cst.AsName(name=cst.Name(name[1])) if name[1] else None
    new = cst.ImportAlias(name=cst.Name(name[0]), asname=as_name)
    if place < len(names):
        names.insert(place, new.with_changes(comma=_separator(names, min(place, len(names) - 2))))
        return
    last = names[-1]
    names[-1] = last.with_changes(comma=_separator(names, len(names) - 2))
    names.append(new.with_changes(comma=last.comma))


def _separator(names: Sequence[cst.ImportAlias], place: int) -> cst.Comma:
    """Return a copy of the comma after a name, without the comment that may follow it."""
    comma = names[place].comma if place >= 0 else None
    if not isinstance(comma, cst.Comma):
        return cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    after = comma.whitespace_after
    if isinstance(after, cst.ParenthesizedWhitespace):
        first = after.first_line.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))
        after = after.with_changes(first_line=first, empty_lines=[])
    return comma.with_changes(whitespace_after=after)
