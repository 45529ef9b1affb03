"""The command line of `scripts/docs`."""

import argparse
import sys
from pathlib import Path

from doclib import commands, invariants, picture, tour

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("picture", "tour", "invariants", "cli")


def main() -> int:
    """Renew the parts asked for."""
    parser = argparse.ArgumentParser(
        prog="scripts/docs",
        description="Renew what is made from the code and from real runs in the documents.",
        epilog="picture: docs/tour.svg, from scripts/demo. tour: what README.md's commands print. "
        "invariants: docs/invariants.md, from docstrings and tests. cli: docs/cli.md, from --help.",
    )
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    asked = parser.parse_args()
    unknown = set(asked.part) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}")
    for part in asked.part or PARTS:
        match part:
            case "picture":
                picture.draw(ROOT / "scripts" / "demo", ROOT / "docs" / "tour.svg")
            case "tour":
                readme = ROOT / "README.md"
                readme.write_text(tour.take(readme.read_text(), ROOT / "scripts" / "makfs"))
            case "cli":
                (ROOT / "docs" / "cli.md").write_text(commands.document())
            case _:
                (ROOT / "docs" / "invariants.md").write_text(invariants.document(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
