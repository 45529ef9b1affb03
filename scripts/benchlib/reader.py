"""A reader of its own process: opens, reads and closes files until its standard input ends."""

import json
import os
import random
import select
import sys
import time

PAUSE_S = 0.002


def main() -> None:
    """Read files named on the first line of standard input; print the seconds each took."""
    folder, seed = sys.argv[1], int(sys.argv[2])
    names = json.loads(sys.stdin.buffer.readline())
    chance = random.Random(seed)
    for name in names:  # warm: what is measured is a reader at work, not its first look
        _read(f"{folder}/{name}")
    sys.stdout.write("reading\n")
    sys.stdout.flush()
    times = []
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        path = f"{folder}/{chance.choice(names)}"
        started = time.perf_counter()
        _read(path)
        times.append(time.perf_counter() - started)
    sys.stdout.write(json.dumps(times))


def _read(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        while os.read(fd, 1 << 17):
            pass
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
