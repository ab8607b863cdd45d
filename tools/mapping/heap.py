"""The heap of libhakmem as it lies in some memory: SuperSlabs, their runs, the heaps of threads.

Memory of a process that works while it is read is of many moments: what contradicts itself is
bent to what is possible, and never more than a slab is wrong by it.
"""

import struct
from dataclasses import dataclass, field

from .memory import Unreadable

MAGIC = b"hakmem layout\0\0\0"
FORMAT = 2
# src/layout.h, behind the magic.
FIELDS = """
    self format flavour
    unit_bytes superslab_units class_count tag_large tag_huge page_bytes
    arena arena_bytes tags records masks
    meta meta_bytes begun heaps_count heaps classes class_bytes
    record_bytes state class_index units blocks free_blocks bytes owner live
    free remote bitmap_words near_words far far_bytes
    heap_bytes magazines magazine_bytes top slots capacity inbox heap_state
""".split()
LAYOUT = struct.Struct("<16x2Q32s%dQ" % (len(FIELDS) - 3))

SLAB, LARGE, HUGE, KEPT, EMPTY, UNUSED, BUSY = (
    "slab", "large", "huge", "kept", "empty", "unused", "busy")
STATES = {1: SLAB, 2: LARGE, 3: HUGE}


@dataclass
class Run:
    """Neighbouring units of one SuperSlab that are the same thing."""

    unit: int
    units: int
    kind: str
    size_class: int = 0
    blocks: int = 0
    free: int = 0  # in the slab, or freed by other threads and on their way to it
    cached: int = 0  # in magazines of threads
    heap: int = -1
    bytes: int = 0  # large and huge: that may be used

    @property
    def live(self):
        return self.blocks - self.free - self.cached


@dataclass
class Heap:
    number: int
    idle: bool
    slabs: int = 0
    units: int = 0
    live_bytes: int = 0
    cached_bytes: int = 0


@dataclass
class Totals:
    """Bytes. committed = live + cached + free + kept + empty + rounding."""

    live: int = 0
    cached: int = 0
    free: int = 0
    kept: int = 0
    empty: int = 0
    unused: int = 0
    rounding: int = 0
    committed: int = 0
    resident: int | None = None


@dataclass
class Snapshot:
    memory: object
    layout: dict
    flavour: str
    class_bytes: list
    superslabs: list  # of lists of runs
    heaps: list
    resident: list  # per SuperSlab, the share of each unit; None: not known
    totals: Totals = field(default_factory=Totals)


def _find_layout(memory):
    other = None
    for address in memory.find(MAGIC):
        values = dict(zip(FIELDS, LAYOUT.unpack(memory.read(address, LAYOUT.size))))
        if values["self"] == address and values["format"] == FORMAT:
            return values
        if values["self"] == address:
            other = values["format"]
    if other is not None:
        raise Unreadable(f"its libhakmem has layout {other}, this tool knows {FORMAT}")
    raise Unreadable("no heap of libhakmem is there (or it has not been used yet)")


def _u32(memory, address):
    return int.from_bytes(memory.read(address, 4), "little")


def _read_heaps(memory, at, slab_blocks):
    """The heaps; what each magazine holds is added to slab_blocks: unit -> blocks."""
    heaps, inboxes = [], {}
    count = _u32(memory, at["heaps_count"])
    table = memory.read(at["heaps"], count * 8) if count else b""
    for number, (address,) in enumerate(struct.iter_unpack("<Q", table)):
        data = memory.read(address, at["heap_bytes"])
        (state,) = struct.unpack_from("<I", data, at["heap_state"])
        heaps.append(Heap(number, idle=state != 0))
        inboxes[address + at["inbox"]] = number
        for size_class in range(1, at["class_count"] + 1):
            magazine = at["magazines"] + size_class * at["magazine_bytes"]
            (top,) = struct.unpack_from("<Q", data, magazine + at["top"])
            (slots,) = struct.unpack_from("<Q", data, magazine + at["slots"])
            (capacity,) = struct.unpack_from("<I", data, magazine + at["capacity"])
            held = (top - slots) // 8 - 1
            if not slots or not 0 < held <= capacity:
                continue
            try:
                blocks = memory.read(slots + 8, held * 8)
            except Unreadable:  # it grew just now
                continue
            for (block,) in struct.iter_unpack("<Q", blocks):
                unit = (block - at["arena"]) // at["unit_bytes"]
                slab_blocks[unit] = slab_blocks.get(unit, 0) + 1
    return heaps, inboxes


