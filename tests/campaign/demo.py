"""Files of a made-up night that has something of everything: what the page is tested with."""

import json
import math
import random

ROWS = [("1", 0, "thread.begin", ""), ("1", 0, "== t0 s0 = malloc 64", ""),
        ("2*", 1, "== t1 free s0", ""), ("3", 1, "REMOTE_MARK: 0 => 0x1", "slab.c:210"),
        ("4", 0, "SLAB_REMOTE_PEEK -> 0  STALE by 1", "slab.c:77"),
        ("5*", 1, "REMOTE_NOTIFY: 0 => 1", "remote.c:40"),
        ("6", 0, "SLAB_HARVEST: 0x1 => 0", "slab.c:301")]
HEAD = " step | thread 0" + " " * 36 + "| thread 1" + " " * 36 + "| source"


def timeline():
    """As sched_print_timeline prints it, two threads."""
    lines = [HEAD]
    for step, thread, what, place in ROWS:
        cells = ["", ""]
        cells[thread] = what
        number = step.rstrip("*")
        mark = "*" if step.endswith("*") else " "
        line = f"{number:>5}{mark}" + "".join(f"| {c:<44}" for c in cells)
        lines.append(line + (f"| {place}" if place else ""))
    return "\n".join(lines) + "\nfuzz_sched: found: operation 1: t1 free s0: a lost block\n"


