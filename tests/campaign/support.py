"""What the tests of the campaign share: a command in a folder of its own, and results for tally."""

import json
import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "report")]
BUILD = os.environ.get("BUILD") or "build"
LIMIT = 300  # seconds: a busy machine may take long, a campaign that hangs takes for ever


def plain_environment():
    """Without what a make above has set for its own children."""
    return {k: v for k, v in os.environ.items()
            if k not in ("MAKEFLAGS", "MAKELEVEL", "TARGET", "TIME", "LOAD", "HAK_SPECIES")}


class Night:
    """A short campaign of one target in its own folder."""

    def __init__(self, folder, **variables):
        self.folder = Path(folder)
        self.environment = plain_environment() | {
            "CAMPAIGN": str(self.folder / "campaign"), "BUILD": BUILD,
            "FINDINGS": str(self.folder / "findings"), "TARGET": "fuzz_exit",
            "ARMS": "walk", "JOBS": "1", "SLICE": "2", "SEED": "7",
            "HOURS": "0.002", "HAK_REPORT": str(self.folder / "report.html")}
        self.environment |= {k: str(v) for k, v in variables.items()}

    def start(self, command=("scripts/overnight",)):
        self.log = open(self.folder / "log", "ab")
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=self.log,
                                stderr=subprocess.STDOUT, start_new_session=True)

    def run(self):
        process = self.start()
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            raise AssertionError(f"no end after {LIMIT} s:\n{self.said()}") from None

    def said(self):
        return (self.folder / "log").read_text(errors="replace")

    def events(self):
        path = self.folder / "campaign/journal.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(errors="replace").split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def wait(self, process, condition, what):
        deadline = time.monotonic() + LIMIT
        while not condition():
            if process.poll() is not None:
                raise AssertionError(f"ended before {what}:\n{self.said()}")
            if time.monotonic() > deadline:
                os.killpg(process.pid, 9)
                raise AssertionError(f"waited {LIMIT} s for {what}:\n{self.said()}")
            time.sleep(0.1)


class Result(unittest.TextTestResult):
    """Also a line per test for scripts/tally."""

    def note(self, word, test, why=""):
        path = os.environ.get("HAK_RESULTS")
        if path:
            name = "campaign/" + test.id().split(".", 1)[-1]
            with open(path, "a") as file:
                file.write(f"{word} {name} {' '.join(str(why).split())[:200]}".strip() + "\n")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note("pass", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note("fail", test, err[1])

    def addError(self, test, err):
        super().addError(test, err)
        self.note("fail", test, err[1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note("skip", test, reason)
