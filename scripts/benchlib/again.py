"""What is measured of a version whose index a mount has, and not its content: after an
eviction, and on a second machine that shares the index with the first."""

from .rows import AGAIN, Session, guarded


def session(bench, contender, manifest, results):
    """One machine fetches all; then each row begins without the content."""
    for kind in ("evicted", "second"):
        one = Session(bench, contender, manifest, results)
        rows = one.wants(*(row for row in AGAIN if row.startswith(kind) or (kind == "evicted" and "fetch" in row)))
        if rows:
            guarded(one, rows[:1], lambda one=one, kind=kind, rows=rows: measure(one, kind, rows))


def measure(session, kind, rows):
    bench, contender, manifest = session.bench, session.contender, session.manifest

    def prefetch():
        return session.tool([bench.program, "prefetch", contender.tree])

    def ls():
        took = session.ls()
        if fetched := bench.server.ask("stats")["bytes"]:
            bench.remark(f"{contender.key}, {manifest['name']}: `ls -lR` without content fetched {fetched:,} bytes")
        return took

    def first_byte(which):
        took = session.first_byte(which)
        fetched.append(bench.server.ask("stats")["bytes"])
        return took

    def random_reads():
        took = session.random_reads()
        if "evicted-random-first" in rows:
            session.note("evicted-random-first", session.first_reads)
        if "evicted-random-bytes" in rows:
            session.note("evicted-random-bytes", bench.server.ask("stats")["bytes"] / manifest["archive_bytes"])
        return took

    fetched = []
    steps = {
        "refetch": prefetch,
        "ls": ls,
        "middle": lambda: first_byte("middle"),
        "last": lambda: first_byte("last"),
        "random": random_reads,
    }
    with session:
        if kind == "second":
            contender.share()
        first = prefetch()
        if "fetch" in rows:
            session.note("fetch", first)
        for row in rows:
            step = steps.get(row.removeprefix(f"{kind}-"))
            if step is None:
                continue
            if kind == "second":
                contender.without_cache()
            else:
                contender.without_content()
            bench.server.ask("clear")
            guarded(session, [row], lambda row=row, step=step: session.note(row, step()))
        if fetched and f"{kind}-bytes" in rows:
            session.note(f"{kind}-bytes", max(fetched))
