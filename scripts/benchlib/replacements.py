"""What it costs that a worker is replaced: the time from its death to the next answer, the
time of an upgrade, and the memory of the supervisor."""

import contextlib
import itertools
import os
import signal
import statistics
import time

from . import system
from .contenders import Vm0fs

KILLS, KILLS_QUICK = 30, 2
UPGRADES, UPGRADES_QUICK = 5, 1
# Five deaths within ten seconds end a mount.
PAUSE = 2.6
# Processes that ask without a pause.
LOAD = 2
LIMIT = 60
MEDIAN, WORST = 0.015, 0.150
SUPERVISOR = 4 << 20
QUIET, LOADED = "from a kill to the next answer", "the same, while two processes ask without a pause"


def measure(bench, artifact):
    """What each of ours takes, or how it failed."""
    found = {}
    for contender in bench.contenders:
        if not isinstance(contender, Vm0fs):
            continue
        system.say(f"replacements: {contender.key}")
        try:
            contender.begin(artifact)
            found[contender.key] = of_mount(bench, contender)
        except system.Failure as error:
            found[contender.key] = {"failure": str(error)}
        finally:
            contender.end()
    return found


def of_mount(bench, contender):
    kills, upgrades = (KILLS_QUICK, UPGRADES_QUICK) if bench.quick else (KILLS, UPGRADES)
    system.timed(["find", contender.tree], contender.ids, LIMIT)
    supervisor, tree, limit = contender.process.pid, contender.tree, LIMIT + 2 * PAUSE * kills
    figures = {
        "quiet": system.call(lambda: gaps(supervisor, tree, "quiet", kills, 0), contender.ids, limit),
        "load": system.call(lambda: gaps(supervisor, tree, "load", kills, LOAD), contender.ids, limit),
    }
    command = [bench.program, "upgrade", contender.mountpoint]
    figures["upgrade"] = [system.timed(command, contender.ids, LIMIT) for _ in range(upgrades)]
    figures["rss"], figures["own"] = (system.memory_of(supervisor, field) for field in ("VmRSS", "RssAnon"))
    return figures


def gaps(supervisor, tree, tag, kills, load):
    """Kills workers, each time after a pause; gives the seconds to the next answer."""
    loaders = [loader(tree, f"{tag}-{number}") for number in range(load)]
    try:
        found = []
        for number in range(kills):
            time.sleep(PAUSE)
            worker = system.worker_of(supervisor)
            killed = time.perf_counter()
            os.kill(worker, signal.SIGKILL)
            ask(f"{tree}/{tag}-{number}")
            found.append(time.perf_counter() - killed)
        return found
    finally:
        for pid in loaders:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def loader(tree, tag):
    child = os.fork()
    if child:
        return child
    try:
        for number in itertools.count():
            ask(f"{tree}/{tag}-{number}")
    finally:
        os._exit(1)


def ask(path):
    """Asks for a name that does not exist, which the kernel cannot know."""
    with contextlib.suppress(FileNotFoundError):
        os.stat(path)


def table(found, contenders):
    mounts = [contender for contender in contenders if contender.key in found]
    lines = ["### Replacements of a worker", "",
             "| | " + " | ".join([*(mount.label for mount in mounts), "to reach"]) + " |",
             "|" + "---|" * (len(mounts) + 2)]
    rows = [
        (QUIET, lambda one: spread(one["quiet"]), f"≤ {MEDIAN * 1000:.0f} ms, ≤ {WORST * 1000:.0f} ms",
         lambda one: is_reached(one["quiet"])),
        (LOADED, lambda one: spread(one["load"]), f"≤ {MEDIAN * 1000:.0f} ms, ≤ {WORST * 1000:.0f} ms",
         lambda one: is_reached(one["load"])),
        ("`vm0fs upgrade`, the whole command", lambda one: spread(one["upgrade"]), "", None),
        ("the supervisor's RSS; of it its own",
         lambda one: f"{one['rss'] / 2**20:.1f} MB; {one['own'] / 2**20:.1f} MB", f"≤ {SUPERVISOR >> 20} MB",
         lambda one: one["rss"] <= SUPERVISOR),
    ]
    figures = [found[mount.key] for mount in mounts]
    for label, show, goal, reached in rows:
        cells = [f"failed: {one['failure']}" if "failure" in one else show(one) for one in figures]
        if reached:
            is_well = all("failure" not in one and reached(one) for one in figures)
            cells.append(goal + (": reached" if is_well else ": **missed**"))
        else:
            cells.append(goal)
        lines.append("| " + " | ".join([label, *cells]) + " |")
    kills = max(len(one.get("quiet", [])) for one in figures)
    lines += ["", f"Of times: the median, the worst; {kills} kills each."]
    return "\n".join(lines)


def is_reached(times):
    return statistics.median(times) <= MEDIAN and max(times) <= WORST


def spread(times):
    return f"{statistics.median(times) * 1000:.1f} ms, {max(times) * 1000:.1f} ms"
