"""P1, P2 of packing.py and K1, K2 of keys.py, on chosen values; the property tests try the rest."""

import random

import pytest

from makfs.errors import BadName
from makfs.ids import RepoPath
from makfs.store.keys import below, join_path, name_key, split_path, words, words_key
from makfs.store.packing import RAW, ZLIB, Span, pack_nodes, pack_text, unpack_nodes, unpack_text


def test_a_file_imported_whole_packs_into_a_handful_of_bytes() -> None:
    packed = pack_nodes(range(1_000, 1_500), range(70_000, 70_500))
    assert len(packed) <= 12
    assert unpack_nodes(packed).uids == (Span(1_000, 500),)


def test_one_edited_node_of_500_costs_a_few_bytes_more() -> None:
    texts = [*range(70_000, 70_500)]
    texts[250] = 99_000
    assert len(pack_nodes(range(1_000, 1_500), texts)) <= 22
    assert [*unpack_nodes(pack_nodes(range(1_000, 1_500), texts)).each_text()] == texts


def test_an_empty_file_packs_into_nothing() -> None:
    assert pack_nodes((), ()) == b""
    assert unpack_nodes(b"").texts == ()


@pytest.mark.parametrize(
    "packed",
    [
        b"\x80",  # ends inside a number
        b"\x01\x02",  # ends inside a span
        b"\x01\x02\x01\x02\x01\x04",  # a text span without count
        b"\x02\x02\x01\x02\x01",  # more uid spans promised than there are
        b"\x01\x02\x02\x02\x01",  # two nodes, one text
        b"\x01\x02\x00\x02\x00",  # spans of nothing
        b"\x01\x02\x01\x00\x01",  # text ids start at 1
        b"\x01\x01\x01\x02\x01",  # a negative uid
        b"\x00",  # no spans at all
    ],
)
def test_bytes_that_are_no_node_list_raise_instead_of_giving_nonsense(packed: bytes) -> None:
    with pytest.raises(ValueError, match="node list"):
        unpack_nodes(packed)


def test_small_and_incompressible_texts_stay_as_they_are_and_larger_ones_shrink() -> None:
    noise = random.Random(1).randbytes(600)
    assert pack_text(b"x = 1\n") == (RAW, b"x = 1\n")
    assert pack_text(noise)[0] == RAW
    codec, kept = pack_text(b"value = compute(value)\n" * 100)
    assert codec == ZLIB
    assert len(kept) < 200
    assert unpack_text(codec, kept) == b"value = compute(value)\n" * 100


def test_a_damaged_compressed_text_raises() -> None:
    codec, kept = pack_text(b"value = compute(value)\n" * 100)
    with pytest.raises(ValueError, match="decompress"):
        unpack_text(codec, kept[:-1])
    with pytest.raises(ValueError, match="decompress"):
        unpack_text(codec, b"\xff" + kept[1:])


def test_a_name_is_text_when_its_bytes_are_utf_8_and_its_very_bytes_otherwise() -> None:
    assert name_key("models.py") == "models.py"
    assert name_key("größe.py") == "größe.py"
    assert name_key("caf\udce9.py") == b"caf\xe9.py"
    assert words(b"caf\xe9.py") == "caf\udce9.py"


def test_two_spellings_of_the_same_bytes_are_one_name() -> None:
    assert name_key("\udcc3\udca9") == name_key("é")


@pytest.mark.parametrize("name", ["a\0b", "é\0", "\ud800", "a/\udfff"])
def test_what_no_file_can_be_called_is_a_bad_name(name: str) -> None:
    with pytest.raises(BadName):
        name_key(name)


def test_other_words_are_stored_whatever_they_hold() -> None:
    assert words(words_key("comm \udcff")) == "comm \udcff"
    assert words_key("\ud800 x") == "? x"


def test_a_path_is_split_at_its_last_slash_and_joined_again() -> None:
    assert split_path(RepoPath("a/b\udcff/c.py")) == (b"a/b\xff", "c.py")
    assert join_path(b"a/b\xff", "c.py") == "a/b\udcff/c.py"
    assert split_path(RepoPath("")) == ("", "")
    assert join_path("", "setup.py") == "setup.py"


def test_a_folder_that_is_not_utf_8_has_no_text_below_it() -> None:
    ranges = below(RepoPath("a\udcff"))
    assert ranges.text_low == ranges.text_high == ""
    assert (ranges.blob_low, ranges.blob_high) == (b"a\xff/", b"a\xff0")
