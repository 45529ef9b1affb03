"""Folders as git trees: what stands where, changed path by path, written out only where it changed.

T1  A folder that was a file, or is gone, hides what is below it; made again, it shows it again: just as
    `@SEQ` does with files that no commit records.
T2  Git knows no empty folders: a folder without files is in no tree.
"""

from collections.abc import Callable, Iterator

from dulwich.objects import ObjectID, Tree

FOLDER_MODE, LINK_MODE, MODULE_MODE = 0o040000, 0o120000, 0o160000
Leaf = tuple[int, ObjectID]
Sink = Callable[[Tree], None]


class Folder:
    """One folder: its files, the folders in it, and which of those are hidden."""

    __slots__ = ("_files", "_folders", "_shut", "_written")

    def __init__(self) -> None:
        self._files: dict[bytes, Leaf] = {}
        self._folders: dict[bytes, Folder] = {}
        self._shut: set[bytes] = set()  # T1
        self._written: ObjectID | None = None  # its tree, forgotten by every change; b"" without files

    def put(self, path: bytes, leaf: Leaf | None, *, is_dir: bool = False) -> None:
        """Say what stands at a path: a file or link, a folder, or nothing."""
        folder = self
        *above, name = path.split(b"/")
        folder._written = None
        for part in above:
            folder = folder._folder(part)
            folder._written = None
        if leaf is None:
            folder._files.pop(name, None)
        else:
            folder._files[name] = leaf
        (folder._shut.discard if is_dir else folder._shut.add)(name)

    def _folder(self, name: bytes) -> "Folder":
        return self._folders.setdefault(name, Folder())

    def write(self, sink: Sink) -> ObjectID | None:
        """Hand over the trees that changed, those below first; return this one's id, None without files."""
        if self._written is not None:
            return self._written or None
        tree = Tree()
        for name, below in self._folders.items():
            written = None if name in self._shut else below.write(sink)
            if written is not None:
                tree[name] = (FOLDER_MODE, written)
        for name, leaf in self._files.items():
            tree[name] = leaf
        if not len(tree):
            self._written = ObjectID(b"")
            return None
        sink(tree)
        self._written = tree.id
        return tree.id

    def leaves(self, prefix: bytes = b"") -> Iterator[bytes]:
        """Yield the paths of all files that are not hidden."""
        for name in self._files:
            yield prefix + name
        for name, below in self._folders.items():
            if name not in self._shut:
                yield from below.leaves(prefix + name + b"/")
