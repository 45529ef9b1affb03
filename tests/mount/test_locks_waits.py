"""Agents that wait for each other: queues, deadlocks, leases and their ends, over real mounts."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from makfs.cli.exits import Told
from makfs.wire.verbs import Claim, Locks, Release
from tests.mount.desks import (
    BOTH,
    BYE,
    CONFIGS,
    HELLO,
    TEXT,
    WAIT_S,
    Desk,
    Hands,
    leave,
    put,
    serve,
    sit_down,
)  # fmt: skip
from tests.mount.hands import claude_name, eventually
from tests.mount.mounted import outcome

pytestmark = pytest.mark.mount

# ---- deadlocks


def test_request_that_closes_a_circle_is_refused_at_once_with_the_circle(patient: Desk) -> None:
    patient.claim("alice", "hello")
    patient.claim("bob", "bye")
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(patient.ask, Claim("alice", "write", (patient.address("bye"),), WAIT_S))
        patient.wait_for("alice")
        begun = time.monotonic()
        with pytest.raises(Told, match="deadlock") as caught:
            patient.ask(Claim("bob", "write", (patient.address("hello"),), WAIT_S))
        assert time.monotonic() - begun < WAIT_S / 2
        for part in ("alice asks", "bob asks", patient.address("hello"), patient.address("bye")):
            assert part in str(caught.value)
        assert f"To let the others go on: echo '{patient.address('bye')}' > .makfs/release." in str(
            caught.value
        )
        assert patient.waiting() == ["alice"]
        patient.ask(Release("bob"))
        assert waits.result(WAIT_S)[0]["agent"] == "alice"


def test_write_that_closes_a_circle_is_refused_and_kept_and_the_other_goes_on(
    patient: Desk, hand: Hands
) -> None:
    alice, bob = hand(), hand()
    patient.claim("alice", "hello")
    patient.claim("bob", "bye")
    assert alice.read(patient.at("alice")) == bob.read(patient.at("bob")) == TEXT
    alice.send("write whole", patient.at("alice"), BYE)
    patient.wait_for("alice")
    begun = time.monotonic()
    with pytest.raises(OSError, match="busy"):
        bob.write(patient.at("bob"), HELLO)
    assert time.monotonic() - begun < WAIT_S / 2
    assert patient.refused("bob") == HELLO
    why = patient.why("bob")
    for part in ("deadlock", "alice asks", "bob asks", patient.address("hello"), patient.address("bye")):
        assert part in why
    assert patient.waiting() == ["alice"]
    patient.ask(Release("bob"))
    alice.answer()
    assert patient.everywhere() == BYE


# ---- queues


def test_waiting_writer_goes_on_when_the_holder_releases(patient: Desk, hand: Hands) -> None:
    bob = hand()
    patient.claim("alice", "hello")
    bob.send("write whole", patient.at("bob"), HELLO)
    patient.wait_for("bob")
    assert patient.at("alice").read_bytes() == TEXT
    patient.ask(Release("alice"))
    bob.answer()
    assert patient.everywhere() == HELLO
    assert patient.grants() == []


def test_agent_with_priority_is_served_before_one_who_came_a_little_earlier(
    patient: Desk, hand: Hands
) -> None:
    bob, lena = hand(), hand()
    patient.claim("alice", "hello")
    bob.send("write whole", patient.at("bob"), HELLO)
    patient.wait_for("bob")
    lena.send("write whole", patient.at("lena"), HELLO)
    patient.wait_for("bob", "lena")
    assert patient.waiting() == ["lena", "bob"]
    patient.ask(Release("alice"))
    lena.answer()
    bob.answer()
    assert patient.everywhere() == HELLO


@pytest.mark.parametrize(("policy", "held"), [("lease", "EBUSY"), ("merge", len(HELLO)), ("claim", "EBUSY")])
def test_policy_of_a_whole_mount_decides_what_a_write_takes(
    policy: str, held: object, tmp_path: Path, request: pytest.FixtureRequest, hand: Hands
) -> None:
    """`makfs mount --on-write POLICY`: alice writes a function, then bob does."""
    for mounted in serve(tmp_path, CONFIGS["brisk"], ("alice", "bob"), on_write=policy):
        desk = sit_down(mounted, request)
        alice, bob = desk.at("alice"), desk.at("bob")
        first = outcome(partial(alice.write_bytes, put(TEXT, b"hello {", b"hi {")))
        assert first == ("EBUSY" if policy == "claim" else len(TEXT) - 3)
        assert [row[:2] for row in desk.grants()] == [("alice", "words.py::hello")] * (policy == "lease")
        assert bob.read_bytes() == desk.everywhere()
        assert outcome(partial(bob.write_bytes, HELLO)) == held
        if policy == "claim":
            desk.claim("bob", "hello")
            bob.write_bytes(HELLO)
            assert desk.everywhere() == HELLO
        leave(desk)


@pytest.mark.parametrize("call", ["rename", "unlink", "rename a folder", "chmod", "create", "save"])
def test_waiting_change_of_names_goes_on_when_the_holder_releases(
    patient: Desk, hand: Hands, call: str
) -> None:
    """It waits for lease_s at most, so the lease is let go as soon as it is seen to wait."""
    path, bob = patient.at("bob"), hand()
    folder = path.parent
    patient.claim("alice", mode="read")
    bob.read(path)
    calls: dict[str, tuple[Any, ...]] = {
        "rename": ("rename", path, folder / "other.py"),
        "unlink": ("unlink", path),
        "rename a folder": ("rename", folder, folder.with_name(folder.name + "_moved")),
        "chmod": ("chmod", path, 0o600),
        "create": ("write whole", folder / "made.py", TEXT),
        "save": ("save whole", path, HELLO, claude_name(path, bob)),
    }
    if call == "create":
        patient.ask(Claim("alice", "write", (patient.address(name="made.py"),), 0))
    bob.send(*calls[call])
    patient.wait_for("bob")
    patient.ask(Release("alice"))
    bob.answer()
    assert patient.ask(Locks())["waiters"] == []
    if call == "save":
        assert patient.everywhere() == HELLO


def test_waiters_delay_nobody_else(patient: Desk, hand: Hands) -> None:
    """200 writers wait inside write(2); meanwhile another view reads and writes."""
    count, paths = 200, []
    for number in range(count):
        name = f"many/{number}.py"
        (patient.mounted.repo / patient.folder / "many").mkdir(exist_ok=True)
        (patient.mounted.repo / patient.folder / name).write_bytes(TEXT)
        paths.append(patient.at("bob", name))
    patient.ask(Claim("alice", "write", (f"{patient.folder}/many/",), 0, 600))
    other = hand()  # made before: a child that is being made closes, and so flushes, all that is open
    with ThreadPoolExecutor(count) as pool:
        writers = [pool.submit(path.write_bytes, HELLO) for path in paths]
        eventually(lambda: len(patient.waiting()) == count, f"that {count} wait")
        deadline = time.monotonic() + WAIT_S / 2
        for number in range(100):
            text = put(TEXT, b"last(name)", b"last_%d(name)" % number)
            other.write(patient.at("lena"), text)
            assert other.read(patient.at("alice")) == text
        assert time.monotonic() < deadline
        assert len(patient.waiting()) == count
        patient.ask(Release("alice"))
        assert [each.result(WAIT_S) for each in writers] == [len(HELLO)] * count
    assert all(path.read_bytes() == HELLO for path in paths)


def test_one_waiter_too_many_is_refused_at_once_and_told(
    tmp_path: Path, request: pytest.FixtureRequest, hand: Hands
) -> None:
    for mounted in serve(tmp_path, CONFIGS["narrow"], ("alice", "bob")):
        desk = sit_down(mounted, request)
        names = [f"{number}.py" for number in range(4)]
        for name in names:
            (mounted.repo / desk.folder / name).write_bytes(TEXT)
        desk.ask(Claim("alice", "write", (f"{desk.folder}/",), 0))
        crowd = [hand() for _ in names]
        for number in range(3):
            crowd[number].send("write whole", desk.at("bob", names[number]), HELLO)
            desk.wait_for(*["bob"] * (number + 1))
        begun = time.monotonic()
        with pytest.raises(OSError, match="busy"):
            crowd[3].write(desk.at("bob", names[3]), HELLO)
        assert time.monotonic() - begun < WAIT_S / 2
        assert "3 operations wait already" in desk.why("bob")
        desk.ask(Release("alice"))
        for each in crowd[:3]:
            each.answer()
        assert [desk.everywhere(name) for name in names] == [HELLO] * 3 + [TEXT]
        leave(desk)


def test_killed_waiter_leaves_the_queue_and_changes_nothing(patient: Desk, hand: Hands) -> None:
    bob = hand()
    patient.claim("alice", "hello")
    bob.send("write whole", patient.at("bob"), HELLO)
    patient.wait_for("bob")
    os.kill(bob.pid, signal.SIGKILL)
    eventually(lambda: not patient.waiting(), "an empty queue")
    patient.ask(Release("alice"))
    assert patient.everywhere() == TEXT
    assert patient.refused("bob").startswith(HELLO[: HELLO.index(b"bye")])


def test_signal_that_does_not_kill_does_not_end_a_wait(patient: Desk, hand: Hands) -> None:
    bob = hand()
    patient.claim("alice", "hello")
    bob.send("write whole", patient.at("bob"), HELLO)
    patient.wait_for("bob")
    for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGCHLD, signal.SIGWINCH):
        os.kill(bob.pid, number)
    assert patient.waiting() == ["bob"]
    patient.ask(Release("alice"))
    bob.answer()
    assert patient.everywhere() == HELLO


# ---- leases and their ends


def test_lease_is_taken_by_a_write_and_ends_by_itself(patient: Desk, hand: Hands) -> None:
    lena, bob = hand(), hand()
    lena.write(patient.at("lena"), HELLO)
    assert [row[:2] for row in patient.grants()] == [("lena", "words.py::hello")]
    text = bob.read(patient.at("bob"))
    bob.write(patient.at("bob"), put(text, b"HELLO {", b"Hello {"))  # waits, and is let in by time alone
    assert patient.grants() == []
    assert b"Hello {" in patient.everywhere()


def test_lease_of_one_node_leaves_the_others_free(brisk: Desk, hand: Hands) -> None:
    lena, bob = hand(), hand()
    text = bob.read(brisk.at("bob"))
    lena.write(brisk.at("lena"), HELLO)
    bob.write(brisk.at("bob"), put(text, b"bye {", b"BYE {"))
    assert brisk.everywhere() == BOTH
    with pytest.raises(OSError, match="busy"):
        bob.write(brisk.at("bob"), put(BOTH, b"HELLO {", b"Hello {"))
    assert "lena holds write" in brisk.why("bob")
    assert "a lease" in brisk.why("bob")


def test_claim_is_renewed_by_reading_through_the_view(patient: Desk) -> None:
    grant = patient.claim("alice", "hello", lease_s=2)[0]
    end_ns = grant["since_ns"] + 3 * grant["lease_ns"]
    while patient.ask(Locks())["now_ns"] < end_ns:
        patient.at("alice").read_bytes()
        time.sleep(0.05)  # time must pass: that is what is looked at
    assert ("alice", "words.py::hello", grant["fence"]) in patient.grants()


def test_claim_is_renewed_by_writing_and_its_end_is_told(patient: Desk, hand: Hands) -> None:
    grant = patient.claim("alice", "hello", lease_s=2)[0]
    end_ns, number, alice = grant["since_ns"] + 3 * grant["lease_ns"], 0, hand()
    while patient.ask(Locks())["now_ns"] < end_ns:
        number += 1
        alice.write(patient.at("alice", "notes.txt"), b"%d\n" % number)
        time.sleep(0.05)  # time must pass: that is what is looked at
    assert ("alice", "words.py::hello", grant["fence"]) in patient.grants()
    eventually(lambda: not patient.grants(), "the end of the claim")
    why = patient.why("alice")
    for part in ("your claim, write on", patient.address("hello"), "ended", "nothing renewed it for 2 s"):
        assert part in why


def test_holder_that_slept_beyond_its_lease_cannot_write_over_newer_work(patient: Desk, hand: Hands) -> None:
    alice, bob = hand(), hand()
    patient.claim("alice", "hello", lease_s=1)
    assert alice.read(patient.at("alice")) == bob.read(patient.at("bob")) == TEXT
    fd = alice.open(patient.at("alice"), os.O_WRONLY)
    alice.do("pwrite", fd, b"ALICE", TEXT.index(b"hello {"))
    os.kill(alice.pid, signal.SIGSTOP)
    bob.write(patient.at("bob"), HELLO)  # waits for the lease's end
    patient.claim("bob", "hello")
    os.kill(alice.pid, signal.SIGCONT)
    with pytest.raises(OSError, match="busy"):
        alice.do("close", fd)
    assert patient.everywhere() == HELLO
    assert b"ALICE {" in patient.refused("alice")


def test_claims_survive_a_killed_daemon_and_fences_grow(
    tmp_path: Path, request: pytest.FixtureRequest, hand: Hands
) -> None:
    for mounted in serve(tmp_path, CONFIGS["brisk"]):
        desk = sit_down(mounted, request)
        desk.claim("bob", "last")
        desk.claim("alice", "hello")
        desk.ask(Release("bob"))
        before = desk.grants()
        mounted.stop(signal.SIGKILL)
        subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=True)
        mounted.start()
        assert desk.grants() == before
        newer = desk.claim("bob", "bye")[0]["fence"]
        assert newer > max(row[2] for row in before)
        bob = hand()
        with pytest.raises(OSError, match="busy"):
            bob.write(desk.at("bob"), HELLO)
        assert "alice holds write" in desk.why("bob")
        desk.at("alice").write_bytes(HELLO)
        assert desk.everywhere() == HELLO
        mounted.remount()
        assert [row[0] for row in desk.grants()] == ["alice", "bob"]
        leave(desk)


def test_claim_that_waits_survives_a_killed_daemon_and_is_granted_in_its_turn(
    tmp_path: Path, request: pytest.FixtureRequest, hand: Hands
) -> None:
    for mounted in serve(tmp_path, CONFIGS["patient"], ("alice", "bob", "lena")):
        desk, bob = sit_down(mounted, request), hand()
        desk.claim("alice", "hello")
        line = f"write {desk.address('hello')} wait=600 lease=600\n".encode()
        bob.send("write whole", mounted.mountpoint / "bob/.makfs/claim", line)
        desk.wait_for("bob")
        mounted.stop(signal.SIGKILL)
        with pytest.raises(OSError, match=r"."):
            bob.answer()
        subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=True)
        mounted.start()
        assert desk.waiting() == ["bob"]
        desk.ask(Release("alice"))
        assert [row[:2] for row in desk.grants()] == [("bob", "words.py::hello")]
        assert f"you hold write on {desk.address('hello')} now" in desk.why("bob")
        leave(desk)


# ---- formatters, edits from outside


@pytest.mark.parametrize("save", ["write whole", "save whole"])
def test_formatting_of_what_another_holds_is_left_out_and_told(brisk: Desk, hand: Hands, save: str) -> None:
    bob = hand()
    path = brisk.at("bob")
    brisk.claim("alice", "bye", "last")
    text = bob.read(path)
    formatted = put(text, b'f"bye {name}"', b"f'bye {name}'")
    formatted = put(formatted, b"os.sep + name", b"os.sep+name")
    formatted = put(formatted, b"hello {", b"HELLO {")
    more = (claude_name(path, bob),) if save == "save whole" else ()
    bob.send(save, path, formatted, *more)
    bob.answer()
    assert brisk.everywhere() == HELLO
    why = brisk.why("bob")
    for part in ("kept its layout", brisk.address("bye"), brisk.address("last"), "alice holds"):
        assert part in why


def test_edit_from_outside_is_taken_in_and_the_holder_told(brisk: Desk) -> None:
    brisk.claim("alice", "hello")
    assert brisk.at("alice").read_bytes() == TEXT
    assert brisk.at("bob").read_bytes() == TEXT
    brisk.at("lena").write_bytes(BYE)  # so that its nodes are known
    (brisk.mounted.repo / brisk.folder / "words.py").write_bytes(BOTH)
    eventually(lambda: brisk.at("alice").read_bytes() == BOTH, "the edit from outside")
    assert brisk.everywhere() == BOTH
    why = brisk.why("alice")
    for part in (brisk.address("hello"), "which you hold", "directly in the repository"):
        assert part in why
    assert brisk.grants()[0][:2] == ("alice", "words.py::hello")


def test_first_edit_from_outside_is_told_to_the_holder_too(brisk: Desk) -> None:
    """Of a file that nobody has changed yet, and whose nodes nobody has asked for."""
    brisk.claim("alice", "hello")
    assert brisk.at("bob").read_bytes() == TEXT
    (brisk.mounted.repo / brisk.folder / "words.py").write_bytes(HELLO)
    eventually(lambda: brisk.at("alice").read_bytes() == HELLO, "the edit from outside")
    assert "which you hold" in brisk.why("alice")


def test_removal_from_outside_is_told_to_the_holder(brisk: Desk) -> None:
    brisk.claim("alice", "hello")
    (brisk.mounted.repo / brisk.folder / "words.py").unlink()
    eventually(lambda: brisk.address("hello") in brisk.why("alice"), "that alice is told")
    assert not brisk.at("bob").exists()


def test_command_that_why_advises_claims_what_was_lacking(brisk: Desk) -> None:
    """Whatever is in the file's name."""
    name = "two words.txt"
    brisk.at("alice", name).write_bytes(b"a\n")
    brisk.ask(Claim("alice", "write", (brisk.address(name=name),), 0))
    assert outcome(lambda: brisk.at("bob", name).write_bytes(b"b\n")) == "EBUSY"
    command = brisk.why("bob").split("next in the queue: ")[1].split(". Then")[0]
    brisk.ask(Release("alice"))
    subprocess.run(["sh", "-ec", command], cwd=brisk.mounted.mountpoint / "bob", check=True)
    assert [row[:2] for row in brisk.grants()] == [("bob", name)]


