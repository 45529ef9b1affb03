"""Ways out of a run's confinement, tried one by one from inside: each is refused, or leads nowhere."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.mount.runs import PYTHON, TREASURE, Place, place
from tests.mount.ways import ABSTRACT, ESCAPES, PRELUDE, is_scoped, listening

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module")
def prison(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("prison")) as made:
        yield made


def attempt(prison: Place, code: str, *options: str) -> str:
    """Try something in alice's run, with a descriptor of the repository inherited; return what came of it."""
    directory = os.open(prison.repo, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(directory, True)
    known = prison.known(directory)
    words = ["run", *options, "alice", "--", PYTHON, "-IS", "-c", PRELUDE, json.dumps(known), code]
    try:
        process = prison.start(*words, fds=[directory])
        out, err = process.communicate(timeout=60)
    finally:
        os.close(directory)
    assert process.returncode == 0, err
    return out.decode()


@pytest.mark.parametrize("way", ESCAPES)
def test_way_out_leads_nowhere(way: str, prison: Place) -> None:
    code, wanted = ESCAPES[way]
    said = attempt(prison, code)
    assert TREASURE not in said
    assert said.split()[-1] in wanted.split(), said
    prison.unharmed()


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("read(OUTSIDE)", TREASURE),
        ("read(f'/proc/{PID}/root' + OUTSIDE)", TREASURE),
        ("connect(REPO + '/.makfs/control.sock')", "connected"),
        ("print(os.listdir(MOUNT + '/bob'))", "app.py"),
        ("print(os.listdir(MOUNT + '/@head'))", "app.py"),
        ("os.kill(PID, 0); print('sent')", "sent"),
        ("print('key', kernel(KEYCTL, 0, -4, 1))", "key"),
    ],
)
def test_same_way_is_open_without_the_confinement(code: str, wanted: str, prison: Place) -> None:
    assert wanted in attempt(prison, code, "--no-confine")


@pytest.mark.skipif(not is_scoped(), reason="Linux before 6.12 keeps no abstract socket away")
def test_abstract_socket_of_another_is_reached_only_without_the_confinement(prison: Place) -> None:
    with listening(prison.abstract):
        assert attempt(prison, ABSTRACT).split()[-1] == "EPERM"
        assert attempt(prison, ABSTRACT, "--no-confine") == "connected\n"
        own = "s = socket.socket(socket.AF_UNIX); s.bind('\\0own'); s.listen(); connect('\\0own')"
        assert attempt(prison, own) == "connected\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may read it")
def test_what_only_root_reads_in_etc_is_read_only_without_the_confinement(prison: Place) -> None:
    assert attempt(prison, "read('/etc/shadow')", "--no-confine").startswith("got")


def test_network_is_there_unless_it_was_taken_away(prison: Place) -> None:
    code = "print(sorted(name for _, name in socket.if_nameindex()))"
    assert attempt(prison, code) == f"{sorted(os.listdir('/sys/class/net'))}\n"
    assert attempt(prison, code, "--no-network") == "['lo']\n"


def test_view_home_and_tmp_can_be_written_and_home_is_kept(prison: Place) -> None:
    code = "write('new.txt'); write(os.environ['HOME'] + '/kept'); write('/tmp/gone')"
    assert attempt(prison, code).count("wrote") == 3
    assert (prison.repo / "new.txt").read_text() == "x"
    home = prison.repo / ".makfs" / "agents" / "alice" / "home"
    assert (home / "kept").read_text() == "x"
    assert home.stat().st_mode & 0o777 == 0o700
    assert attempt(
        prison, "print(os.path.exists(os.environ['HOME'] + '/kept'), os.listdir('/tmp'))"
    ).startswith("True")


@pytest.mark.parametrize("options", [[], ["--no-confine"]])
def test_link_laid_in_the_home_is_not_followed_by_the_next_run(options: list[str], prison: Place) -> None:
    planted = prison.outside.parent / "planted"
    names = ["guide.md", ".makfs-guide.md", ".profile", ".bashrc"]
    lay = f"for name in {names}: os.symlink({str(planted)!r}, os.environ['HOME'] + '/' + name)"
    attempt(prison, lay)
    assert attempt(prison, "print('ran')", *options) == "ran\n"
    assert not planted.exists()
    for name in names:
        (prison.repo / ".makfs" / "agents" / "alice" / "home" / name).unlink()
