"""The command line's frame: help, exit codes, one sentence for every error."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from makfs.cli import main
from makfs.cli.exits import NotServed, Told, exit_code
from makfs.cli.find import Found
from makfs.errors import BadName, Busy, MountError

HELP = """\
Usage: makfs [OPTIONS] COMMAND [ARGS]...

  Let several agents work on one repository at once: a view each, every write
  a commit of nodes.

Options:
  -C, --repo PATH  The repository, or any directory in it or in its mount.
                   Default: the current directory.  [env var: MAKFS_REPO]
  --version        Show the version and exit.
  -h, --help       Show this message and exit.

Commands:
  mount       Serve a repository at an empty directory
  umount      End a mount
  agent       Make, remove and list agents
  status      Tell how the mount and its agents are
  log         List commits, newest first
  show        Show a commit as a diff by node
  diff        Show how two commits' trees differ
  blame       Tell who wrote each line of a file
  cat         Print a file as it was
  mark        Name a commit
  node        Tell the history of a node
  nodes       List the nodes of a file
  claim       Hold addresses for an agent
  release     Give back what an agent holds
  renew       Let claims start again
  locks       Show who holds what and who waits
  with        Run a command while holding resources
  why         Tell why an agent's last write was refused
  run         Run a program in an agent's view, confined to it
  adapters    List the agents' programs
  ps          List runs
  logs        Print what a run wrote
  attach      See what a run writes, type to it
  stats       Print what runs take
  inspect     Print the record of a run
  artifacts   List the files a run left, or copy them
  pause       Freeze runs
  unpause     Let frozen runs go on
  restart     End a run's program and start it again
  stop        End runs
  kill        Send runs a signal
  wait        Wait for the end of runs
  rm          Remove the records of runs
  send        Send a message to an agent, or to all
  ask         Ask an agent, and print the answer
  answer      Answer a message
  inbox       Show what an agent, or you, have not read yet
  messages    List messages
  share       Share a file by name, for all views
  shared      List what is shared by name
  events      Tell what happened, a line of JSON each; follow with -f
  undo        Take commits back, keeping later work
  restore     Make a path what it was after a commit
  replay      Rebuild the tree from the journal
  gc          Cut old history
  export      Write the tree and its journal for elsewhere
  import      Undo an export
  publish     Merge a snapshot view's edits onto head
  refresh     Bring a snapshot view to head, its edits kept
  discard     Drop a snapshot view's edits
  refusals    List writes that were refused, and why
  git         Export the journal to git, and commit what it changed
  fsck        Check a repository's store
  doctor      Check whether this machine can mount and run agents
  completion  Print a shell's completion script

  Exit codes:
    0  done
    1  it failed, or something was found wrong (fsck, doctor)
    2  the command line is wrong
    3  refused or busy; nothing was changed
    4  no makfsd serves this repository

  Start here:
    makfs mount ./repo /mnt/work --agent alice --agent bob
    cd /mnt/work/alice
    makfs log
