"""What a store keeps beside its commits, each change with its event in one transaction (H4)."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from makfs.errors import NotKept
from makfs.ids import PERSON, AgentId, Seq
from makfs.store import marks, reading
from makfs.store import refusals as refused
from makfs.store.connection import translated
from makfs.store.events import EventLog
from makfs.store.happened import MOST_NAMED
from makfs.store.model import Mark, Refusal
from makfs.store.writing import Batch


class Beside:
    """Marks and refusals. A part of `SqliteStore`."""

    file: Path
    events: EventLog
    _connection: sqlite3.Connection

    @property
    def head(self) -> Seq:
        """Return the newest commit's number."""
        raise NotImplementedError

    def _transaction(self, *, everything: bool = False) -> AbstractContextManager[Batch]:
        raise NotImplementedError

    @translated
    def marks(self) -> Sequence[Mark]:
        """Return all marks, in the order of their names."""
        return marks.marks(self._connection)

    @translated
    def mark(self, name: str) -> Mark | None:
        """Return one mark, or None."""
        return marks.mark(self._connection, name)

    @translated
    def set_mark(self, mark: Mark) -> None:
        """Keep a mark (J7). Durable like a commit."""
        assert 0 <= mark.seq <= self.head, "J7: a mark names a commit"
        if not reading.is_kept(self._connection, mark.seq):
            raise NotKept(reading.cut_sentence(self._connection, mark.seq, "The tree"))
        with self._transaction():
            marks.set_mark(self._connection, mark)
            self.events.record("mark-set", PERSON, time.time_ns(), {"name": mark.name, "seq": mark.seq})

    @translated
    def delete_mark(self, name: str) -> None:
        """Forget a mark. Durable like a commit."""
        with self._transaction():
            marks.delete_mark(self._connection, name)
            self.events.record("mark-deleted", PERSON, time.time_ns(), {"name": name})

    @translated
    def refuse(self, refusal: Refusal) -> int:
        """Keep a refused write; return its number. Durable like a commit."""
        with self._transaction():
            number = refused.keep_refusal(self._connection, refusal)
            fields = {
                "refusal": number, "path": refusal.path, "program": refusal.program, "pid": refusal.pid,
                "nodes": refusal.addresses[:MOST_NAMED],
            }  # fmt: skip
            self.events.record("refusal", refusal.agent, refusal.time_ns, fields)
        return number

    @translated
    def refusals(self, agent: AgentId | None = None, limit: int = 100) -> Sequence[Refusal]:
        """Return refusals, newest first, without their bytes."""
        return refused.refusals(self._connection, agent, limit)

    @translated
    def refusal(self, number: int) -> Refusal | None:
        """Return one refusal whole, or None."""
        return refused.refusal(self._connection, number)
