"""Names as ext4 has them: folders, links, renames, special files, and what each refuses."""

import ctypes
import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from tests.mount.conftest import Same
from tests.mount.mounted import Mounted, outcome

pytestmark = pytest.mark.mount
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
_libc = ctypes.CDLL(None, use_errno=True)


def renameat2(old: Path, new: Path, flags: int) -> None:
    if _libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def make_some(root: Path) -> None:
    (root / "full" / "below").mkdir(parents=True)
    (root / "full" / "f.py").write_bytes(b"f = 1\n")
    (root / "empty").mkdir()
    (root / "file.py").write_bytes(b"x = 1\n")
    (root / "other.txt").write_bytes(b"other\n")
    (root / "link").symlink_to("file.py")
    (root / "dirlink").symlink_to("full")


def test_each_rename_of_one_thing_over_another_gives_what_ext4_gives(same: Same) -> None:
    names = ("full", "empty", "file.py", "other.txt", "link", "dirlink", "nothing", "full/f.py", "full/below")

    def scenario(root: Path) -> object:
        seen = []
        for old in names:
            for new in names:
                for flags in (0, NOREPLACE, EXCHANGE):
                    top = root / f"{old}-{new}-{flags}".replace("/", "_")
                    top.mkdir()
                    make_some(top)
                    seen.append((old, new, flags, outcome(lambda: renameat2(top / old, top / new, flags))))  # noqa: B023
        return seen

    assert same(scenario)


def test_a_listing_begins_with_the_folder_and_the_one_above(same: Same) -> None:
    def scenario(root: Path) -> object:
        make_some(root)
        seen: list[object] = []
        for folder in (root, root / "full", root / "full" / "below", root / "empty"):
            listed = subprocess.run(["ls", "-1aip", folder], stdout=subprocess.PIPE, check=True).stdout
            numbers = {name: int(number) for number, name in map(bytes.split, listed.splitlines())}
            seen.append(list(numbers))
            seen.append(numbers[b"./"] == folder.stat().st_ino)
            seen.append(numbers[b"../"] == folder.parent.stat().st_ino or folder == root)
        return seen

    assert same(scenario)


def test_removing_the_wrong_thing_is_refused(same: Same) -> None:
    def scenario(root: Path) -> object:
        make_some(root)
        long, below = root / ("n" * 256), root / "file.py" / "x"
        return [
            outcome(call)
            for call in (
                lambda: os.rmdir(root / "full"),
                lambda: os.rmdir(root / "file.py"),
                lambda: os.rmdir(root / "dirlink"),
                lambda: os.unlink(root / "empty"),
                lambda: os.unlink(root / "nothing"),
                lambda: os.mkdir(root / "full"),
                lambda: os.mkdir(root / "file.py"),
                lambda: os.mkdir(below),
                lambda: os.mkdir(root / "nothing" / "x"),
                lambda: os.mkdir(long),
                lambda: os.open(long, os.O_RDONLY),
                lambda: os.open(long, os.O_WRONLY | os.O_CREAT),
                lambda: os.rename(root / "file.py", long),
                lambda: os.symlink("x", root / "link"),
                lambda: os.open(root / "full", os.O_WRONLY),
                lambda: os.open(below, os.O_RDONLY),
                lambda: os.listdir(root / "file.py"),
                lambda: os.readlink(root / "file.py"),
                lambda: os.truncate(root / "full", 0),
                lambda: os.rename(root / "full", root / "full" / "below" / "x"),
                lambda: os.open(root / "file.py", os.O_RDONLY | os.O_DIRECTORY),
                lambda: os.open(root / "link", os.O_RDONLY | os.O_NOFOLLOW),
            )
        ]

    assert same(scenario)


def test_whiteouts_and_unknown_rename_flags_are_refused(shared: Mounted) -> None:
    file = shared.alice / "white.py"
    file.write_bytes(b"")
    for flags in (WHITEOUT, NOREPLACE | EXCHANGE):
        assert outcome(lambda: renameat2(file, shared.alice / "out.py", flags)) == "EINVAL"  # noqa: B023


def test_views_and_read_only_trees_keep_their_borders(shared: Mounted) -> None:
    (shared.alice / "border.py").write_bytes(b"x = 1\n")
    head = shared.mountpoint / "@head"
    for call, error in (
        (lambda: os.rename(shared.alice / "border.py", shared.bob / "there.py"), "EXDEV"),
        (lambda: os.link(shared.alice / "border.py", shared.bob / "there.py"), "EXDEV"),
        (lambda: os.link(shared.alice / "border.py", shared.alice / "there.py"), "EPERM"),
        (lambda: os.unlink(head / "border.py"), "EROFS"),
        (lambda: os.mkdir(head / "new"), "EROFS"),
        (lambda: os.open(head / "border.py", os.O_WRONLY), "EROFS"),
        (lambda: os.open(head / "new.py", os.O_WRONLY | os.O_CREAT), "EROFS"),
        (lambda: os.chmod(head / "border.py", 0o600), "EROFS"),
        (lambda: os.truncate(head / "border.py", 0), "EROFS"),
        (lambda: os.utime(head / "border.py"), "EROFS"),
        (lambda: os.setxattr(head / "border.py", "user.a", b""), "EROFS"),
        (lambda: os.rename(head / "border.py", head / "there.py"), "EROFS"),
    ):
        assert outcome(call) == error
    assert (head / "border.py").read_bytes() == b"x = 1\n"


