"""B1, B2, B3: authors of lines, by the pure carrying and beside a plain one."""

from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from makfs.engine.blame import blame
from makfs.ids import NodeUid, Seq
from makfs.store.model import FileKind, NodeIds

Version = dict[int, bytes]  # uid -> text, in order


class History:
    """Revisions of a file, and the texts they are made of."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.revisions: list[NodeIds] = []

    def add(self, version: Version | None, *, kept: bool = True) -> None:
        """Add a revision; None: the file is absent."""
        texts = [self.numbers.setdefault(text, len(self.numbers) + 1) for text in (version or {}).values()]
        uids = tuple(NodeUid(uid) for uid in (version or {}))
        kind = FileKind.ABSENT if version is None else FileKind.FILE
        self.revisions.append(NodeIds(Seq(len(self.revisions)), uids, tuple(texts), kept, kind))

    def texts(self, numbers: Iterable[int]) -> Mapping[int, bytes]:
        by_number = {number: text for text, number in self.numbers.items()}
        return {number: by_number[number] for number in numbers}

    def blame(self) -> list[tuple[int, bytes]]:
        return [(int(seq), line) for seq, line in blame(self.revisions, self.texts)]


def history(*versions: Version | None) -> list[tuple[int, bytes]]:
    made = History()
    for version in versions:
        made.add(version)
    return made.blame()


F, G = b"def f():\n    return 1\n", b"def g():\n    return 2\n"


def test_lines_of_a_node_keep_their_authors_when_it_moves_and_is_renamed() -> None:
    found = history({1: F, 2: G}, {1: F, 2: G.replace(b"2", b"3")}, {2: b"def h():\n    return 3\n", 1: F})
    assert found == [(2, b"def h():\n"), (1, b"    return 3\n"), (0, b"def f():\n"), (0, b"    return 1\n")]


def test_lines_keep_their_authors_through_text_that_does_not_parse() -> None:
    """One node of all the text, with a uid of its own, and then the nodes again."""
    broken = F + G.replace(b"g():", b"g(:")
    assert history({1: F, 2: G}, {9: broken}, {1: F, 2: G}) == [
        (0, b"def f():\n"),
        (0, b"    return 1\n"),
        (2, b"def g():\n"),
        (0, b"    return 2\n"),
    ]


def test_a_line_that_goes_to_another_node_keeps_its_author() -> None:
    whole = b"def f():\n    first = 1\n    second = 2\n"
    halves = {1: b"def f():\n    first = 1\n    s()\n", 2: b"def s():\n    second = 2\n"}
    assert [seq for seq, _ in history({1: whole}, halves)] == [0, 0, 1, 1, 0], "B2"


def test_a_file_first_journaled_whole_has_its_maker_as_author() -> None:
    assert history(None, {0: F + G}, {1: F, 2: G}) == [
        (1, line) for line in (F + G).splitlines(keepends=True)
    ]


def test_a_file_made_anew_has_none_of_the_old_authors() -> None:
    assert {seq for seq, _ in history({1: F}, None, {1: F})} == {2}


def test_the_same_text_twice_has_two_authors() -> None:
    assert history({1: b"x\n"}, {1: b"x\n", 2: b"x\n"}) == [(0, b"x\n"), (1, b"x\n")]


def test_a_revision_that_was_not_kept_ends_what_is_known() -> None:
    made = History()
    made.add({1: F})
    made.add({1: b"large"}, kept=False)
    made.add({1: F})
    assert {seq for seq, _ in made.blame()} == {2}


def test_an_unended_last_line_is_another_line_when_it_ends() -> None:
    assert history({1: b"a\nb"}, {1: b"a\nb\n"}) == [(0, b"a\n"), (1, b"b\n")]
    assert history({}) == []


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"  d\n", b"\n"]), max_size=6).map(b"".join)
VERSIONS = st.dictionaries(st.integers(1, 5), LINES, max_size=4)


@given(st.lists(st.none() | VERSIONS, min_size=1, max_size=6), VERSIONS)
def test_every_line_has_one_author_that_had_the_line_and_all_after_had_it_too(
    versions: list[Version | None], last: Version
) -> None:
    found = history(*versions, last)
    assert b"".join(line for _, line in found) == b"".join(last.values()), "B3"
    whole = [*versions, last]
    for seq, line in found:
        for version in whole[seq:]:
            assert version is not None, "B3: whoever wrote it wrote it after the file was made"
            assert any(line in text.splitlines(keepends=True) for text in version.values()), "B3"


@given(st.lists(VERSIONS, min_size=1, max_size=4), VERSIONS, st.permutations(range(1, 6)))
def test_nodes_in_another_order_change_no_author(
    versions: list[Version], last: Version, order: list[int]
) -> None:
    shuffled = {uid: last[uid] for uid in order if uid in last}
    before = history(*versions, last)
    assert sorted(before) == sorted(history(*versions, last, shuffled)), "B1"
