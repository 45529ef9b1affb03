"""A control socket with a small kernel, in a thread, for tests of what talks to it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from makfsd import control
from makfsd.runner import Runner

from makfs.cli.main import run
from makfs.config import RunConfig
from makfs.wire.place import STATE_DIR
from tests.unit.test_control_socket import SmallKernel

PATIENCE_S = 60
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "MAKFS_REPO"},
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
}


@dataclass(frozen=True, slots=True)
class Serving:
    """A kernel whose socket is answered, and the command line for it."""

    repo: Path
    kernel: SmallKernel
    token: trio.lowlevel.TrioToken
    stop: Callable[[], None]  # end serving, as a daemon that ends; return when nobody listens

    def wait(self, event: trio.Event) -> None:
        """Return when the kernel has set an event."""

        async def wait() -> None:
            with trio.fail_after(PATIENCE_S):
                await event.wait()

        trio.from_thread.run(wait, trio_token=self.token)

    def run(self, *arguments: str) -> int:
        """Run a command line in this process; return its exit code."""
        return run(["-C", str(self.repo), *arguments])

    def start(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
        """Run a command line in a process of its own, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "makfs.cli", "-C", str(self.repo), *arguments],
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
            cwd=self.repo, process_group=0,
        )  # fmt: skip


@contextmanager
def serving(repo: Path) -> Iterator[Serving]:
    """Serve a small kernel in `repo` until the block ends."""
    (repo / STATE_DIR).mkdir()
    made: list[tuple[SmallKernel, trio.lowlevel.TrioToken, trio.CancelScope]] = []
    ready = threading.Event()

    async def never(force: bool, wait_s: float) -> None:
        raise AssertionError

    async def main() -> None:
        kernel = SmallKernel()
        listener = control.listen(repo / STATE_DIR)
        async with trio.open_nursery() as nursery:
            runs = Runner(kernel, repo, Path("/m"), RunConfig())
            await nursery.start(control.serve, control.Desk(kernel, never, runs), listener)
            made.append((kernel, trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            ready.set()

    def stop() -> None:
        if thread.is_alive():
            trio.from_thread.run_sync(made[0][2].cancel, trio_token=made[0][1])
            thread.join(PATIENCE_S)

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield Serving(repo, made[0][0], made[0][1], stop)
    finally:
        stop()
