"""Reads the files that `makfs.config` understands, and settles what the machine decides."""

import dataclasses
import os
from pathlib import Path

from makfs.config import FILE_NAME, AllowOther, Config, OnWrite, Partial, combine, parse
from makfs.errors import ConfigError

MAX_CONFIG_BYTES = 1 << 20
FUSE_CONF = Path("/etc/fuse.conf")
_NOT_OWN = (
    ("run", "env"), ("run", "paths"), ("run", "memory_bytes"), ("run", "cpus"), ("run", "pids"),
    ("budget", "wall_s"), ("budget", "commits"), ("budget", "refusals"), ("budget", "tokens"),
    ("budget", "warn_at"), ("budget", "pause_at"), ("budget", "stop_at"), ("publish", "gate"),
)  # fmt: skip


def load(repo: Path, file: Path | None, on_write: str | None) -> Config:
    """Return the settings in force; `file` stands in for the repository's own, which may be absent.

    Raises ConfigError naming file, key and what is accepted.
    """
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    user = _read(home / "makfs" / FILE_NAME, required=False)
    nearest = _read(file or repo / FILE_NAME, required=file is not None)
    if nearest is not None and (nearest.adapters or nearest.servers):
        kind, one = ("adapter", nearest.adapters[0]) if nearest.adapters else ("mcp", nearest.servers[0])
        raise ConfigError(
            f'{nearest.file_name}: [{kind}."{one.name}"]: '
            f"makfs run reads such tables from ~/.config/makfs/{FILE_NAME} alone; set it there"
        )
    if file is None and nearest is not None:
        _check_own(nearest)
    config = combine(Config(), user, nearest)
    if on_write is None:
        return config
    accepted = {policy.value: policy for policy in OnWrite}
    if on_write not in accepted:
        raise ConfigError(f"--on-write {on_write!a} is no policy; accepted: {', '.join(accepted)}.")
    return dataclasses.replace(config, write=dataclasses.replace(config.write, on_write=accepted[on_write]))


def _check_own(partial: Partial) -> None:
    """Raise ConfigError if the repository's file, which agents can write, opens their confinement."""
    for given in partial.values:
        if (given.section, given.key) in _NOT_OWN and given.value:
            raise ConfigError(
                f"{partial.file_name}: [{given.section}] {given.key}: agents can write this file; "
                f"set it in ~/.config/makfs/{FILE_NAME}, or in a file given with --config"
            )


def _read(path: Path, *, required: bool) -> Partial | None:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        if required:
            raise ConfigError(f"The configuration file {path} is not there.") from None
        return None
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"The configuration file {path} is larger than {MAX_CONFIG_BYTES} bytes.")
    try:
        return parse(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"The configuration file {path} is not UTF-8 at byte {error.start}.") from error


@dataclasses.dataclass(frozen=True, slots=True)
class Others:
    """Whether other users may enter the mount; `note` says why not, where they were meant to."""

    allowed: bool
    note: str = ""


def others(wanted: AllowOther, uid: int, fuse_conf: str) -> Others:
    """Return who may enter. A user other than root needs user_allow_other (mount.fuse3(8))."""
    if wanted is AllowOther.NO:
        return Others(allowed=False)
    if uid == 0:
        return Others(allowed=True)
    if wanted is AllowOther.AUTO:
        return Others(allowed=False)
    if any(line.split("#")[0].strip() == "user_allow_other" for line in fuse_conf.splitlines()):
        return Others(allowed=True)
    return Others(False, f"Only uid {uid} may enter the mount: {FUSE_CONF} lacks the line user_allow_other.")


def read_fuse_conf() -> str:
    """Return /etc/fuse.conf, "" if there is none."""
    try:
        return FUSE_CONF.read_text(errors="replace")
    except OSError:
        return ""
