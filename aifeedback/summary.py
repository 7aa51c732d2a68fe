"""Labels folded into a summary, one by one, in constant memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aifeedback.families import family
from aifeedback.measures import ClusteredRate, Interval, kappa, kappa_interval, wilson
from aifeedback.records import PA, Invalid, Label, Order, Pair, Status, text_of

_TROUBLE = (Status.FAILED, Status.UNPARSED, Status.TOO_LONG, Status.INVALID)
_REASONS_KEPT = 1000
_ATTEMPTS = re.compile(r"^no answer after \d+ attempts: ")


@dataclass(slots=True)
class Share:
    """How many of how many."""

    hits: int = 0
    n: int = 0

    def add(self, hit: bool) -> None:  # noqa: FBT001 - the one thing it takes
        """Count one."""
        self.hits += hit
        self.n += 1

    def take_back(self, hit: bool) -> None:  # noqa: FBT001 - as above
        """Count one no longer."""
        self.hits -= hit
        self.n -= 1

    @property
    def rate(self) -> float | None:
        """As a number from 0 to 1; None without any."""
        return round(self.hits / self.n, 6) if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Its 95% interval (Wilson)."""
        return wilson(self.hits, self.n)

    def interval_at(self, level: float) -> Interval | None:
        """Its interval of another level."""
        return wilson(self.hits, self.n, level)


