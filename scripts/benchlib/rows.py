"""What is measured, in sessions that begin with nothing fetched."""

import functools
import os
import random
import shlex
import time
import zlib

from . import system

# For a pattern that occurs in no archive: its letters do, in no such order.
ABSENT = "zxjq-no-such-text"
# The largest file must be this large for the sequential and random rows.
SEQUENTIAL = 16 << 20
RANDOM_READS, RANDOM_READS_QUICK = 5_000, 500
PAGE = 4096
# Output that is checked afterwards goes to memory.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

# key -> (label, unit). In the table's order.
ROWS = {
    "ls": ("cold `ls -lR`", "s"),
    "first": ("cold first byte, first file", "s"),
    "middle": ("cold first byte, middle file", "s"),
    "last": ("cold first byte, last file", "s"),
    "read": ("cold read of everything", "s"),
    "rate": ("cold read of everything, {rate} a connection", "s"),
    "find1": ("warm `find -printf %s`", "s"),
    "find2": ("second `find -printf %s`", "s"),
    "grep1": ("warm `grep -r`", "s"),
    "grep2": ("second `grep -r`", "s"),
    "seq1": ("first sequential read of the largest file", "s"),
    "seq2": ("second sequential read of it", "s"),
    "random": ("{reads} random reads of 4 KiB, caches dropped", "s"),
    "remount": ("restart, then `ls -lR`", "s"),
    "fetch": ("cold `vm0fs prefetch`", "s"),
    "refetch": ("evicted: `vm0fs prefetch`", "s"),
    "evicted-ls": ("evicted: `ls -lR`", "s"),
    "evicted-middle": ("evicted: first byte, middle file", "s"),
    "evicted-last": ("evicted: first byte, last file", "s"),
    "evicted-bytes": ("evicted: bytes fetched for one of these", "B"),
    "evicted-random": ("evicted: {reads} random reads of 4 KiB", "s"),
    "evicted-random-first": ("evicted: the first 100 of them", "s"),
    "evicted-random-bytes": ("evicted: bytes fetched for them per byte of the archive", "x"),
    "second-ls": ("second machine: `ls -lR`", "s"),
    "second-middle": ("second machine: first byte, middle file", "s"),
    "second-last": ("second machine: first byte, last file", "s"),
    "second-bytes": ("second machine: bytes fetched for one of these", "B"),
    "rss": ("peak RSS", "MB"),
    "disk": ("disk used", "MB"),
    "calls": ("API calls, everything read", ""),
    "bytes": ("bytes fetched per byte read", "x"),
}
# The sequential reads before `grep`, which would leave nothing to be the first.
WARM = ["find1", "find2", "seq1", "seq2", "grep1", "grep2", "random", "remount", "disk"]
# What can be read of a version whose index a mount has, and not its content.
AGAIN = [row for row in ROWS if row.endswith("fetch") or row.startswith(("evicted", "second"))]
# How many of the random reads are told apart as the first ones.
FIRST_READS = 100


