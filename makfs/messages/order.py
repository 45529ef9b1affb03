"""In which order messages are listed: by urgency, with aging, so that nobody waits for ever. Pure.

K3  Of one priority, the earlier comes first.
K4  A more urgent message goes before those of lower priority that came less than its head start earlier.
K5  Nobody starves: what comes more than the sum of the head starts after a message is listed after it.
K6  The order of two messages never changes while they wait.

So a message's age counts as much as its priority: each priority is a head start in time, and the order is
that of time with the head start taken off (as in the aging of a Unix scheduler, but without a clock).
"""

from collections.abc import Iterable

from makfs.messages.values import Message, Priority

HEAD_START_NS = {Priority.LOW: -600_000_000_000, Priority.NORMAL: 0, Priority.HIGH: 600_000_000_000}


def listed(messages: Iterable[Message]) -> list[Message]:
    """Return messages in the order in which they should be read."""
    return sorted(messages, key=_rank)


def _rank(message: Message) -> tuple[int, int]:
    return message.time_ns - HEAD_START_NS[message.priority], message.id
