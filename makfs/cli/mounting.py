"""`makfs mount` and `makfs umount`."""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from makfs.cli.common import note
from makfs.cli.completing import complete_file, complete_folder, one_of, policies
from makfs.cli.exits import EXIT_BUSY, EXIT_FAILURE, NotServed
from makfs.errors import Busy, MountError

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.wire.place import Mount

END_S = 90.0  # a daemon that agreed to unmount has this long to write everything through and end
FORCE_S = (
    15.0  # a daemon that does not answer to --force in this time is killed; the journal holds the commits
)

MOUNT_EPILOG = """\b
Examples:
  makfs mount ./repo /mnt/work --agent alice --agent bob
  makfs mount . /mnt/work --foreground
  makfs mount ./repo /mnt/work --agent alice --on-write merge
"""

UMOUNT_EPILOG = """\b
Examples:
  makfs umount /mnt/work
  makfs umount --wait 60 /mnt/work
"""


@click.command(epilog=MOUNT_EPILOG, short_help="Serve a repository at an empty directory")
@click.argument("repo", shell_complete=complete_folder)
@click.argument("mountpoint", shell_complete=complete_folder)
@click.option(
    "--agent", "agents", metavar="NAME", multiple=True, help="Make a view for this agent. Repeatable."
)
@click.option("--foreground", is_flag=True, help="Serve in this terminal until Ctrl-C; log to stderr.")
@click.option(
    "--config", metavar="FILE", shell_complete=complete_file, help="Read FILE instead of REPO/makfs.conf."
)
@click.option(
    "--on-write",
    metavar="POLICY",
    shell_complete=one_of(policies),
    help="What a write does: lease, merge or claim, whatever makfs.conf says of on_write.",
)
def mount(
    repo: str,
    mountpoint: str,
    agents: tuple[str, ...],
    foreground: bool,
    config: str | None,
    on_write: str | None,
) -> int:
    """Serve REPO at MOUNTPOINT, an empty directory, made if it is not there. Returns when the mount answers.

    Every agent works in its own view, MOUNTPOINT/NAME; `mkdir MOUNTPOINT/NAME` makes another. REPO stays
    an ordinary directory, and every commit is written through to it.
    """
    arguments = daemon_arguments(repo, mountpoint, agents, config, on_write)
    if foreground:
        sys.stdout.flush()
        os.execv(sys.executable, [*arguments, "--foreground"])
    last = _start(arguments)
    kind, _, sentence = last.partition(": ")
    if kind == "ready":
        return 0
    click.echo(f"makfs: {sentence or 'makfsd ended without a word; run it with --foreground.'}", err=True)
    return EXIT_BUSY if kind == "busy" else EXIT_FAILURE


def daemon_arguments(
    repo: str, mountpoint: str, agents: Sequence[str], config: str | None, on_write: str | None
) -> list[str]:
    """Return the command line that starts makfsd. -P: modules of the current directory are not ours."""
    arguments = [sys.executable, "-P", "-m", "makfsd", f"--repo={repo}", f"--mount={mountpoint}"]
    arguments += [f"--agent={name}" for name in agents]
    if config is not None:
        arguments.append(f"--config={config}")
    if on_write is not None:
        arguments.append(f"--on-write={on_write}")
    return arguments