class Session:
    """One contender with one archive, from nothing."""

    def __init__(self, bench, contender, manifest, results):
        self.bench, self.contender, self.manifest = bench, contender, manifest
        self.results = results
        self.ids, self.limit = contender.ids, bench.limit

    def __enter__(self):
        self.bench.server.network(self.bench.latency, self.rate if hasattr(self, "rate") else 0)
        self.bench.server.ask("clear")
        system.settle(self.bench.workspace.path)
        self.contender.begin(self.manifest)
        return self

    def __exit__(self, *_):
        pid = self.contender.pid()
        if pid:
            self.bench.peak(self.contender, self.manifest, system.peak_memory(pid))
        self.contender.end()

    def note(self, row, value):
        self.results.add(self.manifest["name"], row, self.contender.key, value)
        shown = f"{value:.3f}" if isinstance(value, float) else value
        system.say(f"  {self.manifest['name']:6} {self.contender.key:12} {row:8} {shown}")

    def wants(self, *rows):
        return [row for row in rows if self.bench.wants(self.manifest, row, self.contender)]

    def cold(self, row, tool):
        """A cold measurement; gives how long fetching took."""
        start = time.perf_counter()
        self.contender.fetch()
        fetched = time.perf_counter() - start
        took = tool()
        if row:
            self.note(row, fetched + took)
        return fetched

    def ls(self):
        output = self.output("ls")
        took = self.tool(["ls", "-lR", self.contender.tree], output)
        with open(output, "rb") as file:
            count = sum(line.startswith(b"-") for line in file)
        os.remove(output)
        if count != self.manifest["files"]:
            raise system.Failure(f"ls shows {count} files of {self.manifest['files']}")
        return took

    def find(self):
        output = self.output("find")
        took = self.tool(["find", self.contender.tree, "-type", "f", "-printf", "%s\n"], output)
        with open(output, "rb") as file:
            size = sum(map(int, file))
        os.remove(output)
        if size != self.manifest["size"]:
            raise system.Failure(f"find shows {size} bytes of {self.manifest['size']}")
        return took

    def output(self, name):
        return os.path.join(MEMORY or self.bench.scratch, f"vm0fs-bench-{os.getpid()}-{name}")

    def tool(self, arguments, output=None, expect=(0,)):
        return system.timed(arguments, self.ids, self.limit, output, expect)

    def grep(self):
        return self.tool(["grep", "-r", ABSENT, self.contender.tree], expect=(1,))

    def read_all(self):
        script = f"find {shlex.quote(self.contender.tree)} -type f -print0 | xargs -0 cat > /dev/null"
        return self.tool(script)

    def first_byte(self, which):
        # After caches were dropped, reading `head` from the disk takes 4 ms, which are no
        # part of the row.
        self.tool(["head", "-c", "1", os.devnull])
        return self.tool(["head", "-c", "1", os.path.join(self.contender.tree, self.manifest[which])])

    def largest(self):
        return os.path.join(self.contender.tree, self.manifest["largest"])

    def sequential(self):
        return self.tool(["cat", self.largest()])

    def random_reads(self):
        system.settle(self.bench.workspace.path)
        reads = functools.partial(
            random_reads, self.largest(), self.manifest["largest_bytes"], self.bench.random_reads
        )
        took, self.first_reads, checksum = system.call(reads, self.ids, self.limit)
        known = self.bench.checksums.setdefault(self.manifest["name"], checksum)
        if known != checksum:
            raise system.Failure("random reads give other bytes than another contender's")
        return took

    def remount(self):
        return self.contender.restart() + self.ls()

    def disk(self):
        return system.disk_used(self.contender.disk())


