"""The parts of a campaign that can be asked alone."""

import json
import random
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

import support
from campaign import arms, corpora, findings, journal, proofs, roster, screen
from campaign.budget import BAD_MAX, Budget


class FolderTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="hakmem-parts-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)


class JournalTest(FolderTest):
    def open(self):
        made = journal.Journal(self.folder, reserve_mb=0, say=lambda text: None)
        made.load()
        return made

    def test_reads_what_it_wrote(self):
        made = self.open()
        made.put("begin", seed=3)
        made.put("slice", id=1, arm="walk")
        again = self.open()
        self.assertEqual(again.events, made.events)
        self.assertTrue(journal.is_open(again.events))
        self.assertEqual([e["id"] for e in journal.unfinished(again.events)], [1])
        made.put("ended", id=1, arm="walk", why="time")
        made.put("end", status=0)
        self.assertFalse(journal.is_open(self.open().events))
        self.assertEqual(journal.unfinished(self.open().events), [])

    def test_every_torn_end_is_cut_off(self):
        made = self.open()
        made.put("begin", seed=3)
        whole = made.path.read_bytes()
        made.put("note", text="a line that was being written")
        both = made.path.read_bytes()
        for size in range(len(whole), len(both)):
            made.path.write_bytes(both[:size])
            self.assertEqual(len(self.open().events), 1)
            self.assertEqual(made.path.read_bytes(), whole)

    def test_a_bad_line_inside_is_an_error(self):
        (self.folder / "journal.jsonl").write_text('{"e": "begin"}\nnothing\n{"e": "end"}\n')
        with self.assertRaisesRegex(SystemExit, "journal.jsonl:2"):
            self.open()

    def test_room_again_is_more_than_room(self):
        made, said, free = self.open(), [], []
        made.say, made.reserve_bytes = said.append, 1000
        self.addCleanup(setattr, shutil, "disk_usage", shutil.disk_usage)
        shutil.disk_usage = lambda _: SimpleNamespace(free=free[-1])
        seen = []
        for left in (1000, 999, 1000, 1499, 1500, 1000, 999):
            free.append(left)
            seen.append(made.room())
        self.assertEqual(seen, [True, False, False, False, True, True, False])
        self.assertEqual(len(said), 3)

    def test_the_clock_goes_on(self):
        made = self.open()
        made.used_before = 100
        made.put("begin")
        self.assertGreaterEqual(self.open().used(), 100)


class BudgetTest(unittest.TestCase):
    class Arm:
        def __init__(self, name, weight=1, once=False):
            self.name, self.weight, self.once, self.parts = name, weight, once, 1
            self.alone_in = ""

    def spend(self, arms_, gains, slices=400):
        """Seconds per arm when each slice of an arm shows gains[name](its number) new features."""
        budget = Budget(arms_)
        spent, seen = dict.fromkeys((a.name for a in arms_), 0), {}
        for _ in range(slices):
            arm = budget.next()
            if arm is None:
                break
            number = budget.accounts[arm.name].slices
            seen[arm.name] = seen.get(arm.name, 1000) + gains.get(arm.name, lambda n: 0)(number)
            budget.ended({"arm": arm.name, "why": "time", "took": 20, "seen": seen[arm.name],
                          "sample": arm.name})
            spent[arm.name] += 20
        return spent

    def test_every_arm_runs_once_first(self):
        budget = Budget([self.Arm(n) for n in "abc"])
        names = []
        for _ in range(3):
            arm = budget.next()
            names.append(arm.name)
            budget.ended({"arm": arm.name, "why": "time", "took": 20, "new": 100})
        self.assertEqual(names, ["a", "b", "c"])

    def test_time_by_weight(self):
        spent = self.spend([self.Arm("a", 1), self.Arm("b", 3)], {})
        self.assertAlmostEqual(spent["b"] / spent["a"], 3, delta=.3)

    def test_more_for_what_finds_until_it_stops(self):
        both = [self.Arm("a"), self.Arm("b")]
        spent = self.spend(both, {"a": lambda n: 50})
        self.assertGreater(spent["a"], 5 * spent["b"])
        self.assertGreater(spent["b"], 0)
        early = self.spend(both, {"a": lambda n: 50 if n < 10 else 0}, 1000)
        self.assertLess(early["a"], 2 * early["b"])

    def test_long_ones_are_not_begun_at_the_end(self):
        arm = self.Arm("a")
        arm.seconds_max = 100
        self.assertIsNone(Budget([arm]).next(left=49))
        self.assertEqual(Budget([arm]).next(left=50).name, "a")

    def test_one_folder_holds_one_slice(self):
        both = [self.Arm("a", once=True), self.Arm("b", once=True)]
        both[0].alone_in = both[1].alone_in = "mutants"
        budget = Budget([*both, self.Arm("c")])
        self.assertEqual([budget.next().name, budget.next().name, budget.next()],
                         ["a", "c", None])
        budget.ended({"arm": "a", "why": "time", "took": 20})
        self.assertEqual(budget.next().name, "b")

    def test_bad_slices_bench_an_arm(self):
        budget = Budget([self.Arm("a")])
        for _ in range(BAD_MAX):
            budget.ended({"arm": budget.next().name, "why": "hang", "took": 20})
        self.assertIsNone(budget.next())
        self.assertEqual(budget.benched(), ["a"])

    def test_what_was_cut_off_runs_again(self):
        budget = Budget([self.Arm("a", once=True)])
        budget.ended({"arm": budget.next().name, "why": "stopped"})
        self.assertEqual(budget.next().name, "a")
        budget.ended({"arm": "a", "why": "time", "took": 1})
        self.assertIsNone(budget.next())


