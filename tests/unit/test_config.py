"""makfs.conf: what is accepted, which file wins, and that the shipped file says what the code does."""

import dataclasses
import re
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import makfs.config
from makfs.config import (
    AllowOther,
    Config,
    Isolation,
    OnWrite,
    Partial,
    Reads,
    ResourceRule,
    RoleRule,
    combine,
    parse,
)
from makfs.errors import ConfigError
from makfs.ids import AgentId, RepoPath
from makfs.sample import render
from makfs.settings import SECTIONS, Setting, settings

ALICE, BOB = AgentId("alice"), AgentId("bob")
SHIPPED = Path(__file__).parents[2] / makfs.config.FILE_NAME
KEYS = [(section, key) for section in SECTIONS for key in settings(section)]


def _config(text: str) -> Config:
    return combine(Config(), None, parse(text, "makfs.conf"))


def _refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "some/makfs.conf")
    message = str(caught.value)
    assert message.startswith("some/makfs.conf: "), "C1: the file is named"
    return message


def test_the_shipped_file_is_what_the_code_renders() -> None:
    assert SHIPPED.read_text() == render(), "C3: write makfs.conf anew from makfs.sample.render()"


def test_the_shipped_file_sets_every_key_to_its_default() -> None:
    partial = parse(render(), "makfs.conf")
    assert [(given.section, given.key) for given in partial.values] == KEYS
    for one in partial.values:
        assert one.value == getattr(SECTIONS[one.section], one.key)
    assert combine(Config(), None, partial) == Config()


def test_every_section_of_the_config_can_be_set() -> None:
    sections = {name for name in SECTIONS if dataclasses.is_dataclass(getattr(Config(), name))}
    tables = {"agents", "paths", "resources", "roles"}
    assert sections | tables == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_default_is_accepted_and_has_a_unit_if_it_is_a_number(section: str, key: str) -> None:
    setting, default = settings(section)[key], getattr(SECTIONS[section], key)
    assert setting.says.endswith(".")
    if isinstance(default, int | float):
        assert setting.low <= default <= setting.high
        assert setting.unit
        named = key.endswith(("_bytes", "_s", "_at")) or setting.unit in ("operations", "messages", key)
        assert named, "units stand in names"


def test_an_empty_file_sets_nothing() -> None:
    assert parse("", "makfs.conf") == Partial("makfs.conf")
    assert combine(Config(), None, None) == Config()


def test_the_repositorys_file_beats_the_users_key_by_key() -> None:
    user = parse("[write]\nwait_s = 1\nlease_s = 2\n[view]\nscratch = ['a', 'b']", "user")
    repo = parse("[write]\nwait_s = 3\n[view]\nscratch = ['c']", "repo")
    config = combine(Config(), user, repo)
    assert (config.write.wait_s, config.write.lease_s, config.write.claim_s) == (3.0, 2.0, 300.0), "C2"
    assert config.view.scratch == ("c",), "C2: lists are replaced"


