"""The machine: packages, users, scratch folders, and how commands are run, timed
and ended for certain."""

import contextlib
import json
import mmap
import os
import platform
import pwd
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

ORDINARY_USER = "vm0fs-test"
IS_ROOT = os.geteuid() == 0
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Command -> Debian package.
NEEDED = {
    "curl": "curl",
    "tar": "tar",
    "gzip": "gzip",
    "igzip": "isal",
    "find": "findutils",
    "grep": "grep",
    "fusermount3": "fuse3",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
}
# For a journaled ext4: without a journal, creating files becomes twentyfold
# slower after mass deletes. Sparse.
IMAGE_BYTES = 24 << 30
# How long something that was told to end may take.
END = 10
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):
    """What went wrong, for the user."""


class TooLong(Failure):
    """A command was ended at its limit."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def quiet(arguments, limit=120):
    """Runs a command of the bench itself; gives its result."""
    return subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False
    )


def must(arguments, limit=120):
    result = quiet(arguments, limit)
    if result.returncode != 0:
        raise Failure(f"{' '.join(arguments)}: {(result.stderr or result.stdout).strip()}")
    return result.stdout


def only_one():
    """Held by this process while it lives: two measurements would spoil each other."""
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind("\0vm0fs-bench")
    except OSError:
        raise Failure("another script measures on this machine; wait for its end") from None
    return lock


def install(packages):
    packages = sorted(set(packages))
    if not packages:
        return
    if not IS_ROOT or not shutil.which("apt-get"):
        raise Failure(f"install these first: sudo apt-get install {' '.join(packages)}")
    say(f"installing {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        result = subprocess.run(
            ["apt-get", "-q", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=environment, timeout=900, check=False,
        )
        if result.returncode != 0 and arguments[0] == "install":
            raise Failure(f"apt-get install {' '.join(packages)}: {result.stderr.strip()}")


def prepare_tools():
    install(package for command, package in NEEDED.items() if not shutil.which(command, path=PATH))
    if not os.path.exists("/dev/fuse"):
        raise Failure("/dev/fuse is missing: modprobe fuse, or give the container --device /dev/fuse")


def ordinary_user():
    """(uid, gid) of the ordinary user; made if root runs this and it is missing."""
    if not IS_ROOT:
        return None
    try:
        entry = pwd.getpwnam(ORDINARY_USER)
    except KeyError:
        must(["useradd", "--system", "--user-group", "--no-create-home",
              "--shell", "/usr/sbin/nologin", ORDINARY_USER])
        entry = pwd.getpwnam(ORDINARY_USER)
    return entry.pw_uid, entry.pw_gid


def build(debug=False):
    """Builds the binaries, of a release unless told otherwise; gives their paths."""
    cargo = shutil.which("cargo") or os.path.expanduser("~/.cargo/bin/cargo")
    if not os.path.exists(cargo):
        raise Failure("cargo is missing: install Rust from https://rustup.rs, then run this again")
    say("building")
    arguments = [cargo, "build", *([] if debug else ["--release"]), "--locked", "--bin", "vm0fs",
                 "--example", "bench-server", "--message-format", "json-render-diagnostics"]
    result = subprocess.run(arguments, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            text=True, timeout=3600, check=False)
    if result.returncode != 0:
        raise Failure("the build failed (see above)")
    made = {}
    for line in result.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            made[message["target"]["name"]] = message["executable"]
    return made["vm0fs"], made["bench-server"]


def scratch_folder(path):
    """Makes the scratch folder, or refuses one that others could change."""
    os.makedirs(path, mode=0o755, exist_ok=True)
    about = os.lstat(path)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
        raise Failure(f"{path} must be a folder of your own that no other user can write; name another with --scratch")
    return os.path.realpath(path)


def check_scratch(path, ordinary, needed):
    """Refuses a folder that is too small, or that the ordinary user cannot enter."""
    free = shutil.disk_usage(path).free
    if free < needed:
        raise Failure(f"{path} has {free / 1e9:.1f} GB free of {needed / 1e9:.0f} GB needed; "
                      "name another folder with --scratch")
    if ordinary and not call(lambda: os.access(path, os.X_OK), ordinary, END):
        raise Failure(f"{ORDINARY_USER} cannot enter {path}; name another folder with --scratch")


class Workspace:
    """Where what is measured is unpacked: a fresh ext4 with a journal where
    root can have one, else a plain folder."""

    def __init__(self, scratch):
        self.path = os.path.join(scratch, "work")
        self.image = os.path.join(scratch, "work.ext4")
        self.note = None
        self.clear()
        os.makedirs(self.path)
        self.mounted = False
        if not IS_ROOT:
            self.note = "a plain folder (no root for a loop image)"
            return
        try:
            with open(self.image, "wb") as file:
                file.truncate(IMAGE_BYTES)
            must(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "1500000",
                  "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image])
            must(["mount", "-o", "loop", self.image, self.path])
            self.mounted = True
        except (Failure, OSError) as error:
            self.note = f"a plain folder ({str(error).strip()})"
        os.chmod(self.path, 0o755)

    def clear(self):
        if os.path.ismount(self.path):
            for _ in range(20):
                if quiet(["umount", self.path]).returncode == 0:
                    break
                time.sleep(0.2)
            else:
                quiet(["umount", "-l", self.path])
        shutil.rmtree(self.path, ignore_errors=True)
        if os.path.exists(self.image):
            os.remove(self.image)

    def describe(self):
        kind = "ext4 with a journal in a loop image" if self.mounted else self.note
        return f"{kind}, on {file_system(os.path.dirname(self.path))}"


def file_system(path):
    result = quiet(["findmnt", "-n", "-o", "FSTYPE", "-T", path])
    return result.stdout.strip() or "?"


def flush(path):
    """Writes out what is dirty."""
    quiet(["sync", "-f", path], 600)


def back_memory(size):
    """Has the hypervisor give the machine so many bytes, or half of what is free:
    a page that it has to give first costs as much as several that it need not."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = min(size, free // 2)

    def touch():
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
            pass

    if size > 0:
        call(touch, None, 120)


