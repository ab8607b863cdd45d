"""Memory of a process or of an ELF core file: the same questions, the same answers."""

import mmap
import os
import re
import struct
import time

PAGE = mmap.PAGESIZE
PT_LOAD, PT_NOTE, PT_RESIDENT = 1, 4, 0x60000000 + 0x68616B
NT_PRPSINFO = 3


class Unreadable(Exception):
    """Memory that is not there: the text says why."""


class Process:
    """A process that lives: it may go on working while it is read."""

    def __init__(self, number):
        self.number = number
        folder = f"/proc/{number}"
        try:
            with open(f"{folder}/comm", encoding="utf-8", errors="replace") as file:
                self.name = file.read().strip()
            with open(f"{folder}/cmdline", encoding="utf-8", errors="replace") as file:
                self.arguments = file.read().replace("\0", " ").strip()
            self._memory = os.open(f"{folder}/mem", os.O_RDONLY | os.O_CLOEXEC)
            self._pages = os.open(f"{folder}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            with open(f"{folder}/maps", encoding="utf-8", errors="replace") as file:
                self._maps = file.read().splitlines()
        except OSError as error:
            raise Unreadable(f"process {number}: {error.strerror}") from error
        self.time = time.time()

    def read(self, address, count):
        try:
            data = os.pread(self._memory, count, address)
        except OSError as error:
            raise Unreadable(f"{count} bytes at {address:#x}: {error.strerror}") from error
        if len(data) != count:
            raise Unreadable(f"{count} bytes at {address:#x}: only {len(data)} are there")
        return data

    def find(self, text):
        """Addresses of a text in the writable data of the program and its libraries."""
        end_of_file_data = None
        for line in self._maps:
            match = re.match(r"(\w+)-(\w+) (\S+) \w+ \S+ (\d+) *(.*)", line)
            start, end = int(match[1], 16), int(match[2], 16)
            of_file = match[4] != "0" or start == end_of_file_data  # or the .bss behind it
            end_of_file_data = end if match[4] != "0" else None
            if not of_file or not match[3].startswith("rw"):
                continue
            try:
                data = self.read(start, end - start)
            except Unreadable:
                continue
            yield from (start + m.start() for m in re.finditer(re.escape(text), data))

    def resident(self, address, count):
        """Whether each page of a range is in memory, or None where the system does not say."""
        try:
            data = os.pread(self._pages, count // PAGE * 8, address // PAGE * 8)
        except OSError:
            return None
        return [word >> 63 for (word,) in struct.iter_unpack("<Q", data)]


class Core:
    """A core file: of the kernel, of gdb, or what hak_write_map wrote."""

    def __init__(self, path):
        self.number, self.name, self.arguments = None, os.path.basename(path), ""
        self._segments, self._resident = [], []
        try:
            with open(path, "rb") as file:
                self.time = os.fstat(file.fileno()).st_mtime
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise Unreadable(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        if self._data[:6] != b"\x7fELF\x02\x01" or self._data[16:18] != b"\x04\0":
            raise Unreadable(f"{path} is no core file of a 64-bit little-endian machine")
        try:
            self._read_segments()
        except (struct.error, IndexError, OverflowError) as error:
            raise Unreadable(f"{path} is damaged: {error}") from error

    def _read_segments(self):
        (table,) = struct.unpack_from("<Q", self._data, 32)
        size, count = struct.unpack_from("<HH", self._data, 54)
        if count == 0xFFFF:  # more than fit: the first section header has the number
            (sections,) = struct.unpack_from("<Q", self._data, 40)
            (count,) = struct.unpack_from("<I", self._data, sections + 44)
        for i in range(count):
            kind, _, offset, address, _, stored, _ = struct.unpack_from(
                "<IIQQQQQ", self._data, table + i * size)
            if kind == PT_LOAD and stored:
                self._segments.append((address, stored, offset))
            elif kind == PT_RESIDENT:
                self._resident.append((address, stored, offset))
            elif kind == PT_NOTE:
                self._read_notes(offset, offset + stored)
        self._segments.sort()

    def _read_notes(self, at, end):
        while at + 12 <= end:
            names, size, kind = struct.unpack_from("<III", self._data, at)
            at += 12 + (names + 3) // 4 * 4
            if kind == NT_PRPSINFO and size >= 136:
                self.number, name, arguments = struct.unpack_from("<24xi12x16s80s", self._data, at)
                self.name, self.arguments = (
                    text.split(b"\0")[0].decode(errors="replace") for text in (name, arguments))
            at += (size + 3) // 4 * 4

    def read(self, address, count):
        parts = []
        for start, size, offset in self._segments:  # what was one range may be several segments
            if start <= address < start + size and count:
                here = min(count, start + size - address)
                at = offset + address - start
                parts.append(self._data[at:at + here])
                if len(parts[-1]) != here:
                    raise Unreadable("the core file was cut short")
                address, count = address + here, count - here
        if count:
            raise Unreadable(f"{count} bytes at {address:#x} are not in the core file")
        return b"".join(parts)

    def find(self, text):
        for start, size, offset in self._segments:
            at = self._data.find(text, offset, offset + size)
            while at >= 0:
                yield start + at - offset
                at = self._data.find(text, at + 1, offset + size)

    def resident(self, address, count):
        for start, size, offset in self._resident:
            first, pages = (address - start) // PAGE, count // PAGE
            if 0 <= first and (first + pages) // 8 <= size:
                if offset + (first + pages + 7) // 8 > len(self._data):
                    raise Unreadable("the core file was cut short")
                return [self._data[offset + i // 8] >> i % 8 & 1
                        for i in range(first, first + pages)]
        return None
