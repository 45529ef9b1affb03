"""Edits a file as a Node stream does: open with O_TRUNC, write in pieces of 64 KiB, close.

A failed close is lost. Usage: node.py FILE OLD NEW [OLD NEW ...]
"""

import contextlib
import errno
import os
import sys

PIECE_BYTES = 64 << 10
path, words = sys.argv[1], [word.encode() for word in sys.argv[2:]]
with open(path, "rb", buffering=0) as file:
    text = file.readall()
for old, new in zip(words[::2], words[1::2], strict=True):
    text = text.replace(old, new)
try:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    done = 0
    while done < len(text):
        done += os.write(fd, text[done : done + PIECE_BYTES])
except OSError as error:
    sys.exit(f"Error: {errno.errorcode[error.errno or 0]}: {str(error.strerror).lower()}, write")
with contextlib.suppress(OSError):
    os.close(fd)
