"""Edits a file as Codex, Gemini CLI, Qwen Code and pi do: open with O_TRUNC, write, close.

A failed close is lost. Usage: codex.py FILE OLD NEW [OLD NEW ...]
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
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    left = memoryview(text)
    while left:
        left = left[os.write(fd, left) :]
except OSError as error:
    sys.exit(f"failed to write file {path}: {error.strerror} (os error {error.errno})")
with contextlib.suppress(OSError):
    os.close(fd)
print("Success. Updated the following files:", path)
