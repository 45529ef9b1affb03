"""The two kinds of patterns in makfs.conf: path globs as in .gitignore, and names of editors' shadows.

P1  A shadow name has a literal part that its pattern spells out: no pattern matches every name.
P2  Matching a name costs at most the square of its length, whatever the pattern.
P3  A pattern with {mkstemp} takes no file by its name alone: people give such names, too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

SHADOW_SYNTAX = (
    "{name} the file's own name, {pid} 1 to 7 digits, {hex} or {hex:12} hexadecimal digits, {rand:6} as many "
    "letters and digits that are not all small letters, {mkstemp:6} as many of any kind, of a file that is "
    "made as mkstemp(3) makes it (to be new, mode 0600), * any run, ? any one character, [a-p] one of these"
)
"""The whole syntax, for people. A brace or star that means itself is written [{] or [*]."""

_MAX_RUNS = 2  # of `*` and {name} in one pattern: two make the square of P2
_MAX_PATTERN_LENGTH = 255  # as long as a name can be
_TOKEN = re.compile(r"\{(?P<field>[^{}]*)\}|\[(?P<negated>!?)(?P<chars>\]?[^\]]*)\]|(?P<char>.)", re.DOTALL)
_FIELD = re.compile(r"(?P<kind>name|pid|hex|rand|mkstemp)(?::(?P<count>[1-9][0-9]?))?")


@lru_cache(maxsize=64)
def compile_globs(globs: tuple[str, ...]) -> "GitIgnoreSpec":
    """Compile lines of .gitignore syntax; `match_file(path)` tells. Raise ValueError with a sentence."""
    from pathspec import GitIgnoreSpec  # 30 ms that `makfs --help` need not pay

    for glob in globs:
        check_glob(glob)
    return GitIgnoreSpec.from_lines(globs)


def check_glob(glob: str) -> None:
    """Raise ValueError with a sentence if `glob` is no line of .gitignore syntax that can match a path."""
    from pathspec import GitIgnoreSpec

    try:
        pattern, *_ = GitIgnoreSpec.from_lines([glob]).patterns
    except (ValueError, re.error):
        pattern = None
    # A comment, a blank line and a broken bracket all compile to a pattern that says nothing.
    if pattern is None or pattern.include is None:
        raise ValueError(f"{glob!r} is not a pattern as in .gitignore")


@dataclass(frozen=True, slots=True)
class ShadowRules:
    """Shadow patterns, compiled: those that take any file of a name, and those that ask how it was made."""

    patterns: tuple[str, ...]
    _expression: re.Pattern[str]
    _by_mkstemp: re.Pattern[str]

    def is_shadow(self, name: str, *, by_mkstemp: bool = False) -> bool:
        """Tell whether a file of this name (without folder) is an editor's shadow of another one.

        `by_mkstemp`: it was made as mkstemp(3) makes a file (P3).
        """
        if self._expression.fullmatch(name) is not None:
            return True
        return by_mkstemp and self._by_mkstemp.fullmatch(name) is not None

    def shadowed(self, name: str) -> str | None:
        """Return the name of the file that `name` is a shadow of, "" if its pattern does not say, else None.

        A hint: vim's `.bashrc.swp` names `bashrc`, because vim adds no second dot.
        """
        match = self._expression.fullmatch(name)
        if match is None:
            return None
        return match[match.lastgroup] if match.lastgroup else ""


@lru_cache(maxsize=64)
def compile_shadows(patterns: tuple[str, ...]) -> ShadowRules:
    """Compile shadow patterns (SHADOW_SYNTAX). Raise ValueError with a sentence."""
    parts: dict[bool, list[str]] = {False: [], True: []}
    for number, pattern in enumerate(patterns):
        parts[_asks_how_made(pattern)].append(f"(?:{_expression(pattern, f'name{number}')})")
    return ShadowRules(patterns, _any_of(parts[False]), _any_of(parts[True]))


def _asks_how_made(pattern: str) -> bool:
    """Tell whether a pattern has {mkstemp}."""
    return any((token["field"] or "").startswith("mkstemp") for token in _TOKEN.finditer(pattern))


def _any_of(parts: Sequence[str]) -> re.Pattern[str]:
    # Without patterns nothing is a shadow: an empty expression would match the empty name only.
    return re.compile("|".join(parts) or r"(?!)", re.DOTALL)


def check_shadow(pattern: str) -> None:
    """Raise ValueError with a sentence if `pattern` is not of SHADOW_SYNTAX."""
    _expression(pattern, "name")


def _expression(pattern: str, group: str) -> str:
    """Translate one shadow pattern; {name} becomes the named group `group`."""
    if not pattern or len(pattern) > _MAX_PATTERN_LENGTH or "/" in pattern or "\0" in pattern:
        raise ValueError(f"{pattern!r} is not a file's name with placeholders")
    parts: list[str] = []
    literals = runs = names = 0
    for token in _TOKEN.finditer(pattern):
        field, char = token["field"], token["char"]
        if field is not None:
            parts.append(_field(pattern, field, group))
            names += field == "name"
        elif char is None:
            parts.append(_char_class(pattern, token["negated"], token["chars"]))
        elif char in "*?":
            parts.append(".*" if char == "*" else ".")
            runs += char == "*"
        elif char in "{}[":
            raise ValueError(f"{pattern!r} has a {char} that is not closed or opened")
        else:
            parts.append(re.escape(char))
            literals += 1
    if names > 1 or names + runs > _MAX_RUNS:
        raise ValueError(
            f"{pattern!r} has more than one {{name}}, or more than {_MAX_RUNS} of {{name}} and *"
        )
    if not literals:
        raise ValueError(f"{pattern!r} spells out no character, so that ordinary names match")  # P1
    return "".join(parts)


def _field(pattern: str, field: str, group: str) -> str:
    parsed = _FIELD.fullmatch(field)
    kind, count = (parsed["kind"], parsed["count"]) if parsed else (None, None)
    if kind == "name" and not count:
        return f"(?P<{group}>.+)"
    if kind == "pid" and not count:
        return "[0-9]{1,7}"
    if kind == "hex":
        return f"[0-9a-fA-F]{{{count or '6,64'}}}"
    if kind == "rand" and count:
        return f"(?=[a-z]{{0,{int(count) - 1}}}[A-Z0-9])[A-Za-z0-9]{{{count}}}"
    if kind == "mkstemp" and count:
        return f"[A-Za-z0-9]{{{count}}}"
    raise ValueError(f"{pattern!r} has the unknown placeholder {{{field}}}")


def _char_class(pattern: str, negated: str, chars: str) -> str:
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", chars)
    expression = f"[{'^' if negated else ''}{escaped}]"
    try:
        re.compile(expression)
    except re.error:
        raise ValueError(f"{pattern!r} has the bad choice [{negated}{chars}]") from None
    return expression
