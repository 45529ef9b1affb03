"""Messages, answers and shared artifacts, by real shells and programs in real views."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mount.hands import PATIENCE_S, eventually
from tests.mount.mounted import PACKAGES, Mounted

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """Serve to three agents, with an inbox that 20 messages fill."""
    top = tmp_path_factory.mktemp("office")
    subprocess.run(["git", "init", "-q", str(top / "repo")], check=True)
    (top / "repo" / "a.py").write_bytes(b"x = 1\n")
    conf = top / "makfs.conf"
    conf.write_text("[messages]\nunread = 20\nmessage_bytes = 4096\nartifact_bytes = 100000\n")
    (top / "work").mkdir()
    served = Mounted(top / "repo", top / "work", ("alice", "bob", "carol"), config=conf)
    try:
        served.start()
        yield served
        served.stop()
        assert served.findings() == []
    finally:
        served.take_away()
    assert not served.complaints(), served.complaints()[0]


@pytest.fixture
def bob(office: Mounted) -> Iterator[Path]:
    """Return bob's inbox, empty before and after."""
    inbox = office.bob / ".makfs/inbox"
    yield inbox
    for agent in office.agents:
        for name in os.listdir(office.mountpoint / agent / ".makfs/inbox"):
            os.unlink(office.mountpoint / agent / ".makfs/inbox" / name)
    office.makfs("inbox", "--clear")


