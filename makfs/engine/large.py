"""Files too large to keep in memory or in the store: their bytes stay in the backing directory.

The journal holds their hash; they are never merged.

Z1  A write to one whose head moved since it was read is refused, and its bytes are kept.
"""

import stat
import time
from typing import TYPE_CHECKING

from makfs.engine.core import Core
from makfs.engine.edit import Edit
from makfs.engine.effects import Effects
from makfs.engine.files import File, signature
from makfs.engine.held import NotAdmitted
from makfs.engine.inodes import Inode, MadeStat
from makfs.engine.needs import needs_of_names
from makfs.engine.refusing import refuse
from makfs.engine.staging import Staging
from makfs.ids import RepoPath
from makfs.store.model import FileChange

if TYPE_CHECKING:
    from makfs.engine.corridor import Corridor


def _refuse_if_moved(
    corridor: "Corridor", inode: Inode, staging: Staging, file: File, is_there: bool
) -> None:
    """Raise Refused unless the head is what the writer had read (Z1)."""
    if is_there != staging.new and (staging.new or staging.base in (None, file.version)):
        return
    why = f"{file.path} is too large to merge, and it changed since it was read."
    refuse(corridor.core, _edit(inode, staging, file), file, why, ())


def _admit(corridor: "Corridor", inode: Inode, staging: Staging, file: File) -> None:
    """Ask the gate for the whole file. Raises Refused; Held, if the caller may wait."""
    try:
        corridor.core.gate.write(inode.view, file.path, needs_of_names([file.path]))
    except NotAdmitted as lacking:
        corridor.lacking(_edit(inode, staging, file), file, lacking)


def _edit(inode: Inode, staging: Staging, file: File) -> Edit:
    return Edit(inode.view, file.path, staging.content(), staging.base, staging.writer, staging.mtime_ns)


def put_large(corridor: "Corridor", inode: Inode, staging: Staging, effects: Effects) -> None:
    """Commit a staging that is on disk. Raises Refused, OSError; cost: reads the bytes twice."""
    core: Core = corridor.core
    path = inode.path
    assert path is not None
    file = core.file(path)
    st = corridor.refresh(file, effects)
    _refuse_if_moved(corridor, inode, staging, file, st is not None)
    _admit(corridor, inode, staging, file)
    if st is not None:
        like = MadeStat.like(st)
    else:
        like = MadeStat(stat.S_IFREG | staging.mode, st_uid=staging.uid, st_gid=staging.gid)
    state = core.large_state(staging.file(), stat.S_IMODE(like.st_mode))
    like.st_atime_ns = staging.atime_ns or staging.mtime_ns
    # The bytes reach the disk before the journal speaks of them: the journal could not restore them.
    origin = core.origin(path)
    done = core.backing.replace_from(path, staging.file(), like, staging.mtime_ns)
    change = FileChange(RepoPath(path), state, origin=origin, write_through=False)
    commit = corridor.journal(inode.view.agent, staging.writer, (change,), "large file")
    file.version, file.source, file.deleted_by = commit.seq, None, 0
    file.changed(inode.view.number, time.monotonic())
    file.signature = signature(done.new)
    core.backing.discard(done)
    file.believe(inode.view.number, staging.writer.pid, commit.seq)
    inode.view.commits += 1
    core.note_content(effects, path)
    if staging.new:
        core.note_name(effects, path, own=inode.view)
