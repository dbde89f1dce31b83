"""The programs that are compared. Each is started in a fresh folder of its own, then
fetches (what a cold measurement includes), shows a tree, can be restarted as
after a reboot, and is stopped without trace."""

import os
import shlex
import shutil
import subprocess
import sys
import time

from . import system

# How long a mount may take to appear, beyond what is measured.
MOUNT = 60
# The pause between two looks.
POLL = 0.001
# Enough for every archive here.
CACHE = "20GB"


class Contender:
    """`ids`: as whom the tools run; None: as the user who runs the bench."""

    key = label = ""
    ids = None
    # The name of its folder.
    place = "run"
    # Whether the file system itself fetches, so that each cold first byte
    # needs a cache of its own.
    fetches_itself = False

    def __init__(self, bench):
        self.bench = bench
        self.folder = self.tree = None

    def begin(self, artifact):
        """Everything that is not measured."""
        self.artifact = artifact
        self.folder = os.path.join(self.bench.workspace.path, self.place)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        if self.ids is not None:
            os.chown(self.folder, *self.ids)

    def fetch(self):
        """What a cold measurement includes before the tool."""

    def restart(self):
        """As after a restart of the machine; gives the seconds that are its own."""
        system.settle(self.folder)
        return 0.0

    def end(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def pid(self):
        return None

    def disk(self):
        return []

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def curl(self):
        """A shell command that writes the archive to its standard output."""
        header = self.path("header")
        # Not on the command line, where others can read it.
        with open(header, "w", encoding="ascii") as file:
            file.write(f"Authorization: Bearer {self.bench.server.token}\n")
        url = self.bench.server.download_url(self.artifact["name"])
        return f"curl -sSfL -H @{shlex.quote(header)} {shlex.quote(url)}"


class Unpacked(Contender):
    """curl, a decompressor and tar; then the native file system."""

    # Owners are not restored: root's tar would do so for each file.
    unpack = ""

    def fetch(self):
        self.tree = self.path("tree")
        os.mkdir(self.tree)
        script = f"{self.curl()} | {self.unpack} --no-same-owner -C {shlex.quote(self.tree)}"
        system.timed(script, None, self.bench.limit)

    def disk(self):
        return [self.tree]


class Tar(Unpacked):
    key, label, unpack = "tar", "curl \\| tar xz", "tar -xz"


class Igzip(Unpacked):
    key, label, unpack = "igzip", "curl \\| igzip \\| tar x", "igzip -d -c | tar -x"


class Mounted(Contender):
    """A daemon that serves a mountpoint."""

    def begin(self, artifact):
        super().begin(artifact)
        self.mountpoint = self.path("mnt")
        self.process = None
        os.mkdir(self.mountpoint)
        if self.ids is not None:
            os.chown(self.mountpoint, *self.ids)

    def spawn(self, arguments, variables=()):
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                env=system.environment(self.folder, **dict(variables)), start_new_session=True,
                **system.identity(self.ids),
            )
        end = time.monotonic() + max(MOUNT, self.bench.limit)
        while not system.is_mounted(self.mountpoint):
            if self.process.poll() is not None:
                raise system.Failure(f"no mount: {self.last_words()}")
            if time.monotonic() > end:
                raise system.TooLong("> the time for a mount")
            time.sleep(POLL)

    def last_words(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as file:
            lines = file.read().strip().splitlines()
        return lines[-1][:200] if lines else "no word why"

    def restart(self):
        self.unmount()
        system.settle(self.folder)
        start = time.perf_counter()
        self.mount()
        return time.perf_counter() - start

    def unmount(self):
        """Leaves, in order if it can."""
        if self.process is None:
            return
        command = ["umount", self.mountpoint] if system.IS_ROOT else ["fusermount3", "-u", self.mountpoint]
        if self.process.poll() is None:
            system.quiet(command, system.END)
            try:
                self.process.wait(system.END)
            except subprocess.TimeoutExpired:
                system.kill_group(self.process)
        system.force_unmount(self.mountpoint)
        self.process = None

    def end(self):
        self.unmount()
        super().end()

    def pid(self):
        return self.process.pid if self.process else None


class Vm0fs(Mounted):
    """vm0fs, mounted with an empty cache before anything is measured."""

    fetches_itself = True
    # What its environment has beside the server.
    variables = ()

    def begin(self, artifact, arguments=()):
        super().begin(artifact)
        self.arguments = arguments
        self.mount()

    def mount(self):
        arguments = [self.bench.program, "mount", "--foreground", "--cache-dir", self.path("cache"),
                     "--cache-size", CACHE, *self.arguments, self.mountpoint]
        server = self.bench.server
        self.spawn(arguments, {**dict(self.variables), "VM0_API_URL": server.url, "VM0_API_KEY": server.token})
        self.tree = os.path.join(self.mountpoint, "artifacts", self.artifact["name"], self.artifact["id"])

    def pid(self):
        """The process that serves it, where it has a supervisor beside."""
        return system.worker_of(self.process.pid) if self.process else None

    def share(self):
        """Mounts with a shared cache, an empty one, from now on."""
        self.unmount()
        folder = self.path("shared")
        self.arguments = ["--shared-cache", f"file://{folder}", "--shared-cache-key-file", self.path("key")]
        system.timed(["mkdir", folder], self.ids, self.bench.limit)
        system.timed([self.bench.program, "shared-cache", "init", *self.arguments], self.ids, self.bench.limit)
        self.mount()

    def without_cache(self):
        """Mounts as another machine would."""
        self.again(["rm", "-r", self.path("cache")])

    def without_content(self):
        """Mounts after its content has been evicted."""
        self.again([self.bench.program, "cache", "clear", "--cache-dir", self.path("cache")])

    def again(self, command):
        self.unmount()
        system.timed(command, self.ids, self.bench.limit)
        system.settle(self.folder)
        self.mount()

    def disk(self):
        return [self.path("cache")]


class Vm0fsRoot(Vm0fs):
    key, label = "vm0fs-root", "vm0fs, root"


class Vm0fsUser(Vm0fs):
    key, label = "vm0fs-user", "vm0fs, user"

    def __init__(self, bench):
        super().__init__(bench)
        self.ids = bench.ordinary


class Rival(Mounted):
    """Mounts an archive that curl has downloaded."""

    def fetch(self):
        archive = shlex.quote(self.path("archive.tar.gz"))
        system.timed(f"{self.curl()} > {archive}", None, self.bench.limit)
        self.mount()

    def mount(self):
        self.tree = self.mountpoint
        self.spawn(self.command())

    def command(self):
        raise NotImplementedError

    def disk(self):
        return [self.path("archive.tar.gz"), self.path("index.sqlite")]


def rival_venv(scratch):
    return os.path.join(scratch, "venv")


def find_ratarmount(scratch):
    own = os.path.join(rival_venv(scratch), "bin", "ratarmount")
    return own if os.path.exists(own) else shutil.which("ratarmount")


class Ratarmount(Rival):
    key = label = "ratarmount"

    def command(self):
        program = find_ratarmount(self.bench.scratch)
        return [program, "-f", "--index-file", self.path("index.sqlite"), self.path("archive.tar.gz"),
                self.mountpoint]


class Archivemount(Rival):
    key = label = "archivemount"

    def command(self):
        return ["archivemount", "-f", "-o", "readonly", self.path("archive.tar.gz"), self.mountpoint]


ALL = [Tar, Igzip, Ratarmount, Archivemount, Vm0fsRoot, Vm0fsUser]


def install_rivals(scratch):
    if not shutil.which("archivemount"):
        system.install(["archivemount"])
    if find_ratarmount(scratch):
        return
    system.say("installing ratarmount into the scratch folder")
    # Its Python binding loads the library of FUSE 2.
    if system.IS_ROOT:
        system.install(["libfuse2"])
    venv = rival_venv(scratch)
    system.must([sys.executable, "-m", "venv", venv], 300)
    system.must([os.path.join(venv, "bin", "pip"), "install", "--quiet", "ratarmount"], 900)


def available(bench):
    """The contenders that can take part; says why others do not."""
    found = []
    for kind in ALL:
        why = None
        if (kind is Ratarmount and not find_ratarmount(bench.scratch)) or (
            kind is Archivemount and not shutil.which("archivemount")
        ):
            why = "not installed (--install-rivals)"
        elif kind is Igzip and not shutil.which("igzip", path=system.PATH):
            why = "igzip is not installed (package isal)"
        elif kind is Vm0fsRoot and not system.IS_ROOT:
            why = "root does not run this"
        if bench.wanted and kind.key not in bench.wanted:
            continue
        if why:
            system.say(f"without {kind.key}: {why}")
            bench.left_out.append(f"{kind.key}: {why}")
        else:
            found.append(kind(bench))
    return found
