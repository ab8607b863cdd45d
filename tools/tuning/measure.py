"""One run of the program, or one replay of a trace, with given options of the library."""

import collections
import json
import math
import os
import resource
import signal
import subprocess
import tempfile
import time

from . import arms

Measured = collections.namedtuple("Measured", "seconds cpu rss_kib")


class Failed(Exception):
    """A run that gives no result: the text says why."""


def environment(settings):
    return {**os.environ, "HAKMEM_OPTIONS": ",".join(arms.items(settings))}


def processor_seconds():
    """Of all processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def last_words(data):
    return data.decode(errors="replace").strip()[-400:]


def run_to_end(line, timeout, **channels):
    """As subprocess.run; but when it takes too long or we are interrupted, nothing that it started
    goes on."""
    with subprocess.Popen(line, start_new_session=True, **channels) as process:
        try:
            out, complaints = process.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # it is ours until `with` has waited for it
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"no end after {timeout:g} s") from None
            raise
    return subprocess.CompletedProcess(line, process.returncode, out, complaints)


class Program:
    """Runs a command by way of hakmem-launch, which preloads the library and sees to it that the
    command has it."""

    def __init__(self, launcher, library, command, timeout, stdin=None):
        self.line = [launcher, f"--require={library}", *command]
        self.timeout = timeout
        self.stdin = stdin

    def run(self, settings):
        # The output goes to a file: the report stands behind it, on the last line.
        with tempfile.TemporaryFile() as out, open(self.stdin or os.devnull, "rb") as stdin:
            done = run_to_end(self.line, self.timeout, stdin=stdin, stdout=out,
                              stderr=subprocess.PIPE, env=environment(settings))
            if done.returncode:
                raise Failed(f"failed: {last_words(done.stderr)}")
            out.seek(max(out.seek(0, os.SEEK_END) - 4096, 0))
            report = json.loads(out.read().rstrip(b"\n").rpartition(b"\n")[2])
        return Measured(report["seconds"], report["cpu"], report["rss_kb"])


class Trace:
    """Replays a recorded trace by way of hakmem-trace, so often that a run takes SECONDS_MIN. Of
    the whole process is taken what the tool needs by itself, with the defaults: so what an option
    does before the replay begins counts as well."""

    SECONDS_MIN = 0.2
    REPEATS_MAX = 100000
    TRIES = 3  # of each number of repeats: the least counts, for another program may disturb one

    def __init__(self, tool, library, path, timeout, threads=False):
        self.line = [tool, "replay", "--json", "--preload", library, path]
        if threads:
            self.line.append("--threads")
        self.timeout = timeout
        self.repeats = 0  # not known yet, as is
        self.own = None   # the tool's own need

    def replay(self, settings, repeats):
        """What the process took, and the tool's report."""
        begin, before = time.monotonic(), processor_seconds()
        done = run_to_end([*self.line, "--repeat", str(repeats)], self.timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(settings))
        seconds, cpu = time.monotonic() - begin, processor_seconds() - before
        if done.returncode:
            raise Failed(f"replay failed: {last_words(done.stderr)}")
        report = json.loads(done.stdout)
        return Measured(seconds, cpu, report["rss_peak_kib"]), report

    def calibrate(self):
        """Finds `repeats`, step by step, for the first replay is slower than the next ones: it
        meets fresh memory; and `own`."""
        repeats, seconds = 0, 0.0
        while seconds < self.SECONDS_MIN and repeats < self.REPEATS_MAX:
            wanted = repeats * self.SECONDS_MIN / max(seconds, 1e-6)
            repeats = min(max(2 * repeats, math.ceil(wanted), 1), self.REPEATS_MAX)
            tries = [self.replay(arms.DEFAULTS, repeats) for _ in range(self.TRIES)]
            seconds = min(report["seconds"] for _, report in tries)
        self.repeats = repeats
        self.own = Measured(min(whole.seconds - report["seconds"] for whole, report in tries),
                            min(whole.cpu - report["cpu_seconds"] for whole, report in tries),
                            min(report["rss_before_kib"] for _, report in tries))

    def run(self, settings):
        if not self.repeats:
            self.calibrate()
        whole, _ = self.replay(settings, self.repeats)
        return Measured(*(max(all_of_it - own, least) for all_of_it, own, least
                          in zip(whole, self.own, (1e-6, 1e-6, 1))))
