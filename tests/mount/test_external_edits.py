"""A person edits ./repo directly, mounted or not: commits of `external`, seen in all views, kept."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.hands import Hand, eventually
from tests.mount.mounted import Mounted

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]


def log(served: Mounted, path: str) -> list[tuple[str, int]]:
    """Return (agent, seq) of a path's commits, newest first."""
    return [
        (each["agent"], each["seq"]) for each in json.loads(served.makfs("log", "--json", "--path", path))
    ]


def by_external(served: Mounted, path: str) -> bool:
    return any(agent == "external" for agent, _ in log(served, path))


def views(served: Mounted) -> tuple[Path, Path]:
    return served.alice, served.bob


def show_text(served: Mounted, path: str, text: bytes) -> None:
    for view in views(served):
        eventually(lambda view=view: (view / path).read_bytes() == text, f"{path} in {view.name}")  # type: ignore[misc]
        assert (view / path).stat().st_size == len(text)


def show_names(served: Mounted, folder: str, names: set[str]) -> None:
    for view in views(served):
        eventually(lambda view=view: set(os.listdir(view / folder)) == names, f"{folder} in {view.name}")  # type: ignore[misc]


def warm(served: Mounted, *paths: str) -> None:
    """Let both views' kernel caches know the paths, or that they are absent."""
    for view in views(served):
        for path in paths:
            if (view / path).is_file():
                (view / path).read_bytes()
            elif (view / path).is_dir():
                os.listdir(view / path)


def test_write_in_place_is_seen_in_all_views_and_booked(served: Mounted, greet: str) -> None:
    warm(served, greet)
    text = (served.repo / greet).read_bytes().replace(b"open = True", b"open = False")
    (served.repo / greet).write_bytes(text)
    show_text(served, greet, text)
    eventually(lambda: by_external(served, greet))


def test_rename_over_is_seen_in_all_views_and_booked(served: Mounted, greet: str, tmp_path: Path) -> None:
    warm(served, greet)
    new = served.repo / greet.replace("greet", "new")
    new.write_bytes(b"X = 1\n")
    os.rename(new, served.repo / greet)
    show_text(served, greet, b"X = 1\n")
    show_names(served, os.path.dirname(greet), {"greet.py"})
    eventually(lambda: by_external(served, greet))


def test_new_file_is_seen_where_its_absence_was_known(served: Mounted, greet: str) -> None:
    new = greet.replace("greet", "fresh")
    warm(served, new, os.path.dirname(new))
    (served.repo / new).write_bytes(b"X = 1\n")
    for view in views(served):
        eventually(lambda view=view: (view / new).exists())  # type: ignore[misc]
    show_text(served, new, b"X = 1\n")
    show_names(served, os.path.dirname(new), {"greet.py", "fresh.py"})


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "fifo"])
def test_new_special_name_is_seen_where_its_absence_was_known(served: Mounted, greet: str, kind: str) -> None:
    new = greet.replace("greet.py", "other")
    warm(served, new)
    if kind == "symlink":
        os.symlink("greet.py", served.repo / new)
    elif kind == "hardlink":
        os.link(served.repo / greet, served.repo / new)
    else:
        os.mkfifo(served.repo / new)
    for view in views(served):
        eventually(lambda view=view: os.path.lexists(view / new), f"{new} in {view.name}")  # type: ignore[misc]
    if kind == "symlink":
        assert os.readlink(served.alice / new) == "greet.py"
        eventually(lambda: by_external(served, new))


def test_deleted_file_is_gone_from_all_views_and_booked(served: Mounted, greet: str, hand: Hands) -> None:
    text = (served.alice / greet).read_bytes()
    hand().write(served.alice / greet, text + b"\n\nX = 1\n")
    warm(served, greet)
    os.unlink(served.repo / greet)
    for view in views(served):
        eventually(lambda view=view: not (view / greet).exists())  # type: ignore[misc]
    show_names(served, os.path.dirname(greet), set())
    eventually(lambda: by_external(served, greet))


