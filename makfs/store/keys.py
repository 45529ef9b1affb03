"""Names as SQLite keeps them: TEXT when the bytes are UTF-8, else a BLOB of the very bytes.

K1  Two names have the same bytes exactly when they have the same key.
K2  The paths below a folder are one range of TEXT keys and one of BLOB keys, and nothing else is in them.
"""

from dataclasses import dataclass

from makfs.errors import BadName
from makfs.ids import RepoPath

Key = str | bytes


def name_key(name: str) -> Key:
    """Return what to store for a path or a part of one. Raise BadName for what no file can be called."""
    if name.isascii():
        if "\0" in name:
            raise BadName(f"the path {name!r} holds a NUL byte, which no file name can")
        return name
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadName(f"the path {name!r} holds a surrogate that stands for no byte") from None
    if b"\0" in raw:
        raise BadName(f"the path {name!r} holds a NUL byte, which no file name can")
    return _key(raw)


def words_key(words: str) -> Key:
    """Return what to store for any other text; what has no bytes at all is replaced by `?`."""
    if words.isascii():
        return words
    try:
        return _key(words.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return words.encode("utf-8", "replace").decode()


def _key(raw: bytes) -> Key:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def words(key: Key) -> str:
    """Return the string a key was made from."""
    return key if isinstance(key, str) else key.decode("utf-8", "surrogateescape")


def split_path(path: RepoPath) -> tuple[Key, Key]:
    """Return the keys of a path's folder and name. The root is ("", "")."""
    folder, _, name = path.rpartition("/")
    return name_key(folder), name_key(name)


def join_path(folder: Key, name: Key) -> RepoPath:
    """Return the path of an entry; the reverse of `split_path`."""
    return RepoPath(f"{words(folder)}/{words(name)}" if folder else words(name))


@dataclass(frozen=True, slots=True)
class Below:
    """Where the folders of all entries below a folder lie: itself, then two half-open ranges (K2)."""

    folder: Key
    text_low: str
    text_high: str
    blob_low: bytes
    blob_high: bytes

    @property
    def row(self) -> tuple[Key, str, str, bytes, bytes]:
        """Return the five values in the order in which `BELOW_SQL` asks for them."""
        return self.folder, self.text_low, self.text_high, self.blob_low, self.blob_high


BELOW_SQL = "(folder = ? OR (folder >= ? AND folder < ?) OR (folder >= ? AND folder < ?))"


def below(folder: RepoPath) -> Below:
    """Return the ranges for everything below a folder other than the root, at any depth."""
    key = name_key(folder)
    raw = key.encode() if isinstance(key, str) else key
    text = (key + "/", key + "0") if isinstance(key, str) else ("", "")  # "0" follows "/" in ASCII
    return Below(key, *text, raw + b"/", raw + b"0")
