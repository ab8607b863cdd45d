"""What is believed about a gain.

A pair is one run of the base and one of a candidate, one after the other; its gain is the logarithm
of the base's cost over the candidate's. The interval is Student's for the mean of these
differences (a paired t interval). It is looked at LOOKS times for each of CANDIDATES candidates;
Bonferroni's correction over all looks keeps the chance of one wrong verdict in all of them below
1 - CONFIDENCE. Runs that led to the choice of a candidate are no evidence for it and not used.
"""

import math

import numpy
from scipy import stats

CONFIDENCE = 0.95
LOOKS = (6, 12, 24)  # pairs at which the interval is looked at
CANDIDATES = 2


def interval(gains):
    """(mean, low, high) of the gains, with the correction above."""
    mean = float(numpy.mean(gains))
    error = float(stats.sem(gains))
    tail = (1 - CONFIDENCE) / (len(LOOKS) * CANDIDATES) / 2
    reach = float(stats.t.ppf(1 - tail, len(gains) - 1)) * error
    return mean, mean - reach, mean + reach


def percent(log_ratio):
    """By how many percent the base costs more."""
    return 100 * math.expm1(log_ratio)


def judge(gains, gain_min):
    """"better", "not better" or "unknown" at a look; `gain_min` is a logarithm too."""
    _, low, high = interval(gains)
    if low > gain_min:
        return "better"
    return "not better" if high < gain_min else "unknown"
