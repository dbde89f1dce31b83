"""The machines of a fleet: mounts with cold caches of their own, a process each that
uses one, and what it took."""

import json
import os
import statistics
import subprocess
import sys
import time

from . import system, visit
from .contenders import Vm0fs

TICKS = os.sysconf("SC_CLK_TCK")
# What a mount needs to reach a bucket.
PASSED_ON = "AWS_"


class Machine(Vm0fs):
    key = "machine"

    def __init__(self, fleet, number, arguments):
        super().__init__(fleet)
        self.place, self.seed, self.given = f"machine-{number}", str(number), arguments
        self.variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        self.process = self.visitor = None

    def start(self):
        self.begin(self.bench.artifact, self.given)

    def visit(self):
        self.started = time.monotonic()
        self.visitor = subprocess.Popen(
            [sys.executable, visit.__file__, self.mountpoint, self.tree, self.bench.server.run, self.seed],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
            start_new_session=True,
        )

    def figures(self):
        """Waits for the visitor; gives what it has seen and what the mount has taken."""
        left = self.started + self.bench.limit - time.monotonic()
        try:
            answer, complaints = self.visitor.communicate(timeout=max(left, 0.1))
        except subprocess.TimeoutExpired:
            raise system.TooLong(f"{self.place} takes more than {self.bench.limit} s") from None
        if self.visitor.returncode != 0:
            raise system.Failure(f"{self.place}: {(complaints.strip().splitlines() or ['?'])[-1]}")
        pid = self.pid()
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # Fields 14 and 15 of the line; the command's name, the second, may hold spaces.
            user, kernel = file.read().rsplit(")", 1)[1].split()[11:13]
        return {**json.loads(answer), "cpu": (int(user) + int(kernel)) / TICKS, "rss": system.peak_memory(pid)}

    def end(self):
        if self.visitor and self.visitor.poll() is None:
            system.kill_group(self.visitor)
        if self.folder:
            super().end()


def visits(fleet, machines):
    """Lets machines do their work, some at once; gives the figures of each, and what the
    server has counted for all."""
    system.settle(fleet.workspace.path)
    fleet.server.ask("clear")
    figures = []
    for first in range(0, len(machines), fleet.at_once):
        fleet.batch = machines[first : first + fleet.at_once]
        for machine in fleet.batch:
            machine.start()
        for machine in fleet.batch:
            machine.visit()
        figures += [machine.figures() for machine in fleet.batch]
        fleet.end_batch()
        system.say(f"  {len(figures)} of {len(machines)} machines")
    return {"machines": figures, **fleet.server.ask("stats")}


def spread(values, show):
    """The median and, of several, the worst."""
    middle = show(statistics.median(values))
    return middle if len(values) == 1 else f"{middle}, {show(max(values))}"


def seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.{0 if value >= 0.1 else 1}f} ms"


def amount(value):
    if value < 1e5:
        return f"{value / 1e3:.1f} kB"
    return f"{value / 1e6:.{0 if value >= 1e8 else 2}f} MB"


def number(value):
    return f"{value:.1f}".removesuffix(".0")


def each(show, value):
    return lambda part: show(value(part) / len(part["machines"]))


def of_run(part):
    return sum(calls for path, calls in part["endpoints"].items() if path.startswith("/v1/runs/"))


def of_times(name):
    def values(part):
        found = [machine[name] for machine in part["machines"]]
        return [time for times in found for time in times] if name == "files" else found

    return lambda part: spread(values(part), seconds)


def shared(*names):
    def total(part):
        return sum(machine["shared"][name] for machine in part["machines"] for name in names)

    return total


# (label, what is shown of the machines in a column, whether it needs a shared cache).
ROWS = [
    ("API calls", each(number, lambda part: part["api_calls"]), False),
    ("… of them for the run", each(number, of_run), False),
    ("… to one endpoint at most", each(number, lambda part: max(part["endpoints"].values())), False),
    ("bytes from the object store", each(amount, lambda part: part["bytes"]), False),
    ("requests to it", each(number, lambda part: part["downloads"]), False),
    ("lookups in the shared cache", each(number, shared("hits", "misses", "damaged")), True),
    ("bytes from it", each(amount, shared("bytes_read")), True),
    ("objects written to it", each(number, lambda part: part["written"]["objects"]), True),
    ("bytes written to it", each(amount, lambda part: part["written"]["bytes"]), True),
    ("listing of the artifact", of_times("list"), False),
    ("first byte of a file, all three", of_times("files"), False),
    ("start to first byte of the first file", of_times("first"), False),
    ("first byte of the run's log", of_times("log"), False),
    ("all of the work", of_times("all"), False),
    ("CPU of the mount", lambda part: spread([m["cpu"] for m in part["machines"]], seconds), False),
    ("peak memory of the mount",
     lambda part: spread([m["rss"] for m in part["machines"]], lambda value: f"{value / 2**20:.0f} MiB"), False),
]
def table(parts):
    """`parts`: (head, the figures of a group of machines)."""
    lines = ["| " + " | ".join(["a machine", *(head for head, _ in parts)]) + " |", "|---" * (len(parts) + 1) + "|"]
    for label, show, needs_shared in ROWS:
        cells = ["–" if needs_shared and part["written"] is None else show(part) for _, part in parts]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines)


def total(parts):
    """What the fleet as a whole has cost, in words."""
    calls, size = (sum(part[name] for _, part in parts) for name in ("api_calls", "bytes"))
    return f"{calls:,} API calls, {amount(size)} from the object store"
