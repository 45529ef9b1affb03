"""Edits a file as Claude Code does: a temporary file beside it, renamed over it; in place if that is refused.

Usage: claude.py FILE OLD NEW [OLD NEW ...]
"""

import contextlib
import errno
import os
import sys

path, words = sys.argv[1], [word.encode() for word in sys.argv[2:]]
IN_PLACE = {errno.EACCES, errno.EBUSY, errno.EXDEV}


def write(fd: int, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[os.write(fd, left) :]


def write_beside(text: bytes) -> None:
    temporary = f"{path}.tmp.{os.getpid()}.{os.urandom(6).hex()}"
    mode = os.stat(path).st_mode & 0o7777
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write(fd, text)
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_in_place(text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        write(fd, text)
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


with open(path, "rb", buffering=0) as file:
    text = file.readall()
for old, new in zip(words[::2], words[1::2], strict=True):
    text = text.replace(old, new)
try:
    try:
        write_beside(text)
    except OSError as error:
        if error.errno not in IN_PLACE:
            raise
        write_in_place(text)
except OSError as error:
    sys.exit(f"{errno.errorcode[error.errno or 0]}: {str(error.strerror).lower()}, '{path}'")
print(f"The file {path} has been updated successfully.")
