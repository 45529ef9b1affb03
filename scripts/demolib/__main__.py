"""The demo: the same storm twice, then what the mount can tell about it."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from demolib.storm import MODULES, WRITERS, Found, Made, look, make

MAKFS = Path(__file__).resolve().parent.parent / "makfs"
PATIENCE_S = 120.0
BOLD, GREEN, RED, DIM = "1", "32", "31", "2"


def coloured(text: str, *codes: str) -> str:
    """Return the text in colour where standard output is a terminal."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m"


def say(text: str = "") -> None:
    """Print a line now: the commands between the lines print by themselves."""
    print(text, flush=True)


# ---- one storm


@dataclass(frozen=True, slots=True)
class Outcome:
    """One storm: what each writer made, what the files say at the end."""

    made: dict[str, Made]
    found: Found
    seconds: float

    def lost(self, name: str) -> int:
        """Return how many of the edits that a writer made are not there."""
        return sum((name, number) not in self.found.lines for number in self.made[name].numbers)

    @property
    def total(self) -> int:
        return sum(len(made.numbers) for made in self.made.values())

    @property
    def all_lost(self) -> int:
        return sum(self.lost(name) for name in self.made)

    @property
    def refused(self) -> int:
        return sum(made.refused for made in self.made.values())

    @property
    def torn(self) -> int:
        return sum(made.torn for made in self.made.values())


@contextlib.contextmanager
def _children(folders: Sequence[Path], edits: int) -> Iterator[list["subprocess.Popen[str]"]]:
    """Start the writers; end those that are left."""
    children: list[subprocess.Popen[str]] = []
    try:
        for writer, folder in zip(WRITERS, folders, strict=True):
            command = [sys.executable, "-P", "-m", "demolib.storm", writer.name, str(folder), str(edits)]
            children.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
                )
            )
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()


def run_storm(folders: Sequence[Path], edits: int, result: Path) -> Outcome:
    """Let the writers loose, one a folder, and look at the files."""
    made: dict[str, Made] = {}
    with _children(folders, edits) as children:
        began = time.monotonic()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for writer, child in zip(WRITERS, children, strict=True):
            said, _ = child.communicate(timeout=PATIENCE_S)
            made[writer.name] = Made(**json.loads(said))
        seconds = time.monotonic() - began
    return Outcome(made, look(result), seconds)


def report(outcome: Outcome) -> None:
    """Print what became of every writer's edits."""
    say(coloured(f"   {'writer':<7}{'how it saves a file':<29}{'made':>6}{'refused':>9}{'lost':>6}", DIM))
    for writer in WRITERS:
        made, lost = outcome.made[writer.name], outcome.lost(writer.name)
        gone = coloured(f"{lost:>6}", RED) if lost else f"{lost:>6}"
        say(f"   {writer.name:<7}{writer.way:<29}{len(made.numbers):>6}{made.refused:>9}{gone}")
    lost, total = outcome.all_lost, outcome.total
    verdict = f"   {lost} of {total} edits lost" + (f", {100 * lost / total:.0f} %" if lost else "")
    say(coloured(verdict, BOLD, RED if lost else GREEN) + f"   ({outcome.seconds:.1f} s)")
    if outcome.torn:
        say(f"   {outcome.torn} more could not be made: what they edit had been torn out of the file")
    if outcome.refused:
        say(f"   {outcome.refused} writes were refused, said so, and were done again on the newest text")
    if outcome.found.broken:
        say(f"   {outcome.found.broken} of {len(MODULES)} files are no longer valid Python")


# ---- the mount


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off Ctrl-C until the end: a mount that is just being made would be missed when cleaning up."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


