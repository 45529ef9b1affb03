"""A snapshot view behaves as ext4 does: the scenarios of the live views, run in one."""

import inspect
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount import test_posix_attributes, test_posix_files, test_posix_names
from tests.mount.conftest import Same, Scenario
from tests.mount.mounted import Mounted, listing, snapshot_and_live

pytestmark = pytest.mark.mount

for _module in (test_posix_attributes, test_posix_files, test_posix_names):
    for _name, _test in inspect.getmembers(_module, inspect.isfunction):
        if _name.startswith("test_") and set(inspect.signature(_test).parameters) == {"same"}:
            globals()[_name] = _test


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """Serve one empty repository: alice in a snapshot view, bob in a live one."""
    top = tmp_path_factory.mktemp("snapshot")
    subprocess.run(["git", "init", "-q", str(top / "repo")], check=True)
    with snapshot_and_live(top / "repo", top / "work") as mounted:
        yield mounted
    assert not mounted.complaints(), mounted.complaints()[0]


class InSnapshot(Same):
    """Runs a scenario in a plain directory and in the snapshot view; nobody else sees any of it."""

    def __call__(self, scenario: Scenario) -> object:
        self.native.mkdir()
        self.view.mkdir()
        seen, wanted = scenario(self.view), scenario(self.native)
        assert wanted, "a scenario that sees nothing shows nothing"
        assert seen == wanted
        assert listing(self.view) == listing(self.native)
        for place in self._others:
            assert not place.exists()
        return wanted


@pytest.fixture
def same(shared: Mounted, tmp_path: Path, request: pytest.FixtureRequest) -> Same:
    """Compare the snapshot view with the file system under the temporary directory."""
    return InSnapshot(shared, tmp_path / "native", request.node.name[:100])
