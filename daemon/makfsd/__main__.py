"""The command `makfsd`: serve one repository at one mountpoint, or check a store nobody serves.

People use `makfs mount`, which starts this; here are only options, the order of the first steps, and exits.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from makfs.errors import Busy, MakfsError
from makfs.names import agent_id
from makfs.wire.frames import Failure, Message, Progress, Reply, encode
from makfs.wire.place import LOG_NAME, STATE_DIR
from makfs.wire.values import to_json
from makfsd import background, configuration, places
from makfsd.supervisor import Rooms, Settings, run

EXIT_FAILURE = 1
EXIT_BUSY = 3
EXIT_INTERRUPTED = 130

log = logging.getLogger("makfsd")


def load_rooms() -> Rooms:
    """Return the real rooms. Imported late: options and places are checked without them."""
    from makfs import vfs
    from makfs.engine import fsck, kernel

    return Rooms(
        open_kernel=kernel.Kernel.open,
        serve_mount=vfs.serve,
        check_store=fsck.check_repository,
    )


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--repo", metavar="DIR", help="The repository to serve.")
@click.option("--mount", "mountpoint", metavar="DIR", help="Where to mount it: an empty directory.")
@click.option("--agent", "agents", metavar="NAME", multiple=True, help="Make a view for this agent.")
@click.option(
    "--config", "config_file", metavar="FILE", help="Read this instead of the repository's makfs.conf."
)
@click.option("--on-write", metavar="POLICY", help="What a write does: see makfs.conf.")
@click.option("--foreground", is_flag=True, help="Stay in the terminal and log to it.")
@click.option("--ready-fd", type=int, metavar="N", help="Write one line there: ready, or error: SENTENCE.")
@click.pass_context
def command(
    context: click.Context,
    repo: str | None,
    mountpoint: str | None,
    agents: tuple[str, ...],
    config_file: str | None,
    on_write: str | None,
    foreground: bool,
    ready_fd: int | None,
) -> None:
    """Serve a repository at a mountpoint. Returns when the mount answers, unless in the foreground."""
    if context.invoked_subcommand is not None:
        return
    if repo is None or mountpoint is None:
        raise click.UsageError("--repo and --mount are needed.")
    rooms: Callable[[], Rooms] = context.obj or load_rooms
    tell: background.Tell = background.FdTeller(ready_fd) if ready_fd is not None else _tell_terminal
    try:
        lock, settings, loaded = _prepare(rooms, repo, mountpoint, agents, config_file, on_write, tell)
    except MakfsError as error:
        tell(_error_line(error))
        sys.exit(_exit_code(error))
    if not foreground:
        tell = background.detach(lambda fd: _wait_in_front(fd, tell))
    sys.exit(_serve(lock, settings, loaded, tell, foreground=foreground))


def _prepare(
    rooms: Callable[[], Rooms],
    repo_text: str,
    mountpoint_text: str,
    agents: tuple[str, ...],
    config_file: str | None,
    on_write: str | None,
    tell: background.Tell,
) -> tuple[places.Lock, Settings, Rooms]:
    """Check everything, then take the lock: what fails leaves nothing behind (P2)."""
    repo, mountpoint = Path(os.path.realpath(repo_text)), Path(os.path.realpath(mountpoint_text))
    for name in agents:
        agent_id(name)
    places.check_repository(repo)
    places.check_nesting(repo, mountpoint)
    lock = places.Lock.take(repo, create=False)
    places.check_fuse()
    for note in places.check_mountpoint(mountpoint):
        tell(f"note: {note}")
    file = None if config_file is None else Path(os.path.abspath(config_file))
    config = configuration.load(repo, file, on_write)
    others = configuration.others(config.mount.allow_other, os.getuid(), configuration.read_fuse_conf())
    if others.note:
        tell(f"note: {others.note}")
    loaded = rooms()
    if lock is None:
        lock = places.Lock.take(repo, create=True)
        assert lock is not None
    for note in places.make_mountpoint(mountpoint):
        tell(f"note: {note}")
    if lock.left_by is not None:
        tell(f"note: makfsd, pid {lock.left_by.pid}, did not end in order; its journal is taken up.")
    return lock, Settings(repo, mountpoint, config, agents, others.allowed), loaded


def _serve(
    lock: places.Lock, settings: Settings, rooms: Rooms, tell: background.Tell, *, foreground: bool
) -> int:
    """Serve in this process, which forks no more. Return the exit code."""
    os.umask(0)  # the modes of served files are the clients'
    lock.sign(settings.mountpoint)
    background.start_log(settings.repo / STATE_DIR / LOG_NAME, foreground=foreground)
    try:
        run(settings, rooms, tell)
        return 0
    except BaseException as error:  # the last edge: it is told, logged, and the process ends
        told = _first_told(error)
        if isinstance(told, MakfsError):
            log.error("%s", told)
        else:
            log.critical("makfsd failed", exc_info=error)
        _tell_safely(tell, _error_line(told))
        return _exit_code(told)
    finally:
        lock.release()


def _first_told(error: BaseException) -> BaseException:
    """Return the first MakfsError inside a group, else the first exception, else the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first_told(each) for each in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, MakfsError)), leaves[0])


