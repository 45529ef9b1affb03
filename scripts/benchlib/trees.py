"""The tree that is measured: the user's, or one made from a seed. Always a copy; the user's is only read."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

_WORDS = ("node", "lock", "view", "agent", "merge", "store", "commit", "head", "base", "text", "path", "line")


def generate(folder: Path, files: int, seed: int) -> None:
    """Make a tree of Python files, some 15 a folder, 20 to 400 lines each."""
    chance = random.Random(seed)
    places = [folder / "src"]
    for number in range(files):
        if number % 15 == 14:
            places.append(chance.choice(places[-8:]) / f"{chance.choice(_WORDS)}_{number}")
        place = places[-1] if number % 3 else chance.choice(places)
        place.mkdir(parents=True, exist_ok=True)
        lines = chance.randint(20, 400)
        (place / f"{chance.choice(_WORDS)}_{number}.py").write_text(python_text(lines, chance))
    (folder / ".gitignore").write_text("*.pyc\n/build/\n")


def python_text(lines: int, chance: random.Random) -> str:
    """Return a module of about so many lines: functions of six lines and the blank lines between."""
    parts = ['"""Made for measuring."""\n\nimport os\n']
    for number in range(max(1, lines // 8)):
        word, other = chance.choice(_WORDS), chance.choice(_WORDS)
        parts.append(
            f"\n\ndef {word}_{number}({other}, count=0):\n"
            f'    """Return the {other} of a {word}."""\n'
            f"    total = count + {chance.randint(0, 9999)}\n"
            f"    for {word} in range(total):\n"
            f"        {other} = os.path.join(str({other}), str({word}))\n"
            f"    return {other}\n"
        )
    return "".join(parts)


def prepare(source: Path | None, folder: Path, files: int, seed: int) -> None:
    """Make a git repository with one commit in `folder`, from a copy of `source` or from the seed."""
    if source is not None:
        shutil.copytree(source, folder, symlinks=True, ignore=_not_ours(source))
    else:
        generate(folder, files, seed)
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
        git(folder, "config", "gc.auto", "0")  # else commit starts one in the background, and ours fails
        git(folder, "add", "-A")
        git(folder, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "start")
        git(folder, "gc", "-q")
    git(folder, "config", "gc.auto", "0")  # a copy's own
    git(folder, "config", "core.fsmonitor", "false")


def _not_ours(source: Path) -> Callable[[str, list[str]], list[str]]:
    def ignored(folder: str, names: list[str]) -> list[str]:
        return [".makfs"] if Path(folder) == source and ".makfs" in names else []

    return ignored


def copy(source: Path, folder: Path) -> None:
    """Copy a tree with its times."""
    subprocess.run(["cp", "-a", "--reflink=auto", "--", source, folder], check=True)


def git(folder: Path, *arguments: str) -> bytes:
    """Run git without the user's own configuration; return its output."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout


def regular_files(folder: Path) -> list[str]:
    """Return the paths of the regular files that git tracks."""
    names = os.fsdecode(git(folder, "ls-files", "-z")).split("\0")
    return [name for name in names if name and (folder / name).is_file() and not (folder / name).is_symlink()]
