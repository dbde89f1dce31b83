"""Makes the archives that are measured: deterministic content that compresses
to about 2.7 : 1, in the form in which node-tar writes it: only files, ustar
headers, one gzip member of level 6. Nothing else is ever served or extracted:
each archive is checked against the SHA-256 in its manifest first."""

import hashlib
import itertools
import json
import math
import os
import random
import tarfile
import zlib

# To be raised with every change here: older archives are then made anew.
EDITION = 3
KIB, MIB = 1 << 10, 1 << 20
# Modification time of every file: 2026-01-05T09:00:00Z.
MODIFIED = 1_767_603_600
# Far over deflate's window of 32 KiB, so that slices do not match each other.
POOL = 16 * MIB
SLICE = 64 * KIB

DESCRIPTIONS = {
    "small": "200 small files",
    "many": "100,000 files of 2 KiB in 400 directories",
    "big": "one file of 1 GiB between 100 small ones",
    "mix": "an archive of 500 MB, files of 100 bytes to 32 MiB, two thirds of the bytes incompressible",
}
QUICK = {
    "small": "50 small files",
    "many": "2,000 files of 2 KiB in 8 directories",
    "big": "one file of 32 MiB between 20 small ones",
    "mix": "an archive of 10 MB, files of 100 bytes to 1 MiB, two thirds of the bytes incompressible",
}


class Content:
    """Pieces of a pool of text, and noise."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgkqjxz"
        weights = [1 / (n + 2) for n in range(len(letters))]
        words = [
            "".join(self.random.choices(letters, weights, k=self.random.randint(2, 10)))
            for _ in range(4000)
        ]
        common = list(itertools.accumulate(1 / (n + 3) for n in range(len(words))))
        text, length = [], 0
        while length < POOL:
            line = " ".join(self.random.choices(words, cum_weights=common, k=12))
            line += f" {self.random.randrange(10**6)}\n"
            text.append(line)
            length += len(line)
        self.pool = "".join(text).encode()

    def text(self, size):
        parts = []
        while size > 0:
            length = min(size, SLICE)
            start = self.random.randrange(len(self.pool) - length)
            parts.append(self.pool[start : start + length])
            size -= length
        return b"".join(parts)

    def noise(self, size):
        return self.random.randbytes(size)


def files(name, quick):
    """The (path, content) of an archive, in its order. `None` as a path asks
    whether the archive is long enough: the caller answers with its length."""
    content = Content(f"vm0fs bench {name}")
    if name == "small":
        for n in range(50 if quick else 200):
            size = int(200 * 200 ** content.random.random())
            yield f"src/module-{n % 20:02}/file-{n:03}.py", content.text(size)
    elif name == "many":
        for n in range(2_000 if quick else 100_000):
            path = f"data/group-{n // 250 // 20:02}/part-{n // 250:03}/record-{n:06}.json"
            yield path, content.text(2 * KIB)
    elif name == "big":
        around, size = (10, 32 * MIB) if quick else (50, 1 << 30)
        for n in range(around):
            yield f"before/note-{n:02}.md", content.text(3000 + 100 * n)
        yield "model/weights.bin", content.text(size)
        for n in range(around):
            yield f"to-the-end/note-{n:02}.md", content.text(3000 + 100 * n)
    else:
        goal, largest = (10_000_000, MIB) if quick else (500_000_000, 32 * MIB)
        n = 0
        while (yield None, None) < goal:
            # Sizes spread evenly over their logarithms.
            size = int(100 * math.exp(content.random.random() * math.log(largest / 100)))
            kind, make = ("bin", content.noise) if n % 3 else ("log", content.text)
            yield f"work/step-{n % 40:02}/output-{n:05}.{kind}", make(size)
            n += 1


class Writer:
    """Writes the gzip stream, counting and hashing it."""

    def __init__(self, path):
        self.file = open(path, "wb")  # noqa: SIM115
        # 31: a gzip wrapper around the largest window; no name, no time.
        self.deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.hash = hashlib.sha256()
        self.length = 0

    def put(self, data):
        self.out(self.deflate.compress(data))

    def out(self, data):
        self.file.write(data)
        self.hash.update(data)
        self.length += len(data)

    def close(self):
        self.out(self.deflate.flush())
        self.file.close()


def storage_id(name):
    """As `vm0fs::demo::uuid` makes it for an artifact."""
    digest = hashlib.sha256(f"artifact:{name}".encode()).hexdigest()
    return "-".join(
        [digest[:8], digest[8:12], "4" + digest[13:16], "a" + digest[17:20], digest[20:32]]
    )


def make(name, quick, path):
    """Writes the archive to `path`; gives its manifest."""
    writer = Writer(path + ".part")
    lines, paths, size, largest = [], [], 0, ("", 0)
    source = files(name, quick)
    item = next(source)
    try:
        while True:
            file_path, data = item
            if file_path is None:
                item = source.send(writer.length)
                continue
            info = tarfile.TarInfo(file_path)
            info.size, info.mtime, info.mode = len(data), MODIFIED, 0o644
            info.uid = info.gid = 1000
            writer.put(info.tobuf(tarfile.USTAR_FORMAT))
            # Bounded pieces: deflate needs no copy of a gigabyte.
            with memoryview(data) as view:
                for at in range(0, len(data), MIB):
                    writer.put(view[at : at + MIB])
            writer.put(b"\0" * (-len(data) % 512))
            lines.append(f"{file_path}:{hashlib.sha256(data).hexdigest()}")
            paths.append(file_path)
            size += len(data)
            largest = max(largest, (file_path, len(data)), key=lambda file: file[1])
            item = next(source)
    except StopIteration:
        pass
    writer.put(b"\0" * 1024)
    writer.close()
    os.replace(path + ".part", path)
    storage = storage_id(name)
    identity = f"storage:{storage}\n" + "\n".join(sorted(lines))
    return {
        "edition": EDITION,
        "name": name,
        "description": (QUICK if quick else DESCRIPTIONS)[name],
        "archive": path,
        "archive_bytes": writer.length,
        "archive_sha256": writer.hash.hexdigest(),
        "storage_id": storage,
        "id": hashlib.sha256(identity.encode()).hexdigest(),
        "files": len(paths),
        "size": size,
        "first": paths[0],
        "middle": paths[len(paths) // 2],
        "last": paths[-1],
        "largest": largest[0],
        "largest_bytes": largest[1],
    }


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def prepare(name, quick, folder, say):
    """The manifest of an archive that is there and whole; makes it if need be."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}.tar.gz")
    manifest_path = os.path.join(folder, f"{name}.json")
    try:
        with open(manifest_path, encoding="utf-8") as file:
            manifest = json.load(file)
        if (
            manifest["edition"] == EDITION
            and manifest["archive"] == path
            and manifest["archive_sha256"] == sha256_of(path)
        ):
            return manifest, manifest_path
        say(f"{name}: another edition, or damaged: making it anew")
    except (OSError, ValueError, KeyError):
        say(f"{name}: making the archive (once)")
    manifest = make(name, quick, path)
    with open(manifest_path + ".part", "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
    os.replace(manifest_path + ".part", manifest_path)
    return manifest, manifest_path
