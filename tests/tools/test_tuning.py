#!/usr/bin/python3
"""The parts of hakmem-tune, on simulated programs: costs are known, so the right verdict is too.

Appends a line for each test to $HAK_RESULTS (see scripts/tally). Everything is drawn from fixed
seeds.
"""

import math
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from tuning import arms, bandit, measure, tuner, verdict  # noqa: E402  (the path comes first)

BASE = arms.complete({})
SECONDS = {"seconds": 1.0}


class Simulation:
    """A program whose time is `cost(settings)`, times noise, times what the machine does."""

    def __init__(self, cost, seed, noise=0.02, drift=0.0):
        self.cost, self.noise, self.drift = cost, noise, drift
        self.random = random.Random(seed)
        self.runs = 0

    def __call__(self, settings):
        self.runs += 1
        seconds = self.cost(settings) * math.exp(self.random.gauss(0, self.noise))
        return measure.Measured(seconds * (1 + self.drift * self.runs), seconds, 1000)


def tune(cost, seed, base=BASE, **more):
    search = tuner.Tuner(Simulation(cost, seed, **more), tuner.Objective(SECONDS), base,
                         arms.variations(base), seed)
    return search, search.tune(-(-3 * len(search.tried) // 2))


def won(outcomes):
    return outcomes[-1].settings if outcomes and outcomes[-1].verdict == "better" else None


class Search(unittest.TestCase):
    def test_nothing_beats_equal_arms(self):
        """At most 5 % of searches may claim a gain where there is none: of 200 at most 17, which
        5 % exceed once in 50 times; all are equal, so each claim is wrong."""
        wrong = sum(won(tune(lambda settings: 1.0, seed)[1]) is not None for seed in range(200))
        self.assertLessEqual(wrong, 17)

    def test_best_defaults_stay(self):
        def cost(settings):
            return 1.0 if settings == BASE else 1.05
        for seed in range(20):
            self.assertIsNone(won(tune(cost, seed)[1]))

    def test_planted_bad_default(self):
        def cost(settings):
            return 1.0 + 0.1 * (settings["purge_delay_ms"] == 0) + 0.2 * (settings["cache_kib"] < 9)
        base = {**BASE, "cache_kib": 1, "purge_delay_ms": 0}
        for seed in range(20):
            found = won(tune(cost, seed, base)[1])
            self.assertIsNotNone(found)
            self.assertGreater(found["cache_kib"], 1)

    def test_options_are_joined(self):
        def cost(settings):
            return (0.9 if settings["huge_pages"] else 1.0) * \
                (0.9 if settings["cache_kib"] == 512 else 1.0)
        found = [won(tune(cost, seed)[1]) for seed in range(20)]
        both = sum(f is not None and f["huge_pages"] == 1 and f["cache_kib"] == 512 for f in found)
        self.assertGreaterEqual(both, 18)

    def test_what_gains_nothing_is_not_joined(self):
        def cost(settings):
            return (0.8 if settings["huge_pages"] else 1.0) * \
                (0.998 if settings["cache_kib"] == 256 else 1.0)
        for seed in range(20):
            self.assertEqual(won(tune(cost, seed, noise=0.0005)[1]), {**BASE, "huge_pages": 1})

    def test_drift_is_no_gain(self):
        """A machine that becomes slower with every run hits the base and the others alike."""
        wrong = sum(won(tune(lambda settings: 1.0, seed, drift=0.02)[1]) is not None
                    for seed in range(40))
        self.assertLessEqual(wrong, 5)

    def test_interval_holds_the_truth(self):
        def cost(settings):
            return 0.8 if settings["huge_pages"] else 1.0
        for seed in range(20):
            last = tune(cost, seed)[1][-1]
            self.assertEqual(last.verdict, "better")
            self.assertTrue(last.low < math.log(1 / 0.8) + 0.05 and last.high > math.log(1 / 0.8))

    def test_stops_when_significant(self):
        _, outcomes = tune(lambda settings: 0.5 if settings["huge_pages"] else 1.0, 1)
        self.assertEqual(outcomes[-1].pairs, verdict.LOOKS[0])

    def test_a_small_gain_is_none(self):
        def cost(settings):
            return 0.998 if settings["huge_pages"] else 1.0
        for seed in range(5):
            self.assertIsNone(won(tune(cost, seed, noise=0.0005)[1]))

    def test_same_seed_same_search(self):
        first, second = (tune(lambda settings: 1.0, 7)[0].standings() for _ in range(2))
        self.assertEqual(first, second)


class Bandit(unittest.TestCase):
    def test_each_arm_first(self):
        one = bandit.Bandit()
        for _ in range(5):
            one.add()
        chosen = one.choose(2)
        for arm in chosen:
            one.record(arm, 1)
        self.assertFalse(set(chosen) & set(one.choose(2)))

    def test_bounds_by_hand(self):
        one = bandit.Bandit()
        one.add(), one.add()
        one.record(0, -1.0), one.record(0, 0.0), one.record(1, 1.0), one.record(1, 1.0)
        reach = math.sqrt(2 * math.log(4) / 2)
        self.assertAlmostEqual(one.bounds()[0], 0.25 + reach)
        self.assertAlmostEqual(one.bounds()[1], 1.0 + reach)

    def test_best_arm_played_most(self):
        rng = random.Random(3)
        one = bandit.Bandit()
        for _ in range(10):
            one.add()
        for _ in range(1000):
            for arm in one.choose(1):
                one.record(arm, rng.gauss(0.5 if arm == 4 else 0.0, 0.1))
        plays = [len(rewards) for rewards in one.rewards]
        self.assertEqual(max(plays), plays[4])
        self.assertGreater(plays[4], 500)
        self.assertGreater(min(plays), 5)  # and none is given up


class Ratings(unittest.TestCase):
    def test_by_hand(self):
        ratings = bandit.Ratings()
        ratings.play("a", 1.0, "b", 2.0)
        self.assertAlmostEqual(ratings.of["a"], 1500 + bandit.K_FACTOR / 2)
        self.assertAlmostEqual(ratings.of["b"], 1500 - bandit.K_FACTOR / 2)
        ratings.of = {"a": 1700, "b": 1300}
        ratings.play("a", 2.0, "b", 1.0)
        self.assertAlmostEqual(ratings.of["a"], 1700 - bandit.K_FACTOR / 1.1)

    def test_draw(self):
        ratings = bandit.Ratings()
        ratings.play("a", 1.0, "b", 1.001)
        self.assertEqual(ratings.of, {"a": 1500, "b": 1500})


class Verdict(unittest.TestCase):
    def test_interval_by_table(self):
        """6 differences: Student's t of 5 degrees for a tail of 0.05 / 6 / 2 is 4.2193."""
        gains = [0.1, 0.2, 0.3, 0.1, 0.2, 0.3]
        mean, low, high = verdict.interval(gains)
        error = math.sqrt(sum((g - 0.2) ** 2 for g in gains) / 5 / 6)
        self.assertAlmostEqual(mean, 0.2)
        self.assertAlmostEqual((high - low) / 2 / error, 4.2193, places=3)

    def test_judge(self):
        self.assertEqual(verdict.judge([0.10, 0.11, 0.09, 0.10, 0.11, 0.09], 0.01), "better")
        self.assertEqual(verdict.judge([0.0, 0.001, -0.001] * 2, 0.01), "not better")
        self.assertEqual(verdict.judge([0.1, -0.1, 0.2] * 2, 0.01), "unknown")
        self.assertEqual(verdict.judge([0.1] * 6, 0.01), "better")  # memory may have no noise


class Arms(unittest.TestCase):
    def test_options_of_the_library(self):
        """Names, ranges and defaults are those of src/options.c."""
        with open(os.path.join(ROOT, "src", "options.c")) as file:
            table = {name: tuple(map(int, numbers.split(",")))
                     for name, numbers in re.findall(r"X\((\w+), (\d+, *\d+, *\d+), *\"",
                                                     file.read())}
        self.assertGreater(len(table), 3)
        for name, bounds in arms.RANGES.items():
            self.assertEqual((*bounds, arms.DEFAULTS[name]), table[name])

    def test_bounds_of_prewarm(self):
        """Those of src/config.h, whose classes to 1 KiB are SMALL_CLASSES."""
        program = "".join(f"_Static_assert({c_name} == {value}, \"\");\n" for c_name, value in (
            ("CLASS_REQUEST_MAX", arms.PREWARM_SIZE_MAX),
            ("MAGAZINE_BLOCKS_MAX", arms.PREWARM_BLOCKS_MAX),
            ("PREWARM_CLASSES_MAX", arms.PREWARM_PAIRS_MAX),
            ("PREWARM_BYTES_MAX", arms.PREWARM_BYTES_MAX)))
        subprocess.run(["gcc", "-x", "c", "-fsyntax-only", "-DGEOMETRY_SMALL=0",
                        "-DHAK_MITIGATIONS=0", "-DHAK_CEILING=0", "-DHAK_CHECKED=0",
                        f"-I{ROOT}/src", "-include", "config.h", "-"], input=program, text=True,
                       check=True)
        steps = [b - a for a, b in zip(arms.SMALL_CLASSES, arms.SMALL_CLASSES[1:])]
        self.assertEqual(steps, [16] * 7 + [32] * 4 + [64] * 4 + [128] * 4)

    def test_each_choice_is_valid(self):
        for knob in arms.KNOBS:
            for choice in knob:
                settings = arms.complete(choice)
                self.assertEqual(arms.complete(arms.parse(",".join(arms.items(settings)))),
                                 settings)

    def test_variations_and_combinations(self):
        tried = arms.variations(BASE)
        self.assertEqual(len(tried), sum(len(knob) for knob in arms.KNOBS) - len(arms.KNOBS))
        self.assertNotIn(BASE, tried)
        prewarmed = [s for s in tried if s["prewarm"]]
        self.assertEqual(len(prewarmed), 4)
        gains = [(s, 0.1 if s["huge_pages"] else 0.2 if s == prewarmed[3] else 0.1 if s["prewarm"]
                  else -0.1) for s in tried]
        self.assertEqual(arms.combinations(BASE, gains), [{**prewarmed[3], "huge_pages": 1}])
        sizes = [len(knob) for knob in arms.KNOBS]
        self.assertEqual(len(arms.grid()), math.prod(sizes))

    def test_refused(self):
        for text in ("x=1", "cache_kib", "cache_kib=", "cache_kib=-1", "cache_kib=0",
                     "cache_kib=65537", "cache_kib=1,cache_kib=2", "stats=1", "cache_kib=١",
                     "prewarm=", "prewarm=1", "prewarm=0:1", "prewarm=1:0", "prewarm=262145:1",
                     "prewarm=1:1024", "prewarm=1:1+", "prewarm=262144:65", "prewarm_threads=65",
                     "prewarm=" + "+".join(["1:1"] * 33)):
            with self.assertRaises(arms.Wrong, msg=text):
                arms.parse(text)

    def test_weights(self):
        objective = tuner.Objective({"seconds": 1.0, "rss_kib": 1.0})
        self.assertAlmostEqual(objective.cost(measure.Measured(4.0, 0.0, 100)), 20.0)
        for wrong in ({}, {"seconds": 0.0}, {"seconds": 2.0, "rss_kib": -1.0}):
            with self.assertRaises(arms.Wrong):
                tuner.Objective(wrong)


class Trace(measure.Trace):
    """A trace whose first replay takes 40 times as long as the next ones: it meets fresh memory.
    Of the first runs the one with the number `disturbed` takes half a second more."""

    REPEAT, FRESH, OWN = 50e-6, 2e-3, 10e-3

    def __init__(self, disturbed=None):
        super().__init__("none", "none", "none", 1)
        self.disturbed = disturbed
        self.runs = 0

    def replay(self, settings, repeats):
        seconds = self.FRESH + self.REPEAT * (repeats - 1) + 0.5 * (self.runs == self.disturbed)
        self.runs += 1
        return (measure.Measured(seconds + self.OWN, seconds + self.OWN, 3000),
                {"seconds": seconds, "cpu_seconds": seconds, "rss_before_kib": 1000})


class Calibration(unittest.TestCase):
    def test_a_run_is_long(self):
        """The first replay says little of how long many of them take; nor does one run."""
        for disturbed in (None, *range(10)):
            trace = Trace(disturbed)
            measured = trace.run({})
            self.assertGreaterEqual(measured.seconds, trace.SECONDS_MIN)
            self.assertLess(measured.seconds, 2 * trace.SECONDS_MIN)
            self.assertAlmostEqual(trace.own.cpu, trace.OWN)
            self.assertEqual(measured.rss_kib, 2000)

    def test_what_comes_before_counts(self):
        """What an option makes the tool do before the replay begins is not in the tool's report."""
        tool = """#!/usr/bin/python3
import os, time
while time.process_time() < ("prewarm=" in os.environ["HAKMEM_OPTIONS"]) * 0.3: pass
print('{"seconds": 0.25, "cpu_seconds": 0, "rss_before_kib": 1, "rss_peak_kib": 2}')
"""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tool")
            with open(path, "w", encoding="ascii") as script:
                script.write(tool)
            os.chmod(path, 0o755)
            trace = measure.Trace(path, "none", "none", 60)
            cpu = [trace.run(arms.complete(settings)).cpu
                   for settings in ({}, {"prewarm": "16:1"})]
            self.assertGreater(cpu[1], cpu[0] + 0.2)


class Recorded(unittest.TextTestResult):
    def stopTest(self, test):  # noqa: N802  (unittest's name)
        super().stopTest(test)
        bad = any(test is failed for failed, _ in self.failures + self.errors)
        with open(os.environ.get("HAK_RESULTS", os.devnull), "a") as results:
            results.write(f"{'fail' if bad else 'pass'} tools:{test.id().split('.', 1)[1]}\n")


if __name__ == "__main__":
    unittest.main(testRunner=unittest.TextTestRunner(resultclass=Recorded))
