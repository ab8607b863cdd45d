"""Which arms to run next, and how they stand among each other.

UCB1: P. Auer, N. Cesa-Bianchi, P. Fischer, Finite-time Analysis of the Multiarmed Bandit Problem,
Machine Learning 47 (2002). The bound asks for rewards between 0 and 1; a reward here is the
logarithm of a ratio of costs, brought there by the range of all rewards seen so far.

Elo: A. Elo, The Rating of Chessplayers, Past and Present (1978). Whoever costs less in a round
wins the game of that round.
"""

import math

import numpy

K_FACTOR = 24
START = 1500
# Two costs that differ by less than this share are a draw.
DRAW = 0.005


class Bandit:
    """Rewards of arms, numbered in the order in which they were added."""

    def __init__(self):
        self.rewards = []

    def add(self):
        self.rewards.append([])
        return len(self.rewards) - 1

    def record(self, arm, reward):
        self.rewards[arm].append(reward)

    def mean(self, arm):
        return float(numpy.mean(self.rewards[arm])) if self.rewards[arm] else 0.0

    def bounds(self):
        """The upper confidence bound of each arm; infinite before its first play."""
        seen = [reward for arm in self.rewards for reward in arm]
        plays = len(seen)
        low = min(seen, default=0)
        span = max(seen, default=0) - low or 1
        return [(self.mean(i) - low) / span + math.sqrt(2 * math.log(plays) / len(arm))
                if arm else math.inf for i, arm in enumerate(self.rewards)]

    def choose(self, count):
        """The arms with the largest bounds, the earlier of equals first."""
        bounds = self.bounds()
        return sorted(range(len(bounds)), key=lambda arm: -bounds[arm])[:count]


class Ratings:
    """Elo ratings by name."""

    def __init__(self):
        self.of = {}

    def play(self, first, first_cost, second, second_cost):
        """One game between two."""
        a, b = self.of.setdefault(first, START), self.of.setdefault(second, START)
        expected = 1 / (1 + 10 ** ((b - a) / 400))
        if abs(first_cost - second_cost) <= DRAW * min(first_cost, second_cost):
            score = 0.5
        else:
            score = 1 if first_cost < second_cost else 0
        self.of[first] = a + K_FACTOR * (score - expected)
        self.of[second] = b - K_FACTOR * (score - expected)
