"""Without the confinement, a run's processes are known by who started them: they write in their own view."""

from collections.abc import Iterator

import pytest

from tests.mount.mounted import PATIENCE_S, outcome
from tests.mount.runs import PYTHON, Place, place, until

pytestmark = pytest.mark.mount
OPEN = ("--no-confine",)
TRY = """
import errno, os, sys
BOB, OWN = sys.argv[1], os.getcwd()
def tried(call):
    try:
        call()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
"""
ORPHAN = """
read_end, write_end = os.pipe()
if not os.fork():
    os.setsid()
    if not os.fork():
        while os.getppid() != KEEPER: pass
        os.write(write_end, tried(lambda: open(BOB + "/app.py", "r+").close()).encode())
    os._exit(0)
os.wait()
os.close(write_end)
print(os.read(read_end, 100).decode())
"""
WAYS = {
    "open to write": 'open(BOB + "/app.py", "r+")',
    "open to append": 'open(BOB + "/README.md", "a")',
    "empty": 'os.open(BOB + "/app.py", os.O_RDONLY | os.O_TRUNC)',
    "make a file": 'open(BOB + "/new.py", "x")',
    "make a folder": 'os.mkdir(BOB + "/folder")',
    "make a link": 'os.symlink("app.py", BOB + "/link")',
    "make a pipe": 'os.mkfifo(BOB + "/pipe")',
    "remove": 'os.unlink(BOB + "/README.md")',
    "rename": 'os.rename(BOB + "/README.md", BOB + "/READ.md")',
    "cut": 'os.truncate(BOB + "/app.py", 0)',
    "change the mode": 'os.chmod(BOB + "/app.py", 0o600)',
    "claim": 'open(BOB + "/.makfs/claim", "w")',
    "release": 'open(BOB + "/.makfs/release", "w")',
    "write a node": 'open(BOB + "/.makfs/nodes/app.py/f", "w")',
    "send as bob": 'open(BOB + "/.makfs/outbox/carol", "w")',
    "in git": 'open(BOB + "/.git/description", "w")',
    "through a link": '(os.symlink(BOB + "/app.py", "link"), open("link", "a"))',
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("open")) as made:
        yield made


@pytest.fixture
def desk(served: Place) -> Iterator[Place]:
    text = (served.repo / "app.py").read_text()
    yield served
    served.unharmed()
    assert (served.repo / "app.py").read_text() == text


def run(desk: Place, code: str, *options: str, before: tuple[str, ...] = ()) -> str:
    words = [*before, PYTHON, "-IS", "-c", TRY + code, str(desk.mounted.bob)]
    got, out, err = desk.run(*words, options=[*OPEN, *options])
    assert got == 0, err
    return out.strip()


def test_process_of_a_run_writes_through_no_other_view(desk: Place) -> None:
    code = "\n".join(f"print({name!r}, tried(lambda: {call}))" for name, call in WAYS.items())
    said = run(desk, code)
    (desk.repo / "link").unlink()
    assert said.splitlines() == [f"{name} EACCES" for name in WAYS]
    assert outcome((desk.mounted.bob / "new.py").stat) == "ENOENT"


def test_refusal_is_told_to_the_run_and_to_whose_view_it_was(desk: Place) -> None:
    said = run(desk, 'tried(lambda: open(BOB + "/app.py", "a")); print(open(".makfs/why").read())')
    number = desk.newest()["number"]
    assert said.startswith(
        f"Run {number} of alice may not write through the view of bob: app.py there is as it"
    )
    why = (desk.mounted.bob / ".makfs" / "why").read_text()
    assert f"Run {number} of alice was kept from writing app.py in this view." in why


def test_it_reads_everything_and_writes_in_its_own_view(desk: Place) -> None:
    code = (
        'print(tried(lambda: open(BOB + "/app.py").read()), tried(lambda: open("own.txt", "w").write("x")))'
    )
    assert run(desk, code) == "done done"
    assert (desk.repo / "own.txt").read_text() == "x"


def test_others_write_where_they_like_meanwhile(desk: Place) -> None:
    number = desk.detach("sleep", "600", options=OPEN)
    (desk.mounted.bob / "others.txt").write_text("mine")
    (desk.mounted.alice / "other.txt").write_text("mine, too")
    assert desk.run("sh", "-c", "echo x > confined.txt", agent="bob")[0] == 0
    assert desk.makfs("kill", str(number))[0] == 0
    desk.makfs("wait", str(number))


def test_orphan_of_a_run_is_known_by_its_keeper(desk: Place) -> None:
    assert run(desk, "KEEPER = os.getppid()\n" + ORPHAN) == "EACCES"


def test_process_without_the_variables_of_its_run_is_known_all_the_same(desk: Place) -> None:
    code = 'print(tried(lambda: open(BOB + "/app.py", "a")))'
    assert run(desk, code, before=("setsid", "-w", "env", "-i")) == "EACCES"


def test_run_that_an_unconfined_run_starts_is_its_own_agents(desk: Place) -> None:
    number = desk.detach("sh", "-c", "while [ ! -e go-on ]; do sleep 0.02; done", options=OPEN)
    words = ["sh", "-c", "echo x > of-bob.txt"]
    assert desk.run(*words, agent="bob", options=OPEN)[0] == 0
    assert (desk.repo / "of-bob.txt").read_text() == "x\n"
    (desk.repo / "go-on").touch()
    assert desk.makfs("wait", str(number))[1] == "0\n"
    until(lambda: desk.newest()["status"] == "ended", PATIENCE_S)
    (desk.repo / "go-on").unlink()
