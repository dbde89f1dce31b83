"""Collects what was measured, holds it against the targets, and shows it."""

import statistics

from .rows import ROWS

BASE = "tar"
OURS = ("vm0fs-root", "vm0fs-user")
RIVALS = ("ratarmount", "archivemount")
# Seconds that a first byte may take beside three HTTP round trips.
FIRST_BYTE = 0.020
# (archive, row) -> the ratio to the base that is to be reached.
RATIOS = {
    ("many", "ls"): 0.3,
    ("big", "ls"): 0.35,
    ("mix", "ls"): 0.35,
    ("many", "read"): 0.9,
    ("big", "read"): 0.5,
    ("mix", "read"): 0.5,
    ("mix", "rate"): 0.3,
    ("many", "find2"): 2.0,
    ("many", "grep2"): 3.0,
    # 0.7 and 0.8 of native throughput.
    ("big", "seq1"): 1 / 0.7,
    ("big", "seq2"): 1 / 0.8,
}
# (archive, row) -> the most that is to be reached, in the row's unit.
MOST = {
    ("many", "second-ls"): 0.7,
    ("big", "second-ls"): 0.1,
    ("big", "evicted-random-first"): 1,
    ("big", "evicted-random-bytes"): 1.2,
}
# Seconds beside three round trips, and bytes fetched, for a first byte of content that
# is not there while its index is.
PARTLY, PARTLY_BYTES = 0.025, 512 << 10
# The ratio of a whole fetch with a known index to the first one.
REFETCH = 0.6
PEAK_MEMORY = 64 << 20
DISK = {"many": 1.05}
# Nearer than this is the same.
NEAR = 1.02
MEGA = {"rss": 1 << 20, "disk": 1e6}


class Results:
    """archive -> row -> contender -> what each run gave, or how it failed."""

    def __init__(self):
        self.values, self.failures = {}, {}

    def add(self, archive, row, contender, value):
        self.values.setdefault(archive, {}).setdefault(row, {}).setdefault(contender, []).append(value)

    def fail(self, archive, row, contender, why):
        self.failures.setdefault((archive, row, contender), why)

    def failed(self, archive, row, contender):
        return (archive, row, contender) in self.failures

    def hung(self, archive, row, contender):
        return self.failures.get((archive, row, contender)) == "hangs"

    def value(self, archive, row, contender):
        values = self.values.get(archive, {}).get(row, {}).get(contender)
        if not values or self.failed(archive, row, contender):
            return None
        return max(values) if row == "rss" else statistics.median(values)

    def rows(self, archive):
        known = set(self.values.get(archive, {})) | {row for a, row, _ in self.failures if a == archive}
        return [row for row in ROWS if row in known]


def target(results, bench, manifest, row):
    """(what is to be reached, whether each of ours does) or None."""
    archive = manifest["name"]
    base = results.value(archive, row, BASE)
    if bench.quick:
        # The figures to reach are for archives of full size.
        return None
    if (archive, row) in RATIOS:
        limit = RATIOS[(archive, row)]
        text, most = f"≤ {limit:.2g}×" if limit < 1 else f"≤ {limit:.3g}×", base and base * limit
    elif (archive, row) in MOST:
        most = MOST[(archive, row)]
        text = f"≤ {shown(row, most)}"
    elif row == "first" or row.endswith(("-middle", "-last")):
        most = 3 * bench.round_trip + (FIRST_BYTE if row == "first" else PARTLY)
        text = f"≤ {most * 1000:.0f} ms"
    elif row in ("evicted-bytes", "second-bytes"):
        text, most = f"≤ {shown(row, PARTLY_BYTES)}", PARTLY_BYTES
    elif (archive, row) == ("big", "refetch"):
        first = [value for key in OURS if (value := results.value(archive, "fetch", key)) is not None]
        text, most = f"≤ {REFETCH}× of the first", REFETCH * min(first) if first else None
    elif row == "rss":
        text, most = "≤ 64 MB", PEAK_MEMORY
    elif row == "disk" and archive in DISK:
        text, most = f"≤ {DISK[archive]}× content", DISK[archive] * manifest["size"]
    else:
        return None
    ours = [value for key in OURS if (value := results.value(archive, row, key)) is not None]
    broken = any(results.failed(archive, row, key) for key in OURS)
    if most is None or not (ours or broken):
        return text, None
    return text, not broken and max(ours) <= most


def shown(row, value):
    if row in MEGA:
        return f"{value / MEGA[row]:.0f} MB"
    unit = ROWS[row][1]
    if unit == "B":
        return f"{value / 1e6:.2f} MB"
    if unit == "x":
        return f"{value:.2f}"
    if unit == "":
        return f"{value:.0f}"
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    return f"{value:.2f} s"


