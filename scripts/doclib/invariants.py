"""docs/invariants.md: every numbered promise of a module, where it stands and which tests name it.

A promise is a paragraph of a module's docstring that begins with a capital letter or two and a number. A test
names it by its number in a file that imports the module; or that imports something else of its room, if the
number is the only one of the room and of the other modules that the file imports.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CODE = ("makfs", "daemon/makfsd")
TESTED, UNTESTED = "*Named in:*", "*Named in no test.*"
_PROMISE = re.compile(r"^([A-Z]{1,2}\d+)  (\S.*)$")
_IMPORT = re.compile(r"^\s*(?:from|import) (makfsd?(?:\.\w+)*)(?: import (.*))?$", re.MULTILINE)

HEAD = """\
# Invariants

What each module promises, by number. The number stands in the module's docstring, in the assertion that
guards it, and in the tests that try to break it; this page is made from these by `scripts/docs invariants`,
and a test compares it with the code. Numbers are a module's own: `S1` of the store is not `S1` of the
supervisor. The promises that several modules keep together, E1 to E4, stand in [one-write.md](one-write.md).
Tests that mount (`tests/mount`, `tests/system`) and the yardsticks (`scripts/acceptance`) try many of them at
once, and name none.
"""


@dataclass(frozen=True, slots=True)
class Promise:
    """One numbered promise."""

    module: str  # path of the file, from the project's root
    number: str
    text: str

    @property
    def dotted(self) -> str:
        """Return the module as it is imported."""
        return (
            self.module.removesuffix(".py")
            .removesuffix("/__init__")
            .removeprefix("daemon/")
            .replace("/", ".")
        )

    @property
    def room(self) -> str:
        """Return the module's room."""
        return ".".join(self.dotted.split(".")[:2])


def promises_of(module: str, docstring: str) -> Iterator[Promise]:
    """Yield the promises of a module's docstring."""
    number, words = "", list[str]()
    for line in [*docstring.split("\n"), ""]:
        found = _PROMISE.match(line)
        if number and not line.startswith("    "):
            yield Promise(module, number, " ".join(words))
            number = ""
        if found:
            number, words = found[1], [found[2].strip()]
        elif number:
            words.append(line.strip())


def all_promises(root: Path) -> list[Promise]:
    """Return the promises of the whole project, in the order of the files."""
    found: list[Promise] = []
    for folder in CODE:
        for path in sorted((root / folder).rglob("*.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            found += sorted(
                promises_of(str(path.relative_to(root)), docstring),
                key=lambda each: (len(each.number), each.number),
            )
    return found


def imports_of(text: str) -> frozenset[str]:
    """Return what a file imports: for `from makfs.merge import guard`, makfs.merge and makfs.merge.guard."""
    found: set[str] = set()
    for module, names in _IMPORT.findall(text):
        found.add(module)
        found.update(f"{module}.{name.strip(' (')}" for name in names.split(",") if name.strip(" ("))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class TestFile:
    """What a test file says about promises."""

    path: str
    imports: frozenset[str]
    words: frozenset[str]

    def touches(self, name: str) -> bool:
        """Tell whether the file imports a module or something in it."""
        return any(each == name or each.startswith(name + ".") for each in self.imports)

    def names(self, promise: Promise, namesakes: list[Promise]) -> bool:
        """Tell whether the file means this promise by its number."""
        if promise.number not in self.words:
            return False
        if self.touches(promise.dotted):
            return True
        others = [each for each in namesakes if each != promise]
        alone = not any(each.room == promise.room or self.touches(each.dotted) for each in others)
        return alone and self.touches(promise.room)


def read_tests(root: Path) -> list[TestFile]:
    """Read the test files."""
    files: list[TestFile] = []
    for path in sorted((root / "tests").rglob("*.py")):
        text = path.read_text()
        words = frozenset(re.findall(r"\b[A-Z]{1,2}\d+\b", text))
        files.append(TestFile(str(path.relative_to(root)), imports_of(text), words))
    return files


def document(root: Path) -> str:
    """Return the page."""
    tests, promises = read_tests(root), all_promises(root)
    parts = [HEAD]
    module = ""
    for promise in promises:
        if promise.module != module:
            module = promise.module
            parts.append(f"\n## {module}\n")
        namesakes = [each for each in promises if each.number == promise.number]
        paths = [each.path for each in tests if each.names(promise, namesakes)]
        named = ", ".join(f"[{Path(path).name}](../{path})" for path in paths)
        words = f"**{promise.number}** {promise.text}"
        wrapped = textwrap.fill(
            words, 108, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
        )
        parts.append(f"\n{wrapped}\n")
        parts.append(f"  {TESTED} {named}\n" if named else f"  {UNTESTED}\n")
    return "".join(parts)


def listed(page: str) -> list[Promise]:
    """Return the promises that the page lists."""
    found: list[Promise] = []
    module, number, words = "", "", list[str]()
    for line in page.split("\n"):
        if line.startswith("## "):
            module = line[3:]
        elif match := re.match(r"- \*\*([A-Z]{1,2}\d+)\*\* (.*)$", line):
            number, words = match[1], [match[2]]
        elif line.startswith((f"  {TESTED}", f"  {UNTESTED}")):
            found.append(Promise(module, number, " ".join(words)))
        elif line.startswith("  "):
            words.append(line.strip())
    return found
