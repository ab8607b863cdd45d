"""Instructions of an allocator, counted by Valgrind's callgrind.

Counted is what runs outside of the benchmark program while one of its functions runs: the preloaded
library and what that calls. So neither starting up nor the benchmark's own work is in it.
"""

import json
import os
import re
import subprocess
import tempfile

NAME = re.compile(r"^(c?ob|c?fn)=\((\d+)\)(?: (.*))?$")


def count_objects(path):
    """Instructions by object file, from callgrind's output. A line after `calls=` is the cost of
    the called function, which is counted where it runs."""
    names, totals = {}, {}
    current, skip = None, False
    with open(path) as lines:
        for line in lines:
            line = line.rstrip("\n")
            found = NAME.match(line)
            if found:
                kind, number, name = found.groups()
                key = kind[-2:], number
                if name is not None:
                    names[key] = name
                if kind == "ob":
                    current = names[key]
            elif line.startswith("calls="):
                skip = True
            elif line[:1].isdigit() or line[:1] in "+-*":
                position_and_cost = line.split()
                if not skip and len(position_and_cost) > 1:  # a cost of 0 is left out
                    totals[current] = totals.get(current, 0) + int(position_and_cost[1])
                skip = False
    return totals


def valgrind_reason(errors):
    """What the program said before it ended, without Valgrind's own lines."""
    lines = [line for line in errors.splitlines() if not line.startswith("==")]
    return " ".join(lines)[-200:] or "ended without a word"


def count(program, function, library, arguments, options=""):
    """The program's report, and {object file: instructions} of what is not the program's own while
    its `function` runs. `options` are our library's. RuntimeError says why there are none."""
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out")
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
             f"--toggle-collect={function}", "--dump-line=no", program, f"--require={library}",
             *arguments],
            capture_output=True, text=True,
            env={**os.environ, "LD_PRELOAD": library, "HAKMEM_OPTIONS": options})
        if done.returncode:
            raise RuntimeError(f"{library}: {valgrind_reason(done.stderr)}")
        totals = count_objects(out)
    own = totals.pop(os.path.realpath(program), 0)
    if not own or not totals:
        raise RuntimeError(f"{library}: nothing was counted within {function} of {program}")
    return json.loads(done.stdout), totals


def instructions(program, function, library, arguments):
    """The allocator's instructions while `function` of the program runs."""
    return sum(count(program, function, library, arguments)[1].values())
