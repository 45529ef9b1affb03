"""Three-way merge: what the agent last read (base), what it wrote (mine), and the newest version (head).

Pure: values in, values out; no file, clock or log. A refusal is a value too (`Conflict`), never an exception.
"""

from collections.abc import Callable, Sequence

from makfs.merge.result import Conflict, ConflictItem, Merged, What
from makfs.merge.text import Clash, is_binary, merge_text

__all__ = ["Clash", "Conflict", "ConflictItem", "Merged", "What", "merge_file", "merge_text"]


def merge_file(
    path: str,
    base: bytes,
    mine: bytes,
    head: bytes,
    *,
    allow_lines: bool = True,
    older: Callable[[str], Sequence[bytes]] | None = None,
) -> Merged | Conflict:
    """Merge three versions of the file at `path`. Never raises."""
    merged = merge_text(base, mine, head)
    if isinstance(merged, bytes):
        return Merged(merged)
    if any(map(is_binary, (base, mine, head))):
        sentence = f"{path} is binary and both sides changed it"
        return Conflict((ConflictItem(path, What.BINARY, sentence),))
    return Conflict(
        tuple(
            ConflictItem(
                path,
                What.EDIT_EDIT,
                f"{path}: lines {clash.base[0] + 1} to {clash.base[1]} of the text both sides started from "
                "were changed by both",
            )
            for clash in merged
        )
    )
