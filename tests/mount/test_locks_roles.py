"""Roles, and git, where others hold locks, over real mounts."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from makfs.cli.exits import Told
from makfs.wire.verbs import Claim, Release
from tests.mount.desks import BOTH, BYE, HELLO, TEXT, WAIT_S, Desk, Hands, put
from tests.mount.hands import claude_name, eventually
from tests.mount.mounted import outcome

pytestmark = pytest.mark.mount

# ---- roles


def furnish(desk: Desk) -> None:
    folder = desk.mounted.repo / desk.folder
    (folder / "docs").mkdir()
    (folder / "docs/a.txt").write_bytes(b"a\n")
    (folder / "secret").mkdir()
    (folder / "secret/a.txt").write_bytes(b"a\n")
    for name in ("keys.txt", "hidden.txt"):
        (folder / name).write_bytes(b"a\n")


def test_role_writes_what_it_may_and_is_refused_the_rest_at_once(patient: Desk, hand: Hands) -> None:
    """At once even where somebody holds it, for a minute of waiting would not help."""
    patient.claim("alice", "bye")
    dora = hand()
    path = patient.at("dora")
    dora.write(path, HELLO)
    assert patient.everywhere() == HELLO
    begun = time.monotonic()
    for text in (BOTH, put(HELLO, b"def last", b"def lost"), HELLO + b"\n\ndef more():\n    pass\n"):
        fd = dora.open(path, os.O_WRONLY | os.O_TRUNC)
        calls = [partial(dora.do, "write", fd, text), partial(dora.do, "fsync", fd)]
        assert next(each for each in map(outcome, calls) if isinstance(each, str)) == "EACCES"
        with contextlib.suppress(OSError):
            dora.do("close", fd)
        assert patient.everywhere() == HELLO
    assert "the role documents of dora" in patient.why("dora")
    for call in (
        lambda: dora.do("rename", path, path.with_name("other.py")),
        lambda: dora.do("unlink", path),
        lambda: dora.do("chmod", path, 0o600),
        lambda: dora.do("truncate", path, 0),
        lambda: dora.do("mkdir", path.with_name("new")),
        lambda: dora.do("symlink", "a", path.with_name("new")),
        lambda: dora.write(path.with_name("new.py"), TEXT),
        lambda: dora.save(path, BOTH, claude_name(path, dora)),
    ):
        with pytest.raises(PermissionError):
            call()
    assert time.monotonic() - begun < WAIT_S / 2
    assert patient.everywhere() == HELLO
    assert [each.name for each in patient.at("alice").parent.iterdir()] == ["words.py"]
    assert patient.waiting() == []


def test_close_after_a_forbidden_write_says_the_same(brisk: Desk) -> None:
    assert brisk.at("dora").read_bytes() == TEXT
    fd = os.open(brisk.at("dora"), os.O_WRONLY | os.O_TRUNC)
    assert outcome(lambda: os.write(fd, BYE)) == "EACCES"
    assert outcome(lambda: os.close(fd)) == "EACCES"


def test_role_writes_new_members_of_a_class_it_may_write(brisk: Desk) -> None:
    path = brisk.at("dora")
    brisk.at("alice").write_bytes(TEXT + b"\n\nclass Help:\n    def me(self):\n        return 1\n")
    text = path.read_bytes() + b"\n    def you(self):\n        return 2\n"
    path.write_bytes(text)
    assert brisk.everywhere() == text


def test_role_does_not_read_or_see_what_it_may_not(brisk: Desk) -> None:
    furnish(brisk)
    top = brisk.at("dora").parent
    eventually((top / "docs/a.txt").exists, "the new files")
    assert sorted(os.listdir(top)) == ["docs", "keys.txt", "words.py"]
    assert outcome((top / "keys.txt").read_bytes) == "EACCES"
    for name in ("secret", "secret/a.txt", "hidden.txt"):
        assert outcome((top / name).lstat) == "ENOENT"
        assert outcome(lambda at=top / name: os.open(at, os.O_RDONLY)) == "ENOENT"  # type: ignore[misc]
        with pytest.raises(Told, match="There is no"):
            brisk.ask(Claim("dora", "read", (f"{brisk.folder}/{name}",), 0))
    assert {"hidden.txt", "secret"} < set(os.listdir(brisk.at("bob").parent))
    (top / "docs/a.txt").write_bytes(b"b\n")
    assert (brisk.mounted.repo / brisk.folder / "docs/a.txt").read_bytes() == b"b\n"


def test_role_cannot_make_what_is_hidden_from_it(brisk: Desk) -> None:
    furnish(brisk)
    top = brisk.at("dora").parent
    makings: list[Callable[[], object]] = [
        lambda: (top / "hidden.txt").write_bytes(b"mine\n"),
        (top / "secret").mkdir,
        lambda: os.symlink("a", top / "hidden.txt"),
        lambda: os.rename(top / "docs", top / "secret"),
        lambda: os.rename(top / "docs/a.txt", top / "hidden.txt"),
    ]
    for make in makings:
        assert outcome(make) in ("EACCES", "ENOENT")
    assert (brisk.mounted.repo / brisk.folder / "hidden.txt").read_bytes() == b"a\n"


# ---- git


def git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=path, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [("checkout", "--", "."), ("stash",), ("reset", "-q", "--hard")])
def test_git_in_one_view_does_not_undo_what_another_holds(brisk: Desk, command: tuple[str, ...]) -> None:
    folder = brisk.at("bob").parent
    assert git(folder, "add", ".").returncode == 0
    assert git(folder, "commit", "-q", "-m", "start").returncode == 0
    brisk.at("alice").write_bytes(HELLO)
    brisk.claim("alice", "hello")
    done = git(folder, *command)
    assert done.returncode != 0, done
    assert brisk.everywhere() == HELLO
    assert "alice holds write" in brisk.why("bob")
    brisk.ask(Release("alice"))
    assert git(folder, *command).returncode == 0
    assert brisk.everywhere() == TEXT


def test_git_commits_what_another_holds(brisk: Desk) -> None:
    """Committing changes no file."""
    brisk.claim("alice")
    folder = brisk.at("bob").parent
    assert git(folder, "add", ".").returncode == 0
    assert git(folder, "commit", "-q", "-m", "start").returncode == 0
    assert brisk.everywhere() == TEXT
