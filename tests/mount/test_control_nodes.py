"""Nodes as files, and outlines: read, replaced, edited in place, refused, over real mounts."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.conftest import GREET
from tests.mount.hands import PATIENCE_S, Hand, eventually
from tests.mount.mounted import Mounted, outcome

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]
NAMES = ["#header", "#imports", "Desk#header", "Desk.open", "Desk.ring", "bye", "hello"]
HELLO = b'\n\ndef hello(name):\n    return f"hello {name}"\n'


def sh(view: Path, script: str, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", f"set -e\n{script}", "sh", *more],
        cwd=view, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def why(view: Path) -> str:
    return (view / ".makfs/why").read_text()


def node(view: Path, greet: str, name: str) -> Path:
    return view / ".makfs/nodes" / greet / name


def test_nodes_are_listed_and_read(served: Mounted, greet: str) -> None:
    folder = node(served.alice, greet, "")
    assert sorted(os.listdir(folder)) == NAMES
    assert sh(served.alice, f"ls .makfs/nodes/{greet}") == (0, "\n".join(NAMES) + "\n")
    texts = {name: (folder / name).read_bytes() for name in NAMES}
    assert sum(map(len, texts.values())) == len(GREET)
    assert texts["hello"] == HELLO
    for name in NAMES:
        assert (folder / name).stat().st_size == len(texts[name])
    assert outcome((folder / "nobody").read_bytes) == "ENOENT"
    assert outcome(lambda: os.open(folder / "hello" / "x", os.O_RDONLY)) == "ENOTDIR"


def test_shell_replaces_one_node_and_nothing_else(served: Mounted, greet: str, hand: Hands) -> None:
    bob = hand()
    new = GREET.replace(b"bye {name}", b"BYE {name}")
    bob.write(served.bob / greet, new)  # meanwhile, in another node
    script = f"printf '\\n\\ndef hello(name):\\n    return 1' > .makfs/nodes/{greet}/hello"
    assert sh(served.alice, script) == (0, "")
    changed = new.replace(HELLO, b"\n\ndef hello(name):\n    return 1\n")  # with the line end it lacked
    for place in (served.alice, served.bob, served.repo):
        assert (place / greet).read_bytes() == changed, place
    assert f"{greet}::hello" in served.makfs("log", "-n", "1")


def test_blank_lines_before_a_node_stay_unless_others_are_written(served: Mounted, greet: str) -> None:
    path = node(served.alice, greet, "hello")
    path.write_bytes(b"def hello(name):\n    return 1\n")
    assert (served.bob / greet).read_bytes() == GREET.replace(HELLO, b"\n\ndef hello(name):\n    return 1\n")
    path.write_bytes(b"\ndef hello(name):\n    return 1\n")
    assert (served.bob / greet).read_bytes() == GREET.replace(HELLO, b"\ndef hello(name):\n    return 1\n")
    assert path.read_bytes().startswith(b"\ndef")


def test_cat_into_a_node_and_out_of_it(served: Mounted, greet: str, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(HELLO.replace(b"hello {", b"hullo {"))
    assert sh(served.alice, f'cat "$1" > .makfs/nodes/{greet}/hello', str(tmp_path / "new"))[0] == 0
    assert (served.bob / greet).read_bytes() == GREET.replace(b"hello {", b"hullo {")
    assert node(served.bob, greet, "hello").read_bytes() == (tmp_path / "new").read_bytes()


def test_node_is_edited_in_place_and_has_its_size_meanwhile(served: Mounted, greet: str) -> None:
    path = node(served.alice, greet, "hello")
    with path.open("r+b") as file:
        text = file.read()
        assert text == HELLO
        file.seek(0)
        file.write(text.replace(b"hello {name}", b"hi"))
        file.truncate()
        assert os.fstat(file.fileno()).st_size == len(text) - len(b"hello {name}") + 2
        assert (served.alice / greet).read_bytes() == GREET  # not before it is closed
    assert (served.alice / greet).read_bytes() == GREET.replace(b"hello {name}", b"hi")


def test_node_is_appended_to_and_committed_at_fsync(served: Mounted, greet: str) -> None:
    fd = os.open(node(served.alice, greet, "hello"), os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, b"\n\ndef more():\n    return 2\n")
        os.fsync(fd)
        assert b"def more" in (served.bob / greet).read_bytes()
        os.write(fd, b"    # and\n")
    finally:
        os.close(fd)
    added = HELLO + b"\n\ndef more():\n    return 2\n    # and\n"
    assert (served.bob / greet).read_bytes() == GREET.replace(HELLO, added)
    assert "more" in os.listdir(node(served.bob, greet, ""))


def test_sed_in_place_is_refused_with_a_reason_and_changes_nothing(served: Mounted, greet: str) -> None:
    code, out = sh(served.alice, f"sed -i s/hello/hi/ .makfs/nodes/{greet}/hello")
    assert code
    assert "temporary file" in out
    assert "Nothing can be made" in why(served.alice)
    assert (served.alice / greet).read_bytes() == GREET


def test_clash_is_refused_at_close_and_kept(served: Mounted, greet: str, hand: Hands) -> None:
    """N1."""
    alice, bob = hand(), hand()
    path = node(served.bob, greet, "hello")
    fd = bob.open(path, os.O_RDWR)
    assert bob.do("read", fd, 1000) == HELLO
    alice.write(served.alice / greet, GREET.replace(b"hello {", b"alice {"))
    bob.do("pwrite", fd, HELLO.replace(b"hello {", b"bobby {"), 0)
    with pytest.raises(OSError, match="busy"):
        bob.do("close", fd)
    assert f"{greet}::hello" in why(served.bob)
    assert (served.bob / greet).read_bytes() == GREET.replace(b"hello {", b"alice {")
    assert path.read_bytes() == HELLO.replace(b"hello {", b"alice {")
    newest = max(os.listdir(served.bob / ".makfs/refused"), key=int)
    diff = (served.bob / ".makfs/refused" / newest / "diff").read_text()
    assert '-    return f"hello {name}"\n+    return f"bobby {name}"\n' in diff
    assert diff.count("\n-") == diff.count("\n+    ") == 1  # the node alone


def test_emptied_node_stays_and_its_agent_is_told(served: Mounted, greet: str) -> None:
    """N2."""
    code, _ = sh(served.alice, f"false > .makfs/nodes/{greet}/bye")
    assert code
    assert (served.alice / greet).read_bytes() == GREET
    eventually(lambda: f"{greet}::bye was emptied" in why(served.alice), "the notice")
    assert sh(served.alice, f"echo > .makfs/nodes/{greet}/bye")[0] == 0
    assert b"bye" not in (served.alice / greet).read_bytes()
    assert outcome(lambda: os.truncate(node(served.alice, greet, "hello"), 3)) == "EPERM"


def test_writing_a_node_is_no_reading_of_the_file(served: Mounted, greet: str, hand: Hands) -> None:
    """N3: an old text of the file, written whole by who has written a node since, undoes nobody's work."""
    alice, bob = hand(), hand()
    old = alice.read(served.alice / greet)
    bob.write(served.bob / greet, old.replace(b"hello {", b"hullo {"))
    alice.write(node(served.alice, greet, "Desk.open"), b"    open = False\n")
    alice.write(served.alice / greet, old.replace(b"bye {", b"ciao {").replace(b"True", b"False"))
    wanted = old.replace(b"hello {", b"hullo {").replace(b"bye {", b"ciao {").replace(b"True", b"False")
    assert (served.alice / greet).read_bytes() == wanted
    alice.write(node(served.alice, greet, "Desk.open"), b"    open = 1\n")
    alice.write(served.alice / greet, wanted.replace(b"False", b"2"))
    assert (served.repo / greet).read_bytes() == wanted.replace(b"False", b"2")


