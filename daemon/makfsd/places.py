"""The two places of a mount, checked before anything is touched, and the lock on the repository.

P1  At most one makfsd serves a repository: it holds flock(2) on `.makfs/makfsd.pid` as long as it lives.
P2  A check that fails has changed nothing, but that a killed daemon's dead mount may be gone.
"""

import datetime as dt
import errno
import fcntl
import os
import select
import shutil
import stat
import subprocess
from pathlib import Path

from makfs.errors import Busy, MountError, NotFound
from makfs.wire.errors import WireError
from makfs.wire.place import PID_NAME, STATE_DIR, Mount, Served, parse_mounts

FUSE_DEVICE = Path("/dev/fuse")
ENDING_S = 0.5


class Lock:
    """The right to serve a repository. Inherited by fork; ends with the last process that has it."""

    def __init__(self, fd: int, repo: Path) -> None:
        self._fd = fd
        self.repo = repo
        self.left_by = _read_served(fd)  # a daemon that ended without `release`, or None

    @classmethod
    def take(cls, repo: Path, *, create: bool) -> "Lock | None":
        """Return the lock, None if it has no file and `create` is false. Raises Busy, MountError."""
        state = repo / STATE_DIR
        try:
            if create:
                state.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            fd = os.open(state / PID_NAME, flags, 0o600)
        except FileNotFoundError:
            if create:
                raise MountError(f"{repo} went away.") from None
            return None
        except OSError as error:
            raise MountError(f"{state} cannot be used: {error.strerror}.") from error
        if not _try_flock(fd):
            served = _read_served(fd)
            if served is None or not _ends_soon(served.pid) or not _try_flock(fd):
                os.close(fd)
                raise Busy(_already_served(repo, served))
        return cls(fd, repo)

    def sign(self, mountpoint: Path) -> None:
        """Write who serves, after the last fork. `mountpoint` is absolute."""
        now = dt.datetime.now().astimezone().isoformat(timespec="seconds")
        text = Served(os.getpid(), str(mountpoint), now).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)

    def release(self) -> None:
        """Give the lock back; the emptied file says that the daemon ended in order."""
        os.ftruncate(self._fd, 0)
        self.give_back()

    def give_back(self) -> None:
        """Give the lock back and leave the file as it was found."""
        os.close(self._fd)


def _try_flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ends_soon(pid: int) -> bool:
    """Tell whether the process ends within ENDING_S: a daemon just killed holds its lock a moment longer."""
    try:
        ending = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return True
    try:
        return bool(select.select([ending], [], [], ENDING_S)[0])
    finally:
        os.close(ending)


def _read_served(fd: int) -> Served | None:
    try:
        return Served.decode(os.pread(fd, 65536, 0))
    except WireError:
        return None


def _already_served(repo: Path, served: Served | None) -> str:
    if served is None:
        return f"{repo} is already served by a makfsd that is just starting or ending."
    who = f"makfsd, pid {served.pid}, at {served.mountpoint}"
    return f"{repo} is already served by {who}; 'makfs umount' ends that."


def check_repository(repo: Path) -> None:
    """Raise MountError unless `repo`, absolute, is a directory one may use."""
    try:
        mode = repo.stat().st_mode
    except FileNotFoundError:
        raise MountError(f"The repository {repo} is not there.") from None
    except OSError as error:
        raise MountError(f"The repository {repo} cannot be read: {error.strerror}.") from error
    if not stat.S_ISDIR(mode):
        raise MountError(f"The repository {repo} is not a directory.")
    if not os.access(repo, os.R_OK | os.W_OK | os.X_OK):
        raise MountError(f"The repository {repo} may not be read and written by uid {os.getuid()}.")
    inside = mount_at_or_above(repo, read_mounts())
    if inside is not None:
        raise MountError(f"The repository {repo} is itself inside the makfs mount {inside.mountpoint}.")


def check_nesting(repo: Path, mountpoint: Path) -> None:
    """Raise MountError if one of the two real paths contains the other."""
    if repo == mountpoint:
        raise MountError(f"{repo} cannot be both the repository and the mountpoint.")
    if mountpoint in repo.parents:
        raise MountError(f"The repository {repo} is inside the mountpoint {mountpoint}.")
    if repo in mountpoint.parents:
        raise MountError(f"The mountpoint {mountpoint} is inside the repository {repo}.")


