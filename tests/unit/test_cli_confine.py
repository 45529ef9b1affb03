"""B1, B3, B4: what a run's program is told and shown, without starting one."""

from pathlib import Path

import pytest

from makfs.cli.confine import Box, arguments, environment, inner_home, mask
from makfs.errors import ConfigError
from makfs.wire.runs import RunPlan


def plan(repo: str = "/srv/repo", env: tuple[str, ...] = (), paths: tuple[str, ...] = ()) -> RunPlan:
    return RunPlan(1, "/f", repo, "/mnt/work", "/mnt/work/alice", f"{repo}/.makfs/h", env, paths, 9)


@pytest.mark.parametrize(
    ("words", "values", "wanted"),
    [
        (["a", "--api-key", "x1"], [], ["a", "--api-key", "***"]),
        (["a", "--api-key=x1", "b"], [], ["a", "--api-key=***", "b"]),
        (["env", "GITHUB_TOKEN=x1 y", "b"], [], ["env", "GITHUB_TOKEN=***", "b"]),
        (["curl", "-H", "Authorization: Bearer x1"], [], ["curl", "-H", "Authorization: ***"]),
        (["a", "x-hunter2-y"], ["hunter2"], ["a", "x-***-y"]),
        (["a", "--password", "--quiet"], [], ["a", "--password", "--quiet"]),
        (["make", "-j4", "a=b"], ["1"], ["make", "-j4", "a=b"]),
    ],
)
def test_secrets_are_masked_and_nothing_else(words: list[str], values: list[str], wanted: list[str]) -> None:
    assert mask(words, values) == tuple(wanted), "B4"


def test_program_gets_the_usual_variables_the_listed_and_the_given() -> None:
    caller = {"PATH": "/bin", "LC_ALL": "C", "AWS_KEY": "x", "LISTED": "y", "HOME": "/root", "G": "caller's"}
    found = environment(plan(env=("LISTED", "ABSENT")), "alice", "/h", "/g", {"G": "given"}, caller)
    assert found == {
        "PATH": "/bin", "LC_ALL": "C", "LISTED": "y", "G": "given", "HOME": "/h", "PWD": "/srv/repo",
        "MAKFS_AGENT": "alice", "MAKFS_GUIDE": "/g", "MAKFS_RUN": "/f",
    }, "B3"  # fmt: skip


@pytest.mark.parametrize("repo", ["/srv/repo", "/makfs", "/makfs/home", "/makfs/home/x", "/home/agent/x"])
def test_home_and_repository_do_not_cover_each_other(repo: str) -> None:
    home = inner_home(plan(repo))
    assert not f"{home}/".startswith(f"{repo}/")
    assert not f"{repo}/".startswith(f"{home}/")


def test_view_is_bound_last_of_all_so_that_nothing_covers_it(tmp_path: Path) -> None:
    box = Box(network=False, own_terminal=False, newest_bwrap=True)
    line = arguments(plan(paths=(str(tmp_path),)), box, 3, 4, ["true"])
    view = line.index("/mnt/work/alice")
    assert line[view - 1 : view + 2] == ["--bind", "/mnt/work/alice", "/srv/repo"], "B1"
    assert not {"--bind", "--ro-bind", "--tmpfs"} & set(line[view + 2 : line.index("--")])
    assert line.index(str(tmp_path)) < view
    assert "--unshare-net" in line
    assert line[-1] == "true"


def test_path_to_let_through_that_is_not_there_is_named(tmp_path: Path) -> None:
    box = Box(network=True, own_terminal=False, newest_bwrap=True)
    with pytest.raises(ConfigError, match="gone is not there"):
        arguments(plan(paths=(str(tmp_path / "gone"),)), box, 3, 4, ["true"])
