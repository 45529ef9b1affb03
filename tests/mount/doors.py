"""Doors: every way in which a program changes files, what each needs, and the rules of locks."""

import contextlib
import ctypes
import errno
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODES = ("IS", "IX", "S", "SIX", "X")
TOGETHER = {
    "IS": {"IS", "IX", "S", "SIX"},
    "IX": {"IS", "IX"},
    "S": {"IS", "S"},
    "SIX": {"IS"},
    "X": set[str](),
}
ABOVE = {"IS": "IS", "IX": "IX", "S": "IS", "SIX": "IX", "X": "IX"}  # by mode, what it takes on all above


def chain(address: str) -> list[str]:
    """Return an address and all above it in the test's folder, which stands for the repository here."""
    path, _, name = address.partition("::")
    found = [path[: at + 1] for at, char in enumerate(path) if char == "/"]
    found += [path] if not path.endswith("/") else []
    inside = [name[:at] for at, char in enumerate(name) if char in ".#" and at] + ([name] if name else [])
    return ["", *found, *(f"{path}::{each}" for each in inside)]


def modes(address: str, mode: str) -> dict[str, str]:
    """Return what a claim takes where."""
    return {each: mode if each == address else ABOVE[mode] for each in chain(address)}


def clash(one: tuple[str, str], other: tuple[str, str]) -> bool:
    mine, theirs = modes(*one), modes(*other)
    return any(theirs[each] not in TOGETHER[mine[each]] for each in mine.keys() & theirs.keys())


def covers(held: str, address: str) -> bool:
    return held in chain(address)


# ---- the doors

TEXT = (
    b'"""Words."""\n\nimport os\n\n\ndef hello(name):\n    return f"hello {name}"\n\n\n'
    b'def bye(name):\n    return f"bye {name}"\n\n\ndef last(name):\n    return os.sep + name\n'
)
OTHER = b"def other():\n    return 0\n"
CHANGED = TEXT.replace(b"hello {", b"HELLO {")
SHORTER = TEXT[: TEXT.index(b"\n\n\ndef last") + 1]
MORE = b"\n\ndef more():\n    return 1\n"
STAMP = 1_000_000_000
FLAGS = os.O_WRONLY
LARGE = 100_000
AT_FDCWD, RENAME_EXCHANGE = -100, 2
SHADOW = "f.py.tmp.4711.0123456789ab"

Act = Callable[[Path], None]


@dataclass(frozen=True)
class Step:
    """One thing a door does, what it needs, and what becomes of its bytes."""

    act: Act
    writes: tuple[str, ...] = ()  # X
    joins: tuple[str, ...] = ()  # X for the commit alone, under every policy
    touches: tuple[str, ...] = ()  # IX
    kept: bytes | None = None  # the text that a refusal keeps
    late: bool = False  # nobody is told at once: the commit is at the last close
    never: int = 0  # refused with this errno whatever is held
    dropped: bool = False  # a formatter's: what may not be changed is left out, and the call succeeds


@dataclass(frozen=True)
class Door:
    """A way to change something, and where another agent's lock may stand in it."""

    steps: tuple[Step, ...]
    node: str = "f.py::hello"
    file: str = "f.py"
    folder: str = ""


@contextlib.contextmanager
def opened(path: Path, flags: int = FLAGS) -> Iterator[int]:
    """Open a file and close it, whatever happens inside; its own error comes first."""
    fd = os.open(path, flags, 0o644)
    try:
        yield fd
    except OSError:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
    os.close(fd)


def over(text: bytes, flags: int = 0, *, name: str = "f.py", cut: bool = False, sync: bool = False) -> Act:
    def act(folder: Path) -> None:
        with opened(folder / name, FLAGS | flags if not flags & os.O_RDWR else flags) as fd:
            os.write(fd, text)
            if cut:
                os.ftruncate(fd, len(text))
            if sync:
                os.fsync(fd)

    return act


def patch(folder: Path) -> None:
    with opened(folder / "f.py") as fd:
        os.pwrite(fd, b"HELLO", TEXT.index(b"hello {"))


def cut(folder: Path) -> None:
    with opened(folder / "f.py") as fd:
        os.ftruncate(fd, len(SHORTER))


def node_file(folder: Path) -> None:
    """Write a node as a file of its own; in a plain directory, which has none, the file with it."""
    file = folder.parent / ".makfs/nodes" / folder.name / "f.py/hello"
    if not (folder.parent / ".makfs").exists():
        (folder / "f.py").write_bytes(CHANGED)
        return
    with opened(file, FLAGS | os.O_TRUNC) as fd:
        os.write(fd, CHANGED[CHANGED.index(b"\n\ndef hello") : CHANGED.index(b"\n\ndef bye")])