def _start(arguments: list[str]) -> str:
    """Start makfsd, print its notes; return its last word: "ready", "error: ...", "busy: ...", or ""."""
    import subprocess

    read_end, write_end = os.pipe()
    with open(read_end, encoding="utf-8", errors="surrogateescape") as lines:
        try:
            daemon = subprocess.Popen(
                [*arguments, f"--ready-fd={write_end}"],
                pass_fds=[write_end],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        finally:
            os.close(write_end)
        for line in lines:
            kind, _, sentence = line.rstrip("\n").partition(": ")
            if kind == "note":
                note(sentence)
            else:
                daemon.wait()
                return line.rstrip("\n")
    daemon.wait()
    return ""


@click.command(epilog=UMOUNT_EPILOG, short_help="End a mount")
@click.argument("mountpoint", shell_complete=complete_folder)
@click.option("--force", is_flag=True, help="Though files are open or the daemon hangs. Commits are kept.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 86400),
    metavar="S",
    default=10.0,
    show_default=True,
    help="Wait so many seconds for files open for writing.",
)
def umount(mountpoint: str, force: bool, wait_s: float) -> None:
    """End the makfs mount at MOUNTPOINT. Returns when everything is written and makfsd has ended.

    Waits for files that are open for writing, and refuses, like umount(8), while programs work in the
    mount. The dead mount of a killed makfsd is taken away.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import absolute, read_mounts
    from makfs.engine.api import KernelStatus
    from makfs.wire.verbs import Status

    place = os.path.realpath(absolute(mountpoint))
    repo = _repo_of_mount(place, read_mounts())
    try:
        daemon = Client(repo)
    except NotServed:
        _take_away(place)
        note(f"{place} was the dead mount of a killed makfsd; it was taken away.")
        return
    with daemon:
        if force:
            _force(daemon, place)
        elif daemon.get(Status(), KernelStatus).mountpoint != place:
            _take_away(place)
            note(f"{place} was a dead mount; {repo} is served elsewhere.")
        else:
            _ask_to_end(daemon, wait_s)


def _repo_of_mount(place: str, mounts: "tuple[Mount, ...]") -> str:
    """Return the repository of the mount exactly here. Raises MountError."""
    from makfs.wire.place import mount_of

    inside = mount_of(place, mounts)
    if inside is None or inside.mountpoint != place:
        if inside is not None and inside.repo is not None:
            raise MountError(f"{place} is inside the makfs mount {inside.mountpoint}; unmount that.")
        raise MountError(f"{place} is not mounted.")
    if inside.repo is None:
        raise MountError(f"{place} is not a makfs mount but {inside.fstype} of {inside.source}.")
    if inside.root != "/":
        raise MountError(f"{place} is bound to a part of a makfs mount; use umount(8).")
    return inside.repo


def _ask_to_end(daemon: "Client", wait_s: float) -> None:
    """Let the daemon end in order. Raises Told with what keeps it."""
    from makfs.cli.client import Closed
    from makfs.wire.verbs import Unmount

    ending = _Ending(daemon.peer_pid)
    with contextlib.suppress(Closed):  # it ended faster than it answered; `wait` sees to that it did end
        daemon.ask(Unmount(force=False, wait_s=wait_s))
    ending.wait(END_S)


def _force(daemon: "Client", place: str) -> None:
    """End the daemon, in order if it answers; else by SIGKILL, which loses no commit."""
    import signal

    from makfs.cli.client import Closed, Hung
    from makfs.wire.verbs import Unmount

    ending = _Ending(daemon.peer_pid)
    try:
        daemon.ask(Unmount(force=True, wait_s=0), timeout_s=FORCE_S)
        ending.wait(END_S)
    except Closed:
        ending.wait(END_S)
    except (Hung, Busy):
        ending.send(signal.SIGKILL)
        ending.wait(END_S)
        _take_away(place)
        note("makfsd hung and was killed; what it owed the repository is written at the next mount.")


class _Ending:
    """Waits for one process to end, by a descriptor: its number cannot come to mean another process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._fd = -1  # it is gone, or in a pid namespace that one cannot see
        if pid > 0:
            with contextlib.suppress(ProcessLookupError):
                self._fd = os.pidfd_open(pid)

    def wait(self, timeout_s: float) -> None:
        """Return when it has ended. Raises Busy after `timeout_s`."""
        import select

        if self._fd >= 0 and not select.select([self._fd], [], [], timeout_s)[0]:
            raise Busy(f"makfsd, pid {self._pid}, is still ending; its log tells what it waits for.")

    def send(self, number: int) -> None:
        """Send it a signal."""
        import signal

        if self._fd >= 0:
            signal.pidfd_send_signal(self._fd, number)


def _take_away(place: str) -> None:
    """Unmount lazily what no daemon answers for. Raises MountError."""
    import shutil
    import subprocess

    if shutil.which("fusermount3") is None:
        raise MountError("There is no fusermount3: install the package fuse3.")
    done = subprocess.run(
        ["fusermount3", "-u", "-z", "--", place],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().rstrip(".") or f"fusermount3 ended with {done.returncode}"
        raise MountError(f"{place} could not be taken away: {said}.")
