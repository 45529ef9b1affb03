"""The sections of makfs.conf: every key with its default, its unit and what is accepted. Pure.

A key's comment in makfs.conf is the sentence that stands here (`makfs.config`, C3).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Final, TypeVar

from makfs.patterns import SHADOW_SYNTAX, check_glob, check_shadow

_KIB, _MIB = 1024, 1024 * 1024
_T = TypeVar("_T")


class OnWrite(Enum):
    """What a write to nodes that nobody holds does."""

    LEASE = "lease"
    MERGE = "merge"
    CLAIM = "claim"


class Reads(Enum):
    """Which text a view's readers get."""

    NEWEST = "newest"
    LOCKED = "locked"


class Isolation(Enum):
    """What a view shows of what others commit."""

    LIVE = "live"
    SNAPSHOT = "snapshot"


class AllowOther(Enum):
    """Whether users other than the one who mounts may enter."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class Transport(Enum):
    """How the daemon talks to the kernel."""

    PYFUSE3 = "pyfuse3"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Setting:
    """What one key accepts, and what it is for."""

    says: str
    unit: str = ""
    low: float = 0
    high: float = 0
    check_item: Callable[[str], None] | None = None  # for lists; raises ValueError


def _setting(default: _T, says: str, **accepted: Any) -> _T:
    """Declare a key of a section. Typed as its value, which is what a reader of the section gets."""
    return field(default=default, metadata={"setting": Setting(says, **accepted)})


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """How files are kept."""

    large_bytes: int = _setting(
        8 * _MIB,
        "Files larger than this keep their bytes in the repository's directory; the journal holds their hash "
        "only, so their old versions cannot be read.",
        unit="bytes",
        low=4 * _KIB,
        high=1024 * _MIB,
    )
    max_parse_bytes: int = _setting(
        _MIB,
        "Source files larger than this are not split into nodes: the file is one node.",
        unit="bytes",
        low=0,
        high=64 * _MIB,
    )


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """What happens when agents write."""

    on_write: OnWrite = _setting(
        OnWrite.LEASE,
        "What a write to nodes that nobody holds does. lease: it holds the nodes for lease_s, so that two "
        "agents do not take turns inside one function. merge: it is merged; lines that two agents changed at "
        "once are refused. claim: it is refused, unless the agent claimed the nodes before. What another "
        "agent holds is waited for, then refused, whatever stands here.",
    )
    wait_s: float = _setting(
        15.0,
        "How long a write waits for nodes another agent holds, before it is refused. A program that waits "
        "cannot be killed, so keep it short; longer than lease_s, or leases refuse instead of delaying.",
        unit="seconds",
        low=0,
        high=300,
    )
    lease_s: float = _setting(
        5.0,
        "How long nodes stay held after the last write to them, under the policy lease.",
        unit="seconds",
        low=0.1,
        high=3600,
    )
    claim_s: float = _setting(
        300.0,
        "How long a claim lasts unless it is renewed. Whatever its agent does through its view renews it.",
        unit="seconds",
        low=1,
        high=86400,
    )
    always_merge: tuple[str, ...] = _setting(
        ("CHANGELOG*", "CHANGES*", "HISTORY*", "NEWS*", "RELEASES*"),
        "Files that everybody adds to: whatever else is said, writes to them are merged. Patterns as in "
        ".gitignore.",
        check_item=check_glob,
    )


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """What a view shows and to whom."""

    shadow_patterns: tuple[str, ...] = _setting(
        (
            "{name}.tmp.{pid}.{hex}",
            "{name}.tmp.{pid}",
            "{name}.tmp",
            ".{name}.sw[a-p]",
            "{name}~",
            "4913",
            "#{name}#",
            ".#{name}",
            "sed{mkstemp:6}",
            "XX{mkstemp:6}",
            ".tmp{rand:6}",
            ".tmp{mkstemp:6}",
            ".goutputstream-{rand:6}",
            "{name}.vsctmp",
            "{name}___jb_tmp___",
            "{name}___jb_old___",
        ),
        "Names under which editors and agents prepare a new version of a file beside it (in this order: "
        "Claude Code, other atomic savers, vim and nano, backups, vim's probe, emacs twice, sed -i, perl -i, "
        "Rust programs twice, GNOME, VS Code, JetBrains). Such a file is seen in its own view only. "
        "Placeholders: "
        f"{SHADOW_SYNTAX}.",
        check_item=check_shadow,
    )
    reads: Reads = _setting(
        Reads.NEWEST,
        "What opening a file to read it does while another agent holds a write lock on it or in it. newest: "
        "it shows the newest committed text. locked: it waits, up to wait_s.",
    )
    shadow_s: float = _setting(
        1.0,
        "A shadow that has been closed and unchanged for so long becomes an ordinary file.",
        unit="seconds",
        low=0,
        high=3600,
    )
    scratch: tuple[str, ...] = _setting(
        (),
        "More patterns of files that are private to each view and not journaled, as if .gitignore listed "
        "them. Patterns as in .gitignore.",
        check_item=check_glob,
    )
    git_lock_wait_s: float = _setting(
        10.0,
        "How long git in one view waits for git in another (index.lock and the like), before it fails as "
        "usual.",
        unit="seconds",
        low=0,
        high=300,
    )


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """What a snapshot view must pass before its edits become head."""

    gate: str = _setting(
        "",
        "A command for sh that is run in a snapshot view before it is published, on the very tree that would "
        "become head; unless it ends with status 0, nothing is published. Empty: none. Counts only in "
        "~/.config/makfs/makfs.conf or a file given with --config: agents can write the repository's.",
        unit="a command",
    )
    gate_s: float = _setting(
        600.0,
        "How long that command may take.",
        unit="seconds",
        low=1,
        high=86400,
    )


@dataclass(frozen=True, slots=True)
class MountConfig:
    """How the file system is mounted."""

    allow_other: AllowOther = _setting(
        AllowOther.AUTO,
        "Whether other users may enter the mount. auto: if root mounts. yes needs user_allow_other in "
        "/etc/fuse.conf for users other than root.",
    )
    transport: Transport = _setting(
        Transport.NATIVE,
        "How the daemon talks to the kernel. native: by itself, at half the CPU time. pyfuse3: through "
        "libfuse.",
    )
    max_waiters: int = _setting(
        256,
        "How many operations may wait for other agents at once; one more is refused instead of waiting.",
        unit="operations",
        low=1,
        high=10000,
    )


@dataclass(frozen=True, slots=True)
class MessagesConfig:
    """How much agents may write to each other, and share by name."""

    message_bytes: int = _setting(
        64 * _KIB,
        "A message has at most so many bytes. What is longer is better shared by name.",
        unit="bytes",
        low=_KIB,
        high=512 * _KIB,
    )
    unread: int = _setting(
        1000,
        "So many messages may wait in one inbox; one more is refused, and its sender told.",
        unit="messages",
        low=1,
        high=100_000,
    )
    unread_bytes: int = _setting(
        8 * _MIB,
        "So many bytes of messages may wait in one inbox.",
        unit="bytes",
        low=_KIB,
        high=256 * _MIB,
    )
    artifact_bytes: int = _setting(
        8 * _MIB,
        "What is shared by name has at most so many bytes.",
        unit="bytes",
        low=_KIB,
        high=256 * _MIB,
    )
    shared_bytes: int = _setting(
        64 * _MIB,
        "So many bytes may be shared by name at once; older versions may take as many again.",
        unit="bytes",
        low=_KIB,
        high=1024 * _MIB,
    )


def _check_variable(name: str) -> None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
        raise ValueError(f"{name!r} is not the name of a variable")


def _check_path(path: str) -> None:
    if not path.startswith("/") or not path.strip("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not an absolute path below /")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What `makfs run` lets through to the programs it starts."""

    env: tuple[str, ...] = _setting(
        (),
        "Variables of the caller's environment that a program started by makfs run finds, beside PATH, LANG, "
        "TERM and the like. Counts only in ~/.config/makfs/makfs.conf or a file given with --config: agents "
        "can write the repository's.",
        unit="names",
        check_item=_check_variable,
    )
    paths: tuple[str, ...] = _setting(
        (),
        "Files and directories that such a program may read, beside the system's and its view. Counts only "
        "where env does.",
        unit="paths",
        check_item=_check_path,
    )
    log_bytes: int = _setting(
        64 * _MIB,
        "How much is kept of what such a program writes to its standard output, and as much of its errors; "
        "the rest is dropped, and the record says so.",
        unit="bytes",
        low=0,
        high=1024 * _MIB,
    )
    memory_bytes: int = _setting(
        0,
        "How much memory a run may take, 0: as much as there is; 'makfs run --memory' says otherwise. Held "
        "by a control group, or for the address space of each process where none can be made. Counts only "
        "where env does, cpus and pids too.",
        unit="bytes",
        low=0,
        high=1 << 50,
    )
    cpus: float = _setting(
        0.0,
        "How many processors a run may keep busy, 0: all. Held by a control group, or not at all.",
        unit="cpus",
        low=0,
        high=4096,
    )
    pids: int = _setting(
        0,
        "How many processes and threads a run may have at once, 0: no limit.",
        unit="pids",
        low=0,
        high=1 << 22,
    )


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """What a run may use. Counts only in the user's own file or one given with --config."""

    wall_s: float = _setting(
        0.0,
        "How long a run may take, pauses too; 0: no limit. 'makfs run --budget wall=S' says otherwise.",
        unit="seconds",
        low=0,
        high=1e9,
    )
    commits: int = _setting(
        0, "How many commits a run may make; 0: no limit.", unit="commits", low=0, high=10**9
    )
    refusals: int = _setting(
        0, "How many of a run's writes may be refused; 0: no limit.", unit="refusals", low=0, high=10**9
    )
    tokens: int = _setting(
        0,
        "How many tokens a run may use, as far as its program says how many it used; 0: no limit.",
        unit="tokens",
        low=0,
        high=10**15,
    )
    warn_at: float = _setting(
        0.8,
        "The share of any of these at which a run is warned: in its events, on the standard error of makfs "
        "run, and in its view's .makfs/why. 0: never.",
        unit="limits",
        low=0,
        high=100,
    )
    pause_at: float = _setting(
        1.0, "The share at which a run is paused. 0: never.", unit="limits", low=0, high=100
    )
    stop_at: float = _setting(
        1.25,
        "The share at which a run is ended, SIGTERM first. A paused run uses nothing but time: with pause_at "
        "below, commits, refusals and tokens end a run only after somebody let it go on. 0: never.",
        unit="limits",
        low=0,
        high=100,
    )


Section = (
    StoreConfig | WriteConfig | ViewConfig | PublishConfig | MountConfig | RunConfig | BudgetConfig
    | MessagesConfig
)  # fmt: skip

SECTIONS: Final[Mapping[str, Section]] = {
    "store": StoreConfig(),
    "write": WriteConfig(),
    "view": ViewConfig(),
    "publish": PublishConfig(),
    "mount": MountConfig(),
    "run": RunConfig(),
    "budget": BudgetConfig(),
    "messages": MessagesConfig(),
}


def settings(section: str) -> Mapping[str, Setting]:
    """Return the keys of a section, in the order of makfs.conf."""
    return {key.name: key.metadata["setting"] for key in fields(SECTIONS[section])}
