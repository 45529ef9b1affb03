"""`check` finds damage of what stands beside the journal. Each test plants one kind."""

from pathlib import Path

import pytest

from makfs.ids import AgentId
from makfs.messages import Limits, Message, Priority
from makfs.store.checking import check_file
from makfs.store.connection import FILE_NAME
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import ALICE, BOB, LARGE_BYTES, change, draft, file_state
from tests.unit.test_store_check import found, plant

CAROL = AgentId("carol")
LIMITS = Limits(unread=100, unread_bytes=1 << 20, shared_bytes=1 << 20)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a healthy store with a commit, events, messages and something that is shared."""
    store = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    for number, re in enumerate((0, 1, 0)):
        text = Message(0, 10 + number, ALICE, (BOB, CAROL), Priority.NORMAL, re, 0, f"text {number}")
        store.post.send(text, LIMITS)
    store.post.acknowledge(BOB, 2, 20)
    store.commit(draft(change("a.py", file_state([b"x = 1\n"]))))
    for number in range(12):
        store.post.share("report", ALICE, b"%d" % number, number, LIMITS)
    store.post.share("other", BOB, b"", 5, LIMITS)
    store.close()
    assert check_file(tmp_path / FILE_NAME) == []
    return tmp_path / FILE_NAME


DAMAGE = {
    "H1 event 7.1: It does not stand after a commit": [
        "UPDATE event SET seq = 7 WHERE place = 1 AND seq = 0"
    ],
    "H1 event 0: It does not stand": ["UPDATE event SET place = 0 WHERE place = 1 AND seq = 0"],
    "H3 event 0.1: It is kept, though": ["INSERT INTO meta VALUES ('@events_forgotten', '0.1')"],
    "H3 events: Up to where": ["INSERT INTO meta VALUES ('@events_forgotten', 'yesterday')"],
    "SQLITE event 0.2: It cannot be shown": ["UPDATE event SET fields = '[' WHERE place = 2 AND seq = 0"],
    "SQLITE event 0.1: It cannot be shown": ["UPDATE event SET fields = '{\"at\": 1}' WHERE place = 1"],
    "K1 message 1: Those it was sent to": ["DELETE FROM delivery WHERE message = 1 AND agent = 'bob'"],
    "K1 message 2: Those it was sent to": ["INSERT INTO delivery VALUES (2, 'eve', 0)"],
    "K1 message 3: Those it was sent to": ["UPDATE message SET recipients = '[' WHERE id = 3"],
    "SQLITE message 1: Its text is damaged": ["UPDATE message SET body = x'ff' WHERE id = 1"],
    "K2 message 3: The newest id on record is 2": ["UPDATE meta SET value = '2 12' WHERE key = '@message'"],
    "K2 message 1: The newest id on record is 0": ["DELETE FROM meta WHERE key = '@message'"],
    "K2 message 1: The newest id on record is -1": ["UPDATE meta SET value = '?' WHERE key = '@message'"],
    "K2 message 2: Its time is before": ["UPDATE message SET time_ns = 9 WHERE id = 2"],
    "K2 message 3: Its time is before": ["UPDATE message SET time_ns = 99 WHERE id = 3"],
    "K2 message 2: It answers message 3": ["UPDATE message SET re = 3 WHERE id = 2"],
    "K3 shared report@12: Its bytes are not those": [
        "UPDATE artifact SET bytes = x'00' WHERE name = 'report' AND version = 12"
    ],
    "K3 shared other@1: Its bytes are not those": ["UPDATE artifact SET size_bytes = 1 WHERE name = 'other'"],
    "K3 shared report: 11 versions are kept": [
        "CREATE TEMP TABLE old AS SELECT * FROM artifact WHERE version = 12",
        "UPDATE old SET version = 1",
        "INSERT INTO artifact SELECT * FROM old",
    ],
    "SQLITE delivery: It refers to a message": [
        "DELETE FROM message WHERE id = 3",
    ],
}


@pytest.mark.parametrize("expected", DAMAGE)
def test_check_finds_planted_damage_beside_the_journal(file: Path, expected: str) -> None:
    plant(file, *DAMAGE[expected])
    sentences = found(file)
    assert any(sentence.startswith(expected) for sentence in sentences), sentences
