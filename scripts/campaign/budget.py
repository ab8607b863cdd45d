"""Which arm is next: every arm once, then by weight, more for those that lately found something.

Weighted fair queueing: the arm with the least virtual time goes next, and a slice of `took` seconds
moves its virtual time on by took / weight. An arm's weight is its share times 1 to 9: the factor is
its yield (new features per second, halved with each slice) against the best yield of all arms.
"""

BONUS = 8
GAIN_LEAST = 0.05  # new features per second: the best arm of a night that finds less gets less
BAD_MAX = 3  # slices in a row that hung, broke or took too much: the arm is benched


class Account:
    """What the journal says of one arm."""

    def __init__(self):
        self.slices = 0
        self.took = 0.0
        self.virtual = 0.0
        self.gain = 0.0
        self.bad = 0
        self.hangs = 0
        self.failed = 0


class Budget:
    def __init__(self, arms):
        self.arms = {a.name: a for a in arms}
        self.accounts = {a.name: Account() for a in arms}
        self.running = set()
        self.seen = {}  # sample -> its features so far, to tell what a slice added

    def factor(self, name):
        best = max(a.gain for a in self.accounts.values())
        return 1 + BONUS * self.accounts[name].gain / max(best, GAIN_LEAST)

    def is_done(self, name):
        arm, account = self.arms[name], self.accounts[name]
        return account.bad >= BAD_MAX or (arm.once and account.slices >= arm.parts)

    def benched(self):
        return sorted(n for n, a in self.accounts.items() if a.bad >= BAD_MAX)

    @staticmethod
    def fits(arm, left):
        return getattr(arm, "planted", False) or getattr(arm, "seconds_max", 0) <= 2 * left

    def next(self, left=float("inf")):
        """The arm for the next slice, marked as running; None if there is none to run.

        What may take longer than twice the seconds that are left is not begun any more.
        """
        taken = {self.arms[n].alone_in for n in self.running} - {""}
        ready = [n for n in self.arms if n not in self.running and not self.is_done(n)
                 and self.fits(self.arms[n], left) and self.arms[n].alone_in not in taken]
        if not ready:
            return None
        fresh = [n for n in ready if self.accounts[n].slices == 0]
        name = fresh[0] if fresh else min(ready, key=lambda n: self.accounts[n].virtual)
        self.running.add(name)
        return self.arms[name]

    def ended(self, line):
        """Takes in an `ended` line, of now or of the journal."""
        self.running.discard(line["arm"])
        account = self.accounts.get(line["arm"])
        if account is None:
            return  # an arm of an earlier registry
        why = line["why"]
        if why in ("stopped", "full"):
            return  # not the arm's doing; it is run again
        took = max(line.get("took", 0.0), 1.0)
        account.slices += 1
        account.took += took
        account.hangs += why == "hang"
        account.bad = account.bad + 1 if why in ("hang", "broken", "memory", "log") else 0
        account.virtual += took / (self.arms[line["arm"]].weight * self.factor(line["arm"]))
        gained = self.gained(account, line)
        account.gain = account.gain / 2 + gained / took / 2

    def gained(self, account, line):
        """New features of a slice. What a first slice sees is no news: others may know it."""
        if "seen" not in line:
            return line.get("new", 0) if account.slices > 1 else 0
        sample = line.get("sample", "")
        before = self.seen.get(sample)
        self.seen[sample] = line["seen"]
        return max(0, line["seen"] - before) if before is not None else 0
