"""A repository with its journal, as files that anything can read: written, and made into a repository again.

X1  Writing what was made of an export gives the same journal again, line for line.
X2  The journal is JSON lines: a header, origins before the commits that need them, marks (store-format.md).
"""

import base64
import gzip
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from makfs.engine.backing import STATE_DIR
from makfs.engine.replay import Replay, empty_folder, write_tree
from makfs.errors import MakfsError, NotFound, NotKept
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import (
    CommitDetail,
    CommitDraft,
    FileChange,
    FileKind,
    FileState,
    FileUid,
    Mark,
    NodeEdit,
    NodeText,
    Revision,
)
from makfs.store.portable import PortableReader
from makfs.store.sqlite import SqliteStore
from makfs.wire.place import PID_NAME

FORMAT = 1
TREE, JOURNAL = "tree", "journal.jsonl.gz"
_ANY_SIZE = 1 << 62  # what the journal holds is kept


class BadExport(MakfsError):
    """What should be imported is no export of this format."""


# ---- out


def export(reader: PortableReader, repo: str, into: Path, at: Seq | None) -> tuple[int, int]:
    """Write tree and journal into an empty directory; return how many paths and commits.

    Raises NotKept, BadName, OSError.
    """
    into = empty_folder(into, repo)
    last = reader.head if at is None else at
    state = Replay.begin(reader, last)
    if reader.cut:
        sentence = f"The history of {repo} was cut at commit {reader.cut}; a journal cannot be written whole."
        raise NotKept(f"{sentence} Use makfs replay for the tree.")
    (into / TREE).mkdir()
    done = write_tree(state, repo, into / TREE, last, with_unrecorded=True)
    with gzip.GzipFile(into / JOURNAL, "wb", mtime=0) as packed:
        for line in journal_lines(reader, last):
            packed.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    return done.paths, last


