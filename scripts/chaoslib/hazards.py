"""What befalls the mounts: workers are killed, stopped and replaced, and the service has
faults. Each says when, for the verdict."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import deque

from benchlib import system

from .mount import children, state

# Five deaths within ten seconds end a mount. A bit more, since the supervisor learns of a
# death later than this does.
MOST, WITHIN = 4, 12
# How long a worker that stands still may last until it is replaced.
HANG = 60


class Hazard(threading.Thread):
    def __init__(self, seed):
        super().__init__(daemon=True)
        self.random, self.over, self.failure = random.Random(seed), threading.Event(), None

    def run(self):
        try:
            self.live()
        except Exception as error:
            self.failure = f"{type(self).__name__}: {type(error).__name__}: {error}"

    def live(self):
        raise NotImplementedError

    def end(self):
        self.over.set()
        self.join(2 * HANG)
        if self.is_alive():
            self.failure = f"{type(self).__name__} does not end"


class Killer(Hazard):
    """Kills workers of a mount, and has them replaced."""

    KINDS = (
        # (name, weight, how many deaths at most)
        ("SIGKILL", 8, 1), ("SIGSEGV", 3, 1), ("SIGABRT", 2, 1), ("SIGSTOP", 1, 1), ("killed while stopped", 2, 1),
        ("killed right after its start", 4, 2), ("killed while unpacking", 5, 1), ("upgraded", 3, 1),
        ("settings read again", 2, 1), ("killed while upgraded", 3, 2),
    )

    def __init__(self, mount, seed):
        super().__init__(seed)
        self.mount, self.recent = mount, deque()
        # (when, kind), of everything, and when workers died.
        self.deeds, self.deaths = [], []

    def live(self):
        names, weights, _ = zip(*self.KINDS)
        most = {name: deaths for name, _, deaths in self.KINDS}
        deeds = {
            "SIGKILL": lambda: self.kill(signal.SIGKILL),
            "SIGSEGV": lambda: self.kill(signal.SIGSEGV),
            "SIGABRT": lambda: self.kill(signal.SIGABRT),
            "SIGSTOP": self.stop,
            "killed while stopped": self.kill_stopped,
            "killed right after its start": self.kill_both,
            "killed while unpacking": self.kill_unpacking,
            "upgraded": lambda: self.signal(signal.SIGUSR2),
            "settings read again": lambda: self.signal(signal.SIGHUP),
            "killed while upgraded": self.kill_upgraded,
        }
        while not self.over.wait(self.random.expovariate(2)) and not self.mount.has_ended():
            name = self.random.choices(names, weights)[0]
            if not self.make_room(most[name]):
                return
            begun = time.monotonic()
            if deeds[name]():
                self.deeds.append((begun, name))

    def make_room(self, deaths):
        """Waits until so many more deaths are not too many; false where all is over."""
        while True:
            now = time.monotonic()
            while self.recent and now - self.recent[0] > WITHIN:
                self.recent.popleft()
            if len(self.recent) + deaths <= MOST:
                return True
            if self.over.wait(0.1):
                return False

    def worker(self):
        """The worker that serves."""
        found = children(self.mount.process.pid)
        return found[0] if found else None

    def send(self, pid, number):
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def died(self):
        now = time.monotonic()
        self.recent.append(now)
        self.deaths.append(now)

    def kill(self, number, pid=None):
        self.died()
        return self.send(pid or self.worker(), number)

    def signal(self, number):
        self.mount.process.send_signal(number)
        return True

    def is_gone(self, pid):
        return state(pid) in ("Z", "X", None)

    def stop(self):
        pid = self.worker()
        if not self.send(pid, signal.SIGSTOP):
            return False
        end = time.monotonic() + HANG
        while not self.is_gone(pid):
            if time.monotonic() > end:
                raise system.Failure(f"worker {pid} stands still and is not replaced after {HANG} s")
            time.sleep(0.01)
        self.died()
        return True

    def kill_stopped(self):
        pid = self.worker()
        if not self.send(pid, signal.SIGSTOP):
            return False
        time.sleep(self.random.uniform(0, 3))
        return self.kill(signal.SIGKILL, pid)

    def kill_both(self):
        """A worker, and the one that takes its place."""
        old = self.worker()
        if not self.kill(signal.SIGKILL, old):
            return False
        end = time.monotonic() + HANG
        while time.monotonic() < end and not self.mount.has_ended():
            for pid in children(self.mount.process.pid):
                if pid != old:
                    time.sleep(self.random.choice([0, self.random.uniform(0, 0.02), self.random.uniform(0, 0.2)]))
                    return self.kill(signal.SIGKILL, pid)
            time.sleep(0.0005)
        return False

    def kill_unpacking(self):
        """When all content is to come again."""
        self.mount.evict()
        time.sleep(self.random.uniform(0, 0.5))
        return self.kill(signal.SIGKILL)

    def kill_upgraded(self):
        self.signal(signal.SIGUSR2)
        time.sleep(self.random.uniform(0, 0.4))
        found = children(self.mount.process.pid)
        return bool(found) and self.kill(signal.SIGKILL, self.random.choice(found))


class Faults(Hazard):
    """Phases in which the service fails."""

    KINDS = ("api error", "api gateway", "api stall", "api cut 100", "store error", "store stall", "store cut 200000",
             "store pause 100000")

    def __init__(self, server, mounts, seed, calm):
        super().__init__(seed)
        self.server, self.mounts, self.calm = server, mounts, calm
        # (from, until, what).
        self.phases = []

    def live(self):
        if self.over.wait(self.calm):
            return
        while not self.over.is_set():
            kinds = self.random.sample(self.KINDS, self.random.choice([1, 1, 2]))
            begun = time.monotonic()
            for kind in kinds:
                self.server.ask(f"fault {kind}")
            # What is in the cache needs no service.
            for mount in self.mounts:
                mount.evict()
            self.over.wait(self.random.uniform(2, 5))
            self.server.ask("well")
            self.phases.append((begun, time.monotonic(), " and ".join(kinds)))
            # Longer than a fault is felt.
            self.over.wait(self.random.uniform(20, 25))


class Rows(Hazard):
    """Adds rows to the logs of the runs that go on."""

    def __init__(self, server, seed):
        super().__init__(seed)
        self.server, self.counts = server, [0] * len(server.live)

    def live(self):
        while not self.over.wait(self.random.uniform(0.02, 0.08)):
            run = self.random.randrange(len(self.counts))
            self.server.ask(f"row {self.server.live[run]} row-{self.counts[run]} of a run that goes on")
            self.counts[run] += 1
            if self.counts[run] % 20 == 0:
                # The journal would grow.
                self.server.ask("clear")
