"""What each agent works at: a name of its own choosing, which the journal keeps with its commits.

W1  A commit's task is the one that its agent had when it was made; what is set later changes no commit.
"""

import os
from itertools import chain
from typing import TYPE_CHECKING

from makfs.engine.inodes import Inode
from makfs.errors import MakfsError, NotFound
from makfs.ids import AgentId
from makfs.names import agent_id, task_name

if TYPE_CHECKING:
    from makfs.engine.core import Core

_MOST_BYTES = 4096


class Tasks:
    """The current task of each agent."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._now: dict[str, str] = {}

    def of(self, agent: str) -> str:
        """Return an agent's task, "" if it has none. Cost: a look-up, after the first time."""
        task = self._now.get(agent)
        if task is None:
            task = self._now[agent] = self._core.store.get_meta(_key(agent)) or ""
        return task

    def task(self, agent: str) -> str:
        """Return the task of an agent that has a view. Raises NotFound, BadName."""
        return self.of(self._known(agent))

    def set(self, agent: str, task: str, *, lasting: bool = True) -> str:
        """Give an agent another task, "" for none; return the one it had. Raises NotFound, BadName.

        If it is not `lasting`, a remount brings back the lasting one.
        """
        name, new = self._known(agent), task_name(task)
        before = self.of(name)
        if lasting:
            self._core.store.set_meta(_key(name), new)
        self._now[name] = new
        return before

    def put_back(self, agent: str, task: str, before: str) -> None:
        """End a task that was not lasting, unless the agent has another by now. Raises NotFound, BadName."""
        if self.task(agent) == task:
            self.set(agent, before, lasting=False)

    def _known(self, agent: str) -> AgentId:
        name = agent_id(agent)
        views = chain(self._core.views.values(), self._core.standing.values())
        if not any(view.agent == name for view in views):
            raise NotFound(f"There is no agent {name}; 'makfs agent ls' lists them.")
        return name


class TaskFile:
    """An open `.makfs/task`: the first line written to it is the agent's task from then on."""

    def __init__(self, inode: Inode, tasks: Tasks) -> None:
        self.inode = inode
        self._view = inode.view
        self._tasks = tasks
        self._pending = b""
        self._given = self._done = False

    def read(self, offset: int, size: int) -> bytes:
        """Return the task."""
        return told(self._tasks, self._view.agent)[offset : offset + size]

    async def write(self, offset: int, data: bytes) -> int:
        """Take the task at the end of the line. Raises BadName."""
        self._given = True
        self._pending += data[: _MOST_BYTES - len(self._pending)]
        if b"\n" in data or len(self._pending) == _MOST_BYTES:
            await self.flush()
        return len(data)

    def truncate(self, size: int) -> None:
        """Nothing is kept."""

    async def flush(self, tid: int = 0) -> None:
        """Take what was written without a newline. Raises BadName."""
        if not self._given or self._done:
            return
        self._done = True
        line = os.fsdecode(self._pending.partition(b"\n")[0])
        try:
            self._tasks.set(self._view.agent, line)
        except MakfsError as error:
            self._view.why = f"Refused .makfs/task: {error}"
            raise
        self._view.active()

    def close(self) -> None:
        """Nothing is left."""


def told(tasks: Tasks, agent: AgentId) -> bytes:
    """Return what `.makfs/task` says."""
    task = tasks.of(agent)
    return f"{task}\n".encode() if task else b""


def _key(agent: str) -> str:
    return f"task:{agent}"
