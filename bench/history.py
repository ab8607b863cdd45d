#!/usr/bin/python3
"""The table with which this project began, beside what is measured here and now.

The old figures are those of the research allocator's own notes (October and November 2025), of
another machine: across the two halves only ratios say something, which is why each half has one,
to the system's malloc of its day.
"""

import argparse
import collections
import statistics
import sys

import allocators
import programs

# then: (hakmem, system malloc, mimalloc), millions of operations per second; None: not measured.
Workload = collections.namedtuple("Workload", "name then program arguments")

LARSON = ("--min=8", "--max=1024")
MIXED = ("--min=16", "--max=1040", "--steps=4m")
WORKLOADS = (
    Workload("larson 8-1024 B, 1 thread", (17.8, 8.0, None), "larson",
             (*LARSON, "--threads=1", "--steps=400k", "--lives=10")),
    Workload("larson, 4 threads", (16.0, 6.5, None), "larson",
             (*LARSON, "--threads=4", "--steps=100k", "--lives=10")),
    Workload("larson, 16 threads", (7.6, 11.6, None), "larson",
             (*LARSON, "--threads=16", "--steps=50k", "--lives=10")),
    Workload("mixed 16-1040 B, 256 slots", (79.2, 86.7, 114.9), "mixed", (*MIXED, "--slots=256")),
    Workload("mixed 16-1040 B, 8192 slots", (16.5, 57.1, 96.5), "mixed", (*MIXED, "--slots=8192")),
    Workload("mixed 16-1040 B, 4096 slots", (5.2, 51.9, 57.5), "mixed", (*MIXED, "--slots=4096")),
    Workload("8-32 KB, 2 threads", (0.24, 5.4, 24.2), "mixed",
             ("--threads=2", "--slots=64", "--min=8k", "--max=32k", "--steps=500k")),
    Workload("fixed 256 B", (54.4, 102.1, None), "mixed",
             ("--slots=2000", "--min=256", "--max=256", "--steps=4m")),
)
# How much slower the second is than the first: it was the system's worst figure.
SLOW_DOWN = ("mixed 16-1040 B, 256 slots", "mixed 16-1040 B, 8192 slots")
NAMES = ("hakmem", "glibc", "mimalloc")


def measure(options, chosen):
    """{workload: {allocator: millions of operations per second}}, medians over the rounds."""
    speeds = {load.name: collections.defaultdict(list) for load in WORKLOADS}
    for number in range(options.rounds):
        for load in WORKLOADS:
            turn = number % len(chosen)
            for allocator in chosen[turn:] + chosen[:turn]:
                found = programs.run_program(options.programs, load.program, load.arguments,
                                             allocator.path, 120)
                speeds[load.name][allocator.name].append(found["ops"] / found["seconds"] / 1e6)
    return {name: {who: statistics.median(list_) for who, list_ in row.items()}
            for name, row in speeds.items()}


def cell(value, digits=1):
    if value is None:
        return "-"
    return f"{value:.{digits if value >= 1 else 2}f}"


def ratio(figures):
    """The first over the second."""
    return "-" if None in figures[:2] else f"{figures[0] / figures[1]:.2f}"


def print_row(cells):
    print("| " + " | ".join([f"{cells[0]:30}", *(f"{c:>8}" for c in cells[1:])]) + " |")


def print_table(now):
    titles = ("hakmem", "system", "mimalloc", "h / s")
    print_row(["M operations/s", *["then"] * len(titles), *["now"] * len(titles)])
    print("|" + "---|" + "---:|" * 2 * len(titles))
    print_row(["", *titles, *titles])
    for load in WORKLOADS:
        figures = tuple(now[load.name].get(name) for name in NAMES)
        print_row([load.name, *map(cell, load.then), ratio(load.then), *map(cell, figures),
                   ratio(figures)])
    few, many = ([load for load in WORKLOADS if load.name == name][0] for name in SLOW_DOWN)
    then = [a / b for a, b in zip(few.then, many.then)]
    figures = [now[few.name][n] / now[many.name][n] if n in now[few.name] else None for n in NAMES]
    print_row(["slow-down, 256 to 8192 slots", *(cell(x, 2) for x in then), "",
               *(cell(x, 2) for x in figures), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", required=True, help="[NAME=]PATH of libhakmem.so")
    parser.add_argument("--programs", required=True, help="folder of the benchmark programs")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved, medians (default 3)")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    subject = allocators.from_path(options.subject)._replace(name="hakmem")
    peers, missing = allocators.find_peers(only=("glibc", "mimalloc"))
    print_table(measure(options, [subject, *peers]))
    print("\nthen: the notes of 2025, another machine; now: this machine, medians of "
          f"{options.rounds} interleaved rounds")
    if missing:
        print(f"not installed here: {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
