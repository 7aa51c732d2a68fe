"""How sure the labels are."""

from __future__ import annotations

from dataclasses import dataclass, field

from aifeedback.records import Label

BINS = 10


@dataclass(slots=True)
class Sureness:
    """Labelled pairs by preference, from 0.5 in steps of 0.05: `soft` from probabilities, `hard` from votes alone."""

    hard: list[int] = field(default_factory=lambda: [0] * BINS)
    soft: list[int] = field(default_factory=lambda: [0] * BINS)
    total: float = 0.0

    def add(self, label: Label) -> None:
        """Fold one labelled pair in."""
        where = min(int((label.preference - 0.5) * 2 * BINS + 1e-9), BINS - 1)
        (self.soft if is_soft(label) else self.hard)[where] += 1
        self.total += label.preference

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return sum(self.hard) + sum(self.soft)

    @property
    def mean(self) -> float | None:
        """The mean preference."""
        return self.total / self.n if self.n else None


def is_soft(label: Label) -> bool:
    """Whether a probability, not a vote, went into it."""
    return any(verdict.soft for verdict in label.deciding)
