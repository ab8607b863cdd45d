"""The allocators of a run: the one under test, and the peers that this system has."""

import collections
import glob
import os
import shutil
import subprocess

# path: the library that is preloaded, with links resolved. version: for people.
Allocator = collections.namedtuple("Allocator", "name path version")

# Every pattern that may name the library, best first. The C library is "preloaded" too: that puts
# its malloc before one that a program is linked with.
PEERS = (
    ("glibc", ("/lib/*-linux-gnu/libc.so.6", "/lib64/libc.so.6")),
    ("mimalloc", ("/usr/lib/*-linux-gnu/libmimalloc.so.2*", "/usr/lib64/libmimalloc.so.2*")),
    ("jemalloc", ("/usr/lib/*-linux-gnu/libjemalloc.so.2", "/usr/lib64/libjemalloc.so.2")),
    ("tcmalloc", ("/usr/lib/*-linux-gnu/libtcmalloc_minimal.so.4",
                  "/usr/lib64/libtcmalloc_minimal.so.4")),
    ("scudo", ("/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.scudo_standalone-{arch}.so",
               "/usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.scudo_standalone-{arch}.so",
               "/usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.scudo_standalone.so")),
)


def package_version(path):
    """The version of the package that owns a file, or '' if no package does, or none of dpkg's."""
    if not shutil.which("dpkg"):
        return ""
    candidates = [path]
    if path.startswith("/usr/lib/"):
        candidates.append(path[len("/usr"):])  # merged /usr: packages may own the short path
    for candidate in candidates:
        found = subprocess.run(["dpkg", "-S", candidate], capture_output=True, text=True)
        if found.returncode:
            continue
        package = found.stdout.split(": ")[0].split(",")[0]
        version = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package],
                                 capture_output=True, text=True)
        return version.stdout
    return ""


def elf_machine(path):
    """The machine that an ELF file is for, as a number; None if it is no ELF file."""
    with open(path, "rb") as file:
        head = file.read(20)
    return head[18:20] if head[:4] == b"\x7fELF" else None


def find_peers(extra=(), only=()):
    """Peers that are installed, and the names of those that are not."""
    found, missing = [], []
    for name, patterns in PEERS:
        if only and name not in only:
            continue
        # Libraries of other machines may be installed too, for cross compilers.
        paths = [path for pattern in patterns
                 for path in sorted(glob.glob(pattern.format(arch=os.uname().machine)))
                 if elf_machine(path) == elf_machine("/proc/self/exe")]
        if paths:
            path = os.path.realpath(paths[0])
            found.append(Allocator(name, path, package_version(path)))
        else:
            missing.append(name)
    for path in extra:
        found.append(from_path(path))
    return found, missing


def from_path(text):
    """An allocator from PATH or NAME=PATH."""
    name, _, path = text.rpartition("=")
    if not os.path.isfile(path):
        raise SystemExit(f"bench: {path}: no such library")
    name = name or os.path.basename(path).split(".so")[0].removeprefix("lib")
    return Allocator(name, os.path.realpath(path), package_version(path))
