"""`makfs send`, `ask`, `answer`, `inbox`, `messages`, `share`, `shared`: words between people and agents."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from makfs.cli.common import Seconds, client, complete_agent, json_option, print_json, print_lines

if TYPE_CHECKING:
    from makfs.messages import Message

F = TypeVar("F", bound=Callable[..., Any])

SEND_EPILOG = """\b
Examples:
  makfs send bob "please leave parse() alone"
  makfs send all --priority high "the build is red"
  git diff | makfs send bob -
"""

ASK_EPILOG = """\b
Examples:
  makfs ask bob "are you done with parse()?" --timeout 60

\b
Exit codes:
  124  nobody answered in time
"""

INBOX_EPILOG = """\b
Examples:
  makfs inbox
  makfs inbox bob
  makfs inbox bob --ack 12
"""

SHARE_EPILOG = """\b
Examples:
  makfs share plan plan.md
  makfs share --remove plan
"""


def _priority_option(function: F) -> F:
    return click.option(
        "--priority",
        type=click.Choice(["low", "normal", "high"]),
        default="normal",
        show_default=True,
        help="Higher ones are listed first, until the others have waited for 10 minutes.",
    )(function)


def _from_option(function: F) -> F:
    return click.option(
        "--from", "by", metavar="AGENT", shell_complete=complete_agent, help="As this agent, not as a person."
    )(function)


def _body(words: tuple[str, ...]) -> str:
    if words != ("-",):
        return " ".join(words)
    data = sys.stdin.buffer.read((1 << 20) + 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError("Standard input is not UTF-8.") from None


@click.command(epilog=SEND_EPILOG, short_help="Send a message to an agent, or to all")
@click.argument("to", metavar="TO", shell_complete=complete_agent)
@click.argument("text", metavar="TEXT...", nargs=-1, required=True)
@_priority_option
@_from_option
@json_option
@click.pass_context
def send(
    context: click.Context, to: str, text: tuple[str, ...], priority: str, by: str | None, as_json: bool
) -> None:
    """Send TEXT to the agent TO, or several as in bob,carol, or `all`. '-' reads it from standard input.

    It waits in `.makfs/inbox/` of each view until it is removed there. Agents send and answer by
    `.makfs/outbox/`; what goes to `makfs` is for people, and stands in `makfs inbox`.
    """
    from makfs.wire.mailverbs import Send

    with client(context) as daemon:
        data = daemon.ask(Send(_names(to), _body(text), priority, 0, by))
    _tell_sent(data, as_json)


@click.command(epilog=ASK_EPILOG, short_help="Ask an agent, and print the answer")
@click.argument("to", metavar="TO", shell_complete=complete_agent)
@click.argument("text", metavar="TEXT...", nargs=-1, required=True)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(),
    metavar="S",
    default=300.0,
    show_default=True,
    help="Wait so many seconds for an answer.",
)
@_priority_option
@_from_option
@json_option
@click.pass_context
def ask(
    context: click.Context,
    to: str,
    text: tuple[str, ...],
    timeout_s: float,
    priority: str,
    by: str | None,
    as_json: bool,
) -> int:
    """Send TEXT to TO, wait for the first answer, and print it: the text alone.

    An agent answers by a message with `Re:` and the number of the question; a person by `makfs answer`. An
    answer that comes later is in `makfs inbox`.
    """
    from makfs.cli.exits import EXIT_TIMEOUT
    from makfs.engine.mailapi import Answered
    from makfs.wire.mailverbs import Acknowledge, Ask
    from makfs.wire.values import from_json

    with client(context) as daemon:
        data = daemon.ask(Ask(_names(to), _body(text), timeout_s, priority, by))
        done = from_json(Answered, data)
        if as_json:
            print_json(data)
        elif done.answer is not None:
            print_lines(_shown(done.answer.body))
        else:
            nobody = f"{to} did not answer" if to not in ("all", "") and "," not in to else "Nobody answered"
            sentence = f"{nobody} message {done.question.id} within {timeout_s:g} s."
            click.echo(f"makfs: {sentence} A later answer will be in 'makfs inbox'.", err=True)
        if done.answer is None:
            return EXIT_TIMEOUT
        sys.stdout.flush()
        daemon.ask(Acknowledge(done.answer.id, by))
    return 0


@click.command(epilog='\b\nExamples:\n  makfs answer 12 "done, it is yours"', short_help="Answer a message")
@click.argument("number", type=click.IntRange(1))
@click.argument("text", metavar="TEXT...", nargs=-1, required=True)
@_priority_option
@_from_option
@json_option
@click.pass_context
def answer(
    context: click.Context, number: int, text: tuple[str, ...], priority: str, by: str | None, as_json: bool
) -> None:
    """Answer message NUMBER with TEXT, as the one to whom it went. '-' reads TEXT from standard input."""
    from makfs.wire.mailverbs import AnswerTo

    with client(context) as daemon:
        data = daemon.ask(AnswerTo(number, _body(text), priority, by))
    _tell_sent(data, as_json)


def _tell_sent(data: Any, as_json: bool) -> None:
    from makfs.messages import Message
    from makfs.wire.values import from_json

    if as_json:
        print_json(data)
        return
    sent = from_json(Message, data)
    click.echo(f"message {sent.id}  to {', '.join(sent.to)}")


@click.command(epilog=INBOX_EPILOG, short_help="Show what an agent, or you, have not read yet")
@click.argument("agent", required=False, shell_complete=complete_agent)
@click.option(
    "--ack", "numbers", metavar="N", type=click.IntRange(1), multiple=True, help="Remove message N."
)
@click.option("--clear", is_flag=True, help="Show, and remove all that were shown.")
@json_option
@click.pass_context
def inbox(
    context: click.Context, agent: str | None, numbers: tuple[int, ...], clear: bool, as_json: bool
) -> None:
    """Show the messages in the inbox of AGENT, or without one those to people, in the order to read in.

    They stay until they are removed: by AGENT in its `.makfs/inbox/`, or by --ack and --clear.
    """
    from makfs.errors import NotFound
    from makfs.messages import Message
    from makfs.wire.mailverbs import Acknowledge, Inbox
    from makfs.wire.values import from_json

    with client(context) as daemon:
        if numbers:
            for number in numbers:
                if not daemon.get(Acknowledge(number, agent), bool):
                    raise NotFound(f"Message {number} is not in the inbox of {agent or 'people'}.")
            return
        data = daemon.ask(Inbox(agent))
        messages = from_json(list[Message], data)
        if as_json:
            print_json(data)
        elif messages:
            print_lines(_render(messages))
        else:
            click.echo("No message waits.")
        sys.stdout.flush()
        if clear:
            for each in messages:
                daemon.ask(Acknowledge(each.id, agent))


@click.command(
    epilog="\b\nExamples:\n  makfs messages\n  makfs messages --agent bob --json", short_help="List messages"
)
@click.option(
    "-n", "--number", type=click.IntRange(1, 1000), default=30, show_default=True, help="At most so many."
)
@click.option("--agent", metavar="NAME", shell_complete=complete_agent, help="Only to and from this agent.")
@json_option
@click.pass_context
def messages(context: click.Context, number: int, agent: str | None, as_json: bool) -> None:
    """List messages, newest first, and who has not removed them from the inbox yet.

    Read ones are kept until a thousand newer ones are there.
    """
    from makfs.cli.text import fit, printable, table
    from makfs.engine.mailapi import MessageRow
    from makfs.wire.mailverbs import Messages
    from makfs.wire.values import from_json

    with client(context) as daemon:
        data = daemon.ask(Messages(number, None, agent))
    if as_json:
        print_json(data)
        return
    rows = [
        (
            str(each.message.id), _clock(each.message.time_ns), each.message.sender,
            ", ".join(each.message.to),
            ", ".join(each.unread_by) or "-", fit(printable(each.message.body.strip().split("\n")[0]), 50),
        )
        for each in from_json(list[MessageRow], data)
    ]  # fmt: skip
    print_lines(table(("ID", "TIME", "FROM", "TO", "UNREAD BY", "TEXT"), rows, right=[0]))


@click.command(epilog=SHARE_EPILOG, short_help="Share a file by name, for all views")
@click.argument("name")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--remove", is_flag=True, help="Forget NAME and all its versions.")
@json_option
@click.pass_context
def share(context: click.Context, name: str, file: str | None, remove: bool, as_json: bool) -> None:
    """Share FILE as NAME: all views read it as `.makfs/shared/NAME`; an agent shares by writing there.

    Sharing other bytes under a NAME makes a new version; `.makfs/shared/NAME@2` is the second.
    """
    import os

    from makfs.messages import Artifact
    from makfs.wire.mailverbs import Share, Unshare
    from makfs.wire.values import from_json

    if remove == (file is not None):
        raise click.UsageError("Name a FILE, or say --remove.", context)
    with client(context) as daemon:
        if remove or file is None:
            daemon.ask(Unshare(name))
            return
        data = daemon.ask(Share(name, os.path.abspath(file)))
    if as_json:
        print_json(data)
    else:
        from makfs.cli.text import size

        made = from_json(Artifact, data)
        click.echo(f"{made.name}  version {made.version}, {size(made.size_bytes)}")


@click.command(
    epilog="\b\nExamples:\n  makfs shared\n  makfs shared --json", short_help="List what is shared by name"
)
@json_option
@click.pass_context
def shared(context: click.Context, as_json: bool) -> None:
    """List what is shared by name: who shared the newest version, when, and how large it is."""
    from makfs.cli.text import size, table
    from makfs.messages import Artifact
    from makfs.wire.mailverbs import Shared
    from makfs.wire.values import from_json

    with client(context) as daemon:
        data = daemon.ask(Shared())
    if as_json:
        print_json(data)
        return
    rows = [
        (each.name, str(each.version), each.agent, _clock(each.time_ns), size(each.size_bytes))
        for each in from_json(list[Artifact], data)
    ]
    print_lines(table(("NAME", "VERSION", "AGENT", "TIME", "SIZE"), rows, right=[1, 4]))


def _names(to: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip() for each in to.split(",")))


def _render(messages: "list[Message]") -> list[str]:
    lines: list[str] = []
    for each in messages:
        head = f"{each.id}  {_clock(each.time_ns)}  from {each.sender}"
        if each.priority.word != "normal":
            head += f"  ({each.priority.word})"
        if each.re:
            head += f"  (answers {each.re})"
        if each.answer_by_ns:
            head += f"  (a question, until {_clock(each.answer_by_ns)})"
        lines += [head, *(f"    {line}" for line in _shown(each.body)), ""]
    return lines[:-1]


def _shown(body: str) -> list[str]:
    """Return a body's lines, harmless for a terminal."""
    from makfs.cli.text import printable

    return [printable(line, keep="\t") for line in body.rstrip("\n").split("\n")]


def _clock(time_ns: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