class CoverTest(unittest.TestCase):
    def test_covers_everything_with_little(self):
        chance = random.Random(5)
        for _ in range(50):
            table = {f"f{i}": {chance.randrange(60) for _ in range(chance.randrange(1, 20))}
                     for i in range(40)}
            sizes = {name: chance.randrange(1, 4000) for name in table}
            chosen = corpora.cover(table, sizes)
            self.assertEqual(set().union(*(table[n] for n, _ in chosen)),
                             set().union(*table.values()))
            self.assertTrue(all(gain > 0 for _, gain in chosen))
            self.assertEqual(sum(gain for _, gain in chosen), len(set().union(*table.values())))
            self.assertLess(len(chosen), len(table))

    def test_one_file_that_has_all(self):
        table = {"all": {1, 2, 3}, "a": {1}, "b": {2}}
        self.assertEqual(corpora.cover(table, dict.fromkeys(table, 100)), [("all", 3)])

    def test_nothing(self):
        self.assertEqual(corpora.cover({}, {}), [])

    def test_control_file(self):
        text = "2\n0\n/x/a\n/x/b\nSTARTED 0 12\nFT 0 5 7\nCOV 0 1\nSTARTED 1 4\nFT 1 7\nSTARTED 1"
        self.assertEqual(corpora.parse_control(text), {"/x/a": {5, 7}, "/x/b": {7}})


class ClassTest(unittest.TestCase):
    ASAN = """==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x50200 at pc 0x55
READ of size 8 at 0x50200 thread T0
    #0 0x5583 in slab_harvest /x/src/slab.c:301:12
    #1 0x5584 in heap_drain /x/src/heap.c:88:5
    #2 0x5585 in main /x/fuzz/replay.c:100:5
"""
    TSAN = """WARNING: ThreadSanitizer: data race (pid=7)
  Write of size 8 at 0x7f01 by thread T1:
    #0 slab_begin /x/src/slab.c:120:9 (fuzz+0x1)

  Previous read of size 8 at 0x7f01 by main thread:
    #0 slab_find /x/src/slab.c:44:9 (fuzz+0x2)
"""

    def test_reports_of_sanitizers(self):
        self.assertEqual(findings.class_of(self.ASAN), findings.Class(
            "AddressSanitizer heap-use-after-free", ("slab_harvest slab.c:301",
                                                     "heap_drain heap.c:88")))
        self.assertEqual(findings.class_of(self.TSAN), findings.Class(
            "ThreadSanitizer data race", ("slab_begin slab.c", "slab_find slab.c")))

    def test_numbers_make_no_class(self):
        one = "fuzz_api: found: operation 12: t0 free s3: block 0x7e1000 of 64 bytes is lost"
        two = "fuzz_api: found: operation 7: t1 free s9: block 0x7e9000 of 128 bytes is lost"
        end = "fuzz_api: found: at the end: block 0x7e9000 of 128 bytes is lost"
        other = "fuzz_api: found: operation 7: t1 free s9: wrong errno 12"
        self.assertEqual(findings.class_of(one), findings.class_of(end))
        self.assertEqual(findings.class_of(one), findings.class_of(two))
        self.assertNotEqual(findings.class_of(one), findings.class_of(other))
        self.assertRegex(findings.class_of(one).slug(), r"^block-of-bytes-is-lost-[0-9a-f]{6}$")