def git(*arguments: str) -> Act:
    """Let git, in a view, bring `f.py` back to what it has; in a plain directory do what it does."""

    def act(folder: Path) -> None:
        if not (folder.parent / ".makfs").exists():
            os.unlink(folder / "f.py")
            (folder / "f.py").write_bytes(CHANGED)
            return
        command = ["git", "-c", "safe.directory=*", *arguments, "--", f"{folder.name}/f.py"]
        done = subprocess.run(
            command, cwd=folder.parent, env=GIT_ENVIRONMENT, capture_output=True, text=True, check=False
        )
        if os.strerror(errno.EBUSY) in done.stderr:
            raise OSError(errno.EBUSY, done.stderr)
        assert done.returncode == 0, done.stderr

    return act


def commit_to_git(repo: Path, folders: Iterable[str]) -> None:
    """Commit another version of the `f.py` of these folders than the one that is there."""

    def run(*arguments: str, given: bytes = b"") -> str:
        command = ["git", "-C", str(repo), *arguments]
        done = subprocess.run(command, env=GIT_ENVIRONMENT, input=given, capture_output=True, check=True)
        return done.stdout.decode().strip()

    blob = run("hash-object", "-w", "--stdin", given=CHANGED)
    lines = "".join(f"100644 {blob}\t{folder}/f.py\n" for folder in folders)
    run("update-index", "--add", "--index-info", given=lines.encode())
    run("commit", "-q", "-m", "start")


def empty(folder: Path) -> None:
    with opened(folder / "f.py", FLAGS | os.O_TRUNC):
        pass


def read(folder: Path) -> None:
    assert (folder / "f.py").read_bytes() == TEXT
    assert len(os.listdir(folder)) > 2


def replace_from_outside(folder: Path) -> None:
    new = folder.parent.parent / f"{folder.name}.new"
    new.write_bytes(CHANGED)
    os.replace(new, folder / "f.py")


def rename(old: str, new: str) -> Act:
    return lambda folder: os.rename(folder / old, folder / new)


def link(folder: Path) -> None:
    os.link(folder / "f.py", folder / "hard.py")


def exchange(old: str, new: str) -> Act:
    def act(folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        one, other = os.fsencode(folder / old), os.fsencode(folder / new)
        if libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE):
            raise OSError(ctypes.get_errno(), "renameat2")

    return act


def node(*names: str) -> tuple[str, ...]:
    return tuple(f"f.py::{name}" for name in names)


NEW = FLAGS | os.O_CREAT | os.O_EXCL
GIT_ENVIRONMENT = {
    **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
    "GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.org",
}  # fmt: skip
HELLO = node("hello")
CLASS = b"class Desk:\n    def ring(self):\n        return 1\n\n    def call(self):\n        return 2\n"
FORMATTED = TEXT.replace(b'f"hello {name}"', b"f'hello {name}'")
BROKEN = TEXT.replace(b"hello(name):", b"hello(name:")
RENAMED = TEXT.replace(b"def bye", b"def ciao")
IMPORTED = TEXT.replace(b"import os\n", b"import os\nimport sys\n")
SPACED = TEXT.replace(b"\n\n\ndef bye", b"\n\n\n\ndef bye")
ALL = node("#header", "hello", "bye", "last")


def one(act: Act, *writes: str, node: str = "f.py::hello", file: str = "f.py", **more: Any) -> Door:
    return Door((Step(act, writes, **more),), node, file)


