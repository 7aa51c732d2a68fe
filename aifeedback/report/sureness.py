"""How sure the labels are, and whether they are right as often as they say."""

from __future__ import annotations

from dataclasses import dataclass, field

from aifeedback.records import Label, Status
from aifeedback.summary import Share

BINS = 10
_NOT_ASKED = frozenset({Status.UNASKED, Status.INVALID})


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


@dataclass(slots=True)
class Calibration:
    """P(a) against what people chose, over pairs with a soft P(a) and a gold of a or b, in ten bins of P(a).

    `said`: the sum of P(a) in each bin.
    """

    bins: list[Share] = field(default_factory=lambda: [Share() for _ in range(BINS)])
    said: list[float] = field(default_factory=lambda: [0.0] * BINS)
    squares: float = 0.0

    def add(self, label: Label) -> None:
        """Fold one pair in."""
        if label.p_a is None or label.pair.gold not in {"a", "b"} or label.status in _NOT_ASKED or not is_soft(label):
            return
        where = min(int(label.p_a * BINS + 1e-9), BINS - 1)
        self.bins[where].add(label.pair.gold == "a")
        self.said[where] += label.p_a
        self.squares += (label.p_a - (label.pair.gold == "a")) ** 2

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return sum(each.n for each in self.bins)

    @property
    def brier(self) -> float | None:
        """The mean squared difference (Brier 1950): 0 is perfect, 0.25 what a critic that always says 0.5 gets."""
        return self.squares / self.n if self.n else None

    @property
    def ece(self) -> float | None:
        """The expected calibration error (Naeini et al. 2015): the bins' distances of said from true, by their sizes."""
        if not self.n:
            return None
        return sum(abs(said - share.hits) for said, share in zip(self.said, self.bins, strict=True)) / self.n


def is_soft(label: Label) -> bool:
    """Whether a probability, not a vote, went into it."""
    return any(verdict.soft for verdict in label.deciding)
