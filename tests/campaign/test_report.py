"""The page, of a made-up night, in headless Chromium; without a night; and that of a hunt."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import demo
import support
import collect

# Put in front of the page's own scripts, and at its end.
LISTEN = """<script>window.wrong = [];
addEventListener("error", e => wrong.push(e.message));
addEventListener("unhandledrejection", e => wrong.push(String(e.reason)));
for (const kind of ["error", "warn"]) console[kind] = (...a) => wrong.push(a.join(" "));
</script>"""
LOOK = """<script>setTimeout(() => {
    const root = document.documentElement;
    const drawn = [...document.querySelectorAll("canvas")].filter(c => c.width > 50 && c.height > 30
        && c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(b => b));
    const found = {wrong, ready: root.dataset.ready, theme: root.dataset.theme,
        paper: getComputedStyle(document.body).backgroundColor,
        overflow: root.scrollWidth - root.clientWidth, drawn: drawn.length,
        canvases: document.querySelectorAll("canvas").length,
        lanes: document.querySelectorAll(".lanes rect.step").length,
        heat: document.querySelectorAll(".heat rect.on").length,
        killed: document.querySelectorAll("td.kill").length,
        empty: [...document.querySelectorAll("section")].filter(s => s.querySelector(".empty"))
            .map(s => s.id), verdict: document.querySelector(".verdict").innerText};
    document.body.innerHTML = "";
    document.body.append(Object.assign(document.createElement("pre"),
        {id: "seen", textContent: JSON.stringify(found)}));
}, 500);</script></body>"""


def chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser")


class ReportTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="hakmem-report-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def generate(self):
        """The page of what lies in the folder."""
        page = self.folder / "index.html"
        environment = os.environ | {
            "BUILD": str(self.folder / "build"), "CAMPAIGN": str(self.folder / "campaign"),
            "FINDINGS": str(self.folder / "findings")}
        result = subprocess.run([support.ROOT / "report/generate", page], env=environment,
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        return page

    def see(self, page, width, dark):
        """What a browser without a network makes of it."""
        if chromium() is None:
            self.skipTest("chromium is not installed: scripts/setup --report")
        text = page.read_text().replace("<body>", "<body>" + LISTEN, 1)
        head, end = text.rsplit("</body>", 1)
        tested = self.folder / "tested.html"
        tested.write_text(head + LOOK + end)
        command = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu",
                   "--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},900",
                   f"--user-data-dir={self.folder}/profile", "--virtual-time-budget=8000",
                   f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom",
                   f"file://{tested}"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=support.LIMIT)
        match = re.search(r'<pre id="seen">(.*?)</pre>', result.stdout, re.S)
        self.assertIsNotNone(match, result.stderr[-2000:] + result.stdout[-2000:])
        text = match[1]
        for name, mark in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
            text = text.replace(name, mark)
        return json.loads(text)

    def test_everything_is_drawn(self):
        demo.write(self.folder / "build", self.folder / "campaign", self.folder / "findings")
        page = self.generate()
        seen = {(width, dark): self.see(page, width, dark)
                for width, dark in ((1400, False), (500, True))}
        for one in seen.values():
            self.assertEqual(one["wrong"], [])
            self.assertEqual(one["ready"], "yes")
            self.assertLessEqual(one["overflow"], 0, "the page itself scrolls sideways")
            self.assertEqual(one["drawn"], one["canvases"])
            self.assertGreater(one["canvases"], 15)
            self.assertGreater(one["lanes"], 3)
            self.assertGreater(one["heat"], 5)
            self.assertEqual(one["killed"], 2)
            self.assertEqual(one["empty"], ["past"])
            self.assertIn("1 finding", one["verdict"])
            self.assertIn("lost-notification", one["verdict"])
            self.assertRegex(one["verdict"], r"\d+ arms had no slice to the end")
        light, dark = seen[1400, False], seen[500, True]
        self.assertEqual((light["theme"], dark["theme"]), ("light", "dark"))
        self.assertNotEqual(light["paper"], dark["paper"])

    def test_no_night_at_all(self):
        (self.folder / "build").mkdir()
        seen = self.see(self.generate(), 1000, False)
        self.assertEqual(seen["wrong"], [])
        self.assertIn("No hunt has been run yet", seen["verdict"])

    def test_nothing_comes_from_elsewhere(self):
        demo.write(self.folder / "build", self.folder / "campaign", self.folder / "findings")
        text = self.generate().read_text()
        markup = re.sub(r"<script.*?</script>", "", text, flags=re.S)
        outside = r"(?:src|href)=\"(?!data:)[^\"]*|url\([^)]*|@import"
        self.assertEqual(re.findall(outside, markup), [])
        self.assertNotRegex(text, r"fetch\(|XMLHttpRequest|importScripts")

    def test_text_of_a_finding_is_no_markup(self):
        demo.write(self.folder / "build", self.folder / "campaign", self.folder / "findings")
        path = next((self.folder / "findings").glob("*/*/*/finding.json"))
        known = json.loads(path.read_text())
        known["class"]["fault"] = "</script><b onmouseover=alert(1)>bold</b>"
        path.write_text(json.dumps(known))
        page = self.generate()
        self.assertNotIn("</script><b ", page.read_text())
        seen = self.see(page, 1000, False)
        self.assertEqual((seen["wrong"], seen["ready"]), ([], "yes"))

    def test_a_finding_of_a_hunt_is_told(self):
        lines = [{"e": "begin", "tool": "hunt", "date": "2026-11-20", "seconds": 30, "commit": "x"},
                 {"e": "sample", "arm": "libfuzzer fuzz_api fuzz-small", "executions": 10,
                  "rate": 5, "coverage": 100},
                 {"e": "finding", "is_new": True, "target": "fuzz_api", "fault": "found: a bug",
                  "folder": "findings/fuzz_api/x"}, {"e": "end", "status": 1}]
        (self.folder / "build/hunt").mkdir(parents=True)
        (self.folder / "build/hunt/journal.jsonl").write_text("".join(
            json.dumps({"t": 1.0, "used": 1.0} | line) + "\n" for line in lines))
        seen = self.see(self.generate(), 1000, False)
        self.assertEqual(seen["wrong"], [])
        self.assertIn("1 finding", seen["verdict"])

    def test_a_broken_journal_is_told(self):
        (self.folder / "build").mkdir()
        (self.folder / "campaign").mkdir()
        (self.folder / "campaign/journal.jsonl").write_text('{"e": "begin"\nmore\n')
        with self.assertRaises(AssertionError) as why:
            self.generate()
        self.assertIn("journal.jsonl:1:", str(why.exception))

    def test_time_lines_are_read(self):
        rows = collect.classes.rows_of(demo.timeline())
        self.assertEqual(len(rows), len(demo.ROWS))
        self.assertEqual(rows[3], (3, False, 1, "REMOTE_MARK: 0 => 0x1", "slab.c:210"))
        self.assertTrue(rows[2][1])
        self.assertEqual(collect.classes.sites_of(demo.timeline()),
                         ("SLAB_REMOTE_PEEK", "REMOTE_MARK"))


if __name__ == "__main__":
    unittest.main()