class _Superslab:
    """Reads the runs of one."""

    def __init__(self, memory, at, index):
        units = at["superslab_units"]
        self.memory, self.at, self.first, self.count = memory, at, index * units, units
        self.tags = memory.read(at["tags"] + self.first, units)
        word = int.from_bytes(memory.read(at["masks"] + index * 8, 8), "little")
        self.unused, self.empty = word & 0xFFFFFFFF, word >> 32
        self.records = memory.read(at["records"] + self.first * at["record_bytes"],
                                   units * at["record_bytes"])

    def get(self, i, name):
        (value,) = struct.unpack_from("<I", self.records, i * self.at["record_bytes"] +
                                      self.at[name])
        return value

    def word(self, i, name):
        (value,) = struct.unpack_from("<Q", self.records, i * self.at["record_bytes"] +
                                      self.at[name])
        return value

    def remote_blocks(self, i):
        at, near = self.at, self.at["near_words"]
        lines = (self.get(i, "blocks") + 64 * near - 1) // (64 * near)
        start = i * at["record_bytes"] + at["remote"]
        words = self.records[start:start + near * 8]
        if lines > 1:  # those of a slab of many blocks lie apart
            far = at["far"] + self.first * at["far_bytes"]
            skipped = at["bitmap_words"] // near - 1  # lines of the free bitmap
            for line in range(skipped, skipped + lines - 1):
                words += self.memory.read(far + (line * self.count + i) * near * 8, near * 8)
        return int.from_bytes(words, "little").bit_count()

    def slab(self, i, cached, inboxes):
        units = min(max(self.get(i, "units"), 1), self.count - i)
        blocks = self.get(i, "blocks")
        held = sum(cached.get(self.first + i + k, 0) for k in range(units))
        free = min(self.get(i, "free_blocks") + self.remote_blocks(i), blocks)
        return Run(self.first + i, units, SLAB, self.get(i, "class_index"), blocks, free,
                   min(held, blocks - free), inboxes.get(self.word(i, "owner"), -1))

    def runs(self, cached, inboxes, rest):
        """`rest`: units of the last SuperSlab's huge block that go on here, and its kind."""
        out, i = [], 0
        units, kind = rest
        while i < self.count:
            if units:
                here = min(units, self.count - i)
                out.append(Run(self.first + i, here, kind))
                i, units = i + here, units - here
                continue
            tag, state = self.tags[i], STATES.get(self.get(i, "state"))
            if state == SLAB and 1 <= tag <= self.at["class_count"]:
                out.append(self.slab(i, cached, inboxes))
            elif state in (LARGE, HUGE) and tag in (self.at["tag_large"], self.at["tag_huge"]):
                units = max(self.get(i, "units"), 1)
                kind = state if self.get(i, "live") else KEPT
                here = min(units, self.count - i)
                out.append(Run(self.first + i, here, kind, bytes=self.word(i, "bytes")))
                units -= here
            else:
                bit = 1 << i
                kind = EMPTY if self.empty & bit else UNUSED if self.unused & bit else BUSY
                out.append(Run(self.first + i, 1, kind))
                if len(out) > 1 and out[-2].kind == kind:
                    out.pop()
                    out[-1].units += 1
                i, units = i + 1, 0
                continue
            i += out[-1].units
        return out, (units, kind)


def _add_up(snapshot):
    at, totals = snapshot.layout, snapshot.totals
    unit = at["unit_bytes"]
    for run in (run for runs in snapshot.superslabs for run in runs):
        size = run.units * unit
        if run.kind == UNUSED:
            totals.unused += size
            continue
        totals.committed += size
        if run.kind == SLAB:
            block = snapshot.class_bytes[run.size_class]
            totals.live += run.live * block
            totals.cached += run.cached * block
            totals.free += run.free * block
            totals.rounding += size - run.blocks * block
            if run.heap >= 0:
                heap = snapshot.heaps[run.heap]
                heap.slabs, heap.units = heap.slabs + 1, heap.units + run.units
                heap.live_bytes += run.live * block
                heap.cached_bytes += run.cached * block
        elif run.kind in (LARGE, HUGE):
            totals.live += size
        elif run.kind == KEPT:
            totals.kept += size
        elif run.kind == EMPTY:
            totals.empty += size
    known = [shares for shares in snapshot.resident if shares is not None]
    if known:
        totals.resident = round(sum(map(sum, known)) * unit)


def _resident(memory, at, index):
    size = at["superslab_units"] * at["unit_bytes"]
    pages = memory.resident(at["arena"] + index * size, size)
    if pages is None:
        return None
    each = len(pages) // at["superslab_units"]
    return [sum(pages[i:i + each]) / each for i in range(0, len(pages), each)]


def read(memory):
    """A snapshot of the heap in a memory; Unreadable says why there is none."""
    try:
        return _read(memory)
    except (struct.error, ArithmeticError, LookupError, MemoryError, ValueError) as error:
        raise Unreadable(f"its tables are damaged: {error}") from error


def _read(memory):
    at = _find_layout(memory)
    sizes = memory.read(at["classes"], (at["class_count"] + 1) * at["class_bytes"])
    class_bytes = [struct.unpack_from("<I", sizes, i * at["class_bytes"])[0]
                   for i in range(at["class_count"] + 1)]
    cached, superslabs, rest = {}, [], (0, UNUSED)
    heaps, inboxes = _read_heaps(memory, at, cached)
    begun = _u32(memory, at["begun"])
    for index in range(begun):
        runs, rest = _Superslab(memory, at, index).runs(cached, inboxes, rest)
        superslabs.append(runs)
    resident = [_resident(memory, at, index) for index in range(begun)]
    snapshot = Snapshot(memory, at, at["flavour"].split(b"\0")[0].decode(), class_bytes,
                        superslabs, heaps, resident)
    _add_up(snapshot)
    return snapshot
