"""What all handlers share: how a request comes in and how an answer goes out.

H1  A handler takes from `body` what it needs before its first await: the buffer is then used again.
"""

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from makfs.engine.filesystem import Caller

Head = tuple[int, int, int, int, int, int, int, int, int]
"""The request's header, in the order of `abi.IN_HEADER`."""

Answer = bytes | Coroutine[Any, Any, bytes] | None
"""The reply without its header; a coroutine if there may be something to wait for; None: nobody waits now."""

Handler = Callable[[int, memoryview, Head], Answer]
"""Called with node id, what follows the header, and the header. Raises what becomes an errno."""

_ENCODING = sys.getfilesystemencoding()
_ERRORS = sys.getfilesystemencodeerrors()


def caller(head: Head) -> Caller:
    """Return who makes the system call."""
    return Caller(head[4], head[5], head[6])


def text(name: memoryview) -> str:
    """Return a name without the zero byte that ends it, as `os.fsdecode` has it."""
    return str(name[:-1], _ENCODING, _ERRORS)


def names(body: memoryview) -> tuple[str, str]:
    """Return two names, each ended by a zero byte. Raises ValueError."""
    first, second = bytes(body[:-1]).split(b"\0")
    return os.fsdecode(first), os.fsdecode(second)
