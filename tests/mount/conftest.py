"""Real mounts for the tests of this folder."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.desks import CONFIGS, Desk, leave, serve, sit_down
from tests.mount.hands import Hand
from tests.mount.mounted import TRANSPORTS, Mounted, listing

Scenario = Callable[[Path], object]


def _serve(repo: Path, place: Path, transport: str = "native") -> Iterator[Mounted]:
    place.mkdir()
    config = place.parent / f"{transport}.conf"
    config.write_text(f'[mount]\ntransport = "{transport}"\n')
    mounted = Mounted(repo, place, config=config)
    try:
        mounted.start()
        yield mounted
        mounted.stop()
    finally:
        mounted.take_away()
    assert not mounted.complaints(), mounted.complaints()[0]


@pytest.fixture
def mounted(tmp_repo: Path, tmp_path: Path) -> Iterator[Mounted]:
    """Serve a fresh repository to alice and bob. Fails if the daemon's log tells of an error."""
    yield from _serve(tmp_repo, tmp_path / "work")


@pytest.fixture(scope="module", params=TRANSPORTS)
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Mounted]:
    """Serve one empty repository for all tests of a module, each of which works in a folder of its own."""
    top = tmp_path_factory.mktemp("shared")
    subprocess.run(["git", "init", "-q", str(top / "repo")], check=True)
    yield from _serve(top / "repo", top / "work", request.param)


class Same:
    """Runs a scenario on a plain directory and on alice's view, and compares what it saw and what it left."""

    def __init__(self, mounted: Mounted, native: Path, name: str) -> None:
        self.native = native
        self.view = mounted.alice / name
        self._others = (mounted.bob / name, mounted.repo / name)

    def __call__(self, scenario: Scenario) -> object:
        self.native.mkdir()
        self.view.mkdir()
        seen, wanted = scenario(self.view), scenario(self.native)
        assert wanted, "a scenario that sees nothing shows nothing"
        assert seen == wanted
        left = listing(self.native)
        for place in (self.view, *self._others):
            assert listing(place) == left, place
        return wanted


@pytest.fixture
def same(shared: Mounted, tmp_path: Path, request: pytest.FixtureRequest) -> Same:
    """Compare the mount with the file system under the temporary directory."""
    return Same(shared, tmp_path / "native", request.node.name[:100])


@pytest.fixture
def hand() -> Iterator[Callable[[], Hand]]:
    """Make processes that work in views, each one system call at a time."""
    made: list[Hand] = []

    def make() -> Hand:
        made.append(Hand())
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture(scope="module")
def transport() -> str:
    """Return how `served` is served; modules that try more than one have it as a parameter."""
    return "native"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Mounted]:
    """Serve a repository to alice and bob, for a whole module; in the end store and tree must agree."""
    top = tmp_path_factory.mktemp("served")
    subprocess.run(["git", "init", "-q", str(top / "repo")], check=True)
    (top / "repo" / ".gitignore").write_bytes(b"*.log\n/build/\n")
    for mounted in _serve(top / "repo", top / "work", transport):
        yield mounted
        mounted.stop()
        assert mounted.findings() == []


GREET = (
    b'"""Greetings."""\n\nimport os\n\n\ndef hello(name):\n    return f"hello {name}"\n\n\n'
    b'def bye(name):\n    return f"bye {name}"\n\n\nclass Desk:\n    open = True\n\n'
    b"    def ring(self):\n        return os.linesep\n"
)


@pytest.fixture
def greet(served: Mounted, request: pytest.FixtureRequest) -> str:
    """Return the path of a Python file of the test's own, which nobody has read yet."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)[-60:]
    folder = served.repo / name
    folder.mkdir()
    (folder / "greet.py").write_bytes(GREET)
    return f"{name}/greet.py"


@pytest.fixture(scope="module")
def patient_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    yield from serve(tmp_path_factory.mktemp("patient"), CONFIGS["patient"])


@pytest.fixture(scope="module")
def brisk_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    yield from serve(tmp_path_factory.mktemp("brisk"), CONFIGS["brisk"])


@pytest.fixture
def patient(patient_mount: Mounted, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Serve where waiting takes a minute: what ends before did not end by itself. Leases take 1 s."""
    desk = sit_down(patient_mount, request)
    yield desk
    leave(desk)


@pytest.fixture
def brisk(brisk_mount: Mounted, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Serve where waiting takes a fifth of a second, and leases ten minutes."""
    desk = sit_down(brisk_mount, request)
    yield desk
    leave(desk)
