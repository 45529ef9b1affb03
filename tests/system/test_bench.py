"""`scripts/bench` on a tiny tree: it measures what it says and tells what failed. Nothing here is timed."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300
MAKFS = shlex.join([sys.executable, "-P", "-m", "makfs.cli"])

Done = subprocess.CompletedProcess[str]


def bench(*arguments: str | Path) -> Done:
    paths = [str(ROOT / "scripts"), *(path for path in sys.path if path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-P", "-m", "benchlib", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)


def results(file: Path) -> dict[str, dict[str, Any]]:
    document = json.loads(file.read_text())
    assert document["failure"] is None
    return {row["what"]: row for row in document["results"]}


@pytest.mark.mount
def test_bench_measures_mounts_commits_and_memory_of_a_tree_it_makes_itself(tmp_path: Path) -> None:
    sizes = ("--files=12", "--rounds=1", "--edits=3", "--lines", "40", "--readers=1", "--views=2")
    file = tmp_path / "out.json"
    done = bench(
        *sizes, "--only", "start", "turns", "waits", "commit", "memory", "--makfs", MAKFS,
        "--work", tmp_path / "work", "--json", file,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = results(file)
    assert found["another view (`mkdir`)"]["makfs"] > 0
    assert found["unchanged files opened in 4 turns"]["makfs"] == 0
    assert found["close() to visible: median"]["makfs"] >= found["close()"]["makfs"] > 0
    assert found["all read in 2 views"]["makfs"] > 1
    assert found["a write that would close a deadlock: refused after, longest"]["makfs"] > 0
    assert found["close() to visible, 200 writers wait: median"]["makfs"] > 0
    lines = done.stdout.splitlines()
    assert all(any(line.strip().startswith(what) for line in lines) for what in found)
    assert not list((tmp_path / "work").iterdir()), "it cleans up"


@pytest.mark.mount
def test_bench_measures_the_start_of_a_program_and_idle_runs(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    sizes = ("--files=3", "--rounds=2", "--runs=2")
    done = bench(*sizes, "--only", "run", "--makfs", MAKFS, "--work", tmp_path / "work", "--json", file)
    assert done.returncode == 0, done.stderr
    found = results(file)
    whole, over = found["`true` in a view: median"], found["what that is over the bare command: median"]
    assert whole["makfs"] >= found["`true` in a view: least"]["makfs"] > whole["native"] > 0
    assert whole["makfs"] > over["makfs"] > 0
    assert over["goal"] == 150
    assert found["CPU of `true` in a view: median"]["makfs"] > 0
    assert (
        found["the daemon with 2 idle runs in them"]["makfs"]
        > found["the keeper of an idle run: median"]["makfs"]
        > 1
    )
    assert not list((tmp_path / "work").iterdir()), "it cleans up"


@pytest.mark.mount
def test_bench_compares_reading_with_the_native_directory(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    done = bench(
        "--files=6", "--rounds=1", "--only", "read", "--makfs", MAKFS, "--work", tmp_path, "--json", file
    )
    assert done.returncode == 0, done.stderr
    row = results(file)["read all files (cat)"]
    assert row["ratio"] == pytest.approx(row["makfs"] / row["native"])


@pytest.mark.mount
def test_bench_compares_every_exported_tree_with_what_was_written(tmp_path: Path) -> None:
    sizes = ("--files=6", "--rounds=1", "--commits=8")
    file = tmp_path / "out.json"
    done = bench(*sizes, "--only", "past", "--makfs", MAKFS, "--work", tmp_path, "--json", file)
    assert done.returncode == 0, done.stderr
    found = results(file)
    commits = 1 + 50 + 3 + 8  # a folder, its files, an edit undone twice, and eight more
    assert found["exported trees that are as written"]["makfs"] == commits + 1
    assert found["publish of 200 nodes in 50 files"]["makfs"] > 0


def test_bench_says_what_does_not_work_and_fails(tmp_path: Path) -> None:
    done = bench("--files=3", "--only", "start", "--makfs", "false", "--work", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "bench: false --version ended with 1"
