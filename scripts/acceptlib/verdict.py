"""Figures and their bounds. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class Bound(Enum):
    """How a figure is held against its bound."""

    IS = "is"
    MOST = "at most"
    LEAST = "at least"
    NONE = "measured"  # for comparison


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one run. A part of 1 is shown in per cent."""

    yardstick: str
    run: str  # what was run: a seed, a way of writing, a baseline
    name: str
    value: float | None  # None: the yardstick did not say it
    bound: float = 0.0
    kind: Bound = Bound.NONE
    part: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Tell whether the figure keeps its bound."""
        if self.kind is Bound.NONE:
            return True
        if self.value is None:
            return False
        match self.kind:
            case Bound.IS:
                return self.value == self.bound
            case Bound.MOST:
                return self.value <= self.bound
            case _:
                return self.value >= self.bound

    def shown(self, value: float | None) -> str:
        """Return a value as people read it."""
        if value is None:
            return "not said"
        if self.part:
            return f"{100 * value:.2f} %"
        return f"{value:g}{' ' + self.unit if self.unit else ''}"

    @property
    def wanted(self) -> str:
        """Return the bound as people read it."""
        sign = {Bound.IS: "", Bound.MOST: "<= ", Bound.LEAST: ">= "}
        return sign[self.kind] + self.shown(self.bound) if self.kind is not Bound.NONE else ""

    def as_json(self) -> dict[str, object]:
        """Return all of it."""
        return asdict(self) | {"kind": self.kind.value, "reached": self.reached}


def zero(
    yardstick: str, run: str, values: Mapping[str, float | None], names: Sequence[str]
) -> Iterator[Figure]:
    """Yield figures that must be 0."""
    for name in names:
        yield Figure(yardstick, run, name, values.get(name), 0, Bound.IS)


def verdict(figures: Sequence[Figure]) -> str:
    """Return one line: what was run, and what missed its bound."""
    missed = [each for each in figures if not each.reached]
    runs = len({each.run for each in figures})
    start = (
        f"{'MISSED' if missed else 'ok':<7}{figures[0].yardstick:<10} {runs} run{'s' if runs != 1 else ''}"
    )
    if not missed:
        return f"{start}, every bound kept"
    told = "; ".join(
        f"{each.name} {each.shown(each.value)}{f' ({each.wanted})' if each.bound else ''} in {each.run}"
        for each in missed[:6]
    )
    more = f"; {len(missed) - 6} more" if len(missed) > 6 else ""
    return f"{start}: {told}{more}"


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield the lines of a Markdown table; figures of a run that are 0, as they should be, share a line."""
    yield "| run | figure | measured | bound | |"
    yield "|---|---|---:|---:|---|"
    for run in dict.fromkeys(each.run for each in figures):
        mine = [each for each in figures if each.run == run]
        zeros = [each.name for each in mine if each.kind is Bound.IS and each.bound == 0 and each.value == 0]
        if zeros:
            yield f"| {run} | {', '.join(zeros)} | 0 | 0 | ok |"
        for each in mine:
            if each.name in zeros:
                continue
            mark = "" if each.kind is Bound.NONE else "ok" if each.reached else "**missed**"
            yield f"| {run} | {each.name} | {each.shown(each.value)} | {each.wanted} | {mark} |"
