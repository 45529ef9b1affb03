"""makfs doctor on made-up machines, and once on the real one."""

import os
from pathlib import Path

import pytest

from makfs.cli.doctor import Check, Verdict, run_checks

USER, ROOT = 1000, 0
HEALTHY = {
    "dev/fuse": "",
    "etc/fuse.conf": "# mount_max = 1000\nuser_allow_other\n",
    "proc/filesystems": "nodev\tproc\nnodev\tfuse\n",
    "proc/self/status": "Name:\tx\nCapEff:\t000001ffffffffff\n",
    "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
    "proc/sys/fs/inotify/max_user_watches": "524288\n",
    "proc/sys/fs/inotify/max_user_instances": "128\n",
    "sys/devices/system/cpu/cpuidle/current_driver": "haltpoll\n",
    "sys/module/haltpoll/parameters/guest_halt_poll_ns": "200000\n",
    "usr/lib/x86_64-linux-gnu/libfuse3.so.3.14.0": "",
    "usr/bin/fusermount3": "",
    "usr/bin/bwrap": "#!/bin/sh\necho bubblewrap 0.8.0\n",
    "proc/sys/user/max_user_namespaces": "96365\n",
    "proc/self/cgroup": "0::/user.slice/mine\n",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "sys/fs/cgroup/user.slice/mine/cgroup.controllers": "cpu memory pids\n",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a machine on which nothing is wrong."""
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    for name, text in HEALTHY.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "usr/bin/fusermount3").chmod(0o4755)
    (tmp_path / "usr/bin/bwrap").chmod(0o755)
    return tmp_path


def _check(root: Path, name: str, uid: int = USER) -> Check:
    checks = {check.name: check for check in run_checks(root, uid=uid)}
    assert all(bool(check.remedy) != (check.ok is Verdict.OK) for check in checks.values()), "H2"
    return checks[name]


@pytest.mark.parametrize("uid", [USER, ROOT])
def test_a_healthy_machine_has_no_complaint(machine: Path, uid: int) -> None:
    assert [check for check in run_checks(machine, uid=uid) if check.ok is not Verdict.OK] == []


@pytest.mark.parametrize("uid", [USER, ROOT])
def test_an_empty_machine_is_all_complaints_and_no_exception(tmp_path: Path, uid: int) -> None:
    well = {check.name for check in run_checks(tmp_path, uid=uid) if check.ok is Verdict.OK}
    of_the_user = {USER: {"mount right"}, ROOT: {"user_allow_other"}}
    assert well == {"python", "libraries", "idle processors"} | of_the_user[uid], "H1"


def test_a_missing_device_tells_containers_and_modules_apart(machine: Path) -> None:
    (machine / "dev/fuse").unlink()
    check = _check(machine, "/dev/fuse")
    assert (check.ok, check.sentence) == (Verdict.FAIL, "/dev/fuse is missing.")
    (machine / "proc/filesystems").write_text("nodev\tproc\n")
    assert "no FUSE loaded" in _check(machine, "/dev/fuse").sentence
    assert "modprobe fuse" in _check(machine, "/dev/fuse").remedy


def test_a_device_that_cannot_be_opened_says_why(machine: Path) -> None:
    (machine / "dev/fuse").unlink()
    (machine / "dev/fuse").mkdir()
    check = _check(machine, "/dev/fuse")
    assert (check.ok, check.sentence) == (Verdict.FAIL, "/dev/fuse cannot be opened: Is a directory.")


@pytest.mark.parametrize(
    ("mask", "verdict"), [("00000000a80425fb", Verdict.FAIL), ("0000000000200000", Verdict.OK)]
)
def test_root_without_the_right_to_mount_is_told(machine: Path, mask: str, verdict: Verdict) -> None:
    (machine / "proc/self/status").write_text(f"CapEff:\t{mask}\n")
    assert _check(machine, "mount right", ROOT).ok is verdict


def test_fusermount3_must_be_setuid_for_users_but_not_for_root(machine: Path) -> None:
    (machine / "usr/bin/fusermount3").chmod(0o755)
    assert "not setuid root" in _check(machine, "fusermount3", USER).sentence
    assert _check(machine, "fusermount3", ROOT).ok is Verdict.OK


def test_fusermount3_that_is_no_program_does_not_count(machine: Path) -> None:
    (machine / "usr/bin/fusermount3").chmod(0o644)
    assert _check(machine, "fusermount3").sentence == "fusermount3 is not on the PATH."


def test_user_allow_other_may_have_a_comment_behind_it(machine: Path) -> None:
    (machine / "etc/fuse.conf").write_text(" user_allow_other # for agents\n")
    assert _check(machine, "user_allow_other").ok is Verdict.OK


@pytest.mark.parametrize("line", ["", "#user_allow_other", "user_allow_others"])
def test_user_allow_other_counts_only_as_a_line_of_its_own(machine: Path, line: str) -> None:
    (machine / "etc/fuse.conf").write_text(f"{line}\n")
    assert _check(machine, "user_allow_other").ok is Verdict.WARN
    assert _check(machine, "user_allow_other", ROOT).ok is Verdict.OK


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        *(("5.10.0", Verdict.OK), ("6.18-rc1", Verdict.OK), ("10.0", Verdict.OK)),
        *(("5.9.16", Verdict.WARN), ("4.19.0-26-amd64", Verdict.WARN), ("odd", Verdict.WARN)),
    ],
)
def test_the_kernel_is_compared_by_number(machine: Path, release: str, verdict: Verdict) -> None:
    (machine / "proc/sys/kernel/osrelease").write_text(f"{release}\n")
    assert _check(machine, "kernel").ok is verdict


@pytest.mark.parametrize(
    ("file", "verdict"), [("libfuse3.so.3.9.0", Verdict.WARN), ("libfuse3.so.3.17.2", Verdict.OK)]
)
def test_libfuse_is_compared_by_number(machine: Path, file: str, verdict: Verdict) -> None:
    folder = machine / "usr/lib/x86_64-linux-gnu"
    (folder / "libfuse3.so.3.14.0").rename(folder / file)
    (folder / "libfuse3.so.3").symlink_to(file)
    check = _check(machine, "libfuse")
    assert check.ok is verdict
    assert ".".join(file.split(".")[2:4]) in check.sentence


def test_a_guest_that_gives_idle_processors_away_is_told_what_to_write_where(machine: Path) -> None:
    (machine / "sys/module/haltpoll/parameters/guest_halt_poll_ns").write_text("0\n")
    check = _check(machine, "idle processors")
    assert check.ok is Verdict.WARN
    assert "`echo 200000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns`" in check.remedy
    (machine / "sys/devices/system/cpu/cpuidle/current_driver").write_text("intel_idle\n")
    assert _check(machine, "idle processors").ok is Verdict.OK


@pytest.mark.parametrize("key", ["max_user_watches", "max_user_instances"])
def test_a_low_inotify_limit_names_the_command_that_raises_it(machine: Path, key: str) -> None:
    (machine / f"proc/sys/fs/inotify/{key}").write_text("8\n")
    check = _check(machine, f"inotify {key}")
    assert check.ok is Verdict.WARN
    assert check.remedy.startswith(f"Run `sysctl fs.inotify.{key}=")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [("0.4.0", Verdict.OK), ("0.11.0", Verdict.OK), ("0.3.1", Verdict.WARN), ("nonsense", Verdict.WARN)],
)
def test_bubblewrap_is_compared_by_number(machine: Path, said: str, verdict: Verdict) -> None:
    (machine / "usr/bin/bwrap").write_text(f"#!/bin/sh\necho bubblewrap {said}\n")
    assert _check(machine, "bubblewrap").ok is verdict


def test_bubblewrap_that_is_missing_is_a_warning_with_the_package(machine: Path) -> None:
    (machine / "usr/bin/bwrap").unlink()
    check = _check(machine, "bubblewrap")
    assert check.ok is Verdict.WARN
    assert "apt-get install bubblewrap" in check.remedy


@pytest.mark.parametrize(
    ("file", "text", "uid", "says"),
    [
        ("user/max_user_namespaces", "0", ROOT, "user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", USER, "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", USER, "bwrap-userns-restrict"),
    ],
)
def test_what_keeps_one_from_namespaces_is_told_with_what_allows_them(
    file: str, text: str, uid: int, says: str, machine: Path
) -> None:
    path = machine / "proc/sys" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    check = _check(machine, "user namespaces", uid)
    assert check.ok is Verdict.WARN
    assert says in check.remedy


def test_apparmor_does_not_matter_to_root_nor_where_bwrap_has_a_profile(machine: Path) -> None:
    file = machine / "proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    file.write_text("1")
    assert _check(machine, "user namespaces", ROOT).ok is Verdict.OK
    (machine / "etc/apparmor.d").mkdir()
    (machine / "etc/apparmor.d/bwrap-userns-restrict").touch()
    assert _check(machine, "user namespaces", USER).ok is Verdict.OK


def test_control_groups_count_where_they_have_memory_and_are_ours(machine: Path) -> None:
    file = machine / "sys/fs/cgroup/user.slice/mine/cgroup.controllers"
    file.write_text("cpu pids\n")
    check = _check(machine, "control groups")
    assert check.ok is Verdict.WARN
    assert "Delegate=yes" in check.remedy
    (machine / "proc/self/cgroup").write_text("4:memory:/\n0::/user.slice/mine\n")
    (machine / "proc/self/mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw - cgroup none rw,memory\n")
    assert _check(machine, "control groups").sentence.startswith("Version 1")


def test_the_real_machine_is_described_as_it_is() -> None:
    checks = {check.name: check for check in run_checks()}
    assert os.uname().release in checks["kernel"].sentence
    assert checks["libraries"].ok is Verdict.OK
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        assert checks["/dev/fuse"].ok is Verdict.FAIL
    else:
        assert checks["/dev/fuse"].ok is Verdict.OK
