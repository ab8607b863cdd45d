#!/usr/bin/python3
"""hakmem-map on a heap whose blocks are known: this process has one, apart from Python's own.

usage: tests/tools/test_map.py LIBHAKMEM.so

The same heap is read from the process, from what hak_write_map wrote, and from a core file of gdb.
Appends a line for each test to $HAK_RESULTS (see scripts/tally).
"""

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import xml.etree.ElementTree as ElementTree
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from random import Random

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from mapping import colours, heap, memory, picture  # noqa: E402  (the path comes first)

TOOL = os.path.join(ROOT, "tools/hakmem-map")
SVG = "{http://www.w3.org/2000/svg}"
os.environ["HAKMEM_OPTIONS"] = "arena_mib=512,purge_delay_ms=3600000"
LIBRARY = os.path.abspath(sys.argv.pop(1))
library = ctypes.CDLL(LIBRARY)
library.hak_malloc.restype = ctypes.c_void_p
library.hak_malloc.argtypes = (ctypes.c_size_t,)
library.hak_free.argtypes = (ctypes.c_void_p,)
library.hak_write_map.restype = ctypes.c_bool


def allocate(count, size):
    return [library.hak_malloc(size) for _ in range(count)]


def free(blocks):
    for block in blocks:
        library.hak_free(block)


def of_another(count, size):
    """Blocks of a thread that has ended."""
    blocks = []
    thread = threading.Thread(target=lambda: blocks.extend(allocate(count, size)))
    thread.start()
    thread.join()
    return blocks


class Known:
    """What the tests put there, once."""

    small = allocate(3000, 100)
    free(small[1000:])  # 2000: some in the magazine, some in their slabs
    large = allocate(3, 300 << 10)
    huge = allocate(2, 5 << 20)
    free(huge[1:])  # kept by the heap
    library.hak_malloc_trim(0)
    kept = allocate(1, 700 << 10)
    free(kept)
    cached = allocate(40, 2000)
    free(cached[:10])
    of_others = of_another(500, 5000)  # its heap is idle now
    free(of_others[:100])  # in our magazine, or marked in their slabs
    empty = allocate(64, 60000)
    free(empty)  # most slabs of it are EMPTY


def dump():
    with tempfile.TemporaryFile() as file:
        assert library.hak_write_map(file.fileno())
        file.seek(0)
        return file.read()


