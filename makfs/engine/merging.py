"""From a write to what the head becomes: which text was its base, and the merge (`makfs.merge`).

G1  A base that is not known is inferred: of the file's last versions the one most like the write, the newest
    of equals. So a client that remembers an old text does not undo what it never saw.
G2  A write is hopeless once a node that is complete in it clashes, whatever follows (writes: refuse early).
"""

from collections import Counter

from makfs.engine.core import Core
from makfs.engine.files import Belief, File
from makfs.engine.nodes import head_source
from makfs.errors import NotFound, NotKept
from makfs.ids import AgentId, Seq
from makfs.merge import Conflict, ConflictItem, Merged, What, merge_file, merge_sources
from makfs.store.model import LogQuery
from makfs.syntax import identify, is_source
from makfs.syntax.node import Node, Source

_CANDIDATES = 8  # versions looked at for G1
_MOST_BYTES = 256 << 10  # larger files are not compared line by line for G1
_CERTAIN = frozenset({What.EDIT_EDIT, What.ADD_ADD})  # what later bytes cannot mend


def merge(core: Core, file: File, base: bytes, mine: bytes, head: bytes, belief: Belief) -> Merged | Conflict:
    """Merge a write onto the head. Cost: the changed stretches, if the head's nodes are cached."""
    if not is_source(file.path):
        return merge_file(file.path, base, mine, head)
    sources = _aligned(core, file, base, mine, head)
    since = Seq(belief) if isinstance(belief, int) and belief > 0 else Seq(0)
    return merge_sources(file.path, *sources, older=lambda uid: core.store.older_texts(uid, since))


def _aligned(core: Core, file: File, base: bytes, mine: bytes, head: bytes) -> tuple[Source, Source, Source]:
    """Return base, mine and head as nodes with one set of identities."""
    new, uid = head_source(core, file, head)
    old, uid = identify(file.path, new, base, uid)
    my, uid = identify(file.path, old, mine, uid)
    return old, my, new


def infer_base(core: Core, file: File, agent: AgentId, mine: bytes, head: bytes) -> bytes:
    """Return the text that a write without a known base most likely started from (G1)."""
    if file.version <= 0 or len(mine) > _MOST_BYTES:
        return head
    commits = core.store.log(LogQuery(limit=_CANDIDATES, path=file.path))
    if all(commit.agent == agent for commit in commits):
        return head
    lines = Counter(mine.splitlines())
    best, score = head, (lines & Counter(head.splitlines())).total()
    for seq in [*(commit.seq for commit in commits[1:]), Seq(0)]:
        try:
            text = b"".join(node.text for node in core.store.nodes(file.path, seq))
        except (NotKept, NotFound):
            continue
        common = (lines & Counter(text.splitlines())).total()
        if common > score:
            best, score = text, common
    return best


def hopeless(
    core: Core, file: File, base: bytes, written: bytes, head: bytes, belief: Belief
) -> tuple[ConflictItem, ...]:
    """Return the clashes of a write that no continuation could mend (G2); none if there may be one."""
    if not is_source(file.path) or not written:
        return ()
    new, uid = head_source(core, file, head)
    old, uid = identify(file.path, new, base, uid)
    so_far, _ = identify(file.path, old, written, uid)
    complete = _complete(old, so_far)
    if not complete:
        return ()
    guess = b"".join(node.text for node in complete) + _rest(old, complete)
    merged = merge(core, file, base, guess, head, belief)
    if isinstance(merged, Merged):
        return ()
    certain = {f"{file.path}::{node.qualname}" for node in complete}
    return tuple(item for item in merged.items if item.what in _CERTAIN and item.address in certain)


def _complete(base: Source, so_far: Source) -> tuple[Node, ...]:
    """Return the nodes that later bytes cannot change: all but the last, and that too if it ends the base."""
    nodes = so_far.nodes
    if nodes and base.nodes and nodes[-1].text == base.nodes[-1].text:
        return nodes
    return nodes[:-1]


def _rest(base: Source, complete: tuple[Node, ...]) -> bytes:
    """Return what follows in the base behind the last node that was written."""
    known = {node.uid for node in complete}
    last = max((at for at, node in enumerate(base.nodes) if node.uid in known), default=-1)
    return b"".join(node.text for node in base.nodes[last + 1 :])
