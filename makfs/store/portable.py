"""What an export reads beside what every reader can: commits whole, and marks. One moment, read-only (R1)."""

from collections.abc import Mapping, Sequence

from makfs.errors import StoreError
from makfs.ids import Seq
from makfs.store import history, marks
from makfs.store.connection import translated
from makfs.store.model import CommitDetail, Mark
from makfs.store.reader import SqliteReader


class PortableReader(SqliteReader):
    """A reader of whole commits. Use it with `with`, from one thread."""

    @translated
    def detail(self, seq: Seq) -> CommitDetail:
        """Return one commit whole. Raises StoreError if the journal lacks it."""
        found = history.detail(self._connection, seq)
        if found is None:
            raise StoreError(f"the journal does not know commit {seq}")
        return found

    @translated
    def left_behind(self) -> Mapping[str, int]:
        """Return how much there is of what no export has, by what it is."""
        counted = {
            "refused write": "SELECT count(*) FROM refusal",
            "message": "SELECT count(*) FROM message",
            "shared name": "SELECT count(DISTINCT name) FROM artifact",
            "event": "SELECT count(*) FROM event",
        }
        return {what: int(self._connection.execute(sql).fetchone()[0]) for what, sql in counted.items()}

    @translated
    def marks(self) -> Sequence[Mark]:
        """Return all marks, in the order of their names."""
        return marks.marks(self._connection)