def test_new_tree_is_seen_whole(served: Mounted, greet: str) -> None:
    top = os.path.dirname(greet)
    warm(served, f"{top}/a", f"{top}/a/b")
    deep = served.repo / top / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent, deep.parent.parent):
        (folder / "x.py").write_bytes(b"X = 1\n")
    for path in ("a/x.py", "a/b/x.py", "a/b/c/x.py"):
        for view in views(served):
            eventually(lambda view=view, path=path: (view / top / path).exists())  # type: ignore[misc]
        eventually(lambda path=path: by_external(served, f"{top}/{path}"))  # type: ignore[misc]
    (deep / "x.py").write_bytes(b"X = 2\n")
    show_text(served, f"{top}/a/b/c/x.py", b"X = 2\n")


def make_tree(served: Mounted, hand: Hand, top: str) -> None:
    """Make a folder with files that the journal knows."""
    for folder in ("d", "d/e"):
        hand.do("mkdir", served.alice / top / folder)
        hand.write(served.alice / top / folder / "x.py", b"X = 1\n")
    warm(served, f"{top}/d/x.py", f"{top}/d/e/x.py", f"{top}/d", f"{top}/d/e")


def test_removed_tree_is_gone_and_every_file_of_it_booked(served: Mounted, greet: str, hand: Hands) -> None:
    top = os.path.dirname(greet)
    make_tree(served, hand(), top)
    shutil.rmtree(served.repo / top / "d")
    for view in views(served):
        eventually(lambda view=view: not (view / top / "d").exists())  # type: ignore[misc]
    for path in ("d", "d/x.py", "d/e", "d/e/x.py"):
        eventually(lambda path=path: by_external(served, f"{top}/{path}"), path)  # type: ignore[misc]


def test_renamed_tree_moves_in_all_views_and_the_journal(served: Mounted, greet: str, hand: Hands) -> None:
    top = os.path.dirname(greet)
    make_tree(served, hand(), top)
    os.rename(served.repo / top / "d", served.repo / top / "moved")
    for view in views(served):
        eventually(lambda view=view: not (view / top / "d").exists())  # type: ignore[misc]
        eventually(lambda view=view: (view / top / "moved/e/x.py").exists())  # type: ignore[misc]
    for path in ("d/x.py", "d/e/x.py", "moved/x.py", "moved/e/x.py"):
        eventually(lambda path=path: by_external(served, f"{top}/{path}"), path)  # type: ignore[misc]
    (served.repo / top / "moved/e/x.py").write_bytes(b"X = 2\n")  # the watch moved along
    show_text(served, f"{top}/moved/e/x.py", b"X = 2\n")


def test_file_that_becomes_a_folder_and_a_folder_that_becomes_a_file(
    served: Mounted, greet: str, hand: Hands
) -> None:
    top = os.path.dirname(greet)
    make_tree(served, hand(), top)
    hand().write(served.alice / greet, b"X = 1\n")
    warm(served, greet)
    shutil.rmtree(served.repo / top / "d")
    (served.repo / top / "d").write_bytes(b"a file\n")
    os.unlink(served.repo / greet)
    (served.repo / greet).mkdir()
    (served.repo / greet / "in.py").write_bytes(b"X = 1\n")
    for view in views(served):
        eventually(lambda view=view: (view / top / "d").is_file())  # type: ignore[misc]
        eventually(lambda view=view: (view / greet / "in.py").is_file())  # type: ignore[misc]
    show_text(served, f"{top}/d", b"a file\n")
    for path in (f"{top}/d", f"{top}/d/x.py", greet, f"{greet}/in.py"):
        eventually(lambda path=path: by_external(served, path), path)  # type: ignore[misc]


def test_mode_change_is_seen(served: Mounted, greet: str, hand: Hands) -> None:
    hand().write(served.alice / greet, b"X = 1\n")
    warm(served, greet)
    before = log(served, greet)
    os.chmod(served.repo / greet, 0o755)
    for view in views(served):
        eventually(lambda view=view: (view / greet).stat().st_mode & 0o777 == 0o755)  # type: ignore[misc]
    eventually(lambda: log(served, greet)[0][0] == "external" and len(log(served, greet)) == len(before) + 1)


