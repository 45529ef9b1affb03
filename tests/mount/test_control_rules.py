"""Control files under roles, leases and locked reads, and the queue that they tell of."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mount.conftest import GREET
from tests.mount.hands import Hand, eventually
from tests.mount.mounted import Mounted, outcome

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]
CONFIG = """
[write]
wait_s = 60
lease_s = 0.5
[agent.lena]
policy = "lease"
[agent.rita]
reads = "locked"
[agent.dora]
role = "documents"
[role.documents]
write = ["greet.py::hello"]
read = ["**", "!unread.py"]
hide = ["secret/", "hidden.py"]
"""
HELLO = b'\n\ndef hello(name):\n    return f"hi {name}"\n'


@pytest.fixture
def ruled(tmp_repo: Path, tmp_path: Path) -> Iterator[Mounted]:
    """Serve a repository in which dora may write one node, lena leases and rita waits for writers."""
    for name in ("greet.py", "unread.py", "hidden.py", "secret/key.py"):
        (tmp_repo / name).parent.mkdir(exist_ok=True)
        (tmp_repo / name).write_bytes(GREET)
    config = tmp_path / "makfs.conf"
    config.write_text(CONFIG)
    place = tmp_path / "work"
    place.mkdir()
    mounted = Mounted(tmp_repo, place, ("alice", "bob", "dora", "lena", "rita"), config=config)
    try:
        mounted.start()
        yield mounted
        mounted.stop()
    finally:
        mounted.take_away()
    assert not mounted.complaints(), mounted.complaints()[0]


def rows(mounted: Mounted, agent: str, name: str) -> list[dict[str, Any]]:
    text = (mounted.mountpoint / agent / ".makfs" / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def claim(mounted: Mounted, agent: str, line: str) -> object:
    def write() -> None:
        fd = os.open(mounted.mountpoint / agent / ".makfs/claim", os.O_WRONLY)
        try:
            os.write(fd, line.encode() + b"\n")
        finally:
            os.close(fd)

    return outcome(write)


def node(mounted: Mounted, agent: str, name: str, file: str = "greet.py") -> Path:
    return mounted.mountpoint / agent / ".makfs/nodes" / file / name


def test_role_does_not_meet_what_is_hidden_from_it(ruled: Mounted) -> None:
    """Y1."""
    assert claim(ruled, "alice", "write secret/key.py::hello greet.py::bye resource:test") is None
    assert len(rows(ruled, "alice", "locks")) == 3
    assert {row["address"] for row in rows(ruled, "dora", "locks")} == {"greet.py::bye", "resource:test"}
    for kind in ("nodes", "outline"):
        listed = os.listdir(ruled.mountpoint / "dora/.makfs" / kind)
        assert "greet.py" in listed
        assert not {"secret", "hidden.py", "unread.py"} & set(listed)
        for name in ("secret/key.py", "hidden.py", "unread.py"):
            path = ruled.mountpoint / "dora/.makfs" / kind / name
            assert outcome(path.stat) == "ENOENT"
            assert (ruled.mountpoint / "alice/.makfs" / kind / name).exists()
    assert claim(ruled, "dora", "read hidden.py::hello") == "ENOENT"
    assert "There is no hidden.py::hello in the view of dora" in (
        (ruled.mountpoint / "dora/.makfs/why").read_text()
    )  # fmt: skip


def test_role_writes_the_nodes_it_may(ruled: Mounted, hand: Hands) -> None:
    dora = hand()
    dora.write(node(ruled, "dora", "hello"), HELLO)
    assert b"hi {name}" in (ruled.repo / "greet.py").read_bytes()
    with pytest.raises(PermissionError):
        dora.write(node(ruled, "dora", "bye"), b"\n\ndef bye():\n    pass\n")
    assert "the role documents of dora" in (ruled.mountpoint / "dora/.makfs/why").read_text()
    assert b"bye {name}" in (ruled.repo / "greet.py").read_bytes()


def test_written_node_is_leased_and_another_waits_for_it(ruled: Mounted, hand: Hands) -> None:
    lena, bob = hand(), hand()
    lena.write(node(ruled, "lena", "hello"), HELLO)
    found = rows(ruled, "bob", "locks")
    if found:  # a slow machine may have seen the end of it
        assert [(row["agent"], row["address"], row["explicit"]) for row in found] == [
            ("lena", "greet.py::hello", False)
        ]
    bob.write(node(ruled, "bob", "hello"), HELLO.replace(b"hi", b"ho"))  # after the lease
    assert b"ho {name}" in (ruled.repo / "greet.py").read_bytes()


def test_queue_tells_each_its_place(ruled: Mounted, hand: Hands) -> None:
    assert claim(ruled, "alice", "write greet.py") is None
    bob, lena = hand(), hand()
    asked = b"write greet.py::hello wait=60\n"
    bob.send("write whole", ruled.mountpoint / "bob/.makfs/claim", asked)
    eventually(lambda: rows(ruled, "bob", "queue"), "bob's request")
    lena.send("write whole", ruled.mountpoint / "lena/.makfs/claim", b"read greet.py wait=60\n")
    eventually(lambda: rows(ruled, "lena", "queue"), "lena's request")
    (first,), (second,) = rows(ruled, "bob", "queue"), rows(ruled, "lena", "queue")
    assert (first["place"], first["behind"]) == (1, ["alice"])
    assert (second["place"], second["behind"]) == (2, ["alice", "bob"])
    (ruled.mountpoint / "alice/.makfs/release").write_text("all")
    bob.answer()
    (second,) = rows(ruled, "lena", "queue")
    assert (second["place"], second["behind"]) == (1, ["bob"])
    (ruled.mountpoint / "bob/.makfs/release").write_text("greet.py::hello\n")
    lena.answer()
    assert rows(ruled, "lena", "queue") == []


def test_reader_with_locked_reads_waits_for_nodes_too(ruled: Mounted, hand: Hands) -> None:
    assert claim(ruled, "alice", "write greet.py::hello") is None
    rita = hand()
    rita.send("read whole", node(ruled, "rita", "hello"))
    eventually(lambda: any(row["kind"] == "waiter" for row in rows(ruled, "bob", "locks")), "rita's waiting")
    (ruled.mountpoint / "alice/.makfs/release").write_text("*")
    assert b"def hello" in rita.answer()
