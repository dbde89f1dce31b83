"""Readers of files and directories that do not change."""

import contextlib
import filecmp
import mmap
import os
import shutil
import signal
import subprocess
import time

from .reader import LONGEST, Reader, Refused, Wrong, forget_pages, same, slice_of, tool
from .scene import CROWD, DATABASE, NEEDLE, ROWS, files_below

PIECE = 64 << 10
# What a reader that maps a file ends with.
IS_WRONG, FAILED = 1, 100


class OfFiles(Reader):
    """One that reads some file of some tree."""

    names = ("bulk", "large", "repo", "rows")

    def __init__(self, place, seed):
        super().__init__(place, seed)
        self.paths = {name: files_below(place.original(name)) for name in self.names}

    def any(self, least=0):
        """A file, as it is mounted and as it is, from the kernel's cache or not."""
        while True:
            name = self.random.choice(self.names)
            path = self.random.choice(self.paths[name])
            original = f"{self.place.original(name)}/{path}"
            if os.path.getsize(original) >= least:
                break
        mounted = f"{self.place.tree(name)}/{path}"
        if self.random.random() < 0.7:
            forget_pages(mounted)
        return mounted, original


class Find(OfFiles):
    kind = "find"

    def __init__(self, place, seed):
        super().__init__(place, seed)
        self.seen = {}

    def step(self):
        name = self.random.choice(self.names)
        lines = tool(["find", self.place.tree(name), "-printf", "%P\\t%y %i %s %m %T@ %n\n"]).decode().splitlines()
        lines.sort()
        if name not in self.seen:
            about = (line.split("\t") for line in lines)
            sizes = {path: int(rest.split()[2]) for path, rest in about if rest.startswith("f ")}
            tree = self.place.original(name)
            if sizes != {path: os.path.getsize(f"{tree}/{path}") for path in self.paths[name]}:
                raise Wrong(f"find {name}: other files than there are")
            self.seen[name] = lines
        differ = sorted(set(lines) ^ set(self.seen[name]))
        if differ or len(lines) != len(self.seen[name]):
            raise Wrong(f"find {name}: {len(lines)} lines, {len(self.seen[name])} before; such as {differ[:4]}")


class Cat(OfFiles):
    kind = "cat"

    def step(self):
        mounted, original = self.any()
        with open(original, "rb") as file:
            same(mounted, tool(["cat", mounted]), file.read())


class Dd(OfFiles):
    kind = "dd"
    options = ()

    def step(self):
        mounted, original = self.any(PIECE)
        block = self.random.choice([4096, 16384, 131072])
        blocks = os.path.getsize(original) // block + 1
        skip = self.random.randrange(blocks)
        count = self.random.randint(1, 64)
        got = tool(["dd", f"if={mounted}", "status=none", f"bs={block}", f"skip={skip}", f"count={count}",
                    *self.options])
        same(f"{mounted} from {skip * block} on", got, slice_of(original, skip * block, count * block))


class DdDirect(Dd):
    kind = "dd direct"
    options = ("iflag=direct",)


class Grep(OfFiles):
    kind = "grep -r"

    def step(self):
        found = tool(["grep", "-rl", NEEDLE, self.place.tree("bulk")]).decode().split()
        wanted = tool(["grep", "-rl", NEEDLE, self.place.original("bulk")]).decode().split()
        found = sorted(os.path.relpath(path, self.place.tree("bulk")) for path in found)
        wanted = sorted(os.path.relpath(path, self.place.original("bulk")) for path in wanted)
        if found != wanted:
            raise Wrong(f"grep -r: {len(found)} files instead of {len(wanted)}: {sorted(set(found) ^ set(wanted))[:4]}")


