"""The build for clusters with an environment as theirs, and AFL++ on two folders."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

import support
import fuzzing

TARGETS = ("fuzz_options", "fuzz_exit")
FLAGS = "-O1 -gline-tables-only -fsanitize=address -fsanitize=fuzzer-no-link"


class ClusterTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="hakmem-cluster-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def test_build_and_run_what_it_put_into_out(self):
        out = self.folder / "out"
        # As the base image has it: the repository in $SRC, the script beside it.
        source = self.folder / "src"
        source.mkdir()
        (source / "hakmem").symlink_to(support.ROOT)
        shutil.copy(support.ROOT / "fuzz/oss-fuzz/build.sh", source / "build.sh")
        clang = fuzzing.CLANG
        environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")} | {
            "SRC": str(source), "OUT": str(out), "CC": clang,
            "WORK": str((support.ROOT / support.BUILD).resolve() / "cluster"),
            "CXX": clang.replace("clang", "clang++"), "CFLAGS": FLAGS,
            "CXXFLAGS": FLAGS + " -stdlib=libstdc++", "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer",
            "TARGETS": " ".join(TARGETS)}
        built = subprocess.run([source / "build.sh"], cwd=source, env=environment,
                               capture_output=True, text=True)
        self.assertEqual(built.returncode, 0, built.stdout[-3000:] + built.stderr[-3000:])
        wanted = {t + end for t in TARGETS for end in ("", ".options", ".dict", "_seed_corpus.zip")}
        self.assertEqual({p.name for p in out.iterdir()}, wanted)
        for target in TARGETS:
            self.run_one(out, target)

    def run_one(self, out, target):
        options = (out / f"{target}.options").read_text()
        max_len = re.search(r"^max_len = (\d+)$", options, re.M)[1]
        seeds = self.folder / f"{target}-seeds"
        with zipfile.ZipFile(out / f"{target}_seed_corpus.zip") as archive:
            archive.extractall(seeds)
            count = len(archive.namelist())
        self.assertEqual(count, len(fuzzing.corpus_files(target)))
        # ClusterFuzz hands the options over in this way.
        asan = ":".join(re.sub(" ", "", line) for line in
                        options.partition("[asan]")[2].split("\n") if "=" in line)
        ran = subprocess.run([out / target, f"-max_len={max_len}", f"-dict={out}/{target}.dict",
                              "-runs=300", "-seed=1", seeds], capture_output=True, text=True,
                             env=os.environ | {"ASAN_OPTIONS": asan}, cwd=self.folder)
        self.assertEqual(ran.returncode, 0, ran.stderr[-3000:])
        self.assertRegex(ran.stderr, r"Dictionary: [1-9]\d* entries")
        self.assertRegex(ran.stderr, r"INFO: Loaded 1 modules")
        self.assertRegex(ran.stderr, r"Done 300 runs|#300\b")

    def test_files_of_both_layouts(self):
        for folder in ("fuzz/oss-fuzz", ".clusterfuzzlite"):
            for name in ("project.yaml", "Dockerfile", "build.sh"):
                self.assertTrue((support.ROOT / folder / name).is_file(), f"{folder}/{name}")
            docker = (support.ROOT / folder / "Dockerfile").read_text()
            self.assertIn("FROM gcr.io/oss-fuzz-base/base-builder", docker)
            self.assertIn(f"COPY {folder}/build.sh $SRC/", docker)
            self.assertIn("language: c", (support.ROOT / folder / "project.yaml").read_text())


class SharedTest(unittest.TestCase):
    """Two machines, here two folders: each copies its own instance's folder to the other."""

    def test_afl_on_two_folders(self):
        if shutil.which("afl-fuzz") is None:
            self.skipTest("afl-fuzz is not installed: scripts/setup --hunt")
        folder = Path(tempfile.mkdtemp(prefix="hakmem-shared-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        first, second = folder / "first", folder / "second"
        running = [self.start(first, "main", 1), self.start(second, "plain", 2)]
        self.addCleanup(lambda: [p.kill() for p in running if p.poll() is None])
        deadline = time.monotonic() + support.LIMIT
        ways = ((first, "main", "plain"), (second, "plain", "main"))
        while not (all(self.looked(*way) for way in ways) and any(self.taken(*w) for w in ways)):
            for process, place in zip(running, (first, second)):
                said = (place / "log").read_text(errors="replace")
                self.assertIsNone(process.poll(), said[-3000:])
            self.assertLess(time.monotonic(), deadline, "nothing was taken in")
            self.copy(first, "main", second)
            self.copy(second, "plain", first)
            time.sleep(2)
        for process in running:
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(support.LIMIT), 0)

    @staticmethod
    def looked(place, own, other):
        return list(place.glob(f"{own}-*/.synced/{other}-*"))

    @staticmethod
    def taken(place, own, other):
        """What an instance took in of the other's."""
        return [p for p in place.glob(f"{own}-*/queue/id*") if f",sync:{other}-" in p.name]

    def start(self, folder, role, seed):
        folder.mkdir(exist_ok=True)
        # afl-fuzz takes in what others have once a minute.
        return subprocess.Popen(
            ["scripts/overnight", "afl", "fuzz_options", folder, "0.2"], cwd=support.ROOT,
            stdout=open(folder / "log", "wb"), stderr=subprocess.STDOUT,
            env=support.plain_environment() | {
                "AFL_ROLE": role, "SEED": str(seed), "BUILD": support.BUILD,
                "CAMPAIGN": str(folder / "campaign")})

    @staticmethod
    def copy(source, name, other):
        """As rsync -a would: new files, and those that changed."""
        for instance in source.glob(f"{name}-*"):
            subprocess.run(["cp", "-au", instance, other], stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    unittest.main()
