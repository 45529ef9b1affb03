"""Messages as text and in order: K3-K6 of order.py, K7 and K8 of text.py."""

import json
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from makfs.ids import AgentId
from makfs.messages import (
    HEAD_START_NS,
    BadMessage,
    Message,
    Outgoing,
    Priority,
    as_json,
    as_text,
    file_name,
    id_of,
    listed,
    parse,
)

MINUTE = 60_000_000_000
names = st.sampled_from(["alice", "bob", "carol", "a.b", "x-1"])
bodies = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80).filter(str.strip)


@st.composite
def mailboxes(draw: st.DrawFn) -> list[Message]:
    """Return messages as they arrive: ids grow, times do not go back."""
    time_ns, found = 0, []
    for number in range(draw(st.integers(1, 12))):
        time_ns += draw(st.integers(0, 15 * MINUTE))
        priority = draw(st.sampled_from(Priority))
        body, re = draw(bodies), draw(st.integers(0, 9))
        found.append(
            Message(number + 1, time_ns, AgentId(draw(names)), (AgentId("bob"),), priority, re, 0, body)
        )
    return found


@given(mailboxes())
def test_messages_are_listed_by_urgency_and_age(messages: list[Message]) -> None:
    order = {message.id: place for place, message in enumerate(listed(messages))}
    assert sorted(order) == [message.id for message in messages], "each once"
    span = max(HEAD_START_NS.values()) - min(HEAD_START_NS.values())
    for early, late in combinations(messages, 2):
        is_first = order[early.id] < order[late.id]
        start = HEAD_START_NS[late.priority] - HEAD_START_NS[early.priority]
        assert is_first or early.priority != late.priority, "K3"
        assert is_first or late.priority > early.priority, "nobody goes before an earlier one of its urgency"
        if start > 0 and late.time_ns - early.time_ns < start:
            assert not is_first, "K4"
        assert is_first or late.time_ns - early.time_ns <= span, "K5"


def test_a_flood_of_urgent_messages_passes_an_older_one_for_twenty_minutes_and_no_longer() -> None:
    to = (AgentId("bob"),)
    low = Message(1, 0, AgentId("alice"), to, Priority.LOW, 0, 0, "low")
    flood = [
        Message(minute + 1, minute * MINUTE, AgentId("carol"), to, Priority.HIGH, 0, 0, "high")
        for minute in range(1, 61)
    ]
    assert listed([low, *flood]).index(low) == 19, "K4, K5"


@given(mailboxes(), st.data())
def test_the_order_of_two_messages_does_not_depend_on_the_others(
    messages: list[Message], data: st.DataObject
) -> None:
    left = data.draw(st.lists(st.sampled_from(messages), unique_by=lambda message: message.id))
    assert listed(left) == [message for message in listed(messages) if message in left], "K6"


@given(st.binary(max_size=120) | st.text(max_size=120).map(str.encode), st.booleans())
def test_whatever_is_written_is_a_message_or_bad(data: bytes, is_whole: bool) -> None:
    try:
        found = parse(data, "bob", is_whole=is_whole)
    except BadMessage:  # K8
        return
    assert not is_whole or (found is not None and found.body.strip()), "a whole message has a text"


@given(
    st.lists(names, min_size=1, max_size=4, unique=True), st.sampled_from(Priority), st.integers(0, 99),
    bodies, st.data(),
)  # fmt: skip
def test_a_message_is_read_as_it_was_written_and_a_part_of_it_never_otherwise(
    to: list[str], priority: Priority, re: int, body: str, data: st.DataObject
) -> None:
    head = f"To: {', '.join(to)}\nPriority: {priority.word}\n" + (f"Re: {re}\n" if re else "")
    text = f"{head}\n{body}".encode()
    wanted = Outgoing(tuple(to), body, priority, re)
    assert parse(text, "x") == wanted
    written = json.dumps({"to": to, "body": body, "priority": priority.word, "re": re or None}).encode()
    assert parse(written, "x") == wanted
    part = parse(text[: data.draw(st.integers(0, len(text)))], "x", is_whole=False)
    assert part is None or (part.to, part.priority, part.re) == (wanted.to, wanted.priority, wanted.re)


@given(mailboxes())
def test_what_is_delivered_has_its_body_as_it_was_written(messages: list[Message]) -> None:
    for message in messages:
        head, _, body = as_text(message, str).decode().partition("\n\n")
        assert body.removesuffix("\n") == message.body.removesuffix("\n"), "K7"
        assert head.split("\n")[0] == f"From: {message.sender}", "K7"
        assert len(head.split("\n")) <= 7, "K7"
        assert json.loads(as_json(message, str))["body"] == message.body
        assert id_of(file_name(message)) == (message.id, False)
        assert id_of(file_name(message) + ".json") == (message.id, True)
    arrived = [file_name(message) for message in messages]
    assert sorted(arrived) == arrived, "names sort by arrival"
