"""What must find a bug that was put back, by name:

  TARGET              of fuzz/registry: libFuzzer from the kept corpus on, in each of its builds
  replay:TARGET       the kept corpus alone, in the plain builds of both geometries
  walk:TARGET         its programs under ever new schedules, a third of the time for each strategy
  model:SCENARIO      every execution of one scenario of make model (_ for blanks)
  unit/test_X api/test_X unit/so_X ...   a test program, in both geometries
  FLAVOUR:unit/...    the same of another flavour than audit
  FLAVOUR:misuse      the wrong programs under that library
  racing              every execution of two racing frees, with the state of blocks
  wrong:TOOL          the wrong programs of users under asan, valgrind or msan
"""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import fuzzing

from mutation.trees import SOURCE

HANG_SECONDS = 120  # beyond its budget a killer that still runs has found a hang
UNPATCHED_SECONDS = 10  # of hunts without a bug
EXECUTIONS = re.compile(r"^stat::number_of_executed_units: *(\d+)", re.M)
WALKED = re.compile(r"^walk: executions (\d+)", re.M)
REASON = re.compile(r"found: .*|^FAILED .*|hakmem: .*|sched: .*|ERROR: \w*Sanitizer: .*"
                    r"|runtime error: .*|ERROR: libFuzzer: .*|^not ok .*|^fail .*"
                    r"|.*\bFAIL(?:ED.*|$)|^.*: (?:DIED|TIMED OUT) .*", re.M)


@dataclass
class Verdict:
    killer: str
    killed: bool
    executions: int | None = None
    seconds: float = 0.0
    reason: str = ""


def reason_in(text):
    match = REASON.search(text)
    return match.group(0).strip()[:160] if match else "no reason in its output"


class Killer:
    """Commands of which one must fail; each is built only when those before did not.

    `shown` is what the table of results calls it, `flavour` the FLAVOUR of its make.
    """

    def __init__(self, name, shown, flavour=None):
        self.name, self.shown, self.flavour = name, shown, flavour

    def stages(self):
        """[(files that make builds, what runs)]; the latter is given to run()"""
        raise NotImplementedError

    def targets(self):
        return [t for targets, _ in self.stages() for t in targets]

    def run(self, what, tree, log, seconds):
        """Returns (exit status or None if it had to be ended, output, executions or None)."""
        status, text = run(what, tree, log, 2 * seconds + HANG_SECONDS, self.environment(seconds))
        return status, text, None

    def environment(self, seconds):
        return {k: v for k, v in os.environ.items() if k != "PART"} | {
            "HAK_RESULTS": "/dev/null", "HAK_TEST_SECONDS": str(seconds), "BUILD": "build"}

    def seconds_unpatched(self, seconds):
        return seconds

    def try_on(self, tree, log, seconds):
        """Builds and runs it: the verdict."""
        stages = self.stages()
        verdict = Verdict(self.shown, False)
        for targets, what in stages:
            tree.make_targets(self.flavour, targets)
            begun = time.monotonic()
            status, text, executions = self.run(what, tree, log, self.share(seconds, stages))
            verdict.seconds += time.monotonic() - begun
            if executions is not None:
                verdict.executions = (verdict.executions or 0) + executions
            if status != 0:
                verdict.killed = True
                verdict.killer = self.shown + self.label(what)
                verdict.reason = "it hangs" if status is None else reason_in(text)
                return verdict
        return verdict

    def share(self, seconds, stages):
        """Of the budget, for one stage: a test takes what it takes."""
        return seconds

    def label(self, what):
        return ""


