"""The arms: each way to hunt one thing, its programs, and what one slice of it runs and reads."""

import hashlib
import os
import re
import shutil
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import fuzzing

CC = os.environ.get("CC") or "gcc"
STRATEGIES = ("pct", "pos", "random")
AFL_ROLES = {"main": "afl", "cmplog": "afl-plain", "plain": "afl-plain"}
AFL_QUEUE_MAX = 3000  # files of an instance's queue; then it begins anew from the corpus

FORK_LINE = re.compile(r"#(\d+): cov: (\d+) ft: (\d+) corp: (\d+) exec/s:? (\d+) "
                       r"oom/timeout/crash: (\d+)/(\d+)/(\d+)")
WALK_LINE = re.compile(r"walk: executions (\d+) per-second (\d+) pairs (\d+) kept (\d+)")


@dataclass
class Slice:
    """What one run of an arm is given."""

    id: int
    folder: Path      # its own, absolute; removed afterwards
    seconds: int
    seed: int
    campaign: Path    # absolute: what slices share
    memory_mb: int = 2048

    def part(self, name):
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def absolute(path):
    return (fuzzing.ROOT / path).resolve()


def species_file(campaign, program):
    """The sample of a program; another build is another sample: its features have other numbers."""
    path = absolute(program)
    digest = hashlib.sha1(path.read_bytes()).hexdigest()[:8]
    folder = campaign / "species"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{path.parent.parent.name}-{path.parent.name}-{path.name}-{digest}"


def read_species(path):
    """The head of a sample (fuzz/species.h), or zeros."""
    names = ("magic", "executions", "seen", "singles", "doubles", "pairs", "edges", "last_new",
             "last_new_at")
    data = b""
    if path.exists():
        with open(path, "rb") as file:
            data = file.read(72)
    values = struct.unpack("<9Q", data) if len(data) == 72 else (0,) * 9
    return dict(zip(names, values))


class Arm:
    """Base: what all arms have. `once`: it is done after `parts` slices."""

    once = False
    parts = 0
    counts = True  # executions: an arm that makes none for long hangs
    seconds_min = 0
    memory_factor = 1  # of MEMORY_MB
    judged = False   # its status is 1 when its results are bad
    planted = False  # it ends with a failure, by intention
    alone_in = ""    # a folder that one slice at a time works in
    prepare = ()     # a command that builds what make does not know of

    def __init__(self, kind, target, variant, weight):
        self.kind, self.target, self.variant, self.weight = kind, target, variant, weight
        self.name = " ".join(w for w in (kind, target, variant) if w)

    def programs(self):
        return []

    def environment(self, piece):
        return fuzzing.environment_of(fuzzing.Instance(self.target, "", "", 0, 0, "ops"))

    def before(self, piece, number):
        """Prepares a slice; `number` counts those of this arm."""

    def read(self, piece, text):
        """Numbers of a sample, from the new text of the log and from files."""
        return {}

    def found(self, piece):
        """Files with inputs that fail."""
        return []

    def fresh(self, piece):
        """A folder with inputs that may be new, and the program that judges them; or None."""
        return None

    def results(self, piece, text, status):
        """(kind, values) for the journal."""
        return []

    def failure(self, piece, text, status):
        """What is wrong with a status that is not 0: a finding without an input, or None."""
        return None


class Counting(Arm):
    """An arm whose program counts species."""

    program = None

    def sample_file(self, piece):
        if not hasattr(self, "_sample"):
            self._sample = species_file(piece.campaign, self.program)
        return self._sample

    def counted(self, piece):
        species = read_species(self.sample_file(piece))
        return {k: species[k] for k in ("seen", "singles", "pairs", "edges")} | {
            "sampled": species["executions"], "last_new_at": species["last_new_at"]}


class LibFuzzer(Counting):
    def __init__(self, instance):
        super().__init__("libfuzzer", instance.target, instance.label, instance.share)
        self.instance = instance
        self.program = instance.hunter()
        self.labels = [instance.label]

    def programs(self):
        return [self.instance.hunter(), self.instance.replayer()]

    def environment(self, piece):
        return fuzzing.environment_of(self.instance) | {
            "HAK_SPECIES": str(self.sample_file(piece)), "TMPDIR": str(piece.part("tmp"))}

    def command(self, piece, corpus, seeds):
        return [absolute(self.program), "-fork=1", "-ignore_crashes=1", "-ignore_timeouts=1",
                "-ignore_ooms=1", "-report_slow_units=100000", "-timeout=25",
                f"-max_total_time={piece.seconds}", f"-max_len={self.instance.max_len}",
                f"-rss_limit_mb={piece.memory_mb * 3 // 4}",
                f"-seed={piece.seed}", f"-artifact_prefix={piece.part('found')}/", corpus, seeds]

    def before(self, piece, number):
        self.base = read_species(self.sample_file(piece))["executions"]

    def read(self, piece, text):
        values = self.counted(piece)
        values["executions"] = max(0, values["sampled"] - self.base)
        for match in FORK_LINE.finditer(text):
            n = [int(x) for x in match.groups()]
            values.update(coverage=n[1], features=n[2], corpus=n[3], rate=n[4], timeouts=n[6])
        return values

    def found(self, piece):
        return sorted(piece.part("found").iterdir())