# ---- readers


def test_locked_reader_waits_for_the_writer_and_others_do_not(patient: Desk, hand: Hands) -> None:
    rita, bob = hand(), hand()
    patient.claim("alice", "hello")
    rita.send("read whole", patient.at("rita"))
    patient.wait_for("rita")
    assert bob.read(patient.at("bob")) == TEXT
    patient.at("alice").write_bytes(HELLO)
    patient.ask(Release("alice"))
    assert rita.answer() == HELLO
    assert patient.grants() == []


def test_locked_reader_is_refused_after_the_wait_and_told(brisk: Desk) -> None:
    brisk.claim("alice", "hello")
    assert outcome(brisk.at("rita").read_bytes) == "EBUSY"
    assert "alice holds write" in brisk.why("rita")
    brisk.ask(Release("alice"))
    brisk.claim("alice", "hello", mode="read")
    assert brisk.at("rita").read_bytes() == TEXT


# ---- process resources


def test_resource_stands_in_the_same_table_and_in_the_same_circles(patient: Desk) -> None:
    patient.claim("alice", "hello")
    patient.ask(Claim("bob", "write", ("resource:test",), 0))
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(patient.ask, Claim("alice", "write", ("resource:test",), WAIT_S))
        eventually(lambda: patient.ask(Locks("resource:test"))["waiters"], "that alice waits")
        assert outcome(lambda: patient.at("bob").write_bytes(HELLO)) == "EBUSY"
        assert "deadlock" in patient.why("bob")
        assert "resource:test" in patient.why("bob")
        patient.ask(Release("bob"))
        assert waits.result(WAIT_S)[0]["agent"] == "alice"


def test_commands_tell_the_same(brisk: Desk) -> None:
    brisk.claim("alice", "hello")
    state = json.loads(brisk.mounted.makfs("locks", "--json"))
    assert [row["address"] for row in state["grants"]] == [brisk.address("hello")]