def test_direct_edit_survives_an_agents_stale_write_of_the_whole_file(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice = hand()
    text = alice.read(served.alice / greet)
    alice.write(served.alice / greet, text + b"\n\nX = 1\n")
    person = (served.repo / greet).read_bytes().replace(b"open = True", b"open = False")
    (served.repo / greet).write_bytes(person)
    alice.write(served.alice / greet, text.replace(b'"hello {name}"', b'"good day {name}"') + b"\n\nX = 1\n")
    seen = (served.repo / greet).read_bytes()
    assert b"open = False" in seen
    assert b"good day" in seen


def test_direct_edit_during_an_agents_open_write_survives_it(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice = hand()
    text = alice.read(served.alice / greet)
    alice.write(served.alice / greet, text + b"\n\nX = 1\n")
    fd = alice.open(served.alice / greet, os.O_WRONLY | os.O_TRUNC)
    alice.do("write", fd, text.replace(b'"hello {name}"', b'"good day {name}"') + b"\n\nX = 1\n")
    person = (served.repo / greet).read_bytes().replace(b"open = True", b"open = False")
    (served.repo / greet).write_bytes(person)
    alice.do("close", fd)
    seen = (served.repo / greet).read_bytes()
    assert b"open = False" in seen
    assert b"good day" in seen
    eventually(lambda: by_external(served, greet))


def test_direct_edit_that_clashes_with_an_agents_is_kept_and_the_agent_refused(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice = hand()
    text = alice.read(served.alice / greet)
    alice.write(served.alice / greet, text + b"\n\nX = 1\n")
    text = alice.read(served.alice / greet)
    person = text.replace(b'"hello {name}"', b'"person {name}"')
    (served.repo / greet).write_bytes(person)
    with pytest.raises(OSError, match="busy"):
        alice.write(served.alice / greet, text.replace(b'"hello {name}"', b'"alice {name}"'))
    assert (served.repo / greet).read_bytes() == person
    show_text(served, greet, person)


def test_edits_made_while_nobody_served_are_imported_at_the_next_mount(mounted: Mounted, hand: Hands) -> None:
    alice = hand()
    alice.do("mkdir", mounted.alice / "d")
    for name in ("changed.py", "removed.py", "d/removed.py", "untouched.py"):
        alice.write(mounted.alice / name, b"X = 1\n")
    alice.do("symlink", "changed.py", mounted.alice / "link")
    mounted.stop()
    (mounted.repo / "changed.py").write_bytes(b"X = 2\n")
    (mounted.repo / "removed.py").unlink()
    shutil.rmtree(mounted.repo / "d")
    (mounted.repo / "new.py").write_bytes(b"Y = 1\n")
    os.unlink(mounted.repo / "link")
    os.symlink("new.py", mounted.repo / "link")
    mounted.start()
    assert (mounted.bob / "changed.py").read_bytes() == b"X = 2\n"
    assert (mounted.bob / "new.py").read_bytes() == b"Y = 1\n"
    assert not (mounted.bob / "d").exists()
    for path in ("changed.py", "removed.py", "d", "d/removed.py", "link"):
        eventually(lambda path=path: by_external(mounted, path), path)  # type: ignore[misc]
    assert not by_external(mounted, "untouched.py")
    stale = hand()
    stale.write(mounted.alice / "changed.py", b"X = 2\nY = 3\n")
    assert (mounted.repo / "changed.py").read_bytes() == b"X = 2\nY = 3\n"
    mounted.stop()
    assert mounted.findings() == []


def test_more_edits_at_once_than_the_queue_of_events_holds_are_all_seen(
    served: Mounted, greet: str, hand: Hands
) -> None:
    """Inotify drops events when the daemon does not keep up; then everything is looked at."""
    top = os.path.dirname(greet)
    alice = hand()
    for number in range(20):
        alice.write(served.alice / top / f"f{number}.py", b"X = 1\n")
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    served.pause()
    try:
        noise = served.repo / top / "noise.py"
        fds = [os.open(noise, os.O_WRONLY | os.O_CREAT) for _ in range(2)]
        others = [served.repo / top / f"n{number}" for number in range(2)]
        for each in others:
            each.write_bytes(b"")
        for number in range(queue + 100):
            os.close(os.open(others[number % 2], os.O_WRONLY))  # equal events in a row count once
        for fd in fds:
            os.close(fd)
        for number in range(20):
            (served.repo / top / f"f{number}.py").write_bytes(b"X = 2\n")
    finally:
        served.go_on()
    for number in range(20):
        show_text(served, f"{top}/f{number}.py", b"X = 2\n")