def test_node_waits_for_who_holds_it(mounted: Mounted, hand: Hands) -> None:
    (mounted.repo / "greet.py").write_bytes(GREET)
    alice, bob = hand(), hand()
    alice.write(mounted.alice / ".makfs/claim", b"write greet.py::hello\n")
    bob.write(node(mounted.bob, "greet.py", "bye"), b"\n\ndef bye():\n    pass\n")  # is free
    bob.send("write whole", node(mounted.bob, "greet.py", "hello"), HELLO.replace(b"hello {", b"hi {"))
    eventually(lambda: b"bob" in (mounted.alice / ".makfs/locks").read_bytes(), "bob's waiting")
    assert b"hi {" not in (mounted.repo / "greet.py").read_bytes()
    alice.write(mounted.alice / ".makfs/release", b"*\n")
    bob.answer()
    assert b"hi {" in (mounted.repo / "greet.py").read_bytes()


def test_new_files_broken_files_and_empty_files_have_nodes(served: Mounted, greet: str) -> None:
    """Z2: new files are their own view's."""
    top = (served.alice / greet).parent
    with (top / "new.py").open("wb", buffering=0) as file:
        file.write(b"def f():\n    pass\n")
        fresh = f"{top.name}/new.py"
        assert os.listdir(node(served.alice, fresh, "")) == ["f"]
        assert not node(served.bob, fresh, "").exists()
        assert outcome(lambda: os.open(node(served.alice, fresh, "f"), os.O_WRONLY)) == "EBUSY"
        assert "not committed yet" in why(served.alice)
    (top / "empty.py").write_bytes(b"")
    assert os.listdir(node(served.bob, f"{top.name}/empty.py", "")) == []
    (top / "broken.py").write_bytes(b"def f():\n    pass\n\n\ndef g(:\n    x\n")
    broken = node(served.bob, f"{top.name}/broken.py", "")
    assert b"".join((broken / name).read_bytes() for name in os.listdir(broken)).startswith(b"def f")
    assert "f" in os.listdir(broken)


