"""A reader: a process of its own that does one thing again and again, checks what comes
of it, and reports each time."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass

from benchlib import system

# No request may wait for longer, however the service does.
LONGEST = 120
# A pipe takes so much at once.
LINE = 3500
PACE = 0.25


class Wrong(Exception):
    """What was read is not what is there: no fault explains that."""


class Refused(Exception):
    """A program has failed, with these words."""


class Stopped(Exception):
    """The reader is to end."""


@dataclass
class Place:
    """What a reader needs to know of a mount and of the truth."""

    user: str
    ids: tuple
    mountpoint: str
    # A folder of the user's own.
    folder: str
    truth: str
    versions: dict
    live: list
    agent: str

    def tree(self, name):
        return f"{self.mountpoint}/artifacts/{name}/{self.versions[name]}"

    def original(self, name):
        return f"{self.truth}/{name}"


class Reader:
    # What it is called in the table.
    kind = "?"
    pace = PACE

    def __init__(self, place, seed):
        self.place, self.random = place, random.Random(seed)
        self.folder = os.path.join(place.folder, f"{self.kind.replace(' ', '-')}-{seed}")

    def step(self):
        """Does it once. What it gives goes into the report."""
        raise NotImplementedError

    def finish(self):
        """What is left to be seen when all is calm."""

    def check_stopped(self):
        if STOP:
            raise Stopped

    def rest(self, seconds):
        time.sleep(seconds)
        self.check_stopped()


STOP = []


def tool(arguments, cwd="/", expect=(0,), **variables):
    """Runs a program; gives what it printed."""
    try:
        result = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST, cwd=cwd, check=False,
            env=system.environment("/nonexistent", **variables),
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"{' '.join(arguments)}: no end after {LONGEST} s") from None
    complaints = result.stderr.decode(errors="replace").strip()
    if result.returncode not in expect or complaints:
        raise Refused(f"{' '.join(arguments)}: exit {result.returncode}: {complaints}")
    return result.stdout


def same(what, got, wanted):
    """Compares bytes."""
    if got == wanted:
        return
    pairs = enumerate(zip(got, wanted))
    at = next((at for at, (one, other) in pairs if one != other), min(len(got), len(wanted)))
    raise Wrong(f"{what}: {len(got)} bytes instead of {len(wanted)}, other ones from {at} on: "
                f"{got[at:at + 32]!r} instead of {wanted[at:at + 32]!r}")


def slice_of(path, start, length):
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(length)


def forget_pages(path):
    """Has the kernel ask for a file's content again."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def attempt(reader, deed):
    """Does something; gives what is reported of it."""
    report = {"kind": reader.kind, "from": time.monotonic()}
    try:
        report.update(deed() or {})
    except Stopped:
        report["stopped"] = True
    except Wrong as error:
        report["wrong"] = str(error)
    except Refused as error:
        report["refused"] = str(error)
    except OSError as error:
        report["errno"], report["refused"] = error.errno, f"{error}"
        report.update(getattr(error, "more", {}))
    except Exception:
        report["wrong"] = traceback.format_exc()
    report["until"] = time.monotonic()
    return report


def live(make, place, seed, pipe):
    """The life of a reader's process."""
    signal.signal(signal.SIGTERM, lambda *_: STOP.append(True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reader = make(place, seed)
    os.makedirs(reader.folder, exist_ok=True)

    def tell(report):
        for key in ("wrong", "refused"):
            if key in report:
                report[key] = report[key][:LINE // 2]
        os.write(pipe, json.dumps(report).encode() + b"\n")

    while not STOP:
        tell(attempt(reader, reader.step))
        time.sleep(reader.random.uniform(0, reader.pace))
    tell(attempt(reader, reader.finish))


def start(make, place, seed, pipe):
    """Starts a reader; gives its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        if place.ids is not None:
            os.setgroups([])
            os.setgid(place.ids[1])
            os.setuid(place.ids[0])
        live(make, place, seed, pipe)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
