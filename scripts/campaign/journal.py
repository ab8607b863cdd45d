"""The journal: what happened, a JSON object per line, and all that a campaign knows of itself.

Lines have `t` (seconds since 1970), `used` (seconds of the campaign so far) and `e`, one of:
  begin     seconds, jobs, seed, commit          the first line of a campaign
  resume                                         a later start
  slice     id, arm, seconds, seed               begins
  sample    id, arm, executions, rate, coverage, features, singles, pairs, corpus, memory_kb, new
  ended     as sample, and took, why             why: time hang overtime memory log disk full
                                                 finding broken stopped
  finding   folder, target, fault, sites, is_new
  result    kind, and what it says               canary, certificate, order, mutant, pairs, merge
  note      text
  end       status
"""

import errno
import fcntl
import json
import os
import shutil
import threading
import time


class DiskFull(Exception):
    """There was no room for too long."""


class Journal:
    """Appends lines; holds them back while the disk is full."""

    def __init__(self, folder, reserve_mb=256, patience=600, say=print):
        self.folder = folder
        self.path = folder / "journal.jsonl"
        self.reserve_bytes = reserve_mb << 20
        self.patience = patience
        self.say = say
        self.mutex = threading.RLock()
        self.held = []
        self.full_since = None
        self.events = []
        self.used_before = 0.0
        self.started = time.monotonic()

    def lock(self):
        """False if another campaign has this folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Kept open, and so locked, until the process ends, in whatever way.
        self.lock_file = open(self.folder / "lock", "w")
        try:
            fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def load(self):
        """Reads what there is; cuts off a line that was being written when the power went."""
        self.events = read_events(self.path, repair=True)
        self.used_before = max((e.get("used", 0.0) for e in self.events), default=0.0)
        self.started = time.monotonic()

    def used(self):
        return self.used_before + time.monotonic() - self.started

    def put(self, event, **more):
        """Adds a line. It is in `events` at once, in the file as soon as there is room."""
        with self.mutex:
            line = {"t": round(time.time(), 1), "used": round(self.used(), 1), "e": event, **more}
            self.events.append(line)
            self.held.append(json.dumps(line, ensure_ascii=False) + "\n")
            self.flush()

    def flush(self):
        """Writes what is held back; True if nothing is left."""
        with self.mutex:
            if not self.held:
                return True
            data = "".join(self.held).encode()
            try:
                append(self.path, data)
            except OSError as why:
                if why.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                return False
            self.held.clear()
            return True

    def room(self):
        """True if there is room for a slice. Says when that changes."""
        # Half of it more before it goes on: else a slice begins in what the last one gave back,
        # ends at once, and so does the next, to the end of the night.
        least = self.reserve_bytes * (1 if self.full_since is None else 1.5)
        full = shutil.disk_usage(self.folder).free < least or not self.flush()
        if full and self.full_since is None:
            self.full_since = time.monotonic()
            self.say(f"the disk is full ({self.folder}: less than {self.reserve_bytes >> 20} MiB "
                     "free): hunting waits for room, nothing is lost")
            self.put("note", text="the disk is full")
        if full and time.monotonic() - self.full_since > self.patience:
            raise DiskFull(f"the disk stayed full for {self.patience} seconds")
        if not full and self.full_since is not None:
            self.full_since = None
            self.say("there is room again: hunting goes on")
            self.put("note", text="there is room again")
        return not full


def append(path, data):
    """All of the data on the disk, or none of it and OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        end = os.fstat(file).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(file, data[written:])
            os.fsync(file)
        except OSError:
            os.ftruncate(file, end)  # half a line must not stay in front of the next ones
            raise
    finally:
        os.close(file)


def read_events(path, repair=False):
    """The lines of a journal, without a torn one at its end; a bad one elsewhere is an error."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[:data.rfind(b"\n") + 1]
    events = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            events.append(json.loads(line))
        except ValueError as why:
            raise SystemExit(f"{path}:{number}: {why}") from None
    if repair and len(whole) != len(data):
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    return events


def is_open(events):
    """Whether the campaign of these lines was begun and not ended."""
    return bool(events) and not any(e["e"] == "end" for e in events)


def unfinished(events):
    """Slices that began and have no end: they were running when the campaign was killed."""
    begun = {e["id"]: e for e in events if e["e"] == "slice"}
    for e in events:
        if e["e"] == "ended":
            begun.pop(e["id"], None)
    return list(begun.values())
