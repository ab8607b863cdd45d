"""What was measured, and what follows from it: medians, spread, ratios, the goals."""

import math
import statistics

import rows

GOAL_TIME = 0.90        # geometric mean of time, of each peer
GOAL_ROW = 1.15         # any row, of its best peer
GOAL_SLOTS = 1.20       # time per operation with many slots, of that with few
GOAL_RSS = 1.0          # geometric mean of peak size, below each peer's
GOAL_RSS_GLIBC = 1.05   # the same of glibc's, at most
PEAK_FACTOR, PEAK_EXTRA_KB = 1.5, 8 << 10

METRICS = ("seconds", "cpu", "rss_kb")


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values else math.nan


class Results:
    """Runs by row and allocator. Failures are kept beside them and never dropped."""

    def __init__(self, subject, peers, row_list, metric):
        self.subject, self.peers, self.rows, self.metric = subject, peers, row_list, metric
        self.names = [subject.name] + [peer.name for peer in peers]
        self.runs = {(row.name, name): [] for row in row_list for name in self.names}
        self.failures = []  # (row, allocator, reason)
        self.missing = {}   # row -> why the program could not be run at all
        self.peaks = []     # (name, allocator, live_kb, peak_kb, after_kb)
        self.rounds = 0

    def add(self, row, name, report):
        self.runs[row.name, name].append(report)

    def fail(self, row_name, name, reason):
        self.failures.append((row_name, name, reason))

    def check_checksums(self):
        """A run whose blocks held something else than most others' is a failure."""
        for row in self.rows:
            seen = [run["checksum"] for name in self.names for run in self.runs[row.name, name]]
            if not seen:
                continue
            expected = statistics.mode(seen)
            for name in self.names:
                for run in self.runs[row.name, name]:
                    if run["checksum"] != expected:
                        self.fail(row.name, name, "contents of blocks or output differ")
                self.runs[row.name, name] = [run for run in self.runs[row.name, name]
                                             if run["checksum"] == expected]

    def values(self, row_name, name, metric):
        return [run[metric] for run in self.runs[row_name, name]]

    def median(self, row_name, name, metric=None):
        """Median over the rounds; None if no run succeeded."""
        values = self.values(row_name, name, metric or self.metric)
        return statistics.median(values) if values else None

    def spread(self, row_name, name, metric=None):
        """(largest - smallest) / median."""
        values = self.values(row_name, name, metric or self.metric)
        return (max(values) - min(values)) / statistics.median(values) if values else None

    def ns_per_op(self, row_name, name, metric=None):
        runs = self.runs[row_name, name]
        return self.median(row_name, name, metric) / runs[0]["ops"] * 1e9 if runs else None

    def ratio(self, row_name, peer, metric=None):
        """Median over the rounds of subject / peer of the same round: what slows a whole round
        down does not count. None if either has no result."""
        metric = metric or self.metric
        pairs = {run["round"]: run[metric] for run in self.runs[row_name, peer]}
        ratios = [run[metric] / pairs[run["round"]]
                  for run in self.runs[row_name, self.subject.name]
                  if pairs.get(run["round"])]
        return statistics.median(ratios) if ratios else None

    def best_ratio(self, row_name, metric=None):
        """(ratio, peer) of the peer that is hardest to beat in this row; None if there is none."""
        ratios = [(ratio, peer.name) for peer in self.peers
                  if (ratio := self.ratio(row_name, peer.name, metric)) is not None]
        return max(ratios) if ratios else None

    def mean_ratio(self, peer, metric=None):
        """(geometric mean, rows in it)."""
        ratios = [ratio for row in self.rows
                  if (ratio := self.ratio(row.name, peer, metric)) is not None]
        return geometric_mean(ratios), len(ratios)


def _time_goals(results):
    for peer in results.peers:
        mean, count = results.mean_ratio(peer.name)
        yield (count > 0 and mean <= GOAL_TIME,
               f"time, geometric mean of {count} rows, of {peer.name}: {mean:.3f}"
               f" (at most {GOAL_TIME:.2f})")
    worst = [(best[0], row.name, best[1]) for row in results.rows
             if (best := results.best_ratio(row.name))]
    over = sorted((w for w in worst if w[0] > GOAL_ROW), reverse=True)
    text = "; ".join(f"{name} {ratio:.2f} of {peer}" for ratio, name, peer in over)
    yield (bool(worst) and not over,
           f"rows above {GOAL_ROW} of their best peer: {len(over)} of {len(worst)}"
           + (f": {text}" if text else ""))


def _row_goals(results):
    names = {row.name for row in results.rows}
    subject = results.subject.name
    if {rows.SLOTS_FEW, rows.SLOTS_MANY} <= names:
        few = results.ns_per_op(rows.SLOTS_FEW, subject)
        many = results.ns_per_op(rows.SLOTS_MANY, subject)
        ratio = many / few if few and many else math.nan
        yield (ratio <= GOAL_SLOTS,
               f"slots 256 to 8192: {ratio:.2f} times per operation (at most {GOAL_SLOTS})")
    if rows.LARSON_MANY in names:
        best = results.best_ratio(rows.LARSON_MANY)
        yield (best is not None and best[0] < 1,
               f"{rows.LARSON_MANY}: {best[0]:.2f} of {best[1]}, the best (below 1)" if best
               else f"{rows.LARSON_MANY}: no result")


def _memory_goals(results):
    for peer in results.peers:
        mean, count = results.mean_ratio(peer.name, "rss_kb")
        holds = mean <= GOAL_RSS_GLIBC if peer.name == "glibc" else mean < GOAL_RSS
        limit = f"at most {GOAL_RSS_GLIBC}" if peer.name == "glibc" else "below 1"
        yield (count > 0 and holds, f"peak RSS, geometric mean of {count} rows, of {peer.name}:"
               f" {mean:.3f} ({limit})")
    for name, allocator, live, _, after in results.peaks:
        if allocator == results.subject.name:
            limit = live * PEAK_FACTOR + PEAK_EXTRA_KB
            yield (after <= limit, f"RSS after a peak of {name}: {after / 1024:.1f} MB of"
                   f" {live / 1024:.0f} MB live (at most {limit / 1024:.0f})")


def goals(results):
    """[(holds, text)]: each goal with what was measured."""
    found = [*_time_goals(results), *_row_goals(results), *_memory_goals(results)]
    own = [f for f in results.failures if f[1] == results.subject.name]
    found.append((not own, f"failed runs of {results.subject.name}: {len(own)}"))
    return found
