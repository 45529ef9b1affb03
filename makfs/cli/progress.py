"""A progress bar on stderr where that is a terminal, nothing otherwise."""

import sys
from types import TracebackType
from typing import Self

from makfs.cli.text import fit, printable

BAR_COLUMNS = 30


def bar_line(what: str, done: int, total: int, width: int) -> str:
    """Return one state of the bar: `replaying  [######......]  50 %  3 of 6`. Total 0: unknown."""
    if total <= 0:
        return fit(f"{printable(what)}  {done}", width - 1)
    share = min(1.0, max(0.0, done / total))
    filled = round(share * BAR_COLUMNS)
    bar = "#" * filled + "." * (BAR_COLUMNS - filled)
    return fit(f"{printable(what)}  [{bar}]  {share:4.0%}  {done} of {total}", width - 1)


class ProgressBar:
    """Call it with (what, done, total); leave it with `with`, and the line is wiped."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._used = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show one state."""
        if self._shown:
            import shutil

            self._used = True
            line = bar_line(what, done, total, shutil.get_terminal_size((80, 24)).columns)
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._used:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
