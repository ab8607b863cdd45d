"""The rows of the tables: which program runs with which arguments."""

import collections

# name: unique. program: in the folder of programs, or a whole program (see programs.py).
# short: whether `make bench` runs it. ops is reported by the program.
Row = collections.namedtuple("Row", "name program arguments short")


def _row(name, program, *arguments, short=True):
    return Row(name, program, arguments, short)


SHORT_FIXED = (16, 256, 1024)
FIXED = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# Recorded programs, in corpus/trace/seed, and how often each is replayed.
SHORT_TRACES = ("cxx", "python", "redis")
TRACES = {"cc": "1000", "cxx": "1000", "git": "1000", "perl": "1000", "python": "1000",
          "redis": "1000", "sqlite": "1000", "xz": "20"}

ROWS = (
    [
        _row("mixed 256 slots", "mixed", "--slots=256", "--steps=8m"),
        _row("mixed 4096 slots", "mixed", "--slots=4096", "--steps=8m"),
        _row("mixed 8192 slots", "mixed", "--slots=8192", "--steps=8m"),
        _row("mixed 100000 slots", "mixed", "--slots=100000", "--steps=3m"),
    ]
    + [
        _row(f"fixed {size} B", "mixed", "--slots=2000", f"--min={size}", f"--max={size}",
             "--steps=8m", short=size in SHORT_FIXED)
        for size in FIXED
    ]
    + [
        _row("batch 1000 x 32 B", "batch", "--count=1000", "--bytes=32", "--repeat=20000"),
        _row("batch 100000 x 512 B", "batch", "--count=100000", "--bytes=512", "--repeat=15"),
        _row("batch reversed", "batch", "--count=1000", "--bytes=64", "--repeat=20000",
             "--reverse=1", short=False),
        _row("larson 1 thread", "larson", "--threads=1", "--steps=400k", "--lives=10"),
        _row("larson 2 threads", "larson", "--threads=2", "--steps=400k", "--lives=10"),
        _row("larson 16 threads", "larson", "--threads=16", "--steps=50k", "--lives=10"),
        _row("8-32 KB, 2 threads", "mixed", "--threads=2", "--slots=64", "--min=8k", "--max=32k",
             "--steps=500k"),
        _row("transfer 1:1", "transfer", "--parcels=20000"),
        _row("transfer 4:4", "transfer", "--producers=4", "--consumers=4", "--parcels=5000"),
        _row("transfer free-only", "transfer", "--own=0", "--parcels=30000"),
        _row("transfer free-only 4:1", "transfer", "--own=0", "--producers=4", "--parcels=8000",
             short=False),
        _row("64 KB-4 MB touched", "sweep", "--touch=1", "--steps=150"),
        _row("64 KB-4 MB untouched", "sweep", "--touch=0", "--steps=3000"),
        _row("growth by 512 B", "growth", "--append=512", "--max=256k", "--rounds=10"),
        _row("growth by half", "growth", "--half=1", "--rounds=30"),
        _row("short-lived threads", "threads", "--waves=1500"),
    ]
    + [
        _row(f"trace {name}", "trace", name, repeats, "pages", short=name in SHORT_TRACES)
        for name, repeats in TRACES.items()
    ]
    + [
        _row("compile C++", "compile"),
        _row("python", "python"),
        _row("redis", "redis"),
    ]
)

# Where the goals look for single rows.
SLOTS_FEW, SLOTS_MANY = "mixed 256 slots", "mixed 8192 slots"
LARSON_MANY = "larson 16 threads"

# Name, arguments of the program `peak`.
PEAKS = (
    ("16-1040 B", ("--peak-mb=256",)),
    ("16-1040 B, 4 threads", ("--peak-mb=256", "--threads=4")),
    ("2-64 KB", ("--peak-mb=256", "--min=2k", "--max=64k")),
    ("64 KB-4 MB", ("--peak-mb=512", "--min=64k", "--max=4m")),
)