class FindingsTest(FolderTest):
    """Loads and scenarios: findings without an input."""

    SAID = ("FAILED larson (exit status 1), output in x:\n"
            "    FAIL larson: before free: block 0x7f00 of 64 bytes: found 0x1\n")

    def open(self):
        self.journal = journal.Journal(self.folder, reserve_mb=0)
        return findings.Findings(self.folder / "findings/2026-11-20", self.journal,
                                 self.folder / "found")

    def test_a_class_has_one_folder_and_counts(self):
        made = self.open()
        take = ("larson", "stress larson tsan", "make stress LOAD=larson SEED=5")
        self.assertTrue(made.take_report(*take, self.SAID))
        self.assertFalse(made.take_report(*take, self.SAID.replace("64", "128")))
        self.assertTrue(made.take_report(*take, "WARNING: ThreadSanitizer: data race (pid=1)\n"))
        self.assertEqual(made.count(), 2)
        path = made.known("larson", findings.class_of(self.SAID), None) / "finding.json"
        self.assertEqual(json.loads(path.read_text())["inputs"], 2)
        self.assertIn("FAIL larson: before free", made.again(path.parent)["class"]["fault"])
        self.assertIn("    make stress LOAD=larson SEED=5\n",
                      (path.parent / "README.md").read_text())
        news = [e["is_new"] for e in self.journal.events]
        self.assertEqual(news, [True, False, True])
        # Another start knows them.
        again = self.open()
        self.assertEqual(again.count(), 2)
        self.assertFalse(again.take_report(*take, self.SAID))


class AcceptTest(FolderTest):
    def test_copies_what_is_new(self):
        seed = self.folder / "corpus/fuzz_x/seed"
        seed.mkdir(parents=True)
        proposed = self.folder / "campaign/proposal/fuzz_x"
        proposed.mkdir(parents=True)
        for name in ("found-1", "found-2", "features.json"):
            (proposed / name).write_text(name)
        (seed / "found-1").write_text("kept as it is")
        root, corpora.fuzzing.ROOT = corpora.fuzzing.ROOT, self.folder
        self.addCleanup(setattr, corpora.fuzzing, "ROOT", root)
        self.assertEqual(corpora.accept(self.folder / "campaign"), [seed / "found-2"])
        self.assertEqual((seed / "found-1").read_text(), "kept as it is")
        self.assertEqual(sorted(p.name for p in seed.iterdir()), ["found-1", "found-2"])


