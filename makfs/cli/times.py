"""Moments as people write them on a command line."""

import re

import click

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])(?:\s+ago)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment_ns(text: str) -> int:
    """Return a wall-clock time in ns: `90s`, `10m`, `2h`, `3d`, `1w` ago, or ISO 8601, local unless it says.

    Raises UsageError.
    """
    import time
    from datetime import datetime

    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return time.time_ns() - int(float(ago[1]) * _SECONDS[ago[2]] * 1e9)
    try:
        moment = datetime.fromisoformat(text.strip())
        return int(moment.timestamp() * 1e9)
    except (ValueError, OverflowError, OSError):
        raise click.UsageError(
            f"{text[:40]!r} is no time: write 10m, 2h or 3d for so long ago, or 2026-11-20T14:00."
        ) from None
