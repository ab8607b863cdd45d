"""Builds of the allocator that differ in one thing each, measured side by side."""

import sys

import programs


def runner(folder, timeout):
    """The `run` of rows.ROWS, for measure."""
    return lambda row, library: programs.run_program(folder, row.program, row.arguments,
                                                     library.path, timeout)


def measure(libraries, rows, rounds, run):
    """{(row, library): the reports of its runs}, by name. The order of the libraries turns.

    run(row, library) gives a report; it may raise programs.Missing.
    """
    found = {}
    for number in range(rounds):
        for row in rows:
            turn = number % len(libraries)
            for library in libraries[turn:] + libraries[:turn]:
                try:
                    report = run(row, library)
                except programs.Missing as missing:
                    print(f"not measured: {row.name}: {missing}", file=sys.stderr)
                    break
                found.setdefault((row.name, library.name), []).append(report)
    return found


def write(document, name, lines):
    """Puts the lines between the marks of that name in a document."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    with open(document) as file:
        text = file.read()
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"{document}: no section between {begin!r} and {end!r}")
    before, rest = text.split(begin)
    with open(document, "w") as file:
        file.write(before + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1])
