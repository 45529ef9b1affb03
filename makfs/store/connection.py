"""Connections to one `store.db`: how they are opened, and what their errors are called.

C1  Whatever SQLite reports leaves this room as StoreError or StoreFull, naming the file.
C2  A file that is not ours, or newer than this program, is not written to.
"""

import errno
import functools
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlite_utils import Database

from makfs.errors import StoreError, StoreFull
from makfs.store.migrations import MIGRATIONS, Migration, climb, newest_version, version_of

FILE_NAME = "store.db"
_BUSY_S = 10.0  # only `maintain` ever holds the write lock beside us, for the time of one fsync
_SAFETY_NET_PAGES = 32_768  # 128 MiB of log: only if nobody calls `maintain`
_LOG_KEPT_BYTES = 16 << 20  # an overgrown log is cut back to this at the next restart
_CACHE_KIB = 8_192

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # NORMAL: a commit is in the kernel's page cache on return, so it survives our death, not the
    # machine's; `sync` adds the fsync. https://www.sqlite.org/pragma.html#pragma_synchronous
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA wal_autocheckpoint = {_SAFETY_NET_PAGES}",
    f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}",
    f"PRAGMA cache_size = -{_CACHE_KIB}",
    "PRAGMA secure_delete = OFF",  # Debian's default, ON, writes zeros over every freed page
)

# What SQLite says when the disk is full: FULL for the log, IOERR_SHMSIZE for the log's shared index.
_FULL_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})

P = ParamSpec("P")
R = TypeVar("R")


class Located(Protocol):
    """Something whose errors name a file."""

    @property
    def file(self) -> Path:
        """Return the database's path."""
        ...


S = TypeVar("S", bound=Located)


def store_error(file: Path, error: Exception) -> StoreError:
    """Return what to raise for an error of SQLite or of the system while using `file` (C1)."""
    code = getattr(error, "sqlite_errorcode", None)
    if code in _FULL_CODES or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{file}: the disk is full; nothing was written")
    if isinstance(error, StoreError):
        return StoreError(f"{file}: {error}; run `makfs fsck` to see more")
    usage = (sqlite3.OperationalError, sqlite3.ProgrammingError, OSError)
    if isinstance(error, usage) and code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(f"{file}: the store cannot be used ({error}); run `makfs fsck` to see more")
    return StoreError(f"{file}: the store is damaged ({error}); run `makfs fsck` to see what is left")


def translated(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make a method raise StoreError where SQLite, the disk, or damaged bytes fail it (C1)."""

    @functools.wraps(method)
    def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise store_error(self.file, error) from error

    return guarded


@contextmanager
def suppress_full(file: Path) -> Generator[None]:
    """Do without what a full disk has no room for."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if not isinstance(store_error(file, error), StoreFull):
            raise


def connect(file: Path, *, readonly: bool = False) -> Database:
    """Return a bare connection, usable from one thread at a time. Raises what SQLite raises."""
    uri = f"{file.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,  # transactions are begun by us, IMMEDIATE, never by the module
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        # Plugins of sqlite-utils are other people's code; none belongs into this process.
        return Database(connection, recursive_triggers=False, execute_plugins=False)
    except BaseException:
        connection.close()
        raise


def check_current(file: Path) -> None:
    """Raise StoreError if a store is not of this program's version: reading it takes no steps up."""
    try:
        database = connect(file, readonly=True)
        try:
            version = version_of(database)
        finally:
            database.close()
    except (sqlite3.Error, StoreError) as error:
        raise store_error(file, error) from error
    if version != newest_version():
        raise StoreError(
            f"{file}: it has version {version}, this makfs reads version {newest_version()}; "
            "mount the repository once with it"
        )


def open_database(directory: Path, steps: Sequence[Migration] = MIGRATIONS) -> Database:
    """Open or create `store.db`, brought to the newest version. Raise StoreError; see C2."""
    file = directory / FILE_NAME
    if not directory.is_dir():
        raise StoreError(f"{file}: there is no directory {directory}")
    try:
        database = connect(file)
    except sqlite3.Error as error:
        raise store_error(file, error) from error
    try:
        climb(database, steps)  # before the first pragma that writes (C2)
        for pragma in _PRAGMAS:
            database.conn.execute(pragma).fetchall()
    except (sqlite3.Error, OSError, StoreError) as error:
        database.close()
        raise store_error(file, error) from error
    return database
