"""How many verdicts of a run are probabilities and how many are not: what is said of it at the end."""

from __future__ import annotations

from dataclasses import dataclass

from aifeedback.records import Invalid, Label
from aifeedback.settings import Soft


@dataclass(slots=True)
class Softness:
    """Readable verdicts by whether their P(a) comes from token probabilities."""

    soft: int = 0
    hard: int = 0

    def add(self, label: Label | Invalid) -> None:
        """Count the verdicts of one pair."""
        if isinstance(label, Invalid):
            return
        for verdict in label.verdicts:
            if verdict.soft:
                self.soft += 1
            elif verdict.p_a is not None:
                self.hard += 1

    def remark(self, told: Soft) -> str:
        """What is easily overlooked; `""` where there is nothing to say."""
        counted = f"{self.hard} of {self.hard + self.soft} verdicts have no soft value and count as 1, 0.5 or 0"
        if told == "logprobs" and self.hard:
            return f"--soft logprobs: {counted}. Their rows say soft false; docs/soft-labels.md says why that may be."
        if told == "auto" and self.hard and self.soft:
            return f"{counted}; the others are probabilities. --soft off counts all alike, and asks nothing anew."
        return ""
