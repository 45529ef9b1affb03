"""The makfs.conf that shows every setting at its default, with what it means and what is accepted.

C3  makfs.conf at the top of the project is `render()`, so the document and the code cannot differ.
"""

import textwrap
from enum import Enum

from makfs.config import accepted
from makfs.settings import SECTIONS, settings


def render() -> str:
    """Return makfs.conf with every key at its default (C3)."""
    lines = [_HEAD]
    for section, defaults in SECTIONS.items():
        lines += ["", f"[{section}]"]
        for key, setting in settings(section).items():
            default = getattr(defaults, key)
            for sentence in (setting.says, f"Accepted: {accepted(default, setting)}."):
                lines += _comment(sentence)
            lines += [f"{key} = {_toml(default)}", ""]
        lines.pop()
    return "\n".join([*lines, _TAIL])


def _comment(sentence: str) -> list[str]:
    # Without hyphenation: a pattern broken in two could be copied.
    return textwrap.wrap(
        sentence,
        width=104,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _toml(value: object) -> str:
    if isinstance(value, Enum):
        return f'"{value.value}"'
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        items = [f'"{item}"' for item in value]
        oneline = f"[{', '.join(items)}]"
        return oneline if len(oneline) < 80 else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return str(value)


_HEAD = """\
# Every setting of makfs at its default. A repository's own makfs.conf, at its top, needs only the keys it
# changes; keys it leaves out come from ~/.config/makfs/makfs.conf, then from here. A list replaces the
# whole list. Unknown keys and values that are not accepted are errors: nothing is mounted."""

_TAIL = """
# One agent: what on_write and reads say, for this agent alone, its role, its place in queues.
# [agent.alice]
# policy = "claim"
# reads = "locked"
# role = "documents"
# isolation = "snapshot"  (its view stands at one commit, with its own edits, until it is published)
# priority = 2  (-9 to 9: each step is worth a second of waiting in the queues of locks)

# What agents of a role may write and read, and what is not there for them. Patterns as in .gitignore; in
# `write`, PATTERN::NAME is a part of a file. Left out, write and read mean everything, hide nothing.
# [role.documents]
# write = ["docs/**", "src/app.py::Help.*"]
# read = ["**"]
# hide = ["secrets/"]

# Some files: what on_write says, for the files a .gitignore line of this text would match. The last rule
# that matches wins, before the agent's own; always_merge above comes before both.
# [path."docs/**"]
# on_write = "merge"

# A program for `makfs run`, or what is different about one that makfs knows (docs/run.md). Accepted in
# ~/.config/makfs/makfs.conf alone.
# [adapter.claude]
# unattended = ["--permission-mode", "acceptEdits"]

# An MCP server for every program under `makfs run` that takes some: a program, or an address (docs/run.md).
# Accepted in ~/.config/makfs/makfs.conf alone.
# [mcp.docs]
# command = ["/opt/tools/docs-server", "--stdio"]
# env = ["DOCS_KEY"]

# A process resource: commands that wait their turn under `makfs run`, one at a time whoever starts them, and
# for how long they do, in seconds (docs/run.md). A command is of the last resource that names it.
# [resource.test]
# commands = ["pytest", "tox"]
# wait_s = 3600
"""
