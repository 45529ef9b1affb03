"""Merge a run of import statements as a set of bindings, keeping each side's text where it can.

I1  The result binds exactly what three-way set arithmetic says: what base, mine or head bind, without what
    either side took away. `from m import a, b` is two bindings; moving one is taking away and adding.
I2  A name never comes to mean two things that no side had together, and a name that one side moved to
    another module is not one that the other side took away: both are conflicts.
I3  Every comment that a side did not remove is still there; `__future__` stays first.
I4  What is no plain set is refused: star imports that changed, a binding made twice, several statements on
    one line, statements in a class or block.
Statements keep their text; only a statement whose names both sides changed is put together anew, by libcst.
The order of imports says nothing here: where both sides sorted them differently, head's order stands.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from makfs.merge.lines import split_lines
from makfs.merge.order import merge_order
from makfs.merge.text import merge_lines


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """One imported name. `level` is -1 for `import module`, else the dots of `from ..module import name`."""

    level: int
    module: str
    name: str
    alias: str

    @property
    def bound(self) -> str:
        """Return the name that the module gets."""
        return self.alias or self.name or self.module.partition(".")[0]

    @property
    def means(self) -> tuple[int, str, str]:
        """Return what the bound name stands for."""
        if self.level < 0 and not self.alias:
            return -1, self.module.partition(".")[0], ""
        return self.level, self.module, self.name


@dataclass(frozen=True, slots=True)
class Statement:
    """One import statement. `text` begins after the statement before, so comments above belong to it."""

    text: bytes
    lead_bytes: int
    names: tuple[Binding, ...]

    @property
    def module(self) -> tuple[int, str]:
        """Return where the names come from; of `import a, b` the first."""
        return self.names[0].level, self.names[0].module


_FUTURE = (0, "__future__")
Run = dict[int, Statement]  # by a number that is one for the same statement on all sides


def merge_imports(base: bytes, mine: bytes, head: bytes) -> bytes | None:
    """Return the merged run, or None where it is not a matter of sets (I2, I4). Source: PEP 328, PEP 236."""
    sides = base, mine, head
    read = [_read(side) for side in sides]
    old, my, new = read
    if old is None or my is None or new is None:
        return None
    wanted = _wanted(_names(old), _names(my), _names(new))
    if wanted is None:
        return None
    by_lines = merge_lines(*map(split_lines, sides))
    if not isinstance(by_lines, tuple) and _is_right(b"".join(by_lines), wanted, sides):
        return b"".join(by_lines)
    merged = _compose(_keyed(old, my, new), wanted)
    return merged if merged is not None and _is_right(merged, wanted, sides) else None


def _read(text: bytes) -> list[Statement] | None:
    """Return the statements, or None if the text is anything but plain import statements."""
    try:
        body = ast.parse(text.decode()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = split_lines(text)
    run: list[Statement] = []
    at = 0
    for node in body:
        if not isinstance(node, ast.Import | ast.ImportFrom) or node.end_lineno is None:
            return None
        if node.col_offset or node.lineno - 1 < at:
            return None  # indented, or a second statement on the line
        lead = b"".join(lines[at : node.lineno - 1])
        core = b"".join(lines[node.lineno - 1 : node.end_lineno])
        run.append(Statement(lead + core, len(lead), _bindings(node)))
        at = node.end_lineno
    if b"".join(lines[at:]).strip():
        return None  # a comment below the last statement has no statement to go with
    return run


def _bindings(node: ast.Import | ast.ImportFrom) -> tuple[Binding, ...]:
    if isinstance(node, ast.Import):
        return tuple(Binding(-1, name.name, "", name.asname or "") for name in node.names)
    module = node.module or ""
    return tuple(Binding(node.level, module, name.name, name.asname or "") for name in node.names)


def _names(run: Sequence[Statement]) -> set[Binding]:
    return {name for statement in run for name in statement.names}


def _wanted(base: set[Binding], mine: set[Binding], head: set[Binding]) -> set[Binding] | None:
    """Return the bindings of the result (I1), or None when they are not sets or clash (I2, I4)."""
    if any(name.name == "*" for name in (mine ^ base) | (head ^ base)):
        return None
    wanted = (base | mine | head) - (base - mine) - (base - head)
    by_name: dict[str, list[Binding]] = {}
    for name in wanted:
        by_name.setdefault(name.bound, []).append(name)
    for same in by_name.values():
        meanings = {name.means for name in same}
        if len(meanings) > 1 and not ({*same} <= mine or {*same} <= head):
            return None
    kept = [{name.bound for name in side} for side in (mine, head)]
    if any((name.bound in kept[0]) != (name.bound in kept[1]) for name in base - mine - head):
        return None  # moved by one side, taken away by the other
    return wanted


def _is_right(text: bytes, wanted: set[Binding], sides: Sequence[bytes]) -> bool:
    """Tell whether a result binds what it should, once, keeps the comments and the place of `__future__`."""
    run = _read(text)
    if run is None or _names(run) != wanted or sum(len(each.names) for each in run) != len(wanted):
        return False
    base, mine, head = (_comments(side) for side in sides)
    if not (base | mine | head) - (base - mine) - (base - head) <= _comments(text):
        return False
    future = [each.module == _FUTURE for each in run]
    return future == sorted(future, reverse=True)


def _comments(text: bytes) -> set[bytes]:
    return {b"#" + line.partition(b"#")[2].rstrip() for line in split_lines(text) if b"#" in line}


def _keyed(base: Sequence[Statement], *sides: Sequence[Statement]) -> list[Run]:
    """Give each side's statements numbers: that of base's statement with which one shares most names."""
    runs: list[Run] = [dict(enumerate(base, 1))]
    new: dict[tuple[tuple[int, str], int], int] = {}
    for side in sides:
        free = dict(runs[0])
        run: Run = {}
        added: dict[tuple[int, str], int] = {}
        for statement in side:
            module = statement.module
            same = [number for number, each in free.items() if each.module == module]
            if same:
                number = max(same, key=lambda key: len({*free[key].names} & {*statement.names}))
                del free[number]
            else:
                added[module] = added.get(module, 0) + 1
                number = new.setdefault((module, added[module]), len(base) + len(new) + 1)
            run[number] = statement
        runs.append(run)
    return runs


def _compose(runs: Sequence[Run], wanted: set[Binding]) -> bytes | None:
    """Put the statements together in merged order, head's own additions before mine's."""
    base, mine, head = runs
    texts: dict[int, bytes] = {}
    future = 0
    for number in {**base, **head, **mine}:
        statement = _merge_statement(base.get(number), mine.get(number), head.get(number), wanted)
        if statement is None:
            return None
        if statement:
            texts[number] = statement
        if any(run[number].module == _FUTURE for run in (base, mine, head) if number in run):
            future = number
    old, my, new = list(base), list(mine), list(head)
    order = merge_order(old, my, new, texts)
    if order is None:  # both sides sorted them anew: head's order stands, mine's additions follow
        common = set(new)
        order = merge_order(new, [*new, *(key for key in my if key not in common)], new, texts)
    assert order is not None, "head's order against itself"
    return b"".join(texts[number] for number in sorted(order.uids, key=lambda key: key != future))


def _merge_statement(
    base: Statement | None, mine: Statement | None, head: Statement | None, wanted: set[Binding]
) -> bytes | None:
    """Return one merged statement, b"" when nothing is left of it, None when it cannot be told."""
    versions = [each for each in (base, mine, head) if each is not None]
    left = wanted & {name for each in versions for name in each.names}
    if not left or (mine is None and head is None):
        return b""
    if mine is None or head is None:
        only = versions[-1]
        if base is not None and only.text == base.text:
            return b""  # the other side says it elsewhere: two statements became one
        return only.text if set(only.names) == left else None  # taken away against added to
    if mine.text == head.text or (base is not None and mine.text == base.text):
        return head.text
    if base is not None and head.text == base.text:
        return mine.text
    for side in (head, mine):
        if set(side.names) == left and (base is None or side.names != base.names):
            return side.text
    return _rebuild(head, mine, left) if head.module[0] >= 0 else None


def _rebuild(head: Statement, mine: Statement, left: set[Binding]) -> bytes | None:
    """Write one statement with the wanted names, after head's, or the one with parentheses or comment."""
    from makfs.merge.alias import rewrite_names  # libcst takes 0.2 s to load and is seldom needed

    other, model = sorted((mine, head), key=lambda each: (b"(" in each.text, b"#" in each.text))
    pairs = [(name.name, name.alias) for name in (*model.names, *other.names) if name in left]
    core = rewrite_names(model.text[model.lead_bytes :], list(dict.fromkeys(pairs)))
    return None if core is None else model.text[: model.lead_bytes] + core
