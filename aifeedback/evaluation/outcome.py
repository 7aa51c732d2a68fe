"""What was gathered about critics, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aifeedback.ending import Check
from aifeedback.errors import StopRun
from aifeedback.evaluation.collecting import Collection


@dataclass(frozen=True, slots=True)
class Gathered:
    """All labels, counted. `read` pairs and bad lines, `without` gold and votes, `invalid`; `stopped` before its time."""

    collection: Collection
    read: int
    without: int
    invalid: int
    stopped: StopRun | None = None
    spent: Mapping[str, object] = field(default_factory=dict[str, object])
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Evaluated:
    """How an evaluation ended: `report` is what `--json` holds, `checks` what every critic had to pass.

    `withheld`: the report was meant for a pipe and did not go out, since a gate was missed or the run stopped.
    """

    report: Mapping[str, Any]
    checks: Sequence[Check]
    stopped: StopRun | None = None
    withheld: bool = False
