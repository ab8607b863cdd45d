"""Plots of a run as SVG files, made by matplotlib."""

import os

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as pyplot  # noqa: E402  (the backend is chosen first)


def _bars(results, metric, title, path):
    """One group of bars per row: each allocator relative to the subject, logarithmic."""
    names = [peer.name for peer in results.peers]
    row_names = [row.name for row in results.rows]
    figure, axes = pyplot.subplots(figsize=(9, 0.34 * len(row_names) + 1.6))
    height = 0.8 / max(len(names), 1)
    for i, name in enumerate(names):
        places, lengths = [], []
        for j, row_name in enumerate(row_names):
            ratio = results.ratio(row_name, name, metric)
            if ratio:
                places.append(j + (i - (len(names) - 1) / 2) * height)
                lengths.append(1 / ratio)
        axes.barh(places, [length - 1 for length in lengths], height, left=1, label=name)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(row_names)), row_names)
    axes.invert_yaxis()
    axes.set_xlabel(f"peer / {results.subject.name} (right of 1: the peer needs more)")
    axes.set_title(title)
    axes.legend(fontsize="small")
    axes.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def write(results, folder):
    """Writes time.svg, cpu.svg and rss.svg; returns their paths."""
    paths = []
    for metric, name, title in (("seconds", "time", "Time"), ("cpu", "cpu", "CPU time"),
                                ("rss_kb", "rss", "Peak RSS")):
        path = os.path.join(folder, name + ".svg")
        _bars(results, metric, f"{title}, relative to {results.subject.name}", path)
        paths.append(path)
    return paths
