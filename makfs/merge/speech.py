"""Sentences about conflicts, for the people and agents who must act on them."""

from makfs.merge.result import ConflictItem, What
from makfs.syntax.node import Kind, Node

_SENTENCES = {
    What.EDIT_EDIT: "{} was changed by both sides, in lines that touch",
    What.ADD_ADD: "{} was added by both sides, with different texts",
    What.DELETE_EDIT: "{} was deleted by one side and changed by the other",
    What.RENAME: "{} was renamed by one side, and renamed or changed by the other",
    What.ORDER: "{} was put in one place by one side and in another by the other",
    What.IMPORTS: "{}: what the two sides import does not add up",
    What.BINARY: "{} is binary and was changed by both sides",
    What.GUARD: "{} could not be merged safely",
}


def item(what: What, path: str, node: Node | None = None, more: str = "") -> ConflictItem:
    """Return a conflict at a node, or at the whole file; `more` says what else is known."""
    address = path if node is None or node.kind is Kind.OPAQUE else f"{path}::{node.qualname}"
    text = _SENTENCES[what].format(address)
    return ConflictItem(address, what, f"{text}: {more}" if more else text)
