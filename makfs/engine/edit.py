"""One write as its writer means it: what goes into the corridor."""

from dataclasses import dataclass

from makfs.engine.files import Belief
from makfs.engine.inodes import StatLike
from makfs.engine.procs import Writer
from makfs.engine.views import View


@dataclass(frozen=True, slots=True)
class Edit:
    """One write of a whole file, as its writer means it."""

    view: View
    path: str
    data: bytes
    base: Belief
    writer: Writer
    mtime_ns: int
    times_set: bool = False
    atime_ns: int = 0
    new: bool = False  # the writer made the file: nothing was there
    like: StatLike | None = None  # mode and owner of a new file
    take_mode: bool = False  # a rename over: the mode is the new file's
    tells_itself: bool = False  # the caller corrects the kernel caches of the writer's own view
    removes: str | None = None  # tracked path that becomes this file (rename over)
    is_whole: bool = True  # False: the writer may go on
    xattrs_of: str = ""  # real path of the file that takes the place (rename over); "": attributes stay