MADE = Step(over(CHANGED, NEW, name="new.py"), ("new.py",))
PRIVATE = Step(over(CHANGED, NEW, name=SHADOW))
DOORS: Mapping[str, Door] = {
    "patch in place": one(patch, *HELLO, kept=CHANGED),
    "written over": one(over(CHANGED), *HELLO, kept=CHANGED),
    "written over, read and write": one(over(CHANGED, os.O_RDWR), *HELLO, kept=CHANGED),
    "emptied and written": one(over(CHANGED, os.O_TRUNC), *HELLO, kept=CHANGED),
    "a node's own file": one(node_file, *HELLO, kept=CHANGED),
    "formatted": one(over(FORMATTED, os.O_TRUNC), *HELLO, kept=FORMATTED, dropped=True),
    "a held node beside it": one(over(CHANGED, os.O_TRUNC), *HELLO, kept=CHANGED, node="f.py::bye"),
    "shrunk": one(over(SHORTER, cut=True), *node("last"), kept=SHORTER, node="f.py::last"),
    "appended": one(over(MORE, os.O_APPEND), *node("more"), kept=TEXT + MORE, node="f.py::more"),
    "renamed a node, old name": one(over(RENAMED, os.O_TRUNC), *node("bye", "ciao"), kept=RENAMED,
                                    node="f.py::bye"),
    "renamed a node, new name": one(over(RENAMED, os.O_TRUNC), *node("bye", "ciao"), kept=RENAMED,
                                    node="f.py::ciao"),
    "renamed a class": one(over(CLASS.replace(b"Desk", b"Dish"), os.O_TRUNC, name="c.py"),
                           "c.py::Desk", "c.py::Desk#header", "c.py::Dish", "c.py::Dish#header",
                           kept=CLASS.replace(b"Desk", b"Dish"), node="c.py::Desk.ring", file="c.py"),
    "held node beside a changed class header": one(
        over(CLASS.replace(b"Desk", b"Desk(A)"), os.O_TRUNC, name="c.py"), "c.py::Desk#header",
        kept=CLASS.replace(b"Desk", b"Desk(A)"), node="c.py::Desk.ring", file="c.py"),
    "broken": one(over(BROKEN, os.O_TRUNC), *HELLO, kept=BROKEN),
    "fsync": one(over(CHANGED, os.O_RDWR, sync=True), *HELLO, kept=CHANGED),
    "truncate a path": one(lambda f: os.truncate(f / "f.py", len(SHORTER)), *node("last"), kept=SHORTER,
                           node="f.py::last"),
    "truncate a path to nothing": one(lambda f: os.truncate(f / "f.py", 0), *ALL, kept=b"",
                                      joins=node("#imports")),
    "ftruncate": one(cut, *node("last"), kept=SHORTER, node="f.py::last", late=True),
    "emptied": one(empty, *ALL, joins=node("#imports"), kept=b"", late=True),
    "imports": one(over(IMPORTED, os.O_TRUNC), joins=node("#imports"), kept=IMPORTED, node="f.py::#imports"),
    "comment at the end": one(over(b"# more\n", os.O_APPEND), joins=node("#tail"), kept=TEXT + b"# more\n",
                              node="f.py::#tail"),
    "blank lines": one(over(SPACED, os.O_TRUNC)),
    "the same again": one(over(TEXT, os.O_TRUNC)),
    "read": one(read),
    "text without nodes": one(over(b"new\n", os.O_TRUNC, name="n.txt"), "n.txt", kept=b"new\n", file="n.txt",
                              node="n.txt::any"),
    "large": one(over(b"y" * LARGE, os.O_TRUNC, name="large.bin"), "large.bin", kept=b"y" * LARGE,
                 file="large.bin", node="large.bin::any"),
    "shadow over": Door((PRIVATE, Step(rename(SHADOW, "f.py"), HELLO, kept=CHANGED))),
    "shadow over a link": Door((PRIVATE, Step(rename(SHADOW, "l"), ("l",))), "l::any", "l"),
    "private link over": Door((Step(lambda f: os.symlink("f.py", f / SHADOW)),
                               Step(rename(SHADOW, "f.py"), ("f.py",)))),
    "temporary file over": Door((MADE, Step(rename("new.py", "f.py"), (*HELLO, "new.py"), kept=CHANGED))),
    "temporary file over a link": Door((MADE, Step(rename("new.py", "l"), ("l", "new.py"))), "l::any", "l"),
    "old file over": one(rename("g.py", "f.py"), "g.py", "f.py"),
    "old file over, held itself": one(rename("g.py", "f.py"), "g.py", "f.py", node="g.py::other",
                                      file="g.py"),
    "renamed": one(rename("f.py", "h.py"), "f.py", "h.py"),
    "renamed to a held name": one(rename("f.py", "h.py"), "f.py", "h.py", node="h.py::any", file="h.py"),
    "renamed to a backup": one(rename("f.py", "f.py~"), "f.py"),
    "git checkout": one(git("checkout", "-q", "HEAD"), "f.py"),
    "unlinked": one(lambda f: os.unlink(f / "f.py"), "f.py"),
    "exchanged": one(exchange("f.py", "g.py"), "f.py", "g.py"),
    "exchanged, the other": one(exchange("f.py", "g.py"), "f.py", "g.py", node="g.py::other", file="g.py"),
    "made": one(over(OTHER, NEW, name="m.py"), "m.py", node="m.py::other", file="m.py"),
    "made for later": one(over(OTHER, NEW, name="f.py.tmp.1"), node="f.py.tmp.1::any", file="f.py.tmp.1"),
    "link made": one(lambda f: os.symlink("f.py", f / "s"), "s", node="s::any", file="s"),
    "link over": Door((Step(lambda f: os.symlink("f.py", f / "s"), ("s",)),
                       Step(rename("s", "f.py"), ("s", "f.py")))),
    "fifo": one(lambda f: os.mkfifo(f / "p", 0o600), "p", node="p::any", file="p"),
    "hard link": one(link, never=errno.EPERM),
    "chmod": one(lambda f: os.chmod(f / "f.py", 0o600), touches=("f.py",)),
    "chown": one(lambda f: os.chown(f / "f.py", -1, 12), touches=("f.py",)),
    "times": one(lambda f: os.utime(f / "f.py", (STAMP, STAMP)), touches=("f.py",)),
    "xattr": one(lambda f: os.setxattr(f / "f.py", "user.x", b"1"), touches=("f.py",)),
    "xattr removed": one(lambda f: os.removexattr(f / "f.py", "user.old"), touches=("f.py",)),
    "folder's mode": one(lambda f: os.chmod(f / "d", 0o700), touches=("d/",), node="d/x.py", file="d/"),
    "folder made": one(lambda f: os.mkdir(f / "n"), joins=("n", "n/"), node="n/x.py::any", file="n/"),
    "folder made where a file is claimed": one(lambda f: os.mkdir(f / "n"), joins=("n", "n/"), file="n"),
    "folder removed": one(lambda f: os.rmdir(f / "e"), joins=("e", "e/"), node="e/x.py::any", file="e/"),
    "folder renamed": one(rename("d", "d2"), joins=("d", "d/", "d2", "d2/"), node="d/x.py::other",
                          file="d/x.py"),
    "folder renamed to a held name": one(rename("d", "d2"), joins=("d", "d/", "d2", "d2/"),
                                         node="d2/x.py::other", file="d2/"),
    "folder exchanged": Door((Step(exchange("d", "e"), joins=("d", "d/", "e", "e/")),),
                             "d/x.py::other", "e/"),
}  # fmt: skip


