"""W1, W2: values survive the wire; garbage gives WireError alone."""

import contextlib
import json
import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.ids import AgentId
from makfs.store.model import CommitDetail
from makfs.wire.errors import WireError
from makfs.wire.values import from_json, plain, to_json


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Leaf:
    agent: AgentId
    text: bytes
    size: int
    share: float = 0.5
    colour: Colour = Colour.RED
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    leaves: tuple[Leaf, ...]
    moved: dict[str, str] = field(default_factory=dict)
    before: bytes | None = None
    on: bool = False
    merged: frozenset[str] = frozenset()
    anything: Any = None


names = st.binary(max_size=12).map(os.fsdecode)
texts = st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8"))
leaves = st.builds(
    Leaf,
    agent=names.map(AgentId),
    text=texts,
    size=st.integers(),
    share=st.floats(allow_nan=False, allow_infinity=False),
    colour=st.sampled_from(Colour),
    note=st.none() | names,
)
trees = st.builds(
    Tree,
    leaves=st.lists(leaves, max_size=4).map(tuple),
    moved=st.dictionaries(names | st.sampled_from(["$text", "$map", "$"]), names, max_size=3),
    before=st.none() | texts,
    on=st.booleans(),
    merged=st.frozensets(names, max_size=3),
    anything=st.none() | texts | names | st.dictionaries(names, texts, max_size=2),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["$text", "$bytes", "$name", "$map", "leaves", "size"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(trees)
def test_value_comes_back_equal_after_travelling_as_json(tree: Tree) -> None:
    travelled = json.loads(json.dumps(to_json(tree)))
    assert from_json(Tree, travelled) == tree, "W1"


@given(trees)
def test_travelling_form_has_no_lone_surrogates_that_other_readers_would_lose(tree: Tree) -> None:
    json.dumps(to_json(tree), allow_nan=False, ensure_ascii=False).encode("utf-8")


@given(json_values)
def test_garbage_gives_wire_error_alone(data: Any) -> None:
    for as_type in (Tree, Leaf, CommitDetail, list[Leaf], tuple[int, str]):
        with contextlib.suppress(WireError):  # W2
            from_json(as_type, data)


@given(json_values)
def test_plain_of_garbage_gives_wire_error_alone(data: Any) -> None:
    with contextlib.suppress(WireError):
        plain(data)


def test_deep_nesting_gives_wire_error() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WireError):
        from_json(Tree, {"leaves": [], "anything": deep})


def test_error_names_the_place_and_what_is_wanted() -> None:
    with pytest.raises(WireError, match=r"^Tree\.leaves\[0\]\.size must be a whole number, not 'many'\.$"):
        from_json(Tree, {"leaves": [{"agent": "a", "text": {"$text": ""}, "size": "many"}]})
    with pytest.raises(WireError, match=r"^Tree lacks 'leaves'\.$"):
        from_json(Tree, {})


def test_unknown_fields_of_a_newer_peer_are_ignored() -> None:
    assert from_json(Tree, {"leaves": [], "invented_later": 1}) == Tree(())


def test_bool_is_no_number_and_number_is_no_bool() -> None:
    with pytest.raises(WireError):
        from_json(Tree, {"leaves": [], "on": 1})
    with pytest.raises(WireError):
        from_json(tuple[int], [True])


def test_value_of_unknown_type_does_not_travel() -> None:
    with pytest.raises(WireError, match="object cannot travel"):
        to_json(object())
    with pytest.raises(WireError, match="not the name of a file"):
        to_json("\ud800")