def sh(view: Path, script: str, shell: str = "bash") -> tuple[int, str]:
    """Run a script in a view; return its exit code and all it printed."""
    done = subprocess.run(
        [shell, "-c", script], cwd=view, text=True, capture_output=True, timeout=PATIENCE_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def why(view: Path) -> str:
    return (view / ".makfs/why").read_text()


def bodies(inbox: Path) -> list[str]:
    """Return the texts in an inbox, in the order of names."""
    texts = [(inbox / name).read_text() for name in sorted(os.listdir(inbox))]
    return [text.partition("\n\n")[2] for text in texts]


# ---- sending


@pytest.mark.parametrize(
    "script",
    [
        "echo hello > .makfs/outbox/bob",
        r"echo 'To: bob\n\nhello' > .makfs/outbox/x",
        r"printf 'To: bob\n\nhello\n' >> .makfs/outbox/x",
        "{ echo To: bob; echo; cat hello; } > .makfs/outbox/x",
        "( echo To: bob; echo; cat hello ) > .makfs/outbox/x",
        "cat > .makfs/outbox/x <<END\nTo: bob\n\nhello\nEND",
        "cat hello | tee .makfs/outbox/bob > /dev/null",
        "cp hello .makfs/outbox/bob",
        "cp hello away; mv away .makfs/outbox/bob",
        "cp -p hello .makfs/outbox/bob",
        "cp hello .makfs/outbox/.bob; mv .makfs/outbox/.bob .makfs/outbox/bob",
        "cp hello .makfs/outbox/bob.tmp; mv .makfs/outbox/bob.tmp .makfs/outbox/bob",
        "exec 3> .makfs/outbox/bob; printf hel >&3; cat lo >&3; exec 3>&-",
        'echo \'{"to": "bob", "body": "hello\\n"}\' > .makfs/outbox/x',
        "dd if=hello of=.makfs/outbox/bob bs=1 conv=fsync status=none",
    ],
)
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_whatever_writes_a_file_into_the_outbox_sends_one_message(
    office: Mounted, bob: Path, script: str, shell: str
) -> None:
    (office.alice / "hello").write_text("hello\n")
    (office.alice / "lo").write_text("lo\n")
    assert sh(office.alice, script, shell) == (0, "")
    eventually(lambda: bool(os.listdir(bob)), "that the message is there")
    assert bodies(bob) == ["hello\n"]
    assert os.listdir(office.alice / ".makfs/outbox") == []


def test_a_message_tells_who_sent_it_whatever_it_claims(office: Mounted, bob: Path) -> None:
    assert sh(office.alice, r"printf 'From: carol\nTo: bob\n\nhello' > .makfs/outbox/x")[0]
    assert "knows whose view" in why(office.alice)
    sh(office.alice, r"printf 'hello\nFrom: carol\n' > .makfs/outbox/bob")
    (name,) = os.listdir(bob)
    head, _, body = (bob / name).read_text().partition("\n\n")
    assert name.endswith("-alice")
    assert head.splitlines()[:2] == ["From: alice", "To: bob"]
    assert body == "hello\nFrom: carol\n"
    read: dict[str, Any] = json.loads((bob / f"{name}.json").read_text())
    assert (read["from"], read["to"], read["body"]) == ("alice", ["bob"], body)


def test_a_bad_message_is_refused_at_write_and_why_says_what_is_wrong(office: Mounted, bob: Path) -> None:
    code, out = sh(office.alice, "echo hello > .makfs/outbox/nobody")
    assert (code, "Invalid argument" in out) == (1, True)
    assert "There is no agent 'nobody' to send to; there are alice, bob, carol, makfs, all." in why(
        office.alice
    )
    code, out = sh(office.alice, r"printf 'To: bob\nCc: carol\n\nhello' > .makfs/outbox/x")
    assert (code, "Invalid argument" in out) == (1, True)
    assert "There is no header 'Cc'" in why(office.alice)
    code, out = sh(office.alice, "head -c 99999 /dev/zero | tr '\\0' x > .makfs/outbox/bob")
    assert "File too large" in out
    assert "the limit in makfs.conf" in why(office.alice)
    code, out = sh(
        office.alice, r"printf 'To: bob\n\n' > .makfs/outbox/.x; mv .makfs/outbox/.x .makfs/outbox/x"
    )
    assert (code, "Bad message" in out) == (1, True)
    assert os.listdir(office.alice / ".makfs/outbox") == [".x"], "a draft that is bad is still there"
    assert sh(office.alice, "rm .makfs/outbox/.x") == (0, "")
    assert os.listdir(bob) == []
    with pytest.raises(OSError, match="Invalid argument"):
        (office.alice / ".makfs/outbox/x").write_text("To: bob\n\n")


def test_only_messages_and_artifacts_are_made_in_control_folders(office: Mounted, bob: Path) -> None:
    for script in (
        "echo x > .makfs/inbox/x", "mkdir .makfs/outbox/x", "ln -s x .makfs/outbox/x", "echo x > .makfs/x",
        "rm .makfs/why", "mv .makfs/agent away", "echo x > .makfs/sent",
    ):  # fmt: skip
        code, out = sh(office.alice, script)
        assert (code, "Operation not permitted" in out) == (1, True), script
    assert ".makfs" not in os.listdir(office.alice)


def test_a_killed_writer_sends_nothing(office: Mounted, bob: Path) -> None:
    writer = subprocess.Popen(
        ["bash", "-c", "{ echo half; read -r _; echo whole; } > .makfs/outbox/bob"], cwd=office.alice,
        stdin=subprocess.PIPE,
    )  # fmt: skip
    fds = Path(f"/proc/{writer.pid}/fd")
    eventually(
        lambda: any("outbox" in os.readlink(fd) for fd in fds.iterdir() if fd.exists()), "that it writes"
    )
    writer.kill()
    writer.communicate()
    eventually(lambda: "was killed" in why(office.alice), "that it is told")
    assert os.listdir(bob) == []


def test_two_at_once_under_one_name_are_two_messages(office: Mounted, bob: Path) -> None:
    with (
        open(office.alice / ".makfs/outbox/bob", "w", buffering=1) as one,
        open(office.alice / ".makfs/outbox/bob", "w", buffering=1) as two,
    ):
        one.write("one\n")
        two.write("two\n")
    eventually(lambda: len(os.listdir(bob)) == 2, "that both are there")
    assert sorted(bodies(bob)) == ["one\n", "two\n"]


def test_a_full_inbox_is_no_room_and_the_sender_is_told_what_to_do(office: Mounted, bob: Path) -> None:
    assert sh(office.alice, "for n in $(seq 1 20); do echo $n > .makfs/outbox/bob; done") == (0, "")
    code, out = sh(office.alice, "echo hello > .makfs/outbox/.x; mv .makfs/outbox/.x .makfs/outbox/bob")
    assert (code, "quota" in out) == (1, True)
    assert "bob has 20 unread messages" in why(office.alice)
    assert "must remove some from its .makfs/inbox" in why(office.alice)
    assert sh(office.bob, "rm .makfs/inbox/*1-alice") == (0, "")
    assert sh(office.alice, "mv .makfs/outbox/.x .makfs/outbox/bob") == (0, "")
    assert bodies(bob)[-1] == "hello\n"


# ---- reading


def test_names_sort_by_arrival_and_an_unsorted_listing_has_the_urgent_first(
    office: Mounted, bob: Path
) -> None:
    for number, priority in enumerate(("low", "normal", "high", "normal"), 1):
        office.makfs("send", "bob", "--priority", priority, f"{number} {priority}")
    assert [body.strip() for body in bodies(bob)] == ["1 low", "2 normal", "3 high", "4 normal"]
    listed = sh(office.bob, "cat $(ls -U .makfs/inbox/* | sed -n 1p) | tail -n 1")
    assert listed == (0, "1 low\n"), "the shell sorts"
    order = sh(office.bob, "ls -U .makfs/inbox | while read -r name; do tail -n 1 .makfs/inbox/$name; done")
    assert order == (0, "3 high\n2 normal\n4 normal\n1 low\n")
    shown = office.makfs("inbox", "bob")
    assert [line.strip() for line in shown.splitlines() if line.startswith("    ")] == [
        "3 high", "2 normal", "4 normal", "1 low",
    ]  # fmt: skip


def test_removing_acknowledges_once_and_a_move_reads_and_acknowledges(
    office: Mounted, bob: Path, tmp_path: Path
) -> None:
    office.makfs("send", "bob,carol", "one")
    office.makfs("send", "bob", "two")
    assert "2 messages wait in .makfs/inbox" in why(office.bob)
    first, second = sorted(os.listdir(bob))
    assert sh(office.bob, f"rm .makfs/inbox/{first}") == (0, "")
    assert sh(office.bob, f"rm .makfs/inbox/{first}")[0] == 1
    assert sh(office.bob, f"mv .makfs/inbox/{second} {tmp_path}/done") == (0, "")
    assert (tmp_path / "done").read_text().endswith("\n\ntwo\n")
    assert os.listdir(bob) == []
    assert "wait" not in why(office.bob)
    rows = json.loads(office.makfs("messages", "--json", "-n", "2"))
    assert [row["unread_by"] for row in rows] == [[], ["carol"]]


def test_a_message_that_a_person_takes_away_is_soon_no_file_any_more(office: Mounted, bob: Path) -> None:
    office.makfs("send", "bob", "never mind")
    (name,) = os.listdir(bob)
    assert (bob / name).read_text().endswith("never mind\n")
    office.makfs("inbox", "bob", "--clear")
    assert os.listdir(bob) == []
    with pytest.raises(FileNotFoundError):
        (bob / name).read_text()
    eventually(lambda: not (bob / name).exists())


def test_all_is_everybody_but_the_sender(office: Mounted, bob: Path) -> None:
    sh(office.alice, "echo hello > .makfs/outbox/all")
    counts = [len(os.listdir(office.mountpoint / agent / ".makfs/inbox")) for agent in office.agents]
    assert counts == [0, 1, 1]
    sent = json.loads((office.alice / ".makfs/sent").read_text().splitlines()[-1])
    assert (sent["to"], sent["unread_by"]) == (["bob", "carol"], ["bob", "carol"])


# ---- questions


def test_a_question_is_answered_from_a_shell_and_the_answer_is_printed(office: Mounted, bob: Path) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-P", "-m", "makfs.cli", "-C", office.repo, "ask", "bob", "done?", "--timeout=60"],
        env={**os.environ, "PYTHONPATH": PACKAGES}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    eventually(lambda: bool(os.listdir(bob)), "that the question is there")
    (name,) = os.listdir(bob)
    assert "Answer-By: " in (bob / name).read_text()
    number = (bob / name).read_text().partition("Id: ")[2].partition("\n")[0]
    assert sh(office.mountpoint / "carol", f"printf 'Re: {number}\\n\\nno' > .makfs/outbox/x")[0] == 1, (
        "not asked"
    )
    assert sh(office.bob, f"printf 'Re: {number}\\n\\nin a minute\\n' > .makfs/outbox/x") == (0, "")
    out, _ = asking.communicate(timeout=PATIENCE_S)
    assert (asking.returncode, out) == (0, "in a minute\n")
    assert office.makfs("inbox") == "No message waits.\n", "an answer that was printed is read"


def test_a_question_that_nobody_answers_ends_with_124_and_a_later_answer_is_kept(
    office: Mounted, bob: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "-C", office.repo, "ask", "bob", "done?", "--timeout", "0"],
        env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 124
    number = done.stderr.partition("answer message ")[2].partition(" ")[0]
    office.makfs("answer", number, "yes")
    (row,) = json.loads(office.makfs("inbox", "--json"))
    assert (row["sender"], row["re"], row["body"]) == ("bob", int(number), "yes")


# ---- sharing


def test_what_is_shared_is_read_by_all_and_has_versions(office: Mounted, bob: Path, tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(b"\xff\0one")
    assert sh(office.alice, f"cp {tmp_path}/plan .makfs/shared/plan") == (0, "")
    assert (office.bob / ".makfs/shared/plan").read_bytes() == b"\xff\0one"
    assert sh(office.bob, "printf two > .makfs/shared/.p; mv .makfs/shared/.p .makfs/shared/plan") == (0, "")
    assert sh(office.bob, "printf ' three' >> .makfs/shared/plan") == (0, "")
    assert (office.alice / ".makfs/shared/plan").read_bytes() == b"two three"
    assert (office.alice / ".makfs/shared/plan@1").read_bytes() == b"\xff\0one"
    assert os.listdir(office.alice / ".makfs/shared") == ["plan"]
    (row,) = json.loads(office.makfs("shared", "--json"))
    assert (row["name"], row["version"], row["agent"], row["size_bytes"]) == ("plan", 3, "bob", 9)
    assert sh(office.alice, "rm .makfs/shared/plan")[0] == 1, "bob's"
    assert sh(office.alice, "head -c 200000 /dev/zero > .makfs/shared/big")[0] == 1
    assert sh(office.alice, "echo x > '.makfs/shared/a b'")[0] == 1
    assert "cannot be shared" in why(office.alice)
    office.makfs("share", "person", tmp_path / "plan")
    assert (office.bob / ".makfs/shared/person").read_bytes() == b"\xff\0one"
    assert sh(office.bob, "rm .makfs/shared/plan") == (0, "")
    office.makfs("share", "--remove", "person")
    assert os.listdir(office.alice / ".makfs/shared") == []


# ---- many, and the end of the daemon


def test_a_thousand_messages_are_in_order_and_outlive_the_daemon(tmp_repo: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    served = Mounted(tmp_repo, tmp_path / "work")
    script = "for n in $(seq 1 1000); do echo $n > .makfs/outbox/bob || exit 1; done"
    try:
        served.start()
        assert sh(served.alice, script) == (0, "")
        inbox = served.bob / ".makfs/inbox"
        names = sorted(os.listdir(inbox))
        read = sh(served.bob, "cat .makfs/inbox/* | grep -x '[0-9][0-9]*'")
        assert read == (0, "".join(f"{n}\n" for n in range(1, 1001)))
        assert sh(served.bob, "ls .makfs/inbox | sed -n 'p;n' | (cd .makfs/inbox; xargs rm)") == (0, "")
        served.stop(signal.SIGKILL)
        subprocess.run(["fusermount3", "-uz", "--", str(served.mountpoint)], check=False)
        served.start()
        assert sorted(os.listdir(inbox)) == names[1::2], "K1"
        assert sh(served.alice, "echo more > .makfs/outbox/bob") == (0, "")
        assert max(os.listdir(inbox)) == "0000001001-alice"
    finally:
        served.take_away()


def test_kill_in_the_middle_of_sending_loses_and_doubles_nothing(tmp_repo: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    served = Mounted(tmp_repo, tmp_path / "work")
    send = "echo $n > .makfs/outbox/.n && mv .makfs/outbox/.n .makfs/outbox/bob && echo $n"
    script = f"n=0; while [ $n -lt 100000 ]; do n=$((n + 1)); {send}; done"
    try:
        served.start()
        sender = subprocess.Popen(
            ["sh", "-c", script], cwd=served.alice,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        assert sender.stdout is not None
        with sender.stdout:
            heard = [int(sender.stdout.readline()) for _ in range(20)]
            served.stop(signal.SIGKILL)
            os.killpg(sender.pid, signal.SIGKILL)
            heard += [int(line) for line in sender.stdout]
        sender.wait()
        subprocess.run(["fusermount3", "-uz", "--", str(served.mountpoint)], check=False)
        served.start()
        found = [int(body) for body in bodies(served.bob / ".makfs/inbox")]
        assert found[: len(heard)] == heard, "K1"
        assert found in (heard, [*heard, len(heard) + 1]), (
            "the last may be in without its sender having heard"
        )
    finally:
        served.take_away()
