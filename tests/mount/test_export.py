"""A repository carried away with its journal, and made again elsewhere: X1, X2."""

import gzip
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.mount.mounted import Mounted
from tests.mount.test_replay import everything, makfs, work

pytestmark = pytest.mark.mount


def lines(export: Path) -> list[bytes]:
    with gzip.open(export / "journal.jsonl.gz") as file:
        return file.read().splitlines()


def test_a_round_trip_gives_the_same_journal_and_tree(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    mounted.makfs("mark", "first", "@2")
    for arguments in ([tmp_path / "out"], ["--tar", tmp_path / "out.tar.gz"]):
        code, _, err = makfs(mounted, "export", *arguments)
        assert code == 0, err
    for source in ("out", "out.tar.gz"):
        again = tmp_path / f"again-{source}"
        code, _, err = makfs(mounted, "import", tmp_path / source, again)
        assert code == 0, err
        assert everything(again) == everything(mounted.repo)
        second = Mounted(again, tmp_path / f"mnt-{source}")
        assert not second.findings()
        code, _, err = makfs(second, "export", tmp_path / f"back-{source}")
        assert code == 0, err
        assert lines(tmp_path / f"back-{source}") == lines(tmp_path / "out"), "X1"
        assert any(b'"task":"mend the tests"' in line for line in lines(tmp_path / "out"))
        code, _, err = makfs(second, "replay", "--verify")
        assert code == 0, err


def test_what_is_not_exported_is_said(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    mounted.makfs("send", "bob", "stays here")
    mounted.makfs("share", "report", __file__)
    mounted.makfs("run", "--no-confine", "bob", "--", "true")
    code, out, err = makfs(mounted, "export", tmp_path / "out")
    assert (code, out.count("\n"), err.count("\n")) == (0, 1, 1), err
    assert "Not exported: 1 message, 1 shared name, " in err
    assert err.endswith(f", 1 run. They stay in {mounted.repo}/.makfs.\n")


def test_an_export_of_the_past_ends_there(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    code, _, err = makfs(mounted, "export", "--at", "3", tmp_path / "out")
    assert code == 0, err
    code, out, err = makfs(mounted, "import", tmp_path / "out", tmp_path / "again")
    assert code == 0, err
    assert "3 commits" in out
    assert everything(tmp_path / "again").keys() == everything(mounted.mountpoint / "@3").keys()


def test_what_is_no_export_is_refused_and_leaves_nothing(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no")
    makfs(mounted, "export", tmp_path / "cut")
    journal = tmp_path / "cut" / "journal.jsonl.gz"
    journal.write_bytes(journal.read_bytes()[:-200])
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.add(tmp_path / "text", "../outside")
    for source in ("empty", "text", "cut", "bad.tar", "nothing"):
        code, _, err = makfs(mounted, "import", tmp_path / source, tmp_path / "again")
        assert code != 0
        assert err.count("\n") == 1, err
        assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".makfs-import-*"))
    assert subprocess.run(["ls", tmp_path / "outside"], capture_output=True, check=False).returncode