"""

HEAVY = {"trio", "libcst", "sqlite3", "sqlite_utils", "networkx", "pyfuse3", "asyncio", "tree_sitter"}


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group, info_name="makfs")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_help_names_commands_and_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main.run(["--help"]) == 0
    assert capsys.readouterr().out == HELP


def test_every_command_has_help_with_an_example_and_lists_have_json() -> None:
    seen = dict(commands(main.command))
    for path, command in seen.items():
        text = command.get_help(click.Context(command, info_name=" ".join(("makfs", *path))))
        assert f"makfs {path[0]}" in text.split("Example", 1)[1], path
        assert all(
            isinstance(option, click.Argument) or option.to_info_dict()["help"] for option in command.params
        )
    lists = [
        ("status",),
        ("log",),
        ("show",),
        ("nodes",),
        ("refusals",),
        ("refusals", "show"),
        ("refusals", "apply"),
        ("claim",),
        ("release",),
        ("renew",),
        ("locks",),
        ("agent", "ls"),
        ("ps",),
    ]
    for path in [*lists, ("fsck",), ("doctor",), ("agent", "add")]:
        assert any("--json" in option.opts for option in seen[path].params), path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fly"], "makfs: No such command 'fly'. See 'makfs --help'.\n"),
        (["unmount"], "makfs: No such command 'unmount'. Is it umount or mount? See 'makfs --help'.\n"),
        (["tag"], "makfs: No such command 'tag'. Is it mark? See 'makfs --help'.\n"),
        (
            ["events", "-f", "--kind", "comit"],
            (
                "makfs: No event is of the kind 'comit'. Is it commit? docs/events.md lists the kinds. "
                "See 'makfs events --help'.\n"
            ),
        ),
        (
            ["logs", "x"],
            "makfs: Invalid value for 'NUMBER': 'x' is not a whole number. See 'makfs logs --help'.\n",
        ),
        (
            ["share", "x", "/no/x"],
            "makfs: Invalid value for 'FILE': File '/no/x' does not exist. See 'makfs share --help'.\n",
        ),
        (
            ["gc", "--keep", "x"],
            (
                "makfs: --keep takes a number of commits, as 1000, or a time, as 12h or 30d, and not 'x'. "
                "See 'makfs gc --help'.\n"
            ),
        ),
        (
            ["run", "alice", "true"],
            (
                "makfs: Got unexpected extra argument (true). Put '--' between AGENT and COMMAND. See "
                "'makfs run --help'.\n"
            ),
        ),
        (
            ["run", "alice", "ls", "-l"],
            "makfs: No such option '-l'. Put '--' between AGENT and COMMAND. See 'makfs run --help'.\n",
        ),
        (["log", "--fly"], "makfs: No such option '--fly'. See 'makfs log --help'.\n"),
        (["show"], "makfs: Missing argument 'SEQ'. See 'makfs show --help'.\n"),
        (["agent", "add"], "makfs: Missing argument 'NAME...'. See 'makfs agent add --help'.\n"),
    ],
)
def test_wrong_command_line_gets_one_sentence_and_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    assert capsys.readouterr().err == sentence


def test_full_disk_behind_stdout_is_one_sentence() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "makfs.cli", "--help"],
            env=environment, stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"makfs: No space left on device.\n")


def test_hostile_name_in_an_error_is_escaped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b[2J\udcff"
    hostile.mkdir()
    assert main.run(["-C", str(hostile), "status"]) == 1
    error = capsys.readouterr().err
    assert "a\\x1b[2J\\xff" in error
    assert error.count("\n") == 1


def test_repository_without_a_daemon_gives_4(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / ".makfs").mkdir()
    for command in (
        ["status"],
        ["log"],
        ["nodes", "a.py"],
        ["agent", "ls"],
        ["refusals"],
        ["show", "1"],
        ["claim", "a", "b.py"],
        ["release", "a", "--all"],
        ["renew", "a"],
        ["locks"],
        ["why", "a"],
        ["with", "--agent", "a", "build", "--", "true"],
        ["refusals", "apply", "1"],
        ["run", "a", "--no-confine", "--", "true"],
        ["ps"],
        ["logs", "1"],
        ["inspect", "1"],
        ["stop", "1"],
        ["kill", "1"],
        ["wait", "1"],
        ["rm", "1"],
    ):
        assert main.run(["-C", str(tmp_path), *command]) == 4
        assert capsys.readouterr().err.startswith("makfs: No makfsd serves ")


def test_bad_name_of_an_agent_gives_1_before_anybody_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".makfs").mkdir()
    assert main.run(["-C", str(tmp_path), "agent", "add", "@head"]) == 1
    assert "frozen trees" in capsys.readouterr().err


def test_each_kind_of_error_has_its_exit_code() -> None:
    assert exit_code(MountError("x")) == exit_code(BadName("x")) == 1
    assert exit_code(Busy("x")) == exit_code(Told("x", 16)) == exit_code(Told("x", 13)) == 3
    assert exit_code(Told("x", 2)) == 1
    assert exit_code(NotServed("x")) == 4


def test_place_where_nothing_is_mounted_is_not_unmounted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main.run(["umount", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"makfs: {os.path.realpath(tmp_path)} is not mounted.\n"
    assert main.run(["umount", "/proc"]) == 1
    assert "is not a makfs mount but proc of " in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_MAKFS_COMPLETE" in script
    assert f"{shell}_complete" in script


def test_command_line_starts_without_anything_heavy() -> None:
    code = (
        "import sys; from makfs.cli import main; assert main.run(['--version']) == 0\n"
        "from makfs.cli.main import COMMANDS, command\n"
        "for name in COMMANDS: main.command.get_command(None, name)\n"
        "from makfs.cli import client, find, lockview, logview, running, showview; import makfs.engine.api\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_agents_are_not_completed_where_no_daemon_answers(tmp_path: Path) -> None:
    from makfs.cli.common import complete_agent

    context = click.Context(main.command, obj=str(tmp_path))
    assert complete_agent(context, main.command.params[0], "a") == []
    assert Found("r", "s", None, named=True).mount is None
