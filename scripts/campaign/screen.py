"""How a campaign is doing: one screen that is drawn anew, or a line per target now and then."""

import shutil
import sys
import time

LINES_EVERY = 60  # seconds, where this is no terminal


def clock(seconds):
    seconds = int(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 60}m{seconds % 60:02}s" if seconds >= 60 else f"{seconds}s"


def short(number):
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 10 * factor or (number >= factor and unit != "k"):
            return f"{number / factor:.1f}{unit}"
    return str(int(number))


class Row:
    """One target, or one kind of work without executions."""

    def __init__(self):
        self.executions = self.rate = self.coverage = self.pairs = self.findings = 0
        self.slices = 0
        self.last_new = None  # seconds since 1970
        self.running = []


def rows_of(events, live, arms):
    """Name -> Row, from the journal and the slices that run."""
    rows, by_arm = {}, {a.name: a for a in arms}

    def row_of(arm):
        kind = by_arm[arm].kind if arm in by_arm else arm.split()[0]
        target = by_arm[arm].target if arm in by_arm else ""
        name = kind if kind in ("stress", "model", "orders", "mutants") else target
        return rows.setdefault(name, Row())

    def take(row, values):
        row.coverage = max(row.coverage, values.get("coverage", 0))
        row.pairs = max(row.pairs, values.get("pairs", 0))
        row.last_new = max(filter(None, (row.last_new, values.get("last_new_at"))), default=None)

    for arm in arms:
        row_of(arm.name)
    for e in events:
        if e["e"] == "ended":
            row = row_of(e["arm"])
            row.executions += e.get("executions", 0)
            row.slices += 1
            take(row, e)
        elif e["e"] == "finding" and e["is_new"]:
            name = e["target"]
            rows.setdefault(name if name in rows else "stress", Row()).findings += 1
    for arm, values in list(live.values()):
        row = row_of(arm.name)
        row.executions += values.get("executions", 0)
        row.rate += values.get("rate", 0)
        row.running.append(f"{arm.kind} {arm.variant}".strip())
        take(row, values)
    return rows


class Screen:
    def __init__(self, seconds, journal, runner, arms, findings):
        self.seconds, self.journal, self.runner = seconds, journal, runner
        self.arms, self.findings = arms, findings
        self.terminal = sys.stdout.isatty()
        self.last = 0.0
        self.said = []  # what was said meanwhile: shown below the table

    def say(self, text):
        stamp = time.strftime("%H:%M:%S")
        self.said = [*self.said[-5:], f"{stamp} {text}"]
        if not self.terminal:
            print(f"overnight: {stamp} {text}", flush=True)

    def head(self):
        live = [values for _, values in list(self.runner.live.values())]
        memory = sum(v.get("memory_kb", 0) for v in live) >> 10
        return (f"{clock(self.journal.used())} of {clock(self.seconds)}, "
                f"{sum(e['e'] == 'ended' for e in self.journal.events)} slices, "
                f"memory {memory} MiB, disk {self.runner.disk_bytes() >> 20} MiB, "
                f"findings {self.findings.count()}")

    def lines(self):
        """The table, a line per row."""
        table = [f"{'':<16}{'executions':>11}{'per s':>8}{'edges':>7}{'pairs':>7}"
                 f"{'last new':>10}{'found':>7}  running"]
        for name, row in rows_of(self.journal.events, self.runner.live, self.arms).items():
            ago = clock(time.time() - row.last_new) if row.last_new else "-"
            table.append(f"{name:<16}{short(row.executions):>11}{short(row.rate):>8}"
                         f"{row.coverage or '-':>7}{row.pairs or '-':>7}{ago:>10}"
                         f"{row.findings:>7}  {', '.join(row.running)}")
        return table

    def show(self, now=False):
        every = 1 if self.terminal else LINES_EVERY
        if not now and time.monotonic() - self.last < every:
            return
        self.last = time.monotonic()
        if not self.terminal:
            print(f"overnight: {self.head()}")
            print("\n".join("  " + line.rstrip() for line in self.lines()), flush=True)
            return
        size = shutil.get_terminal_size()
        lines = [f"overnight  {self.head()}", "", *self.lines(), "", *self.said]
        lines = [line[:size.columns - 1] for line in lines[:size.lines - 1]]
        # Home, each line cleared to its end, the rest of the screen cleared: no flicker.
        sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()

    def open(self):
        if self.terminal:
            sys.stdout.write("\x1b[2J")
            sys.stdout.flush()
