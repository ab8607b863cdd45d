"""Copies of the tree with a build of their own, so that the checkout is never touched.

  pristine   the checkout as it is; its build is what the checkout's build folder already has, and
             what is missing there
  1, 2, ...  one for each worker: equal to pristine, a bug is put in, killers are built and run,
             and it is made equal to pristine again, objects and programs too

So a bug costs the compilation of the files that it changes, once for each build that a killer
needs.
"""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import fuzzing

SOURCE = fuzzing.ROOT
BUILT = (SOURCE / fuzzing.BUILD).resolve()
WORK = BUILT / "mutants"
fuzzing.BUILD = Path("build")  # from here on: below a copy
# What hunts leave is no part of a build.
LEFT_ALONE = {"build/hunt", "findings"}


class Broken(Exception):
    """A bug that cannot be tried: it does not apply, or does not build."""


def stamp_of(path):
    """What tells whether a file is another one; a link has no size."""
    status = path.lstat()
    return (os.readlink(path),) if path.is_symlink() else (status.st_size, status.st_mtime_ns)


def entries(folder):
    """Relative names of all files and links below a folder."""
    found = set()
    for base, folders, files in os.walk(folder):
        below = os.path.relpath(base, folder)
        folders[:] = [f for f in folders if os.path.normpath(f"{below}/{f}") not in LEFT_ALONE]
        links = [f for f in folders if os.path.islink(f"{base}/{f}")]
        found.update(os.path.normpath(f"{below}/{f}") for f in files + links)
    return found


def copy(source, target):
    """A file with its time, under a temporary name first: an interrupted copy is none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    shutil.copy2(source, new, follow_symlinks=False)
    os.replace(new, target)


def equalise(source, target):
    """Makes the files below `target` those below `source`; only what differs is copied."""
    wanted = entries(source)
    for name in wanted:
        ours, theirs = target / name, source / name
        if not os.path.lexists(ours) or stamp_of(ours) != stamp_of(theirs):
            copy(theirs, ours)
    return wanted


def refresh(source, target, names):
    """Copies the sources that differ, as of now: an object that was built here from what the file
    was before may be newer than the file itself."""
    for name in names:
        ours, theirs = target / name, source / name
        same = ours.is_file() and not ours.is_symlink() and not theirs.is_symlink()
        if not (same and ours.read_bytes() == theirs.read_bytes()
                and ours.stat().st_mode == theirs.stat().st_mode):
            copy(theirs, ours)
            if not ours.is_symlink():
                os.utime(ours)


class Tree:
    def __init__(self, name):
        self.name = name
        self.folder = WORK / name
        self.folder.mkdir(parents=True, exist_ok=True)

    def make_targets(self, flavour, targets, jobs=1):
        """Builds files, named from the folder on."""
        command = ["make", f"-j{jobs}", "BUILD=build", f"CLANG={fuzzing.CLANG}", "CC=gcc"]
        command += [f"FLAVOUR={flavour}"] if flavour else []
        environment = {k: v for k, v in os.environ.items() if k not in (
            "MAKEFLAGS", "MAKELEVEL", "TARGET", "FLAVOUR", "GEOMETRY", "BUILD", "CC", "PART")}
        command += [str(t) for t in targets]
        result = subprocess.run(command, cwd=self.folder, env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            errors = [line for line in result.stdout.splitlines()
                      if "rror" in line or "undefined" in line or "***" in line]
            raise Broken(f"it does not build: {'; '.join(errors[:3]) or result.stdout[-200:]}")


class Pristine(Tree):
    def __init__(self):
        super().__init__("pristine")
        self.lock = open(WORK / "lock", "w")  # for the life of the process
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fuzzing.die(f"another run works in {WORK}")
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=SOURCE,
                                capture_output=True, text=True, check=True).stdout.split("\0")
        names = {f for f in listed if f and (SOURCE / f).is_file()}
        refresh(SOURCE, self.folder, names)
        for name in entries(self.folder):
            if not name.startswith("build/") and name not in names:
                (self.folder / name).unlink()
        fuzzing.ROOT = self.folder  # where seeds are encoded

    def make(self, killers, jobs):
        """Builds all that killers need."""
        wanted = {}
        for killer in killers:
            wanted.setdefault(killer.flavour, set()).update(killer.targets())
        for instance in {t.parts[1] for targets in wanted.values() for t in targets}:
            self.take_over(instance)
        for flavour, targets in wanted.items():
            self.make_targets(flavour, sorted(targets), jobs)

    def take_over(self, instance):
        """Begins with what the checkout has built; make looks at what is out of date in it."""
        built, ours = BUILT / instance, self.folder / "build" / instance
        if built.is_dir() and not ours.is_dir():
            equalise(built, ours)


class Worker(Tree):
    """A copy to put bugs into."""

    def __init__(self, number, pristine):
        super().__init__(str(number))
        self.pristine = pristine
        self.restore()

    def restore(self):
        wanted = equalise(self.pristine.folder, self.folder)
        for name in entries(self.folder) - wanted:
            (self.folder / name).unlink()

    def apply(self, patch):
        # The copy lies inside of a checkout, of which git must not know here.
        environment = dict(os.environ, GIT_CEILING_DIRECTORIES=str(WORK))
        command = ["git", "apply", "-C1", "--whitespace=nowarn", patch]
        result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True,
                                env=environment)
        if result.returncode != 0:
            raise Broken(f"the patch does not apply: {result.stderr.strip()}")


def files_of(patch):
    """The files that a patch changes."""
    return re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.M)
