"""Readers of what changes, those who write, and those who watch the mount itself."""

import contextlib
import json
import os
import re
import select
import subprocess
import time

from .reader import LONGEST, Reader, Refused, Wrong

ROW = re.compile(rb"\brow-(\d+)\b")
# A probe that takes longer is told of by itself.
SLOW = 0.002


class Following:
    """One `tail -f` of a live run's log, from its beginning."""

    def __init__(self, path):
        self.path, self.rows, self.part = path, 0, b""
        self.process = subprocess.Popen(
            ["tail", "-n", "+1", "-s", "0.1", "-f", path],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )

    def read(self, limit):
        """Reads for so long; checks that each row comes once and in order."""
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.process.stdout, self.process.stderr], [], [], left)
            if self.process.stderr in ready:
                # Some more words may be on their way.
                time.sleep(0.05)
                said = os.read(self.process.stderr.fileno(), 4096).decode(errors="replace").strip()
                raise Refused(f"tail -f {self.path}: {said or 'ended'} (after {self.rows} rows)")
            if self.process.stdout in ready:
                self.take(self.process.stdout.read(1 << 16))

    def take(self, data):
        *lines, self.part = (self.part + data).split(b"\n")
        for line in lines:
            found = ROW.search(line)
            if not found or int(found[1]) != self.rows:
                raise Wrong(f"tail -f {self.path}: {line!r} came where row-{self.rows} was to")
            self.rows += 1

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LONGEST)
        self.process.stdout.close()
        self.process.stderr.close()


class Tail(Reader):
    """Follows a run's log again and again, some seconds each time."""

    kind = "tail -f, short"
    run = 0

    def path(self):
        return f"{self.place.mountpoint}/runs/{self.place.live[self.run]}/logs"

    def step(self):
        following = Following(self.path())
        try:
            end = time.monotonic() + self.random.uniform(2, 12)
            while time.monotonic() < end:
                following.read(0.2)
                self.check_stopped()
        finally:
            following.end()

    def wanted(self):
        """How many rows the service has, once no more come."""
        with open(f"{os.path.dirname(self.place.folder)}/rows-{self.run}", encoding="utf-8") as file:
            return int(file.read())

    def complete(self, following):
        """Waits for the last row."""
        end = time.monotonic() + LONGEST
        while following.rows < self.wanted():
            following.read(0.2)
            if time.monotonic() > end:
                raise Wrong(f"{following.path}: {following.rows} rows of {self.wanted()} after {LONGEST} s of calm")
        following.read(1)
        if following.rows != self.wanted():
            raise Wrong(f"{following.path}: {following.rows} rows of {self.wanted()}")

    def finish(self):
        end = time.monotonic() + LONGEST
        while True:
            following = Following(self.path())
            try:
                return self.complete(following)
            except Refused:
                # The last fault may still be felt.
                if time.monotonic() > end:
                    raise
                time.sleep(1)
            finally:
                following.end()


class Follow(Tail):
    """Follows a run's log from the beginning to the end."""

    kind = "tail -f, long"
    run = 1
    pace = 0

    def __init__(self, place, seed):
        super().__init__(place, seed)
        self.following = None

    def step(self):
        self.following = self.following or Following(self.path())
        try:
            self.following.read(1)
        except (Refused, Wrong):
            self.following.end()
            self.following = None
            raise

    def finish(self):
        if self.following:
            self.complete(self.following)


class Half(Reader):
    """Reads a file that changes, in two halves, between which time passes."""

    kind = "halves of .runs.jsonl"

    def step(self):
        path = f"{self.place.mountpoint}/agents/{self.place.agent}/.runs.jsonl"
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(self.random.randrange(1, max(size, 2)))
            first = len(data)
            time.sleep(self.random.uniform(0, 1.5))
            while piece := file.read(1 << 20):
                data += piece
        try:
            ids = [json.loads(line)["id"] for line in data.decode().splitlines()]
        except (ValueError, KeyError) as error:
            around = data[max(first - 60, 0):first + 60]
            raise Wrong(f"{path}: not what it was when it was opened: {error}; at {first}: {around!r}") from None
        if len(set(ids)) != len(ids) or not set(self.place.live) <= set(ids):
            raise Wrong(f"{path}: {len(ids)} runs, {len(set(ids))} different ones; it began with {first} bytes")


class Writer(Reader):
    """Starts runs. What became of each prompt is held against what the service got."""

    kind = "writes to run"
    pace = 1.5

    def __init__(self, place, seed):
        super().__init__(place, seed)
        self.count = 0

    def step(self):
        self.count += 1
        prompt = f"prompt {self.place.user} {self.count} ends here"
        sent = {"prompt": prompt}
        try:
            fd = os.open(f"{self.place.mountpoint}/agents/{self.place.agent}/run", os.O_WRONLY | os.O_TRUNC)
            try:
                half = self.random.randrange(1, len(prompt)) if self.random.random() < 0.5 else len(prompt)
                os.write(fd, prompt[:half].encode())
                if half < len(prompt):
                    time.sleep(self.random.uniform(0, 1.5))
                    os.write(fd, prompt[half:].encode())
            finally:
                os.close(fd)
        except OSError as error:
            error.more = sent
            raise
        return sent


class Prober(Reader):
    """Asks for names that do not exist, which the kernel cannot answer by itself, about
    once a millisecond; tells of each answer that was slow."""

    kind = "probes"
    pace = 0

    def __init__(self, place, seed):
        super().__init__(place, seed)
        self.count = 0

    def step(self):
        slow, begun = [], self.count
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            self.count += 1
            asked = time.monotonic()
            try:
                os.stat(f"{self.place.tree('rows')}/no-{self.count}")
                raise Wrong("a name that does not exist was found")
            except FileNotFoundError:
                pass
            answered = time.monotonic()
            if answered - asked > SLOW:
                slow.append((round(asked, 5), round(answered, 5)))
            time.sleep(0.001)
        # The longest, where there are many.
        return {"count": self.count - begun, "slow": sorted(slow, key=lambda pair: pair[0] - pair[1])[:60]}


class Status(Reader):
    kind = "status.json"
    pace = 0.4

    def step(self):
        with open(f"{self.place.mountpoint}/.vm0fs/status.json", encoding="utf-8") as file:
            status = json.load(file)
        return {"workers": {key: status["workers"][key] for key in ("replaced", "refused", "last_refusal")},
                "replacements": [[each["at"], each["cause"], each["gap_ms"]]
                                 for each in status["workers"]["replacements"]]}


class Restless(Reader):
    """Follows and lets go of a run's log without pause, beside others."""

    kind = "cat of a live log"

    def step(self):
        process = subprocess.run(
            ["cat", f"{self.place.mountpoint}/runs/{self.place.live[2]}/logs"], stdin=subprocess.DEVNULL,
            capture_output=True, timeout=LONGEST, check=False,
        )
        if process.returncode:
            raise Refused(process.stderr.decode(errors="replace").strip())
        rows = [int(number) for number in ROW.findall(process.stdout)]
        if rows != list(range(len(rows))):
            raise Wrong(f"cat of a live log: rows {rows[:3]}…{rows[-3:]}, {len(rows)} of them")
