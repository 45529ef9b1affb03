"""Exit codes, and which error gives which. `makfs --help` lists them."""

import errno

from makfs.errors import MakfsError, NotFound

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_BUSY = 3
EXIT_NOT_SERVED = 4
EXIT_TIMEOUT = 124  # these as timeout(1) and sh(1) have them
EXIT_COMMAND_FAILED = 126
EXIT_COMMAND_NOT_FOUND = 127
EXIT_INTERRUPTED = 130

_REFUSED = frozenset({errno.EBUSY, errno.EAGAIN, errno.EACCES, errno.EPERM, errno.EROFS})


class NotServed(NotFound):
    """No makfsd answers for the repository."""


class Told(MakfsError):
    """What the daemon answered: its sentence, its error number."""

    def __init__(self, sentence: str, number: int) -> None:
        super().__init__(sentence)
        self.number = number


class CommandFailed(MakfsError):
    """A command that makfs was to run could not be started."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def exit_code(error: MakfsError) -> int:
    """Return the exit code that tells of an error."""
    if isinstance(error, NotServed):
        return EXIT_NOT_SERVED
    if isinstance(error, CommandFailed):
        return error.code
    number = error.number if isinstance(error, Told) else error.errno
    return EXIT_BUSY if number in _REFUSED else EXIT_FAILURE
