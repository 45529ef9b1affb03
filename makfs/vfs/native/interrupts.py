"""FUSE_INTERRUPT: a client that got a signal while it waits for an answer.

T1  A wait ends with EINTR only if the operation has changed nothing; it is never an answer to a refusal. So a
    handler says itself that it may be interrupted (`Interrupts.allow`), and only where each of its awaits
    comes before any change.
T2  A wait for what another agent holds goes on through any signal but one that kills
    (`Interrupts.while_alive`): two agent CLIs hang or loop when a write says EINTR. Who is killed leaves the
    queue at once.
"""

import errno
from collections.abc import Coroutine
from typing import Any

import trio

from makfs.engine.names import oserror
from makfs.engine.procs import is_dying


class Interrupts:
    """The requests that may be interrupted now."""

    def __init__(self) -> None:
        self._scopes: dict[int, tuple[trio.CancelScope, int]] = {}  # unique -> scope, thread that must die

    async def allow(self, unique: int, work: Coroutine[Any, Any, bytes]) -> bytes:
        """Carry out work that may be given up while it waits. Raises EINTR then."""
        return await self._interruptible(unique, 0, work)

    async def while_alive(self, unique: int, tid: int, work: Coroutine[Any, Any, bytes]) -> bytes:
        """Carry out work that is given up if the thread that asked for it is killed (T2)."""
        return await self._interruptible(unique, tid, work)

    async def _interruptible(self, unique: int, tid: int, work: Coroutine[Any, Any, bytes]) -> bytes:
        with trio.CancelScope() as scope:
            self._scopes[unique] = scope, tid
            try:
                return await work
            finally:
                del self._scopes[unique]
        raise oserror(errno.EINTR)

    def interrupt(self, unique: int) -> None:
        """End the wait of a request, if it may be; another's answer is on its way."""
        scope, tid = self._scopes.get(unique, (None, 0))
        if scope is not None and (not tid or is_dying(tid)):
            scope.cancel()
