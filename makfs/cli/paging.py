"""Long output through a pager, as git does it: only to a terminal, and not what fits on the screen."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import subprocess

F = TypeVar("F", bound=Callable[..., Any])
_NONE = ("", "cat")


def pager_option(function: F) -> F:
    """Add `--no-pager`."""
    return click.option(
        "--no-pager", is_flag=True, help="Print; else MAKFS_PAGER, PAGER or less shows it on a terminal."
    )(function)


def pager_of(environment: Mapping[str, str]) -> str | None:
    """Return the shell command of the pager, None for none. Pure, but for the look for less."""
    for name in ("MAKFS_PAGER", "PAGER"):
        if name in environment:
            command = environment[name].strip()
            return None if command in _NONE else command
    return "less" if shutil.which("less", path=environment.get("PATH")) else None


def show(lines: Iterable[str | bytes], *, no_pager: bool) -> None:
    """Print lines, through the pager where stdout is a terminal. Bytes are printed as they are."""
    command = pager_of(os.environ) if sys.stdout.isatty() and not no_pager else None
    if command is None:
        for line in lines:
            click.echo(line)
        return
    import subprocess

    context = click.get_current_context(silent=True)
    plain = context is not None and context.color is False
    settings = {
        "LESS": "FRX",
        "LV": "-c",
        **os.environ,
    }  # less ends by itself if it all fits, and keeps colours
    pager = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=settings)
    assert pager.stdin is not None
    try:
        with suppress(BrokenPipeError):  # its reader has seen enough
            for line in lines:
                pager.stdin.write(_raw(line, plain=plain) + b"\n")
    finally:
        _end(pager)


def _raw(line: str | bytes, *, plain: bool) -> bytes:
    if isinstance(line, bytes):
        return line
    return (click.unstyle(line) if plain else line).encode("utf-8", "surrogateescape")


def _end(pager: "subprocess.Popen[bytes]") -> None:
    """Wait until the pager has been quit; an interrupt is the pager's, as in git."""
    assert pager.stdin is not None
    with suppress(BrokenPipeError):
        pager.stdin.close()
    while True:
        try:
            pager.wait()
            return
        except KeyboardInterrupt:
            continue
