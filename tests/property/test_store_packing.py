"""P1, P2, K1, K2 and the bounded memory, on whatever comes."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.ids import RepoPath
from makfs.store.keys import below, join_path, name_key, split_path, words, words_key
from makfs.store.packing import pack_nodes, pack_text, unpack_nodes, unpack_text
from makfs.store.recent import Recent

numbers = st.one_of(st.integers(1, 30), st.integers(1, 1 << 50))
names = st.one_of(
    st.binary(min_size=1, max_size=8).filter(lambda raw: not {0, 47} & set(raw)).map(os.fsdecode),
    st.sampled_from(
        ["a", "a0", "a-", "a.", "é", "e\u0301", "\udcc3", "\udcc3\udca9", "%", "_", "\n", "\U0010ffff"]
    ),
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Return two columns of one length, with the runs real files have."""
    runs = st.lists(st.tuples(numbers, st.integers(1, 40)), max_size=6)
    uids, texts = (
        [start + more for start, count in draw(runs) for more in range(count)] for _ in ("uids", "texts")
    )
    length = min(len(uids), len(texts))
    return uids[:length], texts[:length]


@given(columns())
def test_a_node_list_comes_back_as_it_was_packed(pair: tuple[list[int], list[int]]) -> None:
    uids, texts = pair
    packed = pack_nodes(uids, texts)
    assert [*unpack_nodes(packed).each_uid()] == uids
    assert [*unpack_nodes(packed).each_text()] == texts


@given(columns(), st.data())
def test_a_node_list_cut_short_never_passes_for_another_of_the_same_length(
    pair: tuple[list[int], list[int]], data: st.DataObject
) -> None:
    packed = pack_nodes(*pair)
    if packed:
        cut = packed[: data.draw(st.integers(1, len(packed)), "kept") - 1]
        try:
            found = unpack_nodes(cut)
        except ValueError:
            return
        assert len([*found.each_uid()]) < len(pair[0])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_node_list_or_raise(noise: bytes) -> None:
    try:
        found = unpack_nodes(noise)
    except ValueError:
        return
    assert sum(span.count for span in found.uids) == sum(span.count for span in found.texts)


@given(st.one_of(st.binary(max_size=2000), st.binary(max_size=9).map(lambda part: part * 300)))
def test_a_text_comes_back_as_it_was_and_is_never_kept_larger(text: bytes) -> None:
    codec, kept = pack_text(text)
    assert unpack_text(codec, kept) == text
    assert len(kept) <= len(text)


@given(names, names)
def test_two_names_have_one_key_exactly_when_they_have_the_same_bytes(one: str, two: str) -> None:
    same = one.encode("utf-8", "surrogateescape") == two.encode("utf-8", "surrogateescape")
    assert (name_key(one) == name_key(two)) == same
    assert words(name_key(one)).encode("utf-8", "surrogateescape") == one.encode("utf-8", "surrogateescape")


@given(st.text())
def test_words_are_always_storable_and_come_back_if_they_have_bytes(text: str) -> None:
    key = words_key(text)
    if isinstance(key, str):
        key.encode()
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return
    assert words(key).encode("utf-8", "surrogateescape") == raw


@given(paths)
def test_a_path_split_and_joined_is_the_same_path(path: str) -> None:
    joined = join_path(*split_path(RepoPath(path)))
    assert joined.encode("utf-8", "surrogateescape") == path.encode("utf-8", "surrogateescape")


@given(paths, paths)
def test_the_ranges_below_a_folder_hold_what_is_below_it_and_nothing_else(folder: str, path: str) -> None:
    ranges = below(RepoPath(folder))
    key, _ = split_path(RepoPath(path))
    if isinstance(key, str):
        inside = key == ranges.folder or ranges.text_low <= key < ranges.text_high
    else:
        inside = key == ranges.folder or ranges.blob_low <= key < ranges.blob_high
    raw, raw_folder = (text.encode("utf-8", "surrogateescape") for text in (path, folder))
    assert inside == raw.startswith(raw_folder + b"/")


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5))), st.integers(1, 12))
def test_the_memory_of_two_generations_knows_the_latest_and_stays_bounded(
    puts: list[tuple[int, int]], limit: int
) -> None:
    recent: Recent[int, int] = Recent(limit)
    latest: dict[int, int] = {}
    for value, (key, weight) in enumerate(puts):
        recent.put(key, value, weight)
        latest[key] = value
        assert recent.get(key) == value
        assert all(recent.get(one) in (None, newest) for one, newest in latest.items()), "never outdated"
        assert sum(1 for known in latest if recent.get(known) is not None) <= 2 * limit
    recent.clear()
    assert all(recent.get(key) is None for key in latest)


def test_a_memory_of_nothing_still_knows_the_last() -> None:
    recent: Recent[str, int] = Recent(1)
    recent.put("a", 1, 100)
    recent.put("b", 2, 100)
    recent.put("c", 3, 100)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (None, 2, 3)


def test_columns_of_different_lengths_are_a_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="P1"):
        pack_nodes([1, 2], [1])