def stored(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return memory.Core(file.name)


def live_of(snapshot, size):
    return sum(run.live for runs in snapshot.superslabs for run in runs
               if run.kind == heap.SLAB and snapshot.class_bytes[run.size_class] == size)


def counts(snapshot):
    """All but what may change between two readings: pages in memory."""
    return [[vars(run) for run in runs] for runs in snapshot.superslabs], \
        [vars(h) for h in snapshot.heaps]


class Reading(unittest.TestCase):
    def setUp(self):
        self.snapshot = heap.read(memory.Process(os.getpid()))

    def runs(self, *kinds):
        return [run for runs in self.snapshot.superslabs for run in runs if run.kind in kinds]

    def test_blocks(self):
        self.assertEqual(live_of(self.snapshot, 112), 1000)
        self.assertEqual(live_of(self.snapshot, 2048), 30)
        self.assertEqual(live_of(self.snapshot, 5120), 400)
        self.assertEqual(live_of(self.snapshot, 65536), 0)
        cached = sum(run.cached for run in self.runs(heap.SLAB))
        self.assertGreaterEqual(cached, 10)
        free_blocks = sum(run.free for run in self.runs(heap.SLAB))
        self.assertGreater(free_blocks, 100)

    def test_large(self):
        self.assertEqual([(run.units, run.bytes) for run in self.runs(heap.LARGE)],
                         [(5, 300 << 10)] * 3)
        self.assertEqual(sum(run.units for run in self.runs(heap.HUGE)), 80)
        self.assertEqual([run.units for run in self.runs(heap.KEPT)], [11])

    def test_units(self):
        at = self.snapshot.layout
        for index, runs in enumerate(self.snapshot.superslabs):
            unit = index * at["superslab_units"]
            for run in runs:  # they tile the SuperSlab
                self.assertEqual(run.unit, unit)
                unit += run.units
            self.assertEqual(unit, (index + 1) * at["superslab_units"])
        self.assertGreater(sum(run.units for run in self.runs(heap.EMPTY)), 30)
        self.assertEqual(self.runs(heap.BUSY), [])

    def test_heaps(self):
        idle = [h for h in self.snapshot.heaps if h.idle]
        self.assertEqual(len(self.snapshot.heaps), 2)
        self.assertEqual(len(idle), 1)
        self.assertEqual(idle[0].live_bytes, 400 * 5120)

    def test_totals(self):
        totals = self.snapshot.totals
        self.assertEqual(totals.committed, totals.live + totals.cached + totals.free +
                         totals.kept + totals.empty + totals.rounding)
        statistics = self.statistics()
        self.assertEqual(totals.committed, statistics["committed_bytes"])
        self.assertEqual(totals.empty, statistics["empty_bytes"])
        self.assertEqual(totals.cached, statistics["cached_bytes"])
        self.assertEqual(len(self.snapshot.superslabs), statistics["superslabs"])
        ctypes.memset(Known.small[0], 1, 100)
        totals = heap.read(memory.Process(os.getpid())).totals
        self.assertGreater(totals.resident, 0)
        self.assertLessEqual(totals.resident, totals.committed)

    @staticmethod
    def statistics():
        with tempfile.TemporaryFile() as file:
            library.hak_print_stats(file.fileno())
            file.seek(0)
            lines = (line.split() for line in file.read().decode().splitlines())
            return {words[0]: int(words[1]) for words in lines
                    if len(words) == 2 and words[1].isdigit()}

    def test_pages(self):
        """A block that was written is in memory, one that was not is not."""
        huge = self.runs(heap.HUGE)[0]
        per = self.snapshot.layout["superslab_units"]

        def share(snapshot):
            return snapshot.resident[huge.unit // per][huge.unit % per]
        self.assertEqual(share(self.snapshot), 0)
        ctypes.memset(Known.huge[0], 1, 32768)
        for source in memory.Process(os.getpid()), stored(dump()):
            self.assertEqual(share(heap.read(source)), 0.5)


class Sources(unittest.TestCase):
    def test_dump(self):
        source = stored(dump())
        snapshot = heap.read(source)
        self.assertEqual(counts(snapshot), counts(heap.read(memory.Process(os.getpid()))))
        self.assertEqual(source.number, os.getpid())
        with open("/proc/self/comm") as file:  # the interpreter or the script, by how it began
            self.assertEqual(source.name, file.read().strip())
        self.assertIn("test_map.py", source.arguments)
        self.assertIsNotNone(snapshot.totals.resident)

    def test_core_of_gdb(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "core")
            subprocess.run(["gdb", "-q", "-batch", "-p", str(os.getpid()), "-ex",
                            "generate-core-file " + path], stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=120, check=True)
            snapshot = heap.read(memory.Core(path))
        self.assertEqual(counts(snapshot), counts(heap.read(memory.Process(os.getpid()))))
        self.assertIsNone(snapshot.totals.resident)

    def test_what_is_none(self):
        data = dump()
        with self.assertRaisesRegex(memory.Unreadable, "no core file"):
            stored(b"\x7fELF" + b"\0" * 100)
        with self.assertRaisesRegex(memory.Unreadable, "not in the core file|cut short"):
            heap.read(stored(data[:len(data) // 2]))
        with self.assertRaisesRegex(memory.Unreadable, "no heap of libhakmem"):
            heap.read(stored(data.replace(heap.MAGIC, b"hakmem layouT\0\0\0")))
        at = data.index(heap.MAGIC)
        other = data[:at + 24] + b"\x63" + data[at + 25:]
        with self.assertRaisesRegex(memory.Unreadable, "layout 99, this tool knows 2"):
            heap.read(stored(other))

    def test_damaged(self):
        """Whatever is wrong, it is told in words, and a heap that is read can be drawn."""
        data, random, read = dump(), Random(1), 0
        at = data.index(heap.MAGIC) + len(heap.MAGIC)
        for trial in range(600):
            other = bytearray(data)
            begin, count = ((at, heap.LAYOUT.size - 16), (32, 600), (0, len(data)))[trial % 3]
            for _ in range(random.choice((1, 1, 4))):
                other[begin + random.randrange(count)] = random.randrange(256)
            if trial % 10 == 0:
                del other[random.randrange(len(other)):]
            try:
                picture.draw(heap.read(stored(bytes(other))))
                read += 1
            except memory.Unreadable:
                pass
        self.assertGreater(read, 20)

    def test_full_device(self):
        with open("/dev/full", "wb", buffering=0) as full:
            self.assertFalse(library.hak_write_map(full.fileno()))


class Pictures(unittest.TestCase):
    def setUp(self):
        self.snapshot = heap.read(stored(dump()))

    def draw(self, **options):
        return ElementTree.fromstring(picture.draw(self.snapshot, **options))

    def test_content(self):
        root = self.draw(title="A <title> & more")
        texts = [text.text for text in root.iter(SVG + "text")]
        self.assertIn("A <title> & more", texts)
        for size in ("112 B", "2 KiB", "5 KiB"):
            self.assertIn(size, texts)
        self.assertEqual(len(list(root.iter(SVG + "title"))), len(self.snapshot.superslabs))
        described = "\n".join(t.text for t in root.iter(SVG + "title"))
        self.assertEqual(sum(map(int, re.findall(r"112 B × \d+, (\d+) live", described))), 1000)
        self.assertIn("large, 300 KiB", described)
        looks = [path.get("class") for path in root.iter(SVG + "path")]
        self.assertEqual("kept" in described, "kept" in looks)  # as in the totals
        self.assertIn("(idle)", described)
        self.assertIn("idle", texts)

    def test_inside(self):
        """Nothing lies beyond the edges, whatever the scale."""
        one = self.snapshot.superslabs, self.snapshot.resident
        for times in (1, 100 // len(one[0]), 2000 // len(one[0])):
            self.snapshot.superslabs, self.snapshot.resident = one[0] * times, one[1] * times
            root = self.draw()
            _, _, width, height = map(float, root.get("viewBox").split())
            for box in root.iter(SVG + "rect"):
                if box.get("width") != "100%":
                    self.assertLessEqual(float(box.get("x")) + float(box.get("width")), width)
                    self.assertLessEqual(float(box.get("y")) + float(box.get("height")), height)

    def test_themes(self):
        light, dark, auto = (picture.draw(self.snapshot, theme=t)
                             for t in ("light", "dark", "auto"))
        self.assertNotIn("#14171d", light)
        self.assertIn(".bg{fill:#14171d}", dark)
        self.assertIn("@media (prefers-color-scheme:dark)", auto)
        self.assertNotIn("@media", dark)

    def test_colours(self):
        count = self.snapshot.layout["class_count"]
        all_of = [colours.of_class(c, count) for c in range(1, count + 1)]
        self.assertEqual(len(set(all_of)), count)
        self.assertEqual(colours.oklch(1, 0, 0), "#ffffff")
        self.assertEqual(colours.oklch(0, 0, 0), "#000000")

    def test_amounts(self):
        self.assertEqual([picture.amount(x) for x in (0, 1023, 1024, 1536, 1 << 20, 5 << 40)],
                         ["0 B", "1023 B", "1 KiB", "1.5 KiB", "1 MiB", "5120 GiB"])


class Command(unittest.TestCase):
    """The tool on another process: one that works, one that is stopped."""

    @classmethod
    def setUpClass(cls):
        cls.program = subprocess.Popen(
            ["perl", "-e", 'my %h; $h{$_} = "x" x ($_ % 500) for 1 .. 20000; $| = 1; print "on\\n";'
             "while (1) { my $n = int rand 20000; $h{$n} = 'y' x rand 500 }"],
            env={**os.environ, "LD_PRELOAD": LIBRARY}, stdout=subprocess.PIPE)
        cls.program.stdout.readline()

    @classmethod
    def tearDownClass(cls):
        cls.program.kill()
        cls.program.communicate()

    def run_tool(self, *arguments):
        return subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=60,
                              check=False)

    def state(self):
        with open(f"/proc/{self.program.pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0]

    def test_running(self):
        for options in ((), ("--stop", "--theme", "dark", "--title", "a perl")):
            done = self.run_tool(*options, str(self.program.pid), "-")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            root = ElementTree.fromstring(done.stdout)
            self.assertGreater(len(list(root.iter(SVG + "title"))), 0)
            self.assertIn("a perl" if options else "Heap of perl",
                          [text.text for text in root.iter(SVG + "text")])
            self.assertIn(self.state(), "RS")

    def test_core_of_gdb(self):
        """What is reserved, a TiB, is not in it; and it is no larger than what this allows."""
        most = 128 << 20
        with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
                ["perl", "-e", "my @all = map { 'x' x 100 } 1 .. 10000; $| = 1; print qq(on\\n); "
                 "sleep 600"], stdout=subprocess.PIPE,
                env={**os.environ, "LD_PRELOAD": LIBRARY, "HAKMEM_OPTIONS": ""}) as program:
            program.stdout.readline()
            path = os.path.join(folder, "core")
            done = subprocess.run(
                ["gdb", "-q", "-batch", "-p", str(program.pid), "-ex",
                 "generate-core-file " + path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
            program.kill()
            self.assertEqual(done.returncode, 0, done.stdout)
            tool = self.run_tool(path, "-")
        self.assertEqual((tool.returncode, tool.stderr), (0, ""))
        live = sum(map(int, re.findall(r"112 B × \d+, (\d+) live", tool.stdout)))
        self.assertGreaterEqual(live, 10000)

    def test_stopped(self):
        self.program.send_signal(19)
        try:
            while self.state() != "T":
                pass
            done = [self.run_tool(*o, str(self.program.pid), "-") for o in ((), ("--stop",))]
            self.assertEqual([d.returncode for d in done], [0, 0])
            self.assertEqual(self.state(), "T")
            cut = [re.sub(r"\d\d:\d\d:\d\d", "", d.stdout) for d in done]
            self.assertEqual(cut[0], cut[1])
        finally:
            self.program.send_signal(18)

    def test_killed(self):
        """A tool that is told to end lets the process go on."""
        loader = SourceFileLoader("hakmem_map", TOOL)
        tool = module_from_spec(spec_from_loader("hakmem_map", loader))
        loader.exec_module(tool)
        with self.assertRaises(SystemExit):
            with tool.stopped(self.program.pid):
                os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.assertIn(self.state(), "RS")

    def test_refusals(self):
        for arguments, said in ((("1000000000", "-"), "process 1000000000: No such file"),
                                ((str(os.getppid()), "-"), "no heap of libhakmem"),
                                (("README.md", "-"), "no core file|No such file"),
                                (("--stop", "README.md", "-"), "--stop is for processes"),
                                ((str(self.program.pid), "/nonexistent/x"), "No such file")):
            done = self.run_tool(*arguments)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "^hakmem-map: .*" + said)


class Counting(unittest.TextTestResult):
    def stopTest(self, test):
        failed = any(test is t for t, _ in self.failures + self.errors)
        with open(os.environ.get("HAK_RESULTS", os.devnull), "a", encoding="ascii") as file:
            file.write("%s tools:map:%s\n" % ("fail" if failed else "pass", test._testMethodName))
        super().stopTest(test)


if __name__ == "__main__":
    unittest.main(testRunner=unittest.TextTestRunner(resultclass=Counting))
