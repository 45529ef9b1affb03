"""MCP servers of the user's makfs.conf: what is accepted, and what each program is told."""

import json
import tomllib
from pathlib import Path

import pytest

import makfs.adapters
from makfs.adapters.servers import Server, read_servers, server_words, takes_servers
from makfs.adapters.table import Adapter, read
from makfs.config import parse
from makfs.errors import ConfigError

FOLDER = Path(makfs.adapters.__file__).parent
ODD = ("/opt/d é 😀/server", "--root={name}", 'say "x"', "$HOME \\ {url_json}")
SERVERS = (Server("docs", ODD, env=("DOCS_KEY",)), Server("web-1", url="https://x.example/mcp"))


def _shipped(name: str) -> Adapter:
    return read(name, tomllib.loads((FOLDER / f"{name}.toml").read_text())["adapter"][name]).over(None)


def test_claude_is_told_by_one_word_of_json() -> None:
    (word,) = server_words(_shipped("claude"), SERVERS)
    option, _, text = word.partition("=")
    assert option == "--mcp-config"
    assert json.loads(text) == {
        "mcpServers": {
            "docs": {"command": ODD[0], "args": [*ODD[1:]], "env": {"DOCS_KEY": "${DOCS_KEY}"}},
            "web-1": {"type": "http", "url": "https://x.example/mcp"},
        }
    }


def test_codex_is_told_by_settings_that_are_toml() -> None:
    words = server_words(_shipped("codex"), SERVERS)
    assert set(words[::2]) == {"-c"}
    assert tomllib.loads("\n".join(words[1::2]))["mcp_servers"] == {
        "docs": {"command": ODD[0], "args": [*ODD[1:]], "env_vars": ["DOCS_KEY"]},
        "web-1": {"url": "https://x.example/mcp"},
    }


def test_no_servers_are_no_words_and_a_table_may_say_nothing_of_them() -> None:
    assert server_words(_shipped("claude"), ()) == ()
    assert [name for name in ("claude", "codex", "aider", "generic") if takes_servers(_shipped(name))] == [
        "claude",
        "codex",
    ]


def test_servers_of_makfs_conf_are_read() -> None:
    text = '[mcp.docs]\ncommand = ["a", "b"]\nenv = ["KEY"]\n[mcp.web]\nurl = "http://x/"\n'
    assert parse(text, "makfs.conf").servers == (
        Server("docs", ("a", "b"), "", ("KEY",)),
        Server("web", (), "http://x/"),
    )
    assert read_servers({}) == parse("", "makfs.conf").servers == ()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "either command or url"),
        ('command = ["a"]\nurl = "http://x"', "either command or url"),
        ('command = "a b"', "command: 'a b' is not accepted; accepted: a list of words"),
        ("command = ['']", "command: [''] is not accepted"),
        ("command = [1]", "command: [1] is not accepted"),
        ("url = 'x'", "url: 'x' is not accepted; accepted: an address"),
        ("url = 1", "url: 1 is not accepted"),
        ("url = 'http://x'\nenv = ['A']", "env is of a program"),
        ("command = ['a']\nenv = ['A=1']", "env: 'A=1' is not the name of a variable"),
        ("args = ['a']", "args is unknown; accepted: command, url, env"),
    ],
)
def test_mistake_names_file_key_and_what_is_accepted(table: str, says: str) -> None:
    """A8."""
    with pytest.raises(ConfigError) as caught:
        parse(f"[mcp.mine]\n{table}\n", "some/makfs.conf")
    assert str(caught.value).startswith(f'some/makfs.conf: [mcp."mine"]: {says}')


@pytest.mark.parametrize("text", ["mcp = 1", '[mcp."A b"]\nurl = "http://x"', "[mcp]\ndocs = 1"])
def test_table_of_the_wrong_shape_or_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"some/makfs\.conf: .*mcp.*accepted"):
        parse(text, "some/makfs.conf")
