"""Three-way merge: what the agent last read (base), what it wrote (mine), and the newest version (head).

Pure: values in, values out; no file, clock or log. A refusal is a value too (`Conflict`), never an exception.
"""

from makfs.merge.result import Conflict, ConflictItem, Merged, What
from makfs.merge.text import Clash, is_binary, merge_text
from makfs.merge.whole import merge_file, merge_sources

__all__ = [
    "Clash",
    "Conflict",
    "ConflictItem",
    "Merged",
    "What",
    "is_binary",
    "merge_file",
    "merge_sources",
    "merge_text",
]
