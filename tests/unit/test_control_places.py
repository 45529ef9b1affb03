"""P1, P2 and what the machine decides: places, the lock, who may enter, the log, who uses a mount."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from makfsd import background, configuration, places, users

from makfs.config import AllowOther, OnWrite
from makfs.errors import Busy, ConfigError, MountError, NotFound
from makfs.wire.place import PID_NAME, STATE_DIR, Mount


def test_lock_is_held_by_one_and_names_its_holder(tmp_path: Path) -> None:
    lock = places.Lock.take(tmp_path, create=True)
    assert lock is not None
    with pytest.raises(Busy, match="just starting or ending"):
        places.Lock.take(tmp_path, create=True)
    lock.sign(Path("/mnt/work"))
    with pytest.raises(
        Busy, match=rf"already served by makfsd, pid {os.getpid()}, at /mnt/work; 'makfs umount' ends that\.$"
    ):
        places.Lock.take(tmp_path, create=False)
    lock.release()
    again = places.Lock.take(tmp_path, create=False)
    assert again is not None
    assert again.left_by is None, "it ended in order"
    again.give_back()


def test_lock_left_by_a_crash_says_whose_it_was(tmp_path: Path) -> None:
    lock = places.Lock.take(tmp_path, create=True)
    assert lock is not None
    lock.sign(Path("/mnt/work"))
    lock.give_back()  # as the kernel does when a process is killed
    again = places.Lock.take(tmp_path, create=False)
    assert again is not None
    assert again.left_by is not None
    assert again.left_by.pid == os.getpid()
    again.give_back()


def test_lock_is_not_made_where_it_is_only_looked_for(tmp_path: Path) -> None:
    assert places.Lock.take(tmp_path, create=False) is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound, match="it was never mounted"):
        places.require_store(tmp_path)


def test_state_directory_that_is_something_else_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / STATE_DIR).write_bytes(b"mine")
    with pytest.raises(MountError, match="cannot be used: "):
        places.Lock.take(tmp_path, create=True)
    assert (tmp_path / STATE_DIR).read_bytes() == b"mine"


def test_garbage_in_the_pid_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / STATE_DIR).mkdir()
    (tmp_path / STATE_DIR / PID_NAME).write_bytes(b"\xff{")
    lock = places.Lock.take(tmp_path, create=True)
    assert lock is not None
    assert lock.left_by is None
    lock.give_back()


def test_machine_without_fuse_gets_one_sentence_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "FUSE_DEVICE", tmp_path / "fuse")
    with pytest.raises(MountError, match=r"load the fuse module, or give the container --device"):
        places.check_fuse()
    (tmp_path / "fuse").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MountError, match=r"There is no fusermount3: install the package fuse3\."):
        places.check_fuse()


def test_topmost_of_two_mounts_at_one_place_counts() -> None:
    mounts = (Mount("/m", "/", "ext4", "a"), Mount("/m", "/", "fuse.makfs", "makfs:/r"))
    assert places.mount_exactly(Path("/m"), mounts) is mounts[1]
    assert places.mount_exactly(Path("/n"), mounts) is None
    assert places.mount_at_or_above(Path("/m/a/b"), mounts) is mounts[1]
    assert places.mount_at_or_above(Path("/mm"), mounts) is None


@pytest.mark.parametrize(
    ("wanted", "uid", "conf", "allowed", "noted"),
    [
        (AllowOther.AUTO, 0, "", True, False),
        (AllowOther.AUTO, 1000, "user_allow_other\n", False, False),
        (AllowOther.YES, 1000, "#user_allow_other\n", False, True),
        (AllowOther.YES, 1000, "mount_max = 9\n user_allow_other # yes\n", True, False),
        (AllowOther.YES, 0, "", True, False),
        (AllowOther.NO, 0, "user_allow_other", False, False),
    ],
)
def test_others_may_enter_only_where_the_machine_lets_them(
    wanted: AllowOther, uid: int, conf: str, allowed: bool, noted: bool
) -> None:
    others = configuration.others(wanted, uid, conf)
    assert (others.allowed, bool(others.note)) == (allowed, noted)


def test_nearer_configuration_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    repo = tmp_path / "repo"
    repo.mkdir()
    (tmp_path / "home" / "makfs").mkdir(parents=True)
    (tmp_path / "home" / "makfs" / "makfs.conf").write_text("[write]\nwait_s = 1\nlease_s = 2\n")
    (repo / "makfs.conf").write_text("[write]\nlease_s = 3\n")
    (tmp_path / "other.conf").write_text('[write]\nlease_s = 4\non_write = "lease"\n')
    assert configuration.load(repo, None, None).write.wait_s == 1
    assert configuration.load(repo, None, None).write.lease_s == 3
    named = configuration.load(repo, tmp_path / "other.conf", "claim").write
    assert (named.wait_s, named.lease_s, named.on_write) == (1, 4, OnWrite.CLAIM)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"[write", "not TOML"),
        (b"#" * (1 << 20) + b"#", "is larger than 1048576 bytes"),
    ],
)
def test_unreadable_configuration_names_its_file(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "makfs.conf").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        configuration.load(tmp_path, None, None)
    assert str(tmp_path / "makfs.conf") in str(caught.value)


def test_teller_keeps_one_line_one_line_and_is_silent_after_the_last() -> None:
    read_end, write_end = os.pipe()
    tell = background.FdTeller(write_end)
    tell("note: a\nb")
    tell("error: \udcff")
    tell("ready")
    with open(read_end, "rb") as told:
        assert told.read() == b"note: a b\nerror: \xff\n"


def test_log_rotates_and_takes_stderr_along(tmp_path: Path) -> None:
    code = (
        "import logging, os, sys; from pathlib import Path; from makfsd import background\n"
        "background.LOG_BYTES = 200; os.umask(0)\n"
        "background.start_log(Path(sys.argv[1]), foreground=False)\n"
        "for number in range(20): logging.getLogger('t').info('line %d', number)\n"
        "os.write(2, b'last words'); os.write(1, b'nowhere')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "log"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert done.stdout + done.stderr == b""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.3"]
    assert (tmp_path / "log").read_bytes().endswith(b"last words")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_process_that_works_in_a_place_is_named(tmp_path: Path) -> None:
    assert users.users_of(str(tmp_path)) == ()
    with subprocess.Popen(["cat"], cwd=tmp_path, stdin=subprocess.PIPE) as worker:
        assert users.users_of(str(tmp_path)) == (f"cat (pid {worker.pid}, in {tmp_path})",)
        assert users.users_of(str(tmp_path)[:-1]) == (), "a name that only begins alike"
        worker.communicate()