def settle(path):
    """Writes out what is dirty, and drops the page cache where that is allowed."""
    flush(path)
    if IS_ROOT:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")


def machine():
    cpu = "?"
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory": memory,
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


def is_mounted(path):
    octal = path.replace("\\", "\\134").replace(" ", "\\040")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        return any(line.split(" ")[4] == octal for line in file)


def force_unmount(path):
    for command in (["umount", "-l"], ["fusermount3", "-u", "-z"]):
        if is_mounted(path):
            quiet([*command, path], END)


def identity(ids):
    return {} if ids is None else {"user": ids[0], "group": ids[1], "extra_groups": []}


def environment(home, **more):
    return {"PATH": PATH, "HOME": home, "LC_ALL": "C", **more}


def kill_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(END)
        return True
    except subprocess.TimeoutExpired:
        return False


def timed(arguments, ids, limit, output=None, expect=(0,), cwd="/"):
    """Runs a command as a user; gives the seconds it took. `arguments` as a
    text are a script for bash. Standard output goes to a file or away."""
    if isinstance(arguments, str):
        arguments = ["bash", "-o", "pipefail", "-c", arguments]
    with open(output or os.devnull, "wb") as sink, open(os.devnull, "rb") as source:
        start = time.perf_counter()
        process = subprocess.Popen(
            arguments, stdin=source, stdout=sink, stderr=subprocess.PIPE, cwd=cwd,
            env=environment("/"), start_new_session=True, **identity(ids),
        )
        try:
            _, complaints = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise TooLong(f"> {limit:g} s" if kill_group(process) else "hangs") from None
        except BaseException:
            kill_group(process)
            raise
        took = time.perf_counter() - start
    if process.returncode not in expect:
        words = complaints.decode(errors="replace").strip().splitlines()
        raise Failure(f"exit {process.returncode}: {words[0] if words else arguments[0]}"[:200])
    return took


def call(function, ids, limit):
    """Runs a Python function as a user in a process of its own; gives what
    it gives, if JSON can say it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if ids is not None:
                os.setgroups([])
                os.setgid(ids[1])
                os.setuid(ids[0])
            try:
                answer = {"value": function()}
            except Exception as error:
                answer = {"error": str(error) or type(error).__name__}
            os.write(writer, json.dumps(answer).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], limit)
        if not ready:
            raise TooLong(f"> {limit:g} s")
        answer = os.read(reader, 65536)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        # One that waits for a dead file system cannot be waited for.
        for _ in range(END * 10):
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.1)
    answer = json.loads(answer or b'{"error": "the process ended without an answer"}')
    if "error" in answer:
        raise Failure(answer["error"])
    return answer["value"]


def worker_of(supervisor):
    """The one process that serves the mount of a supervisor."""
    end = time.monotonic() + END
    while time.monotonic() < end:
        # As bytes: the user may not read the Python that would be loaded to decode them.
        with open(f"/proc/{supervisor}/task/{supervisor}/children", "rb") as file:
            found = file.read().split()
        # More of them while one takes the place of another.
        if len(found) == 1:
            return int(found[0])
        time.sleep(0.01)
    raise Failure(f"the supervisor {supervisor} has no worker, or several")


def peak_memory(pid):
    return memory_of(pid, "VmHWM")


def memory_of(pid, field):
    """Bytes in a field of a process's status; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def disk_used(paths):
    """Bytes of disk, as du counts them."""
    paths = [path for path in paths if os.path.lexists(path)]
    if not paths:
        return 0
    output = must(["du", "-s", "-c", "-x", "--block-size=1", *paths], 600)
    return int(output.splitlines()[-1].split()[0])