def run(command, tree, log, seconds, environment):
    """Returns (exit status or None if it had to be ended, output)."""
    with open(log, "w+b") as out:
        process = subprocess.Popen([str(c) for c in command], cwd=tree.folder,
                                   stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, env=environment,
                                   start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            status = None
        out.seek(0)
        return status, out.read().decode(errors="replace")


class Hunt(Killer):
    """The fuzzer on the kept corpus, then on from it, in each build of the target."""

    def __init__(self, target):
        super().__init__(target, target)

    def stages(self):
        return [([i.hunter(), fuzzing.BUILD / "ops"], i) for i in instances_of(self.name)]

    def run(self, what, tree, log, seconds):
        work = tree.folder / what.work() / "mutant"
        shutil.rmtree(work, ignore_errors=True)
        (work / "corpus").mkdir(parents=True)
        status, text = run(
            [what.hunter(), f"-max_total_time={seconds}", "-print_final_stats=1",
             f"-max_len={what.max_len}", f"-artifact_prefix={work}/", "-timeout=30",
             "-rss_limit_mb=4096", "-reload=0", "-seed=1", work / "corpus",
             seeds_of(what.target)],
            tree, log, seconds + HANG_SECONDS, fuzzing.environment_of(what))
        count = EXECUTIONS.search(text)
        if status == 0 and not count:
            fuzzing.die(f"{what.name}: ran nothing; see {log}")
        return status, text, int(count[1]) if count else 0

    def seconds_unpatched(self, seconds):
        return UNPATCHED_SECONDS

    def share(self, seconds, stages):
        return max(5, seconds // len(stages))

    def label(self, what):
        return f" {what.label}"


class Replay(Killer):
    """The kept corpus of a target, in plain builds."""

    def __init__(self, target):
        super().__init__(f"replay:{target}", f"corpus of {target}")
        flavour = "sched" if is_scheduled(target) else "audit"
        self.programs = [fuzzing.BUILD / f"{flavour}-gcc{g}/replay/{target}"
                         for g in ("-small", "")]

    def stages(self):
        return [([p], ["scripts/replay", p]) for p in self.programs]


class Walk(Killer):
    """The kept programs of a target under ever new schedules."""

    STRATEGIES = ("pct", "pos", "random")

    def __init__(self, target):
        super().__init__(f"walk:{target}", f"walks of {target}")
        self.target = target
        self.program = fuzzing.BUILD / f"sched-gcc-small/walk/{target}"

    def stages(self):
        return [([self.program, fuzzing.BUILD / "ops"], s) for s in self.STRATEGIES]

    def run(self, what, tree, log, seconds):
        work = tree.folder / "build/hunt" / self.target / "walk"
        shutil.rmtree(work, ignore_errors=True)
        (work / "out").mkdir(parents=True)
        status, text = run(
            [self.program, "--strategy", what, "--seconds", seconds, "--seed", 1, "--out",
             work / "out", "--found", work / "found", seeds_of(self.target),
             seeds_of(self.target)], tree, log, seconds + HANG_SECONDS, self.environment(seconds))
        counts = WALKED.findall(text)
        return status, text, int(counts[-1]) if counts else None

    def seconds_unpatched(self, seconds):
        return UNPATCHED_SECONDS

    def share(self, seconds, stages):
        return max(3, seconds // len(stages))

    def label(self, what):
        return f", {what}"


class Test(Killer):
    """A program of tests/unit or tests/api."""

    def __init__(self, name, flavour="audit"):
        plain = flavour == "audit"
        super().__init__(name if plain else f"{flavour}:{name}",
                         name if plain else f"{name}, {flavour}", flavour)
        # so_* are programs of the shared library, which has one geometry.
        geometries = [""] if "/so_" in name else ["-small", ""]
        self.programs = [fuzzing.BUILD / f"{flavour}-gcc{g}/tests/{name}" for g in geometries]

    def stages(self):
        return [([p], ["scripts/run-cmocka", p]) for p in self.programs]


class Suite(Killer):
    """All unit and API programs of a flavour, in the small geometry: states that are rare elsewhere
    are common there."""

    def __init__(self, flavour="audit"):
        super().__init__(f"{flavour}:tests", "all tests" if flavour == "audit" else
                         f"all tests, {flavour}", flavour)

    def stages(self):
        names = [f"{p.parent.name}/{p.stem}" for s in ("unit", "api")
                 for p in sorted((SOURCE / "tests" / s).glob("test_*.c"))]
        programs = [fuzzing.BUILD / f"{self.flavour}-gcc-small/tests/{n}" for n in names]
        return [(programs, ["scripts/run-cmocka", *programs])]

    def environment(self, seconds):
        return super().environment(seconds) | {"HAK_TEST_SECONDS": "120"}

    def run(self, what, tree, log, seconds):
        return super().run(what, tree, log, 600)


class Misuse(Killer):
    """The wrong programs, each of which must end as it should."""

    def __init__(self, flavour):
        super().__init__(f"{flavour}:misuse", f"misuse, {flavour}")
        suffix = "" if flavour == "release" else f"-{flavour}"
        self.library = fuzzing.BUILD / f"{flavour}-gcc/libhakmem{suffix}.so"

    def stages(self):
        programs = fuzzing.BUILD / "misuse-gcc"
        wrong = [p for p in (SOURCE / "tests/misuse").iterdir() if p.suffix in (".c", ".cc")]
        return [([self.library, *(programs / p.stem for p in wrong)],
                 ["tests/misuse/run", programs, self.library])]


class Wrong(Killer):
    """The wrong programs of users, under a tool that reports them."""

    ARCHIVES = {"asan": "asan-user-gcc/libhakmem-asan-user.a",
                "valgrind": "valgrind-gcc/libhakmem-valgrind.a",
                "msan": f"msan-{fuzzing.CLANG}/libhakmem-prefixed.a"}

    def __init__(self, tool):
        super().__init__(f"wrong:{tool}", f"wrong programs, {tool}")
        self.tool = tool

    def stages(self):
        archive = fuzzing.BUILD / self.ARCHIVES[self.tool]
        return [([archive], ["tests/wrong/run", self.tool, archive])]

    def environment(self, seconds):
        return super().environment(seconds) | {
            "CC": fuzzing.CLANG if self.tool == "msan" else "gcc"}


class Program(Killer):
    """A program that says by its status what it found."""

    def __init__(self, name, shown, path, *arguments):
        super().__init__(name, shown)
        self.path, self.arguments = fuzzing.BUILD / path, arguments

    def stages(self):
        return [([self.path], [self.path, *self.arguments])]


# ---- names ----


def instances_of(target):
    return [i for i in fuzzing.registry() if i.target == target]


def is_scheduled(target):
    return "sched-fuzz" in {i.flavour for i in instances_of(target)}


def seeds_of(target):
    """The folder of a target's seeds; encoded once, by encode()."""
    return fuzzing.ROOT / fuzzing.BUILD / "hunt" / target / "seeds"


def encode(killers):
    targets = {k.name for k in killers if isinstance(k, Hunt)}
    for target in targets | {k.target for k in killers if isinstance(k, Walk)}:
        fuzzing.encode_seeds(target)


def is_test(name):
    return re.fullmatch(r"(unit|api)/(test|so)_\w+", name) and any(
        (SOURCE / f"tests/{name}{ending}").is_file() for ending in (".c", ".cc"))


def is_scenario(name):
    return any(f'"{name}"' in p.read_text() for p in (SOURCE / "tests/model").glob("scenarios*.c"))


def killer_of(name):
    """The killer of that name, or None."""
    kind, _, rest = name.rpartition(":")
    if not kind:
        if name == "racing":
            return Program(name, name, "sched-hardened-gcc-small/tests/model/racing")
        if is_test(name):
            return Test(name)
        return Hunt(name) if instances_of(name) else None
    if kind == "replay":
        return Replay(rest) if instances_of(rest) else None
    if kind == "walk":
        return Walk(rest) if is_scheduled(rest) else None
    if kind == "wrong":
        return Wrong(rest) if rest in Wrong.ARCHIVES else None
    if kind == "model":
        scenario = rest.replace("_", " ")
        program = "sched-gcc-small/tests/model/protocol"
        return Program(name, f"model, {scenario}", program, scenario) if is_scenario(
            scenario) else None
    if rest == "misuse":
        return Misuse(kind)
    return Test(rest, kind) if is_test(rest) else None