class Made:
    """A journal, line by line."""

    def __init__(self):
        self.lines, self.used, self.id = [], 0.0, 0
        self.chance = random.Random(1)

    def put(self, event, **more):
        self.lines.append({"t": 1795200000 + self.used, "used": round(self.used, 1), "e": event}
                          | more)

    def slices(self, arm, rate, top, start=0.3, count=4, seconds=60, edges=True, **more):
        executions = 0
        for number in range(count):
            self.id += 1
            self.put("slice", id=self.id, arm=arm, seconds=seconds, seed=self.id)
            for tick in range(seconds // 10):
                self.used += 10
                executions += int(10 * rate * self.chance.uniform(.8, 1.1))
                part = 1 - (1 - start) * math.exp(-(number * 6 + tick) / 7)
                seen = int(top * part)
                values = {"seen": seen, "singles": max(3, int(seen * .2 / (number * 6 + tick + 1))),
                          "sampled": executions, "rate": int(rate * self.chance.uniform(.8, 1.1)),
                          "pairs": int(190 * part) if "sched" in arm or "exit" in arm else 0,
                          "last_new_at": int(1795200000 + self.used - 5)} | more
                if edges:
                    values["coverage"] = int(1300 * part)
                if tick < seconds // 10 - 1:
                    self.put("sample", id=self.id, arm=arm, executions=executions, **values)
            self.put("ended", id=self.id, arm=arm, why="time", status=0, took=float(seconds),
                     executions=int(rate * seconds), merged=int(20 / (number + 1)), **values)
        self.used -= seconds * count - 30  # others run beside it


def journal():
    made = Made()
    made.put("begin", seconds=3600, jobs=2, seed=1, commit="0123abc", date="2026-11-20", arms=60,
             machine="2 x a processor")
    made.put("result", kind="canary", found=True, executions=764, said="found: a wrong block")
    for target in ("fuzz_api", "fuzz_sched", "fuzz_reuse", "fuzz_exit", "fuzz_os", "fuzz_options"):
        flavour = "fuzz" if target in ("fuzz_api", "fuzz_options") else "sched-fuzz"
        for geometry in ("small", "default"):
            made.slices(f"libfuzzer {target} {flavour}-{geometry}", 900, 7200)
        made.slices(f"afl {target} small", 700, 0, seen=None, singles=0, sampled=0,
                    stability="100.00%")
        if flavour == "sched-fuzz":
            for strategy in ("pct", "pos", "random"):
                made.slices(f"walk {target} {strategy}", 3600, 700, edges=False)
    made.put("resume", seconds=3600, jobs=2)
    made.put("note", text="the disk is full")
    for load in ("larson", "xfree", "soak"):
        made.id += 1
        made.put("ended", id=made.id, arm=f"stress {load} tsan", why="time", took=60.0)
        made.put("result", kind="stress", load=load, flavour="tsan", passed=True,
                 said=f"PASS {load}: 1234567 calls, 60 s")
    for name, count in (("remote free x drain", 199), ("sweep x borrow", 14),
                        ("fork x free", 2918)):
        made.put("result", kind="certificate", name=name, what="one frees; the other drains",
                 threads="2", bound="all", executions=str(count), steps="83", seconds="0.4",
                 verdict="ok")
    for site, survives in (("REMOTE_NOTIFY", False), ("INBOX_PUSH", False), ("GATE_ENTER", True)):
        made.put("result", kind="order", site=site, killed=not survives,
                 scenario="" if survives else "remote free x drain", executions=283,
                 strategy="" if survives else "pos")
    names = ("drain-load-and-store", "harvest-before-clear", "lost-notification")
    for n, name in enumerate(names):
        made.put("result", kind="mutant", name=name, revives="a bug of long ago", broken="",
                 killed=n != 2, verdicts=[
                     {"killer": "fuzz_sched sched-fuzz-small", "killed": n == 0,
                      "executions": 313, "seconds": 0.7, "reason": "found: a lost block"},
                     {"killer": "unit/test_remote", "killed": n == 1, "executions": None,
                      "seconds": 0.1, "reason": "not ok 3"}][n != 1 and 0:n + 1])
    for n, verdict in enumerate(("killed", "killed", "survived", "equivalent")):
        made.put("result", kind="generated", verdict=verdict, name=f"src/heap.c:{90 + n} bound",
                 file="src/heap.c", line=90 + n, change="bound", before="<", after="<=",
                 killer="unit/test_heap" if verdict == "killed" else "", seconds=3.0,
                 reason="it is the same" if verdict == "equivalent" else "")
    loads = ["ARENA_TAG_READ", "SUPERSLAB_WORD_PEEK", "SLAB_REMOTE_PEEK", "REMOTE_SETTLE"]
    stores = ["(initial)", "ARENA_TAG_WRITE", "CLAIM_CAS", "GIVE", "REMOTE_MARK", "REMOTE_NOTIFY"]
    made.put("result", kind="pairs", target="fuzz_sched", geometry="small",
             pairs=[[a, b, 3 ** (i + j)] for i, a in enumerate(loads)
                    for j, b in enumerate(stores) if (i + j) % 3])
    made.put("result", kind="cover", target="fuzz_sched", before=900, after=310, features=7000)
    made.put("result", kind="proposal", target="fuzz_sched",
             files=[{"file": "found-012345678901", "bytes": 300, "features": 40}])
    made.put("finding", target="fuzz_sched", folder="findings/2026-11-20/fuzz_sched/lost",
             is_new=True, fault="a lost block", sites=["SLAB_HARVEST", "REMOTE_NOTIFY"],
             arm="walk fuzz_sched pct")
    made.put("end", status=1)
    return "".join(json.dumps(line) + "\n" for line in made.lines)


def write(build, campaign, findings):
    """All of it, where report/generate looks for it."""
    campaign.mkdir(parents=True)
    (campaign / "journal.jsonl").write_text(journal())
    samples = [(t, 60 + 40 * math.sin(t / 9) + t, 40 + 30 * math.sin(t / 9),
                70 + 30 * math.sin(t / 9)) for t in range(120)]
    (campaign / "soak.csv").write_text("seconds,rss_bytes,live_bytes,committed_bytes\n" + "".join(
        f"{t},{a * 2**20:.0f},{b * 2**20:.0f},{c * 2**20:.0f}\n" for t, a, b, c in samples))
    lines = "".join(f"DA:{n},{n % 9}\n" for n in range(100, 200))
    (build / "coverage").mkdir(parents=True)
    (build / "coverage/corpora.info").write_text(f"SF:src/heap.c\n{lines}end_of_record\n")
    (build / "coverage/tests.info").write_text(
        "SF:/x/src/heap.c\n" + "".join(f"DA:{n},{n % 7}\nBRDA:{n},0,0,{n % 2}\n"
                                       for n in range(100, 200)) + "end_of_record\n"
        "SF:/x/src/slab.c\n" + "".join(f"DA:{n},1\n" for n in range(10, 90)) + "end_of_record\n")
    bench = build / "bench/short"
    bench.mkdir(parents=True, exist_ok=True)
    rows = [{"name": name, "allocators": {
        "hakmem": {"seconds": {"median": 1.0}}, "glibc": {"seconds": {"median": 2.0 + n / 4}},
        "mimalloc": {"seconds": {"median": 1.1 - n / 30}}}}
        for n, name in enumerate(("mixed 256 slots", "larson 16 threads", "trace python"))]
    (bench / "report.json").write_text(json.dumps({
        "machine": {"date": "2026-11-20", "machine": "2 x a processor"},
        "subject": {"name": "hakmem"}, "rows": rows,
        "geometric_means": {"glibc": {"seconds": .45, "rss_kb": 1.2},
                            "mimalloc": {"seconds": .95, "rss_kb": .99}}}))
    found = findings / "2026-11-20/fuzz_sched/a-lost-block-0a1b2c"
    found.mkdir(parents=True)
    (found / "timeline.txt").write_text(timeline())
    (found / "finding.json").write_text(json.dumps({
        "target": "fuzz_sched", "arm": "walk fuzz_sched pct", "repeats": True, "minimised": True,
        "inputs": 3, "found": "2026-11-20 03:12:44", "folder": str(found),
        "command": "make repro FILE=findings/2026-11-20/fuzz_sched/a-lost-block/minimized.ops",
        "class": {"fault": "a lost block", "sites": ["SLAB_HARVEST", "REMOTE_NOTIFY"]},
        "raw": {"fault": "a lost block", "sites": ["SLAB_HARVEST", "REMOTE_NOTIFY"]}}))
