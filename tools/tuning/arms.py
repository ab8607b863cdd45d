"""Arms: settings of the library's options that are worth a try."""

import itertools

# Ranges and defaults of src/options.c: what lies beyond would be refused by the library.
RANGES = {"purge_delay_ms": (0, 3600000), "cache_kib": (1, 65536), "huge_pages": (0, 1),
          "prewarm_threads": (0, 64)}
PREWARM = "prewarm"
DEFAULTS = {"purge_delay_ms": 100, "cache_kib": 128, "huge_pages": 0, "prewarm_threads": 0,
            PREWARM: ""}
# Of the pairs of prewarm: src/options.h, src/config.h.
PREWARM_SIZE_MAX, PREWARM_BLOCKS_MAX = 262144, 1023
PREWARM_PAIRS_MAX, PREWARM_BYTES_MAX = 32, 16 << 20

# The size classes to 1 KiB.
SMALL_CLASSES = (*range(16, 129, 16), 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)


class Wrong(Exception):
    """Settings that make no sense: the text says why."""


def _values(name, *values):
    return [{name: value} for value in values]


def _each(classes, blocks):
    return "+".join(f"{size}:{blocks}" for size in classes)


def _prewarms():
    """A little of the small ones, more of all; for the first thread or for new ones too."""
    lists = (_each([size for size in SMALL_CLASSES if size <= 256], 31), _each(SMALL_CLASSES, 127))
    return [{PREWARM: "", "prewarm_threads": 0},
            *({PREWARM: pairs, "prewarm_threads": threads} for pairs in lists
              for threads in (0, 8))]


# What is turned: of each its choices, in order; the rest of an option's range is between.
KNOBS = (
    _values("purge_delay_ms", 0, 10, 100, 1000, 10000),
    _values("cache_kib", 16, 32, 64, 128, 256, 512),
    _values("huge_pages", 0, 1),
    _prewarms(),
)


def _parse_number(item, text, name, low, high):
    if not (text.isascii() and text.isdigit()):
        raise Wrong(f"{item}: {name} wants a number")
    if not low <= int(text) <= high:
        raise Wrong(f"{item}: {name} must be {low} to {high}")
    return int(text)


def _parse_prewarm(item, text):
    """As the library reads it; the text again."""
    pairs = [pair.split(":") for pair in text.split("+")]
    if any(len(pair) != 2 for pair in pairs):
        raise Wrong(f"{item}: SIZE:BLOCKS+SIZE:BLOCKS... is wanted")
    numbers = [(_parse_number(item, size, "a size", 1, PREWARM_SIZE_MAX),
                _parse_number(item, blocks, "a number of blocks", 1, PREWARM_BLOCKS_MAX))
               for size, blocks in pairs]
    if len(numbers) > PREWARM_PAIRS_MAX:
        raise Wrong(f"{item}: at most {PREWARM_PAIRS_MAX} sizes")
    if sum(size * blocks for size, blocks in numbers) > PREWARM_BYTES_MAX:
        raise Wrong(f"{item}: at most {PREWARM_BYTES_MAX} bytes in all")
    return text


def parse(text):
    """{name: value} of "name=value,name=value"."""
    settings = {}
    for item in filter(None, text.split(",")):
        name, equals, value = item.partition("=")
        if name not in DEFAULTS:
            raise Wrong(f"{item}: the options that can be tuned are {', '.join(DEFAULTS)}")
        if not equals or not value:
            raise Wrong(f"{item}: name=value is wanted")
        if name in settings:
            raise Wrong(f"{item}: {name} is given twice")
        settings[name] = (_parse_prewarm(item, value) if name == PREWARM
                          else _parse_number(item, value, name, *RANGES[name]))
    return settings


def complete(settings):
    """With the defaults for what is not given."""
    return {**DEFAULTS, **settings}


def items(settings):
    """name=value of all that the library can be told: of prewarm there is no word for none."""
    return [f"{name}={value}" for name, value in settings.items() if value != ""]


def text(settings):
    """As HAKMEM_OPTIONS takes it: what differs from the defaults."""
    different = {name: value for name, value in settings.items() if value != DEFAULTS[name]}
    return ",".join(items(different)) or "defaults"


def label(settings, length=60):
    """The text, shortened for people."""
    whole = text(settings)
    return whole if len(whole) <= length else whole[:length - 3] + "..."


def variations(base):
    """Everything that differs from `base` in one knob."""
    return [{**base, **choice} for knob in KNOBS for choice in knob
            if {**base, **choice} != base]


def grid():
    """Every combination of the choices."""
    return [complete({name: value for choice in chosen for name, value in choice.items()})
            for chosen in itertools.product(*KNOBS)]


def combinations(base, gains):
    """Arms that join the best choices of several knobs. `gains` are pairs (settings, mean gain) of
    variations of `base`; of each knob its best choice with a gain above 0 takes part."""
    best = {}
    for settings, gain in gains:
        for number, knob in enumerate(KNOBS):
            for choice in knob:
                if {**base, **choice} == settings != base and gain > best.get(number, (0,))[0]:
                    best[number] = gain, choice
    joined = []
    for count in range(2, len(best) + 1):
        for numbers in itertools.combinations(best, count):
            settings = dict(base)
            for number in numbers:
                settings.update(best[number][1])
            joined.append(settings)
    return joined
