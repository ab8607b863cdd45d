"""One slice: its processes within their limits, its samples, and what is left of it afterwards."""

import os
import shutil
import signal
import subprocess
import time

import fuzzing
from campaign import arms

SAMPLE_SECONDS = 10
STALL_SECONDS = 120  # without an execution
OVERTIME_SECONDS = 60
LOG_BYTES_MAX = 64 << 20
DISK_SECONDS = 20  # between two looks at what the campaign takes
FOUND_MAX = 40  # inputs that fail: enough to tell classes apart


def processes(mark):
    """Those whose environment has the mark, `HAK_SLICE=...`: children of children too."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue  # it has ended, or is another user's
    return found


def resident_kb(pids):
    """Memory of processes, what they share counted once each."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:
                pages += int(file.read().split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGESIZE") // 1024


def end_all(mark):
    """Ends every process with the mark; returns how many there were."""
    count = 0
    for _ in range(50):
        pids = processes(mark)
        if not pids:
            break
        count = max(count, len(pids))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.1)
    return count


def folder_bytes(path):
    """What a folder takes on the disk; files may vanish meanwhile."""
    total = 0
    for root, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except OSError:
                continue
    return total


class Runner:
    """Runs slices of one campaign."""

    def __init__(self, campaign, journal, limits, stopped):
        self.campaign = campaign  # absolute
        self.journal = journal
        self.limits = limits      # memory_mb, disk_mb
        self.stopped = stopped    # threading.Event
        self.live = {}            # slice id -> (arm, values), for the screen
        self.disk = (-DISK_SECONDS, 0)

    def mark(self, number):
        return f"HAK_SLICE={self.campaign}:{number}".encode()

    def clear(self):
        """Ends what an earlier start left, and takes its folders away."""
        folder = self.campaign / "slices"
        old = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        # Merges, and what looked at findings, are no slices.
        left = sum(end_all(self.mark(name)) for name in [*old, "merge", "found"])
        shutil.rmtree(folder, ignore_errors=True)
        return left

    def disk_bytes(self):
        """Measured now and then."""
        if time.monotonic() - self.disk[0] > DISK_SECONDS:
            self.disk = (time.monotonic(), folder_bytes(self.campaign))
        return self.disk[1]

    def too_much(self, arm, log, memory_kb):
        if memory_kb > self.limits["memory_mb"] * 1024 * arm.memory_factor:
            return "memory"
        if log.stat().st_size > LOG_BYTES_MAX:
            return "log"
        if self.disk_bytes() > self.limits["disk_mb"] << 20:
            return "disk"
        return None

    def run(self, arm, number, seconds, seed, corpus, seeds, count):
        """Runs a slice; returns (values of its `ended` line, piece, log text)."""
        piece = arms.Slice(number, self.campaign / "slices" / str(number), seconds, seed,
                           self.campaign, self.limits["memory_mb"])
        piece.part("tmp")
        self.journal.put("slice", id=number, arm=arm.name, seconds=seconds, seed=seed)
        arm.before(piece, count)
        command = [str(c) for c in arm.command(piece, corpus, seeds)]
        environment = arm.environment(piece) | {
            "HAK_SLICE": self.mark(number).decode().partition("=")[2]}
        log = piece.folder / "log"
        begun = time.monotonic()
        with open(log, "wb") as out:
            process = subprocess.Popen(command, cwd=fuzzing.ROOT, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT, env=environment,
                                       start_new_session=True)
        try:
            why, values = self.watch(arm, piece, process, log, begun)
        finally:
            self.live.pop(number, None)
            end_all(self.mark(number))
            process.wait()
        text = log.read_text(errors="replace")
        values.update(arm.read(piece, text))
        well = (0, 1) if arm.judged else (0,)
        if why == "time" and process.returncode not in well and not arm.planted:
            why = "finding" if arm.found(piece) or arm.failure(piece, text, 1) else "broken"
        ended = {"id": number, "arm": arm.name, "why": why, "status": process.returncode,
                 "took": round(time.monotonic() - begun, 1), **values}
        return ended, piece, text

    def watch(self, arm, piece, process, log, begun):
        """Until it ends, or has to be ended: (why, last values)."""
        mark = self.mark(piece.id)
        limit = getattr(arm, "seconds_max", piece.seconds) + OVERTIME_SECONDS
        values, position, sampled, peak = {}, 0, begun, 0
        progress, moved = -1, begun
        while process.poll() is None:
            time.sleep(0.5)
            now = time.monotonic()
            with open(log, "rb") as file:
                file.seek(position)
                text = file.read(1 << 20)
            # Whole lines only: the rest comes with the next look.
            position += text.rfind(b"\n") + 1
            values.update(arm.read(piece, text.decode(errors="replace")))
            memory_kb = resident_kb(processes(mark))
            peak = max(peak, memory_kb)
            values["memory_kb"] = peak
            self.live[piece.id] = (arm, values)
            if values.get("executions", 0) != progress:
                progress, moved = values.get("executions", 0), now
            if now - sampled >= SAMPLE_SECONDS:
                sampled = now
                self.journal.put("sample", id=piece.id, arm=arm.name, **values)
            why = self.too_much(arm, log, memory_kb)
            if self.stopped.is_set():
                why = "stopped"
            elif not why and arm.counts and now - moved > STALL_SECONDS:
                why = "hang"
            elif not why and now - begun > limit:
                why = "overtime" if hasattr(arm, "seconds_max") else "hang"
            elif not why and len(arm.found(piece)) > FOUND_MAX:
                why = "finding"
            if why:
                return why, values
            if not self.journal.room():
                return "full", values
        return "time", values
