"""The same ways out, for an ordinary user who mounts and runs for himself: refused, or they lead nowhere.

Root gives /dev/fuse to the user for as long, as systems have it, and takes it back.
"""

import json
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.runs import TREASURE, Place, User, place
from tests.mount.ways import ABSTRACT, ESCAPES, PRELUDE, is_scoped, listening

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(os.getuid() != 0, reason="who is not root tries all this in test_run_escapes.py"),
]
WAYS = {name: code for name, (code, _) in ESCAPES.items()} | {"abstract socket": ABSTRACT}
TRY_ALL = """
import json, subprocess, sys
prelude, known, ways = map(json.loads, sys.argv[1:])
for name, code in ways.items():
    line = [sys.executable, "-IS", "-c", prelude, json.dumps(known), code]
    done = subprocess.run(line, capture_output=True)
    print(json.dumps([name, done.returncode, done.stdout.decode(), done.stderr.decode()[-500:]]))
"""


def ordinary() -> User:
    """Return an ordinary user who can run a Python of this version. Skips where there is none."""
    entry = pwd.getpwnam("daemon")
    version = ".".join(map(str, sys.version_info[:2]))
    for python in (os.path.realpath(sys.executable), f"/usr/bin/python{version}"):
        user = User(entry.pw_uid, entry.pw_gid, python)
        if user.can(python, "-c", ""):
            break
    else:
        pytest.skip(f"there is no Python {version} that another user may run")
    if not user.can("bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"):
        pytest.skip("an ordinary user may make no user namespaces here")
    return user


@pytest.fixture(scope="module")
def prison() -> Iterator[Place]:
    user = ordinary()
    mode = os.stat("/dev/fuse").st_mode & 0o7777
    top = Path(tempfile.mkdtemp(prefix="makfs-user-"))
    try:
        top.chmod(0o755)
        os.chmod("/dev/fuse", 0o666)
        with place(top, user=user) as made:
            yield made
    finally:
        os.chmod("/dev/fuse", mode)
        shutil.rmtree(top)


@pytest.fixture(scope="module")
def outcomes(prison: Place) -> dict[str, str]:
    """Try all of it in one run; return what came of each: the last word it said."""
    words = map(json.dumps, (PRELUDE, prison.known(99), WAYS))
    with listening(prison.abstract):
        code, out, err = prison.run(prison.mounted.python, "-IS", "-c", TRY_ALL, *words)
    assert code == 0, err
    assert TREASURE not in out
    rows = [json.loads(line) for line in out.splitlines()]
    assert not [row for row in rows if row[1]], "each attempt ends in order"
    return {name: said.split()[-1] for name, _, said, _ in rows}


@pytest.mark.parametrize("way", WAYS)
def test_way_out_leads_an_ordinary_user_nowhere(way: str, outcomes: dict[str, str]) -> None:
    if way == "abstract socket" and not is_scoped():
        pytest.skip("Linux before 6.12 keeps no abstract socket away")
    wanted = ESCAPES[way][1] if way in ESCAPES else "EPERM"
    refused = "" if wanted == "harmless" else " EACCES EPERM"  # he may less than root, and hears it sooner
    assert outcomes[way] in (wanted + refused).split()


def test_nothing_outside_was_touched_and_the_mount_is_his(prison: Place, outcomes: dict[str, str]) -> None:
    assert len(outcomes) == len(WAYS)
    prison.unharmed()
    assert prison.repo.stat().st_uid != 0
    assert prison.run("sh", "-c", "echo x > his.txt && id -u")[1] == f"{prison.repo.stat().st_uid}\n"
    assert (prison.repo / "his.txt").stat().st_uid == prison.repo.stat().st_uid
