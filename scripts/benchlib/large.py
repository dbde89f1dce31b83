"""The large versions: a million files, and ten gigabytes."""

import os
import time

from . import system
from .contenders import Vm0fsRoot, Vm0fsUser

# Bytes of memory that may be used: while unpacking, and idle after a restart.
MOST = {"million": (400 << 20, 100 << 20), "huge": (150 << 20, None)}
FIRST = {"million": "d0000/file-0000000.txt", "huge": "data/part-0.bin"}
LIMIT = 1800
# How long a mount is left alone before its memory counts as idle.
IDLE = 2


def measure(bench):
    """Rows of the table of large versions."""
    found = []
    for name in MOST:
        contender = Vm0fsUser(bench) if bench.ordinary or not system.IS_ROOT else Vm0fsRoot(bench)
        artifact = bench.server.artifacts[name]
        bench.server.network(0, 0)
        system.settle(bench.workspace.path)
        system.say(f"large: {name}, {artifact['files']:,} files, {artifact['size'] / 1e9:.2f} GB")
        # Packed at the first request, which is not what is measured.
        contender.begin(artifact)
        try:
            system.timed(f"{contender.curl()} -r 0-0 -o /dev/null", None, LIMIT)
            path = os.path.join(contender.tree, FIRST[name])
            unpacked = system.timed(["ls", contender.tree], contender.ids, LIMIT)
            peak = system.peak_memory(contender.pid())
            disk = system.disk_used(contender.disk())
            contender.restart()
            # Listings first: what remains is opening the index.
            system.timed(["ls", os.path.dirname(contender.tree)], contender.ids, LIMIT)
            opened = system.call(lambda path=path: time_of(lambda: os.stat(path)), contender.ids, LIMIT)
            time.sleep(IDLE)
            idle = system.memory_of(contender.pid(), "VmRSS")
            found.append({"name": name, "files": artifact["files"], "size": artifact["size"],
                          "unpack": unpacked, "peak": peak, "idle": idle, "open": opened, "disk": disk})
        except system.Failure as error:
            found.append({"name": name, "failure": str(error)})
        finally:
            contender.end()
    return found


def time_of(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows):
    lines = [
        "### Large versions", "",
        "| | download and unpack | peak RSS | idle RSS after a restart | first `stat` then | disk ÷ content |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "failure" in row:
            lines.append(f"| {row['name']} | failed: {row['failure']} | | | | |")
            continue
        most, idle = MOST[row["name"]]
        lines.append(
            f"| {row['files']:,} files, {row['size'] / 1e9:.2f} GB | {row['unpack']:.1f} s | "
            f"{memory(row['peak'], most)} | {memory(row['idle'], idle)} | "
            f"{row['open'] * 1000:.1f} ms | {row['disk'] / row['size']:.2f} |"
        )
    return "\n".join(lines)


def memory(value, most):
    text = f"{value / 2**20:.0f} MB"
    if most is None:
        return text
    return f"{text} (≤ {most >> 20} MB: {'reached' if value <= most else '**missed**'})"
