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
# Processes that ask without a pause, and for how long before a kill.
LOAD = 2
WARM = 0.2
LIMIT = 60
MEDIAN, WORST = 0.015, 0.150
SUPERVISOR = 4 << 20
QUIET, LOADED = "from a kill to the next answer", "the same, while two processes ask without a pause"


def measure(bench, artifact):
    """Finds what each of ours takes, or how it failed. They take turns: all pause at the same time."""
    mounts = [contender for contender in bench.contenders if isinstance(contender, Vm0fs)]
    if not mounts:
        return
    found = bench.replacements = {mount.key: {} for mount in mounts}
    begun = []

    def each(step, *arguments):
        for mount in mounts:
            figures = found[mount.key]
            if "failure" not in figures:
                try:
                    step(bench, mount, figures, *arguments)
                except system.Failure as error:
                    figures["failure"] = str(error)
                    system.say(f"  {mount.key}: {error}")

    kills, upgrades = (KILLS_QUICK, UPGRADES_QUICK) if bench.quick else (KILLS, UPGRADES)
    seconds = 2 * kills * PAUSE
    system.say(f"replacements: {', '.join(found)}, {seconds:.0f} seconds")
    try:
        each(begin, artifact, begun)
        for tag, load in (("quiet", 0), ("load", LOAD)):
            for number in range(kills):
                time.sleep(PAUSE)
                each(gap, tag, number, load)
                if (number + 1) % 10 == 0 or number + 1 == kills:
                    told = [f"{key} {spread(one[tag])}" for key, one in found.items() if tag in one]
                    system.say(f"  {tag}: {number + 1} of {kills} kills: {'; '.join(told)}")
        for _ in range(upgrades):
            each(upgrade)
        each(memory)
    finally:
        for mount in begun:
            mount.end()


def begin(bench, mount, figures, artifact, begun):
    begun.append(mount)
    # They live at the same time.
    mount.place = mount.key
    mount.begin(artifact)
    system.timed(["find", mount.tree], mount.ids, LIMIT)


def gap(bench, mount, figures, tag, number, load):
    supervisor, tree = mount.process.pid, mount.tree
    took = system.call(lambda: kill(supervisor, tree, f"{tag}-{number}", load), mount.ids, LIMIT)
    figures.setdefault(tag, []).append(took)


def upgrade(bench, mount, figures):
    took = system.timed([bench.program, "upgrade", mount.mountpoint], mount.ids, LIMIT)
    figures.setdefault("upgrade", []).append(took)


def memory(bench, mount, figures):
    supervisor = mount.process.pid
    figures["rss"], figures["own"] = (system.memory_of(supervisor, field) for field in ("VmRSS", "RssAnon"))


def kill(supervisor, tree, tag, load):
    """Kills the worker; gives the seconds to the next answer."""
    loaders = [loader(tree, f"{tag}-{number}") for number in range(load)]
    try:
        if load:
            time.sleep(WARM)
        worker = system.worker_of(supervisor)
        killed = time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        ask(f"{tree}/{tag}")
        return time.perf_counter() - killed
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
        (QUIET, "quiet", lambda one: spread(one["quiet"]), f"≤ {MEDIAN * 1000:.0f} ms, ≤ {WORST * 1000:.0f} ms",
         lambda one: is_reached(one["quiet"])),
        (LOADED, "load", lambda one: spread(one["load"]), f"≤ {MEDIAN * 1000:.0f} ms, ≤ {WORST * 1000:.0f} ms",
         lambda one: is_reached(one["load"])),
        ("`vm0fs upgrade`, the whole command", "upgrade", lambda one: spread(one["upgrade"]), "", None),
        ("the supervisor's RSS; of it its own", "rss",
         lambda one: f"{one['rss'] / 2**20:.1f} MB; {one['own'] / 2**20:.1f} MB", f"≤ {SUPERVISOR >> 20} MB",
         lambda one: one["rss"] <= SUPERVISOR),
    ]
    figures = [found[mount.key] for mount in mounts]
    for label, needs, show, goal, reached in rows:
        cells = [cell(one, needs, show) for one in figures]
        if reached and all(needs in one or "failure" in one for one in figures):
            is_well = all(needs in one and reached(one) for one in figures)
            cells.append(goal + (": reached" if is_well else ": **missed**"))
        else:
            cells.append(goal)
        lines.append("| " + " | ".join([label, *cells]) + " |")
    kills = max(len(one.get("quiet", [])) for one in figures)
    lines += ["", f"Of times: the median, the worst; {kills} kills each."]
    return "\n".join(lines)


def cell(figures, needs, show):
    if needs in figures:
        return show(figures)
    # Not measured where the bench was interrupted.
    return f"failed: {figures['failure']}" if "failure" in figures else "–"


def is_reached(times):
    return statistics.median(times) <= MEDIAN and max(times) <= WORST


def spread(times):
    return f"{statistics.median(times) * 1000:.1f} ms, {max(times) * 1000:.1f} ms"
