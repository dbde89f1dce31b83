"""What is read, and what is true of it: trees on disk, and their archives as the
service has them."""

import contextlib
import hashlib
import json
import os
import random
import subprocess
import tarfile

from benchlib import archives, system

KIB, MIB = 1 << 10, 1 << 20
# A word that some files hold, for grep.
NEEDLE = "needle-in-the-haystack"
# A directory whose listing takes many requests.
CROWD, CROWD_FILES = "crowd", 3000
DATABASE = "data.db"
ROWS = 20_000
REPOSITORY = """
git init -q -b main . && git config user.email a@example.com && git config user.name me
git config gc.auto 0
git add . && git commit -qm first && echo more >> a/note-0.md && git commit -qam second
git gc -q && echo loose > loose && git add loose && git commit -qm third
"""
ROWS_OF_DATABASE = f"""
create table t(id integer primary key, text text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})
insert into t select i, 'row ' || i from n;
create index by_text on t(text);
"""


class Scene:
    """The trees, below `folder/truth`, and the manifests of their archives."""

    def __init__(self, folder):
        self.truth = os.path.join(folder, "truth")
        self.random = random.Random("vm0fs chaos")
        self.ids, self.manifests = {}, []
        for name, make in (("bulk", self.bulk), ("large", self.large), ("repo", self.repo), ("rows", self.database)):
            tree = os.path.join(self.truth, name)
            os.makedirs(tree)
            make(tree)
            manifest = pack(name, tree, folder)
            self.ids[name] = manifest["id"]
            path = os.path.join(folder, f"{name}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(manifest, file)
            self.manifests.append(path)

    def write(self, path, data):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def text(self, size):
        words = [f"{self.random.getrandbits(32):x}" for _ in range(size // 9 + 1)]
        return " ".join(words)[:size].encode()

    def bulk(self, tree):
        """Many small files, and some of some size."""
        for n in range(CROWD_FILES):
            text = f"{NEEDLE} {n}\n" if n % 97 == 0 else f"file {n}\n"
            self.write(f"{tree}/{CROWD}/a-file-with-a-longer-name-{n:06}.txt", text.encode())
        for n in range(120):
            path = f"{tree}/deep/{n % 3}/{n % 7}/file-{n}.bin"
            self.write(path, self.text(100 + 300 * n) + (NEEDLE.encode() if n % 11 == 0 else b""))
        for n in range(6):
            self.write(f"{tree}/middle/file-{n}.bin", self.random.randbytes(700 * KIB + 4321 * n))

    def large(self, tree):
        for n in range(2):
            self.write(f"{tree}/part-{n}.bin", self.text(4 * MIB) + self.random.randbytes(4 * MIB + 777 * n))

    def repo(self, tree):
        for n in range(60):
            self.write(f"{tree}/{'abc'[n % 3]}/note-{n}.md", self.text(300 + 50 * n))
        subprocess.run(
            ["bash", "-ec", REPOSITORY], cwd=tree, check=True, stdout=subprocess.DEVNULL, timeout=system.END * 6,
            env=system.environment(tree, GIT_CONFIG_NOSYSTEM="1"),
        )

    def database(self, tree):
        subprocess.run(["sqlite3", f"{tree}/{DATABASE}", ROWS_OF_DATABASE], check=True, timeout=system.END * 6)


def files_below(tree):
    """The paths of all files, relative and in order."""
    found = (os.path.join(at, name) for at, _, names in os.walk(tree) for name in names)
    return sorted(os.path.relpath(path, tree) for path in found)


def pack(name, tree, folder):
    """Makes a tree's archive as the service does: only files, in a form of node-tar's."""
    archive = os.path.join(folder, f"{name}.tar.gz")
    writer, lines, size = archives.Writer(archive), [], 0
    with contextlib.closing(writer):
        for path in files_below(tree):
            with open(os.path.join(tree, path), "rb") as file:
                data = file.read()
            info = tarfile.TarInfo(path)
            info.size, info.mtime, info.mode = len(data), archives.MODIFIED, 0o644
            writer.put(info.tobuf(tarfile.USTAR_FORMAT) + data + b"\0" * (-len(data) % 512))
            lines.append(f"{path}:{hashlib.sha256(data).hexdigest()}")
            size += len(data)
        writer.put(b"\0" * 1024)
    storage = archives.storage_id(name)
    identity = f"storage:{storage}\n" + "\n".join(sorted(lines))
    return {
        "name": name, "archive": archive, "storage_id": storage, "files": len(lines), "size": size,
        "id": hashlib.sha256(identity.encode()).hexdigest(),
    }
