"""Control groups are found in either version's hierarchy (F1); where there is none, signals freeze (Z1)."""

import subprocess
import time
from pathlib import Path

import pytest
from makfsd import pausing, processes
from makfsd.groups import Groups, Hierarchy, hierarchies

from makfs.wire.runrecord import RunRecord
from makfs.wire.runs import RUNNING

MOUNTS = b"""\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 /docker/ab /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 31 0:36 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
OWN = """\
8:pids:/docker/ab/inner
4:memory:/user/one
1:cpu,cpuacct:/
0::/user.slice/session-1.scope
"""


def test_hierarchies_of_both_versions_are_found_with_the_own_place() -> None:
    top = Path("/sys/fs/cgroup")
    assert hierarchies(MOUNTS, OWN) == [
        Hierarchy(top / "memory", top / "memory/user/one", 1, frozenset({"memory"})),
        Hierarchy(top / "pids", top / "pids/inner", 1, frozenset({"pids"})),
        Hierarchy(top / "cpu,cpuacct", top / "cpu,cpuacct", 1, frozenset({"cpu", "cpuacct"})),
        Hierarchy(top / "unified", top / "unified/user.slice/session-1.scope", 2, frozenset()),
    ]
    assert hierarchies(b"", OWN) == hierarchies(MOUNTS, "") == []


class _Nowhere(Groups):
    """On a machine where no group can be made."""

    def _found(self) -> list[Hierarchy]:
        return []


@pytest.mark.parametrize("made", [_Nowhere(), Groups()])
def test_everything_a_run_started_is_frozen_and_goes_on_again(made: Groups) -> None:
    script = "sleep 600 & (while :; do :; done) & (setsid sh -c 'while :; do :; done') & wait"
    keeper = subprocess.Popen(["sh", "-c", f'sh -c "{script}" & wait'], start_new_session=True)
    record = RunRecord(1, "alice", ("sh",), RUNNING, False, True, (), 0, keeper=processes.process(keeper.pid))
    try:
        deadline = time.monotonic() + 20
        while len(pausing.members(record)) < 4:
            assert time.monotonic() < deadline
        folders = pausing.freeze(record, made)
        record = RunRecord(
            1, "alice", ("sh",), RUNNING, False, True, (), 0, keeper=record.keeper, groups=folders
        )
        while any(each.state == "R" for each in pausing.members(record)):
            assert time.monotonic() < deadline
        before = sum(each.cpu_s for each in pausing.members(record))
        assert sum(each.cpu_s for each in pausing.members(record)) == before, "Z1"
        pausing.thaw(record)
        while sum(each.cpu_s for each in pausing.members(record)) == before:
            assert time.monotonic() < deadline
    finally:
        for each in pausing.members(record):
            subprocess.run(["kill", "-9", str(each.pid)], check=False)
        keeper.kill()
        keeper.wait()
        for folder in record.groups:
            while Path(folder).exists():
                try:
                    Path(folder).rmdir()
                except OSError:
                    time.sleep(0.01)
