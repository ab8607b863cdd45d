#!/usr/bin/python3
"""The heap profile of a program whose allocations are known, as pprof reads it.

usage: tests/tools/test_profile.py LIBHAKMEM.so

`go tool pprof` is the viewer: it finds the functions, and adds up. Appends a line for each test to
$HAK_RESULTS (see scripts/tally). The random numbers are fixed, so a run is like another.
"""

import collections
import glob
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = os.path.abspath(sys.argv.pop(1))
INTERVAL = 16384
# Function: blocks, bytes of each, kept.
KNOWN = {"keep_small": (40000, 100, True), "keep_zeroed": (500, 5000, True),
         "free_at_once": (300000, 64, False), "cross": (20000, 250, False)}

Sample = collections.namedtuple("Sample", "values functions labels")


def setUpModule():
    global folder
    folder = tempfile.TemporaryDirectory()
    source = os.path.join(ROOT, "tests/tools/profiled.c")
    for name, more in (("profiled", []), ("linked", [LIBRARY.replace(".so", ".a")])):
        subprocess.run([os.environ.get("CC", "gcc"), "-g", "-O1", "-pthread", "-o", path(name),
                        source, *more], check=True)


def tearDownModule():
    folder.cleanup()


def path(name):
    return os.path.join(folder.name, name)


def run(*words, program="profiled", options=f"profile={INTERVAL},profile_seed=1"):
    environment = dict(os.environ, HAKMEM_OPTIONS=options)
    if program == "profiled":
        environment["LD_PRELOAD"] = LIBRARY
    return subprocess.run([path(program), *words], env=environment, capture_output=True, text=True,
                          timeout=60, check=False)


