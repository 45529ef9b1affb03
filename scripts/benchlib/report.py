"""Results of one run: a table for people, JSON for machines. Pure.

Times say something about the machine, ratios about makfs: goals on CPU are ratios to the native directory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `goal` is the most it should be; `native` and `bindfs` are the same figure of these."""

    section: str
    what: str
    unit: str
    makfs: float
    native: float | None = None
    bindfs: float | None = None
    goal: float | None = None
    goal_is_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        """Return makfs to native."""
        return self.makfs / self.native if self.native else None

    @property
    def bindfs_ratio(self) -> float | None:
        """Return bindfs to native."""
        return self.bindfs / self.native if self.bindfs is not None and self.native else None

    @property
    def reached(self) -> bool | None:
        """Tell whether the goal is reached, None without a goal."""
        figure = self.ratio if self.goal_is_ratio else self.makfs
        return None if self.goal is None or figure is None else figure <= self.goal

    def as_json(self) -> dict[str, object]:
        """Return all of it, the ratios too."""
        derived = {"ratio": self.ratio, "bindfs_ratio": self.bindfs_ratio, "reached": self.reached}
        return asdict(self) | derived


HEAD = ("", "unit", "native", "bindfs", "makfs", "bindfs/native", "makfs/native", "goal", "")


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table, one block a section."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    section = None
    yield _line(HEAD, widths)
    for row, line in zip(rows, cells[1:], strict=True):
        if row.section != section:
            section = row.section
            yield ""
            yield section
        yield _line(line, widths)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return f"  {first}  {'  '.join(rest)}".rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {None: "", True: "ok", False: "MISSED"}[row.reached]
    times = "x" if row.goal_is_ratio else ""
    goal = "" if row.goal is None else f"<= {row.goal:g}{times}"
    return (
        row.what, row.unit, _number(row.native), _number(row.bindfs), _number(row.makfs),
        _number(row.bindfs_ratio, "x"), _number(row.ratio, "x"), goal, verdict,
    )  # fmt: skip


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    digits = 0 if value == int(value) and value >= 10 else 1 if value >= 100 else 2
    return f"{value:.{digits}f}{unit}"


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that `part` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return percentile(values, 0.5)