def test_names_are_bytes(same: Same) -> None:
    names = [
        b"caf\xe9.py",
        b"new\nline.py",
        b"tab\t.txt",
        b"\xff\xfe",
        b" ",
        b"-rf",
        b"*",
        "日本.py".encode(),
        b"a" * 255,
    ]

    def scenario(root: Path) -> object:
        top = os.fsencode(root)
        for name in names:
            with open(os.path.join(top, name), "wb") as file:
                file.write(name)
            os.mkdir(os.path.join(top, b"d" + name[:250]))
            os.symlink(name, os.path.join(top, b"l" + name[:250]))
        os.rename(os.path.join(top, names[0]), os.path.join(top, b"\xe9"))
        return sorted(os.listdir(top))

    assert same(scenario)


def test_tree_of_two_hundred_levels_is_made_walked_moved_and_removed(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "top").mkdir()
        path = root / "top"
        for level in range(200):
            path = path / f"d{level}"
            path.mkdir()
        (path / "deep.py").write_bytes(b"x = 1\n")
        os.rename(root / "top", root / "moved")
        seen = sum(1 for _ in os.walk(root))
        deep = Path(str(path).replace("/top/", "/moved/", 1)) / "deep.py"
        text = deep.read_bytes()
        deep.unlink()
        return [seen, text]

    assert same(scenario) == [202, b"x = 1\n"]


def test_links_that_lead_in_circles_are_refused(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "one").symlink_to("two")
        (root / "two").symlink_to("one")
        (root / "self").symlink_to("self/below")
        (root / "long").symlink_to("x" * 4000)
        os.rename(root / "one", root / "three")
        return [
            outcome(lambda: os.stat(root / "two" / "x")),
            outcome(lambda: os.open(root / "self", os.O_RDONLY)),
            outcome(lambda: os.open(root / "self", os.O_WRONLY | os.O_CREAT)),
            os.readlink(root / "long"),
            outcome(lambda: os.open(root / "long", os.O_RDONLY)),
        ]

    assert same(scenario)


def test_pipes_and_sockets_connect_processes_of_a_view(same: Same) -> None:
    def scenario(root: Path) -> object:
        os.mkfifo(root / "pipe", 0o640)
        writer = threading.Thread(target=lambda: (root / "pipe").write_bytes(b"through"))
        writer.start()
        seen: list[object] = [(root / "pipe").read_bytes(), (root / "pipe").stat().st_mode]
        writer.join()
        os.rename(root / "pipe", root / "conduit")
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)  # a socket's path holds 107 bytes
        name = f"/proc/self/fd/{here}/socket"
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(name)
            server.listen(1)
            client.connect(name)
            client.sendall(b"hello")
            with server.accept()[0] as answer:
                seen.append(answer.recv(5))
        seen += [stat.S_IFMT(os.lstat(root / each).st_mode) for each in ("socket", "conduit")]
        os.close(here)
        os.unlink(root / "socket")
        os.unlink(root / "conduit")
        return seen

    assert same(scenario)


def test_folders_count_their_subfolders_as_links(same: Same) -> None:
    def scenario(root: Path) -> object:
        seen = [root.stat().st_nlink]
        (root / "a" / "b").mkdir(parents=True)
        (root / "f.py").write_bytes(b"")
        seen += [root.stat().st_nlink, (root / "a").stat().st_nlink]
        os.rename(root / "a" / "b", root / "b")
        seen += [root.stat().st_nlink, (root / "a").stat().st_nlink]
        os.rmdir(root / "b")
        return [*seen, root.stat().st_nlink]

    assert same(scenario)


def test_removed_folder_that_somebody_is_in_says_so(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "d").mkdir()
        fd = os.open(root / "d", os.O_RDONLY | os.O_DIRECTORY)
        os.rmdir(root / "d")
        seen = [
            os.fstat(fd).st_nlink,
            outcome(lambda: os.open("x", os.O_WRONLY | os.O_CREAT, dir_fd=fd)),
            outcome(lambda: os.mkdir("y", dir_fd=fd)),
            outcome(lambda: os.listdir(fd)),
        ]
        os.close(fd)
        return seen

    assert same(scenario)


def test_listing_of_many_names_has_each_that_stays_once_while_others_change(shared: Mounted) -> None:
    folder = shared.alice / "many"
    folder.mkdir()
    stays = {f"stays{number:04}.txt" for number in range(5000)}
    for name in stays:
        (shared.repo / "many" / name).write_bytes(b"")
    going = threading.Event()

    def change() -> None:
        turn = 0
        while not going.is_set():
            path = folder / f"comes{turn % 50}.txt"
            path.write_bytes(b"x")
            os.rename(path, folder / f"goes{turn % 50}.txt")
            os.unlink(folder / f"goes{turn % 50}.txt")
            turn += 1

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for view in (shared.alice, shared.bob, shared.alice):
            with os.scandir(view / "many") as entries:
                found = [entry.name for entry in entries]
            assert len(found) == len(set(found)), "no name twice"
            assert stays <= set(found), "no name left out"
    finally:
        going.set()
        changer.join()
    assert set(os.listdir(shared.bob / "many")) == stays


def test_tree_is_removed_at_once_with_its_editors_backups(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "d" / "e").mkdir(parents=True)
        for name in ("f.py", "f.py~", "e/g.txt", "e/.g.txt.swp"):
            (root / "d" / name).write_bytes(b"x\n")
        first = outcome(lambda: os.rmdir(root / "d" / "e"))
        for folder, _, files in os.walk(root / "d", topdown=False):
            for file in files:
                os.unlink(os.path.join(folder, file))
            os.rmdir(folder)
        return [first, os.listdir(root)]

    assert same(scenario) == ["ENOTEMPTY", []]
