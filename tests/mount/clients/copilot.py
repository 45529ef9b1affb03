"""Edits a file as Copilot CLI does: O_EXCL says EEXIST, then open, ftruncate(0), write, close.

A failed close is lost. Usage: copilot.py FILE OLD NEW [OLD NEW ...]
"""

import contextlib
import os
import sys

path, words = sys.argv[1], [word.encode() for word in sys.argv[2:]]
with open(path, "rb", buffering=0) as file:
    text = file.readall()
for old, new in zip(words[::2], words[1::2], strict=True):
    text = text.replace(old, new)
try:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    os.ftruncate(fd, 0)
    left = memoryview(text)
    while left:
        left = left[os.write(fd, left) :]
except OSError as error:
    sys.exit(f"Failed to edit {path}: {error.strerror}")
with contextlib.suppress(OSError):
    os.close(fd)
print(f"File {path} updated with changes.")
