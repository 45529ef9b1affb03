"""The documents say what is there: promises, commands, links, pictures."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)?(#[^)\s]+)?\)")
SCRIPT = re.compile(r"(?<![\w/.])(?:\./)?(scripts/[a-z]\w*)")


def doclib(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of scripts/doclib, which no package contains."""
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    return importlib.import_module(f"doclib.{name}")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_invariants_page_lists_exactly_the_promises_of_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    invariants = doclib("invariants", monkeypatch)
    promised = {(each.module, each.number, each.text) for each in invariants.all_promises(PROJECT)}
    listed = {
        (each.module, each.number, each.text)
        for each in invariants.listed((PROJECT / "docs/invariants.md").read_text())
    }
    assert len(promised) > 80, "the docstrings were not read"
    assert listed == promised, "run scripts/docs invariants"


def test_promise_may_run_over_lines_and_ends_where_the_indentation_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    invariants = doclib("invariants", monkeypatch)
    docstring = "What it is.\n\nL1  One\n    two.\nL2  Three.\n\nNot L3  a promise.\n  L4  Nor this."
    found = [(each.number, each.text) for each in invariants.promises_of("m.py", docstring)]
    assert found == [("L1", "One two."), ("L2", "Three.")]


def test_test_file_names_the_promise_of_the_module_it_imports_not_its_namesake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    invariants = doclib("invariants", monkeypatch)
    mine = invariants.Promise("makfs/merge/order.py", "P1", "")
    namesake = invariants.Promise("makfs/store/packing.py", "P1", "")
    imports = invariants.imports_of("from makfs.merge import order\nimport makfs.store\n")
    file = invariants.TestFile("t.py", imports, frozenset({"P1"}))
    assert file.names(mine, [mine, namesake])
    assert not file.names(namesake, [mine, namesake])


def test_commands_page_is_what_the_commands_say() -> None:
    # In an interpreter of its own: click keeps a command's help option as its first use in a process made it.
    code = "from doclib.commands import document; print(document(), end='')"
    path = os.pathsep.join([str(PROJECT / "scripts"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert (PROJECT / "docs/cli.md").read_text() == done.stdout, "run scripts/docs cli"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        assert not target.startswith("/"), target
        if "://" in target:
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor[1:] in anchors(there), f"{page.name}: {target}{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_script_a_page_names_is_there(page: Path) -> None:
    for script in SCRIPT.findall(page.read_text()):
        assert (PROJECT / script).exists(), f"{page.name}: {script}"


def test_decisions_are_numbered_without_gaps_and_follow_the_template() -> None:
    decisions = sorted((PROJECT / "docs/adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(len(decisions)))
    headings = re.findall(r"^## .*$", decisions[0].read_text(), re.MULTILINE)
    assert len(headings) >= 3
    for path in decisions[1:]:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}: "), path.name
        assert re.findall(r"^## .*$", text, re.MULTILINE) == headings, path.name


def test_picture_keeps_text_colour_and_columns_and_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = doclib("terminal", monkeypatch)
    picture = terminal.svg("a \x1b[1;31m<b>\x1b[0m  c\n\n\x1b[32md\x1b[K", "title & more", 20)
    words = {
        (each.text, each.get("fill"), each.get("font-weight"), each.get("x"))
        for each in ET.fromstring(picture).iter()
        if each.get("textLength")
    }
    x = [f"{terminal.MARGIN + column * terminal.COLUMN:.1f}" for column in (0, 2, 7)]
    assert words == {
        ("a", "#d0d7de", None, x[0]),
        ("<b>", "#ff7b72", "bold", x[1]),
        ("c", "#d0d7de", None, x[2]),
        ("d", "#7ee787", None, x[0]),
    }


def test_picture_of_the_tour_loads_nothing_from_elsewhere() -> None:
    picture = (PROJECT / "docs/tour.svg").read_text()
    assert ET.fromstring(picture).tag.endswith("svg")
    assert not re.search(r"href|url\(|@import|<script|<image", picture)
    assert "edits lost" in picture


def test_tour_step_is_a_command_its_continuation_and_what_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    tour = doclib("tour", monkeypatch)
    block = "$ cat <<E\n> one\n> E\none\n$ true\n"
    steps = [(each.command, each.printed) for each in tour.steps_of(block)]
    assert steps == [("cat <<E\none\nE", "one\n"), ("true", "")]


def test_readme_has_a_tour_with_files_and_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    tour = doclib("tour", monkeypatch)
    text = (PROJECT / "README.md").read_text()
    commands = [step.command for block in tour.blocks_of(text) for step in tour.steps_of(block)]
    assert tour.files_of(text)
    for verb in ("mount", "log", "show", "nodes", "refusals", "status", "umount", "fsck"):
        assert any(each.startswith(f"makfs {verb}") for each in commands), verb


def test_kinds_of_events_that_the_command_takes_are_those_of_the_page() -> None:
    from makfs.cli.happenings import KINDS

    rows = re.findall(r"^\| (`[^|]*) \|", (PROJECT / "docs/events.md").read_text(), re.MULTILINE)
    listed = {kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)} - {
        "at",
        "time",
        "kind",
        "agent",
    }
    assert listed == set(KINDS)