def export_tar(reader: PortableReader, repo: str, file: Path, at: Seq | None) -> tuple[int, int]:
    """Write the same as one gzipped tar file. Raises NotKept, OSError."""
    with tempfile.TemporaryDirectory(prefix="makfs-export-", dir=file.absolute().parent) as folder:
        done = export(reader, repo, Path(folder) / "out", at)
        part = Path(folder) / "part"
        with tarfile.open(part, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            for name in (JOURNAL, TREE):
                tar.add(Path(folder) / "out" / name, name)
        os.replace(part, file)
    return done


def journal_lines(reader: PortableReader, last: Seq) -> Iterator[dict[str, Any]]:
    """Yield the journal up to a commit (X2)."""
    yield {"makfs": FORMAT, "head": last, "hash": "blake2b-16"}
    known: set[RepoPath] = set()
    for number in range(1, last + 1):
        detail = reader.detail(Seq(number))
        for path in detail.commit.paths:
            if path not in known:
                known.add(path)
                origin = reader.revision(path, Seq(0))
                assert origin is not None, "J3"
                yield {"origin": path, "file": origin.file, "state": _state(reader, origin)}
        yield _commit_line(reader, detail)
    for mark in reader.marks():
        if mark.seq <= last:
            yield {"mark": mark.name, "seq": mark.seq, "time_ns": mark.time_ns}


def _commit_line(reader: PortableReader, detail: CommitDetail) -> dict[str, Any]:
    commit = detail.commit
    return {
        "seq": commit.seq,
        "agent": commit.agent,
        "time_ns": commit.time_ns,
        "program": commit.program,
        "pid": commit.pid,
        "note": commit.note,
        **({"task": commit.task} if commit.task else {}),
        "changes": [
            {
                "path": each.path,
                "file": each.file,
                "state": _state(reader, each),
                **({"moved_from": detail.moved[each.path]} if each.path in detail.moved else {}),
                **({"merged": True} if each.path in detail.merged else {}),
            }
            for each in detail.files
        ],
        "edits": [_edit(each) for each in detail.edits],
    }


def _state(reader: PortableReader, revision: Revision) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": revision.kind.value, "mode": revision.mode}
    if revision.kind is FileKind.SYMLINK:
        found["target"] = _text(revision.target)
    elif revision.kind is FileKind.FILE:
        found |= {"hash": revision.content_hash.hex(), "size_bytes": revision.size_bytes}
        if revision.kept:
            nodes = reader.nodes(revision.path, revision.seq)
            found["nodes"] = [[node.uid, _text(node.text)] for node in nodes]
    return found


def _edit(edit: NodeEdit) -> dict[str, Any]:
    return {
        "path": edit.path,
        "op": edit.op,
        "kind": edit.kind,
        "address": edit.address,
        "uid": edit.uid,
        "before": None if edit.before is None else _text(edit.before),
        "after": None if edit.after is None else _text(edit.after),
        "old_address": edit.old_address,
    }


def _text(data: bytes) -> str | dict[str, str]:
    """Return bytes as a string if they are UTF-8, else as base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


# ---- in


def import_(source: Path, repo: Path) -> tuple[int, int]:
    """Make a repository of an export in an empty directory; return how many commits and marks.

    Raises BadExport, BadName, StoreError, OSError; then the directory is as it was.
    """
    if not source.exists():
        raise NotFound(f"{source} is not there.")
    was_there = repo.is_dir()
    into = empty_folder(repo, str(source.resolve()))
    try:
        with tempfile.TemporaryDirectory(prefix=".makfs-import-", dir=into.parent) as folder:
            if source.is_dir():
                export_folder = source
            else:
                export_folder = Path(folder)
                _unpack(source, export_folder)
            shutil.copytree(export_folder / TREE, into, symlinks=True, dirs_exist_ok=True)
            (into / STATE_DIR).mkdir(mode=0o700)
            (into / STATE_DIR / PID_NAME).touch(0o600)  # empty: whoever served it ended in order
            return _fill(export_folder / JOURNAL, into / STATE_DIR)
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if was_there:
            into.mkdir()
        if isinstance(error, (EOFError, gzip.BadGzipFile, tarfile.TarError, KeyError, TypeError, ValueError)):
            raise BadExport(f"{source} is no export of makfs, or it is damaged ({error}).") from error
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise BadExport(f"{source} is no export of makfs: {error.filename} is not there.") from error
        raise


def _unpack(source: Path, folder: Path) -> None:
    with tarfile.open(source, "r:*") as tar:
        tar.extractall(folder, filter=_as_written)


def _as_written(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Return a member that stays in the folder, with its own mode. Raises FilterError."""
    return tarfile.tar_filter(member, folder).replace(mode=member.mode, deep=False)


def _fill(journal: Path, state_dir: Path) -> tuple[int, int]:
    """Make a store of a journal."""
    store = SqliteStore.open(state_dir, large_bytes=_ANY_SIZE)
    try:
        with gzip.open(journal, "rb") as lines:
            return _commits(store, (json.loads(line) for line in lines))
    finally:
        store.close()


def _commits(store: SqliteStore, lines: Iterable[dict[str, Any]]) -> tuple[int, int]:
    each = iter(lines)
    header = next(each, {})
    if header.get("makfs") != FORMAT:
        raise ValueError(f"its format is {header.get('makfs')!a}, this makfs reads {FORMAT}")
    origins: dict[str, tuple[FileUid, FileState]] = {}
    marks = 0
    for line in each:
        if "origin" in line:
            origins[line["origin"]] = FileUid(line["file"]), _state_of(line["state"])
        elif "mark" in line:
            store.set_mark(Mark(line["mark"], Seq(line["seq"]), line["time_ns"]))
            marks += 1
        else:
            commit, _ = store.commit(_draft(line, origins))
            if commit.seq != line["seq"]:
                raise ValueError(f"commit {line['seq']} follows commit {commit.seq - 1}")
    if store.head != header["head"]:
        raise ValueError(f"it ends with commit {store.head}, not {header['head']}")
    return store.head, marks


def _draft(line: dict[str, Any], origins: dict[str, tuple[FileUid, FileState]]) -> CommitDraft:
    edits: dict[str, list[NodeEdit]] = {}
    order = [_edit_of(each) for each in line["edits"]]
    for edit in order:
        edits.setdefault(edit.path, []).append(edit)
    changes = []
    for each in line["changes"]:
        path = each["path"]
        origin_file, origin = origins.pop(path, (FileUid(0), None))
        moved = each.get("moved_from")
        changes.append(
            FileChange(
                RepoPath(path),
                _state_of(each["state"]),
                file=FileUid(each["file"]),
                origin=origin,
                origin_file=origin_file,
                moved_from=None if moved is None else RepoPath(moved),
                edits=tuple(edits.pop(path, ())),
                merged=each.get("merged", False),
                write_through=False,
            )
        )
    who = (AgentId(line["agent"]), line["time_ns"], line["program"], line["pid"])
    return CommitDraft(*who, tuple(changes), line["note"], line.get("task", ""))


def _state_of(state: dict[str, Any]) -> FileState:
    nodes = state.get("nodes")
    return FileState(
        FileKind(state["kind"]),
        state["mode"],
        tuple(NodeText(NodeUid(uid), _bytes(text)) for uid, text in nodes or ()),
        _bytes(state.get("target", "")),
        bytes.fromhex(state.get("hash", "")),
        state.get("size_bytes", 0),
        kept=nodes is not None or state["kind"] != FileKind.FILE.value,
    )


def _edit_of(edit: dict[str, Any]) -> NodeEdit:
    before, after = edit["before"], edit["after"]
    return NodeEdit(
        RepoPath(edit["path"]),
        edit["op"],
        edit["kind"],
        edit["address"],
        NodeUid(edit["uid"]),
        None if before is None else _bytes(before),
        None if after is None else _bytes(after),
        edit["old_address"],
    )


def _bytes(text: str | dict[str, str]) -> bytes:
    return text.encode() if isinstance(text, str) else base64.b64decode(text["base64"])
