"""scripts/makfs, test and check: what is built when, and what is said.

The scripts are the real ones, in a checkout of their own; python, pip and apt-get are stand-ins that write
down how they were called, because the real ones take a minute and change the machine.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TOOLS = ("bash", "cat", "chmod", "cp", "env", "flock", "mkdir", "mktemp", "readlink", "rm", "sed", "touch")
EDITORS = ("git", "patch", "perl", "rsync", "vim")
NOBODY = 65534

PYTHON = r"""#!/usr/bin/env bash
case "$1 ${2:-}" in
    "- ") echo "3.12 $(cat "$STUBS/lacks") $STUBS/bin/python3" ;;
    "-m venv")
        echo venv >>"$STUBS/calls"
        [[ $* != *--clear* ]] || rm -rf "${@: -1}"
        mkdir -p "${@: -1}/bin"
        cp "$STUBS/bin/python3" "${@: -1}/bin/python"
        printf '#!/usr/bin/env bash\nprintf "<%%s>" "$@"\n' >"${@: -1}/bin/makfs"
        chmod +x "${@: -1}/bin/makfs"
        ;;
    "-m pip")
        echo "pip ${*: -3:1}" >>"$STUBS/calls"
        if [[ -e $STUBS/pip_fails ]]; then echo "pip: no space left"; exit 1; fi
        ;;
    "-m pytest") shift 2; printf 'pytest in %s:' "$PWD"; printf ' <%s>' "$@" ;;
