"""The source files of a view as its control files show them: folders, files, their nodes, their outlines.

Z1  Shown is what is tracked, readable for the view's role, and at most `MAX_BYTES` long: no links, no `.git`,
    no ignored folders. So a walk ends, and reading what is listed never fails.
Z2  A text is the view's own: staged bytes if it has some, else the head's.
"""

import os
import stat
from collections import OrderedDict
from functools import lru_cache

from makfs.engine.backing import STATE_DIR
from makfs.engine.core import Core, join
from makfs.engine.inodes import Inode, Realm
from makfs.engine.nodes import head_source
from makfs.engine.views import View
from makfs.syntax import MAX_BYTES, Node, is_source, split
from makfs.syntax.outline import outline

_MOST_KEPT = 16  # files whose nodes are kept
_MOST_NAME = 255

kept_outline = lru_cache(maxsize=_MOST_KEPT)(outline)


class Sources:
    """Looks at source files. Changes nothing."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kept: OrderedDict[str, tuple[bytes, int, dict[str, Node]]] = OrderedDict()

    # ---- the tree

    def is_folder(self, view: View, path: str) -> bool:
        """Tell whether a folder of the repository is shown (Z1)."""
        if not path:
            return True
        core, role = self._core, view.role
        if path.partition("/")[0] == STATE_DIR or not core.backing.is_dir(path):
            return False
        if role is not None and (role.hides(path) or role.hides(path, is_dir=True)):
            return False
        return core.classifier.realm(path, is_dir=True) is Realm.TRACKED and not self._is_covered(view, path)

    def is_file(self, view: View, path: str) -> bool:
        """Tell whether a source file is shown (Z1)."""
        if not is_source(path) or path.partition("/")[0] == STATE_DIR or self._is_covered(view, path):
            return False
        role = view.role
        if role is not None and (role.hides(path) or not role.may_read(path)):
            return False
        if self._core.realm_at(view, path, is_dir=False) is not Realm.TRACKED:
            return False
        staged = self.staged(view, path)
        if staged is not None and staged.staging is not None:
            return staged.staging.size <= MAX_BYTES
        st = self._core.backing.lstat(path)
        return st is not None and stat.S_ISREG(st.st_mode) and st.st_size <= MAX_BYTES

    def names(self, view: View, path: str) -> list[str]:
        """Return the folders and source files in a folder, sorted. Raises OSError."""
        found = set(self._core.backing.names(path))
        for inode in view.staged:
            folder, _, name = (inode.path or "").rpartition("/")
            if name and folder == path:
                found.add(name)
        return [
            name
            for name in sorted(found)
            if self.is_folder(view, join(path, name)) or self.is_file(view, join(path, name))
        ]

    @staticmethod
    def _is_covered(view: View, path: str) -> bool:
        """Tell whether the view's private layer takes the repository's name away."""
        return view.upper is not None and view.upper.hidden(path)

    # ---- files

    @staticmethod
    def staged(view: View, path: str) -> Inode | None:
        """Return the inode of a file that the view has bytes of which are not committed."""
        inode = view.by_path.get(path)
        return inode if inode is not None and inode in view.staged else None

    def text(self, view: View, path: str) -> bytes:
        """Return a file's bytes in a view (Z2). Raises OSError."""
        staged = self.staged(view, path)
        if staged is not None and staged.staging is not None:
            return staged.staging.content()
        return self._core.head_text(path)

    def outline(self, view: View, path: str) -> bytes:
        """Return a file's outline. Raises OSError."""
        return kept_outline(self.text(view, path))

    def nodes(self, view: View, path: str) -> dict[str, Node]:
        """Return a file's nodes in order, by the names that `makfs nodes` says. Raises OSError."""
        text = self.text(view, path)
        version = self._core.file(path).version
        kept = self._kept.get(path)
        if kept is None or kept[0] != text or kept[1] != version:
            found = {node.qualname: node for node in self._split(path, text)}
            kept = self._kept[path] = text, version, found
        self._kept.move_to_end(path)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept[2]

    def _split(self, path: str, text: bytes) -> tuple[Node, ...]:
        file = self._core.file(path)
        if file.version > 0:
            source, _ = head_source(self._core, file, text)
            if source.text == text:
                return source.nodes
        return split(path, text).nodes

    def qualnames(self, view: View, path: str) -> list[str]:
        """Return the names of a file's nodes, in their order, that can be names of files. Raises OSError."""
        return [name for name in self.nodes(view, path) if _is_name(name)]

    def node(self, view: View, path: str, qualname: str) -> Node | None:
        """Return a node by its name. Raises OSError."""
        return self.nodes(view, path).get(qualname)


def _is_name(name: str) -> bool:
    try:
        return 0 < len(os.fsencode(name)) <= _MOST_NAME and not {"/", "\0"} & set(name)
    except UnicodeEncodeError:
        return False
