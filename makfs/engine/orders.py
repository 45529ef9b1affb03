"""Control files of snapshot views that carry out an order: `publish` and `refresh`. Any line does it.

X1  An order is carried out once for each open file, by the write that ends a line, or else at flush. If it
    fails, that call says so, and `.makfs/why` tells.
"""

from collections.abc import Awaitable, Callable

from makfs.engine.inodes import Inode
from makfs.engine.views import View
from makfs.errors import MakfsError

ORDERS = ("publish", "refresh")
Carry = Callable[[str], Awaitable[object]]


class Order:
    """An open `publish` or `refresh`."""

    def __init__(self, inode: Inode, name: str, carry_out: Carry) -> None:
        self.inode = inode
        self._view = inode.view
        self._name = name
        self._carry_out = carry_out
        self._given = self._done = False

    def read(self, offset: int, size: int) -> bytes:
        """Return where the view stands."""
        return standing(self._view)[offset : offset + size]

    async def write(self, offset: int, data: bytes) -> int:
        """Carry out the order at the end of a line. Raises Busy, NotFound."""
        self._given = True
        if b"\n" in data:
            await self.flush()
        return len(data)

    def truncate(self, size: int) -> None:
        """Nothing is kept."""

    async def flush(self, tid: int = 0) -> None:
        """Carry out what was written without a newline. Raises Busy, NotFound."""
        if not self._given or self._done:
            return
        self._done = True
        try:
            await self._carry_out(self._view.agent)
        except MakfsError as error:
            if str(error) not in self._view.why:
                self._view.why = f"Refused .makfs/{self._name}: {error}"
            raise
        self._view.active()

    def close(self) -> None:
        """Nothing is left."""


def standing(view: View) -> bytes:
    """Return where a snapshot view stands, for who reads the file."""
    return b"" if view.stand is None else f"{view.agent} stands at commit {view.stand.at}.\n".encode()
