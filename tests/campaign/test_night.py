"""Short campaigns, killed, filled up, broken: what docs/CAMPAIGN.md says must hold."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import support
from campaign import corpora, slices


def mounts():
    """A command prefix under which a tmpfs can be mounted, or None."""
    prefix = ["unshare", "--map-root-user", "--mount"]
    probe = subprocess.run([*prefix, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return prefix if probe.returncode == 0 else None


class NightTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="hakmem-campaign-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def test_killed_and_resumed(self):
        night = support.Night(self.folder, HOURS="0.003", JOBS="2")
        process = night.start()
        running = lambda: (any(e["e"] == "ended" for e in night.events())  # noqa: E731
                           and night.events()[-1]["e"] in ("slice", "sample"))
        night.wait(process, running, "a second slice")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        journal = self.folder / "campaign/journal.jsonl"
        before = night.events()
        corpus = {p.name for p in (self.folder / "campaign/corpus/fuzz_exit").iterdir()}
        with open(journal, "a") as file:
            file.write('{"t": 1, "e": "sam')  # what a power cut leaves
        self.assertEqual(night.run(), 0, night.said())
        after = night.events()
        self.assertEqual(after[:len(before)], before)
        self.assertEqual(sum(e["e"] == "begin" for e in after), 1)
        self.assertEqual(sum(e["e"] == "resume" for e in after), 1)
        self.assertEqual(after[-1]["e"], "end")
        self.assertGreaterEqual(after[len(before)]["used"], before[-1]["used"])
        begun = {e["id"] for e in after if e["e"] == "slice"}
        ended = [e["id"] for e in after if e["e"] == "ended"]
        self.assertEqual(sorted(begun), sorted(ended), "each slice ends once")
        mark = f"HAK_SLICE={self.folder}/campaign".encode()
        left = [p for p in os.listdir("/proc") if p.isdigit() and marked(p, mark)]
        self.assertEqual(left, [])
        # A set cover was made at the end, of everything that was there before the kill too.
        covers = [e for e in after if e["e"] == "result" and e["kind"] == "cover"]
        self.assertGreaterEqual(covers[0]["before"], len(corpus))
        self.assertLessEqual(covers[0]["after"], covers[0]["before"])
        self.assertGreater(covers[0]["after"], 0)
        # What is proposed is bounded, and new.
        proposed = list((self.folder / "campaign/proposal/fuzz_exit").glob("found-*"))
        self.assertTrue(0 < len(proposed) <= corpora.PROPOSED_FILES)
        self.assertLessEqual(sum(p.stat().st_size for p in proposed), corpora.PROPOSED_BYTES)
        kept = {p.read_bytes() for p in (support.ROOT / "corpus/fuzz_exit").glob("*/*")}
        self.assertEqual({p.read_bytes() for p in proposed} & kept, set())

    def test_two_campaigns_in_one_folder(self):
        night = support.Night(self.folder)
        process = night.start()
        night.wait(process, night.events, "its first line")
        self.assertEqual(support.Night(self.folder).run(), 2)
        self.assertIn("another campaign works in", night.said())
        process.terminate()
        self.assertEqual(process.wait(support.LIMIT), 2)
        self.assertIn("the same command goes on", night.said())

    def test_no_room_from_the_start(self):
        night = support.Night(self.folder, RESERVE_MB=1 << 29, PATIENCE=3)
        self.assertEqual(night.run(), 3, night.said())
        self.assertIn("the disk is full", night.said())
        self.assertEqual([e["e"] for e in night.events() if e["e"] == "slice"], [])
        self.assertEqual(support.Night(self.folder).run(), 0, night.said())
        self.assertEqual(sum(e["e"] == "begin" for e in night.events()), 1, "it went on")

    def test_disk_filled_meanwhile(self):
        prefix = mounts()
        if prefix is None:
            self.skipTest("no tmpfs can be mounted here")
        (self.folder / "campaign").mkdir()
        night = support.Night(self.folder, HOURS="0.004", RESERVE_MB=4)
        mount = f"mount -t tmpfs -o size=24m none {self.folder}/campaign && exec scripts/overnight"
        process = night.start([*prefix, "sh", "-c", mount])
        inside = Path(f"/proc/{process.pid}/root{self.folder}/campaign")
        said = lambda text: lambda: text in night.said()  # noqa: E731
        journal = lambda: (inside / "journal.jsonl").read_bytes() if process.poll() is None \
            else b""  # noqa: E731
        night.wait(process, lambda: (inside / "journal.jsonl").exists()
                   and b'"ended"' in journal(), "a slice")
        with open(inside / "ballast", "wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                pass  # full, to the last page
        night.wait(process, said("the disk is full"), "that it is full")
        time.sleep(1)
        before = journal()
        (inside / "ballast").unlink()
        night.wait(process, said("there is room again"), "that there is room")
        night.wait(process, lambda: b"there is room again" in journal(), "the note")
        after = journal()
        self.assertTrue(after.startswith(before), "what was written stays")
        events = [json.loads(line) for line in after.decode().splitlines()]
        notes = [e["text"] for e in events if e["e"] == "note"]
        self.assertEqual(notes, ["the disk is full", "there is room again"])
        self.assertEqual(process.wait(support.LIMIT), 0, night.said())

    def test_a_bug_is_found_once_and_shown(self):
        night = support.Night(self.folder, HAK_WEAKEN="INBOX_PUSH")
        self.assertEqual(night.run(), 1, night.said())
        found = sorted((self.folder / "findings").glob("*/fuzz_exit/*/finding.json"))
        self.assertGreaterEqual(len(found), 1, night.said())
        known = [json.loads(p.read_text()) for p in found]
        keys = {(k["class"]["fault"], tuple(k["class"]["sites"])) for k in known}
        self.assertEqual(len(keys), len(known), "a class has one folder")
        shrunk = next((p for p, k in zip(found, known) if k["minimised"]), None)
        self.assertIsNotNone(shrunk, night.said())
        folder = shrunk.parent
        self.assertTrue((folder / "minimized.ops").exists())
        self.assertIn("make repro FILE=", (folder / "README.md").read_text())
        self.assertRegex((folder / "timeline.txt").read_text(), r"step \| thread 0")
        # The command in it shows it again.
        command = json.loads(shrunk.read_text())["command"].split()
        again = subprocess.run(command, cwd=support.ROOT, env=night.environment,
                               capture_output=True, text=True)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("found: ", again.stdout + again.stderr)
        # The report draws it.
        page = (self.folder / "report.html").read_text()
        self.assertIn(json.loads(shrunk.read_text())["class"]["fault"], page)


def marked(pid, mark):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return any(v.startswith(mark) for v in file.read().split(b"\0"))
    except OSError:
        return False


class Fake:
    """An arm whose program is a line of shell."""

    kind, target, variant, weight, name = "fake", "fake", "", 1, "fake"
    once, parts, counts, planted, judged = False, 0, True, False, False
    memory_factor = 1

    def __init__(self, script):
        self.script = script

    def before(self, piece, number):
        pass

    def command(self, piece, corpus, seeds):
        return ["bash", "-c", self.script]

    def environment(self, piece):
        return dict(os.environ)

    def read(self, piece, text):
        return {"executions": text.count("step\n")} if "step\n" in text else {}

    def found(self, piece):
        return []

    def failure(self, piece, text, status):
        return None


class Journal:
    def __init__(self):
        self.events = []

    def put(self, event, **more):
        self.events.append({"e": event, **more})

    def room(self):
        return True


class SliceTest(unittest.TestCase):
    """What a slice may use."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="hakmem-slices-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        for name, value in (("STALL_SECONDS", 2), ("OVERTIME_SECONDS", 2),
                            ("DISK_SECONDS", 1)):
            self.addCleanup(setattr, slices, name, getattr(slices, name))
            setattr(slices, name, value)

    def run_slice(self, script, seconds=60, counts=True, **limits):
        import threading
        runner = slices.Runner(self.folder, Journal(),
                               {"memory_mb": 256, "disk_mb": 64} | limits, threading.Event())
        arm = Fake(script)
        arm.counts = counts
        begun = time.monotonic()
        ended, _, _ = runner.run(arm, 1, seconds, 1, self.folder, self.folder, 0)
        self.assertLess(time.monotonic() - begun, 60)
        self.assertEqual(slices.processes(runner.mark(1)), [], "nothing of it is left")
        return ended["why"]

    def test_well(self):
        self.assertEqual(self.run_slice("echo step"), "time")

    def test_broken(self):
        self.assertEqual(self.run_slice("exit 3"), "broken")

    def test_hangs_without_executions(self):
        self.assertEqual(self.run_slice("echo step; sleep 100"), "hang")

    def test_hangs_beyond_its_time(self):
        self.assertEqual(self.run_slice("sleep 100", seconds=1, counts=False), "hang")

    def test_children_that_leave_the_session(self):
        # As AFL++'s targets do.
        self.assertEqual(self.run_slice("setsid sleep 100 & echo step"), "time")

    def test_memory(self):
        script = "echo step; exec python3 -c 'x = b\"x\" * (300 << 20); import time; time.sleep(9)'"
        self.assertEqual(self.run_slice(script, memory_mb=64), "memory")

    def test_disk(self):
        script = "head -c 20M /dev/urandom >$HAK_TEST_BIG; echo step; sleep 100"
        os.environ["HAK_TEST_BIG"] = str(self.folder / "big")
        self.addCleanup(os.environ.pop, "HAK_TEST_BIG")
        runner_limit = {"disk_mb": 16}
        self.addCleanup(setattr, slices, "STALL_SECONDS", slices.STALL_SECONDS)
        slices.STALL_SECONDS = 50
        self.assertEqual(self.run_slice(script, **runner_limit), "disk")


if __name__ == "__main__":
    unittest.main()
