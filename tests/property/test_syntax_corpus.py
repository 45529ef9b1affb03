"""Real sources: the library of the running Python, and whatever packages are installed beside it."""

import random
import sysconfig
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest

from makfs.syntax import Kind, Source, by_tree, identify, lines, split
from makfs.syntax.decode import decode, encoding_of
from makfs.syntax.layout import lay_out, without_mark
from makfs.syntax.splitting import to_nodes

SAMPLE = 130
_MANY = 60  # files by which a tree counts as parsed nearly whole


@cache
def sample() -> tuple[Path, ...]:
    """Return files of the library, the same in every run on one Python, the oddest among them."""
    root = Path(sysconfig.get_path("stdlib"))
    found = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    odd = [path for path in found if "tokenizedata" in path.parts or path.name.startswith("bad")]
    return tuple({*odd, *random.Random(7).sample(found, min(SAMPLE, len(found)))})


@cache
def splits() -> dict[Path, tuple[bytes, Source]]:
    texts = {path: path.read_bytes() for path in sample()}
    return {path: (text, split(path.name, text)) for path, text in texts.items()}


def shape(source: Source) -> list[tuple[object, ...]]:
    return [(n.kind, n.scope, n.name, n.text, n.lead_bytes) for n in source.nodes]


def test_split_loses_no_byte_of_the_library() -> None:
    for path, (text, source) in splits().items():
        assert source.text == text, path
        at = 0
        starts = {0, *accumulate(map(len, text.splitlines(keepends=True)))}
        for node in source.nodes:
            assert at in starts, path
            at += len(node.text)
        addresses = [node.qualname for node in source.nodes]
        assert len(set(addresses)) == len(addresses), path
        assert len(lines(source)) == len(source.nodes)


def test_split_is_fine_grained_on_the_library() -> None:
    valid = [source for _, source in splits().values() if source.valid]
    nodes = [node for source in valid for node in source.nodes]
    assert len(valid) > _MANY
    assert not {Kind.BROKEN, Kind.OPAQUE} & {node.kind for node in nodes}
    assert sum(node.text.count(b"\n") for node in nodes) / len(nodes) < 20


def test_both_front_ends_draw_the_same_lines_through_the_library() -> None:
    others = 0
    for text, source in splits().values():
        decoded = decode(text, encoding_of(text))
        if decoded is None or not source.valid:
            continue
        rows = text.splitlines(keepends=True)
        tree = to_nodes(lay_out(without_mark(rows), by_tree.statements(decoded)), rows)
        others += shape(Source(tuple(tree), True)) != shape(source)
    assert others <= 1, "tree-sitter takes one valid file in thousands for broken"


@pytest.mark.parametrize("seed", range(3))
def test_identify_follows_random_edits_of_the_library(seed: int) -> None:
    chance = random.Random(seed)
    hits = 0
    for path in chance.sample(sample(), 40):
        text = path.read_bytes()
        prior, free = identify(path.name, None, text, 1)
        if not prior.valid or len(prior.nodes) < 3 or len(text) > 60_000:
            continue
        node = chance.choice(prior.nodes[1:])
        at = text.index(node.text)
        rows = node.text.splitlines(keepends=True)
        row = chance.randrange(len(rows))
        rows[row : row + 1] = chance.choice(
            [[], [rows[row]] * 2, [b"    " + rows[row]], [b"x = 1\n", rows[row]]]
        )
        new_text = text[:at] + b"".join(rows) + text[at + len(node.text) :]
        source, _ = identify(path.name, prior, new_text, free)
        whole = split(path.name, new_text)
        assert source.text == new_text, path
        assert source.valid is whole.valid, path
        if whole.valid:
            assert shape(source) == shape(whole), path
        kept = {node.uid for node in source.nodes} & {node.uid for node in prior.nodes}
        hits += len(kept) >= len(prior.nodes) - 2
    assert hits >= 20, "an edit of one node leaves nearly all others"
