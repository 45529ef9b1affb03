"""The project's files agree with each other."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def _project() -> dict[str, list[str]]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return {"run": project["dependencies"], **project["optional-dependencies"]}


def test_every_dependency_is_pinned_and_nothing_names_a_registry() -> None:
    lines = [
        line for line in (PROJECT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    wanted = {re.split(r"[\[>=<]", name)[0] for group in _project().values() for name in group}
    assert wanted <= pinned


def test_every_room_stands_on_a_floor() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = set(re.findall(r"makfsd?\.\w+", " ".join(contracts[0]["layers"])))
    rooms = {f"makfs.{entry.stem}" for entry in (PROJECT / "makfs").iterdir() if _is_room(entry)}
    assert rooms <= floors


def _is_room(entry: Path) -> bool:
    if entry.is_dir():
        return (entry / "__init__.py").exists()
    return entry.suffix == ".py" and entry.stem != "__init__"