def write(name, **options):
    done = run("write", path(name), **options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", ""), done
    return path(name)


def pprof(*arguments):
    done = subprocess.run(["go", "tool", "pprof", *arguments], capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, PPROF_TMPDIR=folder.name), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Profile:
    """What `pprof -raw` says is in a file."""

    def __init__(self, file):
        self.text = pprof("-raw", file)
        samples, locations = re.search(r"^Samples:\n.*?\n(.*)^Locations\n(.*?)^Mappings", self.text,
                                       re.M | re.S).groups()
        where = {number: (rest.split() or [""])[0] for number, rest in
                 re.findall(r"^ *(\d+): \S+(?: M=\d+)? ?(.*)$", locations, re.M)}
        self.samples = []
        for line in samples.splitlines():
            match = re.match(r" *(\d+) +(\d+) +(\d+) +(\d+): ([\d ]*)$", line)
            if match:
                frames = [where[number] for number in match[5].split()]
                self.samples.append(Sample([int(match[i]) for i in range(1, 5)], frames, {}))
            else:
                self.samples[-1].labels.update(re.findall(r"(\w+):\[([^\]]*)\]", line))

    def of(self, function, **labels):
        """Sums of allocated blocks and bytes, those in use."""
        sums = [0, 0, 0, 0]
        for sample in self.samples:
            if function == sample.functions[0] and all(sample.labels.get(k, "").endswith(v)
                                                    for k, v in labels.items()):
                sums = [a + b for a, b in zip(sums, sample.values)]
        return sums


class Reading(unittest.TestCase):
    def expect(self, value, blocks, size):
        """Within four standard deviations of an estimate."""
        weight = 1 / -math.expm1(-size / INTERVAL)
        self.assertLess(abs(value - blocks), 4 * math.sqrt(blocks * (weight - 1)) + 1)

    def test_functions(self):
        profile = Profile(write("a.pb"))
        for function, (blocks, size, kept) in KNOWN.items():
            allocated, bytes_, live, live_bytes = profile.of(function)
            self.expect(allocated, blocks, size)
            self.assertAlmostEqual(bytes_, allocated * size, delta=size * 40)
            self.assertEqual(live, allocated if kept else 0)
            self.assertEqual(live_bytes, bytes_ if kept else 0)
        self.assertEqual(profile.of("keep_huge"), [4, 30 << 20, 1, 16 << 20])

    def test_no_frames_of_ours(self):
        profile = Profile(write("a.pb"))
        self.assertNotRegex(profile.text, r"\bhak_|libhakmem")
        for function in KNOWN:  # it called malloc itself
            self.assertTrue(any(sample.functions[0] == function for sample in profile.samples))

    def test_threads_and_lifetimes(self):
        profile = Profile(write("a.pb"))
        blocks = KNOWN["cross"][0]
        self.expect(profile.of("cross", freed_by="other thread")[0], blocks, 250)
        self.assertEqual(profile.of("cross", freed_by="same thread")[0], 0)
        self.assertEqual(profile.of("free_at_once", freed_by="other thread")[0], 0)
        short = profile.of("free_at_once", lifetime="below 10 us")[0]
        self.assertGreater(short, KNOWN["free_at_once"][0] * 0.5)
        slow = sum(profile.of("cross", lifetime=x)[0] for x in (
            "below 100 ms", "below 1 s", "below 10 s", "10 s and more"))
        self.assertEqual(slow, profile.of("cross")[0])
        self.assertEqual(profile.of("keep_small", lifetime="live"), profile.of("keep_small"))

    def test_viewer(self):
        """What people see: functions in order, tags, a graph's text form."""
        file = write("a.pb")
        top = pprof("-top", "-unit=kb", file)
        self.assertRegex(top, r"Type: inuse_space")
        self.assertRegex(top, r"16384kB +\S+ +\S+ +16384kB +\S+ +keep_huge")
        tags = pprof("-tags", "-sample_index=alloc_objects", file)
        self.assertRegex(tags, r"(?s)freed_by: Total.*same thread.*other thread")
        self.assertRegex(tags, r"lifetime: Total")
        leaves = pprof("-traces", "-sample_index=alloc_objects", file)
        self.assertRegex(leaves, r"(?m)^ *lifetime: +1: below 10 us\n *\d+ +free_at_once$")
        self.assertIn("keep_zeroed", pprof("-dot", file))

    def test_labels(self):
        """As hakmem(7) says: freed blocks are in what was allocated, by calls below them."""
        file = write("a.pb")
        self.assertRegex(pprof("-tags", file), r"freed_by: Total +0\.0")
        allocated = "-sample_index=alloc_space"
        focused = pprof("-top", allocated, "-tagfocus=freed_by=other thread", file)
        self.assertEqual(set(re.findall(r"(?m)(\w+)$", focused)) & set(KNOWN), {"cross"})
        for form in ("-peek=cross", "-tree"):
            text = pprof(form, allocated, "-tagleaf=freed_by", file)
            below = re.search(r"\| cross\n((?: .*\n)+)", text)[1]
            self.assertRegex(below, r"\|   other thread")
            self.assertNotIn("same thread", below)

    def test_repeats(self):
        """The same random numbers, the same samples; others, others."""
        bytes_ = [[Profile(write(name, options=f"profile={INTERVAL},profile_seed={seed}")).of(f)[1]
                   for f in KNOWN] for name, seed in (("a.pb", 7), ("b.pb", 7), ("c.pb", 8))]
        for one, same, other in zip(*bytes_):
            self.assertAlmostEqual(one, same, delta=10)  # each lifetime is rounded
            self.assertGreater(abs(one - other), 1000)

    def test_linked(self):
        """In a program that it is linked with the library has no object to be told by."""
        text = pprof("-top", "-nodefraction=0", "-sample_index=alloc_objects",
                     write("l.pb", program="linked"))
        self.assertNotRegex(text, r"hak_|\bmalloc\b")
        for function in KNOWN:
            self.assertRegex(text, rf"(?m) {function}$")

    def test_unloaded(self):
        """As hakmem(7) says: code of a library that is gone has an address and no name."""
        library = path("kept.so")
        subprocess.run([os.environ.get("CC", "gcc"), "-g", "-O1", "-shared", "-fPIC", "-xc", "-o",
                        library, "-"], text=True, check=True, input="#include <stdlib.h>\n"
                       "void *kept;\nvoid keep_in_library(void) { kept = malloc(32 << 20); }\n")
        for what, wanted in (("keep", "keep_in_library"), ("close", "<unknown>")):
            self.assertEqual(run("write", path("u.pb"), library, what).stdout, "1\n")
            self.assertRegex(pprof("-top", "-unit=kb", path("u.pb")),
                             rf"(?m) 32768kB .* 32768kB .* {wanted}$")

    def test_fine(self):
        """Every block is a sample: nothing is estimated."""
        profile = Profile(write("f.pb", options="profile=1"))
        for function, (blocks, size, kept) in KNOWN.items():
            self.assertEqual(profile.of(function), [blocks, blocks * size] +
                             ([blocks, blocks * size] if kept else [0, 0]))


class Files(unittest.TestCase):
    def at_exit(self, *words, prefix, options=f"profile={INTERVAL}"):
        done = run(*words, options=f"{options},profile_file={path(prefix)}")
        self.assertEqual(done.returncode, 0)
        return sorted(glob.glob(path(prefix) + ".*")), done.stderr

    def test_at_exit(self):
        files, said = self.at_exit(prefix="exit")
        self.assertEqual((len(files), said), (1, ""))
        self.assertRegex(files[0], r"/exit\.\d+\.pb$")
        self.assertEqual(os.stat(files[0]).st_mode & 0o777, 0o600)
        self.assertEqual(Profile(files[0]).of("keep_huge")[2], 1)

    def test_fork(self):
        files, said = self.at_exit("fork", prefix="fork")
        self.assertEqual((len(files), said), (2, ""))
        profiles = [Profile(file) for file in files]
        self.assertEqual(sorted(p.of("keep_in_child")[2] for p in profiles), [0, 1])
        for profile in profiles:
            self.assertEqual(profile.of("keep_huge")[2:], [1, 16 << 20])

    def test_off(self):
        self.assertEqual(self.at_exit(prefix="off", options="purge_delay_ms=1"), ([], ""))
        self.assertEqual(run("write", path("none.pb"), options="purge_delay_ms=1").stdout, "0\n")

    def test_refused(self):
        _, said = self.at_exit(prefix="no/such/folder/x")
        self.assertRegex(said, r"^hakmem: cannot write the profile /.*/such/folder/x\.\d+\.pb\n$")
        self.assertEqual(run("write", "/dev/full").stdout, "0\n")


class Signals(unittest.TestCase):
    """A program that runs is asked: by its signal, and by hakmem-stats."""

    def setUp(self):
        options = f"profile={INTERVAL},stats_signal=10,profile_file={path(self.id())}"
        self.program = subprocess.Popen(
            [path("profiled"), "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=dict(os.environ, HAKMEM_OPTIONS=options,
                                             LD_PRELOAD=LIBRARY))
        self.program.stdout.readline()

    def tearDown(self):
        self.program.communicate()

    def test_signal(self):
        for number in (1, 2):
            self.program.send_signal(10)
            file = f"{path(self.id())}.{self.program.pid}.{number}.pb"
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    self.assertEqual(Profile(file).of("keep_huge")[2:], [1, 16 << 20])
                    break
                except (AssertionError, AttributeError):  # it is not complete
                    time.sleep(0.1)
            else:
                self.fail("no profile came")

    def test_tool(self):
        tool = os.path.join(ROOT, "tools/hakmem-stats")
        done = subprocess.run([tool, "--format", "profile", str(self.program.pid)],
                              capture_output=True, timeout=60, check=True)
        with open(path("asked.pb"), "wb") as file:
            file.write(done.stdout)
        self.assertEqual(Profile(path("asked.pb")).of("keep_huge")[2:], [1, 16 << 20])


class Recorded(unittest.TextTestResult):
    def stopTest(self, test):  # noqa: N802  (unittest's name)
        super().stopTest(test)
        bad = any(test is failed for failed, _ in self.failures + self.errors)
        with open(os.environ.get("HAK_RESULTS", os.devnull), "a") as results:
            results.write(f"{'fail' if bad else 'pass'} tools:profile:{test._testMethodName}\n")


if __name__ == "__main__":
    unittest.main(testRunner=unittest.TextTestRunner(resultclass=Recorded))
