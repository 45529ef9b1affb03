"""What all tests share: hypothesis profiles, the `mount` marker, a repository to work on."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

# `ci` finds the same examples in every run, so that a red build is about the change; `dev` looks for new
# ones; `deep` is for a night. HYPOTHESIS_PROFILE chooses, else CI=true does.
_SLOW_IS_FINE = [HealthCheck.too_slow]
settings.register_profile(
    "ci", derandomize=True, max_examples=60, deadline=None, suppress_health_check=_SLOW_IS_FINE, database=None
)
settings.register_profile("dev", max_examples=60, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile(
    "deep", max_examples=5000, deadline=None, suppress_health_check=_SLOW_IS_FINE, phases=set(Phase)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, never skip, a test marked `mount` where nothing can be mounted: a green run must mean it ran."""
    if item.get_closest_marker("mount") is None:
        return
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        reason = f"cannot open /dev/fuse ({error.strerror}): see makfs doctor, or run pytest -m 'not mount'"
        pytest.fail(reason, pytrace=False)


@pytest.fixture
def tmp_repo(tmp_path: Path) -> Path:
    """Make a small git repository with one commit and return its directory."""
    repo = tmp_path / "repo"
    (repo / "app").mkdir(parents=True)
    (repo / "app" / "__init__.py").write_bytes(b"")
    (repo / "app" / "greet.py").write_bytes(
        b'"""Greetings."""\n\nimport os\n\n\ndef hello(name):\n    return f"hello {name}"\n\n\n'
        b'def bye(name):\n    return f"bye {name}"\n\n\nclass Desk:\n    open = True\n\n'
        b"    def ring(self):\n        return os.linesep\n"
    )
    (repo / "README.md").write_bytes(b"# app\n")
    (repo / ".gitignore").write_bytes(b"*.log\n/build/\n")
    # Without the user's own git configuration: hooks, signing or templates must not reach the test.
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "start"]):
        subprocess.run(["git", *command], cwd=repo, env=environment, check=True)
    return repo
