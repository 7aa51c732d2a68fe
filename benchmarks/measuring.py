"""What the speed benchmarks share: pairs to label, processes and what they cost, and the tables of docs/speed.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Self
from urllib.parse import urlsplit

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "speed.md"
BARE, OURS = "bare client", "aifeedback label"

_WORDS = (
    "air", "answer", "apple", "autumn", "bird", "boat", "book", "bridge", "bread", "city", "clay", "cloud", "coast",
    "colour", "corn", "dance", "desert", "door", "dream", "dust", "early", "earth", "east", "empty", "evening",
    "family", "farm", "field", "fire", "first", "flour", "forest", "friend", "garden", "glass", "gold", "grain",
    "green", "harbour", "heart", "hill", "honey", "house", "iron", "island", "journey", "lake", "lamp", "language",
    "leaf", "letter", "light", "market", "meadow", "middle", "milk", "moon", "morning", "mountain", "music", "narrow",
    "night", "north", "ocean", "often", "old", "orange", "paper", "path", "people", "plain", "quiet", "rain", "river",
    "road", "salt", "sand", "sea", "season", "silver", "slow", "small", "snow", "song", "south", "spring", "stone",
    "story", "summer", "table", "thin", "tree", "valley", "village", "voice", "wall", "warm", "water", "west",
    "wheat", "wide", "wind", "window", "winter", "wood", "word", "world", "yellow", "young",
)  # fmt: skip
_MB = 1e6 / (1 if sys.platform == "darwin" else 1024)
"""What `ru_maxrss` is to be divided by."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a whole process took: CPU is user and system time, `started` is in seconds since 1970."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    started: float


def write_pairs(path: Path, count: int) -> Path:
    """Write so many pairs, the same ones each time: responses of 40 to 160 words, the longer of which is the GOOD one."""
    drawn = random.Random(count)

    def text() -> str:
        return " ".join(drawn.choices(_WORDS, k=drawn.randint(40, 160)))

    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            bad, good = sorted((text(), text()), key=len)
            responses = [f"GOOD {good}", f"BAD {bad}"]
            drawn.shuffle(responses)
            prompt = f"Write text {number} about {' and '.join(drawn.choices(_WORDS, k=3))}."
            pair = {"prompt": prompt, "response_a": responses[0], "response_b": responses[1]}
            file.write(json.dumps(pair) + "\n")
    return path


def check_labels(path: Path, count: int) -> None:
    """Stop unless there is a label for every pair, and each has the GOOD response chosen."""
    labelled = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if not (row["chosen"].startswith("GOOD ") and row["rejected"].startswith("BAD ")):
                sys.exit(
                    f"{path.name}, line {labelled + 1}: the wrong response is chosen. These figures would mean nothing."
                )
            labelled += 1
    if labelled != count:
        sys.exit(f"{labelled} of {count} pairs have a label. These figures would mean nothing.")


def run(command: Sequence[str], folder: Path, timeout_s: float) -> Cost:
    """Run to the end and say what it cost. Stops the benchmark if it fails, or takes longer than `timeout_s`."""
    with (folder / "stderr.txt").open("w+b") as errors:
        began, started = time.perf_counter(), time.time()
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        late = threading.Timer(timeout_s, os.kill, (process.pid, signal.SIGKILL))
        late.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            late.cancel()
            if process.returncode is None:
                process.kill()
                process.wait()
        wall_s = time.perf_counter() - began
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace")[-2000:]
            sys.exit(f"{' '.join(command)}: exit code {process.returncode} after {wall_s:.0f} s.\n{said}")
    # A child begins as a copy of this process, and the peak of a copy counts.
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if used.ru_maxrss <= ours:
        sys.exit("The benchmark itself is larger than what it measures, so the peak is its own. Import less in it.")
    return Cost(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / _MB, started)


def command_of(
    program: str, pairs: Path, folder: Path, url: str, concurrency: int, store: Path | None = None
) -> list[str]:
    """The command line that has a program label `pairs` into `labels.jsonl` in a folder; without `store` into a new one."""
    target = str(folder / "labels.jsonl")
    if program == BARE:
        return [sys.executable, str(HERE / "bare_client.py"), str(pairs), target, url, str(concurrency)]
    critic = ["--critic", "vllm/stub", "--base-url", url, "--concurrency", str(concurrency)]
    kept = ["--store", str(store or folder / "replies.sqlite"), "-o", target, "-q"]
    return [sys.executable, "-m", "aifeedback", "label", str(pairs), *critic, *kept]


def emptied(folder: Path) -> Path:
    """A folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _environment() -> dict[str, str]:
    """Ours without settings of aifeedback's, and with this checkout before an installed one."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {name: value for name, value in os.environ.items() if not name.startswith("AIFEEDBACK_")} | {
        "PYTHONPATH": path
    }


class Endpoint:
    """benchmarks/stub_endpoint.py in a process of its own, for as long as the `with` block lasts."""

    def __init__(self, *flags: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "stub_endpoint.py"), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            sys.exit("The endpoint did not start. It needs pip install -e '.[bench]'.")

    def stats(self) -> dict[str, float]:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        connection.request("GET", "/_stats")
        found: dict[str, float] = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def options(doc: str | None, names: Iterable[str], runs: int) -> argparse.ArgumentParser:
    """What can be said to either benchmark."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs, metavar="N", help=f"alternated runs of each (default {runs})")
    parser.add_argument(
        "--only", action="append", choices=tuple(names), metavar="NAME", help="one of: %(choices)s; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="a trial: small sizes, and nothing is written into docs/")
    parser.add_argument("--timeout", type=float, default=900, metavar="S", help="seconds that one process may take")
    return parser


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def end_on_signals() -> None:
    """Leave by an exception where a signal would end this process at once, so that nothing it started stays behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


def plural(count: int, noun: str) -> str:
    return f"{thousands(count)} {noun}{'s' * (count != 1)}"


def thousands(count: float) -> str:
    return f"{count:,.0f}".replace(",", " ")


def facts() -> str:
    """What of the machine and the packages the figures depend on."""
    return f"{os.cpu_count()} CPUs, Python {platform.python_version()}, aiohttp {version('aiohttp')}"


def middle(values: Sequence[float], digits: int) -> str:
    """The median, and from where to where the values lie if there are several."""
    low, high = (f"{edge:.{digits}f}" for edge in (min(values), max(values)))
    told = f"{median(values):.{digits}f}"
    return told if low == high else f"{told} ({low}-{high})"


def as_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def publish(name: str, text: str) -> None:
    """Put a table between its two markers in docs/speed.md."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        sys.exit(f"{PAGE} has no place for this table: {begin} and {end}.")
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