def test_outline_shows_signatures(served: Mounted, greet: str) -> None:
    path = served.alice / ".makfs/outline" / greet
    text = path.read_text()
    assert text.splitlines()[:3] == ['   1| """Greetings."""', "   6| def hello(name):", "   7|     ..."]
    assert path.stat().st_size == len(text)
    assert path.stat().st_mtime_ns == (served.repo / greet).stat().st_mtime_ns
    assert outcome(lambda: os.open(path, os.O_WRONLY)) == "EPERM"


WALK = """
import os, stat, sys
top, seen = sys.argv[1], 0
for folder, folders, files in os.walk(top, onerror=lambda error: sys.exit(repr(error))):
    for name in folders + files:
        path = os.path.join(folder, name)
        st = os.lstat(path)
        seen += 1
        if name in files:
            with open(path, "rb") as file:
                data = file.read()
            if st.st_size != len(data):
                sys.exit(f"{path}: {st.st_size} is not {len(data)}")
print(seen)
"""


def test_whole_tree_can_be_walked_and_read(served: Mounted, greet: str) -> None:
    """Z1: a walk ends, nothing in it fails, and every size is true."""
    folder = (served.repo / greet).parent
    (folder / "ring").symlink_to("..")
    (folder / "link.py").symlink_to("greet.py")
    (folder / "dir.py").mkdir()
    (folder / "latin.py").write_bytes(b"# coding: latin-1\ndef gr\xf6\xdfe(): pass\n")
    (folder / "bad.py").write_bytes(b"\xff\0")
    (folder / f"{'y' * 200}.py").write_bytes(b"def " + b"z" * 300 + b"(): pass\n")
    (folder / os.fsdecode(b"\xff.py")).write_bytes(b"x = 1\n")
    (folder / "text.txt").write_bytes(b"no source\n")
    (served.repo / "build").mkdir(exist_ok=True)
    (served.repo / "build/made.py").write_bytes(b"x = 1\n")
    for view in (served.alice, served.bob):
        command = [sys.executable, "-I", "-c", WALK, str(view / ".makfs")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert int(done.stdout) > 30
    assert sh(served.alice, "find .makfs -type f -exec cat {} + > /dev/null; ls -lR .makfs > /dev/null") == (
        0, "",
    )  # fmt: skip
    listed = os.listdir(served.alice / ".makfs/nodes" / folder.name)
    assert "dir.py" in listed
    assert not {"ring", "link.py", "text.txt"} & set(listed)
    assert not (served.alice / ".makfs/nodes/build").exists()
    assert not (served.alice / ".makfs/nodes/.git").exists()
    assert not (served.alice / ".makfs/nodes/.makfs").exists()
