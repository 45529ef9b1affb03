"""Mounting and unmounting from the command line: real processes, real mounts, bad input and hostile names."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.mount

PATIENCE_S = 60  # a machine may be slow; nothing here is timed
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "MAKFS_REPO"},
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
}

Done = subprocess.CompletedProcess[bytes]


def makfs(*arguments: str | Path, cwd: Path | None = None) -> Done:
    return subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


def said(done: Done) -> str:
    return done.stderr.decode("utf-8", "surrogateescape")


def ok(done: Done) -> bytes:
    assert done.returncode == 0, said(done)
    return done.stdout


def served(repo: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((repo / ".makfs" / "makfsd.pid").read_bytes())
    return result


def kill_and_wait(pid: int, number: signal.Signals) -> None:
    ending = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(ending, number)
        assert select.select([ending], [], [], PATIENCE_S)[0], "the daemon did not end"
    finally:
        os.close(ending)


def has_ended(pid: int) -> bool:
    """Tell whether the process is gone, or a zombie that its new parent has not looked at."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_mounted(mountpoint: Path) -> bool:
    escaped = (
        os.fsencode(mountpoint).replace(b"\\", b"\\134").replace(b" ", b"\\040").replace(b"\n", b"\\012")
    )
    return any(
        line.split(b" ")[4] == escaped for line in Path("/proc/self/mountinfo").read_bytes().splitlines()
    )


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """Yield an empty mountpoint; whatever is mounted there is taken away afterwards."""
    place = tmp_path / "work"
    place.mkdir()
    yield place
    if is_mounted(place):
        makfs("umount", "--force", place)


