"""What a merge answers: a text, or the reasons why a person or an agent must decide."""

from dataclasses import dataclass
from enum import Enum


class What(Enum):
    """Why two changes do not fit together."""

    EDIT_EDIT = "edit/edit"
    ADD_ADD = "add/add"
    DELETE_EDIT = "delete/edit"
    RENAME = "rename"
    ORDER = "order"
    IMPORTS = "imports"
    BINARY = "binary"
    GUARD = "guard"  # every piece merged, but the whole failed the check after the merge


@dataclass(frozen=True, slots=True)
class ConflictItem:
    """One place at which the two sides disagree. `sentence` is for people."""

    address: str
    what: What
    sentence: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The merge was refused; neither side's text was touched. At least one item."""

    items: tuple[ConflictItem, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged text. `dropped` lists the addresses of stale copies of mine that were not taken."""

    text: bytes
    dropped: tuple[str, ...] = ()