EXTERNAL: Mapping[str, Door] = {
    "edited": one(over(CHANGED, os.O_TRUNC), *HELLO),
    "edited beside what is held": one(over(CHANGED, os.O_TRUNC), *HELLO, node="f.py::bye"),
    "replaced": one(replace_from_outside, *HELLO),
    "removed": one(lambda f: os.unlink(f / "f.py"), "f.py"),
    "renamed": one(rename("f.py", "h.py"), "f.py", "h.py"),
    "made": one(over(OTHER, NEW, name="m.py"), "m.py", node="m.py::other", file="m.py"),
    "folder made": one(lambda f: os.mkdir(f / "n"), joins=("n", "n/"), node="n/x.py::any", file="n/"),
}  # fmt: skip
"""What a person does in the repository's own directory, where nobody is asked."""


def furnish(folder: Path, name: str) -> None:
    """Make what a door finds."""
    folder.mkdir(parents=True)
    (folder / "f.py").write_bytes(TEXT)
    os.setxattr(folder / "f.py", "user.old", b"1")
    (folder / "g.py").write_bytes(OTHER)
    if "class" in name:
        (folder / "c.py").write_bytes(CLASS)
    if name == "text without nodes":
        (folder / "n.txt").write_bytes(b"old\n")
    if name == "large":
        (folder / "large.bin").write_bytes(b"x" * LARGE)
    (folder / "l").symlink_to("g.py")
    (folder / "d").mkdir()
    (folder / "d/x.py").write_bytes(OTHER)
    (folder / "e").mkdir()


@dataclass(frozen=True)
class Expected:
    """What the rules say of a case."""

    done: int  # steps that are carried out
    errno: int  # of the next
    step: Step | None  # the one that is refused
    unclaimed: bool  # because its own agent has not claimed


def expected(door: Door, policy: str, held: tuple[str, str] | None, own: tuple[str, ...]) -> Expected:
    for done, step in enumerate(door.steps):
        if step.never:
            return Expected(done, step.never, None, unclaimed=False)
        missing = policy in ("claim", "claimed") and not all(
            any(covers(each, address) for each in own) for address in step.writes
        )
        needs = [(address, "X") for address in (*step.writes, *step.joins)]
        needs += [(address, "IX") for address in step.touches]
        if missing or (held is not None and any(clash(need, held) for need in needs)):
            if step.dropped:
                return Expected(done, 0, None, unclaimed=False)
            return Expected(done, 0 if step.late else errno.EBUSY, step, missing)
    return Expected(len(door.steps), 0, None, unclaimed=False)
