"""What a program printed on a terminal, as an SVG: text, colours and weight; no fonts, no scripts. Pure.

Understands what our own commands print: lines, and SGR sequences (ECMA-48, 8.3.117). Other control sequences
are left out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

COLUMN, ROW, MARGIN, BAR, SIZE = 8.4, 19.0, 18.0, 34.0, 14.0
_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([@-~])")
_COLOURS = {
    30: "#586069", 31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea",
    37: "#d0d7de", 90: "#8b949e", 91: "#ffa198", 92: "#aff5b4", 93: "#f2cc60", 94: "#a5d6ff", 95: "#e2c5ff",
    96: "#b3f0ff", 97: "#ffffff",
}  # fmt: skip
_PLAIN, _DIM, _GROUND = "#d0d7de", "#8b949e", "#0d1117"


@dataclass(frozen=True, slots=True)
class Style:
    """How a run of characters looks."""

    colour: str | None = None
    bold: bool = False
    dim: bool = False

    def then(self, parameters: str) -> "Style":
        """Return the style after an SGR sequence."""
        style = self
        for number in (int(part or 0) for part in parameters.split(";")):
            match number:
                case 0:
                    style = Style()
                case 1:
                    style = replace(style, bold=True)
                case 2:
                    style = replace(style, dim=True)
                case 22:
                    style = replace(style, bold=False, dim=False)
                case 39:
                    style = replace(style, colour=None)
                case _ if number in _COLOURS:
                    style = replace(style, colour=_COLOURS[number])
        return style

    @property
    def attributes(self) -> str:
        """Return the SVG attributes."""
        fill = self.colour or (_DIM if self.dim else _PLAIN)
        return f'fill="{fill}"' + (' font-weight="bold"' if self.bold else "")


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one style, and the column they start at."""

    column: int
    text: str
    style: Style


def lines_of(output: str) -> Iterator[list[Run]]:
    """Yield the runs of each line; a style goes on over the end of a line."""
    style = Style()
    for line in output.replace("\r\n", "\n").rstrip("\n").split("\n"):
        runs: list[Run] = []
        at = column = 0
        for found in [*_SEQUENCE.finditer(line), None]:
            text = line[at : found.start() if found else len(line)]
            if text.strip():
                runs.append(Run(column, text, style))
            column += len(text)
            if found:
                at = found.end()
                style = style.then(found[1]) if found[2] == "m" else style
        yield runs


def svg(output: str, title: str, columns: int) -> str:
    """Return the picture of what was printed."""
    lines = list(lines_of(output))
    width = columns * COLUMN + 2 * MARGIN
    height = BAR + len(lines) * ROW + 2 * MARGIN
    rows = "\n".join(_row(number, runs) for number, runs in enumerate(lines) if runs)
    dots = "".join(
        f'<circle cx="{MARGIN + 4 + 20 * place:g}" cy="{BAR / 2:g}" r="6" fill="{colour}"/>'
        for place, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="100%" height="100%" rx="10" fill="{_GROUND}"/>\n'
        f"{dots}\n"
        f'<text x="50%" y="{BAR / 2 + 5:g}" text-anchor="middle" font-family="monospace" font-size="13" '
        f'fill="{_DIM}">{escape(title)}</text>\n'
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" '
        f'font-size="{SIZE:g}" xml:space="preserve">\n{rows}\n</g>\n</svg>\n'
    )


def _row(number: int, runs: Sequence[Run]) -> str:
    y = BAR + MARGIN + number * ROW + SIZE - 2
    return "\n".join(_words(run, y) for run in runs)


def _words(run: Run, y: float) -> str:
    """Return one text element; its length is given, so that columns stand in line in any font."""
    text = run.text.rstrip()
    left = len(text) - len(text.lstrip())
    text = text.lstrip()
    x = MARGIN + (run.column + left) * COLUMN
    return (
        f'<text x="{x:.1f}" y="{y:g}" textLength="{len(text) * COLUMN:.1f}" {run.style.attributes}>'
        f"{escape(text)}</text>"
    )
