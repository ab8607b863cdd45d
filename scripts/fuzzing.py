"""What hunt and repro share: the registry of targets, their builds, environments and seeds."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("BUILD") or "build")
CLANG = os.environ.get("CLANG") or "clang-19"
AFL_CC = os.environ.get("AFL_CC") or "afl-clang-fast"
FINDINGS = Path(os.environ.get("FINDINGS") or "findings")

# The line in which a program says what is wrong.
REASON = re.compile(r"found: .*|ERROR: \w*Sanitizer: .*|WARNING: ThreadSanitizer: .*"
                    r"|runtime error: .*|hakmem: .*|ERROR: libFuzzer: .*")

ASAN = ("detect_leaks=0:detect_stack_use_after_return=0:quarantine_size_mb=16"
        ":allocator_may_return_null=1")
ENVIRONMENT = {
    "ASAN_OPTIONS": ASAN,
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:report_signal_unsafe=0",
}
AFL_ENVIRONMENT = {
    "ASAN_OPTIONS": ASAN + ":abort_on_error=1:symbolize=0",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:symbolize=0",
    "AFL_SKIP_CPUFREQ": "1",
    "AFL_NO_AFFINITY": "1",
    "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
    "AFL_NO_UI": "1",
}


def die(message):
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    sys.exit(2)


@dataclass(frozen=True)
class Instance:
    """A target as built in one flavour and geometry."""

    target: str
    flavour: str
    geometry: str
    max_len: int
    share: int
    kind: str

    @property
    def name(self):
        return f"{self.target} {self.flavour} {self.geometry}"

    @property
    def label(self):
        return f"{self.flavour}-{self.geometry}"

    def folder(self):
        compiler = AFL_CC if self.flavour.startswith("afl") else CLANG
        return BUILD / f"{self.flavour}-{compiler}{'-small' if self.geometry == 'small' else ''}"

    def hunter(self):
        return self.folder() / "hunt" / self.target

    def cmplog(self):
        """The program that tells AFL++ what was compared with what."""
        return replace(self, flavour="afl-cmplog").hunter()

    def replayer(self):
        return self.folder() / "replay" / self.target

    def work(self):
        return BUILD / "hunt" / self.target / self.label


def registry(engine="libfuzzer"):
    """All instances of the targets that the engine can run."""
    instances = []
    path = ROOT / "fuzz/registry"
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split("#")[0].split()
        if not fields:
            continue
        if len(fields) != 7 or not (fields[4] + fields[5]).isdigit():
            die(f"{path}:{number}: a line has seven fields, max_len and share are numbers")
        target, flavours, geometries, engines, max_len, share, kind = fields
        if kind not in ("ops", "bytes", "canary"):
            die(f"{path}:{number}: unknown kind '{kind}'")
        if engine not in engines.split(","):
            continue
        for flavour in ["afl"] if engine == "afl" else flavours.split(","):
            for geometry in geometries.split(","):
                instances.append(
                    Instance(target, flavour, geometry, int(max_len), int(share), kind)
                )
    return instances


def make(targets, jobs=1, quiet=False):
    """Builds files; ends the program if that fails."""
    command = ["make", f"-j{jobs}", f"BUILD={BUILD}", f"CLANG={CLANG}"] + [str(t) for t in targets]
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    output = subprocess.PIPE if quiet else None
    result = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True,
                            env=environment)
    if result.returncode != 0:
        if quiet:
            print(result.stdout, file=sys.stderr)
        die(f"the build failed: {' '.join(command)}")


def environment_of(instance):
    environment = dict(os.environ)
    environment.update(AFL_ENVIRONMENT if instance.flavour == "afl" else ENVIRONMENT)
    symbolizer = shutil.which("llvm-symbolizer-19") or shutil.which("llvm-symbolizer")
    if symbolizer:
        environment["ASAN_SYMBOLIZER_PATH"] = symbolizer
        environment["TSAN_OPTIONS"] = (
            environment.get("TSAN_OPTIONS", "") + f":external_symbolizer_path={symbolizer}"
        )
    environment.pop("HAKMEM_OPTIONS", None)
    return environment


def mutator_library():
    """What afl-fuzz loads; made by make."""
    return (ROOT / BUILD / "afl-mutator.so").resolve()


def afl_stats(path):
    """What an instance of afl-fuzz says of itself in its fuzzer_stats."""
    lines = [line.partition(":") for line in path.read_text().splitlines()]
    return {key.strip(): value.strip() for key, _, value in lines}


def corpus_files(target):
    """The kept files of a target, seeds and regressions."""
    files = []
    for part in ("seed", "regress"):
        folder = ROOT / "corpus" / target / part
        if folder.is_dir():
            files += sorted(p for p in folder.iterdir() if p.is_file() and p.name != "README.md")
    return files


def encode_seeds(target, folder=None):
    """Makes the folder of a target's seeds as an engine reads them: .ops files become records.

    Two that run at once want folders of their own.
    """
    folder = folder or BUILD / "hunt" / target / "seeds"
    shutil.rmtree(ROOT / folder, ignore_errors=True)
    (ROOT / folder).mkdir(parents=True)
    files = corpus_files(target)
    for path in files:
        if path.suffix == ".ops":
            command = [BUILD / "ops", "records", path, folder / (path.stem + ".bin")]
            if subprocess.run(command, cwd=ROOT).returncode != 0:
                die(f"cannot encode {path}")
        else:
            shutil.copyfile(path, ROOT / folder / path.name)
    return folder, len(files)


def quoted(data):
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}"
                         for b in data) + '"'


def words(instance):
    if instance.target == "fuzz_options":
        names = re.findall(r'^    X\((\w+), |^static const char \w+_option\[\] = "(\w+)"',
                           (ROOT / "src/options.c").read_text(), re.M)
        return [f"{a or b}=".encode() for a, b in names] + [b",", b"0", b"1", b":", b"+"]
    text = (ROOT / "fuzz/ops.h").read_text()
    kinds = re.search(r"#define OPS_KINDS\(X\)(.*?)\n\n", text, re.S)[1]
    if instance.target == "fuzz_ops":
        return [b"HAKO\x01", b"threads ", b"strategy ", b"seed ", b"decide "] + [
            name.encode() for name in re.findall(r'X\(\w+, "(\w+)"', kinds)]
    return [b"HAKO\x01"] + [bytes([kind]) for kind in range(len(re.findall(r"\bX\(", kinds)))]


def dictionary(instance):
    """Words that the target's inputs are made of, from the sources that read them, as engines read
    it: where the language's mutator is not linked in, or no engine's own would find them."""
    return "".join(f"{quoted(word)}\n" for word in words(instance))


def dictionary_file(instance):
    """Writes the dictionary where inputs are text: elsewhere it helps nothing, and this is None."""
    if instance.target not in ("fuzz_options", "fuzz_ops"):
        return None
    path = ROOT / instance.work() / "dictionary"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dictionary(instance))
    return path
