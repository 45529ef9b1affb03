"""Which realm a path belongs to: tracked, scratch (git-ignored), shadow (an editor's), or `.git`.

Ignore files that count: `.gitignore` at the top, `.git/info/exclude`, the patterns of makfs.conf, and nested
`.gitignore` files that git tracks when they are first met. A nested one that somebody has just written does
not count: half of what a tool unpacks would change its realm while it is being unpacked.
"""

import os
import subprocess
from collections.abc import Sequence

from pathspec import GitIgnoreSpec

from makfs.engine.backing import Backing
from makfs.engine.inodes import Realm
from makfs.patterns import ShadowRules


class Classifier:
    """Tells realms apart by name alone; remembers directories."""

    def __init__(self, backing: Backing, extra: Sequence[str], shadows: ShadowRules) -> None:
        self._backing = backing
        self._extra = tuple(extra)
        self.shadows = shadows
        self._specs: list[tuple[str, GitIgnoreSpec]] = []
        self._folders: dict[str, bool] = {}
        self.generation = 0  # of the rules; a verdict by name alone stands as long as this does
        self._nested = self._tracked_ignore_files()
        self.reload()

    def reload(self) -> None:
        """Read the ignore files again."""
        top = [*self._extra, *self._lines(".git/info/exclude"), *self._lines(".gitignore")]
        specs = [("", GitIgnoreSpec.from_lines(top))]
        specs += [
            (os.path.dirname(path) + "/", GitIgnoreSpec.from_lines(self._lines(path)))
            for path in self._nested
        ]
        self._specs = [(prefix, spec) for prefix, spec in specs if len(spec)]
        self._folders.clear()
        self.generation += 1

    def concerns(self, path: str) -> bool:
        """Tell whether a change of `path` changes the rules."""
        return path in {".gitignore", ".git/info/exclude"} or path in self._nested

    def realm(self, path: str, *, is_dir: bool, by_mkstemp: bool = False) -> Realm:
        """Return the realm of a path inside a view, `by_mkstemp` that of a file made so (P3).

        Cost: one match for each rule file that applies.
        """
        if is_dir and (known := self._folders.get(path)) is not None:
            return Realm.SCRATCH if known else Realm.TRACKED
        parts = path.split("/")
        if ".git" in parts:
            return Realm.GIT
        if self._ignored_folder(os.path.dirname(path)):
            return Realm.SCRATCH
        if self._specs and (self._ignored_folder(path) if is_dir else self._match(path)):
            return Realm.SCRATCH
        if not is_dir and self.shadows.is_shadow(parts[-1], by_mkstemp=by_mkstemp):
            return Realm.SHADOW
        return Realm.TRACKED

    def _ignored_folder(self, path: str) -> bool:
        """Tell whether a directory or one above it is ignored; git does not look inside either."""
        if not path or not self._specs:
            return False
        known = self._folders.get(path)
        if known is None:
            if len(self._folders) > 50_000:
                self._folders.clear()
            known = self._ignored_folder(os.path.dirname(path)) or self._match(path + "/")
            self._folders[path] = known
        return known

    def _match(self, path: str) -> bool:
        ignored = False
        for prefix, spec in self._specs:  # outermost first: the innermost rule that speaks wins
            if path.startswith(prefix):
                verdict = spec.check_file(path[len(prefix) :]).include
                if verdict is not None:
                    ignored = verdict
        return ignored

    def _lines(self, path: str) -> list[str]:
        try:
            return self._backing.read(path).decode("utf-8", "replace").splitlines()
        except OSError:
            return []

    def _tracked_ignore_files(self) -> list[str]:
        """Ask git which nested ignore files it tracks; none where there is no git."""
        if self._backing.lstat(".git") is None:
            return []
        command = ["git", "-C", self._backing.root, "ls-files", "-z", "--", "**/.gitignore"]
        try:
            found = subprocess.run(command, capture_output=True, check=True, timeout=10).stdout
        except (OSError, subprocess.SubprocessError):
            return []
        return sorted(os.fsdecode(name) for name in found.split(b"\0") if name)
