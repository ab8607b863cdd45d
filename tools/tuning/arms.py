"""Arms: settings of the library's options that are worth a try."""

import itertools

# Values worth a try, in the order of the options' table; the rest of an option's range is between.
VALUES = {
    "purge_delay_ms": (0, 10, 100, 1000, 10000),
    "cache_kib": (16, 32, 64, 128, 256, 512),
    "huge_pages": (0, 1),
}
DEFAULTS = {"purge_delay_ms": 100, "cache_kib": 128, "huge_pages": 0}
# Ranges of src/options.c: what lies beyond would be refused by the library.
RANGES = {"purge_delay_ms": (0, 3600000), "cache_kib": (1, 65536), "huge_pages": (0, 1)}


class Wrong(Exception):
    """Settings that make no sense: the text says why."""


def parse(text):
    """{name: value} of "name=value,name=value"."""
    settings = {}
    for item in filter(None, text.split(",")):
        name, equals, digits = item.partition("=")
        if name not in RANGES:
            raise Wrong(f"{item}: the options that can be tuned are {', '.join(RANGES)}")
        if not equals or not (digits.isascii() and digits.isdigit()):
            raise Wrong(f"{item}: name=number is wanted")
        low, high = RANGES[name]
        if not low <= int(digits) <= high:
            raise Wrong(f"{item}: {name} must be {low} to {high}")
        if name in settings:
            raise Wrong(f"{item}: {name} is given twice")
        settings[name] = int(digits)
    return settings


def complete(settings):
    """With the defaults for what is not given."""
    return {**DEFAULTS, **settings}


def text(settings):
    """As HAKMEM_OPTIONS takes it: what differs from the defaults, all of it if nothing does."""
    different = {n: v for n, v in settings.items() if v != DEFAULTS[n]}
    return ",".join(f"{n}={v}" for n, v in different.items()) or "defaults"


def variations(base):
    """Everything that differs from `base` in one option."""
    return [{**base, name: value} for name, values in VALUES.items() for value in values
            if value != base[name]]


def grid():
    """Every combination of the values."""
    return [dict(zip(VALUES, chosen)) for chosen in itertools.product(*VALUES.values())]


def combinations(base, gains):
    """Arms that join the best values of several options. `gains` are pairs (settings, mean gain) of
    variations of `base`; of each option its best value with a gain above 0 takes part."""
    best = {}
    for settings, gain in gains:
        changed = [name for name in settings if settings[name] != base[name]]
        if len(changed) == 1 and gain > 0 and gain > best.get(changed[0], (None, 0))[1]:
            best[changed[0]] = (settings[changed[0]], gain)
    joined = []
    for count in range(2, len(best) + 1):
        for names in itertools.combinations(best, count):
            joined.append({**base, **{name: best[name][0] for name in names}})
    return joined
