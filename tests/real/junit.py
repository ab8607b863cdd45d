#!/usr/bin/env python3
"""usage: junit.py REPORT.xml      one line per test of a report of CPython's test-suite"""
import sys
import xml.etree.ElementTree

lines = []
for case in xml.etree.ElementTree.parse(sys.argv[1]).iter('testcase'):
    found = [child.tag for child in case if child.tag in ('error', 'failure', 'skipped')]
    lines.append(f'{case.get("name")} {case.get("result")} {" ".join(found)}'.rstrip())
print('\n'.join(sorted(lines)))
sys.exit(not lines)
