"""What the caller of an operation gets for an error in it."""

import errno
import logging

from makfs.errors import MakfsError

log = logging.getLogger(__name__)


def errno_of(error: Exception, what: str) -> int:
    """Return the errno of what the engine raises; EIO, logged, for what it should not have raised (V1)."""
    if isinstance(error, OSError | MakfsError):
        return error.errno or errno.EIO
    log.error("%s failed; its caller got EIO", what, exc_info=error)
    return errno.EIO
