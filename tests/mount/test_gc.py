"""History cut and stores mended, with real daemons: G1-G4, N1, N2."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.mount.mounted import PACKAGES, Mounted
from tests.mount.test_replay import everything, makfs

pytestmark = pytest.mark.mount


def edit(mounted: Mounted, number: int) -> None:
    path = (mounted.alice, mounted.bob)[number % 2] / "app" / "greet.py"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:6], f'    return f"hello {{name}} {number}"', *lines[7:]]) + "\n")


def test_history_is_cut_beside_commits_and_what_is_kept_stays(mounted: Mounted, tmp_path: Path) -> None:
    for number in range(60):
        edit(mounted, number)
    trees = {seq: everything(mounted.mountpoint / f"@{seq}") for seq in (50, 55, 60)}
    code, out, _ = makfs(mounted, "gc", "--keep", "10", "--dry-run")
    assert (code, out.split(":")[0]) == (0, "would cut before commit 50")
    go_on = threading.Event()
    wrote: list[int] = []

    def write() -> None:
        number = 100
        while not go_on.is_set():
            edit(mounted, number)
            wrote.append(number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        code, out, err = makfs(mounted, "gc", "--keep", "10", "--json")
    finally:
        go_on.set()
        writer.join()
    assert code == 0, err
    done = json.loads(out)
    assert done["revisions"] >= 50
    assert done["texts"] >= 40
    assert done["cut"] >= 50
    assert wrote
    text = (mounted.alice / "app" / "greet.py").read_text()
    assert f"hello {{name}} {wrote[-1]}" in text
    if done["cut"] == 50:
        assert {seq: everything(mounted.mountpoint / f"@{seq}") for seq in trees} == trees
    for arguments in (["show", "5"], ["undo", "5"], ["restore", "app/greet.py@5"]):
        code, _, err = makfs(mounted, *arguments)
        assert code != 0
        assert "is not kept: makfs gc cut the history" in err
        assert err.count("\n") == 1
    assert mounted.makfs("fsck").endswith("nothing wrong was found.\n")
    code, _, err = makfs(mounted, "replay", "--verify", "--with-unrecorded", tmp_path / "again")
    assert (code, err) == (0, "")
    assert everything(tmp_path / "again") == everything(mounted.repo)


def test_an_unserved_store_gets_shorter(mounted: Mounted) -> None:
    for number in range(80):
        (mounted.alice / "notes.txt").write_bytes(os.urandom(8_000).hex().encode() + b"\n%d\n" % number)
    mounted.stop()
    file = mounted.repo / ".makfs" / "store.db"
    before = file.stat().st_size
    code, out, err = makfs(mounted, "gc", "--keep", "2")
    assert code == 0, err
    assert "cut before commit 78" in out
    assert file.stat().st_size < before // 3
    assert not mounted.findings()
    mounted.start()
    edit(mounted, 1)
    assert not mounted.complaints()


def test_a_daemon_killed_while_it_cuts_goes_on_with_a_sound_store(mounted: Mounted) -> None:
    for number in range(120):
        edit(mounted, number)
    command = [sys.executable, "-P", "-m", "makfs.cli", "-C", str(mounted.repo), "gc", "--keep", "5"]
    cutter = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PACKAGES}, stderr=subprocess.DEVNULL)
    cut = mounted.repo / ".makfs" / "store.db"
    while cutter.poll() is None:
        with sqlite3.connect(f"file:{cut}?mode=ro", uri=True) as reader:
            found = reader.execute("SELECT 1 FROM meta WHERE key = '@cut'").fetchone()
        reader.close()
        if found:
            break
    mounted.stop(signal.SIGKILL)
    cutter.wait()
    subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=False)
    assert not mounted.findings()
    mounted.start()
    assert "hello {name} 119" in (mounted.bob / "app" / "greet.py").read_text()
    edit(mounted, 500)
    mounted.makfs("gc", "--keep", "5")
    assert mounted.makfs("fsck").endswith("nothing wrong was found.\n")


def test_a_damaged_store_is_mended_and_a_copy_kept(mounted: Mounted) -> None:
    for number in range(6):
        edit(mounted, number)
    mounted.stop()
    before = everything(mounted.repo)
    file = mounted.repo / ".makfs" / "store.db"
    with sqlite3.connect(file) as store:
        store.executescript("""
            UPDATE text SET bytes = x'00' WHERE id = (SELECT after FROM edit WHERE seq = 6);
            INSERT INTO text VALUES (9999, x'00112233445566778899aabbccddeeff', 1, 0, x'78');
            INSERT INTO effect VALUES (77, 1, 999, x'');
            UPDATE journal SET nodes_changed = 9 WHERE seq = 2;
            UPDATE journal SET last_node = 0;
            INSERT INTO lock_grant VALUES ('alice', 'a', 'X', 9, 1, 1, 1, 0);
            INSERT INTO lock_grant VALUES ('bob', 'a', 'X', 9, 1, 1, 1, 0);
            INSERT INTO mark VALUES ('nowhere', 999, 1);
        """)
    store.close()
    assert makfs(mounted, "fsck")[0] != 0
    code, out, err = makfs(mounted, "fsck", "--repair")
    assert code in (0, 1), err
    for sentence in (
        "app/greet.py at commit 6 is not made of its texts: it was read again",
        "write-throughs that no commit owes were forgotten",
        "The lock table was damaged and was dropped",
        "commits count the nodes they changed anew",
        "marks of commits that are not there were removed",
        "The store as it was before is ",
    ):
        assert sentence in out
    assert out.endswith("nothing wrong was found.\n"), out
    assert everything(mounted.repo) == before
    assert len(list(file.parent.glob("store.db.before-repair-*"))) == 1
    _, out, _ = makfs(mounted, "fsck", "--repair")
    assert out == f"{mounted.repo}: nothing wrong was found.\n", "N1"
    mounted.start()
    edit(mounted, 7)
    assert "hello {name} 7" in (mounted.repo / "app" / "greet.py").read_text()


def test_a_served_store_is_not_mended(mounted: Mounted) -> None:
    code, _, err = makfs(mounted, "fsck", "--repair")
    assert code != 0
    assert err.count("\n") == 1


def test_cut_that_would_leave_a_hole_in_the_exported_log_is_refused(mounted: Mounted) -> None:
    subprocess.run(["git", "init", "-q", mounted.repo], check=True)
    for number in range(6):
        edit(mounted, number)
    assert makfs(mounted, "git", "export", "--to", "2")[0] == 0
    assert makfs(mounted, "gc", "--keep", "2", "--dry-run")[0] == 0
    code, out, err = makfs(mounted, "gc", "--keep", "2")
    assert (code, out) == (3, "")
    assert "2 commits of those to be cut, 3 to 4, are not in refs/makfs/log; nothing was cut." in err
    assert (mounted.mountpoint / "@1" / "app" / "greet.py").exists()
    assert makfs(mounted, "git", "export")[0] == 0
    assert makfs(mounted, "gc", "--keep", "2")[1].startswith("cut before commit 4: ")
    edit(mounted, 7)
    edit(mounted, 8)
    assert makfs(mounted, "gc", "--keep", "1")[0] == 3
    assert makfs(mounted, "gc", "--keep", "1", "--unexported")[0] == 0
    code, _, err = makfs(mounted, "git", "export")
    assert "was cut up to commit 7" in err
