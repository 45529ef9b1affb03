"""The programs that agents use, run against what another agent holds: each is refused, told why, and goes on.

What each does when it writes a function that alice holds (`clients/tools.py` has it as values):

program                        exit  it says                           kept as a refusal
codex, gemini, qwen, pi        1     os error 16, at write             all of it
claude                         1     EBUSY, at rename, then at open    all of it
opencode, cline                1     resource busy, at write           all of it
copilot                        1     Device or resource busy           all of it
aider                          1     Unable to write; no git commit    all of it
a Node stream                  1     EBUSY, at write                   up to the piece that was refused
bash >, tee, dd, cp, Python    1     Device or resource busy           all of it; bash: up to the line
emacs                          255   Write error, resource busy        up to the write that was refused
vim                            1     nothing with -es                  all of it
sed -i                         4     cannot rename                     all of it
perl -pi                       16    failed to rename work file        all of it
mv, in the view                1     cannot move                       all of it
rsync                          23    rename: Device or resource busy   all of it
rsync --inplace                11    write failed                      all of it
patch                          2     Can't rename file                 all of it
git apply                      128   unable to write file              all of it
install, mv from elsewhere     1     cannot remove; unable to remove   nothing: they remove the file first
git checkout, git stash        any   unable to unlink                  nothing: it removes the file first
git stash pop                  any   unable to unlink                  nothing, and the stash stays
ruff format, black             0     nothing: what is held keeps its layout
ruff check --fix               1     Device or resource busy           all of it, if it mends what is held

That a held function is cut out or off is certain only at the file's end: it is refused at close(2), which
codex, opencode, copilot, a Node stream and bash do not look at. They exit with 0; `.makfs/why` tells. Those
that remove the file first need all of it, so they are refused as long as anything in it is held.
"""

import difflib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from makfs.cli.client import Client
from makfs.wire.verbs import AddAgent, Claim, Release
from tests.mount.clients.tools import FORMATTERS, TOOLS, Tool
from tests.mount.hands import Hand, claude_name
from tests.mount.mounted import PACKAGES, PATIENCE_S, Mounted

pytestmark = pytest.mark.mount
TEXT = (
    '"""A shop."""\n\nimport os\n\n\ndef first(cart):\n    cart.sort()\n    return 111\n\n\n'
    "def middle(cart):\n    cart.pop()\n    return 222\n\n\n"
    "def last(cart):\n    cart.clear()\n    return 333\n"
)
VALUE = {"first": "111", "middle": "222", "last": "333"}
FREE = {"first": "middle", "middle": "last", "last": "first"}
LAST = TEXT[TEXT.index("\n\ndef last") :]
POLICIES = ("lease", "merge")
Pairs = Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """Serve a repository with a view for each policy and place of what is held."""
    top = tmp_path_factory.mktemp("shop")
    repo = top / "repo"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    for key, value in (("user.name", "Bob"), ("user.email", "bob@shop.example")):
        git(repo, "config", key, value)
    (repo / "makfs.conf").write_text("[write]\nwait_s = 0.2\n")
    git(repo, "add", "makfs.conf")
    git(repo, "commit", "-qm", "start")
    (top / "work").mkdir()
    mounted = Mounted(repo, top / "work")
    try:
        mounted.start()
        with Client(str(repo)) as client:
            for policy in POLICIES:
                for held in VALUE:
                    client.ask(AddAgent(f"bob-{policy}-{held}", policy))
        yield mounted
        mounted.stop()
        assert mounted.findings() == []
    finally:
        mounted.take_away()
    assert not mounted.complaints(), mounted.complaints()[0]


