"""What was found: its class, its smallest form, and a folder that says how to see it again."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import fuzzing

MINIMISED_PER_FAULT = 5  # more inputs of one fault are counted, not shrunk
REPRO_SECONDS = 120
CLASSES_MAX = 200  # of a campaign: more are counted, not kept
TEXT_MAX = 1 << 20  # of a time line
MINIMISE_SECONDS = 300  # a place of the campaign waits for it
FRAME = re.compile(r"^ +#\d+ (?:0x[0-9a-f]+ in )?(\S+) .*?(\w+\.[ch]):(\d+)", re.M)


@dataclass(frozen=True)
class Class:
    """Two findings with equal ones are duplicates."""

    fault: str
    sites: tuple

    def slug(self):
        words = re.findall(r"[a-z]+", self.fault.lower())
        name = ""
        for word in words:
            if len(name) + len(word) > 40:
                break
            name += "-" * bool(name) + word
        digest = hashlib.sha1(repr(self).encode()).hexdigest()[:6]
        return f"{name or 'failure'}-{digest}"


def plain(text):
    """Without what differs from run to run: numbers, and the operation that met the fault."""
    text = re.sub(r"operation \d+: [^:]*: |^at the end: ", "", text)
    text = re.sub(r"0x[0-9a-f]+|\b\d+\b", "#", text)
    return re.sub(r"==#==|\s+", " ", text).strip()[:160]


def fault_of(text):
    sanitizer = re.search(r"(?:ERROR|WARNING): (\w*Sanitizer): ([\w-]+(?: [a-z]+)*)", text)
    if sanitizer:
        return f"{sanitizer[1]} {sanitizer[2]}".split(" on ")[0].strip()
    match = re.search(r"found: (.*)", text) or fuzzing.REASON.search(text)
    if match:
        return plain(match.group(match.lastindex or 0))
    match = re.search(r"^ *(FAIL .*)", text, re.M)
    return plain(match.group(1)) if match else "ended without a word"


def rows_of(text):
    """The time line as (step, preempted, thread, what, place); [] if there is none."""
    rows, starts = [], None
    for line in text.splitlines():
        step = re.match(r"^ *(\d+)([* ])\| ", line)
        if re.match(r"^ *step \| thread 0", line):
            rows = []
            starts = [m.start() for m in re.finditer(r"\| (?:thread \d+|source)", line)]
        elif starts and step:
            ends = [*starts[1:], len(line)]
            cells = [line[a:b].lstrip("|").strip() for a, b in zip(starts, ends)]
            thread = next((i for i, c in enumerate(cells[:-1]) if c), None)
            if thread is not None:
                rows.append((int(step[1]), step[2] == "*", thread, cells[thread], cells[-1]))
    return rows


def site_name(what):
    match = re.match(r"([A-Z][A-Z0-9_]+)\b", what)
    return match[1] if match else None


def sites_of(text):
    """The pair of places that met."""
    rows = [(t, site_name(w), "STALE" in w) for _, _, t, w, _ in rows_of(text) if site_name(w)]
    if rows:
        # What a stale read leads to may show much later; without one, the last step tells most.
        at = max((i for i, r in enumerate(rows) if r[2]), default=len(rows) - 1)
        other = next((r for r in reversed(rows[:at]) if r[0] != rows[at][0]), None)
        return (rows[at][1],) + ((other[1],) if other else ())
    # The innermost two frames of the allocator; of a race, that of each of the two stacks.
    report = text[max(text.find("Sanitizer: "), 0):]
    stacks = re.split(r"\n\s*\n", report) if "ThreadSanitizer" in text else [report]
    if "ThreadSanitizer" in text:
        inner = [FRAME.search(s) for s in stacks]
        return tuple(f"{m[1]} {m[2]}" for m in inner if m)[:2]
    return tuple(f"{m[1]} {m[2]}:{m[3]}" for m in FRAME.finditer(report)
                 if m[2] not in ("replay.c", "walk.c") and not m[1].startswith("__"))[:2]


def class_of(text):
    return Class(fault_of(text), sites_of(text))


class Findings:
    """The folder of one campaign's findings, and the classes in it."""

    def __init__(self, folder, journal, scratch):
        self.folder = folder    # findings/DATE, relative to the root
        self.journal = journal
        self.scratch = scratch  # absolute
        self.classes = {}       # (target, Class) -> folder
        self.raw = {}           # (target, Class before minimising) -> the same
        self.shrunk = {}        # (target, fault) -> inputs that were minimised
        for path in sorted((fuzzing.ROOT / folder).glob("*/*/finding.json")):
            known = json.loads(path.read_text())
            target = known["target"]
            for part, table in (("class", self.classes), ("raw", self.raw)):
                key = Class(known[part]["fault"], tuple(known[part]["sites"]))
                table[target, key] = path.parent

    def count(self):
        return len(self.classes)

    def repro(self, path, target, replayer=None):
        """What `make repro` says of a file; or a program that the registry does not have."""
        command = [replayer, path] if replayer else ["scripts/repro", path, target]
        said, status = self.run(command, REPRO_SECONDS)
        return (said, int(status != 0)) if status is not None else (
            said + "\nfound: it hangs\n", 1)

    def run(self, command, seconds):
        """(what it says, exit status, or None if it had to be ended with all its children)"""
        process = subprocess.Popen([str(c) for c in command], cwd=fuzzing.ROOT, text=True,
                                   errors="replace", stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=self.environment(), start_new_session=True)
        try:
            return process.communicate(timeout=seconds)[0], process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()[0], None

    def environment(self):
        drop = ("MAKEFLAGS", "MAKELEVEL", "TARGET", "KEEP")
        return {k: v for k, v in fuzzing.environment_of(
            fuzzing.Instance("", "", "", 0, 0, "ops")).items() if k not in drop} | {
            "BUILD": str(fuzzing.BUILD), "CLANG": fuzzing.CLANG,
            "HAK_SLICE": f"{self.scratch.parent}:found",
            "FINDINGS": os.path.relpath(self.scratch / "minimised", fuzzing.ROOT)}

    def known(self, target, key, raw):
        return self.classes.get((target, key)) or self.raw.get((target, raw))

    def of_fault(self, target, fault):
        return next((folder for (t, key), folder in self.classes.items()
                     if t == target and key.fault == fault), None)

    def again(self, folder):
        """One more input of a class."""
        path = folder / "finding.json"
        known = json.loads(path.read_text())
        known["inputs"] += 1
        self.write(path, json.dumps(known, indent=1) + "\n")
        return known

    @staticmethod
    def write(path, text):
        """Whole or not at all."""
        new = path.with_name(path.name + ".new")
        new.write_text(text)
        os.replace(new, path)

    def take_input(self, target, path, arm, label, log, replayer=None):
        """Takes in an input that fails; True if its class is new.

        `label` is FLAVOUR-GEOMETRY of the build that said so, `replayer` its program if `make
        repro` does not know it: then nothing can shrink the input either.
        """
        kept = self.scratch / target
        kept.mkdir(parents=True, exist_ok=True)
        name = f"hang-{path.name}" if path.parent.name == "hangs" else path.name
        name = name if name.startswith(label) else f"{label}-{name}"
        copy = kept / re.sub(r"[^\w.-]", "_", name)
        shutil.copyfile(path, copy)
        try:
            return self.classify(target, copy, arm, log, replayer)
        finally:
            copy.unlink()

    def classify(self, target, copy, arm, log, replayer):
        said, status = self.repro(copy, target, replayer)
        repeats = status == 1
        if not repeats and re.search("-timeout-|-hang-", copy.name):
            # A busy machine was slow: no fault of the target.
            self.journal.put("note", text=f"{arm}: an input that took long does not when alone")
            return False
        raw = class_of(said if repeats else log)
        folder = self.known(target, raw, raw)
        result, key = None, raw
        if folder is None and repeats and not replayer:
            result, key, said = self.shrink(target, copy, raw, said)
            folder = self.known(target, key, raw)
            if result is None and folder is None:
                # Steps that do not matter hide those that met: one class of its fault for all such.
                folder = self.of_fault(target, raw.fault)
        if folder is not None or len(self.classes) >= CLASSES_MAX:
            self.count_again(target, folder, raw, arm)
            return False
        place = self.folder / target / key.slug() / copy.name
        command = f"{replayer} {place}" if replayer else None
        self.make(target, key, raw, said if repeats else log, arm, copy, result, repeats, command)
        return True

    def shrink(self, target, path, raw, said):
        """(minimised file or None, its class, what it says)"""
        before = self.shrunk.get((target, raw.fault), 0)
        if before >= MINIMISED_PER_FAULT:
            return None, raw, said
        self.shrunk[target, raw.fault] = before + 1
        result = self.minimise(path, target)
        if result:
            after, status = self.repro(result, target)
            if status == 1 and class_of(after).fault == raw.fault:
                return result, class_of(after), after
        return None, raw, said

    def count_again(self, target, folder, raw, arm):
        """One more input of a class; without a folder: of one of too many."""
        known = self.again(folder) if folder else {"folder": "", "class": {"fault": raw.fault}}
        if folder:
            self.raw[target, raw] = folder
        self.journal.put("finding", target=target, folder=known["folder"], is_new=False,
                         fault=known["class"]["fault"], arm=arm)

    def minimise(self, path, target):
        """The minimised file, or None: hangs and races of real threads do not shrink."""
        shutil.rmtree(self.scratch / "minimised", ignore_errors=True)
        said, status = self.run(["scripts/minimize", path, target], MINIMISE_SECONDS)
        match = re.search(r"^result: (.*)$", said, re.M)
        return fuzzing.ROOT / match[1] if match and status == 0 else None

    def take_report(self, target, arm, command, log):
        """Takes in what has no input: a load under ThreadSanitizer, a scenario."""
        key = class_of(log)
        folder = self.known(target, key, key)
        if folder is not None:
            self.count_again(target, folder, key, arm)
            return False
        self.make(target, key, key, log, arm, None, None, False, command)
        return True

    def make(self, target, key, raw, said, arm, path, result, repeats, command=None):
        relative = self.folder / target / key.slug()
        folder = fuzzing.ROOT / relative
        folder.mkdir(parents=True, exist_ok=True)
        shown = None
        if path is not None:
            shutil.copyfile(path, folder / path.name)
            shown = relative / path.name
        if result is not None:
            for part in result.parent.iterdir():
                if part.stem == result.stem:
                    shutil.copyfile(part, folder / ("minimized" + part.suffix))
            shown = relative / ("minimized" + result.suffix)
        command = command or f"make repro FILE={shown}"
        (folder / "timeline.txt").write_text(said[-TEXT_MAX:])
        known = {"target": target, "arm": arm, "folder": str(relative), "command": command,
                 "repeats": repeats, "replayed": path is not None,
                 "minimised": result is not None, "inputs": 1,
                 "found": time.strftime("%Y-%m-%d %H:%M:%S"),
                 "class": {"fault": key.fault, "sites": list(key.sites)},
                 "raw": {"fault": raw.fault, "sites": list(raw.sites)}}
        (folder / "README.md").write_text(readme(known))
        self.write(folder / "finding.json", json.dumps(known, indent=1) + "\n")
        self.classes[target, key] = self.raw[target, raw] = folder
        self.journal.put("finding", target=target, folder=str(relative), is_new=True,
                         fault=key.fault, sites=list(key.sites), arm=arm)


def readme(known):
    sites = " and ".join(known["class"]["sites"]) or "no two sites are known"
    again = "" if known["repeats"] else "It did not repeat when it was replayed.\n"
    if not known["replayed"]:
        again = "Nothing was replayed: the kernel schedules these threads.\n"
    return (f"# {known['target']}: {known['class']['fault']}\n\n"
            f"Where: {sites}. Found {known['found']} by `{known['arm']}`.\n{again}\n"
            f"    {known['command']}\n\n`timeline.txt` is what that printed.\n")