class Mapped(OfFiles):
    """Touches pages of a mapped file, in a process of its own: where a page cannot be
    had, that gets SIGBUS."""

    kind = "mmap"

    def step(self):
        mounted, original = self.any(PIECE)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            code = IS_WRONG
            try:
                code = self.touch(mounted, original)
            except OSError as error:
                code = FAILED + error.errno
            finally:
                os._exit(code)
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            time.sleep(0.005)
        else:
            os.kill(child, signal.SIGKILL)
            raise Wrong(f"{mounted}: a page of its map did not come within {LONGEST} s")
        code = os.waitstatus_to_exitcode(status)
        if code == IS_WRONG:
            raise Wrong(f"{mounted}: its map shows other bytes")
        if code == -signal.SIGBUS:
            raise Refused(f"{mounted}: SIGBUS in its map")
        if code > FAILED:
            raise OSError(code - FAILED, os.strerror(code - FAILED), mounted)
        if code:
            raise Wrong(f"{mounted}: a map's reader ended with {code}")

    def touch(self, mounted, original):
        with contextlib.ExitStack() as stack:
            maps = []
            for path in (mounted, original):
                file = stack.enter_context(open(path, "rb"))
                maps.append(stack.enter_context(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)))
            one, other = maps
            if len(one) != len(other):
                return IS_WRONG
            for _ in range(40):
                at = self.random.randrange(len(other))
                if one[at:at + 5000] != other[at:at + 5000]:
                    return IS_WRONG
                time.sleep(0.002)
        return 0


class Slow(OfFiles):
    """Reads a large file through one handle that stays open for seconds."""

    kind = "slow reader"
    names = ("large",)

    def step(self):
        mounted, original = self.any()
        with open(mounted, "rb", buffering=0) as one, open(original, "rb", buffering=0) as other:
            while wanted := other.read(PIECE):
                got = b""
                while len(got) < len(wanted) and (piece := one.read(len(wanted) - len(got))):
                    got += piece
                same(f"{mounted} at {other.tell()}", got, wanted)
                self.rest(0.02)
            if one.read(1):
                raise Wrong(f"{mounted}: longer than it is")


class Scan(Reader):
    """Lists a large directory through one handle, slowly."""

    kind = "slow listing"

    def step(self):
        found = []
        with os.scandir(f"{self.place.tree('bulk')}/{CROWD}") as entries:
            for entry in entries:
                found.append(entry.name)
                self.rest(0.002 if len(found) % 3 == 0 else 0)
        wanted = os.listdir(f"{self.place.original('bulk')}/{CROWD}")
        if sorted(found) != sorted(wanted):
            differ = sorted(set(found) ^ set(wanted))
            raise Wrong(f"a slow listing: {len(found)} names ({len(set(found))} different) instead of {len(wanted)}; "
                        f"such as {differ[:4]}")


class Rsync(Reader):
    kind = "rsync"

    def step(self):
        name = self.random.choice(["bulk", "rows"])
        copy, original = f"{self.folder}/copy", self.place.original(name)
        shutil.rmtree(copy, ignore_errors=True)
        tool(["rsync", "-a", "--chmod=u+w", f"{self.place.tree(name)}/", copy])
        paths = files_below(original)
        if files_below(copy) != paths:
            raise Wrong(f"rsync of {name}: other files than there are")
        _, different, lost = filecmp.cmpfiles(copy, original, paths, shallow=False)
        if different or lost:
            raise Wrong(f"rsync of {name}: {(different + lost)[:4]} differ")


class Git(Reader):
    kind = "git"

    def git(self, folder, *arguments):
        return tool(["git", "-c", "safe.directory=*", "--no-optional-locks", *arguments], cwd=folder,
                    GIT_CONFIG_NOSYSTEM="1")

    def step(self):
        folder, original = self.place.tree("repo"), self.place.original("repo")
        which = self.random.choice([["status", "--porcelain"], ["log", "-p", "--stat"],
                                    ["fsck", "--full", "--strict", "--no-progress"]])
        same(" ".join(["git", *which]), self.git(folder, *which), self.git(original, *which))


class Sqlite(Reader):
    kind = "sqlite3"
    question = f"""pragma integrity_check; select count(*), sum(id) from t;
        select id from t where text = 'row {ROWS // 2}'"""

    def step(self):
        path = f"{self.place.tree('rows')}/{DATABASE}"
        if self.random.random() < 0.7:
            forget_pages(path)
        got = tool(["sqlite3", f"file:{path}?mode=ro", self.question]).decode().split()
        if got != ["ok", f"{ROWS}|{ROWS * (ROWS + 1) // 2}", str(ROWS // 2)]:
            raise Wrong(f"sqlite3: {got}")


class Impatient(OfFiles):
    """Ends programs in the middle of a read."""

    kind = "killed cat"
    names = ("large", "bulk")

    def step(self):
        mounted, _ = self.any(PIECE)
        process = subprocess.Popen(["cat", mounted], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(self.random.uniform(0, 0.02))
        process.send_signal(self.random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise Wrong(f"cat {mounted}: no end {LONGEST} s after it was killed") from None
