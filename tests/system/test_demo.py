"""The demo and the README's tour, as a newcomer runs them: real scripts, real mounts."""

import contextlib
import importlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PATIENCE_S = 120  # a machine may be slow; nothing here is timed


def scripts(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module beside the scripts, which no package contains."""
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    return importlib.import_module(name)


@contextlib.contextmanager
def started(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    demo = subprocess.Popen(
        [PROJECT / "scripts/demo", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield demo
    finally:
        demo.kill()
        demo.communicate()


def mounts_below(path: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {path}/" in line]


@pytest.mark.mount
def test_demo_loses_nothing_on_the_mount_fits_a_terminal_and_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path, "--edits", "6", "--commits", "3") as demo:
        printed, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, printed
    assert "   0 of 48 edits lost" in printed
    assert "$ makfs log -n 3" in printed
    assert "$ makfs status" in printed
    assert not [line for line in printed.splitlines() if len(line) > 80 and str(tmp_path) not in line]
    assert not mounts_below(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.mount
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_unmounts_and_removes_everything(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "--edits", "100000") as demo:
        assert demo.stdout is not None
        assert "800000 edits" in demo.stdout.readline()
        while not any(tmp_path.glob("makfs-demo-*/plain/orders.py")):
            assert demo.poll() is None
        os.killpg(demo.pid, number)
        printed, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 130, printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.mount
def test_demo_interrupted_on_the_mount_unmounts_it(tmp_path: Path) -> None:
    with started(tmp_path, "--edits", "100000", "--only", "mount") as demo:
        while not any(tmp_path.glob("makfs-demo-*/mnt/ada/orders.py")):
            assert demo.poll() is None
        os.killpg(demo.pid, signal.SIGINT)
        printed, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 130, printed
    assert not mounts_below(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_demo_counts_an_edit_that_is_not_in_the_files_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storm = scripts("demolib.storm", monkeypatch)
    demo = scripts("demolib.__main__", monkeypatch)
    folder = tmp_path / "plain"
    storm.make(folder)
    path = folder / "orders.py"
    for number in (1, 2):
        storm.overwrite(path, "ada", storm.line_of("ada", number))
    made = {"ada": storm.Made([1, 2])}
    assert demo.Outcome(made, storm.look(folder), 0.0).all_lost == 0
    path.write_bytes(path.read_bytes().replace(storm.line_of("ada", 1), b""))
    assert demo.Outcome(made, storm.look(folder), 0.0).lost("ada") == 1


@pytest.mark.mount
def test_readme_shows_what_its_commands_print(monkeypatch: pytest.MonkeyPatch) -> None:
    tour = scripts("doclib.tour", monkeypatch)
    text = (PROJECT / "README.md").read_text()
    taken = tour.take(text, PROJECT / "scripts/makfs")
    assert tour.plain(taken) == tour.plain(text), "run scripts/docs tour"
    assert re.search(r"^Refused write 1 to basket.py", taken, re.MULTILINE)
