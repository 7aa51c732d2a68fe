"""What `aifeedback label` costs, beside a bare client: CPU, wall time, memory and start-up, against a stub endpoint.

    pip install -e '.[bench]'
    python benchmarks/label_speed.py

writes the tables into docs/speed.md and draws docs/speed.svg. Both programs label the same pairs in turn (A B A B), each
run with an endpoint and a store of its own; figures are medians, ratios are taken run by run before their median. Every
run is checked to have labelled all pairs rightly. Takes about a quarter of an hour and 1 GB of temporary files.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measuring import (
    BARE,
    HERE,
    OURS,
    ROOT,
    Cost,
    Endpoint,
    as_table,
    check_labels,
    command_of,
    emptied,
    end_on_signals,
    facts,
    middle,
    options,
    plural,
    publish,
    run,
    tell,
    thousands,
    write_pairs,
)

LATENCY_S, SLOW_S, SLOW_SHARE = 0.2, 3.0, 0.01
SETTINGS = ((0.0, 32), (LATENCY_S, 256))
"""Seconds of latency, requests in flight."""
MEMORY_IN_FLIGHT = 64
BUSY = 0.9
"""A stub that needs more of its CPU than this is what is measured."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One run: what it cost, and what the endpoint saw."""

    cost: Cost
    requests: int
    latency_s: float
    """The sum of the latencies that the requests were given."""
    first_request_s: float
    """From the start of the process to the first request at the endpoint."""

    @property
    def cpu_ms(self) -> float:
        """CPU a request, start-up included."""
        return 1000 * self.cost.cpu_s / self.requests


@dataclass(frozen=True, slots=True)
class Bench:
    """Sizes, and where the files go."""

    work: Path
    runs: int
    memory_runs: int
    timeout_s: float
    pairs: int
    memory_pairs: tuple[int, ...]

    def file(self, count: int) -> Path:
        path = self.work / f"{count}.jsonl"
        return path if path.exists() else write_pairs(path, count)

    def label(self, program: str, count: int, in_flight: int, latency_s: float, *flags: str) -> Labelled:
        """Label so many pairs with a new endpoint and a new store, and check what came out."""
        folder = emptied(self.work / "run")
        pairs = self.file(count)
        with Endpoint("--latency", str(latency_s), *flags) as endpoint:
            cost = run(command_of(program, pairs, folder, endpoint.url, in_flight), folder, self.timeout_s)
            seen = endpoint.stats()
        check_labels(folder / "labels.jsonl", count)
        emptied(folder)
        if seen["requests"] != 2 * count:
            sys.exit(f"{program} sent {seen['requests']} requests for {count} pairs.")
        if count > 1 and seen["cpu_s"] > BUSY * cost.wall_s:
            tell(f"  the endpoint was busy for {seen['cpu_s']:.1f} of {cost.wall_s:.1f} s: wall time is its own")
        tell(f"  {program}: CPU {cost.cpu_s:.2f} s, wall {cost.wall_s:.2f} s, peak {cost.peak_mb:.0f} MB")
        return Labelled(cost, 2 * count, seen["latency_s"], seen["first_request"] - cost.started)

    def alternated(self, count: int, in_flight: int, latency_s: float, *flags: str) -> dict[str, list[Labelled]]:
        """Label with one program, then the other, and again."""
        found: dict[str, list[Labelled]] = {BARE: [], OURS: []}
        for _ in range(self.runs):
            for program, each in found.items():
                each.append(self.label(program, count, in_flight, latency_s, *flags))
        return found

    def caption(self, what: str) -> str:
        return f"{what}; {facts()}.\n\n"

    @property
    def median_of(self) -> str:
        return f"medians of {self.runs} alternated runs, in brackets their range" if self.runs > 1 else "one run"


Figures = dict[str, object]
"""For the plot."""


