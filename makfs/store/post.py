"""Messages and shared artifacts as SQL, each change with its event in one transaction.

K1  A message that `send` returned is in the inbox of each recipient until that recipient acknowledges it:
    kill -9 loses none, and brings none back.
K2  Ids grow in the order of arrival and are never used again; times never go back.
K3  What is shared is what its hash says; of each name at most VERSIONS are kept, the newest among them.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from makfs.ids import AgentId
from makfs.messages import Artifact, Limits, MailboxFull, Message, Priority
from makfs.store.connection import translated
from makfs.store.events import EventLog
from makfs.store.model import hash_of

MOST_READ = 1_000
"""Messages that all have acknowledged are kept until so many newer ones are there."""
VERSIONS = 10
"""Of an artifact so many versions are kept."""

_MOST_AT_HAND_BYTES = 4 << 20
_BESIDE_BYTES = 500  # of a message, beside its body

MESSAGE_KEY = "@message"
_COLUMNS = "m.id, m.time_ns, m.sender, m.recipients, m.priority, m.re, m.answer_by_ns, m.body"
UNREAD_SQL = (
    f"SELECT {_COLUMNS} FROM delivery d CROSS JOIN message m ON m.id = d.message"
    " WHERE d.agent = ? AND d.acknowledged_ns = 0 ORDER BY d.message"
)
LOAD_SQL = (
    "SELECT count(*), coalesce(sum(length(m.body)), 0) FROM delivery d CROSS JOIN message m"
    " ON m.id = d.message WHERE d.agent = ? AND d.acknowledged_ns = 0"
)
_ARTIFACT_COLUMNS = "name, version, agent, time_ns, hash, size_bytes"
_NEWEST_SQL = "version = (SELECT max(version) FROM artifact n WHERE n.name = artifact.name)"


class Post:
    """The messages and artifacts of one store. A part of `SqliteStore`."""

    def __init__(
        self,
        file: Path,
        connection: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[object]],
        events: EventLog,
    ) -> None:
        self.file = file
        self._connection = connection
        self._transaction = transaction
        self._events = events
        self._unread: dict[tuple[AgentId, int], Message] = {}  # some of those that are in an inbox
        self._unread_bytes = 0

    # ---- messages

    @translated
    def send(self, draft: Message, limits: Limits) -> Message:
        """Put a message into the inboxes of all its recipients, or of none; return it with its id and time.

        Durable like a commit. Raises MailboxFull naming those who have too much to read.
        """
        body = draft.body.encode()
        for agent in draft.to:
            self._check_room(agent, len(body), limits)
        with self._transaction():
            number, last_ns = self._newest()
            message = Message(
                number + 1, max(draft.time_ns, last_ns), draft.sender, draft.to, draft.priority, draft.re,
                draft.answer_by_ns, draft.body,
            )  # fmt: skip
            self._connection.execute(
                "INSERT INTO message (id, time_ns, sender, recipients, priority, re, answer_by_ns, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    message.id, message.time_ns, message.sender, json.dumps(message.to),
                    int(message.priority), message.re, message.answer_by_ns, body,
                ),
            )  # fmt: skip
            rows = [(message.id, agent) for agent in message.to]
            self._connection.executemany(
                "INSERT INTO delivery (message, agent, acknowledged_ns) VALUES (?, ?, 0)", rows
            )
            self._set_newest(message)
            self._prune(message.id)
            fields = {
                "id": message.id, "to": list(message.to), "priority": message.priority.word,
                "re": message.re or None, "size_bytes": len(body),
            }  # fmt: skip
            self._events.record("message-sent", message.sender, message.time_ns, fields)
        return message

    def _check_room(self, agent: AgentId, size_bytes: int, limits: Limits) -> None:
        count, total = self._connection.execute(LOAD_SQL, (agent,)).fetchone()
        if count >= limits.unread or total + size_bytes > limits.unread_bytes:
            raise MailboxFull(
                f"{agent} has {count} unread messages, {total} bytes: there is no room for one more of "
                f"{size_bytes}. It must remove some from its .makfs/inbox, or 'makfs inbox {agent} "
                "--clear' does. Nothing was sent."
            )

    def _newest(self) -> tuple[int, int]:
        """Return the newest id and time given out."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (MESSAGE_KEY,)).fetchone()
        number, _, time_ns = ("0" if row is None else str(row[0])).partition(" ")
        return int(number), int(time_ns or 0)

    def _set_newest(self, message: Message) -> None:
        sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
        self._connection.execute(sql, (MESSAGE_KEY, f"{message.id} {message.time_ns}"))

    def _prune(self, newest: int) -> None:
        """Forget old messages that everybody has read."""
        if newest % 100:
            return
        old = (
            "SELECT id FROM message WHERE id <= ? AND NOT EXISTS (SELECT 1 FROM delivery d"
            " WHERE d.message = message.id AND d.acknowledged_ns = 0)"
        )
        ids = self._connection.execute(old, (newest - MOST_READ,)).fetchall()
        self._connection.executemany("DELETE FROM delivery WHERE message = ?", ids)
        self._connection.executemany("DELETE FROM message WHERE id = ?", ids)

    @translated
    def acknowledge(self, agent: AgentId, number: int, time_ns: int) -> bool:
        """Take a message out of an inbox; tell whether it was there. Durable like a commit."""
        if self.unread_one(agent, number) is None:
            return False
        self._unread_bytes -= _size_at_hand(self._unread.pop((agent, number)))
        with self._transaction():
            self._connection.execute(
                "UPDATE delivery SET acknowledged_ns = ? WHERE message = ? AND agent = ?",
                (time_ns, number, agent),
            )
            self._events.record("message-acknowledged", agent, time_ns, {"id": number})
        return True

    @translated
    def unread(self, agent: AgentId) -> Sequence[Message]:
        """Return an inbox, in the order of arrival. Cost: reads the bodies."""
        found = [_message(row) for row in self._connection.execute(UNREAD_SQL, (agent,))]
        for message in found:
            self._remember(agent, message)
        return found

    @translated
    def count_unread(self, agent: AgentId) -> int:
        """Return how many messages are in an inbox."""
        sql = "SELECT count(*) FROM delivery WHERE agent = ? AND acknowledged_ns = 0"
        return int(self._connection.execute(sql, (agent,)).fetchone()[0])

    @translated
    def unread_one(self, agent: AgentId, number: int) -> Message | None:
        """Return one message of an inbox, or None."""
        if (known := self._unread.get((agent, number))) is not None:
            return known
        sql = (
            f"SELECT {_COLUMNS} FROM delivery d CROSS JOIN message m ON m.id = d.message"
            " WHERE d.message = ? AND d.agent = ? AND d.acknowledged_ns = 0"
        )
        row = self._connection.execute(sql, (number, agent)).fetchone()
        return None if row is None else self._remember(agent, _message(row))

    def _remember(self, agent: AgentId, message: Message) -> Message:
        """Keep a message of an inbox at hand: a listing asks for each of them several times."""
        if self._unread_bytes > _MOST_AT_HAND_BYTES:
            self._unread.clear()
            self._unread_bytes = 0
        if (agent, message.id) not in self._unread:
            self._unread[agent, message.id] = message
            self._unread_bytes += _size_at_hand(message)
        return message

    @translated
    def message(self, number: int) -> Message | None:
        """Return one message that is kept, or None."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM message m WHERE m.id = ?", (number,)
        ).fetchone()
        return None if row is None else _message(row)

    @translated
    def messages(self, limit: int, before: int | None, agent: AgentId | None) -> Sequence[Message]:
        """Return messages that are kept, newest first: all, or those to and from one."""
        sql = f"SELECT {_COLUMNS} FROM message m WHERE m.id < ?"
        values: list[object] = [before or 1 << 62]
        if agent is not None:
            went = "SELECT 1 FROM delivery d WHERE d.message = m.id AND d.agent = ?"
            sql += f" AND (m.sender = ? OR EXISTS ({went}))"
            values += [agent, agent]
        rows = self._connection.execute(f"{sql} ORDER BY m.id DESC LIMIT ?", (*values, limit))
        return [_message(row) for row in rows]

    @translated
    def unread_by(self, number: int) -> Sequence[AgentId]:
        """Return who has not acknowledged a message."""
        sql = "SELECT agent FROM delivery WHERE message = ? AND acknowledged_ns = 0 ORDER BY agent"
        return [AgentId(agent) for (agent,) in self._connection.execute(sql, (number,))]

    @translated
    def answer_to(self, number: int, asker: AgentId) -> Message | None:
        """Return the first answer to a message in the inbox of whoever asked, or None."""
        for message in self.unread(asker):
            if message.re == number:
                return message
        return None

    # ---- artifacts

    @translated
    def share(self, name: str, agent: AgentId, data: bytes, time_ns: int, limits: Limits) -> Artifact:
        """Keep bytes as the newest version of a name, unless they are that already. Durable like a commit.

        Raises MailboxFull.
        """
        key, newest = hash_of(data), self.artifact(name)
        if newest is not None and newest.content_hash == key:
            return newest
        sql = f"SELECT coalesce(sum(size_bytes), 0) FROM artifact WHERE name <> ? AND {_NEWEST_SQL}"
        (others,) = self._connection.execute(sql, (name,)).fetchone()
        if others + len(data) > limits.shared_bytes:
            raise MailboxFull(
                f"{name} has {len(data)} bytes, and {others} of {limits.shared_bytes} are shared already: "
                "remove what is not needed any more with 'makfs share --remove NAME'. Nothing was shared."
            )
        made = Artifact(name, 1 if newest is None else newest.version + 1, agent, time_ns, key, len(data))
        with self._transaction():
            self._connection.execute(
                f"INSERT INTO artifact ({_ARTIFACT_COLUMNS}, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (name, made.version, agent, time_ns, key, len(data), data),
            )
            sql = "DELETE FROM artifact WHERE name = ? AND version <= ?"
            self._connection.execute(sql, (name, made.version - VERSIONS))
            self._trim(limits.shared_bytes * 2)
            fields = {"name": name, "version": made.version, "size_bytes": len(data)}
            self._events.record("shared", agent, time_ns, fields)
        return made

    def _trim(self, most_bytes: int) -> None:
        """Forget the oldest of the versions that are not their name's newest, beyond so many bytes."""
        (total,) = self._connection.execute("SELECT coalesce(sum(size_bytes), 0) FROM artifact").fetchone()
        old = f"SELECT name, version, size_bytes FROM artifact WHERE NOT {_NEWEST_SQL}"
        sql = f"{old} ORDER BY time_ns, version"
        for name, version, size_bytes in self._connection.execute(sql).fetchall():
            if total <= most_bytes:
                return
            total -= size_bytes
            self._connection.execute("DELETE FROM artifact WHERE name = ? AND version = ?", (name, version))

    @translated
    def unshare(self, name: str, agent: AgentId, time_ns: int) -> bool:
        """Forget all versions of a name; tell whether there was one."""
        if self.artifact(name) is None:
            return False
        with self._transaction():
            self._connection.execute("DELETE FROM artifact WHERE name = ?", (name,))
            self._events.record("unshared", agent, time_ns, {"name": name})
        return True

    @translated
    def artifacts(self) -> Sequence[Artifact]:
        """Return the newest version of every name, in the order of names."""
        sql = f"SELECT {_ARTIFACT_COLUMNS} FROM artifact WHERE {_NEWEST_SQL} ORDER BY name"
        return [_artifact(row) for row in self._connection.execute(sql)]

    @translated
    def artifact(self, name: str, version: int | None = None) -> Artifact | None:
        """Return one version of a name, the newest by default, or None."""
        sql = f"SELECT {_ARTIFACT_COLUMNS} FROM artifact WHERE name = ?"
        if version is None:
            row = self._connection.execute(f"{sql} ORDER BY version DESC LIMIT 1", (name,)).fetchone()
        else:
            row = self._connection.execute(f"{sql} AND version = ?", (name, version)).fetchone()
        return None if row is None else _artifact(row)

    @translated
    def artifact_bytes(self, name: str, version: int) -> bytes | None:
        """Return what a version is, or None."""
        sql = "SELECT bytes FROM artifact WHERE name = ? AND version = ?"
        row = self._connection.execute(sql, (name, version)).fetchone()
        return None if row is None else bytes(row[0])


def _size_at_hand(message: Message) -> int:
    return len(message.body) + _BESIDE_BYTES


def _message(row: tuple[object, ...]) -> Message:
    number, time_ns, sender, recipients, priority, answers, answer_by_ns, body = row
    to = tuple(AgentId(each) for each in json.loads(str(recipients)))
    assert isinstance(body, bytes)
    return Message(
        int(str(number)), int(str(time_ns)), AgentId(str(sender)), to, Priority(int(str(priority))),
        int(str(answers)), int(str(answer_by_ns)), body.decode(),
    )  # fmt: skip


def _artifact(row: tuple[object, ...]) -> Artifact:
    name, version, agent, time_ns, key, size_bytes = row
    assert isinstance(key, bytes)
    return Artifact(
        str(name), int(str(version)), AgentId(str(agent)), int(str(time_ns)), key, int(str(size_bytes))
    )
