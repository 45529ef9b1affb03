"""Attributes as ext4 has them; inode numbers and times as git and the agents' tools need them."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.conftest import Same
from tests.mount.mounted import Mounted, in_child, outcome
from tests.ticks import a_tick_later

pytestmark = pytest.mark.mount
NOBODY = 65534


def make_each_kind(root: Path) -> list[Path]:
    (root / "f.py").write_bytes(b"x = 1\n")
    (root / "d").mkdir()
    (root / "link").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    return [root / name for name in ("f.py", "d", "link", "pipe")]


def test_times_are_kept_to_the_nanosecond_for_each_kind_of_file(same: Same) -> None:
    def scenario(root: Path) -> object:
        seen = []
        for path in make_each_kind(root):
            os.utime(path, ns=(1_234_567_890_123_456_789, 1_700_000_000_000_000_001), follow_symlinks=False)
            st = os.lstat(path)
            seen.append([st.st_atime_ns, st.st_mtime_ns])
            os.utime(path, ns=(0, 0), follow_symlinks=False)
            seen.append([os.lstat(path).st_atime_ns, os.lstat(path).st_mtime_ns])
        return seen

    assert same(scenario)


def test_times_given_to_an_open_file_survive_its_close(same: Same) -> None:
    def scenario(root: Path) -> object:
        fd = os.open(root / "new.py", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"x = 1\n")
        os.utime(fd, ns=(3_000_000_001, 4_000_000_002))
        os.close(fd)
        st = os.stat(root / "new.py")
        return [st.st_atime_ns, st.st_mtime_ns]

    assert same(scenario) == [3_000_000_001, 4_000_000_002]


def test_owners_are_set_and_kept_through_an_edit(same: Same) -> None:
    uid, gid = (NOBODY, 12) if os.geteuid() == 0 else (os.getuid(), os.getgid())

    def scenario(root: Path) -> object:
        for path in make_each_kind(root):
            os.chown(path, uid, gid, follow_symlinks=False)
        (root / "f.py").write_bytes(b"x = 2\n")
        os.rename(root / "f.py", root / "g.py")
        names = ("g.py", "d", "link", "pipe")
        return [(os.lstat(root / name).st_uid, os.lstat(root / name).st_gid) for name in names]

    assert same(scenario) == [(uid, gid)] * 4


def test_modes_of_files_and_folders_are_kept_through_edits_and_renames(same: Same) -> None:
    def scenario(root: Path) -> object:
        make_each_kind(root)
        os.chmod(root / "f.py", 0o751)
        os.chmod(root / "d", 0o710)
        (root / "f.py").write_bytes(b"x = 2\n")
        (root / "d" / "below.py").write_bytes(b"")
        os.rename(root / "d", root / "e")
        return [oct(os.lstat(root / name).st_mode) for name in ("f.py", "e", "e/below.py")]

    assert same(scenario)


def test_extended_attributes_stay_with_a_file_that_is_edited_and_come_with_one_that_replaces_it(
    same: Same,
) -> None:
    def scenario(root: Path) -> object:
        def names(path: Path) -> list[str]:
            return sorted(name for name in os.listxattr(path) if name.startswith("user."))

        path, other = root / "f.py", root / "g.py"
        path.write_bytes(b"x = 1\n")
        seen: list[object] = [outcome(lambda: os.getxattr(path, "user.a"))]
        os.setxattr(path, "user.a", b"1")
        os.setxattr(path, "user.b", b"\0\xff" * 50)
        path.write_bytes(b"x = 2\n")
        seen += [names(path), os.getxattr(path, "user.b")]
        seen.append(outcome(lambda: os.setxattr(path, "user.a", b"", os.XATTR_CREATE)))
        seen.append(outcome(lambda: os.setxattr(path, "user.c", b"", os.XATTR_REPLACE)))
        os.removexattr(path, "user.b")
        seen.append(outcome(lambda: os.removexattr(path, "user.b")))
        for text in (b"x = 3\n", b"x = 3\n"):  # the second time nothing else changes
            other.write_bytes(text)
            os.setxattr(other, "user.new", text)
            os.rename(other, path)
            seen.append([names(path), outcome(lambda: os.getxattr(path, "user.new"))])
        return seen

    assert same(scenario)


def test_extended_attributes_of_a_file_being_made_are_there_after_its_close(same: Same) -> None:
    def scenario(root: Path) -> object:
        fd = os.open(root / "new.py", os.O_RDWR | os.O_CREAT)
        os.setxattr(fd, "user.early", b"bird")
        seen: list[object] = [os.getxattr(fd, "user.early"), outcome(lambda: os.getxattr(fd, "user.no"))]
        os.setxattr(fd, "user.gone", b"")
        os.removexattr(fd, "user.gone")
        os.close(fd)
        return [*seen, os.listxattr(root / "new.py"), os.getxattr(root / "new.py", "user.early")]

    assert same(scenario)


def test_file_system_tells_the_room_of_the_disk_below(shared: Mounted) -> None:
    found, wanted = os.statvfs(shared.alice), os.statvfs(shared.repo)
    assert (found.f_bsize, found.f_frsize, found.f_blocks) == (
        wanted.f_bsize,
        wanted.f_frsize,
        wanted.f_blocks,
    )
    assert (found.f_files, found.f_namemax) == (wanted.f_files, 255)
    assert 0 < found.f_bavail <= found.f_blocks


def as_somebody(call: Callable[[], object]) -> str:
    """Return a call's outcome in a child process without root's rights."""

    def without_rights() -> object:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return call()

    return in_child(without_rights)


def test_modes_keep_others_out(same: Same) -> None:
    def scenario(root: Path) -> object:
        os.chmod(root, 0o755)
        for mode in (0o000, 0o444, 0o600, 0o644, 0o666):
            (root / f"{mode:o}").write_bytes(b"x")
            os.chmod(root / f"{mode:o}", mode)
        (root / "shut").mkdir()
        (root / "shut" / "in").write_bytes(b"")
        os.chmod(root / "shut", 0o600 if os.geteuid() else 0o700)
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)  # the way here may be shut to others
        seen: list[object] = []
        for name in ("0", "444", "600", "644", "666", "shut/in"):
            seen.append(as_somebody(lambda: os.open(name, os.O_RDONLY, dir_fd=here) > 0))  # noqa: B023
            seen.append(as_somebody(lambda: os.open(name, os.O_WRONLY, dir_fd=here) > 0))  # noqa: B023
            seen.append(as_somebody(lambda: os.access(name, os.R_OK, dir_fd=here)))  # noqa: B023
        seen.append(as_somebody(lambda: os.mkdir("new", dir_fd=here)) if os.geteuid() == 0 else None)
        os.close(here)
        os.chmod(root / "shut", 0o700)
        os.chmod(root / "0", 0o600)
        return seen

    assert same(scenario)


def test_inode_numbers_are_of_the_path_in_all_views_through_edits_and_remounts(mounted: Mounted) -> None:
    def numbers(view: Path) -> dict[str, int]:
        names = ("README.md", "app", "app/greet.py", "app/__init__.py")
        return {name: (view / name).stat().st_ino & 0xFFFF_FFFF for name in names}

    first = numbers(mounted.alice)
    assert len(set(first.values())) == len(first)
    file = mounted.alice / "app" / "greet.py"
    whole = file.stat().st_ino
    file.write_bytes(file.read_bytes() + b"\n\ndef more():\n    return 1\n")
    temporary = mounted.alice / "app" / "greet.py.tmp.123.0123456789ab"
    temporary.write_bytes(file.read_bytes() + b"# end\n")
    os.rename(temporary, file)
    mounted.bob.joinpath("README.md").write_bytes(b"# changed\n")
    assert file.stat().st_ino == whole, "an edit by rename is an edit"
    assert numbers(mounted.alice) == numbers(mounted.bob) == first
    mounted.remount()
    assert numbers(mounted.bob) == numbers(mounted.alice) == first
    assert file.stat().st_ino == whole


def test_moved_file_keeps_its_number_and_its_old_name_gets_another(mounted: Mounted) -> None:
    def number(path: Path) -> int:
        return path.stat().st_ino & 0xFFFF_FFFF

    before = number(mounted.alice / "app" / "greet.py")
    os.rename(mounted.alice / "app", mounted.alice / "moved")
    assert number(mounted.alice / "moved" / "greet.py") == before
    assert number(mounted.bob / "moved" / "greet.py") == before
    (mounted.alice / "app").mkdir()
    (mounted.alice / "app" / "greet.py").write_bytes(b"new = 1\n")
    after = number(mounted.alice / "app" / "greet.py")
    assert after != before
    mounted.remount()
    for view in (mounted.bob, mounted.alice):
        assert number(view / "moved" / "greet.py") == before
        assert number(view / "app" / "greet.py") == after


def test_mtime_stands_after_the_writers_close_and_moves_for_others_edits_only(mounted: Mounted) -> None:
    mine, theirs = mounted.alice / "app" / "greet.py", mounted.bob / "app" / "greet.py"
    fd = os.open(mine, os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"x = 1\n")
    written = os.fstat(fd).st_mtime_ns
    os.close(fd)
    assert mine.stat().st_mtime_ns == written == theirs.stat().st_mtime_ns
    mine.write_bytes(b"x = 1\n")
    assert theirs.stat().st_mtime_ns == mine.stat().st_mtime_ns == written, "the same bytes leave it alone"
    theirs.write_bytes(b"x = 2\n")
    assert mine.stat().st_mtime_ns > written
    os.utime(mine, ns=(10**18, 2 * 10**18))  # in the future: an edit still moves it forward
    theirs.write_bytes(b"x = 3\n")
    assert mine.stat().st_mtime_ns > 2 * 10**18
    assert stat.S_ISREG(mine.stat().st_mode)


NAMES: dict[str, Callable[[Path], object]] = {
    "a file made": lambda d: (d / "new.py").write_bytes(b"x = 1\n"),
    "a file saved beside itself": lambda d: [
        (d / "new.py.tmp.1").write_bytes(b"x = 2\n"),
        (d / "new.py.tmp.1").rename(d / "new2.py"),
    ],
    "a file renamed": lambda d: (d / "new.py").rename(d / "newer.py"),
    "a file moved out": lambda d: (d / "newer.py").rename(d.parent / "newer.py"),
    "a file moved in": lambda d: (d.parent / "newer.py").rename(d / "back.py"),
    "a file removed": lambda d: (d / "back.py").unlink(),
    "a link made": lambda d: (d / "link").symlink_to("new2.py"),
    "a folder made": lambda d: (d / "sub").mkdir(),
    "a folder removed": lambda d: (d / "sub").rmdir(),
}


def test_folders_times_follow_the_names_in_it_in_every_view_and_an_edit_leaves_them(mounted: Mounted) -> None:
    folders = [top / "app" for top in (mounted.alice, mounted.bob, mounted.repo)]

    def times() -> list[int]:
        return [os.stat(folder).st_mtime_ns for folder in folders]

    for what, change in NAMES.items():
        before = times()
        a_tick_later(max(before))
        change(folders[0])
        after = times()
        assert len(set(after)) == 1, what
        assert after[0] > before[0], what
    before = times()
    a_tick_later(max(before))
    (folders[0] / "greet.py").write_bytes(b"x = 1\n")
    assert times()[:2] == before[:2], "as a write does on a local disk; in ./repo the file was replaced"


def test_times_of_files_do_not_change_by_a_remount(mounted: Mounted) -> None:
    file = mounted.alice / "app" / "greet.py"
    file.write_bytes(b"x = 1\n")
    os.chmod(file, 0o755)
    before = {name: os.stat(mounted.alice / name) for name in ("README.md", "app/greet.py", ".gitignore")}
    mounted.remount()
    for name, old in before.items():
        new = os.stat(mounted.alice / name)
        assert (new.st_ino, new.st_mtime_ns, new.st_ctime_ns) == (
            old.st_ino,
            old.st_mtime_ns,
            old.st_ctime_ns,
        )