def asking(bench: Bench) -> tuple[str, Figures]:
    """CPU, wall and peak of labelling a file, of both programs."""
    rows: list[list[str]] = []
    drawn: Figures = {}
    for latency_s, in_flight in SETTINGS:
        setting = f"{1000 * latency_s:.0f} ms, {in_flight} in flight"
        tell(setting)
        found = bench.alternated(bench.pairs, in_flight, latency_s)
        rows += [[setting, *cells] for cells in _compared(found, in_flight)]
        drawn[setting] = {program: [each.cpu_ms for each in runs] for program, runs in found.items()}
    head = [
        "endpoint",
        "",
        "CPU a request, ms",
        "× bare",
        "wall, s",
        "× bare",
        "wall ÷ ideal",
        "peak, MB",
        "first request, s",
    ]
    asked = f"{plural(2 * bench.pairs, 'request')} for {plural(bench.pairs, 'pair')}"
    return bench.caption(f"{asked}; {bench.median_of}") + as_table(head, rows), drawn


def _compared(found: dict[str, list[Labelled]], in_flight: int) -> Iterator[list[str]]:
    for program, runs in found.items():
        pairs = list(zip(runs, found[BARE], strict=True))
        alone = program == BARE
        ideal = [each.cost.wall_s / (each.latency_s / in_flight) for each in runs if each.latency_s]
        yield [
            program,
            middle([each.cpu_ms for each in runs], 3),
            "1" if alone else middle([one.cost.cpu_s / other.cost.cpu_s for one, other in pairs], 2),
            middle([each.cost.wall_s for each in runs], 2),
            "1" if alone else middle([one.cost.wall_s / other.cost.wall_s for one, other in pairs], 2),
            middle(ideal, 3) if ideal else "",
            middle([each.cost.peak_mb for each in runs], 0),
            middle([each.first_request_s for each in runs], 2),
        ]


def memory(bench: Bench) -> tuple[str, Figures]:
    """Peak and CPU as the number of pairs grows."""
    rows: list[list[str]] = []
    peaks: list[list[float]] = []
    for count in bench.memory_pairs:
        tell(plural(count, "pair"))
        runs = [bench.label(OURS, count, MEMORY_IN_FLIGHT, 0.0) for _ in range(bench.memory_runs)]
        bench.file(count).unlink()
        peaks.append([each.cost.peak_mb for each in runs])
        a_pair = [1000 * each.cost.cpu_s / count for each in runs]
        rows.append(
            [thousands(count), middle(peaks[-1], 0), middle(a_pair, 3), middle([each.cost.wall_s for each in runs], 1)]
        )
    how = f"No latency, {MEMORY_IN_FLIGHT} in flight; {'one run each' if bench.memory_runs == 1 else f'medians of {bench.memory_runs}'}"
    head = ["pairs", "peak, MB", "CPU a pair, ms, start-up included", "wall, s"]
    return bench.caption(how) + as_table(head, rows), {"pairs": bench.memory_pairs, "peak_mb": peaks}


def warm(bench: Bench) -> tuple[str, Figures]:
    """A second run over the store that the first one left."""
    alone, many = [], []
    store = bench.work / "warm.sqlite"
    with Endpoint() as endpoint:

        def again(count: int) -> Cost:
            folder = emptied(bench.work / "run")
            cost = run(command_of(OURS, bench.file(count), folder, endpoint.url, 32, store), folder, bench.timeout_s)
            check_labels(folder / "labels.jsonl", count)
            return cost

        # The one pair is not among the others: it was drawn for a file of one.
        tell("a warm store")
        again(bench.pairs)
        again(1)
        asked = endpoint.stats()["requests"]
        for _ in range(bench.runs):
            alone.append(again(1))
            many.append(again(bench.pairs))
            tell(
                f"  one pair: CPU {alone[-1].cpu_s:.2f} s; all: CPU {many[-1].cpu_s:.2f} s, wall {many[-1].wall_s:.2f} s"
            )
        if endpoint.stats()["requests"] != asked:
            sys.exit("Something was asked again although the store had it.")
    for path in bench.work.glob("warm.sqlite*"):
        path.unlink()
    questions = 2 * bench.pairs
    cells = [
        middle([1000 * each.cpu_s / questions for each in many], 3),
        middle([1000 * (each.cpu_s - one.cpu_s) / (questions - 2) for each, one in zip(many, alone, strict=True)], 3),
        middle([each.wall_s for each in many], 2),
        middle([each.peak_mb for each in many], 0),
    ]
    head = ["CPU a question, ms", "the same without start-up", "wall, s", "peak, MB"]
    what = f"{plural(questions, 'question')}, all in the store; {bench.median_of}"
    return bench.caption(what) + as_table(head, [cells]), {}


