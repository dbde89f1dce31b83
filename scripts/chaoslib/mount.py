"""A mount under stress: its supervisor, its workers and its readers."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time

from benchlib import system

from . import changing, files, reader

READERS = (
    files.Find, files.Cat, files.Dd, files.DdDirect, files.Grep, files.Mapped, files.Slow, files.Scan, files.Rsync,
    files.Git, files.Sqlite, files.Impatient, changing.Tail, changing.Follow, changing.Half, changing.Restless,
    changing.Writer, changing.Prober, changing.Status,
)
START = 60
# Stalls end sooner than the phases of faults.
OPTIONS = ("--timeout", "3s", "--list-ttl", "500ms")


def children(pid):
    """The processes of a supervisor that have not ended, the newest last."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            found = [int(child) for child in file.read().split()]
    except OSError:
        return []
    return [child for child in found if state(child) not in ("Z", "X", None)]


def state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


def descriptors(pid, program):
    """The kinds of a supervisor's descriptors, in order; not the program of an upgrade, which it keeps open."""
    folder, kinds = f"/proc/{pid}/fd", []
    for number in os.listdir(folder):
        with contextlib.suppress(OSError):
            kinds.append(os.readlink(f"{folder}/{number}").split(":")[0])
    return sorted(kind for kind in kinds if kind.removesuffix(" (deleted)") != program)


class Mount:
    def __init__(self, user, ids, folder, program, server, scene):
        self.user, self.ids, self.program = user, ids, program
        self.folder = os.path.join(folder, user)
        self.path, self.cache, own = (os.path.join(self.folder, name) for name in ("mnt", "cache", "readers"))
        for path in (self.folder, self.path, own):
            os.mkdir(path, 0o755)
            if ids:
                os.chown(path, *ids)
        self.log = os.path.join(folder, f"{user}.log")
        self.environment = system.environment(self.folder, VM0_API_URL=server.url, VM0_API_KEY=server.token)
        self.place = reader.Place(user, ids, self.path, own, scene.truth, scene.ids, server.live, server.agent)
        self.reports, self.alive, self.process = [], {}, None

    def start(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [self.program, "mount", "--foreground", *OPTIONS, "--cache-dir", self.cache, self.path],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=self.environment, cwd="/",
                start_new_session=True, **system.identity(self.ids),
            )
        end = time.monotonic() + START
        while "vm0fs: mounted at" not in self.said():
            if self.process.poll() is not None or time.monotonic() > end:
                raise system.Failure(f"no mount of {self.user}: {self.said()[-500:]}")
            time.sleep(0.02)
        # All of it is known before the first fault.
        for name in self.place.versions:
            system.timed(["find", self.place.tree(name)], self.ids, START)
        for run in self.place.live:
            system.timed(["cat", f"{self.path}/runs/{run}/logs"], self.ids, START)
        self.before = descriptors(self.process.pid, self.program)

    def evict(self):
        """Has all content go that no process has open."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [self.program, "cache", "clear", "--cache-dir", self.cache], stdin=subprocess.DEVNULL,
                capture_output=True, timeout=START, env=self.environment, check=False, **system.identity(self.ids),
            )

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def start_readers(self, seed):
        self.pipe, writer = os.pipe()
        for make in READERS:
            self.alive[reader.start(make, self.place, f"{seed}", writer)] = make.kind
        os.close(writer)

    def listen(self):
        """Takes the readers' reports, from a thread of its own, until all have ended."""
        def take():
            part = b""
            while data := os.read(self.pipe, 1 << 16):
                *lines, part = (part + data).split(b"\n")
                self.reports.extend(json.loads(line) for line in lines)

        self.listener = threading.Thread(target=take, daemon=True)
        self.listener.start()

    def has_ended(self):
        return self.process.poll() is not None

    def end_readers(self):
        """Ends them in order; gives what was wrong with that."""
        for pid in self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        end, wrong = time.monotonic() + 2 * reader.LONGEST, []
        while self.alive and time.monotonic() < end:
            for pid in list(self.alive):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    kind = self.alive.pop(pid)
                    if status:
                        wrong.append(f"{self.user}: {kind}: its process ended with {status}")
            time.sleep(0.02)
        wrong += [f"{self.user}: {kind} hangs" for kind in self.alive.values()]
        self.kill_readers()
        self.listener.join(system.END)
        return wrong

    def kill_readers(self):
        for pid in self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def figures(self):
        """What the supervisor takes now, when nothing goes on."""
        end = time.monotonic() + system.END
        while len(children(self.process.pid)) > 1 and time.monotonic() < end:
            time.sleep(0.05)
        with open(f"/proc/{self.process.pid}/status", encoding="ascii", errors="replace") as file:
            status = dict(line.split(":", 1) for line in file if ":" in line)
        return {
            "rss": int(status["VmRSS"].split()[0]) << 10, "own": int(status["RssAnon"].split()[0]) << 10,
            "threads": int(status["Threads"]), "workers": len(children(self.process.pid)),
            "descriptors": descriptors(self.process.pid, self.program),
        }

    def unmount(self):
        """Ends it in order; gives what was wrong with that."""
        try:
            result = subprocess.run(
                [self.program, "unmount", self.path], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=START, env=self.environment, check=False, **system.identity(self.ids),
            )
            code = self.process.wait(START)
        except subprocess.TimeoutExpired as error:
            return [f"{self.user}: {error}"]
        if result.returncode or code:
            return [f"{self.user}: unmounting: exit {result.returncode}, the mount's {code}: {result.stderr.strip()}"]
        return []

    def clear(self):
        self.kill_readers()
        if self.process:
            workers = children(self.process.pid)
            system.kill_group(self.process)
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
        system.force_unmount(self.path)