class Canary(LibFuzzer):
    """Stops at the planted bug, which must be there: a plain run, a long limit."""

    once, parts = True, 1
    planted = True
    seconds_max = 120

    def __init__(self, instance):
        super().__init__(instance)
        self.kind, self.name = "canary", f"canary {instance.target}"

    def command(self, piece, corpus, seeds):
        return [absolute(self.program), f"-max_total_time={self.seconds_max}",
                f"-max_len={self.instance.max_len}", f"-seed={piece.seed}", "-timeout=60",
                f"-artifact_prefix={piece.part('found')}/", piece.part("corpus"), seeds]

    def results(self, piece, text, status):
        found = super().found(piece)
        species = self.read(piece, "")
        match = fuzzing.REASON.search(text)
        return [("canary", {"found": bool(found), "executions": species["executions"],
                            "said": match.group(0)[:160] if match else ""})]

    def found(self, piece):
        return []  # what it finds is planted


class Afl(Arm):
    """main, secondary with CMPLOG and plain secondary, in turns, on one sync folder."""

    seconds_min = 70

    def __init__(self, instance):
        super().__init__("afl", instance.target, instance.geometry, instance.share / 2)
        self.instance = instance

    def binary(self, flavour):
        return Path(str(self.instance.hunter()).replace(
            f"{fuzzing.BUILD}/afl-", f"{fuzzing.BUILD}/{flavour}-", 1))

    def programs(self):
        return [self.binary(f) for f in ("afl", "afl-plain", "afl-cmplog")] + [
            self.instance.replayer(), fuzzing.BUILD / "afl-mutator.so"]

    def environment(self, piece):
        environment = fuzzing.environment_of(self.instance)
        environment["AFL_AUTORESUME"] = environment["AFL_FAST_CAL"] = "1"
        # Minutes; the least there is, and so the least length of a slice.
        environment["AFL_SYNC_TIME"] = "1"
        environment["AFL_TMPDIR"] = str(piece.part("tmp"))
        if self.instance.kind != "bytes":
            environment["AFL_CUSTOM_MUTATOR_LIBRARY"] = str(fuzzing.mutator_library())
        return environment

    def sync(self, campaign):
        return campaign / "afl" / f"{self.target}-{self.instance.geometry}"

    def before(self, piece, number):
        self.role = os.environ.get("AFL_ROLE") or list(AFL_ROLES)[number % len(AFL_ROLES)]
        self.own = self.sync(piece.campaign) / self.role
        self.executions_before = self.executions_of(self.own)
        self.begun = time.monotonic()
        self.own.parent.mkdir(parents=True, exist_ok=True)
        queue = self.own / "queue"
        if queue.is_dir() and sum(1 for _ in queue.iterdir()) > AFL_QUEUE_MAX:
            shutil.rmtree(self.own)
            self.executions_before = 0
        self.known = {p for f in ("crashes", "hangs", "queue") for p in self.files(f)}

    @staticmethod
    def executions_of(own):
        stats = own / "fuzzer_stats"
        done = fuzzing.afl_stats(stats).get("execs_done", "") if stats.exists() else ""
        return int(done) if done.isdigit() else 0

    def files(self, folder):
        path = self.own / folder
        return [p for p in path.iterdir() if p.name.startswith("id")] if path.is_dir() else []

    def command(self, piece, corpus, seeds, sync=None, name=None):
        main = self.role == "main"
        command = ["afl-fuzz", "-i", seeds, "-o", sync or self.sync(piece.campaign),
                   "-M" if main else "-S", name or self.role, "-V", str(piece.seconds),
                   "-m", "none", "-t", "20000", "-g", "1", "-G", str(self.instance.max_len),
                   "-s", str(piece.seed)]
        if main and any(Path(corpus).iterdir()):
            command += ["-F", corpus]
        if self.role == "cmplog":
            command += ["-c", absolute(self.binary("afl-cmplog"))]
        return [*command, "--", absolute(self.binary(AFL_ROLES[self.role]))]

    def read(self, piece, text):
        stats = self.own / "fuzzer_stats"
        if not stats.exists():
            return {}
        values = fuzzing.afl_stats(stats)
        n = {k: int(v) for k, v in values.items() if v.isdigit()}
        done = n.get("execs_done", 0)
        # An instance that goes on counts from where it was, or from 0 if it could not.
        done -= self.executions_before if done >= self.executions_before else 0
        return {"executions": done, "rate": round(done / max(1, time.monotonic() - self.begun)),
                "coverage": n.get("edges_found", 0), "corpus": n.get("corpus_count", 0),
                "stability": values.get("stability", ""), "role": self.role,
                "new": sum(1 for p in self.files("queue")
                           if p not in self.known and ",sync:" not in p.name
                           and ",orig:" not in p.name)}

    def found(self, piece):
        return sorted(p for f in ("crashes", "hangs") for p in self.files(f)
                      if p not in self.known)

    def fresh(self, piece):
        folder = piece.part("fresh")
        for path in self.files("queue"):
            if path not in self.known and ",sync:" not in path.name and ",orig:" not in path.name:
                shutil.copyfile(path, folder / hashlib.sha1(path.read_bytes()).hexdigest())
        judges = [i for i in fuzzing.registry() if i.target == self.target
                  and i.geometry == self.instance.geometry and "tsan" not in i.flavour]
        return folder, judges[0]


