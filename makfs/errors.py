"""The one family of errors. `str()` is the sentence for people; `errno` is what a system call answers."""

import errno
from typing import ClassVar


class MakfsError(Exception):
    """Root of what a caller may handle. Carries data; `str()` is the sentence for people."""

    errno: ClassVar[int] = errno.EIO


class ConfigError(MakfsError):
    """A configuration file or option is wrong: names the file, the key and what is accepted."""

    errno = errno.EINVAL


class BadName(MakfsError):
    """An agent's, mark's or path's name is not acceptable."""

    errno = errno.EINVAL


class NotFound(MakfsError):
    """What was asked for is not there."""

    errno = errno.ENOENT


class Busy(MakfsError):
    """Somebody else uses it; nothing was changed."""

    errno = errno.EBUSY


class NotAllowed(MakfsError):
    """An agent's role does not allow it."""

    errno = errno.EACCES


class MountError(MakfsError):
    """The mountpoint or repository cannot be served."""

    errno = errno.EINVAL


class StoreError(MakfsError):
    """The store is damaged, of a newer version, or cannot be written."""

    errno = errno.EIO


class StoreFull(StoreError):
    """The disk that holds the store is full; nothing was written."""

    errno = errno.ENOSPC


class NotKept(MakfsError):
    """Only the hash of this old content is known: the file was larger than the limit."""

    errno = errno.EFBIG


class Refused(MakfsError):
    """A write was not committed; its bytes are kept under `number`."""

    errno = errno.EBUSY

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


class Denied(Refused):
    """A write was not committed, for its agent's role does not allow it; its bytes are kept."""

    errno = errno.EACCES