@dataclass(frozen=True, slots=True)
class Mount:
    """A repository and where it is mounted."""

    repo: Path
    mountpoint: Path

    def run(self, *arguments: str, shown: str | None = None) -> None:
        """Show a makfs command and run it. Raises CalledProcessError."""
        command = shown or " ".join(arguments)
        say(coloured("$ ", DIM) + coloured(f"makfs {command}", BOLD))
        with _undisturbed():
            subprocess.run(
                [str(MAKFS), *arguments], cwd=self.mountpoint.parent, check=True, timeout=PATIENCE_S,
                process_group=0,
            )  # fmt: skip

    def ask(self, *arguments: str) -> bytes:
        """Run a makfs command on the repository; return what it prints."""
        command = [str(MAKFS), "-C", str(self.repo), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=PATIENCE_S).stdout

    def mount(self) -> None:
        """Mount, a view for each writer."""
        agents = [part for writer in WRITERS for part in ("--agent", writer.name)]
        self.run("mount", "./repo", "./mnt", *agents, shown="mount ./repo ./mnt --agent ada --agent ben ...")

    def end(self) -> None:
        """Unmount whatever is still mounted, by force."""
        if not os.path.ismount(self.mountpoint):
            return
        quiet = subprocess.DEVNULL
        subprocess.run([str(MAKFS), "umount", "--force", str(self.mountpoint)], stdout=quiet, stderr=quiet)
        if os.path.ismount(self.mountpoint):
            subprocess.run(["fusermount3", "-u", "-z", "--", str(self.mountpoint)])


def show_log(mount: Mount, commits: int) -> None:
    """Show the newest commits, one of them node by node, and the state of the mount."""
    mount.run("-C", "./repo", "log", "-n", str(commits), shown=f"log -n {commits}")
    newest = json.loads(mount.ask("log", "-n", "40", "--json"))
    one = next((commit["seq"] for commit in newest if commit["nodes_changed"] == 1), newest[0]["seq"])
    say()
    mount.run("-C", "./repo", "show", str(one), shown=f"show {one}")
    say()
    mount.run("-C", "./repo", "status", shown="status")


def on_plain(work: Path, edits: int) -> None:
    """Let the storm loose in a plain directory."""
    say(coloured("In a plain directory that they share", BOLD))
    plain = work / "plain"
    make(plain)
    report(run_storm([plain] * len(WRITERS), edits, plain))
    say()


def on_mount(work: Path, edits: int, commits: int) -> bool:
    """Let the storm loose on a mount; tell whether it lost nothing."""
    say(coloured("On a makfs mount, each in a view of its own", BOLD))
    mount = Mount(work / "repo", work / "mnt")
    make(mount.repo)
    mount.mountpoint.mkdir()
    try:
        mount.mount()
        outcome = run_storm([mount.mountpoint / writer.name for writer in WRITERS], edits, mount.repo)
        report(outcome)
        say()
        say(coloured("What the mount knows about it", BOLD))
        show_log(mount, commits)
        say()
        mount.run("umount", "./mnt")
    finally:
        mount.end()
    whole = outcome.total == len(WRITERS) * edits
    return whole and not outcome.all_lost and not outcome.found.broken


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Parse the command line, make a place, clean it up."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Run the same storm of eight writers in a plain directory and on a makfs mount.",
        epilog="Everything happens in a temporary directory ($TMPDIR) that is unmounted and removed.",
    )
    parser.add_argument(
        "--edits", type=int, default=25, metavar="N", help="edits of each writer (%(default)s)"
    )
    parser.add_argument(
        "--commits", type=int, default=8, metavar="N", help="commits of the log (%(default)s)"
    )
    parser.add_argument("--only", choices=("plain", "mount"), help="one of the two storms")
    asked = parser.parse_args()
    if asked.edits < 1 or asked.commits < 1:
        parser.error("numbers start at 1")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    work = Path(tempfile.mkdtemp(prefix="makfs-demo-"))
    many = len(WRITERS) * asked.edits
    say(f"{len(WRITERS)} writers make {many} edits in {len(MODULES)} Python files, all at the same time.")
    say()
    try:
        if asked.only != "mount":
            on_plain(work, asked.edits)
        return int(asked.only != "plain" and not on_mount(work, asked.edits, asked.commits))
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except subprocess.CalledProcessError as error:
        print(f"demo: a command failed: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not leave a mount behind
        if os.path.ismount(work / "mnt"):
            print(f"demo: {work} is kept: it is still mounted", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
