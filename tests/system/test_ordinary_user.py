"""A user who is not root mounts, works, looks and unmounts: fusermount3 is setuid, nothing of makfs is."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.mount

UID = 65534  # nobody's
PATIENCE_S = 120  # a machine may be slow; nothing here is timed
PACKAGES = os.pathsep.join(path for path in sys.path if path)


class Nobody:
    """Runs programs as a user without any right, in a home of his own."""

    def __init__(self, home: Path, interpreter: str) -> None:
        self.home = home
        self.interpreter = interpreter

    def run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": PACKAGES}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return subprocess.run(
            [*command], cwd=self.home, env=environment, user=UID, group=UID,
            extra_groups=[], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def python(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return self.run(self.interpreter, "-P", *arguments)

    def makfs(self, *arguments: str | Path) -> str:
        done = self.python("-m", "makfs.cli", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    """Give a user without rights a home, and /dev/fuse, as udev does on most machines.

    Not below pytest's own folder, to which another session that starts may bar the way.
    """
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    device = stat.S_IMODE(Path("/dev/fuse").stat().st_mode)
    home = Path(tempfile.mkdtemp(prefix="makfs-nobody-"))
    os.chown(home, UID, UID)
    os.chmod("/dev/fuse", 0o666)
    try:
        yield able(home)
        assert str(home) not in Path("/proc/self/mounts").read_text()
    finally:
        subprocess.run(["fusermount3", "-uzq", str(home / "work")], check=False)
        os.chmod("/dev/fuse", device)
        shutil.rmtree(home)


def able(home: Path) -> Nobody:
    """Return a user who can run makfs; root's own Python may be out of his reach, and the system's is not."""
    why = ""
    for interpreter in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        user = Nobody(home, interpreter)
        try:
            done = user.python("-c", "import makfs.cli.main, makfsd.supervisor, makfs.engine.kernel")
        except OSError as error:
            why = f"{interpreter}: {error.strerror}"
            continue
        if done.returncode == 0:
            return user
        why = f"{interpreter}: {done.stderr.strip().splitlines()[-1]}"
    pytest.skip(f"another user cannot run makfs with any Python here ({why})")


def test_user_without_rights_mounts_works_looks_and_unmounts(nobody: Nobody) -> None:
    assert nobody.run("git", "init", "-q", "repo").returncode == 0
    assert nobody.run("mkdir", "work").returncode == 0
    text = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
    assert nobody.python("-c", f"open('repo/a.py', 'w').write({text!r})").returncode == 0
    nobody.makfs("mount", "repo", "work", "--agent", "alice", "--agent", "bob")
    copy = nobody.run("cp", "work/bob/a.py", "draft.py")
    assert copy.returncode == 0, copy.stderr
    for command in (
        ("sed", "-i", "s/return 1/return 11/", "work/alice/a.py"),
        ("sed", "-i", "s/return 2/return 22/", "draft.py"),
        ("cp", "draft.py", "work/bob/a.py"),
        ("mkdir", "work/carol"),
        ("rmdir", "work/carol"),
    ):
        done = nobody.run(*command)
        assert done.returncode == 0, done.stderr
    both = text.replace("return 1", "return 11").replace("return 2", "return 22")
    for place in ("work/alice/a.py", "work/bob/a.py", "repo/a.py"):
        assert nobody.run("cat", place).stdout == both
    assert (nobody.home / "repo/a.py").stat().st_uid == UID
    assert "a.py::two" in nobody.makfs("-C", "repo", "log")
    assert "alice" in nobody.makfs("-C", "repo", "status")
    nobody.makfs("umount", "work")
    assert "nothing wrong" in nobody.makfs("fsck", "repo")
