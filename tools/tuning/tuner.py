"""The search: explore by UCB1, then confirm what leads with new runs.

Explore: a round runs the base and the two arms with the largest bounds, in random order, one after
the other; so what else the machine does hits all three alike. After two thirds of the rounds arms
that join the best values of several options are added, of those that seem to gain enough.

Confirm: the leader against the base, in pairs, until the verdict's interval decides or its looks
are used up; then the second of the exploration, in the same way. Nothing decided is not a gain.
"""

import collections
import math
import random

from . import arms, verdict
from .bandit import Bandit, Ratings

# gain, low, high: logarithms. gains_of: {metric: interval} of the metrics by themselves.
Outcome = collections.namedtuple("Outcome", "settings verdict pairs gain low high gains_of")


class Objective:
    """Weights of metrics; a cost is the weighted mean of their logarithms, so that a weight is of
    relative change: no metric counts more because of its unit."""

    METRICS = ("seconds", "cpu", "rss_kib")

    def __init__(self, weights):
        total = sum(weights.values())
        if not weights or not 0 < total < math.inf or min(weights.values()) < 0:
            raise arms.Wrong("weights must be positive numbers")
        self.weights = {name: weight / total for name, weight in weights.items()}

    def cost(self, measured):
        return math.exp(sum(weight * math.log(max(getattr(measured, name), 1e-9))
                            for name, weight in self.weights.items()))


class Tuner:
    """`run` takes settings and returns what measure.Measured has; `say` takes a line of text."""

    def __init__(self, run, objective, base, tried, seed=1, gain_min=0.01, say=None):
        self.run = run
        self.objective = objective
        self.base = base
        self.gain_min = math.log1p(gain_min)
        self.random = random.Random(seed)
        self.say = say or (lambda line: None)
        self.bandit = Bandit()
        self.ratings = Ratings()
        self.tried = []
        self.runs = 0
        for settings in tried:
            self.add(settings)

    def add(self, settings):
        if settings != self.base and settings not in self.tried:
            self.tried.append(settings)
            self.bandit.add()

    def measure(self, settings_list):
        """Runs each once, in random order; what was measured, in the order given."""
        order = list(range(len(settings_list)))
        self.random.shuffle(order)
        measured = [None] * len(order)
        for i in order:
            measured[i] = self.run(settings_list[i])
            self.runs += 1
        return measured

    def round(self):
        chosen = self.bandit.choose(2)
        found = self.measure([self.base] + [self.tried[arm] for arm in chosen])
        costs = [self.objective.cost(measured) for measured in found]
        names = [arms.text(self.base)] + [arms.text(self.tried[arm]) for arm in chosen]
        for arm, cost in zip(chosen, costs[1:]):
            self.bandit.record(arm, math.log(costs[0] / cost))
        for i in range(len(names)):
            for j in range(i):
                self.ratings.play(names[i], costs[i], names[j], costs[j])

    def explore(self, rounds):
        for number in range(rounds):
            if number == rounds * 2 // 3:
                gains = [(s, gain) for i, s in enumerate(self.tried)
                         if (gain := self.bandit.mean(i)) > self.gain_min]
                for settings in arms.combinations(self.base, gains):
                    self.add(settings)
            self.round()
            self.say(f"round {number + 1} of {rounds}")

    def standings(self):
        """(settings, plays, mean gain, rating), best first."""
        rows = [(s, len(self.bandit.rewards[i]), self.bandit.mean(i),
                 self.ratings.of.get(arms.text(s), 0)) for i, s in enumerate(self.tried)]
        return sorted(rows, key=lambda row: -row[2])

    def confirm(self, settings):
        pairs = []
        result = "unknown"
        for look in verdict.LOOKS:
            while len(pairs) < look:
                pairs.append(self.measure([self.base, settings]))
                self.say(f"pair {len(pairs)} of at most {verdict.LOOKS[-1]}: "
                         f"{arms.label(settings)}")
            gains = [math.log(self.objective.cost(b) / self.objective.cost(c)) for b, c in pairs]
            result = verdict.judge(gains, self.gain_min)
            if result != "unknown":
                break
        gains_of = {name: verdict.interval([math.log(max(getattr(b, name), 1e-9) /
                                                     max(getattr(c, name), 1e-9))
                                            for b, c in pairs])
                    for name in Objective.METRICS}
        return Outcome(settings, result, len(pairs), *verdict.interval(gains), gains_of)

    def tune(self, rounds):
        """The outcomes of the candidates that were confirmed or not, the last one decides."""
        if not self.tried:
            raise arms.Wrong("there is nothing to try beside the base")
        self.explore(max(rounds, math.ceil(len(self.tried) / 2)))
        outcomes = []
        for settings, plays, gain, _ in self.standings()[:verdict.CANDIDATES]:
            if not plays or gain <= 0:
                break
            outcomes.append(self.confirm(settings))
            if outcomes[-1].verdict == "better":
                break
        return outcomes