def git(place: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", place, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Case:
    """One file, in the view that edits it; alice holds a part of it."""

    def __init__(self, shop: Mounted, name: str, *, agent: str, text: str = TEXT) -> None:
        self.shop, self.agent = shop, agent
        folder = "".join(letter if letter.isalnum() else "_" for letter in f"{name}-{agent}")
        self.path = f"{folder}/src/app.py"
        self.view = shop.mountpoint / agent
        self.file = self.view / self.path
        self.scratch = shop.repo.parent / f"{folder}.tmp"
        self.scratch.mkdir()
        (shop.repo / self.path).parent.mkdir(parents=True)
        (shop.repo / self.path).write_text(text)

    def hold(self, name: str) -> None:
        with Client(str(self.shop.repo)) as client:
            client.ask(Claim("alice", "write", (f"{self.path}::{name}",)))

    def let_go(self, name: str) -> None:
        with Client(str(self.shop.repo)) as client:
            client.ask(Release("alice", (f"{self.path}::{name}",)))

    def run(self, shell: str, pairs: Pairs = ()) -> tuple[int, str, str]:
        """Run a program; return its exit code, what it says, and the text it means the file to have."""
        text = self.file.read_text()
        new, words = text, {"OLD2": "", "BY2": ""}
        for number, (old, by) in enumerate(pairs, 1):
            new = new.replace(old, by)
            words |= {f"OLD{number}": old, f"BY{number}": by}
        (self.scratch / "new.py").write_text(new)
        lines = difflib.unified_diff(
            text.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{self.path}", f"b/{self.path}"
        )
        (self.scratch / "patch").write_text("".join(lines))
        paths = {
            "FILE": str(self.file), "NEW": str(self.scratch / "new.py"), "PATCH": str(self.scratch / "patch"),
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", shell], cwd=self.view, env={**os.environ, **words, **paths},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, new

    @property
    def refusals(self) -> list[Path]:
        """Return the refused texts of the view, the newest last."""
        top = self.view / ".makfs" / "refused"
        return [top / number / "file" for number in sorted(os.listdir(top), key=int)]

    @property
    def why(self) -> str:
        return (self.view / ".makfs" / "why").read_text()

    def is_everywhere(self, text: str) -> None:
        for place in (self.shop.alice, self.view, self.shop.repo, self.shop.mountpoint / "@head"):
            assert (place / self.path).read_text() == text, place

    def says_why(self, held: str) -> None:
        """Look for what is held, by whom, and what to do."""
        why = self.why
        for word in (f"{self.path}::{held}", "alice", "To be next in the queue", ".makfs/claim"):
            assert word in why


def needs(shell: str) -> None:
    program = next(
        (word for word in ("vim", "emacs", "rsync", "patch", "perl") if shell.startswith(word)), None
    )
    if program and not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def in_threads(tool: Tool, work: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(1 if tool.alone else len(VALUE)) as pool:
        for done in [pool.submit(work, held) for held in VALUE]:
            done.result()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", TOOLS)
def test_client_is_refused_what_another_holds_and_told_and_goes_on(
    name: str, policy: str, shop: Mounted
) -> None:
    tool = TOOLS[name]
    needs(tool.shell)

    def edit(held: str) -> None:
        case = Case(shop, f"edit-{name}", agent=f"bob-{policy}-{held}")
        case.hold(held)
        theirs, free = [(VALUE[each], VALUE[each] + "0") for each in (held, FREE[held])]
        for pairs in ([theirs], [free, theirs]):
            before = len(case.refusals)
            code, said, new = case.run(tool.shell, pairs)
            assert (code, tool.said in said) == (tool.code, True), said
            case.is_everywhere(TEXT)
            case.says_why(held)
            refused = case.refusals[before:]
            assert len(refused) == tool.kept, "each is kept once"
            for each in refused:
                kept = each.read_text()
                assert new.startswith(kept)
                assert theirs[1] in kept
        code, said, new = case.run(tool.shell, [free])
        assert code == (0 if tool.free else tool.code), said
        case.is_everywhere(new if tool.free else TEXT)
        case.let_go(held)
        code, said, new = case.run(tool.shell, [theirs, free] if not tool.free else [theirs])
        assert code == 0, said
        assert {theirs[1], free[1]} <= set(new.split())
        case.is_everywhere(new)

    in_threads(tool, edit)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", [name for name, tool in TOOLS.items() if tool.cut is not None])
def test_client_that_cuts_a_held_end_off_is_refused(name: str, policy: str, shop: Mounted) -> None:
    tool = TOOLS[name]
    needs(tool.shell)
    case = Case(shop, f"cut-{name}", agent=f"bob-{policy}-last")
    case.hold("last")
    before = len(case.refusals)
    code, said, new = case.run(tool.shell, [(LAST, "")])
    case.is_everywhere(TEXT)
    case.says_why("last")
    assert code == tool.cut, said
    assert [each.read_text() for each in case.refusals[before:]] == [new] * tool.kept
    case.let_go("last")
    assert case.run(tool.shell, [(LAST, "")])[0] == 0
    case.is_everywhere(new)


UGLY = TEXT.replace("(cart)", "( cart )").replace("return ", "return  ").replace("\n\n\ndef", "\n\ndef")


def formatter(name: str) -> str:
    program = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{name} is not installed")
    return f'BLACK_CACHE_DIR="$PATCH.$RANDOM" {shlex.quote(program)} {FORMATTERS[name]}'


def node(text: str, name: str) -> str:
    return text[text.index(f"def {name}") :].partition("\n\n")[0].rstrip("\n")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", FORMATTERS)
def test_formatter_leaves_the_layout_of_what_another_holds(name: str, policy: str, shop: Mounted) -> None:
    command = formatter(name)

    def tidy(held: str) -> None:
        case = Case(shop, f"tidy-{name}", agent=f"bob-{policy}-{held}", text=UGLY)
        case.hold(held)
        code, said, _ = case.run(command)
        assert code == 0, said
        text = case.file.read_text()
        case.is_everywhere(text)
        for each in VALUE:
            assert node(text, each) == node(UGLY if each == held else TEXT, each)
        case.let_go(held)
        assert case.run(command)[0] == 0
        case.is_everywhere(TEXT)

    in_threads(TOOLS["cp"], tidy)


@pytest.mark.parametrize("name", FORMATTERS)
def test_who_formats_is_told_what_kept_its_layout(name: str, shop: Mounted) -> None:
    command = formatter(name)
    case = Case(shop, f"told-{name}", agent="bob-merge-middle", text=UGLY)
    case.hold("middle")
    assert case.run(command)[0] == 0
    why = case.why
    case.let_go("middle")
    for word in (f"{case.path}::middle kept its layout", "alice", "again"):
        assert word in why


def test_ruff_that_mends_what_another_holds_is_refused(shop: Mounted) -> None:
    text = TEXT.replace("return 222", 'return f"two"')
    case = Case(shop, "fix", agent="bob-merge-middle", text=text)
    ruff = f'"{Path(sys.executable).parent}/ruff" check --isolated -q --fix'
    case.hold("middle")
    code, said, _ = case.run(f'{ruff} "$FILE"')
    assert (code, "Device or resource busy" in said) == (1, True), said
    case.is_everywhere(text)
    case.says_why("middle")
    assert case.run(f'{ruff} --select F401 "$FILE"')[0] == 0
    case.is_everywhere(text.replace("import os\n", ""))
    case.let_go("middle")
    assert case.run(f'{ruff} "$FILE"')[0] == 0
    case.is_everywhere(text.replace("import os\n", "").replace('f"two"', '"two"'))


@pytest.mark.parametrize("policy", POLICIES)
def test_shell_may_append_behind_what_another_holds_and_not_to_it(policy: str, shop: Mounted) -> None:
    case = Case(shop, "append", agent=f"bob-{policy}-last")
    more = "\n\ndef more():\n    return 444\n"
    case.hold("last")
    case.run('echo "    # a line of last" >> "$FILE"')  # bash does not look at what close(2) says
    case.is_everywhere(TEXT)
    case.says_why("last")
    assert case.refusals[-1].read_text() == TEXT + "    # a line of last\n"
    assert case.run(f"printf %s {shlex.quote(more)} >> $FILE")[0] == 0
    case.is_everywhere(TEXT + more)


def test_git_leaves_a_file_in_which_another_holds_something(shop: Mounted) -> None:
    case = Case(shop, "git", agent="bob-merge-middle")
    view, new = case.view, TEXT.replace("222", "2220")
    git(view, "add", case.path)
    git(view, "commit", "-qm", "one")
    git(view, "checkout", "-qb", "side")
    case.file.write_text(new)
    git(view, "commit", "-qam", "two")
    git(view, "checkout", "-q", "main")
    case.is_everywhere(TEXT)
    for command, before, after in (
        ("checkout -q -f side", TEXT, new),
        ("checkout -q -f main", new, TEXT),
        ("checkout -q side -- $FILE", TEXT, new),
        ("stash -q", new, TEXT),
        ("stash pop -q", TEXT, new),
    ):
        case.hold("middle")
        code, said, _ = case.run(f"git {command}")
        assert "unable to unlink" in said, (command, code, said)
        case.is_everywhere(before)
        case.says_why("middle")
        case.let_go("middle")
        code, said, _ = case.run(f"git {command}")
        assert code == 0, (command, said)
        case.is_everywhere(after)
    git(view, "checkout", "-qf", "main")


def test_in_place_write_after_a_refused_rename_is_refused_at_open(
    shop: Mounted, hand: Callable[[], Hand]
) -> None:
    case = Case(shop, "fallback", agent="bob-merge-first")
    bob, other = hand(), hand()
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    theirs = TEXT.replace("111", "1110").encode()
    case.hold("first")
    bob.read(case.file)
    for open_again in (lambda: bob.read(case.file), lambda: case.let_go("first")):
        with pytest.raises(OSError, match="busy"):
            bob.save(case.file, theirs, claude_name(case.file, bob))
        with pytest.raises(OSError, match="busy"):
            bob.open(case.file, writing)
        case.is_everywhere(TEXT)
        other.do("close", other.open(case.file, os.O_WRONLY))
        open_again()
    bob.save(case.file, theirs, claude_name(case.file, bob))
    bob.do("close", bob.open(case.file, os.O_WRONLY))
    case.is_everywhere(theirs.decode())


def test_stream_of_pieces_into_a_large_file_is_refused_early_and_goes_on(shop: Mounted) -> None:
    parts = [f"def f{at}(cart):\n    cart.add({at})\n    return {at} + 111111\n\n\n" for at in range(4900)]
    text = "".join(parts).rstrip("\n") + "\n"
    assert len(text) > 295 << 10
    case = Case(shop, "large", agent="bob-merge-first", text=text)
    pairs = [(f"return {at} + 111111\n", f"return {at} + 222222\n") for at in (40, 4400)]
    case.hold("f40")
    code, said, new = case.run(TOOLS["node"].shell, pairs)
    assert (code, TOOLS["node"].said in said) == (1, True), said
    case.is_everywhere(text)
    case.says_why("f40")
    kept = case.refusals[-1].read_text()
    assert len(kept) == 64 << 10
    assert new.startswith(kept)
    for at in (1, 0):
        code, said, new = case.run(TOOLS["node"].shell, [pairs[at]])
        assert code == 0, said
        case.is_everywhere(new)
        if at:
            case.let_go("f40")


def test_refusal_of_a_write_cut_short_does_not_remove_the_rest_when_applied(shop: Mounted) -> None:
    case = Case(shop, "apply", agent="bob-merge-first")
    case.hold("first")
    case.run(TOOLS["bash >"].shell, [("111", "1110")])
    case.let_go("first")
    number = case.refusals[-1].parent.name
    subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "-C", shop.repo, "refusals", "apply", number],
        env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, check=False,
    )  # fmt: skip
    for place in (case.file, shop.repo / case.path):
        assert node(place.read_text(), "last") == node(TEXT, "last")
