"""What a kernel asks of its surroundings: choices by their names, git's list of what to leave out, memory."""

import logging
import resource
from pathlib import Path

from makfs.engine.backing import STATE_DIR, Backing
from makfs.errors import ConfigError
from makfs.settings import Isolation, OnWrite

log = logging.getLogger(__name__)


def as_policy(text: str) -> OnWrite:
    """Return a policy by its name. Raises ConfigError."""
    try:
        return OnWrite(text)
    except ValueError:
        accepted = ", ".join(each.value for each in OnWrite)
        raise ConfigError(f"{text!a} is not something a write can do; accepted: {accepted}.") from None


def as_isolation(text: str) -> Isolation:
    """Return an isolation by its name. Raises ConfigError."""
    try:
        return Isolation(text)
    except ValueError:
        accepted = ", ".join(each.value for each in Isolation)
        raise ConfigError(f"{text!a} is no isolation of a view; accepted: {accepted}.") from None


def exclude_from_git(backing: Backing) -> None:
    """Keep the state directory out of `git status`, by `.git/info/exclude`."""
    exclude = Path(backing.at(".git/info/exclude"))
    line = f"/{STATE_DIR}/"
    if not exclude.parent.parent.is_dir():
        return
    try:
        exclude.parent.mkdir(exist_ok=True)
        text = exclude.read_text() if exclude.exists() else ""
        if line not in text.split("\n"):
            exclude.write_text(text + ("" if not text or text.endswith("\n") else "\n") + line + "\n")
    except OSError as error:
        log.warning("%s could not be extended: %s", exclude, error)


def resident_bytes() -> int:
    """Return the daemon's resident memory (proc(5), statm)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0