def stragglers(bench: Bench) -> tuple[str, Figures]:
    """A few answers take much longer than the others."""
    in_flight = 256
    tell("stragglers")
    found = bench.alternated(bench.pairs, in_flight, LATENCY_S, "--slow-share", str(SLOW_SHARE), "--slow", str(SLOW_S))
    rows = [
        [
            program,
            middle([each.latency_s / in_flight for each in runs], 2),
            middle([each.cost.wall_s for each in runs], 2),
            middle([each.cost.wall_s / (each.latency_s / in_flight) for each in runs], 3),
        ]
        for program, runs in found.items()
    ]
    what = (
        f"{plural(2 * bench.pairs, 'request')}, {in_flight} in flight, {SLOW_SHARE:.0%} of them take {SLOW_S:g} s, "
        f"the others {1000 * LATENCY_S:.0f} ms; {bench.median_of}"
    )
    return bench.caption(what) + as_table(["", "ideal, s", "wall, s", "wall ÷ ideal"], rows), {}


def startup(bench: Bench) -> tuple[str, Figures]:
    """What is paid before anything happens."""
    tell("start-up")
    helped: list[Cost] = []
    found: dict[str, list[Labelled]] = {OURS: [], BARE: []}
    for _ in range(bench.runs):
        helped.append(run([sys.executable, "-m", "aifeedback", "--help"], bench.work, bench.timeout_s))
        for program, each in found.items():
            each.append(bench.label(program, 1, 1, 0.0))
    rows = [_started("`aifeedback --help`", helped, [])]
    for program, runs in found.items():
        rows.append(
            _started(f"{program}, one pair", [each.cost for each in runs], [each.first_request_s for each in runs])
        )
    return bench.caption(bench.median_of.capitalize()) + as_table(
        ["", "CPU, s", "wall, s", "first request, s"], rows
    ), {}


def _started(name: str, costs: list[Cost], first: list[float]) -> list[str]:
    cpu, wall = middle([each.cpu_s for each in costs], 2), middle([each.wall_s for each in costs], 2)
    return [name, cpu, wall, middle(first, 2) if first else ""]


PARTS: dict[str, Callable[[Bench], tuple[str, Figures]]] = {
    "asking": asking,
    "memory": memory,
    "warm": warm,
    "stragglers": stragglers,
    "startup": startup,
}


def main() -> int:
    parser = options(__doc__, PARTS, runs=5)
    parser.add_argument(
        "--memory-runs", type=int, default=1, metavar="N", help="runs at each number of pairs (default 1)"
    )
    told = parser.parse_args()
    end_on_signals()
    sizes: tuple[int, tuple[int, ...]] = (
        (500, (200, 1_000, 3_000)) if told.quick else (10_000, (2_000, 20_000, 200_000))
    )
    drawn: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), told.runs, told.memory_runs, told.timeout, *sizes)
        # Once, unmeasured: what is compiled on first use is there for all.
        bench.label(BARE, 1, 1, 0.0)
        bench.label(OURS, 1, 1, 0.0)
        for name in told.only or PARTS:
            text, drawn[name] = PARTS[name](bench)
            print(f"{text}\n", flush=True)
            if not told.quick:
                publish(name, text)
    if not told.quick and {"asking", "memory"} <= drawn.keys():
        # In a process of its own: matplotlib in this one would count as the peak of those that it measures.
        plot = [sys.executable, str(HERE / "speed_plot.py"), str(ROOT / "docs" / "speed.svg")]
        subprocess.run(plot, input=json.dumps(drawn), text=True, check=True, timeout=120)
    return 0


if __name__ == "__main__":
    sys.exit(main())
