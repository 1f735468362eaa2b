"""Counts what a runner's own report says, as "passed failed skipped"; the lines after it are what failed and why.

    count.py meson BUILD/meson-logs/testlog.json      cmocka cases, or 1 a program that counts none itself
    count.py pytest REPORT.xml
    count.py ids REPORT.xml                           only what failed, a line each, as pytest takes it

A program that died, timed out or failed without counting a failed case counts as one failed.
"""
from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree

GOOD = {"OK", "EXPECTEDFAIL"}


def cmocka(text: str, word: str) -> int:
    return sum(int(n) for n in re.findall(rf"\[  {word}  \] (\d+) test\(s\)", text))


def brief(text: str) -> str:
    """One line of a failure's message, short enough for a table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:200] if lines else ""


def count_meson(path: str) -> tuple[int, int, int, list[str]]:
    passed = failed = skipped = 0
    names: list[str] = []
    for line in open(path, encoding="utf-8", errors="replace"):
        test = json.loads(line)
        text = test.get("stdout", "") + "\n" + test.get("stderr", "")
        good, bad, left = cmocka(text, "PASSED"), cmocka(text, "FAILED"), cmocka(text, "SKIPPED")
        if test["result"] not in GOOD and test["result"] != "SKIP" and not bad:
            bad = 1
        if bad:
            cases = sorted(set(re.findall(r"\[  FAILED  \] (\w*[a-z]\w*)$", text, re.M)))
            names.append(f"{test['name']}: {test['result']} {' '.join(cases)}".rstrip())
        if test["result"] in GOOD and not good and not left:
            good = 1
        if test["result"] == "SKIP" and not left:
            left = 1
        passed, failed, skipped = passed + good, failed + bad, skipped + left
    return passed, failed, skipped, names


def count_pytest(path: str) -> tuple[int, int, int, list[str]]:
    root = ElementTree.parse(path).getroot()
    names = [
        f"{case.get('classname')}::{case.get('name')}: {brief(bad.get('message') or bad.text or bad.tag)}"
        for case in root.iter("testcase")
        for bad in case
        if bad.tag in ("failure", "error")
    ]
    suites = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
    total = {k: sum(int(s.get(k, 0)) for s in suites) for k in ("tests", "failures", "errors", "skipped")}
    failed = total["failures"] + total["errors"]
    return max(0, total["tests"] - failed - total["skipped"]), failed, total["skipped"], names


def failed_ids(path: str) -> list[str]:
    """tests.scenarios.test_x::test_y[z] as tests/scenarios/test_x.py::test_y[z]; a failure outside of a test has none."""
    cases = [c for c in ElementTree.parse(path).getroot().iter("testcase") if any(b.tag in ("failure", "error") for b in c)]
    return [f"{(c.get('classname') or '').replace('.', '/')}.py::{c.get('name')}" for c in cases]


def main() -> int:
    kind, path = sys.argv[1:]
    if kind == "ids":
        print(*failed_ids(path), sep="\n")
        return 0
    try:
        *counts, names = {"meson": count_meson, "pytest": count_pytest}[kind](path)
    except (OSError, ValueError, ElementTree.ParseError) as e:
        print(f"count: no report in {path}: {e}", file=sys.stderr)
        counts, names = [0, 1, 0], []
    print(*counts)
    for name in names:
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
