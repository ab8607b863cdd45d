"""Tables for people: to the terminal and as markdown, from the same cells."""

import collections
import json
import math

import results as measured


def _cell(value, form):
    return "failed" if value is None or math.isnan(value) else format(value, form)


def _time(ns):
    """Nanoseconds, or milliseconds for a whole program."""
    return f"{ns / 1e6:.0f} ms" if ns and ns >= 1e6 else _cell(ns, ".1f")


def time_table(results):
    """Nanoseconds per operation, the subject's ratio to the best peer, the largest spread."""
    head = ["row", *results.names, "of best", "spread"]
    body = []
    for row in results.rows:
        best = results.best_ratio(row.name)
        spreads = [s for name in results.names
                   if (s := results.spread(row.name, name)) is not None]
        body.append([row.name,
                     *(_time(results.ns_per_op(row.name, name)) for name in results.names),
                     f"{best[0]:.2f} {best[1]}" if best else "failed",
                     f"{max(spreads):.0%}" if spreads else "-"])
    return head, body


def ratio_table(results, metric):
    """Subject / peer, row by row, with the geometric mean."""
    head = ["row", *(peer.name for peer in results.peers)]
    body = [[row.name, *(_cell(results.ratio(row.name, peer.name, metric), ".2f")
                         for peer in results.peers)] for row in results.rows]
    body.append(["geometric mean", *(_cell(results.mean_ratio(peer.name, metric)[0], ".3f")
                                     for peer in results.peers)])
    return head, body


def rss_table(results):
    head = ["row", *results.names]
    body = []
    for row in results.rows:
        medians = [results.median(row.name, name, "rss_kb") for name in results.names]
        body.append([row.name, *(_cell(m / 1024 if m else None, ".1f") for m in medians)])
    return head, body


def peak_table(results):
    head = ["peak of", *results.names, "limit"]
    body = []
    for peak in dict.fromkeys(p[0] for p in results.peaks):
        after = {p[1]: p for p in results.peaks if p[0] == peak}
        live = next(iter(after.values()))[2]
        limit = live * measured.PEAK_FACTOR + measured.PEAK_EXTRA_KB
        body.append([peak, *(_cell(after[name][4] / 1024 if name in after else None, ".1f")
                             for name in results.names), f"{limit / 1024:.0f}"])
    return head, body


def markdown(head, body):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def plain(head, body):
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    def form(line):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        return "  ".join(cells).rstrip() + "\n"
    return "".join(form(line) for line in [head, *body])


def sections(results):
    """[(title, head, body)]"""
    clock = {"seconds": "wall clock", "cpu": "CPU time"}[results.metric]
    name = results.subject.name
    found = [(f"Nanoseconds per operation ({clock}, median of {results.rounds} rounds)",
              *time_table(results)),
             (f"{clock[0].upper()}{clock[1:]} of {name} / peer",
              *ratio_table(results, results.metric))]
    other = "cpu" if results.metric == "seconds" else "seconds"
    title = "CPU time" if other == "cpu" else "Wall clock"
    found.append((f"{title} of {name} / peer", *ratio_table(results, other)))
    found.append(("Peak RSS, MB", *rss_table(results)))
    found.append((f"Peak RSS of {name} / peer", *ratio_table(results, "rss_kb")))
    if results.peaks:
        found.append(("RSS after a peak of 256 or 512 MB, 16 MB live, MB", *peak_table(results)))
    return found


def notes(results, machine):
    """Lines about the run: where, with what, what failed, which goals hold."""
    lines = [f"{key}: {value}" for key, value in machine.items()]
    lines += [f"not measured: {row}: {why}" for row, why in results.missing.items()]
    failures = collections.Counter((row, name, why.splitlines()[-1] if why else "no reason")
                                   for row, name, why in results.failures)
    lines += [f"FAILED {count} times: {row}: {name}: {why}"
              for (row, name, why), count in failures.items()]
    lines.append(f"failed runs: {len(results.failures)}")
    return lines


def goal_lines(results):
    return [f"{'holds  ' if holds else 'MISSED '} {text}"
            for holds, text in measured.goals(results)]


def text(results, machine, form):
    """The whole report; form is plain or markdown."""
    heading = "## {}\n\n" if form is markdown else "\n== {}\n"
    bullet = "- {}\n" if form is markdown else "{}\n"
    out = "".join(bullet.format(line) for line in notes(results, machine))
    for title, head, body in sections(results):
        out += ("\n" if form is markdown else "") + heading.format(title) + form(head, body)
    out += ("\n" if form is markdown else "") + heading.format("Goals")
    return out + "".join(bullet.format(line) for line in goal_lines(results))


def _origin(results, machine):
    """Where the figures come from, for a document."""
    failed = len(results.failures) or "no"
    clock = {"seconds": "wall clock", "cpu": "processor time"}[results.metric]
    return (f"{machine['date']}, commit {machine['commit']}, {machine['machine']}: `make bench`,"
            f" {results.rounds} interleaved rounds of {len(results.rows)} programs, {clock}; load"
            f" before and after {machine['load before and after']}; {failed} run failed.\n")


def _means(results):
    ratios = {text: [results.mean_ratio(peer.name, metric)[0] for peer in results.peers]
              for text, metric in (("time", results.metric), ("peak RSS", "rss_kb"))}
    row = "larson 16 threads"
    if any(row == r.name for r in results.rows):
        ratios[row] = [results.ratio(row, peer.name, results.metric) for peer in results.peers]
    return [f"{results.subject.name} / peer, geometric means",
            *(f"{peer.name} {peer.version}".strip() for peer in results.peers)], \
        [[text, *(_cell(ratio, ".3f") for ratio in found)] for text, found in ratios.items()]


def summary(results, machine):
    """The lines for README."""
    return [_origin(results, machine), markdown(*_means(results)).rstrip()]


def tables(results, machine):
    """The lines for docs/PERFORMANCE.md."""
    lines = summary(results, machine)
    for title, head, body in sections(results):
        if " / peer" not in title:
            lines += [f"\n{title}:\n", markdown(head, body).rstrip()]
    return lines


def to_json(results, machine):
    def row_summary(row, name):
        runs = results.runs[row.name, name]
        return {"ops": runs[0]["ops"] if runs else None,
                **{metric: {"median": results.median(row.name, name, metric),
                            "spread": results.spread(row.name, name, metric),
                            "all": results.values(row.name, name, metric)}
                   for metric in measured.METRICS}}
    return json.dumps({
        "machine": machine,
        "subject": results.subject._asdict(),
        "peers": [peer._asdict() for peer in results.peers],
        "metric": results.metric,
        "rounds": results.rounds,
        "rows": [{"name": row.name, "program": row.program, "arguments": row.arguments,
                  "allocators": {name: row_summary(row, name) for name in results.names}}
                 for row in results.rows],
        "peaks": [dict(zip(("name", "allocator", "live_kb", "peak_kb", "after_kb"), peak))
                  for peak in results.peaks],
        "geometric_means": {peer.name: {metric: results.mean_ratio(peer.name, metric)[0]
                                        for metric in measured.METRICS}
                            for peer in results.peers},
        "not_measured": results.missing,
        "failures": [dict(zip(("row", "allocator", "reason"), f)) for f in results.failures],
        "goals": [{"holds": holds, "text": text} for holds, text in measured.goals(results)],
    }, indent=1)
