"""Draws a snapshot of a heap as SVG, in light or dark as the viewer likes it.

From above: what process and when; totals as one bar; the colours; each SuperSlab as a strip of its
units, lowest address first; then the size classes and the heaps of threads.
"""

import time
from xml.sax.saxutils import escape

from . import colours
from .heap import BUSY, EMPTY, HUGE, KEPT, LARGE, SLAB, UNUSED

WIDTH, MARGIN = 1184, 32
INNER = WIDTH - 2 * MARGIN
LABEL = 56  # in front of each row of the map
HEAPS_MAX = 14

# SuperSlabs up to which a scale is used: columns, width of a unit, height of a strip, gaps.
SCALES = ((24, 2, 16, 30, (16, 12)), (320, 4, 8, 16, (12, 8)), (1600, 8, 4, 10, (6, 5)),
          (None, 16, 2, 6, (2.5, 3)))

STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#1f2430}
.h{font-size:21px;font-weight:650}.b{font-weight:600}.m{fill:#667085}.s{font-size:11px}
.e{text-anchor:end}.c{text-anchor:middle}
.bg{fill:#fff}.strip{fill:#f2f4f7}.line{stroke:#d0d5dd;fill:none}.res{fill:#475467}
.live{fill:#2f6fb3}.cached{fill:#6fa3d8}.free{fill:#c3dbf2}.kept{fill:#b795c4}.round{fill:#e4e7ec}
.hatch{stroke:#98a2b3;stroke-width:1.2}.empty{fill:#e4e7ec}.idle{stroke:#fff;stroke-width:1.4}
.t{fill-opacity:.24}.k{fill-opacity:.58}
"""
DARK = """
text{fill:#e6e9ef}.m{fill:#98a2b3}.bg{fill:#14171d}.strip{fill:#1f242d}.line{stroke:#363d4a}
.res{fill:#a9b4c4}.live{fill:#4a90d9}.cached{fill:#37648f}.free{fill:#26405a}.kept{fill:#7c5d8a}
.round{fill:#2b313c}.hatch{stroke:#667085}.empty{fill:#2b313c}.idle{stroke:#14171d}
.t{fill-opacity:.30}.k{fill-opacity:.62}
"""


def amount(count):
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if count >= 100 or unit == "B" else f"{count:.3g} {unit}"


def short(size):
    return f"{size} B" if size < 1024 else f"{size / 1024:g} KiB"


def number(x):
    return f"{x:.2f}".rstrip("0").rstrip(".")


class Boxes:
    """Rectangles of one look, as a single path; neighbours become one."""

    def __init__(self):
        self.boxes = []

    def add(self, x, y, width, height):
        if width <= 0 or height <= 0:
            return
        if self.boxes:
            x0, y0, width0, height0 = self.boxes[-1]
            if (x0 + width0, y0, height0) == (x, y, height):
                self.boxes[-1] = (x0, y, width0 + width, height)
                return
        self.boxes.append((x, y, width, height))

    def path(self):
        return "".join(f"M{number(x)} {number(y)}h{number(width)}v{number(height)}"
                       f"h{number(-width)}z" for x, y, width, height in self.boxes)


class Picture:
    def __init__(self, snapshot, title, theme):
        self.snapshot, self.title, self.theme = snapshot, title, theme
        self.out, self.y = [], MARGIN

    def text(self, x, y, text, look=""):
        look = f' class="{look}"' if look else ""
        self.out.append(f'<text x="{number(x)}" y="{number(y)}"{look}>{escape(text)}</text>')

    def box(self, x, y, width, height, look="", **attributes):
        more = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in attributes.items())
        look = f' class="{look}"' if look else ""
        self.out.append(f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}" '
                        f'height="{number(height)}"{look}{more}/>')

    def paths(self, layers):
        for look, boxes in layers.items():
            if boxes.boxes:
                self.out.append(f'<path {look} d="{boxes.path()}"/>')

    # ---- what and when ----

    def head(self):
        s = self.snapshot
        memory = s.memory
        self.text(MARGIN, self.y + 18, self.title or f"Heap of {memory.name}", "h")
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(memory.time))
        process = f"process {memory.number} · " if memory.number else ""
        facts = f"{process}{when} · hakmem {s.flavour} · " + \
            f"{len(s.superslabs)} SuperSlab{'s' * (len(s.superslabs) != 1)} of " + \
            f"{amount(s.layout['superslab_units'] * s.layout['unit_bytes'])} · " + \
            f"{len(s.heaps)} heap{'s' * (len(s.heaps) != 1)}, {sum(h.idle for h in s.heaps)} idle"
        self.text(MARGIN, self.y + 40, facts, "m")
        if memory.arguments and memory.arguments != memory.name:
            cut = memory.arguments if len(memory.arguments) <= 150 else \
                memory.arguments[:149] + "…"
            self.text(MARGIN, self.y + 58, cut, "m s")
            self.y += 18
        self.y += 56

    # ---- totals ----

    def totals(self):
        t = self.snapshot.totals
        shares = [("live", "live", t.live), ("cached", "cached by threads", t.cached),
                  ("free", "free in slabs", t.free), ("round", "rounding", t.rounding),
                  ("kept", "kept large blocks", t.kept), ("empty", "EMPTY units", t.empty)]
        whole = max(sum(size for _, _, size in shares), 1)
        x = MARGIN
        for look, _, size in shares:
            width = size / whole * INNER
            self.box(x, self.y, width, 20, look)
            if look == "empty" and width > 1:
                self.box(x, self.y, width, 20, fill="url(#hatch)")
            x += width
        if t.resident is not None:
            width = min(t.resident / max(t.committed, 1), 1) * INNER
            self.box(MARGIN, self.y + 22, width, 3, "res")
        self.y += 44
        x = MARGIN
        cells = [(look, name, f"{amount(size)} · {size / whole:.1%}")
                 for look, name, size in shares]
        cells.append((None, "committed", amount(t.committed)))
        if t.resident is not None:
            cells.append(("res", "in memory", f"{amount(t.resident)} · "
                          f"{t.resident / max(t.committed, 1):.1%}"))
        for look, name, value in cells:
            if look:
                self.box(x, self.y - 9, 10, 3 if look == "res" else 10, look)
                if look == "empty":
                    self.box(x, self.y - 9, 10, 10, fill="url(#hatch)")
            self.text(x + 15, self.y, name, "s m")
            self.text(x + 15, self.y + 16, value, "b")
            x += INNER / len(cells)
        self.y += 46

    # ---- colours ----

    def class_colour(self, size_class):
        return colours.of_class(size_class, self.snapshot.layout["class_count"])

    def legend(self):
        s, count = self.snapshot, self.snapshot.layout["class_count"]
        step = 7.5
        self.text(MARGIN, self.y, "Blocks of", "s m")
        x0 = MARGIN + LABEL
        for size_class in range(1, count + 1):
            self.box(x0 + (size_class - 1) * step, self.y - 10, step, 12,
                     fill=self.class_colour(size_class))
        for size_class in range(1, count + 1, 4):
            x = x0 + (size_class - 0.5) * step
            if size_class % 8 == 1 or size_class + 7 > count:
                self.text(x, self.y + 16, short(s.class_bytes[size_class]), "s m c")
        x = x0 + count * step + 22
        for kind, name in ((colours.LARGE, "large"), (colours.HUGE, "huge")):
            self.box(x, self.y - 10, 12, 12, fill=kind)
            self.text(x + 17, self.y, name, "s")
            x += 62
        sample = self.class_colour(count // 2)
        for i, look in enumerate(("t", "k", "")):
            self.box(x, self.y - 10, 34, (12, 8, 4)[i], look, fill=sample,
                     transform=f"translate(0 {(0, 4, 8)[i]})")
        self.text(x + 40, self.y, "live, cached, free", "s")
        x += 154
        self.box(x, self.y - 10, 34, 12, fill=sample)
        self.box(x, self.y - 10, 34, 12, fill="url(#idle)")
        self.text(x + 40, self.y, "of an idle heap", "s")
        x += 136
        self.box(x, self.y - 10, 20, 12, "empty")
        self.box(x, self.y - 10, 20, 12, fill="url(#hatch)")
        self.text(x + 25, self.y, "EMPTY", "s")
        x += 76
        self.box(x, self.y - 10, 20, 12, "strip")
        self.text(x + 25, self.y, "UNUSED", "s")
        x += 84
        self.box(x, self.y - 5, 20, 2, "res")
        self.text(x + 25, self.y, "in memory", "s")
        self.y += 40

    # ---- the map ----

    def draw_run(self, layers, run, x, y, unit, height):
        width = run.units * unit - (1 if unit > 2 else 0.5)
        at = {"x": x, "y": y, "width": width}

        def fill(look, share, colour=""):
            layers.setdefault(look + (f' fill="{colour}"' if colour else ""), Boxes()).add(
                x, y + height * (1 - share), width, height * share)
        if run.kind == SLAB:
            colour = self.class_colour(run.size_class)
            blocks = max(run.blocks, 1)
            fill('class="t"', 1, colour)
            fill('class="k"', (run.live + run.cached) / blocks, colour)
            fill("", run.live / blocks, colour)
            if run.heap >= 0 and self.snapshot.heaps[run.heap].idle:
                fill('', 1, "url(#idle)")
        elif run.kind in (LARGE, HUGE):
            fill("", 1, colours.LARGE if run.kind == LARGE else colours.HUGE)
        elif run.kind == KEPT:
            fill('class="kept"', 1)
        elif run.kind == EMPTY:
            fill('class="empty"', 1)
            fill("", 1, "url(#hatch)")
        elif run.kind == BUSY:
            fill('class="line"', 1)
        return at

    def describe(self, index, runs):
        lines = [f"SuperSlab {index}, {index * self.bytes_of_strip / (1 << 20):g} MiB into the "
                 "arena"]
        for run in runs:
            units = f"{run.units} unit" + "s" * (run.units > 1)
            if run.kind == SLAB:
                size = short(self.snapshot.class_bytes[run.size_class])
                heap = self.snapshot.heaps[run.heap] if run.heap >= 0 else None
                owner = f"heap {run.heap}" + (" (idle)" if heap.idle else "") if heap else "?"
                lines.append(f"{units}: {size} × {run.blocks}, {run.live} live, {run.cached} "
                             f"cached, {owner}")
            else:
                lines.append(f"{units}: {run.kind}" + (f", {amount(run.bytes)}" if run.bytes
                                                       else ""))
        return "\n".join(lines)

    @property
    def bytes_of_strip(self):
        return self.snapshot.layout["superslab_units"] * self.snapshot.layout["unit_bytes"]

    def map(self):
        superslabs = self.snapshot.superslabs
        _, columns, unit, height, (gap, row_gap) = next(
            scale for scale in SCALES if scale[0] is None or len(superslabs) <= scale[0])
        strip = self.snapshot.layout["superslab_units"] * unit
        line = 2 if height > 6 else 1
        step = height + line + 1 + row_gap
        layers, titles = {'class="strip"': Boxes()}, []
        resident = Boxes()
        for index, runs in enumerate(superslabs):
            row, column = divmod(index, columns)
            x0, y = MARGIN + LABEL + column * (strip + gap), self.y + row * step
            if column == 0 and (row % 2 == 0 or height > 10):
                self.text(MARGIN + LABEL - 10, y + height * 0.5 + 4,
                          amount(index * self.bytes_of_strip), "s m e")
            layers['class="strip"'].add(x0, y, strip - 1, height)
            for run in runs:
                first = run.unit - index * self.snapshot.layout["superslab_units"]
                self.draw_run(layers, run, x0 + first * unit, y, unit, height)
            for i, share in enumerate(self.snapshot.resident[index] or ()):
                resident.add(x0 + i * unit, y + height + 1, share * unit - (share == 1 and i ==
                             self.snapshot.layout["superslab_units"] - 1), line)
            titles.append(f'<rect x="{number(x0)}" y="{number(y)}" width="{strip}" '
                          f'height="{height + line + 1}"><title>'
                          f'{escape(self.describe(index, runs))}</title></rect>')
        layers['class="res"'] = resident
        idle = layers.pop(' fill="url(#idle)"', None)
        self.paths(layers)
        if idle:
            self.paths({'fill="url(#idle)"': idle})
        self.out.append('<g fill-opacity="0">' + "".join(titles) + "</g>")
        self.y += (len(superslabs) + columns - 1) // columns * step + 26

    # ---- tables ----

    def classes(self, x, width):
        sums = {}
        for run in (run for runs in self.snapshot.superslabs for run in runs):
            if run.kind == SLAB:
                row = sums.setdefault(run.size_class, [0, 0, 0, 0])
                size = self.snapshot.class_bytes[run.size_class]
                for i, value in enumerate((run.units * self.snapshot.layout["unit_bytes"],
                                           run.live * size, run.cached * size, 1)):
                    row[i] += value
        y = self.y
        self.text(x, y, "Size classes", "b")
        self.text(x + 118, y, "slabs", "s m e")
        self.text(x + 190, y, "bytes", "s m e")
        self.text(x + 236, y, "live", "s m e")
        most = max((row[0] for row in sums.values()), default=1)
        for size_class, (size, live, cached, slabs) in sorted(sums.items()):
            y += 15
            colour = self.class_colour(size_class)
            bar, wide = x + 246, width - 250
            self.text(x + 62, y, short(self.snapshot.class_bytes[size_class]), "s e")
            self.text(x + 118, y, f"{slabs:,}", "s m e")
            self.text(x + 190, y, amount(size), "s m e")
            self.text(x + 236, y, f"{live / size:.0%}", "s m e")
            for look, count in (("t", size), ("k", live + cached), ("", live)):
                self.box(bar, y - 9, count / most * wide, 10, look, fill=colour)
        return y

    def heaps(self, x, width):
        heaps = sorted(self.snapshot.heaps, key=lambda h: -h.units)
        unit, y = self.snapshot.layout["unit_bytes"], self.y
        self.text(x, y, "Heaps", "b")
        for at, name in ((156, "slabs"), (226, "bytes"), (276, "live")):
            self.text(x + at, y, name, "s m e")
        most = max((h.units for h in heaps), default=1) or 1
        for heap in heaps[:HEAPS_MAX]:
            y += 15
            size = heap.units * unit
            self.text(x, y, f"heap {heap.number}", "s")
            self.text(x + 66, y, "idle" if heap.idle else "in use", "s m")
            self.text(x + 156, y, f"{heap.slabs:,}", "s m e")
            self.text(x + 226, y, amount(size), "s m e")
            self.text(x + 276, y, f"{heap.live_bytes / size:.0%}" if size else "–", "s m e")
            bar, wide = x + 288, width - 288
            self.box(bar, y - 9, heap.units / most * wide, 10, "free")
            self.box(bar, y - 9, (heap.live_bytes + heap.cached_bytes) / unit / most * wide, 10,
                     "cached")
            self.box(bar, y - 9, heap.live_bytes / unit / most * wide, 10, "live")
        if len(heaps) > HEAPS_MAX:
            y += 15
            rest = heaps[HEAPS_MAX:]
            self.text(x, y, f"and {len(rest)} more, {amount(sum(h.units for h in rest) * unit)}",
                      "s m")
        return y

    def draw(self):
        self.head()
        self.totals()
        self.legend()
        self.map()
        self.y = max(self.classes(MARGIN, 640), self.heaps(MARGIN + 690, INNER - 690))
        height = self.y + MARGIN
        dark = {"light": "", "dark": DARK,
                "auto": "@media (prefers-color-scheme:dark){" + DARK + "}"}[self.theme]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{number(height)}" '
            f'viewBox="0 0 {WIDTH} {number(height)}"><style>{(STYLE + dark).replace(chr(10), "")}'
            '</style><defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><path class="hatch" d="M0 0V5"/></pattern>'
            '<pattern id="idle" width="4" height="4" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(-45)"><path class="idle" d="M0 0V4"/></pattern></defs>'
            '<rect class="bg" width="100%" height="100%"/>' + "\n".join(self.out) + "</svg>\n")


def draw(snapshot, title=None, theme="auto"):
    return Picture(snapshot, title, theme).draw()
