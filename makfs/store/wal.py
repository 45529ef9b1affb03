"""The write-ahead log from outside a transaction: made durable, kept short.

W1  `sync` returns only when every commit before it would survive a power loss.
W2  No commit waits for a checkpoint: checkpoints run here, on a connection of their own.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from sqlite_utils import Database

from makfs.store.connection import connect

_WORTH_BYTES = 8 << 20  # some 400 commits; a checkpoint costs two fsyncs whatever its size
_OUT_OF_MEASURE = 8
_FIRST_WRITE = (
    "INSERT INTO meta (key, value) VALUES ('@checkpoints', 1) ON CONFLICT DO UPDATE SET value = value + 1"
)


class Log:
    """The `-wal` file of one store."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._log = file.with_name(file.name + "-wal")
        self._descriptor = -1
        self._folder_synced = False
        self._keeper: Database | None = None

    def sync(self) -> None:
        """Flush the log to the disk (W1). Callable from any thread.

        In WAL mode `synchronous=FULL` differs from NORMAL only in that the log is synced after each
        commit (https://www.sqlite.org/pragma.html#pragma_synchronous), and fsync(2) flushes a file, not
        a descriptor. So this is FULL, asked for later. The log may be opened beside SQLite: its POSIX
        locks, which any close() would drop, are on the database and on `-shm` only
        (https://www.sqlite.org/howtocorrupt.html, 2.2).
        """
        if self._descriptor < 0:
            self._descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(self._descriptor)
        if not self._folder_synced:  # the names of database and log, once
            folder = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._folder_synced = True

    def size_bytes(self) -> int:
        """Return how long the log is; 0 if there is none."""
        with suppress(FileNotFoundError):
            return self._log.stat().st_size
        return 0

    def maintain(self, *, worth_bytes: int = _WORTH_BYTES) -> bool:
        """Empty the log into the database if it holds at least `worth_bytes`; tell whether it is empty now.

        For a worker thread, when idle. Commits go on meanwhile (W2): a PASSIVE checkpoint takes no lock
        a writer wants (https://www.sqlite.org/c3ref/wal_checkpoint_v2.html). TRUNCATE at the end does, so
        it waits for a moment at which nobody commits, unless the log has grown out of all measure; it
        keeps the log's length an honest measure of what is in it. The first write after it syncs the
        log's new header (https://www.sqlite.org/pragma.html#pragma_synchronous, NORMAL), some
        milliseconds; so we write a row ourselves, lest an agent's commit pay for it.
        """
        before = self.size_bytes()
        if before < worth_bytes:
            return False
        connection = self._keep().conn
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        grown = self.size_bytes() != before
        if grown and before < worth_bytes * _OUT_OF_MEASURE:
            return False
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:  # a reader holds an old snapshot: next time
            return False
        with suppress(sqlite3.OperationalError):  # busy: a commit was faster
            connection.execute(_FIRST_WRITE)
        return True

    def _keep(self) -> Database:
        if self._keeper is None:
            self._keeper = connect(self.file)
            self._keeper.conn.execute("PRAGMA synchronous = NORMAL")
            self._keeper.conn.execute("PRAGMA wal_autocheckpoint = 0")
            # Never wait: TRUNCATE holds the write lock while it waits for readers, and a check of the
            # whole store reads for seconds.
            self._keeper.conn.execute("PRAGMA busy_timeout = 0")
        return self._keeper

    def close(self) -> None:
        """Close what is open. The database's own last close removes the log."""
        if self._keeper is not None:
            with suppress(sqlite3.Error):
                self._keeper.close()
            self._keeper = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
