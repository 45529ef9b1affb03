"""Writes a file below an agent's home, in which the agent may have laid anything anywhere.

H1  No link is followed: what is not below the home is neither read nor written.
"""

import contextlib
import os
import stat
from collections.abc import Callable

from makfs.errors import MakfsError

MAX_BYTES = 1 << 20


class NotWritten(MakfsError):
    """The file stays as it is; `str()` says why, as the end of a sentence."""


def change(home: str, path: str, to: Callable[[str], str]) -> None:
    """Replace the text of the file `path`, below `home`, by what `to` makes of it; missing is empty.

    Folders that are missing are made. Raises NotWritten.
    """
    *folders, name = path.split("/")
    at = -1
    try:
        at = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        for folder in folders:
            below = _enter(at, folder)
            os.close(at)
            at = below
        _change_in(at, name, to)
    except OSError as error:
        raise NotWritten(f"{path} in its home cannot be written: {error.strerror}") from None
    finally:
        if at >= 0:
            os.close(at)


def _enter(at: int, folder: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700, dir_fd=at)
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)


def _change_in(at: int, name: str, to: Callable[[str], str]) -> None:
    before, mode = _read(at, name)
    after = to(before)
    if after == before:
        return
    new = f"{name}.makfs-{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(new, flags, mode, dir_fd=at)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(after.encode("utf-8", "surrogateescape"))
        os.rename(new, name, src_dir_fd=at, dst_dir_fd=at)
    except OSError:
        os.unlink(new, dir_fd=at)
        raise


def _read(at: int, name: str) -> tuple[str, int]:
    """Return the text and mode of a regular file; of one that is not there, what a new one has."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO would be waited for
    try:
        fd = os.open(name, flags, dir_fd=at)
    except FileNotFoundError:
        return "", 0o600
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotWritten(f"{name} in its home is not a file")
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise NotWritten(f"{name} in its home is larger than {MAX_BYTES} bytes")
    return raw.decode("utf-8", "surrogateescape"), stat.S_IMODE(found.st_mode)
