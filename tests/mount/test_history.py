"""History by the command line, over real mounts: blame, diff, node log, cat, marks, and frozen trees."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.hands import Hand
from tests.mount.mounted import PACKAGES, Mounted, listing

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]

BASKET = b'''\
"""A basket."""


class Basket:
    def add(self, price):
        self.prices.append(price)

    def total(self):
        return sum(self.prices)


def greet(name):
    return "Hello, " + name
'''
HOSTILE = 'd \udcff\x1b[31m/a\n"b\\::c@7.py'


def run(mounted: Mounted, *arguments: str | Path) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "-C", mounted.repo, *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGES, "TZ": "UTC"}, capture_output=True, check=False,
    )  # fmt: skip


def told(mounted: Mounted, *arguments: str) -> str:
    """Return what a command prints, its times, days and pids made the same."""
    done = run(mounted, *arguments)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", done.stdout.decode("utf-8", "surrogateescape"))
    text = re.sub(r"^\w+day, .*\n", "", re.sub(r"\d\d:\d\d:\d\d", "TIME", text), flags=re.MULTILINE)
    return re.sub(r"(vim|sed) \d+ *", r"\1 PID  ", text)


def complaint(mounted: Mounted, *arguments: str) -> str:
    """Return the one sentence of a command that fails."""
    done = run(mounted, *arguments)
    assert done.returncode == 1, done
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    return done.stderr.decode().removeprefix("makfs: ").removesuffix("\n")


def head(mounted: Mounted) -> int:
    return int(json.loads(mounted.makfs("log", "--json", "-n", "1"))[0]["seq"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """Let alice and bob edit a file at once, rename in it, rename it, and turn it around."""
    top = tmp_path_factory.mktemp("story")
    (top / "work").mkdir()
    (top / "repo").mkdir()
    subprocess.run(["git", "init", "-q", str(top / "repo")], check=True)
    (top / "repo" / "basket.py").write_bytes(BASKET)
    (top / "repo" / "notes.txt").write_bytes(b"one\ntwo")
    mounted = Mounted(top / "repo", top / "work")
    alice, bob = Hand(), Hand()
    try:
        mounted.start()
        alice.write(Path("/proc/self/comm"), b"vim")
        bob.write(Path("/proc/self/comm"), b"sed")
        path = mounted.alice / "basket.py"
        draft = bob.read(mounted.bob / "basket.py")
        alice.write(path, BASKET.replace(b"Hello", b"Ciao"))  # 1
        bob.write(mounted.bob / "basket.py", draft.replace(b"sum(self.prices)", b"sum([])"))  # 2, merged
        alice.write(path, alice.read(path).replace(b"def greet", b"def welcome"))  # 3
        alice.write(path, alice.read(path).replace(b"class Basket", b"class Cart"))  # 4
        alice.do("rename", path, mounted.alice / "cart.py")  # 5
        top_part, _, function = bob.read(mounted.bob / "cart.py").partition(b"\n\ndef welcome")
        bob.write(mounted.bob / "cart.py", b"def welcome" + function + b"\n\n" + top_part)  # 6
        alice.write(mounted.alice / "new.py", b"def f():\n    return 1\n")  # 7
        alice.write(mounted.alice / "new.py", b"def f():\n    return 2\n")  # 8
        alice.do("unlink", mounted.alice / "new.py")  # 9
        bob.do("chmod", mounted.bob / "notes.txt", 0o755)  # 10
        assert head(mounted) == 10
        yield mounted
        assert not mounted.complaints()
    finally:
        alice.end()
        bob.end()
        mounted.take_away()


GOLDEN = Path(__file__).parent.parent / "data" / "history.txt"


def test_history_reads_as_it_is_written_down(story: Mounted) -> None:
    """tests/data/history.txt is what was printed, and read by a person; MAKFS_WRITE_GOLDEN writes it anew."""
    golden = GOLDEN.read_text()
    commands = re.findall(r"^\$ makfs (.*)$", golden, re.MULTILINE)
    assert len(commands) > 15
    printed = "\n".join(f"$ makfs {command}\n{told(story, *command.split())}" for command in commands)
    if "MAKFS_WRITE_GOLDEN" in os.environ:
        GOLDEN.write_text(printed)
    assert printed == golden


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("blame basket.py", "There is no basket.py at commit 10: commit 5 moved it to cart.py."),
        ("cat new.py@9", "There is no new.py at commit 9: commit 9 removed it."),
        ("cat cart.py@3", "There is no cart.py at commit 3 yet."),
        ("cat nothing", "There is no nothing in the repository, and no commit has ever changed it."),
        ("cat cart.py@99", "There is no commit 99; the newest is 10."),
        ("cat cart.py@v9", "There is no commit and no mark 'v9'; 'makfs mark --list' lists the marks."),
        ("cat ../x", "../x is not in the repository {repo}."),
        ("cat .git/config", ".git/config is not journaled; read it where it is."),
        ("diff 3..nix", "There is no commit and no mark 'nix'; 'makfs mark --list' lists the marks."),
        ("show 11", "There is no commit 11; the newest is 10."),
        ("node log x.py::f", "The journal knows no node f of x.py; 'makfs nodes x.py' lists those of today."),
        ("mark --delete v9", "There is no mark 'v9'; 'makfs mark --list' lists them."),
    ],
)
def test_what_is_not_there_is_one_sentence(story: Mounted, command: str, sentence: str) -> None:
    assert complaint(story, *command.split()) == sentence.format(repo=story.repo)


@pytest.mark.parametrize("name", ["head", "12", "a..b", "a/b", ".a", "caf\xe9", "", "x" * 65, "@v"])
def test_a_name_that_no_mark_may_have_is_refused(story: Mounted, name: str) -> None:
    assert f"{name!r} cannot name a mark: " in complaint(story, "mark", "--", name)


def test_show_of_a_file_that_a_commit_made_or_removed_has_its_text(story: Mounted) -> None:
    made, removed = story.makfs("show", "7"), story.makfs("show", "9")
    assert made.endswith(
        "new.py  (new)  mode 0644, 22 B\n@@ added func new.py::f @@\n+def f():\n+    return 1\n"
    )
    assert removed.endswith("new.py  removed\n@@ deleted func new.py::f @@\n-def f():\n-    return 2\n")
    assert "Changed:  1 file\n" in made


def test_two_commits_are_a_range_unless_there_is_such_a_file(story: Mounted) -> None:
    assert story.makfs("diff", "3", "4") == story.makfs("diff", "3..4") != ""
    assert complaint(story, "diff", "3", "99") == "There is no commit 99; the newest is 10."
    nothing = run(story, "diff", "9..head", "no-such-file")
    assert (nothing.stdout, nothing.stderr) == (b"", b"makfs: note: Nothing differs.\n")
    assert story.makfs("diff", "9", "notes.txt") == story.makfs("diff", "9..head", "notes.txt") != ""


def test_log_takes_a_path_or_an_address_as_git_does(story: Mounted) -> None:
    assert story.makfs("log", "new.py") == story.makfs("log", "--path", "new.py") != ""
    address = "cart.py::Cart.total"
    assert story.makfs("log", address) == story.makfs("log", "--address", address) != ""
    assert run(story, "log", "new.py", "--agent", "alice", "--path", "x").returncode == 2


def test_file_in_a_past_tree_is_told_as_of_that_commit(story: Mounted) -> None:
    past = story.alice.parent / "@1" / "basket.py"
    assert story.makfs("cat", past) == story.makfs("cat", "basket.py@1") == past.read_text()
    assert story.makfs("blame", past) == story.makfs("blame", "basket.py@1")
    assert "'makfs blame --by-node" in complaint(story, "nodes", str(past))


def test_an_empty_log_says_so_beside_the_result(story: Mounted) -> None:
    for arguments in (["--agent", "eve"], ["--since", "2099-01-01"], ["--program", "vi"], ["--before", "1"]):
        done = run(story, "log", *arguments)
        assert (done.returncode, done.stdout) == (0, b"")
        assert done.stderr == b"makfs: note: No commit matches.\n"
    assert json.loads(run(story, "log", "--json", "--agent", "eve").stdout) == []
    assert run(story, "log", "--since", "yesterday").returncode == 2


def test_log_finds_by_time_and_program(story: Mounted) -> None:
    commits = json.loads(story.makfs("log", "--json", "--since", "1h"))
    assert [each["seq"] for each in commits] == [*range(10, 0, -1)]
    assert run(story, "log", "--until", "1h").stdout == b""
    assert [each["seq"] for each in json.loads(story.makfs("log", "--json", "--program", "sed"))] == [
        10,
        6,
        2,
    ]
    paged = json.loads(story.makfs("log", "--json", "-n", "3", "--before", "8", "--since", "1h"))
    assert [each["seq"] for each in paged] == [7, 6, 5]


def test_a_pager_shows_the_log_on_a_terminal_only(story: Mounted) -> None:
    def on_terminal(environment: dict[str, str], *arguments: str) -> bytes:
        main, side = os.openpty()
        command = [sys.executable, "-P", "-m", "makfs.cli", "-C", str(story.repo), *arguments]
        kept = {name: value for name, value in os.environ.items() if name not in ("PAGER", "NO_COLOR")}
        with subprocess.Popen(
            command, stdin=side, stdout=side, env={**kept, "PYTHONPATH": PACKAGES, **environment}
        ) as child:
            os.close(side)
            found = b""
            try:
                while chunk := os.read(main, 1 << 16):
                    found += chunk
            except OSError:  # EIO: the last of the other side is gone
                pass
            assert child.wait() == 0
        os.close(main)
        return found

    paged = {"MAKFS_PAGER": "sed 's/^/PAGED /'", "PAGER": "false"}
    lines = on_terminal(paged, "log", "-n", "1").splitlines()
    assert len(lines) == 2
    assert all(line.startswith(b"PAGED ") for line in lines)
    assert b"\x1b[" in lines[1]
    assert b"\x1b[" not in on_terminal({**paged, "NO_COLOR": "1"}, "log", "-n", "1")
    assert b"PAGED" not in on_terminal(paged, "log", "-n", "1", "--no-pager")
    assert b"PAGED" in on_terminal({"PAGER": "sed s/^/PAGED/"}, "diff", "0")
    assert b"10" in on_terminal({"MAKFS_PAGER": "cat"}, "log", "-n", "1")
    assert on_terminal({"MAKFS_PAGER": "true"}, "blame", "cart.py") == b"", (
        "a pager that was quit is no error"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "-C", story.repo, "log"], capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": PACKAGES, **paged},
    )  # fmt: skip
    assert b"PAGED" not in done.stdout


def test_patches_of_any_two_commits_are_applied_by_git(mounted: Mounted, tmp_path: Path, hand: Hands) -> None:
    alice, top = hand(), mounted.alice
    hostile = top / os.fsdecode(os.fsencode(HOSTILE))
    steps: list[Callable[[], object]] = [
        lambda: alice.do("mkdir", hostile.parent),
        lambda: alice.write(hostile, b"x = 1\ny = 2\nz = 3\n"),
        lambda: alice.write(top / "ends.txt", b"one\r\ntwo\n\n\nfive"),
        lambda: alice.write(top / "long.txt", b"".join(b"line %d\n" % number for number in range(200))),
        lambda: alice.write(hostile, b"x = 1\ny = '\xff'\nz = 3\n"),
        lambda: alice.write(top / "ends.txt", b"one\r\ntwo\n\nfive\nsix\n"),
        lambda: alice.do("rename", hostile, top / "moved.py"),
        lambda: alice.write(top / "moved.py", b"x = 1\ny = '\xff'\nz = 4\n"),
        lambda: alice.do("chmod", top / "ends.txt", 0o755),
        lambda: alice.do("symlink", "moved.py", top / "link"),
        lambda: alice.write(
            top / "long.txt",
            b"".join(b"line %d\n" % (number + number % 17 // 16) for number in range(3, 210)),
        ),
        lambda: alice.do("unlink", top / "ends.txt"),
        lambda: alice.do("unlink", top / "link"),
        lambda: alice.write(top / "link", b"no link\n"),
    ]
    for step in steps:
        step()
    last = head(mounted)

    def files(place: Path) -> dict[str, tuple[int, object]]:
        found = listing(place)
        return {path: (mode & 0o170100, what) for path, (mode, what) in found.items() if what is not None}

    for old, new in [
        (0, last),
        (last, 0),
        *((seq, seq + 1) for seq in range(last)),
        (3, 9),
        (9, 4),
        (7, last),
    ]:
        tree = tmp_path / f"{old}-{new}"
        shutil.copytree(mounted.mountpoint / f"@{old}", tree, symlinks=True)
        for folder, _, _ in os.walk(tree):
            os.chmod(folder, 0o755)
        patch = run(mounted, "diff", f"{old}..{new}").stdout
        if patch:
            done = subprocess.run(
                ["git", "apply", "-"], input=patch, cwd=tree, capture_output=True, check=False
            )
            assert done.returncode == 0, (old, new, done.stderr, patch)
        assert files(tree) == files(mounted.mountpoint / f"@{new}"), (old, new, patch)


def test_cat_gives_every_file_of_every_commit_exactly(mounted: Mounted, hand: Hands) -> None:
    alice, top = hand(), mounted.alice
    (mounted.repo / "never touched.bin").write_bytes(bytes(range(256)))
    texts = [b"", b"no end", bytes(range(256)) * 5000, b"\r\n\0", b"x = 1\n"]
    name = HOSTILE.rpartition("/")[2]
    seqs: list[int] = []
    for text in texts:
        alice.write(top / name, text + b"#")
        seqs.append(head(mounted))
    for seq, text in zip(seqs, texts, strict=True):
        assert run(mounted, "cat", f"{name}@{seq}").stdout == text + b"#"
        assert (mounted.mountpoint / f"@{seq}" / name).read_bytes() == text + b"#"
    mounted.makfs("mark", "now", str(seqs[1]))
    assert run(mounted, "cat", f"{name}@now").stdout == b"no end#"
    assert run(mounted, "cat", f"{name}@@now").stdout == b"", "@ stands once"
    assert run(mounted, "cat", f"{name}@head").stdout == b"x = 1\n#"
    assert run(mounted, "cat", "never touched.bin@1").stdout == bytes(range(256))


def test_marks_are_trees_that_last(mounted: Mounted, hand: Hands) -> None:
    alice, name = hand(), "marked.py"
    alice.write(mounted.alice / name, b"X = 1\n")
    seq = head(mounted)
    assert mounted.makfs("mark", "v1") == f"v1 marks commit {seq}\n"
    assert mounted.makfs("mark", "v1", str(seq)) == f"v1 marks commit {seq}\n", "again is no error"
    alice.write(mounted.alice / name, b"X = 2\n")
    done = run(mounted, "mark", "v1")
    assert (done.returncode, done.stderr) == (
        3, f"makfs: v1 marks commit {seq} already; 'makfs mark --delete v1' deletes that mark.\n".encode(),
    )  # fmt: skip
    tree = mounted.mountpoint / "@v1"
    assert (tree / name).read_bytes() == b"X = 1\n"
    with pytest.raises(OSError, match="Read-only"):
        (tree / name).write_bytes(b"")
    mounted.remount()
    assert (tree / name).read_bytes() == b"X = 1\n"
    assert json.loads(mounted.makfs("mark", "--list", "--json"))[0]["seq"] == seq
    assert mounted.makfs("show", "v1").startswith(f"commit {seq}\n")
    assert mounted.makfs("diff", "v1..head").endswith("-X = 1\n+X = 2\n")
    mounted.makfs("mark", "--delete", "v1")
    assert not tree.exists()
    mounted.makfs("mark", "v1", "head")
    assert (tree / name).read_bytes() == b"X = 2\n"
    mounted.stop()
    assert mounted.findings() == []


def test_frozen_trees_stand_still_while_four_threads_write(mounted: Mounted) -> None:
    names = [f"f{number}.py" for number in range(12)]
    for name in names:
        (mounted.alice / name).write_bytes(b"a = 0\nb = 0\n")
    seq, stop = head(mounted), threading.Event()
    failures: list[OSError] = []

    def write(worker: int) -> None:
        view = (mounted.alice, mounted.bob)[worker % 2]
        turn = 0
        try:
            while not stop.is_set():
                turn += 1
                name = names[worker * 3 + turn % 3]
                (view / name).write_bytes(b"a = %d\nb = %d\n" % (turn, worker))
                (view / f"w{worker}-{turn % 5}.txt").write_bytes(b"%d" % turn)
                if turn % 7 == 0:
                    os.unlink(view / f"w{worker}-{turn % 5}.txt")
        except OSError as error:
            failures.append(error)

    def whole(at: int) -> dict[str, tuple[int, object]]:
        return listing(mounted.mountpoint / f"@{at}")

    workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    try:
        first = whole(seq)
        seen: dict[int, dict[str, tuple[int, object]]] = {}
        for _ in range(15):
            newest = head(mounted)
            seen[newest] = whole(newest)
            assert whole(newest) == seen[newest]
            assert whole(seq) == first
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not failures
    mounted.remount()
    for at, what in seen.items():
        assert whole(at) == what, "no cache was all that kept it"
