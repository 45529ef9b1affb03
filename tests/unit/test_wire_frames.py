"""W3, W4, W5: frames out of any chunks, errors in place, nothing held without bound."""

from collections.abc import Iterable
from dataclasses import fields
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from makfs.errors import Busy
from makfs.wire import verbs
from makfs.wire.errors import WireError
from makfs.wire.frames import MAX_ID, Decoder, Failure, Message, Progress, Reply, Request, decode, encode
from makfs.wire.values import from_json

LIMIT = 200

ids = st.integers(0, MAX_ID)
words = st.text(max_size=10) | st.binary(max_size=6).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
json_objects = st.dictionaries(
    st.text(max_size=4), st.none() | st.integers() | st.text(max_size=6), max_size=3
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Request, ids, st.text(max_size=8), json_objects),
    st.builds(Reply, ids, st.none() | json_objects),
    st.builds(Failure, ids, st.text(max_size=8), words, st.integers()),
    st.builds(Progress, ids, words, st.integers(), st.integers()),
)


def take_all(chunks: Iterable[bytes], limit: int = LIMIT) -> list[Message | str]:
    """Return messages and error sentences in the order they come."""
    decoder = Decoder(limit)
    found: list[Message | str] = []
    for chunk in chunks:
        decoder.feed(chunk)
        while True:
            try:
                message = decoder.take()
            except WireError as error:
                found.append(str(error))
                continue
            if message is None:
                break
            found.append(message)
        decoder.check()
    return found


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(edges)]


@given(messages)
def test_message_comes_back_equal(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == message


@given(
    st.lists(messages.map(encode) | st.binary(max_size=300) | st.just(b"x" * 300 + b"\n"), max_size=6),
    st.lists(st.integers(0, 2000), max_size=20),
)
@example([b"x" * (LIMIT + 1), b"\n"], [LIMIT + 1])
@example([b"x" * LIMIT, b"\n"], [LIMIT])
def test_any_chunking_gives_the_same_frames_and_errors(parts: list[bytes], places: list[int]) -> None:
    stream = b"".join(parts)
    whole = take_all([stream])
    assert take_all(cut(stream, places)) == whole, "W3"
    assert take_all(stream[at : at + 1] for at in range(len(stream))) == whole, "W3"


@given(st.binary(max_size=600))
def test_garbage_raises_nothing_but_wire_error(garbage: bytes) -> None:
    take_all([garbage, b"\n"])


@given(st.binary(max_size=300).filter(lambda raw: b"\n" not in raw), messages)
def test_message_after_garbage_is_read_as_if_nothing_had_been(garbage: bytes, message: Message) -> None:
    assert take_all([garbage + b"\n" + encode(message)], limit=4096)[-1] == message, "W4"


def test_overlong_line_is_one_error_however_long_it_goes_on() -> None:
    chunks = [b"x" * 1000] * 50 + [b"\n", encode(Reply(3, None))]
    assert take_all(chunks) == [f"The line is longer than {LIMIT} bytes.", Reply(3, None)]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"nonsense", "The line is not JSON in UTF-8."),
        (b"\xff", "The line is not JSON in UTF-8."),
        (b"[1]", "A frame must be a JSON object."),
        (b'{"verb":"log"}', f"A frame needs an id, a whole number from 0 to {MAX_ID}."),
        (b'{"id":true,"verb":"log"}', f"A frame needs an id, a whole number from 0 to {MAX_ID}."),
        (b'{"id":1}', "A frame must have a verb, a progress, or ok."),
        (b'{"id":1,"verb":7}', "verb must be a string, not 7."),
        (b'{"id":1,"verb":"log","args":[]}', "The args of a request must be an object."),
        (b'{"id":1,"ok":false}', "error must be an object, not None."),
        (b'{"id":NaN}', "The line is not JSON in UTF-8."),
        (b"[" * 100_000, "The line is not JSON in UTF-8."),
        (b'{"id":' + b"9" * 5000 + b"}", "The line is not JSON in UTF-8."),
    ],
)
def test_bad_line_gives_one_sentence(line: bytes, sentence: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(line)
    assert str(caught.value) == sentence


def test_error_of_an_attributable_line_carries_its_id() -> None:
    with pytest.raises(WireError) as caught:
        decode(b'{"id":12,"verb":null}')
    assert caught.value.request_id == 12


def test_failure_tells_of_an_error() -> None:
    assert Failure.of(4, Busy("somebody works there")) == Failure(4, "Busy", "somebody works there", 16)


@pytest.mark.parametrize("verb", sorted(verbs.VERBS))
@given(data=st.data())
def test_every_verb_comes_back_from_its_request(verb: str, data: st.DataObject) -> None:
    asked = cast("verbs.Verb", data.draw(st.builds(verbs.VERBS[verb])))
    assume(not {"nan", "inf", "-inf"} & {repr(getattr(asked, key.name)) for key in fields(asked)})  # no JSON
    again = decode(encode(verbs.request(1, asked)))
    assert isinstance(again, Request)
    assert from_json(verbs.VERBS[again.verb], again.args) == asked
