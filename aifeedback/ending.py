"""What a run has to pass to end with 0: its end, each gate, `--max-failed`; and the exit code that comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aifeedback.errors import BudgetSpent, StopRun
from aifeedback.gates import GateResult
from aifeedback.summary import Tally

Value = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class MaxFailed:
    """How many pairs may be failed, unparsed, too long or invalid: a count, or a share of all that were read."""

    limit: float = 0.01
    is_share: bool = True

    def allows(self, tally: Tally) -> bool:
        """Whether there are not more of them."""
        return tally.troubled <= (self.limit * tally.read if self.is_share else self.limit)

    def __str__(self) -> str:
        """As the flag has it."""
        return f"{100 * self.limit:g}%" if self.is_share else f"{self.limit:g}"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a run has to pass. `missed`: one line why it did not, `""` where it did; `code`: the exit code of that.

    `figures`: what was measured and held against what.
    """

    name: str
    code: int
    missed: str
    figures: Mapping[str, Value]

    @property
    def passed(self) -> bool:
        """Whether it did."""
        return not self.missed


def complete(stopped: StopRun | None, advice: str = "") -> Check:
    """Whether the run came to its end. `advice`: what there is now and how to go on."""
    if stopped is None:
        return Check("complete", 0, "", {"stopped": False})
    code = 4 if isinstance(stopped, BudgetSpent) else 5
    return Check("complete", code, f"{stopped} {advice}".rstrip(), {"stopped": True})


def gate(result: GateResult) -> Check:
    """Whether a gate was passed."""
    figure = result.figure
    low, high = figure.interval or (None, None)
    figures: dict[str, Value] = {
        "measure": result.kind.measure,
        "estimate": figure.estimate,
        "interval_low": low,
        "interval_high": high,
        "n": figure.n,
        "limit": result.limit,
        "on": result.on,
    }
    return Check(result.kind.name, 3, "" if result.passed else result.missed, figures)


def max_failed(tally: Tally, allowed: MaxFailed, advice: str = "") -> Check:
    """Whether few enough pairs are in trouble. `advice`: where each one's reason is to be found."""
    figures: dict[str, Value] = {"troubled": tally.troubled, "read": tally.read, "limit": str(allowed)}
    if allowed.allows(tally):
        return Check("max-failed", 1, "", figures)
    reason, count = tally.reasons.most_common(1)[0]
    missed = (
        f"{tally.troubled} of {tally.read} pairs failed, were unparsed, too long or invalid: more than --max-failed allows. "
        f'Most often: "{reason}" ({count}). {advice}'
    )
    return Check("max-failed", 1, missed.rstrip(), figures)


def checks(
    tally: Tally,
    gates: Iterable[GateResult],
    stopped: StopRun | None,
    allowed: MaxFailed,
    *,
    go_on: str = "",
    reasons: str = "",
) -> list[Check]:
    """All of them, in the order in which what was missed is told. `go_on`, `reasons`: what is advised after a stop, after failures."""
    return [complete(stopped, go_on), *map(gate, gates), max_failed(tally, allowed, reasons)]


def exit_code(checked: Sequence[Check]) -> int:
    """The first of 5, 4, 3, 1 that applies, else 0."""
    return max((check.code for check in checked if not check.passed), default=0)
