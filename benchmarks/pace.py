"""How well `aifeedback label` finds an endpoint's limits by itself: refusals, a limit a minute, an endpoint that goes away.

    pip install -e '.[bench]'
    python benchmarks/pace.py

writes the last tables of docs/speed.md. The endpoint is `aifeedback.testing.Server`. Takes five minutes a run.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import (
    BARE,
    OURS,
    as_table,
    check_labels,
    command_of,
    emptied,
    end_on_signals,
    facts,
    middle,
    options,
    publish,
    run,
    tell,
    thousands,
    write_pairs,
)

from aifeedback.testing import Server

LATENCY_S = 0.2
LATENCY = f"latency:1:{LATENCY_S}"
AT_ONCE = 40
RPM = 600
IN_FLIGHT = {"in-flight": 256, "rpm": 256, "gone": 64}
BARE_SAYS = {"A:\nGOOD ": "A", "A:\nBAD ": "B"}
"""The bare client's prompt has no fences by which the server could find the responses."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Pairs of each part, and for how long the endpoint is gone."""

    in_flight: int = 7_000
    rpm: int = 500
    gone: int = 6_000
    gone_s: int = 60


QUICK = Sizes(in_flight=1_000, rpm=80, gone=1_000, gone_s=8)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: all pairs were labelled in `wall_s`, and `sent` requests, of which `refused`, took place."""

    answered: int
    wall_s: float
    sent: int
    refused: int

    @property
    def rate(self) -> float:
        """Answers a second, start-up included."""
        return self.answered / self.wall_s

    @property
    def refused_share(self) -> float:
        return 100 * self.refused / self.sent


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the files go, and how often and how much."""

    work: Path
    runs: int
    timeout_s: float
    sizes: Sizes

    def label(self, program: str, count: int, in_flight: int, server: Server) -> Run:
        """Label so many pairs at a server, which ends with it, and check what came out."""
        folder, pairs = emptied(self.work / "run"), self.work / f"{count}.jsonl"
        if not pairs.exists():
            write_pairs(pairs, count)
        with server:
            cost = run(command_of(program, pairs, folder, server.url, in_flight), folder, self.timeout_s)
            seen = server.stats()
        check_labels(folder / "labels.jsonl", count)
        refused = sum(seen["faults"].get(kind, 0) for kind in ("max-in-flight", "rpm"))
        done = Run(2 * count, cost.wall_s, seen["requests"], refused)
        tell(f"  {program}: {done.wall_s:.1f} s, {done.rate:.1f} a second, {done.sent} sent, {done.refused} refused")
        return done

    def caption(self, what: str) -> str:
        how = f"medians of {self.runs} runs, in brackets their range" if self.runs > 1 else "one run each"
        return f"{what}; {how}; {facts()}.\n\n"


def in_flight(bench: Bench) -> str:
    """Refusals above so many requests at the same time, and no word about the limit."""
    tell(f"refusals above {AT_ONCE} in flight")
    script = bench.work / "script.jsonl"
    lines = [{"match": match, "content": f'{{"verdict": "{verdict}"}}'} for match, verdict in BARE_SAYS.items()]
    script.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    tuned, ours, ratios = [], [], []
    for _ in range(bench.runs):
        tuned.append(bench.label(BARE, bench.sizes.in_flight, AT_ONCE, Server(faults=[LATENCY], script=script)))
        limited = Server(max_in_flight=AT_ONCE, faults=[LATENCY], answer="longest")
        ours.append(bench.label(OURS, bench.sizes.in_flight, IN_FLIGHT["in-flight"], limited))
        ratios.append(ours[-1].rate / tuned[-1].rate)
    rows = [
        [f"{BARE}, told to have {AT_ONCE} in flight", middle([each.rate for each in tuned], 1), "1", "0%"],
        [
            f"{OURS}, told to have at most {IN_FLIGHT['in-flight']}",
            middle([each.rate for each in ours], 1),
            middle(ratios, 3),
            f"{middle([each.refused_share for each in ours], 2)}%",
        ],
    ]
    what = (
        f"{thousands(2 * bench.sizes.in_flight)} requests of {1000 * LATENCY_S:.0f} ms, 429 above {AT_ONCE} in flight"
    )
    return bench.caption(what) + as_table(["", "answers a second", "× the tuned client", "refused"], rows)


def rpm(bench: Bench) -> str:
    """A limit a minute, told in every answer's headers."""
    tell(f"{RPM} requests a minute")
    done = [
        bench.label(
            OURS, bench.sizes.rpm, IN_FLIGHT["rpm"], Server(rpm=RPM, faults=[LATENCY], answer="longest", keep=10)
        )
        for _ in range(bench.runs)
    ]
    cells = [
        middle([60 * each.rate for each in done], 0),
        middle([100 * 60 * each.rate / RPM for each in done], 1) + "%",
        middle([each.refused_share for each in done], 2) + "%",
        middle([each.wall_s for each in done], 0),
    ]
    what = f"{thousands(2 * bench.sizes.rpm)} requests, {RPM} a minute allowed and told in each answer's headers"
    return bench.caption(what) + as_table(["answers a minute", "of the limit", "refused", "wall, s"], [cells])


def gone(bench: Bench) -> str:
    """An endpoint that is gone for a while, halfway through."""
    tell(f"gone for {bench.sizes.gone_s} s")
    count, most = bench.sizes.gone, IN_FLIGHT["gone"]
    whole, broken = [], []
    for _ in range(bench.runs):
        whole.append(bench.label(OURS, count, most, Server(faults=[LATENCY], answer="longest")))
        leaving = Server(faults=[LATENCY], answer="longest", down_after=count, down_for=float(bench.sizes.gone_s))
        broken.append(bench.label(OURS, count, most, leaving))
    lost = [one.wall_s - other.wall_s - bench.sizes.gone_s for one, other in zip(broken, whole, strict=True)]
    # What was on its way when the endpoint went is asked again; a connection that is refused reaches nobody.
    again = [each.sent - each.answered for each in broken]
    cells = [
        f"{thousands(count)} of {thousands(count)}",
        middle([each.wall_s for each in whole], 1),
        middle([each.wall_s for each in broken], 1),
        middle(lost, 1),
        middle(again, 0),
    ]
    head = ["labelled", "wall undisturbed, s", "wall, s", "lost beyond the absence, s", "asked again"]
    what = f"Gone for {bench.sizes.gone_s} s after half of {thousands(2 * count)} requests, {most} in flight"
    return bench.caption(what) + as_table(head, [cells])


PARTS: dict[str, Callable[[Bench], str]] = {"in-flight": in_flight, "rpm": rpm, "gone": gone}


def main() -> int:
    told = options(__doc__, PARTS, runs=3).parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), told.runs, told.timeout, QUICK if told.quick else Sizes())
        for name in told.only or PARTS:
            text = PARTS[name](bench)
            print(f"{text}\n", flush=True)
            if not told.quick:
                publish(name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
