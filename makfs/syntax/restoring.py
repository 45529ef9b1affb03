"""Nodes from what a store keeps of them: uids and bytes, in order."""

from collections.abc import Sequence
from dataclasses import replace

from makfs.ids import NodeUid
from makfs.syntax.decode import encoding_of
from makfs.syntax.identity import identify
from makfs.syntax.layout import is_blank, is_comment
from makfs.syntax.naming import renumber
from makfs.syntax.node import Kind, Node, Source
from makfs.syntax.splitting import MAX_BYTES, split
from makfs.syntax.window import WindowDoesNotParse, scopes_after, split_inside


def restore(
    path: str, tiles: Sequence[tuple[NodeUid, bytes]], next_uid: int, *, max_bytes: int = MAX_BYTES
) -> tuple[Source, int]:
    """Return a file as it was identified before, the same tiles with the same uids (N1), and the next uid.

    Kinds and names come from the full splitter. Where its boundaries are others, as in broken text, each
    tile is read alone in its place; what a broken node covered is not known any more. Tiles with the uid 0
    were never identified: then all nodes are new.
    """
    text = b"".join(content for _, content in tiles)
    if any(not uid for uid, _ in tiles):
        return identify(path, None, text, next_uid, max_bytes=max_bytes)
    found = split(path, text, max_bytes=max_bytes)
    if [node.text for node in found.nodes] == [content for _, content in tiles]:
        nodes = [replace(node, uid=uid) for node, (uid, _) in zip(found.nodes, tiles, strict=True)]
        return Source(tuple(nodes), found.valid), next_uid
    encoding = encoding_of(text)
    nodes = []
    for uid, content in tiles:
        nodes.append(replace(_read(nodes, content, encoding), uid=uid))
    return Source(tuple(renumber(nodes)), False), next_uid


def _read(before: Sequence[Node], content: bytes, encoding: str | None) -> Node:
    """Return the node a tile is, after the nodes before it."""
    scopes = scopes_after(before)
    if all(is_blank(line) or is_comment(line) for line in content.splitlines()):
        return Node(Kind.TAIL, scopes[0], "#tail", content, len(content))
    for scope in scopes:
        for body in (b"", _body_for(content)):
            try:
                found = split_inside(before, scope, len(before), content + body, encoding)
            except WindowDoesNotParse:
                continue
            if found and (found[0].text == content or (body and found[0].kind is Kind.CLASS)):
                return replace(found[0], text=content)
    return Node(Kind.BROKEN, scopes[0], "#broken", content)


def _body_for(content: bytes) -> bytes:
    """Return a body by which a class header alone can be parsed."""
    last = content.splitlines()[-1]
    return last[: len(last) - len(last.lstrip(b" \t"))] + b" pass\n"
