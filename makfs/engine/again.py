"""A refused write, tried again: merged from its base onto the newest version, as its agent."""

import time

from makfs.engine.api import Applied
from makfs.engine.edit import Edit
from makfs.engine.effects import Effects
from makfs.engine.files import OwnText
from makfs.engine.filesystem import FileSystem
from makfs.engine.procs import Writer
from makfs.engine.views import View
from makfs.errors import Busy, NotFound
from makfs.store.model import Refusal
from makfs.syntax import identify, is_source

_APPLIER = Writer(0, "makfs")


async def apply(fs: FileSystem, view: View, refusal: Refusal) -> Applied:
    """Commit a refused text. Waits as any write does. Raises NotFound, Refused."""
    core, path = fs.core, refusal.path
    base = refusal.base
    if base is None and refusal.base_seq:
        base = core.belief_text(core.file(path), int(refusal.base_seq))
    is_new = core.backing.lstat(path) is None
    if base is None and not is_new:
        raise NotFound(
            f"What refusal {refusal.number} started from is not known any more; its text is in "
            f"'makfs refusals show {refusal.number} --output FILE'."
        )

    if not refusal.is_whole and base is not None and not _has_end(path, base, refusal.mine):
        raise Busy(
            f"Refusal {refusal.number} was made while the file was being written; the end of its text may "
            "be missing. Nothing was changed. What had come is in 'makfs refusals show "
            f"{refusal.number} --output FILE'."
        )

    def work(effects: Effects) -> Applied:
        edit = Edit(
            view, path, refusal.mine, None if base is None else OwnText(base), _APPLIER, time.time_ns(),
            new=is_new,
        )  # fmt: skip
        landed = fs.data.corridor.put(edit, effects)
        return Applied(path, landed.seq, landed.merged)

    return await fs.patience.carry_out(view, work, core.config.write.wait_s)


def _has_end(path: str, base: bytes, mine: bytes) -> bool:
    """Tell whether what was written ends as its base does, and may be all of it: then nothing was to come.

    What was written over a part of the base ends as it does from the first, but is cut where the writer was.
    """
    if not is_source(path):
        return base.splitlines()[-1:] == mine.splitlines()[-1:]
    old, uid = identify(path, None, base, 1)
    new, _ = identify(path, old, mine, uid)
    if old.valid and not new.valid:
        return False
    return bool(old.nodes and new.nodes) and old.nodes[-1].uid == new.nodes[-1].uid and mine.endswith(b"\n")
