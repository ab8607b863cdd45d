"""Everything the page shows, as one object: from journals, samples, results and coverage.

What is not there is None or empty, and the page says so: nothing is made up.
"""

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import fuzzing  # noqa: E402  (found by the line above)
from campaign import findings as classes  # noqa: E402
from campaign.journal import read_events  # noqa: E402

POINTS_MAX = 240  # of a curve
TIMELINE_ROWS_MAX = 400


def campaign_folder(build):
    return (ROOT / (os.environ.get("CAMPAIGN") or build / "campaign")).resolve()


def thin(points):
    """Every n-th point, and the last: a curve needs no more than the page has pixels."""
    step = max(1, len(points) // POINTS_MAX)
    kept = points[::step]
    return kept + points[-1:] if points and kept[-1] is not points[-1] else kept


def kind_of(arm):
    return arm.split()[0]


def target_of(arm):
    words = arm.split()
    return words[1] if len(words) > 1 and words[1].startswith("fuzz_") else words[0]


class Campaign:
    """One journal."""

    def __init__(self, events):
        self.events = events
        self.begin = next((e for e in events if e["e"] == "begin"), {})
        self.end = next((e for e in events if e["e"] == "end"), None)
        self.ended = [e for e in events if e["e"] == "ended" and e["why"] != "stopped"]
        self.results = [e for e in events if e["e"] == "result"]

    def of_kind(self, kind):
        return [e for e in self.results if e["kind"] == kind]

    def hunted(self):
        """Seconds: those after the last slice were spent on merges."""
        return max((e["used"] for e in self.events if e["e"] in ("sample", "ended")), default=0)

    def idle_arms(self):
        """How many had no whole slice: the time or the disk was short, or they cannot run."""
        ran = {e["arm"] for e in self.ended
               if e["why"] not in ("full", "hang", "memory", "log", "broken")}
        return max(0, self.begin.get("arms", 0) - len(ran))

    def summary(self):
        return {
            "date": self.begin.get("date"), "commit": self.begin.get("commit"),
            "tool": self.begin.get("tool", "overnight"), "machine": self.begin.get("machine"),
            "jobs": self.begin.get("jobs"), "seconds": self.begin.get("seconds"),
            "hunted": self.hunted(), "slices": len(self.ended),
            "idle_arms": self.idle_arms(),
            "executions": sum(e.get("executions", 0) for e in self.ended),
            "resumed": sum(e["e"] == "resume" for e in self.events),
            "hangs": sum(e["why"] == "hang" for e in self.ended),
            "ended_early": {w: sum(e["why"] == w for e in self.ended)
                            for w in ("hang", "memory", "log", "disk", "full", "broken")},
            "finished": self.end is not None, "status": self.end["status"] if self.end else None,
            "begun": self.begin.get("t"), "last": self.events[-1]["t"] if self.events else None}

    # ---- targets ----

    def curve(self, arm, key):
        return thin([[round(e["used"]), e[key]] for e in self.events
                     if e["e"] in ("sample", "ended") and e.get("arm") == arm
                     and e.get(key) is not None])

    def arm(self, name):
        slices = [e for e in self.ended if e["arm"] == name]
        last = slices[-1] if slices else {}
        sampled = last.get("sampled", 0)
        return {"name": name, "kind": kind_of(name), "slices": len(slices),
                "took": sum(e["took"] for e in slices),
                "executions": sum(e.get("executions", 0) for e in slices),
                "rate": last.get("rate"), "coverage": last.get("coverage"),
                "features": last.get("seen"), "pairs": last.get("pairs"),
                "saturation": last["singles"] / sampled if sampled else None,
                "singles": last.get("singles"), "sampled": sampled,
                "last_new_at": last.get("last_new_at"), "stability": last.get("stability"),
                "added": sum(e.get("merged", 0) for e in slices),
                "bad": sum(e["why"] in ("hang", "broken", "memory", "log") for e in slices),
                "curves": {"features": self.curve(name, "seen"),
                           "coverage": self.curve(name, "coverage"),
                           "rate": self.curve(name, "rate"),
                           "saturation": self.saturation(name)}}

    def saturation(self, arm):
        return thin([[round(e["used"]), e["singles"] / e["sampled"]] for e in self.events
                     if e["e"] in ("sample", "ended") and e.get("arm") == arm
                     and e.get("sampled") and e.get("singles")])

    def targets(self):
        names = dict.fromkeys(e["arm"] for e in self.events if e.get("arm")
                              and e["e"] in ("slice", "sample", "ended"))
        rows = {}
        for arm in names:
            if kind_of(arm) in ("libfuzzer", "afl", "walk", "tsan"):
                rows.setdefault(target_of(arm), []).append(self.arm(arm))
        covers = {e["target"]: e for e in self.of_kind("cover")}
        proposals = {e["target"]: e["files"] for e in self.of_kind("proposal")}
        targets = []
        for name, arms in rows.items():
            times = [a["last_new_at"] for a in arms if a["last_new_at"]]
            targets.append({
                "name": name, "arms": arms,
                "executions": sum(a["executions"] for a in arms),
                "took": sum(a["took"] for a in arms),
                "coverage": max((a["coverage"] or 0 for a in arms), default=0),
                "pairs": max((a["pairs"] or 0 for a in arms), default=0),
                "last_new_at": max(times, default=None),
                "cover": covers.get(name), "proposed": proposals.get(name, [])})
        return targets

    def others(self):
        """Arms that have no target of fuzz/."""
        names = dict.fromkeys(e["arm"] for e in self.ended)
        return [self.arm(n) for n in names
                if kind_of(n) in ("stress", "model", "orders", "mutants", "canary")]

    # ---- results ----

    def canary(self):
        found = self.of_kind("canary")
        return found[-1] if found else None

    def pairs(self):
        """LOAD -> STORE -> executions of the kept corpora, and which targets saw the pair."""
        table = {}
        for e in self.of_kind("pairs"):
            for load, store, count in e["pairs"]:
                cell = table.setdefault(load, {}).setdefault(store, {"count": 0, "targets": []})
                cell["count"] += count
                if e["target"] not in cell["targets"]:
                    cell["targets"].append(e["target"])
        return table


def newest(results, key):
    """The last result per name."""
    return list({e[key]: e for e in results}.values())


def sites_of_source():
    """Name -> why its order is what it is, of every site in src/sites.h."""
    text = (ROOT / "src/sites.h").read_text()
    return dict(re.findall(r"^\s*X\((\w+),\s*\"([^\"]*)", text, re.M))


def findings(campaign, base):
    """Those of a campaign from their folders, those of a hunt from its journal."""
    if campaign.begin.get("tool") == "hunt":
        return [{"target": e["target"], "arm": "make hunt", "repeats": True, "minimised": False,
                 "inputs": 1, "found": campaign.begin["date"], "folder": e["folder"],
                 "command": f"make repro FILE={e['folder']}", "rows": [], "rows_left_out": 0,
                 "class": {"fault": e["fault"], "sites": []}, "said": [], "text": e["fault"]}
                for e in campaign.events if e["e"] == "finding"]
    found = []
    if base.is_dir():
        for path in sorted(base.glob("*/*/finding.json")):
            known = json.loads(path.read_text())
            text = (path.parent / "timeline.txt").read_text(errors="replace")
            rows = classes.rows_of(text)
            known["rows"] = [list(r) for r in rows[-TIMELINE_ROWS_MAX:]]
            known["rows_left_out"] = max(0, len(rows) - TIMELINE_ROWS_MAX)
            known["text"] = text[-6000:] if not rows else ""
            known["said"] = [line for line in text.splitlines() if "found: " in line][:1]
            found.append(known)
    return found


def read_lcov(path):
    """File below src/ -> line -> times, and branch -> times, of an lcov file."""
    files, current, lines, branches = {}, None, {}, {}
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            match = re.search(r"(?:^|/)(src/.*)$", value)
            current = match[1] if match else None
            lines, branches = files.setdefault(current, ({}, {}))
        elif key == "DA" and current:
            number, count = value.split(",")[:2]
            lines[int(number)] = lines.get(int(number), 0) + int(count)
        elif key == "BRDA" and current:
            place, _, count = value.rpartition(",")
            branches[place] = branches.get(place, 0) + (0 if count == "-" else int(count))
    files.pop(None, None)
    return files


def ranges(numbers):
    """[3, 4, 5, 9] -> [[3, 5], [9, 9]]"""
    found = []
    for n in sorted(numbers):
        if found and n == found[-1][1] + 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return found


def reasons():
    """(file, text of a line that nothing reaches) -> why, as tests/coverage/unreached says."""
    path, listed, reason = ROOT / "tests/coverage/unreached", {}, ""
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("#"):
            reason += line[1:]
        elif line.strip():
            file, _, text = line.partition(": ")
            listed[file, text.strip()] = reason.strip()
        else:
            reason = ""
    return listed


def coverage(build):
    """Lines and branches of src/ by those who reach them: the tests, the corpora."""
    parts = {name: build / f"coverage/{name}.info" for name in ("tests", "corpora")}
    read = {name: read_lcov(p) for name, p in parts.items() if p.exists()}
    if not read:
        return None
    files, why = [], reasons()
    for name in sorted({f for part in read.values() for f in part}):
        by = {part: files_of[name][0] for part, files_of in read.items() if name in files_of}
        lines = sorted({n for counts in by.values() for n in counts})
        reached = {part: sum(c > 0 for c in counts.values()) for part, counts in by.items()}
        missed = [n for n in lines if not any(counts.get(n) for counts in by.values())]
        source = (ROOT / name).read_text().splitlines() if (ROOT / name).exists() else []
        texts = {n: source[n - 1].strip() if n <= len(source) else "" for n in missed}
        never = [{"from": a, "to": b, "text": texts[a],
                  "why": next((why[name, texts[n]] for n in range(a, b + 1)
                               if (name, texts[n]) in why), "")} for a, b in ranges(missed)]
        taken = {}
        for branches in (files_of[name][1] for files_of in read.values() if name in files_of):
            for place, count in branches.items():
                taken[place] = taken.get(place, 0) + count
        files.append({"name": name, "lines": len(lines), "reached": len(lines) - len(missed),
                      "by": reached, "never": never,
                      "branches": [sum(c > 0 for c in taken.values()), len(taken)]})
    dates = {name: time.strftime("%Y-%m-%d %H:%M", time.localtime(p.stat().st_mtime))
             for name, p in parts.items() if p.exists()}
    return {"files": files, "dates": dates}


def mutants(build, campaign):
    """Named mutants: those of the campaign, and of `make mutants` where newer or alone."""
    rows = {e["name"]: e for e in campaign.of_kind("mutant")} if campaign else {}
    path = build / "mutants/results.json"
    if path.exists():
        for row in json.loads(path.read_text()):
            rows.setdefault(row["name"], row)
    table = ROOT / "tests/mutants/table"
    named = [line.split("|")[0].strip() for line in table.read_text().splitlines()
             if line.split("#")[0].strip()] if table.exists() else []
    return {"rows": [rows[n] for n in named if n in rows] + [r for n, r in rows.items()
                                                             if n not in named],
            "named": len(named), "untried": [n for n in named if n not in rows]}


def generated(build, campaign):
    """Random changes: those of the campaign, else of the last `make mutants-generated`."""
    rows = campaign.of_kind("generated") if campaign else []
    path = build / "mutants/generated.json"
    if not rows and path.exists():
        rows = json.loads(path.read_text())["rows"]
    return [r for r in rows if r["verdict"] != "broken"]


def soak(build):
    path = campaign_folder(build) / "soak.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    keys = ("seconds", "rss_bytes", "live_bytes", "committed_bytes")
    return thin([[float(r[k]) for k in keys] for r in rows if all(r.get(k) for k in keys)])


def bench(build):
    """The newest report of make bench."""
    reports = sorted(build.glob("bench/*/report.json"), key=lambda p: p.stat().st_mtime)
    if not reports:
        return None
    whole = json.loads(reports[-1].read_text())
    subject = whole["subject"]["name"]
    rows = []
    for row in whole["rows"]:
        medians = {n: a["seconds"]["median"] for n, a in row["allocators"].items()}
        mine = medians.get(subject)
        if mine:
            rows.append({"name": row["name"], "ratios": {
                n: round(mine / m, 3) for n, m in medians.items() if m and n != subject}})
    return {"machine": whole["machine"], "subject": subject, "rows": rows,
            "means": whole["geometric_means"]}


def history(build):
    """Earlier campaigns, oldest first."""
    past = []
    for path in sorted((campaign_folder(build) / "past").glob("*.jsonl")):
        campaign = Campaign(read_events(path))
        targets = campaign.targets()
        past.append(campaign.summary() | {
            "coverage": max((t["coverage"] for t in targets), default=0),
            "findings": sum(e["e"] == "finding" and e["is_new"] for e in campaign.events)})
    return past


def everything(build, findings_folder):
    """The object that the page is made of."""
    journals = {"campaign": campaign_folder(build) / "journal.jsonl",
                "hunt": build / "hunt/journal.jsonl"}
    read = {name: Campaign(read_events(path)) for name, path in journals.items()
            if path.exists()}
    main = read.get("campaign") or read.get("hunt")
    # A short hunt is shown beside a campaign, in place of none.
    hunt = read.get("hunt") if "campaign" in read else None
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT,
                            capture_output=True, text=True).stdout.strip()
    dated = findings_folder / main.begin.get("date", "-") if main else None
    return {
        "made": time.time(), "commit": commit,
        "campaign": main.summary() if main else None,
        "hunt": hunt.summary() | {"targets": hunt.targets(), "canary": hunt.canary()}
        if hunt else None,
        "canary": main.canary() if main else None,
        "targets": main.targets() if main else [],
        "others": main.others() if main else [],
        "notes": [{"used": e["used"], "text": e["text"]} for e in main.events
                  if e["e"] == "note"] if main else [],
        "findings": findings(main, dated) if main else [],
        "duplicates": sum(e["e"] == "finding" and not e["is_new"]
                          for e in main.events) if main else 0,
        "pairs": main.pairs() if main else {},
        "sites": sites_of_source(),
        "certificates": newest(main.of_kind("certificate"), "name") if main else [],
        "orders": newest(main.of_kind("order"), "site") if main else [],
        "stress": newest(main.of_kind("stress"), "load") if main else [],
        "mutants": mutants(build, main),
        "generated": generated(build, main),
        "coverage": coverage(build),
        "soak": soak(build),
        "bench": bench(build),
        "history": history(build),
        "registry": sorted({i.target for i in fuzzing.registry()}),
    }