esac
"""
APT = """#!/usr/bin/env bash
echo "apt-get $*" >>"$STUBS/calls"
echo "much talk of apt-get"
[[ ! -e $STUBS/apt_fails ]] || exit 100
[[ $1 != install ]] || { touch "$STUBS/bin/fusermount3"; chmod +x "$STUBS/bin/fusermount3"; }
"""


SUDO = """#!/usr/bin/env bash
[[ $1 != -n ]] || shift
[[ $1 == true ]] || exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout with the real scripts, and a folder of stand-ins that is the whole PATH."""

    root: Path
    stubs: Path

    def run(
        self, *command: str | Path, cwd: Path | None = None, user: int | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd or self.root,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            user=user,
        )

    def start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, env=self._environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def makfs(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.root / "scripts/makfs", *arguments)

    def stub(self, name: str, text: str = "#!/usr/bin/env bash\n") -> None:
        file = self.stubs / "bin" / name
        file.write_text(text)
        file.chmod(0o755)

    def calls(self) -> list[str]:
        """Return how the stand-ins were called since the last look."""
        file = self.stubs / "calls"
        calls = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return calls

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {"PATH": f"{self.stubs}/bin", "STUBS": str(self.stubs), "LC_ALL": "C", **more}


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """Make a checkout with a space in its path, on a machine where no package is missing."""
    # Not tmp_path: another user must be able to enter.
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        top.chmod(0o755)
        made = Checkout(top / "my checkout", top / "stubs")
        shutil.copytree(PROJECT / "scripts", made.root / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(PROJECT / name, made.root)
        (made.stubs / "bin").mkdir(parents=True)
        (made.stubs / "lacks").write_text("-")
        for tool in TOOLS:
            (made.stubs / "bin" / tool).symlink_to(shutil.which(tool) or tool)
        for program in ("fusermount3", "bwrap", "gcc", "pkg-config", *EDITORS):
            made.stub(program)
        made.stub("python3", PYTHON)
        made.stub("apt-get", APT)
        yield made


def test_the_first_run_builds_and_the_second_starts_nothing_and_is_silent(checkout: Checkout) -> None:
    first = checkout.makfs("mount", "a b", "")
    assert (first.returncode, first.stdout) == (0, "<mount><a b><>")
    assert [line.split()[1] for line in first.stderr.splitlines()] == ["creating", "installing"]
    assert checkout.calls() == ["venv", "pip ."]

    for program in (checkout.stubs / "bin").iterdir():
        if program.name not in {"bash", "bwrap", "env", "fusermount3", "readlink"}:
            program.unlink()  # B1: none of them is called
    second = checkout.makfs("log")
    assert (second.returncode, second.stdout, second.stderr) == (0, "<log>", "")
    assert checkout.calls() == []


def test_a_checkout_is_found_through_links_and_from_anywhere(checkout: Checkout) -> None:
    checkout.makfs()
    elsewhere = checkout.stubs
    (elsewhere / "checkout").symlink_to(checkout.root)
    (elsewhere / "one").symlink_to("checkout/scripts/makfs")
    (elsewhere / "two").symlink_to("one")
    for command in ((elsewhere / "checkout/scripts/makfs",), ("./two",), ("bash", "two"), ("bash", "./one")):
        result = checkout.run(*command, "x", cwd=elsewhere)
        assert (result.stdout, result.stderr) == ("<x>", "")
    result = checkout.run("bash", "makfs", "x", cwd=checkout.root / "scripts")
    assert (result.stdout, result.stderr) == ("<x>", "")
    assert checkout.calls() == ["venv", "pip ."], "built once"


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_dependency_is_installed_into_the_same_environment(checkout: Checkout, name: str) -> None:
    checkout.makfs()
    checkout.calls()
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    checkout.makfs()
    assert checkout.calls() == ["pip ."]
    checkout.makfs()
    assert checkout.calls() == []


def test_a_moved_checkout_builds_its_environment_anew(checkout: Checkout) -> None:
    checkout.makfs()
    checkout.calls()
    moved = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.run(moved / "scripts/makfs", "x", cwd=moved).stdout == "<x>"
    assert checkout.calls() == ["venv", "pip ."]


def test_an_environment_whose_interpreter_is_gone_is_built_anew(checkout: Checkout) -> None:
    checkout.makfs()
    checkout.calls()
    python = checkout.root / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.4-of-last-year")
    assert checkout.makfs("x").stdout == "<x>"
    assert checkout.calls() == ["venv", "pip ."]


def test_pips_failure_is_shown_and_tried_again_next_time(checkout: Checkout) -> None:
    (checkout.stubs / "pip_fails").touch()
    failed = checkout.makfs("x")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-2:] == ["pip: no space left", "makfs: pip failed (see above)"]
    (checkout.stubs / "pip_fails").unlink()
    assert checkout.makfs("x").stdout == "<x>"


def test_two_scripts_started_at_once_install_and_build_once(checkout: Checkout) -> None:
    if os.geteuid() == 0:
        (checkout.stubs / "bin/fusermount3").unlink()
    running = [checkout.start(checkout.root / "scripts/makfs", "x") for _ in range(4)]
    assert [process.communicate()[0] for process in running] == [b"<x>"] * 4
    calls = checkout.calls()
    assert [call for call in calls if not call.startswith("apt-get")] == ["venv", "pip ."], "B3"
    assert len(calls) == (4 if os.geteuid() == 0 else 2), "B3: one update, one install"


def test_the_tests_extras_are_added_to_an_environment_that_only_runs(checkout: Checkout) -> None:
    checkout.makfs()
    checkout.calls()
    result = checkout.run(checkout.root / "scripts/test", "tests/unit", "-k", "a b", cwd=checkout.stubs)
    assert result.stdout == f"pytest in {checkout.root}: <tests/unit> <-k> <a b>"
    assert checkout.calls() == ["pip .[dev]"]
    checkout.makfs()
    assert checkout.calls() == [], "what tests can also run"


def test_programs_that_only_tests_use_are_installed_for_tests_alone(checkout: Checkout) -> None:
    if os.geteuid() != 0:
        checkout.stub("sudo", SUDO)
    for program in EDITORS:
        (checkout.stubs / "bin" / program).unlink()
    checkout.makfs()
    assert checkout.calls() == ["venv", "pip ."]
    result = checkout.run(checkout.root / "scripts/test", "x")
    assert result.stdout == f"pytest in {checkout.root}: <x>"
    pip, _, install = checkout.calls()
    assert pip == "pip .[dev]"
    assert install.startswith("apt-get install -y --no-install-recommends ")
    assert install.endswith(" git patch perl rsync vim")


@pytest.mark.parametrize("why", ["apt_fails", "nobody"])
def test_tests_run_without_the_programs_that_cannot_be_installed(checkout: Checkout, why: str) -> None:
    if os.geteuid() != 0:
        checkout.stub("sudo", SUDO)
    checkout.run(checkout.root / "scripts/test", "x")
    (checkout.stubs / "bin/rsync").unlink()
    (checkout.stubs / why).touch()
    if why == "nobody":
        (checkout.stubs / "bin/apt-get").unlink()
    result = checkout.run(checkout.root / "scripts/test", "x")
    assert (result.returncode, result.stdout) == (0, f"pytest in {checkout.root}: <x>")
    said = result.stderr.splitlines()[-1]
    assert said == "makfs: not installed: rsync; tests that need one of these are skipped"


def test_missing_packages_are_installed_by_root_without_a_word_on_stdout(checkout: Checkout) -> None:
    if os.geteuid() != 0:
        checkout.stub("sudo", SUDO)
    (checkout.stubs / "bin/fusermount3").unlink()
    result = checkout.makfs("x")
    assert (result.returncode, result.stdout) == (0, "<x>")
    assert result.stderr.startswith("makfs: installing fuse3 with apt-get\nmakfs: creating ")
    update, install, *build = checkout.calls()
    assert update == "apt-get update -q"
    assert install.startswith("apt-get install -y --no-install-recommends ")
    assert install.endswith(" fuse3")
    assert build == ["venv", "pip ."]


def test_a_package_that_went_missing_is_installed_without_building_anew(checkout: Checkout) -> None:
    checkout.makfs()
    checkout.calls()
    if os.geteuid() != 0:
        checkout.stub("sudo", SUDO)
    (checkout.stubs / "bin/fusermount3").unlink()
    assert checkout.makfs("x").stdout == "<x>"
    assert [call.split()[0] for call in checkout.calls()] == ["apt-get", "apt-get"]


def test_apt_gets_failure_is_shown(checkout: Checkout) -> None:
    if os.geteuid() != 0:
        checkout.stub("sudo", SUDO)
    (checkout.stubs / "bin/fusermount3").unlink()
    (checkout.stubs / "apt_fails").touch()
    result = checkout.makfs("x")
    assert (result.returncode, result.stdout) == (1, "")
    assert "much talk of apt-get" in result.stderr
    assert result.stderr.splitlines()[-1] == "makfs: apt-get failed (see above); needed: fuse3"


def test_without_root_the_missing_packages_and_the_command_are_named(checkout: Checkout) -> None:
    for program in ("fusermount3", "gcc"):
        (checkout.stubs / "bin" / program).unlink()
    (checkout.stubs / "lacks").write_text("venv,dev")
    result = checkout.run(
        checkout.root / "scripts/makfs",
        user=NOBODY if os.geteuid() == 0 else None,
        MAKFS_PYTHON=str(checkout.stubs / "bin/python3"),
    )
    packages = "python3.12-venv python3.12-dev fuse3 gcc"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"makfs: missing packages: {packages}; as root, run: "
        f"apt-get install -y --no-install-recommends {packages}\n"
    )


def test_a_distributions_newer_python_is_named_where_its_own_is_too_old(checkout: Checkout) -> None:
    for program in ("python3", "apt-get"):
        (checkout.stubs / "bin" / program).unlink()
    answers = 'case "$*" in *python3) echo "Version: 3.10.6-1" ;; *3.11-venv) echo ;; *) exit 1 ;; esac'
    checkout.stub("apt-cache", f"#!/usr/bin/env bash\n{answers}\n")
    result = checkout.run("bash", "-c", '. "$0/scripts/lib.sh"; good_python_package', checkout.root)
    assert result.stdout == "python3.11"


def test_a_checkout_that_cannot_be_written_says_what_to_do(checkout: Checkout) -> None:
    if os.geteuid() != 0:
        checkout.root.chmod(0o555)
    result = checkout.run(checkout.root / "scripts/makfs", user=NOBODY if os.geteuid() == 0 else None)
    checkout.root.chmod(0o755)
    assert result.returncode == 1
    assert result.stderr.endswith("run once as its owner, or set MAKFS_VENV\n")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.mount
def test_a_machine_without_dev_fuse_fails_the_tests_with_one_line(checkout: Checkout) -> None:
    hide = 'mkdir d && touch d/null && mount --bind /dev/null d/null && mount --rbind d /dev && exec "$0"'
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    (checkout.stubs / "bin/mount").symlink_to(shutil.which("mount") or "mount")
    unshare = shutil.which("unshare") or "unshare"
    result = checkout.run(unshare, "--mount", *own, "bash", "-c", hide, checkout.root / "scripts/test")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("makfs: no /dev/fuse here")
    assert len(result.stderr.splitlines()) == 1


def test_check_names_what_failed_last_and_shows_only_that(checkout: Checkout) -> None:
    checkout.run(checkout.root / "scripts/test", "x")
    for name in ("ruff", "mypy", "pyright", "lint-imports"):
        checkout.stub(
            f"../../{checkout.root.name}/.venv/bin/{name}", f"#!/usr/bin/env bash\necho {name} talks\n"
        )
    passed = checkout.run(checkout.root / "scripts/check")
    assert (passed.returncode, passed.stdout) == (
        0,
        "passed: ruff, ruff format, mypy, pyright, import-linter\n",
    )
    bad = "#!/usr/bin/env bash\necho 'x.py:1: wrong'\nexit 1\n"
    checkout.stub(f"../../{checkout.root.name}/.venv/bin/pyright", bad)
    failed = checkout.run(checkout.root / "scripts/check")
    assert failed.returncode == 1
    assert failed.stdout.splitlines() == ["---- pyright", "x.py:1: wrong", "failed: pyright"]


@pytest.mark.parametrize("script", ["test", "check"])
def test_help_builds_nothing(checkout: Checkout, script: str) -> None:
    result = checkout.run(checkout.root / "scripts" / script, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: scripts/{script}")
    assert checkout.calls() == []
