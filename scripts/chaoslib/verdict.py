"""What all of it comes to: what was wrong, and a table of what was done."""

import bisect
import errno
import os
import re
import statistics
from collections import Counter

from .changing import Status, Writer

# What no fault of the service explains: the mount itself has lost something.
NEVER = (errno.ESTALE, errno.ENOTCONN, errno.ECONNABORTED, errno.EBADF, errno.ENOENT, errno.EINVAL, errno.ENOSYS,
         errno.ENODEV, errno.EINTR, errno.EACCES, errno.EPERM, errno.ENOTDIR)
NEVER_SAID = re.compile("|".join(re.escape(os.strerror(number)) for number in NEVER))
# For how long a fault that is over may be felt: a request that began in it takes its three
# seconds, and the circuit breaker waits for up to eight until it asks again.
FELT = 15
# What a log of a sound mount does not hold.
ALARMING = re.compile("panicked|please report|internal error")


class Verdict:
    def __init__(self, faults, killers, prompts, start):
        self.phases, self.killers, self.start = faults.phases, killers, start
        self.prompts = Counter(prompts)
        self.wrong, self.explained, self.done = [], Counter(), Counter()
        self.gaps, self.outside = {}, []

    def at(self, moment):
        return f"{moment - self.start:.2f} s"

    def fault(self, report):
        """The fault that may explain what failed then."""
        return next((what for begun, ended, what in self.phases
                     if begun <= report["until"] and report["from"] <= ended + FELT), None)

    def judge(self, mount, killer):
        sent = {}
        for report in mount.reports:
            key = (report["kind"], mount.user)
            if report.get("stopped"):
                continue
            self.done[key] += report.get("count", 1)
            if "prompt" in report:
                sent[report["prompt"]] = "refused" not in report
            if "wrong" in report:
                self.complain(mount, killer, report, report["wrong"])
            elif "refused" in report:
                if self.is_explained(report, killer):
                    self.explained[key] += 1
                else:
                    self.complain(mount, killer, report, report["refused"])
            if report["kind"] == Status.kind:
                for at, cause, gap in report.get("replacements", []):
                    self.gaps[(mount.user, at)] = (cause, gap)
        self.judge_prompts(mount, sent)
        self.judge_log(mount)
        self.measure(mount, killer)
        if killer.failure:
            self.wrong.append(f"{mount.user}: {killer.failure}")

    def is_explained(self, report, killer):
        is_lost = report.get("errno") in NEVER or NEVER_SAID.search(report["refused"])
        if self.fault(report) and not is_lost:
            return True
        # An order that may have been sent is not sent again, and its writer is told so.
        is_order = report["kind"] == Writer.kind and report.get("errno") == errno.EIO
        return is_order and any(report["from"] <= death <= report["until"] for death in killer.deaths)

    def complain(self, mount, killer, report, why):
        before = [(at, name) for at, name in killer.deeds if at <= report["until"]]
        last = f"; before it: {before[-1][1]} at {self.at(before[-1][0])}" if before else ""
        phases = [(ended, what) for begun, ended, what in self.phases if begun <= report["until"]]
        during = f"; the last fault, {phases[-1][1]}, ended at {self.at(phases[-1][0])}" if phases else ""
        self.wrong.append(f"{mount.user}: {report['kind']}, {self.at(report['from'])} to "
                          f"{self.at(report['until'])}{last}{during}: {why}")

    def judge_prompts(self, mount, sent):
        for prompt, went_well in sent.items():
            count = self.prompts[prompt]
            if count > 1:
                self.wrong.append(f"{mount.user}: {prompt!r} was started {count} times")
            elif went_well and count == 0:
                self.wrong.append(f"{mount.user}: {prompt!r} was not started, and its writer heard of success")
        unknown = [prompt for prompt in self.prompts
                   if prompt not in sent and (f" {mount.user} " in prompt or not prompt.endswith(" ends here"))]
        self.wrong += [f"{mount.user}: a run was started that was not asked for: {prompt!r}" for prompt in unknown]

    def judge_log(self, mount):
        lines = [line for line in mount.said().splitlines() if ALARMING.search(line)]
        self.wrong += [f"{mount.user}: its log says: {line}" for line in lines]

    def judge_figures(self, mount, figures):
        if figures["threads"] != 1:
            self.wrong.append(f"{mount.user}: the supervisor has {figures['threads']} threads instead of 1")
        if figures["workers"] != 1:
            self.wrong.append(f"{mount.user}: there are {figures['workers']} workers instead of 1")
        if figures["descriptors"] != mount.before:
            self.wrong.append(f"{mount.user}: the supervisor has other descriptors than at the start: "
                              f"{figures['descriptors']} instead of {mount.before}")

    def measure(self, mount, killer):
        """From a kill to the next answer, as the prober has seen it."""
        slow = sorted(pair for report in mount.reports for pair in report.get("slow", []))
        ends = sorted(answered for _, answered in slow)
        kinds = {"SIGKILL", "SIGSEGV", "SIGABRT", "killed while unpacking"}
        for at, name in killer.deeds:
            # With others around it, it is not known which one was felt.
            if name not in kinds or sum(abs(other - at) < 1 for other in killer.deaths) != 1:
                continue
            death = killer.deaths[bisect.bisect_left(killer.deaths, at)]
            number = bisect.bisect_right(ends, death)
            if number == len(ends) or self.fault({"from": death, "until": ends[number]}):
                continue
            # Where none was asked before it, the worker answered all within a moment.
            if any(asked <= death + 0.005 and answered == ends[number] for asked, answered in slow):
                self.outside.append((ends[number] - death) * 1000)

    def table(self, mounts, figures):
        users = [mount.user for mount in mounts]
        lines = ["| reader | " + " | ".join(f"{user}: done, failed by faults" for user in users) + " |",
                 "|---" * (len(users) + 1) + "|"]
        for kind in sorted({kind for kind, _ in self.done}):
            cells = [f"{self.done[kind, user]:,}, {self.explained[kind, user]}" for user in users]
            lines.append("| " + " | ".join([kind, *cells]) + " |")
        lines += ["", "| to a worker | " + " | ".join(users) + " |", "|---" * (len(users) + 1) + "|"]
        counts = [Counter(name for _, name in killer.deeds) for killer in self.killers]
        for name in sorted(set().union(*counts)):
            lines.append("| " + " | ".join([name, *(str(count[name]) for count in counts)]) + " |")
        lines += ["", "| gap | count | median | worst |", "|---|---|---|---|"]
        causes = {}
        for cause, gap in self.gaps.values():
            causes.setdefault(f"status.json: {cause}", []).append(gap)
        causes["from a kill to the next answer, as seen by a process"] = self.outside
        for cause, gaps in sorted(causes.items()):
            if gaps:
                lines.append(f"| {cause} | {len(gaps)} | {statistics.median(gaps):.1f} ms | {max(gaps):.1f} ms |")
        lines.append("")
        for mount, each in zip(mounts, figures):
            lines.append(
                f"- {mount.user}: the supervisor has {each['rss'] / 2**20:.1f} MiB ({each['own'] / 2**20:.1f} of its "
                f"own), {each['threads']} thread, {len(each['descriptors'])} descriptors of {len(mount.before)} at the "
                f"start, {each['workers']} worker")
        phases = Counter(what for _, _, what in self.phases)
        lines.append("- faults of the service: "
                     + (", ".join(f"{what} ({count})" for what, count in sorted(phases.items())) or "none"))
        return "\n".join(lines)
