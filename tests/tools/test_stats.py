#!/usr/bin/python3
"""hakmem-stats on programs that work under the library.

usage: tests/tools/test_stats.py LIBHAKMEM.so

Appends a line for each test to $HAK_RESULTS (see scripts/tally).
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(ROOT, "tools/hakmem-stats")
LIBRARY = os.path.abspath(sys.argv.pop(1))
SIGNAL = 40
# Says what its signal did, if it has one; allocates 3000 strings for each line that it reads.
PROGRAM = r"""$| = 1; %s; print "on\n";
while (<STDIN>) { push @kept, map { "x" x (100 + $_ %% 7) } 1 .. 3000; print "done\n"; }"""


class Program:
    """A perl under the library, up to where it waits for a line."""

    def __init__(self, options, setup=""):
        self.process = subprocess.Popen(
            ["perl", "-e", PROGRAM % setup], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, "LD_PRELOAD": LIBRARY, "HAKMEM_OPTIONS": options})
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def allocate(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


def tool(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def figures(text):
    return {tuple(row[:3]): int(row[3]) for row in list(csv.reader(io.StringIO(text)))[1:]}


class Stats(unittest.TestCase):
    def test_formats(self):
        with Program(f"stats_signal={SIGNAL}") as program:
            number = program.process.pid
            text, form, lines = (tool("--format", f, number) for f in ("text", "json", "csv"))
            self.assertEqual([text.returncode, form.returncode, lines.returncode], [0, 0, 0])
            self.assertIn("malloc_misses", text.stdout)
            whole, rows = json.loads(form.stdout), figures(lines.stdout)
            for name, value in whole.items():
                if isinstance(value, int) and not name.startswith("page_faults"):
                    self.assertEqual(rows["total", "", name], value)
            self.assertEqual(program.process.poll(), None)
            self.assertEqual(whole["failures"], 0)

    def test_counts_what_was_done(self):
        with Program(f"stats_signal={SIGNAL},count_hits=1") as program:
            def mallocs():
                rows = figures(tool("--format", "csv", program.process.pid).stdout)
                return rows["total", "", "malloc_hits"] + rows["total", "", "malloc_misses"]
            before = mallocs()
            program.allocate()
            self.assertGreaterEqual(mallocs() - before, 3000)

    def test_every(self):
        with Program(f"stats_signal={SIGNAL}") as program:
            watch = subprocess.Popen([TOOL, "--every", "0.2", str(program.process.pid)],
                                     stdout=subprocess.PIPE, text=True)
            self.assertEqual(watch.stdout.readline(), "table,row,name,value,change\n")
            program.allocate()
            lines = iter(watch.stdout.readline, "")
            self.assertRegex(next(line for line in lines if "refilled" in line),
                             r"^\w+,\d*,refilled,\d+,\+\d+$")
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=60)
            self.assertEqual(watch.returncode, 0)

    def test_kill(self):
        with Program("stats_signal=12,stats=3") as program:
            program.process.send_signal(signal.SIGUSR2)
            self.assertEqual(program.process.stderr.readline(), "table,row,name,value\n")
            self.assertEqual(program.process.poll(), None)

    def test_refusals(self):
        with Program("stats=0") as program:
            done = tool(program.process.pid)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "^hakmem-stats: .*no stats_signal=N in HAKMEM_OPTIONS")
            done = tool("--signal", SIGNAL, program.process.pid)  # it would end of that
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, f"it has no handler for signal {SIGNAL}")
            self.assertEqual(program.process.poll(), None)
        for options, complaint in (
                ("stats_signal=junk", "no stats_signal=N in HAKMEM_OPTIONS"),
                ("options_file=/nonexistent", "options_file /nonexistent: No such file")):
            with Program(options) as program:
                done = tool(program.process.pid)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, f"^hakmem-stats: .*{complaint}")
        for wrong in ("--every", "-1"), ("--every", "0"), ("--seconds", "nan"):
            self.assertEqual(tool(*wrong, os.getpid()).returncode, 2)
        done = tool(999999999)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "there is no such process")

    # A handler that the program sets later is the one that is called.
    def test_handler_of_the_program(self):
        setup = "$SIG{USR2} = sub { print STDERR qq(mine\\n) }"
        with Program("stats_signal=12", setup) as program:
            done = tool("--seconds", 1.5, program.process.pid)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "no answer within 1.5 s")
            self.assertEqual(program.process.stderr.readline(), "mine\n")


    # Whom a stopped program answers too late is gone: its own standard error gets nothing.
    def test_stopped(self):
        with Program(f"stats_signal={SIGNAL}") as program:
            program.process.send_signal(signal.SIGSTOP)
            done = tool("--seconds", 1.5, program.process.pid)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "no answer within 1.5 s")
            program.process.send_signal(signal.SIGCONT)
            self.assertEqual(tool(program.process.pid).returncode, 0)
            program.process.kill()
            self.assertEqual(program.process.communicate()[1], "")

    # Watching ends with the process, which its parent may not have asked for yet.
    def test_end(self):
        with Program(f"stats_signal={SIGNAL}") as program:
            watch = subprocess.Popen([TOOL, "--every", "0.1", str(program.process.pid)],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            watch.stdout.readline()
            program.process.kill()
            self.assertEqual(watch.communicate(timeout=60)[1], "")
            self.assertEqual(watch.returncode, 0)
            done = tool("--signal", SIGNAL, program.process.pid)
            self.assertRegex(done.stderr, "there is no such process")

    # A signal without a handler would end it.
    def test_exec_meanwhile(self):
        command = "read line; LD_PRELOAD= exec sleep 5"
        with subprocess.Popen(["bash", "-c", "echo on; " + command], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "LD_PRELOAD": LIBRARY,
                                   "HAKMEM_OPTIONS": f"stats_signal={SIGNAL}"}) as program:
            program.stdout.readline()
            watch = subprocess.Popen([TOOL, "--every", "0.1", str(program.pid)],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            watch.stdout.readline()
            program.stdin.write("go\n")
            program.stdin.flush()
            self.assertRegex(watch.communicate(timeout=60)[1], "it has no handler")
            self.assertEqual(watch.returncode, 1)
            self.assertEqual(program.poll(), None)
            program.kill()

    # Root asks: the program could not open a file of root's.
    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_of_another_user(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            library = os.path.join(folder, "libhakmem.so")
            shutil.copy(LIBRARY, library)
            with subprocess.Popen(["perl", "-e", PROGRAM % ""], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  user=65534, group=65534, extra_groups=[], cwd="/",
                                  env={**os.environ, "LD_PRELOAD": library,
                                       "HAKMEM_OPTIONS": f"stats_signal={SIGNAL}"}) as program:
                program.stdout.readline()
                done = tool("--seconds", 5, program.pid)
                program.kill()
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn("malloc_misses", done.stdout)
                self.assertEqual(program.stderr.read(), "")


class Counting(unittest.TextTestResult):
    def stopTest(self, test):
        failed = any(test is t for t, _ in self.failures + self.errors)
        with open(os.environ.get("HAK_RESULTS", os.devnull), "a", encoding="ascii") as file:
            file.write("%s tools:stats:%s\n" % ("fail" if failed else "pass", test._testMethodName))
        super().stopTest(test)


if __name__ == "__main__":
    unittest.main(testRunner=unittest.TextTestRunner(resultclass=Counting))
