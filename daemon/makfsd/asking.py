"""The verbs of history, from the wire to the kernel and back."""

from typing import assert_never

from makfs.engine.api import KernelApi
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import LogQuery
from makfs.wire import verbs
from makfs.wire.errors import WireError


def limited(limit: int) -> int:
    """Return the limit of a list. Raises WireError."""
    if not 1 <= limit <= verbs.MAX_LIST:
        raise WireError(f"The limit must be from 1 to {verbs.MAX_LIST}.")
    return limit


def ask_of_names(
    kernel: KernelApi, verb: verbs.SeqOf | verbs.Marks | verbs.SetMark | verbs.Task | verbs.SetTask
) -> object:
    """Carry out a verb about the names of commits and tasks."""
    match verb:
        case verbs.SeqOf(at):
            return kernel.history.seq_of(at)
        case verbs.Marks():
            return kernel.history.marks()
        case verbs.SetMark(name, at):
            return kernel.history.set_mark(name, at)
        case verbs.Task(agent):
            return kernel.tasks.task(agent)
        case verbs.SetTask(agent, task):
            return kernel.tasks.set(agent, task)
        case _:
            assert_never(verb)


async def ask_of_history(kernel: KernelApi, verb: verbs.History) -> object:
    """Carry out a verb that may take long."""
    match verb:
        case verbs.Log():
            query = _query(verb)
            return (
                kernel.log(query) if verb.address is None else await kernel.history.log(query, verb.address)
            )
        case verbs.Diff(old, new, paths, by_node, after):
            return await kernel.history.diff(old, new, paths, by_node=by_node, after=after)
        case verbs.Blame(path, at, True):
            return await kernel.history.blame_nodes(path, at)
        case verbs.Blame(path, at):
            return await kernel.history.blame(path, at)
        case verbs.NodeLog(address, limit, before):
            upto = None if before is None else Seq(before)
            return await kernel.history.node_log(address, limited(limit), upto)
        case verbs.Cat(path, at, offset):
            return await kernel.history.cat(path, at, offset)
        case verbs.DeleteMark(name):
            return await kernel.history.delete_mark(name)
        case _:
            assert_never(verb)


def _query(verb: verbs.Log) -> LogQuery:
    return LogQuery(
        limit=limited(verb.limit),
        before=None if verb.before is None else Seq(verb.before),
        agent=None if verb.agent is None else AgentId(verb.agent),
        path=None if verb.path is None else RepoPath(verb.path),
        program=verb.program,
        since_ns=verb.since_ns,
        until_ns=verb.until_ns,
        task=verb.task,
    )
