#!/usr/bin/python3
"""Plots the samples of the soak load: memory, faults and throughput over time.

usage: plot.py SAMPLES.csv OUTPUT.png
"""
import csv
import sys

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt  # noqa: E402

COLUMNS = ("seconds", "rss_bytes", "live_bytes", "calls", "minor_faults", "major_faults",
           "committed_bytes", "metadata_bytes")
MIB = 1 << 20


def read_samples(path):
    """Returns a list per column; a malformed line ends the program with its number."""
    samples = {name: [] for name in COLUMNS}
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            sys.exit(f"{path}:1: no column {', '.join(missing)}")
        for row in reader:
            for name in COLUMNS:
                try:
                    samples[name].append(float(row[name]))
                except (TypeError, ValueError):
                    sys.exit(f"{path}:{reader.line_num}: {name} is {row[name]!r}, not a number")
    if len(samples["seconds"]) < 2:
        sys.exit(f"{path}: fewer than two samples")
    return samples


def rate(values, seconds):
    """Differences per second; as long as `seconds` less one."""
    pairs = zip(zip(values, values[1:]), zip(seconds, seconds[1:]))
    return [(b - a) / max(t - s, 1e-9) for (a, b), (s, t) in pairs]


def plot(samples, path):
    seconds = samples["seconds"]
    figure, (memory, speed, faults) = plt.subplots(3, 1, figsize=(12, 10), sharex=True)
    for name, label in (("rss_bytes", "RSS"), ("live_bytes", "live"),
                        ("committed_bytes", "committed"), ("metadata_bytes", "metadata")):
        memory.plot(seconds, [x / MIB for x in samples[name]], label=label, linewidth=1)
    memory.set_ylabel("MiB")
    memory.legend()
    speed.plot(seconds[1:], [x / 1e6 for x in rate(samples["calls"], seconds)], linewidth=1)
    speed.set_ylabel("million calls / s")
    for name, label in (("minor_faults", "minor"), ("major_faults", "major")):
        faults.plot(seconds[1:], rate(samples[name], seconds), label=label, linewidth=1)
    faults.set_ylabel("page faults / s")
    faults.set_xlabel("seconds")
    faults.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    plot(read_samples(sys.argv[1]), sys.argv[2])
