"""The programs that agents use, run against what another agent holds: each is refused, told why, and goes on.

What each does when it writes a function that alice holds (`TOOLS` has it as values, and is compared):

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
git checkout, git stash        1     unable to unlink                  nothing: it removes the file first
git stash pop                  1     unable to unlink; the stash stays nothing
ruff format, black             0     the held function keeps its layout, and `.makfs/why` says so
ruff check --fix               2     Failed to write                   all of it, if it mends what is held

Only the file's end decides whether a held last function is cut off: that is refused at close(2), which
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
from dataclasses import dataclass
from pathlib import Path

import pytest

from makfs.cli.client import Client
from makfs.wire.verbs import AddAgent, Claim, Release
from tests.mount.mounted import PATIENCE_S, Mounted

pytestmark = pytest.mark.mount
CLIENTS = Path(__file__).parent / "clients"
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


@dataclass(frozen=True)
class Tool:
    """How a program is run, and what becomes of an edit of what another agent holds."""

    shell: str  # $FILE, $NEW (a file with the new text), $PATCH, $OLD1 $BY1 $OLD2 $BY2
    code: int
    said: str
    kept: bool = True  # the refused bytes are a refusal
    free: bool = True  # what nobody holds goes through while something else of the file is held
    cut: int | None = None  # exit code when it cuts a held end off; None: it cannot
    alone: bool = False  # commits with git: one at a time


def own(name: str, said: str, cut: int, *, alone: bool = False) -> Tool:
    program = f'"{sys.executable}" -I -S {shlex.quote(str(CLIENTS))}/{name}.py'
    return Tool(f'{program} "$FILE" "$OLD1" "$BY1" "$OLD2" "$BY2"', 1, said, cut=cut, alone=alone)


BUSY = "Device or resource busy"
WRITE_TEXT = (
    "import sys; from pathlib import Path as P; P(sys.argv[1]).write_text(P(sys.argv[2]).read_text())"
)
SED = 'sed -i -e "s/$OLD1/$BY1/" -e "s/${OLD2:-$BY1}/${BY2:-$BY1}/" "$FILE"'
PERL = "perl -pi -e 's/$ENV{OLD1}/$ENV{BY1}/; s/$ENV{OLD2}/$ENV{BY2}/ if $ENV{OLD2}' \"$FILE\""
VIM = 'vim -Nu NONE -es +"set $MORE" +%s/"$OLD1"/"$BY1"/ +%s/"${OLD2:-$BY1}"/"${BY2:-$BY1}"/ +wq "$FILE"'
EMACS = """emacs -Q --batch "$FILE" --eval '(progn
  (dolist (each (list (cons "OLD1" "BY1") (cons "OLD2" "BY2")))
    (goto-char 1)
    (unless (string= "" (getenv (car each)))
      (while (search-forward (getenv (car each)) nil t) (replace-match (getenv (cdr each))))))
  (save-buffer))'"""
TOOLS = {
    "codex": own("codex", "(os error 16)", 0),
    "claude": own("claude", "EBUSY: device or resource busy", 1),
    "opencode": own("opencode", "busy, write", 0),
    "copilot": own("copilot", "Failed to edit", 0),
    "aider": own("aider", "Unable to write file", 1, alone=True),
    "node": own("node", "EBUSY: device or resource busy, write", 0),
    "bash >": Tool('printf "%s\\n" "$(cat "$NEW")" > "$FILE"', 1, f"write error: {BUSY}", cut=0),
    "cat >": Tool('cat "$NEW" > "$FILE"', 1, f"write error: {BUSY}", cut=1),
    "tee": Tool('tee "$FILE" < "$NEW" > /dev/null', 1, BUSY, cut=1),
    "dd": Tool('dd if="$NEW" of="$FILE" conv=notrunc status=none', 1, BUSY),
    "cp": Tool('cp "$NEW" "$FILE"', 1, BUSY, cut=1),
    "python": Tool(f'"{sys.executable}" -I -S -c "{WRITE_TEXT}" "$FILE" "$NEW"', 1, BUSY, cut=1),
    "mv": Tool('cp "$NEW" "$FILE.new" && mv -f "$FILE.new" "$FILE"', 1, "cannot move", cut=1),
    "mv from elsewhere": Tool(
        'mv -f "$NEW" "$FILE"', 1, "unable to remove target", kept=False, free=False, cut=1
    ),
    "install": Tool('install -m 644 "$NEW" "$FILE"', 1, "cannot remove", kept=False, free=False, cut=1),
    "sed -i": Tool(SED, 4, "cannot rename"),
    "perl -pi": Tool(PERL, 16, "failed to rename work file"),
    "rsync": Tool('rsync "$NEW" "$FILE"', 23, BUSY, cut=23),
    "rsync --inplace": Tool('rsync --inplace "$NEW" "$FILE"', 11, BUSY, cut=11),
    "patch": Tool('patch -s "$FILE" "$PATCH"', 2, "Can't rename file", cut=2),
    "git apply": Tool('git apply "$PATCH"', 128, "unable to write file", cut=128),
    "vim": Tool(f"MORE=nobackup; {VIM}", 1, ""),
    "vim that copies": Tool(f"MORE='backupcopy=yes backup'; {VIM}", 1, ""),
    "emacs": Tool(EMACS, 255, BUSY, cut=255),
}


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
