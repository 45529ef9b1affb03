"""What a machine needs to mount and to run agents: each point with a sentence and a remedy. Prints nothing.

H1  Looking changes nothing and never raises: what cannot be read is a finding.
H2  Whatever is not OK has a remedy; what is OK has none.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Final

MIN_PYTHON: Final = (3, 11)
TESTED_KERNEL: Final = (5, 10)
MIN_LIBFUSE: Final = (3, 10)
MIN_BWRAP: Final = (0, 4)
MIN_WATCHES: Final = 65536  # one a directory of the repository, and editors take theirs from the same number
MIN_INSTANCES: Final = 64  # one a mount, and one each for editors, language servers, sync tools
HALT_POLL_NS: Final = 200_000  # the kernel's default
LIBRARIES: Final = (
    "pyfuse3",
    "trio",
    "libcst",
    "sqlite-utils",
    "networkx",
    "tree-sitter",
    "tree-sitter-python",
)
PACKAGES: Final = "apt-get install fuse3 libfuse3-dev"

_CAP_SYS_ADMIN: Final = 21  # capabilities(7)


class Verdict(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: Verdict
    sentence: str
    remedy: str = ""  # what to do; "" if nothing


@dataclass(frozen=True, slots=True)
class _Machine:
    """Where to look: the real machine, or a tree made up by a test."""

    root: Path
    uid: int

    def read(self, path: str) -> str | None:
        """Return a small file's text, None if it cannot be read (H1)."""
        try:
            return (self.root / path).read_text(errors="replace")
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """Return the number a file of /proc/sys holds, None if there is none."""
        text = (self.read(path) or "").strip()
        return int(text) if text.isdecimal() else None


def run_checks(root: Path = Path("/"), *, uid: int | None = None) -> tuple[Check, ...]:
    """Look at the machine below `root` as user `uid` (the caller if None). Never raises."""
    machine = _Machine(root, os.geteuid() if uid is None else uid)
    checks: tuple[Callable[[_Machine], Check], ...] = (
        _python,
        _libraries,
        _kernel,
        _device,
        _may_mount,
        _fusermount,
        _libfuse,
        _allow_other,
        _watches,
        _instances,
        _idle_processors,
        _bubblewrap,
        _user_namespaces,
        _control_groups,
    )
    return tuple(check(machine) for check in checks)


def _python(_machine: _Machine) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= MIN_PYTHON:
        return Check("python", Verdict.OK, f"Python {version}.")
    needed = ".".join(map(str, MIN_PYTHON))
    return Check(
        "python", Verdict.FAIL, f"Python {version} is too old.", f"Install Python {needed} or newer."
    )


def _libraries(_machine: _Machine) -> Check:
    found: list[str] = []
    missing: list[str] = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        sentence = f"Not installed: {', '.join(missing)}."
        return Check("libraries", Verdict.FAIL, sentence, f"pip install {' '.join(missing)}")
    return Check("libraries", Verdict.OK, f"{', '.join(found)}.")


def _kernel(machine: _Machine) -> Check:
    release = (machine.read("proc/sys/kernel/osrelease") or "").strip()
    version = _version(release)
    if version is None:
        return Check("kernel", Verdict.WARN, "The kernel's version cannot be read.", "Mount /proc.")
    if version >= TESTED_KERNEL:
        return Check("kernel", Verdict.OK, f"Linux {release}.")
    tested = ".".join(map(str, TESTED_KERNEL))
    return Check(
        "kernel",
        Verdict.WARN,
        f"Linux {release} is older than any makfs was tried on.",
        f"Use Linux {tested} or newer.",
    )


