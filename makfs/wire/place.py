"""Where a repository's daemon is found: names of its files, the pid file, the mount's source. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from makfs.wire.errors import WireError
from makfs.wire.values import from_json, to_json

STATE_DIR = ".makfs"
SOCKET_NAME = "control.sock"
PID_NAME = "makfsd.pid"
LOG_NAME = "makfsd.log"
FS_TYPE = "fuse.makfs"
_SOURCE = "makfs:"


@dataclass(frozen=True, slots=True)
class Served:
    """What a daemon writes into the pid file it holds by flock(2)."""

    pid: int
    mountpoint: str
    since: str  # ISO 8601, for people

    def encode(self) -> bytes:
        """Return the file's contents."""
        return json.dumps(to_json(self)).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> "Served":
        """Return what the file says. Raises WireError."""
        try:
            data = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise WireError("The pid file is not JSON.") from error
        return from_json(cls, data, PID_NAME)


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo, as far as makfs asks (proc(5))."""

    mountpoint: str
    root: str  # directory of the file system that the mountpoint shows; not "/" for a bind mount
    fstype: str
    source: str
    options: str = ""  # of the file system, separated by commas

    @property
    def repo(self) -> str | None:
        """Return the repository a makfs mount serves, None for any other mount."""
        if self.fstype == FS_TYPE and self.source.startswith(_SOURCE + "/"):
            return _from_percents(self.source[len(_SOURCE) :])
        return None


def mount_source(repo: str) -> str:
    """Return what a mount gives as its fsname, so that clients inside it find the repository.

    pyfuse3 takes ASCII alone, and libfuse splits options at commas: what is neither a letter, a digit nor
    harmless travels as %XX.
    """
    raw = repo.encode("utf-8", "surrogateescape")
    return _SOURCE + re.sub(rb"[^A-Za-z0-9/._~+@:=-]", lambda match: b"%%%02X" % match[0][0], raw).decode(
        "ascii"
    )


def _from_percents(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw)
    return raw.decode("utf-8", "surrogateescape")


def parse_mounts(mountinfo: bytes) -> tuple[Mount, ...]:
    """Return the mounts of /proc/self/mountinfo in its order: of two at one place the later covers."""
    return tuple(_mounts(mountinfo))


def _mounts(mountinfo: bytes) -> Iterator[Mount]:
    for line in mountinfo.split(b"\n"):
        fields = line.split(b" ")
        if b"-" not in fields[6:]:
            continue
        dash = fields.index(b"-", 6)
        if len(fields) < dash + 3 or len(fields) < 6:
            continue
        wanted = (fields[4], fields[3], *fields[dash + 1 : dash + 4])
        yield Mount(*(_unescape(each) for each in wanted))


def _unescape(field: bytes) -> str:
    """Undo the kernel's octal escapes (space, tab, newline, backslash, '#')."""
    raw = re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), field)
    return raw.decode("utf-8", "surrogateescape")


def mount_of(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """Return the mount that an absolute, normalised path lies in: the deepest, of equals the last."""
    best: Mount | None = None
    for mount in mounts:
        inside = (
            mount.mountpoint == "/" or path == mount.mountpoint or path.startswith(mount.mountpoint + "/")
        )
        if inside and (best is None or len(mount.mountpoint) >= len(best.mountpoint)):
            best = mount
    return best


def path_in_view(path: str, mount: Mount) -> tuple[str, str]:
    """Return (view, path below it) of an absolute path inside a makfs mount; ("", "") for its root."""
    below = path[len(mount.mountpoint) :].strip("/") if mount.mountpoint != "/" else path.strip("/")
    whole = "/".join(part for part in (mount.root.strip("/"), below) if part)
    view, _, rest = whole.partition("/")
    return view, rest
