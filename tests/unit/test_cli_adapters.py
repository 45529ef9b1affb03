"""Which adapter a run uses and what it starts, without starting it; what is looked for and let through."""

import json
import os
from pathlib import Path

import pytest

from makfs.cli import homefile, main, programs
from makfs.cli.adapting import Start, Wanted, start
from makfs.cli.exits import CommandFailed
from makfs.cli.programs import Grounds
from makfs.errors import ConfigError, MakfsError, NotFound

SEEN = ("/usr", "/bin")


def _program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "repo").mkdir()
    return tmp_path


def _start(top: Path, *words: str, cli: str | None = None, task: str | None = None, **given: str) -> Start:
    path = f"{top}/bin:/usr/bin:/bin"
    wanted = Wanted(words, cli, task, given, confined=True, hidden=(str(top / "repo"),), seen=SEEN)
    return start(wanted, {"PATH": path, "ANTHROPIC_API_KEY": "sk-4711", "OTHER": "x"})


def _configure(top: Path, text: str) -> None:
    file = top / "home" / ".config" / "makfs" / "makfs.conf"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_known_program_gets_its_variables_and_keeps_its_words(top: Path) -> None:
    _program(top / "bin" / "claude")
    made = _start(top, "claude", "-p", "x", DISABLE_AUTOUPDATER="0")
    assert (made.name, made.command, made.has_task) == ("claude", ("claude", "-p", "x"), False)
    assert made.variables == {"ANTHROPIC_API_KEY": "sk-4711", "IS_SANDBOX": "1", "DISABLE_AUTOUPDATER": "0"}
    assert set(made.secrets) == {"sk-4711", "0"}
    assert made.program is not None
    assert made.program.shown == (f"{top}/bin/claude",)


@pytest.mark.parametrize("word", ["sh", "./claude", "bin/claude"])
def test_other_programs_and_paths_within_the_view_have_no_adapter(word: str, top: Path) -> None:
    _program(top / "bin" / "claude")
    assert _start(top, word) == Start((word,))


def test_program_that_an_agent_could_have_written_gets_no_key(top: Path) -> None:
    """AD1."""
    trap = _program(top / "repo" / "tools" / "claude")
    (top / "bin").mkdir()
    (top / "bin" / "claude").symlink_to(trap)
    for word in ("claude", str(trap)):
        made = _start(top, word)
        assert (made.adapter, made.variables, made.program) == (None, {}, None)


def test_task_makes_the_command_line(top: Path) -> None:
    _program(top / "bin" / "codex")
    made = _start(top, "-m", "x", cli="codex", task="mend it")
    assert made.command[:2] == ("codex", "exec")
    assert made.command[-4:] == ("-m", "x", "--", "mend it")
    named = _start(top, str(top / "bin" / "codex"), "-m", "x", task="mend it")
    assert named.command == (str(top / "bin" / "codex"), *made.command[1:])
    generic = _start(top, "./agent.sh", cli="generic", task="mend it")
    assert (generic.command, generic.input, generic.has_task) == (("./agent.sh",), "mend it", True)


@pytest.mark.parametrize(
    ("words", "cli", "task", "error", "says"),
    [
        (["x"], "cluade", None, NotFound, "There is no adapter 'cluade'; did you mean claude?"),
        (["x"], "zzz", None, NotFound, "there are aider, claude, codex,"),
        (["sh"], None, "mend", NotFound, "--task needs --cli NAME, one of aider,"),
        ([], "generic", "mend", NotFound, "give a command after '--'"),
        ([], "claude", "mend", CommandFailed, "claude was not found; install it: npm install -g @anthropic"),
        (["claude"], None, None, CommandFailed, "The command claude was not found; install it:"),
    ],
)
def test_what_cannot_be_started_is_said_in_a_sentence(
    words: list[str], cli: str | None, task: str | None, error: type[MakfsError], says: str, top: Path
) -> None:
    with pytest.raises(error) as caught:
        _start(top, *words, cli=cli, task=task)
    assert says in str(caught.value)


def test_task_longer_than_a_word_may_be_is_refused(top: Path) -> None:
    _program(top / "bin" / "claude")
    with pytest.raises(MakfsError, match="too long for claude's command line"):
        _start(top, cli="claude", task="x" * (1 << 17))
    assert _start(top, "sh", cli="generic", task="x" * (1 << 17)).input is not None


def test_users_own_table_adds_a_program_and_changes_one(top: Path) -> None:
    _configure(top, '[adapter.mine]\nprograms = ["mine"]\n[adapter.claude]\nset = []\n')
    for name in ("mine", "claude"):
        _program(top / "bin" / name)
    assert _start(top, "mine").name == "mine"
    assert _start(top, "claude").variables == {"ANTHROPIC_API_KEY": "sk-4711"}
    with pytest.raises(ConfigError, match="mine does not say how it is given a task"):
        _start(top, cli="mine", task="mend")