def cell(results, archive, row, contender):
    why = results.failures.get((archive, row, contender))
    if why:
        return why if why.startswith(">") else "failed"
    value = results.value(archive, row, contender)
    if value is None:
        return "–"
    text = shown(row, value)
    base = results.value(archive, row, BASE)
    if contender != BASE and base and row not in ("rss", "calls", "bytes"):
        ratio = value / base
        digits = 3 if ratio < 0.1 else 2 if ratio < 10 else 0
        text += f" ({ratio:.{digits}f}×)"
    return text


def table(results, bench, manifest):
    archive = manifest["name"]
    lines = [
        f"### `{archive}`: {manifest['description']}",
        "",
        f"{manifest['files']:,} files, {manifest['size'] / 1e6:.1f} MB, "
        f"{manifest['archive_bytes'] / 1e6:.1f} MB as tar.gz",
        "",
    ]
    keys = [contender.key for contender in bench.contenders]
    head = ["", *(contender.label for contender in bench.contenders), "to reach"]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in results.rows(archive):
        label = ROWS[row][0].format(reads=bench.random_reads, rate=size_text(bench.rate) + "/s")
        goal = target(results, bench, manifest, row)
        verdict = ""
        if goal:
            verdict = goal[0] + {True: ": reached", False: ": **missed**", None: ""}[goal[1]]
        cells = [cell(results, archive, row, key) for key in keys]
        lines.append("| " + " | ".join([label, *cells, verdict]) + " |")
    if archive in bench.piped:
        lines += ["", f"`curl | tar xzO FIRST-FILE | head -c 1`: {bench.piped[archive] * 1000:.0f} ms."]
    behind = losses(results, bench, archive)
    if behind:
        lines += ["", "Behind an archive mounter: " + "; ".join(behind) + "."]
    return "\n".join(lines)


def losses(results, bench, archive):
    """Rows in which the slower of ours is behind a rival that mounts archives."""
    found = []
    for row in results.rows(archive):
        ours = [value for key in OURS if (value := results.value(archive, row, key)) is not None]
        for rival in RIVALS:
            theirs = results.value(archive, row, rival)
            if ours and theirs and max(ours) > theirs * NEAR:
                label = ROWS[row][0].format(reads=bench.random_reads, rate=size_text(bench.rate) + "/s")
                found.append(f"{label} ({rival}, {max(ours) / theirs:.2f}×)")
    return found


def size_text(size):
    return f"{size / 1e6:g} MB"


def heading(bench):
    about = bench.machine
    lines = [
        f"Machine: {about['cpu']}, {about['cores']} cores, {about['memory'] / 2**30:.0f} GiB, "
        f"Linux {about['kernel']}; work on {bench.workspace_text}.",
        f"Medians of {bench.runs} run{'s' * (bench.runs > 1)}, contenders in turn; HTTP over loopback"
        + (f" with {bench.latency} ms before each answer" if bench.latency else "")
        + f", one round trip {bench.round_trip * 1000:.1f} ms; load {about['load']:.1f} at the start. "
        "In brackets: ratio to `curl | tar xz`, which for warm rows is the native file system. "
        "`cold`: nothing fetched, the page cache dropped; mounting vm0fs is not included, "
        "downloading and unpacking is. `restart`: mounts and page cache gone, mounting included.",
    ]
    if bench.quick:
        lines.append("A test of the bench itself: the archives are too small for figures that mean anything.")
    if not bench.is_root:
        lines.append("Without root: page caches were not dropped.")
    if about["load"] > 0.5:
        lines.append("The machine was not quiet: absolute figures are worth little.")
    lines += [f"Left out: {why}." for why in bench.left_out]
    return "\n".join(f"- {line}" for line in lines)


def as_json(results, bench):
    archives = {}
    for manifest in bench.manifests:
        archive = manifest["name"]
        rows = {}
        for row in results.rows(archive):
            entry = {"contenders": {}}
            for contender in bench.contenders:
                runs = results.values.get(archive, {}).get(row, {}).get(contender.key, [])
                why = results.failures.get((archive, row, contender.key))
                if runs or why:
                    value = results.value(archive, row, contender.key)
                    entry["contenders"][contender.key] = {"value": value, "runs": runs, "failure": why}
            goal = target(results, bench, manifest, row)
            if goal:
                entry["target"] = {"text": goal[0], "reached": goal[1]}
            rows[row] = entry
        archives[archive] = {
            "manifest": {k: v for k, v in manifest.items() if k != "archive"},
            "rows": rows,
            "piped_first_byte": bench.piped.get(archive),
        }
    return {
        "machine": bench.machine,
        "work": bench.workspace_text,
        "runs": bench.runs,
        "latency_ms": bench.latency,
        "rate": bench.rate,
        "round_trip": bench.round_trip,
        "archives": archives,
        "large": bench.large,
        "replacements": bench.replacements,
        "remarks": bench.remarks,
        "left_out": bench.left_out,
    }
