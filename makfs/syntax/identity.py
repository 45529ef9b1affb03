"""A new text of a file to nodes that know who they are. First version: full split, then matching."""

from dataclasses import replace

from makfs.ids import NodeUid
from makfs.syntax.matching import match
from makfs.syntax.node import Node, Source
from makfs.syntax.splitting import MAX_BYTES, split


def identify(
    path: str, prior: Source | None, text: bytes, next_uid: int, *, max_bytes: int = MAX_BYTES
) -> tuple[Source, int]:
    """Return the text's nodes with uids, and the first uid still free.

    Nodes that are matched to `prior` keep their uid; new ones get uids from `next_uid` on.
    """
    new = split(path, text, max_bytes=max_bytes)
    old = prior.nodes if prior else ()
    pairs = match(old, new.nodes)
    nodes: list[Node] = []
    for index, node in enumerate(new.nodes):
        if index in pairs:
            uid = old[pairs[index]].uid
        else:
            uid, next_uid = NodeUid(next_uid), next_uid + 1
        nodes.append(replace(node, uid=uid))
    return Source(tuple(nodes), new.valid), next_uid