def test_values_arrive_in_the_keys_own_type() -> None:
    config = _config("[write]\nwait_s = 3\non_write = 'claim'\n[mount]\nallow_other = 'no'\nmax_waiters = 7")
    assert (config.write.on_write, config.mount.allow_other) == (OnWrite.CLAIM, AllowOther.NO)
    assert isinstance(config.write.wait_s, float)
    assert config.mount.max_waiters == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[write]\nwait_z = 1", "[write] wait_z is unknown; did you mean wait_s?"),
        ("[wirte]\nwait_s = 1", "wirte is unknown; did you mean write?"),
        ("[store]\nwait_s = 1", "[store] wait_s is unknown; it belongs to [write]"),
        ("shadow_s = 1", "shadow_s is unknown; it belongs to [view]"),
        ("[mount]\nqqq = 1", "[mount] qqq is unknown; accepted: allow_other, max_waiters"),
        ("write = 1", "write is a table; accepted: [write] and keys below it"),
        ("[agent.alice]\npolice = 'merge'", "police is unknown; did you mean policy?"),
        ("[agent.alice]", '[agent."alice"]: says nothing; accepted: the keys policy, role, reads'),
        ("[agent.alice]\npriority = 10", "accepted: a whole number of steps from -9 to 9"),
        ("[agent.alice]\npriority = 1.5", "1.5 is not accepted"),
        ("[path.a]", '[path."a"]: says nothing; accepted: the key on_write'),
        ("[agent.alice]\nrole = 1", "1 is not accepted; accepted: a name in quotes"),
        ("[agent.alice]\nreads = 'x'", 'accepted: one of "newest", "locked"'),
        ("[role.r]\nwrite = 'x'", "accepted: a list of patterns, each in quotes"),
        ("[role.r]\nhide = ['a.py::f']", "is not a path's pattern: only write takes parts of files"),
        ("[role.r]\nwrites = []", "writes is unknown; did you mean write?"),
        ("[agent.alice]\npolicy = 'merge'\nwait_s = 1", '[agent."alice"]: wait_s is unknown; it belongs to'),
        ("[agent]\nalice = 'merge'", '[agent."alice"]: says nothing; accepted: the keys policy'),
        ("[agent.'a/b']\npolicy = 'merge'", "cannot name an agent"),
        ("[agent.'@head']\npolicy = 'merge'", "cannot name an agent"),
        ("[agent.'.makfs']\npolicy = 'merge'", "cannot name an agent"),
        ("[path.'!x']\non_write = 'merge'", "cannot start with !"),
        ("[path.'']\non_write = 'merge'", "is not a pattern as in .gitignore"),
        ("[path.'[z-a]']\non_write = 'merge'", "is not a pattern as in .gitignore"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_accepted(text: str, expected: str) -> None:
    assert expected in _refused(text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wait_s = -1", "[write] wait_s: -1 is not accepted; accepted: a number of seconds from 0 to 300"),
        ("wait_s = nan", "wait_s: nan is not accepted"),
        ("wait_s = inf", "wait_s: inf is not accepted"),
        ("wait_s = true", "wait_s: True is not accepted"),
        ("wait_s = '3'", "wait_s: '3' is not accepted"),
        ("wait_s = 300.5", "wait_s: 300.5 is not accepted"),
        ("on_write = 'mergee'", 'accepted: one of "lease", "merge", "claim"'),
        ("on_write = 1", 'accepted: one of "lease", "merge", "claim"'),
        ("always_merge = 'x'", "accepted: a list of patterns, each in quotes"),
        ("always_merge = ['x', 1]", "accepted: a list of patterns, each in quotes"),
        ("always_merge = ['x', '']", "always_merge: '' is not a pattern as in .gitignore"),
        ("always_merge = ['# x']", "is not a pattern as in .gitignore"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(line: str, expected: str) -> None:
    assert expected in _refused(f"[write]\n{line}")


def test_a_fraction_is_no_whole_number() -> None:
    assert "accepted: a whole number of operations from 1 to" in _refused("[mount]\nmax_waiters = 1.0")


@pytest.mark.parametrize(
    "text", ["[write", "a = 1\na = 2", "x = " + "[" * 5000, "x = " + "9" * 5000, "[write]\n[write]\n"]
)
def test_text_that_is_not_toml_is_a_config_error(text: str) -> None:
    assert "not TOML" in _refused(text)


def test_always_merge_beats_a_paths_rule_beats_an_agents_beats_on_write() -> None:
    config = _config(
        "[write]\non_write = 'lease'\n[agent.alice]\npolicy = 'claim'\n"
        "[path.'docs/**']\non_write = 'merge'\n[path.'docs/api.py']\non_write = 'lease'\n"
    )
    assert config.policy_for(BOB, RepoPath("src/app.py")) is OnWrite.LEASE
    assert config.policy_for(ALICE, RepoPath("src/app.py")) is OnWrite.CLAIM
    assert config.policy_for(ALICE, RepoPath("docs/a/b.py")) is OnWrite.MERGE
    assert config.policy_for(ALICE, RepoPath("docs/api.py")) is OnWrite.LEASE, "the last rule wins"
    assert config.policy_for(ALICE, RepoPath("sub/CHANGELOG.md")) is OnWrite.MERGE


@pytest.mark.parametrize("path", ["", "a", "bad\udcff/name", "new\nline", "a" * 4096])
def test_any_path_has_a_policy(path: str) -> None:
    assert _config("[path.'docs/']\non_write = 'claim'").policy_for(ALICE, RepoPath(path)) is OnWrite.LEASE


def test_a_role_is_found_by_its_agent() -> None:
    config = _config("[role.r]\nwrite = ['docs/', 'a.py::K.*']\nhide = ['s/']\n[agent.alice]\nrole = 'r'")
    assert config.role_for(ALICE) == RoleRule("r", ("docs/", "a.py::K.*"), ("**",), ("s/",))
    assert config.role_for(BOB) is None


def test_a_role_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"there is no \[role.x\]; roles: there are none"):
        _config("[agent.alice]\nrole = 'x'")


def test_reads_may_be_locked_for_one_or_for_all() -> None:
    config = _config("[view]\nreads = 'locked'\n[agent.alice]\nreads = 'newest'")
    assert (config.reads_for(ALICE), config.reads_for(BOB)) == (Reads.NEWEST, Reads.LOCKED)


def test_isolation_is_an_agents_own_and_nothing_by_default() -> None:
    config = _config("[agent.alice]\nisolation = 'snapshot'\n[publish]\ngate = 'pytest -q'")
    assert (config.isolation_for(ALICE), config.isolation_for(BOB)) == (Isolation.SNAPSHOT, None)
    assert (config.publish.gate, config.publish.gate_s) == ("pytest -q", 600.0)
    assert 'accepted: one of "live", "snapshot"' in _refused("[agent.alice]\nisolation = 'both'")
    assert "accepted: a command in quotes" in _refused("[publish]\ngate = 3")


def test_the_repositorys_rules_beat_the_users() -> None:
    user = parse(
        "[agent.alice]\npolicy = 'claim'\n[agent.bob]\npolicy = 'claim'\n[path.a]\non_write='claim'", "u"
    )
    repo = parse("[agent.alice]\npolicy = 'lease'\n[path.a]\non_write = 'lease'", "r")
    config = combine(Config(), user, repo)
    policies = [config.policy_for(agent, RepoPath("x")) for agent in (ALICE, BOB)]
    assert policies == [OnWrite.LEASE, OnWrite.CLAIM]
    assert config.policy_for(BOB, RepoPath("a")) is OnWrite.LEASE


SCALARS = st.one_of(
    st.integers(-5, 2**45), st.floats(), st.booleans(), st.sampled_from(["merge", "auto", "x"])
)


@given(st.sampled_from(KEYS), SCALARS)
def test_a_value_outside_its_range_never_gets_into_a_config(place: tuple[str, str], value: object) -> None:
    section, key = place
    setting, default = settings(section)[key], getattr(SECTIONS[section], key)
    literal = f'"{value}"' if isinstance(value, str) else str(value).lower()
    line = f"[{section}]\n{key} = {literal}\n"
    if not _fits(value, default, setting):
        assert key in _refused(line), "C1"
        return
    kept = getattr(getattr(_config(line), section), key)
    assert type(kept) is type(default)
    assert (kept.value if isinstance(kept, Enum) else kept) == value


def _fits(value: object, default: object, setting: Setting) -> bool:
    if isinstance(value, bool) or isinstance(default, tuple):
        return False
    if isinstance(default, Enum):
        return value in [choice.value for choice in type(default)]
    if isinstance(default, str):
        return isinstance(value, str)
    numbers = (int,) if isinstance(default, int) else (int, float)
    return isinstance(value, numbers) and setting.low <= value <= setting.high


def test_resource_says_which_commands_take_turns_and_the_nearer_file_says_it_anew() -> None:
    user = parse('[resource.test]\ncommands = ["pytest"]\n[resource."port:80"]\nwait_s = 5\n', "u")
    repo = parse('[resource.test]\ncommands = ["tox", "g++"]\n', "r")
    found = combine(Config(), user, repo).resources
    assert found == (ResourceRule("test", ("tox", "g++"), 3600.0), ResourceRule("port:80", (), 5.0)), "C2"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[resource."a b"]\nwait_s = 1\n', "a resource is letters"),
        ("[resource.test]\n", "says nothing; accepted: the keys commands, wait_s"),
        ('[resource.test]\ncommands = ["../pytest"]\n', "not the name of a command"),
        ('[resource.test]\ncommands = ["py test"]\n', "not the name of a command"),
        ("[resource.test]\nwait_s = -1\n", "a number of seconds from 0 to 86400"),
        ("[resource.test]\nwait = 1\n", "did you mean wait_s?"),
    ],
)
def test_resource_that_is_not_accepted_is_told(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        parse(text, "f")
