"""What a role lets its agents see, read and write: globs of paths, and of names inside files.

O1  What is hidden has no name in the view: it cannot be found, listed, made or claimed.
O2  A role says no at once, and says so; it never waits.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from makfs.config import RoleRule
from makfs.ids import Address
from makfs.patterns import compile_globs

_ESCAPES = (("%3A", ":"), ("%25", "%"))


class Role:
    """One [role.NAME] of makfs.conf."""

    def __init__(self, rule: RoleRule) -> None:
        self.name = rule.name
        self._write = _Globs(rule.write)
        self._read = _Globs(rule.read)
        self._hide = _Globs(rule.hide)

    def may_write(self, address: Address) -> bool:
        """Tell whether it may change what an address names. Cost: a match of each glob."""
        path, name = _parts(address)
        return self._write.takes(path, name) and not self._hide.takes(path, "")

    def may_write_in(self, path: str) -> bool:
        """Tell whether there may be anything in a file that it may change."""
        return self._write.takes_some(path)

    def may_read(self, path: str) -> bool:
        """Tell whether it may read a file."""
        return self._read.takes(path, "")

    def hides_address(self, address: Address) -> bool:
        """Tell whether an address is of something that is not there for it."""
        path, _ = _parts(address)
        return self._hide.takes(path, "")

    def hides(self, path: str, *, is_dir: bool = False) -> bool:
        """Tell whether a path is not there for it (O1)."""
        return self._hide.takes(path + "/" if is_dir else path, "")


class _Globs:
    """Globs as in .gitignore, each with `::` and a pattern of names inside the file, or without."""

    def __init__(self, globs: Iterable[str]) -> None:
        whole: list[str] = []
        self._inside: list[tuple[str, str]] = []
        for glob in globs:
            path, separator, name = glob.partition("::")
            if separator:
                self._inside.append((path, name))
            else:
                whole.append(path)
        self._whole = compile_globs(tuple(whole))

    def takes(self, path: str, name: str) -> bool:
        """Tell whether a file, or what has this name inside it, is meant."""
        if self._whole.match_file(path):
            return True
        return bool(name) and any(
            _matches(name, pattern) and compile_globs((glob,)).match_file(path)
            for glob, pattern in self._inside
        )

    def takes_some(self, path: str) -> bool:
        """Tell whether a file, or anything inside it, is meant."""
        return bool(self._whole.match_file(path)) or any(
            compile_globs((glob,)).match_file(path) for glob, _ in self._inside
        )


def _matches(name: str, pattern: str) -> bool:
    """Match a qualified name; what is below a match is meant too, as in addresses."""
    while True:
        if fnmatchcase(name, pattern):
            return True
        cut = max(name.rfind("."), name.rfind("#", 1))
        if cut <= 0:
            return False
        name = name[:cut]


def _parts(address: Address) -> tuple[str, str]:
    """Return the path and the name inside the file; inverse of `locks.node_address`."""
    path, separator, name = address.rpartition("::")
    if not separator or "/" in name:
        path, name = address, ""
    for escape, char in _ESCAPES:
        path = path.replace(escape, char)
    return path, name
