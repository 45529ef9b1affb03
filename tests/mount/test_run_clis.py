"""Unmodified agents under `makfs run`, started by their adapters, offline; a script is the model.

What is not installed is skipped; scripts/clis installs.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.clis import CLIENTS, KEY, Model, Turn, ended, model, needed
from tests.mount.modelserver import RECEIVED, SENT, texts
from tests.mount.runs import PYTHON, SECRET, Place, place

pytestmark = pytest.mark.mount
TOLD = "You work in a makfs view"
LEADS = ("A write that fails", "EBUSY", "cat .makfs/why")
SAYS_NO = {
    "claude": "resource busy",
    "codex": "failed to write file",
}  # codex keeps the error's name to itself

MCP = """\
import json, os, sys

with open(os.path.expanduser("~/mcp"), "a") as file:
    print(*sys.argv[1:], os.environ.get("DOCS_KEY"), file=file)
for line in sys.stdin:
    asked = json.loads(line)
    answer = {"tools": [{"name": "look_it_up", "description": "look", "inputSchema": {"type": "object"}}]}
    if asked.get("method") == "initialize":
        version = asked["params"]["protocolVersion"]
        info = {"name": "docs", "version": "1"}
        answer = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer}), flush=True)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("clis")) as made:
        yield made


@pytest.fixture(scope="module")
def scripted(served: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with model(served, tmp_path_factory.mktemp("model") / "m") as made:
        yield made


def _edit(served: Place, old: str, new: str) -> Turn:
    """Return claude's own way to change a file."""
    path = str(served.repo / "app.py")
    return {"tool": "Edit", "arguments": {"file_path": path, "old_string": old, "new_string": new}}


def _patch(name: str, old: str, new: str) -> Turn:
    """Return codex's own way: it carries this command out itself."""
    lines = f"*** Begin Patch\n*** Update File: app.py\n@@ def {name}():\n-{old}\n+{new}\n*** End Patch\n"
    return {"tool": "exec_command", "arguments": {"cmd": f"apply_patch <<'END'\n{lines}END\n"}}


def _read(served: Place) -> Turn:
    return {"tool": "Read", "arguments": {"file_path": str(served.repo / "app.py")}}


def test_two_programs_edit_one_file_at_the_same_time_and_both_edits_are_in(
    served: Place, scripted: Model
) -> None:
    claude, codex = needed("claude", "codex")
    (served.repo / "app.py").write_text("def f():\n    return 1\n\n\ndef g():\n    return 2\n")
    edit = _edit(served, "def f():\n    return 1\n", "def f():\n    return 11\n")
    scripted.script(
        alice=[
            _read(served),
            {**edit, "meet": "edit"},
            _read(served),  # claude does not write over what has changed since it read it, and says so
            edit,
            {"say": "f is done"},
        ],
        bob=[
            {"tool": "exec_command", "arguments": {"cmd": "cat app.py"}},
            {**_patch("g", "    return 2", "    return 22"), "meet": "edit"},
            {"say": "g is done"},
        ],
    )
    runs = [scripted.task(claude, "change f", "alice"), scripted.task(codex, "change g", "bob")]
    for run in runs:
        ended(run)
    wanted = "def f():\n    return 11\n\n\ndef g():\n    return 22\n"
    for top in (served.repo, served.mounted.alice, served.mounted.bob):
        assert (top / "app.py").read_text() == wanted
    records = {each["agent"]: each for each in json.loads(served.mounted.makfs("ps", "-a", "--json"))}
    for agent, name, turns, answer in (("alice", "claude", 5, "f is done"), ("bob", "codex", 3, "g is done")):
        record = records[agent]
        assert (record["cli"], record["exit_code"], record["commits"]) == (name, 0, 1)
        assert (record["refusals"], record["tokens"]) == (0, turns * (SENT + RECEIVED))
        folder = served.repo / ".makfs" / "runs" / str(record["number"])
        assert (folder / "answer.txt").read_text() == f"{answer}\n"


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_refused_edit_is_reported_to_the_model_with_what_leads_to_the_reason(
    name: str, served: Place, scripted: Model
) -> None:
    (client,) = needed(name)
    assert client.shell is not None
    (served.repo / "app.py").write_text("def f():\n    return 1\n\n\ndef g():\n    return 2\n")
    served.makfs("claim", "bob", "app.py::f")
    edit = (
        _edit(served, "return 1", "return 0")
        if name == "claude"
        else _patch("f", "    return 1", "    return 0")
    )
    first = _read(served) if name == "claude" else client.shell("cat app.py")
    scripted.script(alice=[first, edit, client.shell("cat .makfs/why"), {"say": "f is bob's"}])
    ended(scripted.task(client, "change f", "alice"))
    served.makfs("release", "bob", "--all")
    asked = [list(texts(body)) for body in scripted.requests("alice")]
    after_edit, after_why = asked[2], asked[3]
    for needed_text in LEADS:
        assert any(needed_text in text and TOLD in text for text in after_edit), (
            "the model was told what it means"
        )
    new = [text.lower() for text in after_edit if text not in asked[1]]
    assert any(SAYS_NO[name] in text for text in new), "the program told its model of the error"
    assert any("app.py::f" in text and "bob" in text for text in after_why if text not in after_edit)
    record = served.newest()
    assert (record["commits"], record["refusals"]) == (0, 1)
    assert "return 1\n" in (served.repo / "app.py").read_text()


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_program_is_told_of_makfs_and_works_in_its_view_and_its_tokens_are_counted(
    name: str, served: Place, scripted: Model
) -> None:
    (client,) = needed(name)
    turns: list[Turn] = [{"say": "done"}]
    if client.shell is not None:
        turns.insert(0, client.shell(f"echo by $MAKFS_AGENT in $PWD > {name}.txt"))
    scripted.script(alice=turns)
    ended(scripted.task(client, "write a file", "alice"))
    asked = scripted.requests("alice")
    assert len(asked) == len(turns)
    assert sum(TOLD in text for text in texts(asked[0])) == 1
    if client.shell is not None:
        assert (served.repo / f"{name}.txt").read_text() == f"by alice in {served.repo}\n"
    record = served.newest()
    usage = record["usage"]
    answers, rest = divmod(usage["input_tokens"], SENT)
    assert (rest, usage["output_tokens"], record["tokens"]) == (
        0,
        answers * RECEIVED,
        answers * (SENT + RECEIVED),
    )
    assert len(turns) <= answers <= len(scripted.all_requests("alice")), "errands may count, or not"
    kept = [each for each in (served.repo / ".makfs" / "runs").rglob("*") if each.is_file()]
    assert not [each for each in kept if each.name == "record.json" and KEY in each.read_text()]


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_program_starts_the_users_mcp_server_and_offers_its_tools_to_the_model(
    name: str, served: Place, scripted: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    (client,) = needed(name)
    own = served.outside.parent / "home" / ".config" / "makfs" / "makfs.conf"
    own.parent.mkdir(parents=True, exist_ok=True)
    (served.repo / "mcp.py").write_text(MCP)
    command = json.dumps([PYTHON, str(served.repo / "mcp.py"), "a b"])
    own.write_text(f'[mcp.docs]\ncommand = {command}\nenv = ["DOCS_KEY"]\n')
    monkeypatch.setenv("DOCS_KEY", SECRET)
    scripted.script(alice=[{"say": "done"}])
    try:
        ended(scripted.task(client, "look", "alice"))
    finally:
        own.unlink()
    home = served.repo / ".makfs" / "agents" / "alice" / "home"
    assert set((home / "mcp").read_text().splitlines()) == {f"a b {SECRET}"}
    (home / "mcp").unlink()
    offered = json.dumps([asked["tools"] for asked in scripted.requests("alice")])
    assert "mcp__docs" in offered
    assert "look_it_up" in offered
    record = served.newest()
    assert "DOCS_KEY" in record["variables"]
    assert SECRET not in json.dumps(record)


def test_own_command_line_stays_as_it_is_and_the_program_is_told_all_the_same(
    served: Place, scripted: Model
) -> None:
    (client,) = needed("claude")
    scripted.script(alice=[{"say": "hello"}])
    words = ["--append-system-prompt", "Be brief.", "-p", "say hello"]
    assert ended(scripted.start(client, "alice", "--", "claude", *words, agent="alice")) == "hello\n"
    (asked,) = scripted.requests("alice")
    said = list(texts(asked))
    assert any("Be brief." in text for text in said)
    assert sum(TOLD in text for text in said) == 1
    assert served.newest()["command"] == ["claude", *words]
    home = Path(served.repo / ".makfs" / "agents" / "alice" / "home")
    assert TOLD in (home / ".claude" / "CLAUDE.md").read_text()
