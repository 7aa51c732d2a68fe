"""What one critic's labels amount to against what people say, one pair at a time, as counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from aifeedback.calibration import Calibration
from aifeedback.measures import ClusteredRate, Interval, wilson
from aifeedback.records import PA, Label, Order, Pair, Status, Winner
from aifeedback.summary import Tally

Said = Literal["a", "b", "tie", "none"]
"""What a label says: a winner, a tie, or nothing that can be held against the gold."""
Votes = tuple[int, int, int]
"""How many people voted for a, for b and for a tie."""

MILLION = 1_000_000
RIGHT, HALF, WRONG = 2, 1, 0
"""What one answer earns, in halves, so that counts stay whole."""

_NOT_JUDGED = frozenset({Status.UNASKED, Status.INVALID})


@dataclass(slots=True)
class Credit:
    """Answers that are right, half right or wrong, as a rate."""

    halves: int = 0
    n: int = 0

    def add(self, earned: int) -> None:
        """Count one."""
        self.halves += earned
        self.n += 1

    @property
    def rate(self) -> float | None:
        """As a number from 0 to 1; None without any."""
        return round(self.halves / (2 * self.n), 6) if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Its 95% interval (Wilson)."""
        return wilson(self.halves / 2, self.n)


@dataclass(slots=True)
class Figures:
    """Everything that is counted of one critic, baseline or group of pairs.

    `half_for_ties`: a tie earns half where gold names a side, as for a rule that can't choose between equal lengths.
    `n`: pairs that were judged; a pair about which nobody was asked, or that can't be asked about, is in `tally` alone.
    `table` counts (gold, said), `probabilities` P(the gold side) in millionths, `heard` (votes, said).
    """

    critic: str
    half_for_ties: bool = False
    tally: Tally = field(init=False)
    n: int = 0
    no_gold: int = 0
    table: Counter[tuple[Winner, Said]] = field(default_factory=Counter[tuple[Winner, Said]])
    right: Credit = field(default_factory=Credit)
    right_by_order: dict[Order, Credit] = field(default_factory=lambda: {order: Credit() for order in Order})
    right_in_both: Credit = field(default_factory=Credit)
    verdicts: ClusteredRate = field(default_factory=ClusteredRate)
    probabilities: Counter[int] = field(default_factory=Counter[int])
    calibration: Calibration = field(default_factory=Calibration)
    soft: bool = False
    heard: Counter[tuple[Votes, Said]] = field(default_factory=Counter[tuple[Votes, Said]])

    def __post_init__(self) -> None:
        self.tally = Tally(self.critic)

    def add(self, label: Label) -> int | None:
        """Fold one pair in; gives what it earned, None where it was not judged or gold names no side."""
        self.tally.add(label)
        if label.status in _NOT_JUDGED:
            return None
        self.n += 1
        pair, word = label.pair, said(label)
        if len(pair.votes) > 1:
            self.heard[votes_of(pair), word] += 1
        if not pair.gold:
            self.no_gold += 1
            return None
        self.table[pair.gold, word] += 1
        if pair.gold == "tie":
            return None
        return self._add_gold(label, pair.gold, word)

    def _add_gold(self, label: Label, gold: Literal["a", "b"], word: Said) -> int:
        earned = self._earned(gold, word)
        self.right.add(earned)
        self._add_orders(label, gold)
        if label.p_a is not None:
            p_gold = round(label.p_a * MILLION)
            self.probabilities[p_gold if gold == "a" else MILLION - p_gold] += 1
            self.calibration.add(label.p_a, gold_is_a=gold == "a")
            self.soft = self.soft or any(verdict.soft for verdict in label.deciding)
        return earned

    def _add_orders(self, label: Label, gold: Literal["a", "b"]) -> None:
        earned = {order: self._earned(gold, side(p_a)) for order, p_a in label.order_p_a.items()}
        for order in {verdict.order for verdict in label.deciding} - set(earned):
            earned[order] = WRONG  # it was asked, and nothing readable came
        for order, each in earned.items():
            self.right_by_order[order].add(each)
        if len(earned) == 2:
            self.verdicts.add(sum(earned.values()), RIGHT * len(earned))
            self.right_in_both.add(min(earned.values()))

    def _earned(self, gold: Winner, word: Said) -> int:
        if word == gold:
            return RIGHT
        return HALF if word == "tie" and self.half_for_ties else WRONG

    @property
    def n_gold(self) -> int:
        """Judged pairs with a gold, ties included."""
        return sum(self.table.values())

    @property
    def gold_ties(self) -> int:
        """Judged pairs whose gold is a tie."""
        return sum(count for (gold, _), count in self.table.items() if gold == "tie")

    def counts(self) -> dict[str, int]:
        """Pairs by what became of them: `n` is `n_decided` and all statuses but `unasked` and `invalid`."""
        statuses = self.tally.statuses
        return {
            "n": self.n,
            "n_gold": self.n_gold,
            "n_gold_tie": self.gold_ties,
            "n_decided": self.tally.labeled,
            **{status.value: statuses[status] for status in Status},
        }


def said(label: Label) -> Said:
    """What a label says that gold can be held against."""
    if label.status is Status.TIE:
        return "tie"
    return label.winner or "none"


def side(p_a: PA) -> Said:
    """What one order says."""
    return "a" if p_a > 0.5 else "b" if p_a < 0.5 else "tie"


def votes_of(pair: Pair) -> Votes:
    """The single voices, counted."""
    return pair.votes.count("a"), pair.votes.count("b"), pair.votes.count("tie")
