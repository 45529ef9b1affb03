"""A write that is not committed: its bytes are kept, and its agent is told why."""

import time
from typing import NoReturn

from makfs.engine.core import Core
from makfs.engine.edit import Edit
from makfs.engine.files import File
from makfs.errors import Refused
from makfs.ids import Seq
from makfs.store.model import Refusal


def refuse(
    core: Core,
    edit: Edit,
    file: File,
    why: str,
    addresses: tuple[str, ...],
    base: bytes | None = None,
    advice: str = "",
    kind: type[Refused] = Refused,
) -> NoReturn:
    """Keep the refused bytes with their base and the reason, tell the view, and raise `kind`.

    `why` says what is in the way; `advice` what to do, by default: read again what another has written.
    """
    base_seq = edit.base if isinstance(edit.base, int) and edit.base > 0 else 0
    head_seq = max(file.version, 0)
    reason = f"{why} {advice or _advice(core, file, head_seq)}"
    if not edit.is_whole:
        reason = reason.replace("your text is kept", "what had been written so far is kept")
    refusal = Refusal(
        0, time.time_ns(), edit.view.agent, file.path, edit.writer.program, edit.writer.pid, reason,
        Seq(base_seq), Seq(head_seq), addresses, edit.data, base, edit.is_whole,
    )  # fmt: skip
    number = core.store.refuse(refusal)
    edit.view.refusals += 1
    edit.view.why = f"Refused write {number} to {file.path}. {reason}"
    raise kind(number, edit.view.why)


def _advice(core: Core, file: File, head_seq: int) -> str:
    """Say who wrote the newer version and what to do."""
    detail = core.store.detail(Seq(head_seq)) if head_seq else None
    who = f"{detail.commit.agent} changed the file last, in commit {head_seq}. " if detail else ""
    return (
        f"{who}Nothing was changed and your text is kept. Read {file.path} again, redo the edit on what "
        "it says now, and write it."
    )