def random_reads(path, size, count):
    source = random.Random(4096)
    offsets = [source.randrange(size // PAGE) * PAGE for _ in range(count)]
    checksum = first = 0
    descriptor = os.open(path, os.O_RDONLY)
    start = time.perf_counter()
    for n, offset in enumerate(offsets, 1):
        checksum = zlib.crc32(os.pread(descriptor, PAGE, offset), checksum)
        if n == FIRST_READS:
            first = time.perf_counter() - start
    took = time.perf_counter() - start
    os.close(descriptor)
    return took, first, checksum


def applies(manifest, row):
    """Whether a row makes sense for an archive."""
    if row in AGAIN and manifest["name"] == "small":
        return False
    if row in ("seq1", "seq2") or "random" in row:
        return manifest["largest_bytes"] >= SEQUENTIAL
    if row == "rate":
        return manifest["name"] == "mix"
    return True


def guarded(session, rows, work):
    """Does `work`; where it fails, the rows say how."""
    try:
        work()
    except system.Failure as error:
        for row in rows:
            session.results.fail(session.manifest["name"], row, session.contender.key, str(error))
        system.say(f"  {session.manifest['name']:6} {session.contender.key:12} {rows[0]:8} {error}")
        return False
    return True


def listing_session(bench, contender, manifest, results):
    """Cold `ls -lR`, and on what it leaves everything warm."""
    session = Session(bench, contender, manifest, results)
    warm = session.wants(*WARM)
    cold = session.wants("ls")
    if not warm and not cold:
        return
    steps = {
        "find1": session.find, "find2": session.find, "grep1": session.grep, "grep2": session.grep,
        "seq1": session.sequential, "seq2": session.sequential, "random": session.random_reads,
        "disk": session.disk, "remount": session.remount,
    }

    def everything():
        with session:
            session.cold(cold[0] if cold else None, session.ls)
            if not warm:
                return
            # What was unpacked is on its way to the disk, and page caches to come
            # have no memory yet: both would be measured with the row that is first now.
            system.flush(bench.workspace.path)
            system.back_memory(2 * manifest["size"])
            for row in warm:
                partner = {"find2": "find1", "grep2": "grep1", "seq2": "seq1"}.get(row)
                if partner and results.failed(manifest["name"], partner, contender.key):
                    results.fail(manifest["name"], row, contender.key,
                                 results.failures[(manifest["name"], partner, contender.key)])
                    continue
                if partner and partner not in warm:
                    steps[partner]()
                went_well = guarded(session, [row], lambda row=row: session.note(row, steps[row]()))
                if not went_well and results.hung(manifest["name"], row, contender.key):
                    return

    guarded(session, cold or warm[:1], everything)


def reading_session(bench, contender, manifest, results):
    """A cold read of everything, and what it costs."""
    session = Session(bench, contender, manifest, results)
    # Peak memory is noted at the end of every session; this one reads the most.
    rows = session.wants("read", "calls", "bytes", "rss")

    def work():
        with session:
            session.cold("read" if "read" in rows else None, session.read_all)
            stats = bench.server.ask("stats")
            if "calls" in rows:
                session.note("calls", stats["api_calls"])
            if "bytes" in rows:
                session.note("bytes", stats["bytes"] / manifest["size"])
            if stats["bytes"] > manifest["archive_bytes"] * 1.01:
                bench.remark(f"{contender.key}, {manifest['name']}: {stats['downloads']} downloads "
                             f"brought {stats['bytes'] / manifest['archive_bytes']:.2f} times the archive")
            if contender.fetches_itself:
                verified = system.call(
                    lambda: os.getxattr(contender.tree, "user.vm0.verified").decode(), session.ids, 30)
                if verified != "yes":
                    bench.remark(f"{contender.key}, {manifest['name']}: user.vm0.verified is {verified!r}")

    if rows:
        guarded(session, rows, work)


def first_byte_sessions(bench, contender, manifest, results):
    """Cold first bytes: each from nothing, where fetching is the contender's own."""
    session = Session(bench, contender, manifest, results)
    rows = session.wants("first", "middle", "last")
    if not rows:
        return
    if contender.fetches_itself:
        for row in rows:
            def work(row=row):
                with session:
                    session.cold(row, lambda: session.first_byte(row))
            guarded(session, [row], work)
        return

    def together():
        with session:
            fetched = session.cold(None, lambda: 0.0)
            for row in rows:
                guarded(session, [row], lambda row=row: session.note(row, fetched + session.first_byte(row)))

    guarded(session, rows, together)


def rate_session(bench, contender, manifest, results):
    """A cold read of everything over connections of limited rate."""
    session = Session(bench, contender, manifest, results)
    session.rate = bench.rate

    def work():
        with session:
            session.cold("rate", session.read_all)

    if bench.rate and session.wants("rate"):
        guarded(session, ["rate"], work)


SESSIONS = [listing_session, reading_session, first_byte_sessions, rate_session]


def piped_first_byte(bench, manifest):
    """Seconds until `curl | tar xzO` gives the first file's first byte."""
    from .contenders import Tar

    contender = Tar(bench)
    bench.server.network(bench.latency, 0)
    contender.begin(manifest)
    try:
        stamp = contender.path("stamp")
        # bash waits for all of the pipe: the stamp is the time at which head ended.
        script = (f"set +o pipefail; {contender.curl()} 2> /dev/null | "
                  f"tar -xzO {shlex.quote(manifest['first'])} 2> /dev/null | "
                  f"{{ head -c 1; touch {shlex.quote(stamp)}; }}")
        start = time.time()
        system.timed(script, None, bench.limit)
        return max(0.0, os.stat(stamp).st_mtime_ns / 1e9 - start)
    finally:
        contender.end()


def round_trip(bench):
    """Seconds of one HTTP round trip with its connection, the least of several."""
    import http.client
    from urllib.parse import urlsplit

    address = urlsplit(bench.server.url)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection.request("GET", "/v1/agents", headers={"Authorization": f"Bearer {bench.server.token}"})
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
        connection.close()
    return sorted(times)[len(times) // 2]
