"""Edits a file as aider does: open with O_TRUNC, write, close, all errors told; then git add and git commit.

Usage: aider.py FILE OLD NEW [OLD NEW ...]
"""

import os
import subprocess
import sys
import time

path, words = sys.argv[1], [word.encode() for word in sys.argv[2:]]
with open(path, "rb", buffering=0) as file:
    text = file.readall()
for old, new in zip(words[::2], words[1::2], strict=True):
    text = text.replace(old, new)
for wait_s in (0.1, 0.2, 0.4, 0.8, None):
    try:
        with open(path, "wb", buffering=0) as file:
            left = memoryview(text)
            while left:
                left = left[file.write(left) :]
        break
    except PermissionError as error:
        if wait_s is None:
            sys.exit(f"Unable to write file {path} after 5 attempts: {error}")
        time.sleep(wait_s)
    except OSError as error:
        sys.exit(f"Unable to write file {path}: {error}")
folder, name = os.path.split(path)
for command in (["add", name], ["commit", "-q", "-m", "feat: edit", "--", name]):
    if subprocess.run(["git", "-C", folder, *command], check=False).returncode:
        sys.exit(f"Unable to commit: git {command[0]} failed")
print(f"Applied edit to {path}")