def _device(machine: _Machine) -> Check:
    name = "/dev/fuse"
    try:
        os.close(os.open(machine.root / "dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        known = "\tfuse\n" in (machine.read("proc/filesystems") or "")
        sentence = "/dev/fuse is missing" + ("." if known else " and the kernel has no FUSE loaded.")
        remedy = "In a container, start it with --device /dev/fuse --cap-add SYS_ADMIN"
        return Check(name, Verdict.FAIL, sentence, f"{remedy}; else run `modprobe fuse` as root.")
    except PermissionError:
        sentence = "/dev/fuse is there but this user may not open it."
        remedy = "Run as root, or `chmod 666 /dev/fuse` as root"
        return Check(name, Verdict.FAIL, sentence, f"{remedy}; in a container, add --device /dev/fuse.")
    except OSError as error:
        sentence = f"/dev/fuse cannot be opened: {error.strerror}."
        return Check(name, Verdict.FAIL, sentence, "Run `modprobe fuse` as root.")
    return Check(name, Verdict.OK, "/dev/fuse can be opened.")


def _may_mount(machine: _Machine) -> Check:
    """Root in a container often lacks the one capability that mount(2) asks for."""
    name = "mount right"
    if machine.uid != 0:
        return Check(name, Verdict.OK, "Not root: fusermount3 mounts for this user.")
    status = machine.read("proc/self/status") or ""
    masks = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff:") and len(line) > 8]
    if not masks:
        return Check(name, Verdict.WARN, "This process's capabilities cannot be read.", "Mount /proc.")
    if int(masks[0], 16) >> _CAP_SYS_ADMIN & 1:
        return Check(name, Verdict.OK, "This process may mount.")
    return Check(
        name,
        Verdict.FAIL,
        "This process is root without the right to mount (CAP_SYS_ADMIN).",
        "Start the container with --cap-add SYS_ADMIN --security-opt apparmor=unconfined.",
    )


def _fusermount(machine: _Machine) -> Check:
    name = "fusermount3"
    for folder in os.get_exec_path():
        program = machine.root / folder.lstrip("/") / name
        try:
            mode = program.stat().st_mode
        except OSError:
            continue
        if not mode & 0o111:
            continue
        shown = Path("/") / program.relative_to(machine.root)
        if machine.uid != 0 and not mode & stat.S_ISUID:
            sentence = f"{shown} is not setuid root, so it cannot mount for this user."
            return Check(name, Verdict.FAIL, sentence, f"Run `chmod u+s {shown}` as root, or mount as root.")
        return Check(name, Verdict.OK, f"{shown}.")
    return Check(name, Verdict.FAIL, "fusermount3 is not on the PATH.", f"{PACKAGES} (as root).")


def _libfuse(machine: _Machine) -> Check:
    versions = [version for file in _libraries_of_fuse(machine) if (version := _version(file))]
    if not versions:
        sentence = "libfuse3 was not found where libraries usually are."
        return Check("libfuse", Verdict.WARN, sentence, f"{PACKAGES} (as root), unless makfs mounts anyway.")
    newest = max(versions)
    shown = ".".join(map(str, newest))
    if newest >= MIN_LIBFUSE:
        return Check("libfuse", Verdict.OK, f"libfuse {shown}.")
    needed = ".".join(map(str, MIN_LIBFUSE))
    sentence = f"libfuse {shown} is older than any makfs was tried on."
    return Check("libfuse", Verdict.WARN, sentence, f"Use libfuse {needed} or newer.")


def _libraries_of_fuse(machine: _Machine) -> Iterator[str]:
    """Yield the version part of `libfuse3.so.3.14.0`, or of `libfuse3.so.3.17` behind newer sonames."""
    for folder in ("lib", "usr/lib", "lib64", "usr/lib64", "usr/local/lib"):
        for pattern in ("libfuse3.so.*", "*-linux-*/libfuse3.so.*"):
            for file in (machine.root / folder).glob(pattern):
                yield file.name.removeprefix("libfuse3.so.")


def _allow_other(machine: _Machine) -> Check:
    name = "user_allow_other"
    if machine.uid == 0:
        return Check(name, Verdict.OK, "Not needed: root may let other users in.")
    lines = (machine.read("etc/fuse.conf") or "").splitlines()
    if any(line.partition("#")[0].strip() == "user_allow_other" for line in lines):
        return Check(name, Verdict.OK, "/etc/fuse.conf allows it.")
    return Check(
        name,
        Verdict.WARN,
        "/etc/fuse.conf lacks user_allow_other: only this user can enter the mount.",
        "Add the line user_allow_other to /etc/fuse.conf as root, if agents run as other users.",
    )


def _watches(machine: _Machine) -> Check:
    return _inotify(machine, "max_user_watches", MIN_WATCHES, "a repository with more directories than that")


def _instances(machine: _Machine) -> Check:
    return _inotify(machine, "max_user_instances", MIN_INSTANCES, "a mount beside many editors")


def _idle_processors(machine: _Machine) -> Check:
    """Tell whether a virtual machine gives idle processors away at once (kernel: guest-halt-polling.rst)."""
    name, key = "idle processors", "sys/module/haltpoll/parameters/guest_halt_poll_ns"
    found = machine.number(key)
    if (machine.read("sys/devices/system/cpu/cpuidle/current_driver") or "").strip() != "haltpoll":
        return Check(name, Verdict.OK, "The kernel's idle driver is not haltpoll: nothing to set.")
    if found:
        return Check(name, Verdict.OK, f"Polled for {found / 1000:g} us before they are given to the host.")
    return Check(
        name,
        Verdict.WARN,
        "This virtual machine gives idle processors to its host at once, and waking one is dear: to read "
        "through a mount takes up to half as much CPU time again.",
        f"Run `echo {HALT_POLL_NS} > /{key}` as root; that is the kernel's default.",
    )


def _inotify(machine: _Machine, key: str, enough: int, too_much: str) -> Check:
    name = f"inotify {key}"
    found = machine.number(f"proc/sys/fs/inotify/{key}")
    remedy = f"Run `sysctl fs.inotify.{key}={enough}` as root; in /etc/sysctl.d to keep it."
    if found is None:
        return Check(name, Verdict.WARN, f"The limit {key} cannot be read.", "Mount /proc.")
    if found < enough:
        return Check(name, Verdict.WARN, f"{found} is few: {too_much} may miss direct edits.", remedy)
    return Check(name, Verdict.OK, f"{found}.")


def _bubblewrap(machine: _Machine) -> Check:
    name, remedy = "bubblewrap", "apt-get install bubblewrap (as root); makfs run needs it, a mount does not."
    for folder in os.get_exec_path():
        program = machine.root / folder.lstrip("/") / "bwrap"
        try:
            line = [str(program), "--version"]
            said = subprocess.run(line, check=False, capture_output=True, text=True, timeout=10).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        version = _version(said.removeprefix("bubblewrap").strip())
        if version is None:
            return Check(name, Verdict.WARN, "bwrap does not say its version.", remedy)
        shown = ".".join(map(str, version))
        if version < MIN_BWRAP:
            needed = ".".join(map(str, MIN_BWRAP))
            sentence = f"bubblewrap {shown} is older than any makfs was tried on."
            return Check(name, Verdict.WARN, sentence, f"Use bubblewrap {needed} or newer.")
        return Check(name, Verdict.OK, f"bubblewrap {shown}.")
    return Check(name, Verdict.WARN, "bwrap is not on the PATH: makfs run cannot confine.", remedy)


def _user_namespaces(machine: _Machine) -> Check:
    """Root needs them, too: a run's program has no capability outside its own."""
    name = "user namespaces"
    most = machine.number("proc/sys/user/max_user_namespaces")
    if most is None:
        sentence = "This kernel has no user namespaces, or they cannot be read: makfs run cannot confine."
        return Check(name, Verdict.WARN, sentence, "Use a kernel with CONFIG_USER_NS, or run --no-confine.")
    if most == 0:
        remedy = "Run `sysctl user.max_user_namespaces=15000` as root; in /etc/sysctl.d to keep it."
        return Check(name, Verdict.WARN, "None may be made: makfs run cannot confine.", remedy)
    if machine.uid != 0 and machine.number("proc/sys/kernel/unprivileged_userns_clone") == 0:
        remedy = "Run `sysctl kernel.unprivileged_userns_clone=1` as root; in /etc/sysctl.d to keep it."
        return Check(name, Verdict.WARN, "Only root may make them: makfs run cannot confine.", remedy)
    restricted = machine.number("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1
    if machine.uid != 0 and restricted and not any((machine.root / "etc/apparmor.d").glob("*bwrap*")):
        sentence = "AppArmor lets only programs with a profile make them, and bwrap has none."
        remedy = "Install apparmor-profiles and enable bwrap-userns-restrict, or run `sysctl "
        remedy += "kernel.apparmor_restrict_unprivileged_userns=0`, as root."
        return Check(name, Verdict.WARN, sentence, remedy)
    return Check(name, Verdict.OK, "They may be made.")


def _control_groups(machine: _Machine) -> Check:
    """Tell whether the limits of a run can be a control group's."""
    name = "control groups"
    own = [line.split(":", 2) for line in (machine.read("proc/self/cgroup") or "").splitlines()]
    own = [words for words in own if len(words) == 3]
    for line in (machine.read("proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        kind, options = (*right.split(), "", "", "")[0:3:2]
        names = "" if kind == "cgroup2" else "memory" if kind == "cgroup" and "memory" in options else None
        for _, held, path in own if len(left.split()) > 4 else ():
            if names is None or names not in held.split(","):
                continue
            folder = machine.root / left.split()[4].lstrip("/") / path.lstrip("/")
            has_memory = names or "memory" in _words(folder / "cgroup.controllers")
            if has_memory and os.access(folder, os.W_OK):
                return Check(name, Verdict.OK, f"Version {1 if names else 2}: makfs may make its own.")
    return Check(
        name,
        Verdict.WARN,
        "makfs may make none here: limits hold for each process of a run by itself.",
        "Start makfs by `systemd-run --user --scope -p Delegate=yes makfs mount ...`, or as root.",
    )


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _version(text: str) -> tuple[int, int] | None:
    """Return the first two numbers of `6.1.0-13-amd64`, None if it does not begin with two."""
    parts = text.replace("-", ".").split(".")[:2]
    if len(parts) < 2 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1])
