"""What `aifeedback report` costs, and how soon its page can be used: the figures of docs/report.md.

    python benchmarks/report.py [PAIRS ...]

Made-up pairs as docs/take_screenshots.py writes them. Needs the extra `dev` and Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
_READY = """() => {
    const { startTime, domInteractive, loadEventEnd } = performance.getEntriesByType("navigation")[0];
    return [domInteractive - startTime, loadEventEnd - startTime];
}"""
_SEARCH = """(words) => new Promise((done) => {
    const start = performance.now(), counts = document.getElementById("counts");
    new MutationObserver(() => requestAnimationFrame(() => done(performance.now() - start))).observe(counts, { childList: true });
    const box = document.getElementById("search");
    box.value = words;
    box.dispatchEvent(new Event("input"));
})"""


def written(folder: Path, count: int) -> Path:
    """A made-up run, by another process: what this one holds would count as its children's memory."""
    folder.mkdir()
    subprocess.run([sys.executable, ROOT / "docs" / "take_screenshots.py", "--write", folder, str(count)], check=True)
    return folder / "labels.jsonl"


def reported(labels: Path, page: Path, *more: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of one command."""
    command = [sys.executable, "-m", "aifeedback", "-q", "report", str(labels), "-o", str(page), *more]
    start = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    from playwright.sync_api import sync_playwright

    counts = [int(each) for each in sys.argv[1:]] or [1_000, 50_000]
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        print("pairs  file MB | report: wall s  CPU s  peak MB  page MB | browser: parsed ms  usable ms  search ms")
        for count in counts:
            folder = Path(name) / str(count)
            labels, page = written(folder, count), folder / "report.html"
            wall, cpu, peak = reported(labels, page)
            read = sum(each.stat().st_size for each in folder.glob("*.jsonl")) / 1e6
            seen = browser.new_page()
            seen.goto(page.as_uri(), wait_until="load")
            parsed, usable = seen.evaluate(_READY)
            first, again = seen.evaluate(_SEARCH, "rice"), seen.evaluate(_SEARCH, "umbrella haiku")
            print(
                f"{count:,}  {read:.1f} | {wall:.1f}  {cpu:.1f}  {peak:.0f}  {page.stat().st_size / 1e6:.2f} | "
                f"{parsed:.0f}  {usable:.0f}  {first:.0f} then {again:.0f}"
            )
            wall, cpu, peak = reported(labels, folder / "report.md", "--markdown")
            print(f"{count:,}, as Markdown | {wall:.1f}  {cpu:.1f}  {peak:.0f}")
        browser.close()


if __name__ == "__main__":
    main()
