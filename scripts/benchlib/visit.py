"""What one machine of a fleet does with its mount: lists an artifact, reads three
random files of it and the log of a run. A process of its own, since what waits for a
mount may hang. Prints its times as JSON."""

import json
import os
import random
import sys
import time

FILES = 3
PIECE = 1 << 20


def fail(error):
    raise error


def listing(tree):
    """All files, each with its attributes asked for, as `ls -lR` does."""
    found = []
    for folder, _, names in os.walk(tree, onerror=fail):
        for name in names:
            path = os.path.join(folder, name)
            os.lstat(path)
            found.append(path)
    return sorted(found)


def first_byte(path):
    """When the first byte of a file has come, which is then read to its end."""
    with open(path, "rb", buffering=0) as file:
        file.read(1)
        came = time.perf_counter()
        while file.read(PIECE):
            pass
    return came


def main(mountpoint, tree, run, seed):
    start = time.perf_counter()
    paths = listing(tree)
    times = {"list": time.perf_counter() - start, "files": []}
    for path in random.Random(seed).sample(paths, FILES):
        opened = time.perf_counter()
        came = first_byte(path)
        times["files"].append(came - opened)
        times.setdefault("first", came - start)
    opened = time.perf_counter()
    times["log"] = first_byte(os.path.join(mountpoint, "runs", run, "logs")) - opened
    times["all"] = time.perf_counter() - start
    with open(os.path.join(mountpoint, ".vm0fs", "status.json"), encoding="utf-8") as file:
        times["shared"] = json.load(file).get("shared_cache")
    print(json.dumps(times))


if __name__ == "__main__":
    main(*sys.argv[1:])
