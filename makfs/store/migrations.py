"""The road from every older store to today's, in numbered steps that are never edited.

M1  A store made new and one that climbed from version 1 have the same schema.
M2  A step happens whole or not at all, together with the number that says so (`PRAGMA user_version`).

A new step: append a Migration, bring schema.sql to the state after it, and add a store of the version
before it to tests/data/. Nothing else changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from makfs.errors import StoreError

APPLICATION_ID = 0x6D616B66  # "makf": `file` and we tell our databases from others by it
SCHEMA = Path(__file__).with_name("schema.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: brings a store of version `number - 1` to `number`."""

    number: int
    sentence: str  # what it does, for people
    apply: Callable[[Database], None]


def _add_locks(database: Database) -> None:
    database.conn.execute("""
        CREATE TABLE lock_grant (
            agent TEXT NOT NULL,
            address ANY NOT NULL,
            mode TEXT NOT NULL CHECK (mode IN ('IS', 'IX', 'S', 'SIX', 'X')),
            fence INTEGER NOT NULL,
            since_ns INTEGER NOT NULL,
            lease_ns INTEGER NOT NULL,
            expires_ns INTEGER NOT NULL,
            while_active INTEGER NOT NULL CHECK (while_active IN (0, 1)),
            PRIMARY KEY (agent, address)
        ) STRICT, WITHOUT ROWID
    """)
    database.conn.execute("""
        CREATE TABLE lock_waiter (
            ticket INTEGER NOT NULL,
            address ANY NOT NULL,
            agent TEXT NOT NULL,
            mode TEXT NOT NULL CHECK (mode IN ('IS', 'IX', 'S', 'SIX', 'X')),
            arrived_ns INTEGER NOT NULL,
            until_ns INTEGER NOT NULL,
            lease_ns INTEGER NOT NULL,
            priority INTEGER NOT NULL,
            while_active INTEGER NOT NULL CHECK (while_active IN (0, 1)),
            place INTEGER NOT NULL,
            PRIMARY KEY (ticket, address)
        ) STRICT, WITHOUT ROWID
    """)


def _add_marks(database: Database) -> None:
    database.conn.execute("""
        CREATE TABLE mark (
            name TEXT PRIMARY KEY NOT NULL,
            seq INTEGER NOT NULL,
            time_ns INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
    """)
    database.conn.execute("CREATE INDEX journal_by_program ON journal (program, seq)")
    database.conn.execute("CREATE INDEX journal_by_time ON journal (time_ns, seq)")


def _add_lock_events(database: Database) -> None:
    database.conn.execute("""
        CREATE TABLE lock_event (
            number INTEGER PRIMARY KEY,
            now_ns INTEGER NOT NULL,
            call TEXT NOT NULL,
            agent ANY NOT NULL,
            arguments TEXT NOT NULL,
            outcome ANY NOT NULL
        ) STRICT
    """)


def _add_is_whole(database: Database) -> None:
    database.conn.execute("ALTER TABLE refusal ADD COLUMN is_whole INTEGER NOT NULL DEFAULT 1")


def _add_events_and_messages(database: Database) -> None:
    for sql in (
        """CREATE TABLE event (
            seq INTEGER NOT NULL,
            place INTEGER NOT NULL,
            time_ns INTEGER NOT NULL,
            kind TEXT NOT NULL,
            agent ANY NOT NULL,
            fields TEXT NOT NULL,
            PRIMARY KEY (seq, place)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY,
            time_ns INTEGER NOT NULL,
            sender TEXT NOT NULL,
            recipients TEXT NOT NULL,
            priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 2),
            re INTEGER NOT NULL,
            answer_by_ns INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE delivery (
            message INTEGER NOT NULL REFERENCES message,
            agent TEXT NOT NULL,
            acknowledged_ns INTEGER NOT NULL,
            PRIMARY KEY (message, agent)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX delivery_unread ON delivery (agent, message) WHERE acknowledged_ns = 0",
        """CREATE TABLE artifact (
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            agent TEXT NOT NULL,
            time_ns INTEGER NOT NULL,
            hash BLOB NOT NULL,
            size_bytes INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            PRIMARY KEY (name, version)
        ) STRICT""",
    ):
        database.conn.execute(sql)


def _add_tasks(database: Database) -> None:
    database.conn.execute("ALTER TABLE journal ADD COLUMN task ANY NOT NULL DEFAULT ''")
    database.conn.execute("CREATE INDEX journal_by_task ON journal (task, seq) WHERE task <> ''")


MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "locks are kept", _add_locks),
    Migration(3, "commits have names, and are found by time and program", _add_marks),
    Migration(4, "what the lock table was asked is kept for a time", _add_lock_events),
    Migration(5, "refusals tell whether the write had ended", _add_is_whole),
    Migration(
        6, "what happened beside commits, messages and shared artifacts are kept", _add_events_and_messages
    ),
    Migration(7, "commits carry the task of their agent", _add_tasks),
)
"""Version 1 is the first; steps 2, 3 ... stand here."""


def newest_version(steps: Sequence[Migration] = MIGRATIONS) -> int:
    """Return the version this program writes."""
    return 1 + len(steps)


def version_of(database: Database) -> int:
    """Return a store's version, 0 for an empty database. Raise StoreError if it is not a store of makfs."""
    (application,) = database.conn.execute("PRAGMA application_id").fetchone()
    (version,) = database.conn.execute("PRAGMA user_version").fetchone()
    (tables,) = database.conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == APPLICATION_ID and version > 0 and tables:
        return int(version)
    if application or version or tables:
        raise StoreError("it is a database of another program")
    return 0


def create(database: Database, steps: Sequence[Migration] = MIGRATIONS) -> None:
    """Give an empty database today's schema, in one transaction."""
    script = f"""
        BEGIN IMMEDIATE;
        {SCHEMA.read_text("utf-8")}
        PRAGMA application_id = {APPLICATION_ID};
        PRAGMA user_version = {newest_version(steps)};
        COMMIT;
    """
    try:
        database.conn.executescript(script)
    except BaseException:
        database.rollback()
        raise


def climb(database: Database, steps: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring a store to the newest version; return how many steps it took. Raise StoreError if it is newer."""
    version = version_of(database)
    newest = newest_version(steps)
    if version > newest:
        raise StoreError(f"it has version {version}, and this makfs knows only versions up to {newest}")
    if not version:
        create(database, steps)
        return 0
    for step in steps[version - 1 :]:
        with database.atomic():  # M2
            step.apply(database)
            database.conn.execute(f"PRAGMA user_version = {step.number}")
    return newest - version
