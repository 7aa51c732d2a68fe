"""Whether the longer response wins, by how much longer it is, for the critic and for people."""

from __future__ import annotations

from dataclasses import dataclass, field

from aifeedback.records import Label, text_of
from aifeedback.summary import Share

# How many times as long the longer one is; the first bin counts as matched.
EDGES = (1.1, 1.25, 1.5, 2.0, 3.0)
NAMES = ("up to 1.1", "1.1–1.25", "1.25–1.5", "1.5–2", "2–3", "over 3")


@dataclass(slots=True)
class Lengths:
    """Shares of pairs, by their lengths in characters, of which the longer response won; pairs of one length are left out."""

    critic: list[Share] = field(default_factory=lambda: [Share() for _ in NAMES])
    people: list[Share] = field(default_factory=lambda: [Share() for _ in NAMES])
    flagged: int = 0

    def add(self, label: Label, *, flagged: bool) -> None:
        """Fold one pair in."""
        self.flagged += flagged
        a, b = len(text_of(label.pair.response_a)), len(text_of(label.pair.response_b))
        if a == b:
            return
        where = bin_of(a, b)
        if label.winner is not None:
            self.critic[where].add((a > b) == (label.winner == "a"))
        if label.pair.gold in {"a", "b"}:
            self.people[where].add((a > b) == (label.pair.gold == "a"))

    @property
    def matched(self) -> Share:
        """Pairs whose lengths are within 10% of each other."""
        return self.critic[0]


def bin_of(a: int, b: int) -> int:
    """Which of NAMES two lengths belong to."""
    shorter, longer = sorted((a, b))
    return sum(longer > edge * shorter for edge in EDGES)