class WalkTest(FolderTest):
    """fuzz/walk.c and fuzz/species.c, as arms.py reads them."""

    def setUp(self):
        super().setUp()
        self.build = support.ROOT / support.BUILD
        self.program = self.build / f"sched-{arms.CC}-small/walk/fuzz_exit"
        made = subprocess.run(["make", f"BUILD={support.BUILD}", self.relative(self.program),
                               f"{support.BUILD}/ops"], cwd=support.ROOT, capture_output=True,
                              text=True, env=support.plain_environment())
        self.assertEqual(made.returncode, 0, made.stdout[-2000:] + made.stderr[-2000:])
        seed = support.ROOT / "corpus/fuzz_exit/seed/late-and-fork.ops"
        (self.folder / "seeds").mkdir()
        subprocess.run([self.build / "ops", "records", seed, self.folder / "seeds/one"], check=True)

    def relative(self, path):
        return f"{support.BUILD}/{path.relative_to(self.build)}"

    def walk(self, *arguments, **environment):
        return subprocess.run([self.program, *arguments, self.folder / "seeds"],
                              capture_output=True, text=True,
                              env=support.plain_environment() | environment)

    def test_counts_species(self):
        sample = self.folder / "sample"
        (self.folder / "out").mkdir()
        ran = self.walk("--strategy", "pos", "--executions", "500", "--seed", "3", "--out",
                        self.folder / "out", "--pairs", self.folder / "pairs",
                        HAK_SPECIES=str(sample))
        self.assertEqual(ran.returncode, 0, ran.stderr)
        head = arms.read_species(sample)
        self.assertEqual(head["executions"], 500)
        counts = sample.read_bytes()[128 + 65536 * 8:]
        self.assertEqual(head["seen"], sum(c > 0 for c in counts))
        self.assertEqual(head["singles"], counts.count(1))
        self.assertEqual(head["doubles"], counts.count(2))
        self.assertGreater(head["pairs"], 50)
        rows = [line.split() for line in (self.folder / "pairs").read_text().splitlines()]
        # The sample hashes pairs into 4096 places: it may see fewer, never more.
        self.assertLessEqual(head["pairs"], len(rows))
        self.assertTrue(all(0 < int(n) <= 500 for _, _, n in rows))
        kept = list((self.folder / "out").iterdir())
        self.assertGreater(len(kept), 1)
        # What was kept shows nothing new when it runs again.
        again = subprocess.run([self.program, "--strategy", "kept", self.folder / "out"],
                               capture_output=True, text=True,
                               env=support.plain_environment() | {"HAK_SPECIES": str(sample)})
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(arms.read_species(sample)["seen"], head["seen"])
        self.assertEqual(arms.read_species(sample)["executions"], 500)

    def test_same_seed_same_walk(self):
        seen = []
        for number in (1, 2):
            pairs = self.folder / f"pairs{number}"
            self.walk("--strategy", "random", "--executions", "200", "--seed", "9", "--pairs",
                      pairs)
            seen.append(pairs.read_text())
        self.assertEqual(*seen)

    def test_keeps_the_input_that_fails(self):
        found = self.folder / "found"
        ran = self.walk("--strategy", "pos", "--executions", "5000", "--found", found,
                        HAK_WEAKEN="INBOX_PUSH")
        self.assertNotEqual(ran.returncode, 0)
        replayed = subprocess.run([self.program, "--strategy", "kept", found], capture_output=True,
                                  text=True, env=support.plain_environment() | {
                                      "HAK_WEAKEN": "INBOX_PUSH"})
        self.assertNotEqual(replayed.returncode, 0)
        self.assertIn("found: ", replayed.stderr)

    def test_keeps_nothing_when_nothing_fails(self):
        ran = self.walk("--strategy", "pct", "--executions", "20", "--found",
                        self.folder / "found")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual((self.folder / "found").read_bytes(), b"")

    def test_a_hang_is_told(self):
        # A sample that is none, options that are none.
        (self.folder / "bad").write_bytes(struct.pack("<Q", 5) + bytes(1 << 20))
        for arguments, environment in ((("--strategy", "best"), {}), (("--seconds", "x"), {}),
                                       (("--strategy", "pct"), {}),
                                       (("--strategy", "kept"),
                                        {"HAK_SPECIES": str(self.folder / "bad")})):
            ran = self.walk(*arguments, **environment)
            self.assertEqual(ran.returncode, 2, ran.stderr)
            self.assertNotEqual(ran.stderr, "")