class Walk(Counting):
    """The corpus' programs under one strategy; geometries in turns."""

    def __init__(self, target, strategy, judges, weight, tsan=False):
        super().__init__("tsan" if tsan else "walk", target, strategy, weight)
        self.strategy, self.judges, self.tsan = strategy, judges, tsan
        self.labels = [("sched-tsan" if tsan else "sched") + "-" + i.geometry for i in judges]

    def program_of(self, geometry):
        small = "-small" if geometry == "small" else ""
        folder = f"sched-tsan-{fuzzing.CLANG}" if self.tsan else f"sched-{CC}"
        return fuzzing.BUILD / f"{folder}{small}" / "walk" / self.target

    def programs(self):
        return [self.program_of(i.geometry) for i in self.judges] + [
            p for i in self.judges for p in (i.hunter(), i.replayer())]

    def environment(self, piece):
        return fuzzing.environment_of(self.judges[0]) | {
            "HAK_SPECIES": str(self.sample_file(piece))}

    def before(self, piece, number):
        self.judge = self.judges[number % len(self.judges)]
        self.program = self.program_of(self.judge.geometry)
        self._sample = species_file(piece.campaign, self.program)
        self.base = read_species(self._sample)["executions"]
        self.strategy_now = STRATEGIES[number % 3] if self.tsan else self.strategy

    def input_file(self, piece):
        flavour = "sched-tsan" if self.tsan else "sched-fuzz"
        return piece.part("found") / f"{flavour}-{self.judge.geometry}-{self.kind}-{piece.id}"

    def command(self, piece, corpus, seeds):
        return [absolute(self.program), "--strategy", self.strategy_now, "--seconds",
                str(piece.seconds), "--seed", str(piece.seed), "--out", piece.part("fresh"),
                "--found", self.input_file(piece), corpus, seeds]

    def read(self, piece, text):
        values = self.counted(piece)
        values["executions"] = max(0, values["sampled"] - self.base)
        for match in WALK_LINE.finditer(text):
            n = [int(x) for x in match.groups()]
            values.update(executions=max(n[0], values["executions"]), rate=n[1], new=n[3])
        return values

    def found(self, piece):
        path = self.input_file(piece)
        # Zeros: its room is taken, nothing was found; the program was ended from outside.
        return [path] if path.exists() and path.read_bytes()[:1].strip(b"\0") else []

    def fresh(self, piece):
        return piece.part("fresh"), self.judge


class Stress(Arm):
    counts = False
    memory_factor = 2  # ThreadSanitizer's shadow of real threads

    def __init__(self, load, flavour, weight):
        super().__init__("stress", load, flavour, weight)
        self.flavour = flavour

    def programs(self):
        return [("stress", self.flavour)]  # made by FLAVOUR=, see builds()

    def environment(self, piece):
        return dict(os.environ) | {
            "LOAD": self.target, "TIME": str(piece.seconds), "SEED": str(piece.seed % 1000000 + 1),
            "THREADS": "4", "ARGS": "", "BUILD": str(absolute(fuzzing.BUILD)), "HAK_RESULTS": "",
            "CSV": str(piece.campaign / "soak.csv") if self.target == "soak" else "",
            "LINES_MAX": "400"}

    def command(self, piece, corpus, seeds):
        return [fuzzing.ROOT / "scripts/stress", "run",
                absolute(fuzzing.BUILD / f"{self.flavour}-{CC}/stress/stress")]

    def failure(self, piece, text, status):
        return (f"make stress LOAD={self.target} FLAVOUR={self.flavour} THREADS=4 "
                f"TIME={piece.seconds} SEED={piece.seed % 1000000 + 1}")

    def results(self, piece, text, status):
        return [("stress", {"load": self.target, "flavour": self.flavour,
                            "passed": status == 0, "said": line})
                for line in re.findall(r"^(?:PASS|FAIL) .*", text, re.M)[:1]]