def _error_line(error: BaseException) -> str:
    if isinstance(error, MakfsError):
        return f"{'busy' if isinstance(error, Busy) else 'error'}: {error}"
    return f"error: makfsd failed: {type(error).__name__}: {error}"


def _exit_code(error: BaseException) -> int:
    return EXIT_BUSY if isinstance(error, Busy) else EXIT_FAILURE


def _tell_safely(tell: background.Tell, line: str) -> None:
    try:
        tell(line)
    except OSError:
        log.warning("nobody heard: %s", line)


def _tell_terminal(line: str) -> None:
    """Tell people: errors and notes on stderr, nothing when it went well."""
    if line != "ready":
        kind, _, sentence = line.partition(": ")
        click.echo(f"makfsd: {sentence}" if kind != "note" else f"makfsd: note: {sentence}", err=True)


def _wait_in_front(fd: int, tell: background.Tell) -> NoReturn:
    """Pass on what the daemon tells; end when it has said how it went."""
    code = EXIT_FAILURE
    last = ""
    try:
        with open(fd, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                last = line.rstrip("\n")
                tell(last)
    except KeyboardInterrupt:  # the daemon finds nobody waiting when it is ready, and ends
        os._exit(EXIT_INTERRUPTED)
    if last == "ready":
        code = 0
    elif last.startswith("busy: "):
        code = EXIT_BUSY
    elif not last.startswith("error: "):
        tell("error: makfsd ended without a word; its log may tell more.")
    sys.stdout.flush()
    os._exit(code)


@command.command("fsck")
@click.argument("repo")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--frames", is_flag=True, hidden=True, help="Print progress and findings as frames of the protocol."
)
@click.pass_context
def fsck(context: click.Context, repo: str, as_json: bool, frames: bool) -> None:
    """Check the store of a repository that no makfsd serves. Exits with 1 if something was found."""
    rooms: Callable[[], Rooms] = context.obj or load_rooms

    def progress(what: str, done: int, total: int) -> None:
        if frames:
            _print_frame(Progress(1, what, done, total))

    try:
        real = Path(os.path.realpath(repo))
        places.check_repository(real)
        lock = places.require_store(real)
        loaded = rooms()
        findings = loaded.check_store(real, configuration.load(real, None, None), progress)
        lock.give_back()
    except MakfsError as error:
        if frames:
            _print_frame(Failure.of(1, error))
        else:
            click.echo(f"makfsd: {error}", err=True)
        sys.exit(_exit_code(error))
    if frames:
        _print_frame(Reply(1, to_json(findings)))
    elif as_json:
        click.echo(json.dumps(to_json(findings), indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding.check}  {ascii(finding.where)[1:-1]}: {finding.sentence}")
    sys.exit(EXIT_FAILURE if findings and not frames else 0)


@command.command("keep", hidden=True)
@click.argument("repo")
@click.argument("what", type=click.Choice(["gc", "repair"]))
@click.option("--keep", type=int)
@click.option("--since-ns", type=int)
@click.option("--dry-run", is_flag=True)
def keep_store(repo: str, what: str, keep: int | None, since_ns: int | None, *, dry_run: bool) -> None:
    """Cut or mend the store of a repository that no makfsd serves; tell it in frames of the protocol."""
    from makfs.engine import keeping

    def progress(what: str, done: int, total: int) -> None:
        _print_frame(Progress(1, what, done, total))

    try:
        real = Path(os.path.realpath(repo))
        places.check_repository(real)
        lock = places.require_store(real)
        config = configuration.load(real, None, None)
        answer: object
        if what == "gc":
            answer = keeping.collect_unserved(real, config, keep, since_ns, dry_run, progress)
        else:
            answer = keeping.repair_unserved(real, config)
        lock.give_back()
    except MakfsError as error:
        _print_frame(Failure.of(1, error))
        sys.exit(_exit_code(error))
    _print_frame(Reply(1, to_json(answer)))


def _print_frame(message: Message) -> None:
    sys.stdout.buffer.write(encode(message))
    sys.stdout.buffer.flush()


def main() -> None:
    """Entry point of `makfsd`."""
    command(prog_name="makfsd")


if __name__ == "__main__":
    main()