class ArmTest(unittest.TestCase):
    def test_the_whole_registry_is_hunted(self):
        every = roster.every()
        names = [a.name for a in every]
        self.assertEqual(len(names), len(set(names)))
        kinds = {a.kind for a in every}
        self.assertEqual(kinds, {"canary", "libfuzzer", "walk", "tsan", "model", "afl", "stress",
                                 "orders", "mutants", "generated"})
        targets = {a.target for a in every if a.kind == "libfuzzer"}
        self.assertEqual(targets, {i.target for i in arms.fuzzing.registry()
                                   if i.kind != "canary"})

    def test_every_load_is_known(self):
        text = (support.ROOT / "stress/rules.mk").read_text()
        loads = text.split("STRESS_LOADS := ")[1].split("\n")[0].split()
        self.assertEqual(set(loads), set(roster.LOADS) | {"soak"})

    def test_orders_in_parts(self):
        orders = proofs.Orders()
        sites = [s for part in orders.chosen for s in part]
        self.assertEqual(sites, proofs.ordered_sites())
        self.assertIn("INBOX_PUSH", sites)
        self.assertNotIn("LOCK_PEEK", sites)
        self.assertEqual(orders.parts, len(orders.chosen))

    def test_tables_are_read(self):
        text = ("| scenario | what | threads | bound | executions | steps | seconds | |\n"
                "|---|---|---|---|---|---|---|---|\n"
                "| sweep x borrow | sweeps; borrows | 2 | all | 14 | 65 | 0.0 | ok |\n")
        self.assertEqual(proofs.Model().results(None, text, 0), [("certificate", {
            "name": "sweep x borrow", "what": "sweeps; borrows", "threads": "2", "bound": "all",
            "executions": "14", "steps": "65", "seconds": "0.0", "verdict": "ok"})])
        text = ("INBOX_TAKE               two slabs x drain               283 pos\n"
                "GATE_X-acquire           survives\nHEAP_Y  the program dies of a signal\n"
                "LOCK_Z                   in no scenario\n")
        rows = [v for _, v in proofs.Orders().results(None, text, 0)]
        self.assertEqual([(r["site"], r["killed"], r["executions"]) for r in rows],
                         [("INBOX_TAKE", True, 283), ("GATE_X-acquire", False, 0),
                          ("HEAP_Y", True, 0), ("LOCK_Z", False, 0)])


class MutantsTest(FolderTest):
    """The whole way is `make mutants`; this is what must not let a survivor through."""

    def mutants(self, *arguments, **variables):
        return subprocess.run([support.ROOT / "scripts/mutants", *arguments], capture_output=True,
                              text=True, env=support.plain_environment() | variables)

    def test_the_table_is_whole(self):
        checked = self.mutants("check")
        self.assertEqual((checked.returncode, checked.stdout), (0, ""))

    def test_a_part_is_of_the_commit(self):
        for part in ("0/3", "4/3", "commit/0", "x"):
            self.assertEqual(self.mutants(PART=part).returncode, 2, part)

    def test_changes_are_the_same_for_a_seed(self):
        listed = subprocess.run([support.ROOT / "scripts/mutants-generated", "list"],
                                capture_output=True, text=True, check=True).stdout.splitlines()
        self.assertGreater(len(listed), 1500)
        self.assertEqual(len({line.split()[1] for line in listed}), 4)
        for line in listed:
            self.assertNotRegex(line, "MITIGATE_|HAK_ASSERT|seam/")


class ScreenTest(unittest.TestCase):
    def test_rows(self):
        every = [a for a in roster.every() if a.target == "fuzz_exit"]
        events = [{"e": "ended", "arm": "walk fuzz_exit pct", "executions": 2_000_000,
                   "pairs": 100, "last_new_at": 5, "why": "time"},
                  {"e": "finding", "is_new": True, "target": "fuzz_exit"}]
        live = {1: (every[0], {"executions": 50, "rate": 10, "coverage": 900})}
        row = screen.rows_of(events, live, every)["fuzz_exit"]
        self.assertEqual((row.executions, row.rate, row.coverage, row.pairs, row.findings),
                         (2_000_050, 10, 900, 100, 1))
        self.assertEqual(screen.short(2_000_050), "2.0M")
        self.assertEqual(json.dumps([screen.clock(s) for s in (9, 75, 7200)]),
                         '["9s", "1m15s", "2h00m"]')


if __name__ == "__main__":
    unittest.main()