@dataclass(slots=True)
class Tally:
    """What all labels of a run amount to, by the verdicts that count.

    `critic`: as it stands in the labels, for the family that it is of. `first_shown_alone`: the part of `first_shown`
    from pairs without a readable verdict in both orders, in which the place can't be told from the response.
    `gold_longer`: gold winners that are the longer. `longer_beside_gold`: labelled pairs by whether the critic and the gold
    chose the longer: both did, the critic alone, gold alone, neither; `same_family_beside_gold` likewise.
    """

    critic: str
    read: int = 0
    labeled: int = 0
    statuses: Counter[Status] = field(default_factory=Counter[Status])
    consistent: Share = field(default_factory=Share)
    first_shown: ClusteredRate = field(default_factory=ClusteredRate)
    first_shown_alone: ClusteredRate = field(default_factory=ClusteredRate)
    longer: Share = field(default_factory=Share)
    same_family: Share = field(default_factory=Share)
    gold_longer: Share = field(default_factory=Share)
    longer_beside_gold: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    same_family_beside_gold: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    right: Share = field(default_factory=Share)
    right_by_order: dict[Order, Share] = field(default_factory=lambda: {order: Share() for order in Order})
    reasons: Counter[str] = field(default_factory=Counter[str])
    confusion: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def add(self, label: Label | Invalid) -> None:
        """Fold one pair in."""
        self.read += 1
        if label.status in _TROUBLE:
            self._add_trouble(label.reason)
        if isinstance(label, Invalid):
            self.statuses[Status.INVALID] += 1
            return
        if label.status is None:
            self.labeled += 1
            self._add_labelled(label)
        else:
            self.statuses[label.status] += 1
        if len(label.order_p_a) == 2:
            self.consistent.add(len({_side(p) for p in label.order_p_a.values()}) == 1)
        decided = [v for v in label.deciding if v.p_a is not None and v.p_a != 0.5]
        first = sum((v.p_a or 0.0) > 0.5 if v.order is Order.AB else (v.p_a or 0.0) < 0.5 for v in decided)
        self.first_shown.add(first, len(decided))
        if len(label.order_p_a) < 2:
            self.first_shown_alone.add(first, len(decided))
        if label.pair.gold in {"a", "b"} and label.status not in {Status.UNASKED, Status.INVALID}:
            self._add_gold(label)

    def withdraw(self, label: Label) -> None:
        """Of a labelled pair that was folded in, leave what `add` takes from one with the status `length`."""
        self.labeled -= 1
        self.statuses[Status.LENGTH] += 1
        alone = Tally(self.critic)
        alone.add(label)
        for share, its_own in ((self.longer, alone.longer), (self.same_family, alone.same_family)):
            if its_own.n:
                share.take_back(bool(its_own.hits))
        self.right.hits -= alone.right.hits  # a pair with gold and without a label counts as wrong
        for counts, one in (
            (self.confusion, alone.confusion),
            (self.longer_beside_gold, alone.longer_beside_gold),
            (self.same_family_beside_gold, alone.same_family_beside_gold),
        ):
            counts[:] = [all_of - its for all_of, its in zip(counts, one, strict=True)]

    def _add_trouble(self, reason: str) -> None:
        said = _cause(reason)
        if said in self.reasons or len(self.reasons) < _REASONS_KEPT:
            self.reasons[said] += 1

    def _add_labelled(self, label: Label) -> None:
        pair, a_wins = label.pair, label.winner == "a"
        gold = pair.gold in {"a", "b"}
        longer = _longer(pair)
        if longer:
            chosen = (longer > 0) == a_wins
            self.longer.add(chosen)
            if gold:
                self.longer_beside_gold[_cell(chosen, (longer > 0) == (pair.gold == "a"))] += 1
        own = {family(critic) for critic in (label.decided_by or self.critic).split("+")} - {""}
        a_own, b_own = (family(model) in own for model in (pair.model_a, pair.model_b))
        if a_own != b_own:
            self.same_family.add(a_own == a_wins)
            if gold:
                self.same_family_beside_gold[_cell(a_own == a_wins, a_own == (pair.gold == "a"))] += 1

    def _add_gold(self, label: Label) -> None:
        gold = label.pair.gold
        self.right.add(label.winner == gold)
        longer = _longer(label.pair)
        if longer:
            self.gold_longer.add((longer > 0) == (gold == "a"))
        for order, p_a in label.order_p_a.items():
            self.right_by_order[order].add(_side(p_a) == (1 if gold == "a" else -1))
        for order in {v.order for v in label.deciding} - set(label.order_p_a):
            self.right_by_order[order].add(hit=False)
        if label.winner is not None:
            self.confusion[2 * (label.winner == "b") + (gold == "b")] += 1

    def counts(self) -> dict[str, int]:
        """Pairs by what became of them; `read` is the sum of all others."""
        return {
            "read": self.read,
            "labeled": self.labeled,
            **{status.value: self.statuses[status] for status in Status},
        }

    def rates(self) -> dict[str, object]:
        """What the labels say about the critic, each rate with its 95% interval beside it."""
        first = self.first_shown.rate
        return {
            "consistency": self.consistent.rate,
            "consistency_ci": self.consistent.interval,
            "first_shown_rate": None if first is None else round(first, 6),
            "first_shown_rate_ci": self.first_shown.interval(),
            "longer_chosen_rate": self.longer.rate,
            "longer_chosen_rate_ci": self.longer.interval,
            "same_family_rate": self.same_family.rate,
            "same_family_rate_ci": self.same_family.interval,
            "agreement": self._agreement(),
        }

    def _agreement(self) -> Mapping[str, object] | None:
        if not self.right.n:
            return None
        chance_corrected = kappa(self.confusion)
        return {
            "n": self.right.n,
            "accuracy": self.right.rate,
            "accuracy_ci": self.right.interval,
            "accuracy_decided": round((self.confusion[0] + self.confusion[3]) / sum(self.confusion), 6)
            if any(self.confusion)
            else None,
            "accuracy_by_order": {order.value: share.rate for order, share in self.right_by_order.items()},
            "kappa": None if chance_corrected is None else round(chance_corrected, 6),
            "kappa_ci": kappa_interval(self.confusion),
        }

    @property
    def troubled(self) -> int:
        """Pairs that `--max-failed` counts: failed, unparsed, too long or invalid."""
        return sum(self.statuses[status] for status in _TROUBLE)


def _longer(pair: Pair) -> int:
    """By how many characters response_a is the longer; below 0 where response_b is."""
    return len(text_of(pair.response_a)) - len(text_of(pair.response_b))


def _cell(critic: bool, gold: bool) -> int:  # noqa: FBT001 - the two sides of a table
    return 2 * (not critic) + (not gold)


def _side(p_a: PA) -> int:
    return (p_a > 0.5) - (p_a < 0.5)


def _cause(reason: str) -> str:
    """What many reasons have in common: without the number of attempts and the particulars of one request."""
    parts = _ATTEMPTS.sub("", reason).split(": ", 2)
    head = ": ".join(parts[:2]) if parts[0].isdigit() else parts[0]
    return re.sub(r" \(\d+$", "", head)[:120]