def test_users_servers_are_told_of_with_their_variables_to_who_takes_some(
    top: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("claude", "aider"):
        _program(top / "bin" / name)
    _configure(top, '[mcp.docs]\ncommand = ["/opt/docs"]\nenv = ["OTHER", "ABSENT"]\n')
    made = _start(top, "claude", "-p", "x")
    assert made.command == ("claude", "-p", "x")
    (word,) = made.server_words
    assert json.loads(word.partition("=")[2])["mcpServers"]["docs"]["env"] == {"OTHER": "${OTHER}"}
    assert made.variables["OTHER"] == "x"
    assert "x" in made.secrets
    assert capsys.readouterr().err == ""
    made = _start(top, "aider")
    assert made.server_words == ()
    assert "OTHER" not in made.variables
    assert "aider hears of no MCP server (docs)" in capsys.readouterr().err
    assert _start(top, "sh") == Start(("sh",))


def test_mistake_in_the_users_file_names_it(top: Path) -> None:
    _configure(top, '[adapter.mine]\nprogram = "mine"\n')
    with pytest.raises(ConfigError, match=r'makfs\.conf: \[adapter\."mine"\]: program is unknown'):
        _start(top, "sh")


def test_adapters_are_listed_with_where_they_were_found(
    top: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(_program(top / "bin" / "qwen").parent))
    assert main.run(["adapters", "--json"]) == 0
    rows = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert rows["qwen"]["found"] == f"{top}/bin/qwen"
    assert rows["claude"]["found"] is None
    assert main.run(["adapters"]) == 0
    assert "not found; npm install -g @anthropic-ai/claude-code" in capsys.readouterr().out


def test_package_interpreter_and_environment_are_let_through_and_no_more(top: Path) -> None:
    """P1."""
    package = top / "home" / "v20" / "lib" / "node_modules"
    real = _program(package / "agent" / "cli.js", "#!/usr/bin/env node\n")
    node = _program(top / "home" / "v20" / "bin" / "node", "ELF")
    (top / "home" / "v20" / "bin" / "agent").symlink_to(real)
    grounds = Grounds(SEEN, (str(top / "home"),), (str(top / "repo"),))
    found = programs.find("agent", str(node.parent), grounds)
    assert found is not None
    assert found.shown == (str(package), str(node))
    assert found.links == ((f"{node.parent}/agent", str(real)),)
    venv = top / "home" / "tool"
    python = _program(top / "home" / "py" / "bin" / "python3", "ELF")
    _program(venv / "bin" / "tool", f"#!{venv}/bin/python3\n")
    (venv / "bin" / "python3").symlink_to(python)
    (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
    found = programs.find("tool", str(venv / "bin"), grounds)
    assert found is not None
    assert found.shown == (str(venv), str(top / "home" / "py"))


def test_nothing_of_the_repository_or_a_whole_home_is_let_through(top: Path) -> None:
    """P1."""
    grounds = Grounds(SEEN, (str(top / "home"),), (str(top / "repo"),))
    inside = _program(top / "repo" / "node_modules" / "x" / "x.js")
    around = _program(top / "node_modules" / "y.js")  # its package's folder holds nothing of those
    home = _program(top / "home" / "bin" / "python3")  # a Python's folder would be the home
    for path, wanted in ((inside, ()), (around, (str(top / "node_modules"),)), (home, (str(home),))):
        found = programs.find(str(path), "", grounds)
        assert found is not None
        if path == home:
            assert str(top / "home") not in found.shown
        else:
            assert found.shown == wanted


def test_file_in_a_home_is_changed_and_its_mode_kept(tmp_path: Path) -> None:
    homefile.change(str(tmp_path), ".a/b/c.md", lambda before: before + "one\n")
    path = tmp_path / ".a" / "b" / "c.md"
    path.chmod(0o640)
    homefile.change(str(tmp_path), ".a/b/c.md", lambda before: before + "two\n")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("one\ntwo\n", 0o640)
    assert os.listdir(path.parent) == ["c.md"]


@pytest.mark.parametrize("what", ["link", "folder", "fifo", "directory"])
def test_what_an_agent_laid_in_its_home_leads_nowhere(what: str, tmp_path: Path) -> None:
    """H1."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (outside / "c.md").write_text("treasure")
    if what == "folder":
        (home / "a").symlink_to(outside)
    else:
        (home / "a").mkdir()
    if what == "link":
        (home / "a" / "c.md").symlink_to(outside / "c.md")
    elif what == "fifo":
        os.mkfifo(home / "a" / "c.md")
    elif what == "directory":
        (home / "a" / "c.md").mkdir()
    with pytest.raises(homefile.NotWritten, match="in its home"):
        homefile.change(str(home), "a/c.md", lambda _: "mine")
    assert (outside / "c.md").read_text() == "treasure"
    assert os.listdir(outside) == ["c.md"]
