"""The words every room shares: identifiers, each a NewType, so that they cannot be mixed up.

Paths are `str` relative to the repository's root, with `/` between parts and no leading slash; the root is
`""`. Bytes of a name that are not UTF-8 travel as surrogate escapes (`os.fsdecode`, PEP 383).
"""

from typing import NewType

AgentId = NewType("AgentId", str)
"""Name of a principal with one view: 1 to 64 of `A-Za-z0-9_-` and inner dots; never `@...` or `.makfs`."""

NodeUid = NewType("NodeUid", int)
"""Identity of a node within one store, from 1 upwards; outlives edits, renames, moves. 0: not yet matched."""

Seq = NewType("Seq", int)
"""Place of a commit in the journal, from 1 upwards. 0: the state before the first commit."""

RepoPath = NewType("RepoPath", str)
"""Path of a file or directory inside the repository, as the module's docstring says."""

Address = NewType("Address", str)
"""Name of a node for people: `path::Class.method`; `path` is the whole file, `dir/` a folder."""

PERSON = AgentId("makfs")
"""The agent to which commands that people give are booked: undo, restore."""

EXTERNAL = AgentId("external")
"""The agent to which edits made directly in the repository's directory are booked."""
