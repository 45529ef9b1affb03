"""Edits a file as opencode and Cline do: open without O_TRUNC, write at 0, ftruncate, close.

Failed ftruncate and close are lost. Usage: opencode.py FILE OLD NEW [OLD NEW ...]
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
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    done = 0
    while done < len(text):
        done += os.pwrite(fd, memoryview(text)[done:], done)
except OSError as error:
    sys.exit(f"{str(error.strerror).lower()}, write")
with contextlib.suppress(OSError):
    os.ftruncate(fd, len(text))
with contextlib.suppress(OSError):
    os.close(fd)
print("Edit applied successfully.")
