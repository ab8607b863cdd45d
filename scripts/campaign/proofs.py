"""The arms that prove what the hunt can find: exhaustive scenarios, weakened orders, mutants.

They run in parts, once; their weights are so large that a night of an hour gets through them.
"""

import json
import os
import re

import fuzzing

from campaign.arms import CC, Arm, absolute

MUTANT_PARTS = 12
MUTANTS_WEIGHT = 24
ORDERS_WEIGHT = 8

CERTIFICATE = re.compile(r"^\| (?!scenario|---)([^|]+) \| ([^|]+) \| (\d+) \| (\w+) \| (\d+) "
                         r"\| (\d+) \| ([\d.]+) \| (\w+) \|$", re.M)
# A site, or one part of its order: NAME-acquire.
ORDER = re.compile(r"^([A-Z][A-Z0-9_]+(?:-\w+)?) +(?:(survives|in no scenario)"
                   r"|(the program dies of a signal)|(\S.*?) +(\d+) (\w+))$", re.M)


class Model(Arm):
    once, parts, counts = True, 1, False
    seconds_max = 1800

    def __init__(self):
        super().__init__("model", "", "", 4)

    def programs(self):
        return [fuzzing.BUILD / f"sched-{CC}-small/tests/model/protocol"]

    def command(self, piece, corpus, seeds):
        return [absolute(self.programs()[0]), "--markdown"]

    def results(self, piece, text, status):
        keys = ("name", "what", "threads", "bound", "executions", "steps", "seconds", "verdict")
        return [("certificate", dict(zip(keys, row))) for row in CERTIFICATE.findall(text)]

    def failure(self, piece, text, status):
        return "make model"


def ordered_sites():
    """The sites of src/ that have an order to weaken."""
    text = (fuzzing.ROOT / "src/sites.h").read_text()
    return [name for name, why in re.findall(r"^\s*X\((\w+),\s*\"(\w*)", text, re.M)
            if why not in ("relaxed", "plain", "hint")]


class Orders(Arm):
    """A few sites at a time."""

    once, counts = True, False
    seconds_max = 600
    sites_per_part = 6

    def __init__(self):
        super().__init__("orders", "", "", ORDERS_WEIGHT)
        sites = ordered_sites()
        self.chosen = [sites[i:i + self.sites_per_part]
                       for i in range(0, len(sites), self.sites_per_part)]
        self.parts = len(self.chosen)

    def before(self, piece, number):
        self.sites = self.chosen[number % self.parts]

    def programs(self):
        return [fuzzing.BUILD / f"sched-tsan-{fuzzing.CLANG}-small/tests/model/protocol"]

    def environment(self, piece):
        return dict(os.environ) | {"TSAN_OPTIONS": "report_bugs=1:exitcode=0:log_path=/dev/null"}

    def command(self, piece, corpus, seeds):
        return [absolute(self.programs()[0]), "weaken", *self.sites]

    def results(self, piece, text, status):
        return [("order", {"site": site, "killed": not survives,
                           "scenario": scenario or dies or survives, "executions": int(count or 0),
                           "strategy": how})
                for site, survives, dies, scenario, count, how in ORDER.findall(text)]

    def failure(self, piece, text, status):
        return "make orders"


class Mutants(Arm):
    """The named bugs, neighbours of the table at a time."""

    once, parts, counts = True, MUTANT_PARTS, False
    alone_in = "mutants"
    prepare = ("scripts/mutants", "build")
    judged = True
    seconds_max = 900

    def __init__(self):
        super().__init__("mutants", "", "", MUTANTS_WEIGHT)

    def before(self, piece, number):
        self.number = number % MUTANT_PARTS + 1
        self.file = absolute(fuzzing.BUILD / "mutants/results.json")
        self.file.unlink(missing_ok=True)

    def environment(self, piece):
        drop = ("MAKEFLAGS", "MAKELEVEL", "MUTANT", "TARGET")
        return {k: v for k, v in os.environ.items() if k not in drop} | {
            "PART": f"{self.number}/{MUTANT_PARTS}", "JOBS": "1", "ALL": "0",
            "BUILD": str(fuzzing.BUILD)}

    def command(self, piece, corpus, seeds):
        return [fuzzing.ROOT / "scripts/mutants"]

    def results(self, piece, text, status):
        rows = json.loads(self.file.read_text()) if self.file.exists() else []
        return [("mutant", row) for row in rows]


class Generated(Arm):
    """Random changes of the source, a few at a time. One that survives is no finding."""

    once, parts, counts = True, 4, False
    alone_in = "mutants"
    prepare = ("scripts/mutants-generated", "build")
    seconds_max = 900
    changes = 6

    def __init__(self):
        super().__init__("generated", "", "", 6)

    def before(self, piece, number):
        self.file = absolute(fuzzing.BUILD / "mutants/generated.json")
        self.file.unlink(missing_ok=True)

    def environment(self, piece):
        drop = ("MAKEFLAGS", "MAKELEVEL", "ONLY", "TARGET")
        return {k: v for k, v in os.environ.items() if k not in drop} | {
            "COUNT": str(self.changes), "SEED": str(piece.seed), "JOBS": "1",
            "BUILD": str(fuzzing.BUILD)}

    def command(self, piece, corpus, seeds):
        return [fuzzing.ROOT / "scripts/mutants-generated"]

    def results(self, piece, text, status):
        rows = json.loads(self.file.read_text())["rows"] if self.file.exists() else []
        return [("generated", row) for row in rows]
