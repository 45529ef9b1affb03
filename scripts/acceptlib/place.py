"""A repository of its own and its mount, for one yardstick; gone when the yardstick is done."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAKFS = Path(__file__).resolve().parent.parent / "makfs"
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """Directories of one yardstick."""

    work: Path
    on_write: str = "merge"

    @property
    def repo(self) -> Path:
        return self.work / "repo"

    @property
    def config(self) -> Path:
        """Return settings that are read instead of the repository's own, if they are there."""
        return self.work / "makfs.conf"

    @property
    def mountpoint(self) -> Path:
        return self.work / "mnt"

    def view(self, agent: str) -> Path:
        """Return an agent's view."""
        return self.mountpoint / agent

    def command(self, agents: Sequence[str]) -> list[str]:
        """Return the command that mounts."""
        return [
            str(MAKFS),
            "mount",
            str(self.repo),
            str(self.mountpoint),
            f"--on-write={self.on_write}",
            *([f"--config={self.config}"] if self.config.exists() else []),
            *(f"--agent={name}" for name in agents),
        ]

    def mount(self, *agents: str) -> None:
        """Mount. Raises CalledProcessError."""
        subprocess.run(self.command(agents), check=True, timeout=PATIENCE_S)

    def umount(self) -> None:
        """Unmount, by force if it must be."""
        if not os.path.ismount(self.mountpoint):
            return
        ended = [str(MAKFS), "umount", str(self.mountpoint)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            if subprocess.run(ended, timeout=PATIENCE_S).returncode == 0:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([*ended[:2], "--force", *ended[2:]], timeout=PATIENCE_S)
        if os.path.ismount(self.mountpoint):
            subprocess.run(["fusermount3", "-u", "-z", "--", str(self.mountpoint)])

    def fsck(self) -> str:
        """Check the store after the work; return what was found, "" if nothing."""
        done = subprocess.run(
            [str(MAKFS), "fsck", str(self.repo)], capture_output=True, text=True, timeout=PATIENCE_S * 5
        )
        return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[:2000]


@contextlib.contextmanager
def place(*agents: str, mounted: bool = True, on_write: str = "merge") -> Iterator[Place]:
    """Make a repository and mount it; unmount and remove it at the end, whatever happened."""
    here = Place(Path(tempfile.mkdtemp(prefix="makfs-acceptance-")).resolve(), on_write)
    here.repo.mkdir()
    here.mountpoint.mkdir()
    subprocess.run(["git", "init", "-q", str(here.repo)], check=True)
    try:
        if mounted:
            here.mount(*agents)
        yield here
    finally:
        here.umount()
        if os.path.ismount(here.mountpoint):
            print(f"acceptance: {here.work} is kept: it is still mounted", file=sys.stderr)
        else:
            shutil.rmtree(here.work, ignore_errors=True)


def remount_command(here: Place, agents: Sequence[str]) -> str:
    """Return a shell command that unmounts and mounts again."""
    umount = shlex.join([str(MAKFS), "umount", str(here.mountpoint)])
    return f"{umount} && {shlex.join(here.command(agents))}"