def check_mountpoint(mountpoint: Path) -> tuple[str, ...]:
    """Raise MountError unless something can be mounted at `mountpoint`; return notes of what was recovered.

    That is an empty directory, or a name that is free in a directory that is there (`make_mountpoint`).
    The dead mount of a killed daemon is taken away first.
    """
    notes: list[str] = []
    while (mount := mount_exactly(mountpoint, read_mounts())) is not None:
        if mount.repo is None or not _is_dead(mountpoint):
            raise MountError(f"{mountpoint} is already a mount (of {mount.source}).")
        unmount_lazily(mountpoint)
        notes.append(f"The dead mount of a killed makfsd at {mountpoint} was taken away.")
    try:
        mode = mountpoint.stat().st_mode
        if not stat.S_ISDIR(mode):
            raise MountError(f"The mountpoint {mountpoint} is not a directory.")
        with os.scandir(mountpoint) as entries:
            first = next(entries, None)
    except FileNotFoundError:
        if mountpoint.parent.is_dir():
            return tuple(notes)
        raise MountError(
            f"The mountpoint {mountpoint} is not there, and neither is {mountpoint.parent} to make it in."
        ) from None
    except OSError as error:
        raise MountError(f"The mountpoint {mountpoint} cannot be used: {error.strerror}.") from error
    if first is not None:
        raise MountError(f"The mountpoint {mountpoint} is not empty: it has {ascii(first.name)[1:-1]}.")
    return tuple(notes)


def make_mountpoint(mountpoint: Path) -> tuple[str, ...]:
    """Make the directory unless it is there; return a note if it was not. Raises MountError.

    It stays when the mount ends: it is empty then, and the next mount may be there again.
    """
    try:
        mountpoint.mkdir()
    except FileExistsError:
        return ()
    except OSError as error:
        raise MountError(f"The mountpoint {mountpoint} cannot be made: {error.strerror}.") from error
    return (f"{mountpoint} was not there and has been made.",)


def check_fuse() -> None:
    """Raise MountError if this machine, container or user cannot mount FUSE file systems."""
    if not FUSE_DEVICE.exists():
        raise MountError(
            f"There is no {FUSE_DEVICE}: load the fuse module, or give the container --device {FUSE_DEVICE}."
        )
    if not os.access(FUSE_DEVICE, os.R_OK | os.W_OK):
        raise MountError(f"uid {os.getuid()} may not open {FUSE_DEVICE}; 'makfs doctor' says what to do.")
    if shutil.which("fusermount3") is None:
        raise MountError("There is no fusermount3: install the package fuse3.")


def read_mounts() -> tuple[Mount, ...]:
    """Return this process's mounts."""
    return parse_mounts(Path("/proc/self/mountinfo").read_bytes())


def mount_exactly(mountpoint: Path, mounts: tuple[Mount, ...]) -> Mount | None:
    """Return the topmost mount at a place, or None."""
    here = [mount for mount in mounts if mount.mountpoint == str(mountpoint)]
    return here[-1] if here else None


def mount_at_or_above(path: Path, mounts: tuple[Mount, ...]) -> Mount | None:
    """Return a makfs mount that `path` lies in, or None."""
    above = {str(path), *(str(parent) for parent in path.parents)}
    return next((mount for mount in mounts if mount.repo is not None and mount.mountpoint in above), None)


def unmount_lazily(mountpoint: Path) -> None:
    """Take a mount away though it is in use or dead. Raises MountError."""
    done = subprocess.run(
        ["fusermount3", "-u", "-z", "--", str(mountpoint)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().rstrip(".") or f"fusermount3 ended with {done.returncode}"
        raise MountError(f"The dead mount at {mountpoint} could not be taken away: {said}.")


def _is_dead(mountpoint: Path) -> bool:
    try:
        os.statvfs(mountpoint)  # stat(2) may still be answered from the kernel's cache
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)  # the latter once, just after the kill
    return False


def require_store(repo: Path) -> Lock:
    """Return the lock of a repository that has been served before. Raises NotFound, Busy, MountError."""
    lock = Lock.take(repo, create=False)
    if lock is None:
        raise NotFound(f"{repo} has no makfs store; it was never mounted.")
    return lock
