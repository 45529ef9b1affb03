"""FUSE_INTERRUPT: a client that got a signal while it waits for an answer.

T1  A wait ends with EINTR only if the operation has changed nothing; it is never an answer to a refusal. So a
    handler says itself that it may be interrupted (`Interrupts.allow`), and only where each of its awaits
    comes before any change.
"""

import errno
from collections.abc import Coroutine
from typing import Any

import trio

from makfs.engine.names import oserror


class Interrupts:
    """The requests that may be interrupted now."""

    def __init__(self) -> None:
        self._scopes: dict[int, trio.CancelScope] = {}

    async def allow(self, unique: int, work: Coroutine[Any, Any, bytes]) -> bytes:
        """Carry out work that may be given up while it waits. Raises EINTR then."""
        with trio.CancelScope() as scope:
            self._scopes[unique] = scope
            try:
                return await work
            finally:
                del self._scopes[unique]
        raise oserror(errno.EINTR)

    def interrupt(self, unique: int) -> None:
        """End the wait of a request, if it may be; another's answer is on its way."""
        scope = self._scopes.get(unique)
        if scope is not None:
            scope.cancel()
