"""Whether a run may be started, and with what: its folders, limits and control groups."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from makfs.config import BudgetConfig, RunConfig
from makfs.engine.api import KernelApi
from makfs.errors import Busy, MountError, NotFound
from makfs.runs.budgets import Amounts, Budget, with_given
from makfs.runs.limits import Limits, unenforced
from makfs.runs.restarts import parse_policy
from makfs.wire import verbs
from makfs.wire.place import STATE_DIR, mount_of, parse_mounts
from makfs.wire.runrecord import RunRecord
from makfs.wire.runs import HOMES_DIR, RunPlan, Turn
from makfsd.groups import Groups, Made
from makfsd.runfiles import RunFiles


class Starting:
    """Admits runs and plans them."""

    def __init__(
        self,
        kernel: KernelApi,
        repo: Path,
        mountpoint: Path,
        config: RunConfig,
        budget: Budget,
        files: RunFiles,
        groups: Groups,
        turns: tuple[Turn, ...],
    ) -> None:
        self._kernel = kernel
        self._repo = repo
        self._mountpoint = mountpoint
        self._config = config
        self._budget = budget
        self._files = files
        self._groups = groups
        self._turns = turns

    def admit(self, wish: verbs.RunBegin, running: Sequence[RunRecord]) -> None:
        """Raise what speaks against a run: NotFound, Busy, BadName, MountError."""
        parse_policy(wish.care.restart)
        with_given(self._budget, wish.care.budget)
        agents = [each.agent for each in self._kernel.status().agents]
        if wish.agent not in agents:
            raise NotFound(f"There is no agent {wish.agent}; make it with 'makfs agent add {wish.agent}'.")
        other = next((each for each in running if each.agent == wish.agent), None)
        if other is not None and not wish.share:
            raise Busy(
                f"{wish.agent} runs {other.number} already ({shlex.join(other.command)[:60]}); "
                f"end it with 'makfs stop {other.number}', or use --share."
            )
        mount = mount_of(str(self._mountpoint), parse_mounts(Path("/proc/self/mountinfo").read_bytes()))
        if mount is None or mount.repo != str(self._repo):
            raise MountError(f"Nothing of {self._repo} is mounted at {self._mountpoint}; mount it again.")

    def plan(self, number: int, wish: verbs.RunBegin) -> RunPlan:
        """Give a run its folders and its control groups. Raises MakfsError."""
        home = self._repo / STATE_DIR / HOMES_DIR / wish.agent / "home"
        folder = self._files.make(number, home)
        asked, config = wish.care.limits, self._config
        limits = Limits(
            asked.memory_bytes or config.memory_bytes, asked.cpus or config.cpus, asked.pids or config.pids
        )
        made = self._groups.limit(number, limits) if limits.wanted else Made()
        return RunPlan(
            number, str(folder), str(self._repo), str(self._mountpoint), str(self._mountpoint / wish.agent),
            str(home), config.env, config.paths, config.log_bytes, limits, made.folders, made.enforced,
            unenforced(limits, made.enforced, is_root=os.getuid() == 0), self._turns,
        )  # fmt: skip


def budget_of(config: BudgetConfig | None) -> Budget:
    """Return the budget that makfs.conf gives each run."""
    given = config or BudgetConfig()
    return Budget(
        Amounts(given.wall_s, given.commits, given.refusals, given.tokens),
        given.warn_at, given.pause_at, given.stop_at,
    )  # fmt: skip
