"""One corpus per target: merging what is new into it, cutting it to a set cover, proposing seeds.

libFuzzer's merge says in its control file which features each file has (FT lines). The cover is
made here, over the features of all builds of the target together: greedy, cheapest per new feature
first, which is within a logarithm of the best (Chvatal, 1979).
"""

import hashlib
import heapq
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import fuzzing

PROPOSED_FILES = 16
PROPOSED_BYTES = 48 << 10
MERGED = re.compile(r"MERGE-OUTER: (\d+) new files with (\d+) new features added")


def folder(campaign, target):
    path = campaign / "corpus" / target
    path.mkdir(parents=True, exist_ok=True)
    return path


def merge(campaign, instance, fresh, environment, seconds=300):
    """Takes those files of `fresh` that bring features into the target's corpus: how many."""
    if not any(fresh.iterdir()):
        return 0
    with tempfile.TemporaryDirectory(dir=environment.get("TMPDIR")) as scratch:
        command = [str(c) for c in ((fuzzing.ROOT / instance.hunter()).resolve(), "-merge=1",
                                    f"-artifact_prefix={scratch}/",
                                    f"-max_len={instance.max_len}", "-timeout=25",
                                    f"-max_total_time={seconds}",
                                    folder(campaign, instance.target), fresh)]
        result = subprocess.run(command, cwd=fuzzing.ROOT, env=environment, capture_output=True,
                                stdin=subprocess.DEVNULL, text=True, errors="replace")
    match = MERGED.search(result.stderr)
    if not match:
        raise RuntimeError(f"the merge of {instance.name} failed: {result.stderr[-400:]}")
    return int(match[1])


def features(instance, folders, environment, seconds=600):
    """File -> set of its features in this build. Files that crash are left out."""
    with tempfile.TemporaryDirectory(dir=environment.get("TMPDIR")) as scratch:
        control, out = Path(scratch) / "control", Path(scratch) / "out"
        out.mkdir()
        command = [str(c) for c in (
            (fuzzing.ROOT / instance.hunter()).resolve(), "-set_cover_merge=1",
            f"-artifact_prefix={scratch}/", f"-max_len={instance.max_len}",
            f"-merge_control_file={control}", "-timeout=25", f"-max_total_time={seconds}", out,
            *folders)]
        result = subprocess.run(command, cwd=fuzzing.ROOT, env=environment, capture_output=True,
                                stdin=subprocess.DEVNULL, text=True, errors="replace")
        if not control.exists():
            raise RuntimeError(f"no features of {instance.name}: {result.stderr[-400:]}")
        return parse_control(control.read_text())


def parse_control(text):
    """libFuzzer's control file: counts, names, then `FT index feature...` lines."""
    lines = text.splitlines()
    count = int(lines[0])
    names = lines[2:2 + count]
    found = {}
    for line in lines[2 + count:]:
        words = line.split()
        if words and words[0] == "FT":
            found[names[int(words[1])]] = {int(f) for f in words[2:]}
    return found


def cover(features_of, size_of):
    """Names in the order chosen, with the number of features each added; all are covered."""
    left = set().union(*features_of.values()) if features_of else set()
    heap = [(-len(f) / (64 + size_of[n]), n) for n, f in features_of.items() if f]
    heapq.heapify(heap)
    chosen = []
    while left and heap:
        _, name = heapq.heappop(heap)
        gain = len(features_of[name] & left)
        if gain == 0:
            continue
        value = -gain / (64 + size_of[name])
        # Values only fall: if it still leads, it is the best.
        if heap and value > heap[0][0]:
            heapq.heappush(heap, (value, name))
            continue
        chosen.append((name, gain))
        left -= features_of[name]
    return chosen


def by_build(target, folders, environment_of):
    """File -> features in all libFuzzer builds of the target but the racy ones."""
    all_features = {}
    for instance in fuzzing.registry():
        if instance.target != target or "tsan" in instance.flavour:
            continue
        for name, found in features(instance, folders, environment_of(instance)).items():
            keyed = {(instance.label, f) for f in found}
            all_features.setdefault(name, set()).update(keyed)
    return all_features


def minimise(campaign, target, environment_of):
    """Cuts a target's corpus to a cover: (files before, files after, features)."""
    corpus = folder(campaign, target)
    before = list(corpus.iterdir())
    if not before:
        return 0, 0, 0
    all_features = by_build(target, [corpus], environment_of)
    if not all_features:
        return len(before), len(before), 0
    sizes = {n: os.path.getsize(n) for n in all_features}
    kept = {Path(n) for n, _ in cover(all_features, sizes)}
    # Files that were added meanwhile, or that crash, are not in the table: they stay.
    for name in all_features:
        if Path(name) not in kept:
            Path(name).unlink(missing_ok=True)
    return len(before), len(list(corpus.iterdir())), len(set().union(*all_features.values()))


def propose(campaign, target, seeds, environment_of):
    """Puts into proposal/TARGET what the kept corpus lacks most: list of (file, new features)."""
    corpus = folder(campaign, target)
    if not any(corpus.iterdir()):
        return []
    kept = by_build(target, [seeds], environment_of)
    known = set().union(*kept.values()) if kept else set()
    found = {n: f - known for n, f in by_build(target, [corpus], environment_of).items()}
    sizes = {n: os.path.getsize(n) for n in found}
    chosen, total = [], 0
    for name, gain in sorted(cover(found, sizes), key=lambda pair: -pair[1]):
        if len(chosen) < PROPOSED_FILES and total + sizes[name] <= PROPOSED_BYTES:
            chosen.append((name, gain))
            total += sizes[name]
    out = campaign / "proposal" / target
    shutil.rmtree(out, ignore_errors=True)
    if chosen:
        out.mkdir(parents=True)
    listed = []
    for name, gain in chosen:
        data = Path(name).read_bytes()
        copy = out / f"found-{hashlib.sha1(data).hexdigest()[:12]}"
        copy.write_bytes(data)
        listed.append({"file": copy.name, "bytes": len(data), "features": gain})
    if listed:
        (out / "features.json").write_text(json.dumps(listed, indent=1) + "\n")
    return listed


def accept(campaign):
    """Copies what is proposed into corpus/TARGET/seed; the files that are new there."""
    copied = []
    for path in sorted((campaign / "proposal").glob("*/found-*")):
        seed = fuzzing.ROOT / "corpus" / path.parent.name / "seed" / path.name
        if not seed.exists():
            seed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, seed)
            copied.append(seed)
    return copied
