"""What the commits of the exported log say. Pure.

M1  Whatever files, programs and notes are called, a message is UTF-8, its first line is one line, and only
    the trailers written here are trailers.
"""

from collections.abc import Iterable, Sequence

from makfs.ids import AgentId
from makfs.store.model import Commit

SEQ = "Makfs-Seq"
BASE = "Makfs-Base"
LARGE = "Makfs-Large"
MOST_NODES = 20
_ROOM = 72


def shown(name: str) -> str:
    """Return a name as one line of UTF-8: what cannot be printed, or is not text, with backslashes."""
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(each if each.isprintable() and each != "\\" else _escaped(each) for each in name)


def _escaped(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    if "\udc80" <= letter <= "\udcff":  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def identity(agent: AgentId) -> str:
    """Return an agent as git names people."""
    return f"{agent} <{agent}@makfs>"


def counted(number: int, what: str) -> str:
    """Return a number of things."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def subject(commit: Commit) -> str:
    """Return the first line: who, and which nodes, or the note, or which paths."""
    names = list(dict.fromkeys(map(shown, commit.addresses)))
    remarks = [counted(commit.nodes_changed, "node")] if commit.nodes_changed else []
    note = shown(commit.note)
    if not names:
        names = [note] if note else [shown(path) for path in commit.paths]
        remarks = [] if note else [counted(len(names), "path")]
    elif note:
        remarks.append(note)
    tail = f" ({'; '.join(remarks)})" if remarks else ""
    return f"{commit.agent}: {_fitting(names, _ROOM - len(commit.agent) - 2 - len(tail))}{tail}"


def _fitting(names: Sequence[str], room: int) -> str:
    """Return as many names as fit, at least one."""
    line = names[0] if names else ""
    for at, name in enumerate(names[1:], 2):
        more = "" if at == len(names) else ", ..."
        if len(line) + 2 + len(name) + len(more) > room:
            return f"{line}, ..."
        line = f"{line}, {name}"
    return line


def message_of(commit: Commit, large: Iterable[str] = ()) -> bytes:
    """Return the message of a commit of the journal. `large`: what to say of contents that were not kept."""
    nodes = list(dict.fromkeys(map(shown, commit.addresses)))[:MOST_NODES]
    lines = [f"{SEQ}: {commit.seq}", f"Makfs-Agent: {commit.agent}"]
    if commit.program:
        lines.append(f"Makfs-Program: {shown(commit.program)}")
    if commit.pid:
        lines.append(f"Makfs-Pid: {commit.pid}")
    if commit.task:
        lines.append(f"Makfs-Task: {shown(commit.task)}")
    lines += [f"Makfs-Nodes: {node}" for node in nodes]
    if commit.nodes_changed > MOST_NODES:
        lines.append(f"Makfs-Nodes: and {commit.nodes_changed - len(nodes)} more")
    if commit.note:
        lines.append(f"Makfs-Note: {shown(commit.note)}")
    return _joined(subject(commit), lines, large)


def base_message(seq: int, files: int, head: str, large: Iterable[str] = ()) -> bytes:
    """Return the message of a tree that no commit of the journal made: what files it does not know say."""
    if seq == 0:
        first = f"makfs: the tree before commit 1 ({counted(files, 'file')})"
    else:
        first = f"makfs: files that no commit records changed after commit {seq}"
    lines = [f"{SEQ}: {seq}", f"{BASE}: {counted(files, 'file')}"]
    if head:
        lines.append(f"Makfs-Head: {head}")
    return _joined(first, lines, large)


def _joined(first: str, lines: list[str], large: Iterable[str]) -> bytes:
    lines += [f"{LARGE}: {each}" for each in large]
    return "\n".join([first, "", *lines, ""]).encode("utf-8", "replace")


def trailer(message: bytes, key: str) -> str | None:
    """Return the value of the first trailer of a key in a message's last paragraph, or None."""
    last = message.decode("utf-8", "replace").rstrip("\n").rpartition("\n\n")[2]
    for line in last.split("\n"):
        name, colon, value = line.partition(": ")
        if colon and name == key:
            return value
    return None