def test_mount_answers_when_it_returns_and_is_gone_when_umount_returns(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice", "--agent", "bob"))
    assert {"alice", "bob"} <= set(os.listdir(work))
    assert (work / "alice" / "README.md").read_bytes() == b"# app\n"
    pid = served(tmp_repo)["pid"]
    assert served(tmp_repo)["mountpoint"] == str(work)
    ok(makfs("umount", work))
    assert not is_mounted(work)
    assert os.listdir(work) == []
    assert has_ended(pid)
    assert (tmp_repo / ".makfs" / "makfsd.pid").read_bytes() == b""
    assert (tmp_repo / ".makfs").stat().st_mode & 0o777 == 0o700


def test_edit_is_in_log_and_show_and_nodes_from_inside_the_mount(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    file = work / "alice" / "app" / "greet.py"
    file.write_bytes(file.read_bytes().replace(b'"bye {name}"', b'"so long {name}"'))
    (commit,) = json.loads(ok(makfs("log", "--json", cwd=work / "alice")))
    assert (commit["agent"], commit["paths"]) == ("alice", ["app/greet.py"])
    assert commit["addresses"] == ["app/greet.py::bye"]
    assert b"greet.py::bye" in ok(makfs("log", "--path", "greet.py", cwd=work / "alice" / "app"))
    assert ok(makfs("log", "--path", "README.md", cwd=work / "alice")) == b""
    shown = ok(makfs("show", str(commit["seq"]), cwd=tmp_repo)).decode()
    assert '-    return f"bye {name}"\n+    return f"so long {name}"\n' in shown
    listed = ok(makfs("nodes", file))
    for found in (
        listed,
        ok(makfs("nodes", "greet.py", cwd=tmp_repo / "app")),
        ok(makfs("-C", tmp_repo, "nodes", "app/greet.py")),
    ):
        assert found == listed
        assert b"app/greet.py::Desk.ring" in found
    assert ok(makfs("-C", work, "refusals", "--json")) == b"[]\n"


def test_agents_are_added_listed_and_removed(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    assert ok(makfs("-C", work, "agent", "add", "carol")) == os.fsencode(work / "carol") + b"\n"
    assert (work / "carol" / "README.md").exists()
    again = makfs("-C", work, "agent", "add", "carol")
    assert (again.returncode, "carol" in said(again)) == (3, True)
    assert [each["agent"] for each in json.loads(ok(makfs("-C", work, "agent", "ls", "--json")))] == [
        "alice",
        "carol",
    ]
    ok(makfs("-C", work, "agent", "rm", "carol"))
    assert not (work / "carol").exists()
    assert makfs("-C", work, "agent", "rm", "carol").returncode == 1


def test_second_daemon_is_refused_and_told_who_serves_where(
    tmp_repo: Path, work: Path, tmp_path: Path
) -> None:
    ok(makfs("mount", tmp_repo, work))
    other = tmp_path / "other"
    other.mkdir()
    done = makfs("mount", tmp_repo, other)
    pid = served(tmp_repo)["pid"]
    assert done.returncode == 3
    assert (
        said(done)
        == f"makfs: {tmp_repo} is already served by makfsd, pid {pid}, at {work}; 'makfs umount' ends that.\n"
    )
    assert makfs("-C", tmp_repo, "status").returncode == 0, "the first serves on"


def test_two_mounts_at_once_give_one_daemon_and_one_refusal(
    tmp_repo: Path, work: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    both = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", "makfs.cli", "mount", str(tmp_repo), str(place)],
            env=ENVIRONMENT,
            stderr=subprocess.DEVNULL,
        )
        for place in (work, other)
    ]
    assert sorted(each.wait(PATIENCE_S) for each in both) == [0, 3]
    ok(makfs("umount", served(tmp_repo)["mountpoint"]))


def test_umount_refuses_while_a_program_works_inside_and_says_which(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    with subprocess.Popen(["cat"], cwd=work / "alice", stdin=subprocess.PIPE) as worker:
        done = makfs("umount", work)
        assert done.returncode == 3
        assert f"cat (pid {worker.pid}, in {work}/alice)" in said(done)
        assert (work / "alice" / "README.md").exists(), "it serves on"
        ok(makfs("umount", "--force", work))
        assert not is_mounted(work)
        worker.communicate()


def test_umount_waits_for_a_file_open_for_writing_then_refuses(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    write = "f = open('README.md', 'r+b', 0); f.write(b'half'); print(flush=True); input()"
    with subprocess.Popen(  # another process: a child of this one would close, and so flush, its copy
        [sys.executable, "-c", write], cwd=work / "alice", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        done = makfs("umount", "--wait", "0", work)
        assert done.returncode == 3
        assert "1 file open for writing: README.md" in said(done)
        writer.communicate(b"\n")
    ok(makfs("umount", work))
    assert (tmp_repo / "README.md").read_bytes() == b"halfp\n"


def test_umount_names_the_mount_that_a_place_is_inside_of(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    done = makfs("umount", work / "alice")
    assert done.returncode == 1
    assert said(done) == f"makfs: {work}/alice is inside the makfs mount {work}; unmount that.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_unmounts_in_order(number: signal.Signals, tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    (work / "alice" / "new.txt").write_bytes(b"kept\n")
    kill_and_wait(served(tmp_repo)["pid"], number)
    assert not is_mounted(work)
    assert (tmp_repo / "new.txt").read_bytes() == b"kept\n"
    assert (tmp_repo / ".makfs" / "makfsd.pid").read_bytes() == b""


def test_second_signal_ends_at_once_and_loses_no_commit(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    (work / "alice" / "new.txt").write_bytes(b"kept\n")
    write = "f = open('README.md', 'r+b', 0); f.write(b'half'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", write], cwd=work / "alice", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        pid = served(tmp_repo)["pid"]
        os.kill(pid, signal.SIGTERM)  # waits for the writer
        kill_and_wait(pid, signal.SIGINT)  # does not; another signal, as two equal ones may arrive as one
        assert not is_mounted(work)
        writer.kill()
    log = (tmp_repo / ".makfs" / "makfsd.log").read_text()
    assert "again: ending at once" in log
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    assert (work / "alice" / "new.txt").read_bytes() == b"kept\n"


def test_dead_mount_of_a_killed_daemon_is_recovered_and_said_so(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    (work / "alice" / "new.txt").write_bytes(b"kept\n")
    pid = served(tmp_repo)["pid"]
    kill_and_wait(pid, signal.SIGKILL)
    assert makfs("-C", work, "status").returncode == 4
    done = makfs("mount", tmp_repo, work, "--agent", "alice")
    ok(done)
    assert f"note: The dead mount of a killed makfsd at {work} was taken away." in said(done)
    assert f"note: makfsd, pid {pid}, did not end in order" in said(done)
    assert (work / "alice" / "new.txt").read_bytes() == b"kept\n"


def test_shell_that_stands_in_a_mount_that_was_replaced_is_told_how_to_go_on(
    tmp_repo: Path, work: Path
) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    status = f"'{sys.executable}' -P -m makfs.cli status"
    command = f'read _; {status} 2>&1; cd "$PWD"; {status}'
    with subprocess.Popen(
        ["sh", "-c", command], cwd=work / "alice", env=ENVIRONMENT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as shell:  # fmt: skip
        kill_and_wait(served(tmp_repo)["pid"], signal.SIGKILL)
        ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
        out, _ = shell.communicate("\n")
    assert out.startswith("makfs: The current directory cannot be asked for (")
    assert "'cd \"$PWD\"'" in out
    assert f"repository  {tmp_repo}" in out


def test_umount_takes_a_dead_mount_away(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work))
    kill_and_wait(served(tmp_repo)["pid"], signal.SIGKILL)
    done = makfs("umount", work)
    ok(done)
    assert said(done) == f"makfs: note: {work} was the dead mount of a killed makfsd; it was taken away.\n"
    assert not is_mounted(work)


def test_foreground_serves_until_interrupted(tmp_repo: Path, work: Path) -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "makfsd", f"--repo={tmp_repo}", f"--mount={work}", "--foreground",
         f"--ready-fd={write_end}"],
        env=ENVIRONMENT, pass_fds=[write_end], stderr=subprocess.PIPE,
    ) as daemon:  # fmt: skip
        os.close(write_end)
        with open(read_end, "rb") as ready:
            assert ready.readline() == b"ready\n"
        assert served(tmp_repo)["pid"] == daemon.pid
        daemon.send_signal(signal.SIGINT)
        _, log = daemon.communicate(timeout=PATIENCE_S)
    assert daemon.returncode == 0
    assert b"SIGINT: unmounting" in log
    assert not is_mounted(work)


def test_fsck_finds_nothing_wrong_served_or_not(tmp_repo: Path, work: Path) -> None:
    never = makfs("fsck", tmp_repo)
    assert never.returncode == 1
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    (work / "alice" / "new.txt").write_bytes(b"new\n")
    assert json.loads(ok(makfs("fsck", "--json", tmp_repo))) == []
    ok(makfs("umount", work))
    assert ok(makfs("fsck", tmp_repo)) == f"{tmp_repo}: nothing wrong was found.\n".encode()
    (tmp_repo / "new.txt").unlink()
    damaged = makfs("fsck", "--json", tmp_repo)
    assert damaged.returncode == 1
    assert [each["where"] for each in json.loads(damaged.stdout)] == ["new.txt"]


@pytest.mark.parametrize(
    "name",
    [b"o,d\\d \"x'", b"two\nlines", b"not-\xff-utf8", "\u65e5\u672c".encode(), b"-C", b"%41#", b"d" * 200],
    ids=["commas", "newline", "not-utf8", "wide", "dash", "percent", "long"],
)
def test_hostile_names_of_repository_and_mountpoint_work(name: bytes, tmp_repo: Path, tmp_path: Path) -> None:
    repo, work = tmp_path / os.fsdecode(name) / "repo", tmp_path / os.fsdecode(name) / "work"
    work.mkdir(parents=True)
    tmp_repo.rename(repo)
    try:
        ok(makfs("mount", repo, work, "--agent", "alice"))
        (work / "alice" / "new.txt").write_bytes(b"new\n")
        (commit,) = json.loads(ok(makfs("log", "--json", cwd=work / "alice")))
        assert commit["paths"] == ["new.txt"]
        status = makfs("status", cwd=work)
        assert status.stdout.decode().replace("\n", "").isprintable()
    finally:
        ok(makfs("umount", work))
    assert (repo / "new.txt").read_bytes() == b"new\n"


def test_bad_places_get_one_sentence_and_nothing_is_touched(
    tmp_repo: Path, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "full" / "inner").mkdir(parents=True)
    (tmp_path / "bad.conf").write_bytes(b"[write]\nwait_s = -1\n")
    (tmp_path / "link").symlink_to(tmp_repo / "app")
    gone = tmp_path / "gone"
    cases: list[tuple[list[str | Path], str]] = [
        ([gone, work], f"The repository {gone} is not there."),
        ([tmp_path / "file", work], f"The repository {tmp_path}/file is not a directory."),
        ([tmp_repo, gone / "work"], f"The mountpoint {gone}/work is not there, and neither is {gone}"),
        ([tmp_repo, tmp_path / "file"], f"The mountpoint {tmp_path}/file is not a directory."),
        ([tmp_repo, tmp_path / "full"], f"The mountpoint {tmp_path}/full is not empty: it has inner."),
        ([tmp_repo, "/proc"], "/proc is already a mount (of proc)."),
        ([tmp_repo, tmp_repo], f"{tmp_repo} cannot be both the repository and the mountpoint."),
        ([tmp_repo, tmp_path / "link"], f"The mountpoint {tmp_repo}/app is inside the repo"),
        ([tmp_path / "full" / "inner", tmp_path / "full"], f"The repository {tmp_path}/full/inner is inside"),
        ([tmp_repo, work, "--agent", "@head"], "'@head' cannot name an agent: "),
        ([tmp_repo, work, "--config", gone], f"The configuration file {gone} is not there."),
        ([tmp_repo, work, "--config", tmp_path / "bad.conf"], f"{tmp_path}/bad.conf: [write] wait_s"),
        ([tmp_repo, work, "--on-write", "never"], "--on-write 'never' is no policy; accepted: lease, "),
    ]  # fmt: skip
    before = sorted(tmp_repo.rglob("*"))
    for arguments, sentence in cases:
        done = makfs("mount", *arguments)
        assert done.returncode == 1, arguments
        assert said(done).startswith(f"makfs: {sentence}"), arguments
        assert said(done).count("\n") == 1, arguments
        assert sorted(tmp_repo.rglob("*")) == before
        assert os.listdir(work) == []


def test_mountpoint_that_is_missing_is_made_once_nothing_else_is_wrong(
    tmp_repo: Path, tmp_path: Path
) -> None:
    missing, bad = tmp_path / "missing", tmp_path / "bad.conf"
    bad.write_bytes(b"[write]\nwait_s = -1\n")
    assert makfs("mount", tmp_repo, missing, "--config", bad).returncode == 1
    assert not missing.exists()
    done = makfs("mount", tmp_repo, missing, "--agent", "alice")
    try:
        assert said(done) == f"makfs: note: {missing} was not there and has been made.\n"
        assert (missing / "alice" / "app").is_dir()
    finally:
        ok(makfs("umount", missing))
    assert os.listdir(missing) == []
    done = makfs("mount", tmp_repo, missing)
    ok(makfs("umount", missing))
    assert (done.returncode, said(done)) == (0, "")


def test_repository_inside_a_mount_is_refused(tmp_repo: Path, work: Path, tmp_path: Path) -> None:
    ok(makfs("mount", tmp_repo, work, "--agent", "alice"))
    other = tmp_path / "other"
    other.mkdir()
    done = makfs("mount", work / "alice", other)
    assert done.returncode == 1
    assert f"is itself inside the makfs mount {work}." in said(done)


def test_modules_of_the_current_directory_are_not_the_daemons(tmp_repo: Path, work: Path) -> None:
    (tmp_repo / "trio.py").write_bytes(b"raise SystemExit('wrong trio')\n")
    (tmp_repo / "logging.py").write_bytes(b"raise SystemExit('wrong logging')\n")
    ok(makfs("mount", ".", work, cwd=tmp_repo))


def test_repository_may_be_named_by_the_environment(tmp_repo: Path, work: Path) -> None:
    ok(makfs("mount", tmp_repo, work))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "status", "--json"],
        env={**ENVIRONMENT, "MAKFS_REPO": str(tmp_repo)},
        cwd="/",
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert json.loads(ok(done))["repo"] == str(tmp_repo)
