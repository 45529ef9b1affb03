"""Tables of command line agents: what is accepted, whose keys win, how a program is told and given a task."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import makfs.adapters
from makfs.adapters.table import Adapter, read, read_all
from makfs.adapters.telling import BEGIN, END, Guide, task_of, tell, variables, with_guide
from makfs.cli.running_agents import GUIDE as TEXT
from makfs.config import parse
from makfs.errors import ConfigError

FOLDER = Path(makfs.adapters.__file__).parent
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.toml"))
GUIDE = Guide('Say "x"\n', "/makfs/guide.md")
TASK = "-v mend {guide} and {more}"


def shipped(name: str) -> Adapter:
    return read(name, tomllib.loads((FOLDER / f"{name}.toml").read_text())["adapter"][name]).over(None)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_table_is_what_a_user_could_write_and_is_found_by_its_programs_name(name: str) -> None:
    (table,) = parse((FOLDER / f"{name}.toml").read_text(), "makfs.conf").adapters
    adapter = shipped(name)
    assert (table.name, table.over(None)) == (name, adapter)
    assert adapter.programs == (() if name == "generic" else (name,))
    assert bool(adapter.install) == bool(adapter.env) == bool(adapter.programs)


def test_all_that_were_promised_are_shipped() -> None:
    assert SHIPPED == ["aider", "claude", "codex", "copilot", "gemini", "generic", "opencode", "qwen"]


@pytest.mark.parametrize("name", [each for each in SHIPPED if each != "generic"])
@pytest.mark.parametrize("unattended", [True, False])
def test_task_arrives_as_one_word_that_no_option_can_be_taken_for(name: str, unattended: bool) -> None:
    adapter = shipped(name)
    made = task_of(adapter, TASK, ["--model", "m"], unattended=unattended)
    carriers = [word for word in made.words if TASK in word]
    assert made.words[0] == name
    assert carriers == [TASK] if made.words[-2] == "--" else carriers[0].startswith("--")
    assert made.words.count("--model") == 1
    assert made.words.index("--model") < made.words.index(carriers[0])
    assert (set(adapter.unattended) <= set(made.words)) is unattended
    assert made.input is None


def test_program_of_no_adapter_gets_its_task_on_standard_input() -> None:
    made = task_of(shipped("generic"), TASK, ["./agent.sh", "-x"], unattended=True)
    assert (made.words, made.input) == (("./agent.sh", "-x"), TASK)


@pytest.mark.parametrize("name", SHIPPED)
def test_own_words_stay_and_the_program_is_told_in_one_way(name: str) -> None:
    """A6."""
    own = [name, "--model", "m", "do it"]
    told = tell(shipped(name), own, GUIDE, ())
    added = told.words[1 : len(told.words) - 3]
    assert (*told.words[:1], *told.words[-3:]) == tuple(own)
    ways = [bool(added), bool(told.variables), bool(told.file)]
    assert sum(ways) == (name != "generic")
    said = " ".join([*added, *told.variables.values()])
    says = any(each in said for each in (GUIDE.path, GUIDE.text, json.dumps(GUIDE.text)))
    assert says == (ways[0] or ways[1])


@pytest.mark.parametrize(
    ("name", "words", "names", "file"),
    [
        ("claude", ["--append-system-prompt=mine"], [], ".claude/CLAUDE.md"),
        ("qwen", ["--append-system-prompt", "mine"], [], ".qwen/QWEN.md"),
        ("codex", ["-c", "developer_instructions=mine"], [], ".codex/AGENTS.md"),
        ("opencode", ["run"], ["OPENCODE_CONFIG_CONTENT"], ".config/opencode/AGENTS.md"),
    ],
)
def test_what_the_caller_says_in_the_same_place_is_left_and_a_file_tells_instead(
    name: str, words: list[str], names: list[str], file: str
) -> None:
    told = tell(shipped(name), [name, *words], GUIDE, names)
    assert (told.words, told.variables, told.file) == ((name, *words), {}, file)


def test_settings_of_variables_hold_json_that_can_be_read() -> None:
    told = tell(shipped("opencode"), ["opencode"], GUIDE, ())
    assert json.loads(told.variables["OPENCODE_CONFIG_CONTENT"]) == {"instructions": ["/makfs/guide.md"]}
    (_, setting) = tell(shipped("codex"), ["codex"], GUIDE, ()).words[1:]
    assert tomllib.loads(setting) == {"developer_instructions": GUIDE.text}
    assert variables(shipped("aider")) == {"AIDER_CHECK_UPDATE": "false", "AIDER_ANALYTICS": "false"}


def test_guide_has_fewer_than_150_words_and_says_what_matters() -> None:
    assert len(TEXT.split()) < 150
    for needed in ("EBUSY", "cat .makfs/why", "> .makfs/claim", "Others edit it now"):
        assert needed in TEXT


@given(st.text(max_size=30), st.text(max_size=30), st.text("ab \n", min_size=1), st.text("cd \n", min_size=1))
def test_what_somebody_else_wrote_in_a_file_stays(before: str, after: str, old: str, new: str) -> None:
    """A7."""
    first = with_guide(before, old)
    assert first.startswith(before)
    changed = with_guide(first + after, new)
    assert changed.startswith(before)
    assert changed.endswith(after)
    assert changed.count(BEGIN) == changed.count(END) == 1
    assert new.rstrip() in changed
    assert with_guide(changed, new) == changed


def test_later_table_wins_key_by_key() -> None:
    """A2."""
    changed = read("claude", {"unattended": ["--permission-mode", "plan"]}).over(shipped("claude"))
    assert changed.unattended == ("--permission-mode", "plan")
    assert changed.reads == shipped("claude").reads


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "says nothing; accepted: the keys programs,"),
        ('flags = ["x"]', "flags is unknown; accepted: programs,"),
        ("task = '-p {task}'", "task: '-p {task}' is not accepted; accepted: a list of words"),
        ("task = [1]", "task: 1 is not accepted; accepted: text in quotes"),
        ("task = ['{prompt}']", "task: '{prompt}': {prompt} means nothing; accepted: {task},"),
        ("programs = ['/bin/x']", "programs: '/bin/x' is not the name of a program"),
        ("env = ['A=1']", "env: 'A=1' is not the name of a variable"),
        ("set = ['A']", "set: 'A' is not accepted; accepted: NAME=VALUE"),
        ("tell_unless = ['']", "tell_unless: an empty word"),
        ("tell_file = '/etc/x'", "tell_file: '/etc/x' is not a path below the home"),
        ("tell_file = '../x'", "tell_file: '../x' is not a path below the home"),
        ("paths = ['x']", "paths: 'x' is not an absolute path below / or ~"),
        ("paths = ['~/']", "paths: '~/' is not an absolute path"),
        ("reads = 1", "reads: 1 is not accepted; accepted: [[adapter.NAME.reads]] tables"),
        ("reads = [{input = ['a']}]", "reads: either when or pattern"),
        ("reads = [{when = ['a=b'], pattern = '(?P<input>x)'}]", "reads: either when or pattern"),
        ("reads = [{when = ['type']}]", "reads: when: 'type' is not accepted; accepted: PATH=VALUE"),
        ("reads = [{when = ['a=b'], input = ['a..b']}]", "reads: input: 'a..b' is not a path of keys"),
        ("reads = [{when = ['a=b'], each = 1}]", "reads: each: 1 is not accepted; accepted: true, false"),
        ("reads = [{pattern = '('}]", "reads: pattern: '(' is not a regular expression"),
        ("reads = [{pattern = 'x'}]", "reads: pattern: 'x': its groups are not among (?P<input>)"),
        ("reads = [{when = ['a=b'], tokens = ['x']}]", "reads: tokens is unknown; accepted: when,"),
    ],
)
def test_mistake_in_a_table_names_file_key_and_what_is_accepted(table: str, says: str) -> None:
    """A1."""
    with pytest.raises(ConfigError) as caught:
        parse(f"[adapter.mine]\n{table}\n", "some/makfs.conf")
    assert str(caught.value).startswith(f'some/makfs.conf: [adapter."mine"]: {says}')


@pytest.mark.parametrize("text", ["[adapter]\nclaude = 1", "adapter = 1", '[adapter."a b"]\ninstall = "x"'])
def test_table_of_the_wrong_shape_or_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"some/makfs\.conf: .*adapter.*accepted"):
        parse(text, "some/makfs.conf")


def test_no_tables_are_no_adapters() -> None:
    assert read_all({}) == parse("", "makfs.conf").adapters == ()
