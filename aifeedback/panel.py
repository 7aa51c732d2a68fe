"""What each of several critics says by itself, how far they agree, and what asking a stronger one only in doubt saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aifeedback.alpha import Unit
from aifeedback.families import family, same_model
from aifeedback.measures import ClusteredRate, Interval
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Invalid, Label, Order, Pair, Status, Verdict, Winner
from aifeedback.settings import ReconcileSettings
from aifeedback.summary import Share

_BY_ITSELF = ReconcileSettings()
_UNREAD = (Status.UNPARSED, Status.REFUSED, Status.TOO_LONG, Status.FAILED, Status.UNASKED)


@dataclass(slots=True)
class ByItself:
    """One critic's own figures over the pairs that it was asked about.

    `named`: pairs that say who wrote a response, `own` those of them with one by a model of its family, `itself` with
    one by a model of its very name.
    """

    critic: str
    pairs: int = 0
    verdicts: Counter[Status | None] = field(default_factory=Counter[Status | None])
    consistent: Share = field(default_factory=Share)
    first_shown: ClusteredRate = field(default_factory=ClusteredRate)
    same_family: Share = field(default_factory=Share)
    named: int = 0
    own: int = 0
    itself: int = 0

    def add(self, pair: Pair, verdicts: Sequence[Verdict]) -> Mapping[Order, PA]:
        """Fold its verdicts on one pair in; gives what they come to in each order that can be read."""
        self.pairs += 1
        self.verdicts.update(verdict.status for verdict in verdicts)
        label = reconcile(pair, verdicts, _BY_ITSELF)
        if len(label.order_p_a) == 2:
            ab, ba = ((p > 0.5) - (p < 0.5) for p in label.order_p_a.values())
            self.consistent.add(ab == ba)
        named = [(v.p_a > 0.5) == (v.order is Order.AB) for v in verdicts if v.p_a is not None and v.p_a != 0.5]
        self.first_shown.add(sum(named), len(named))
        self.add_kin(pair, label.winner)
        return label.order_p_a

    def add_kin(self, pair: Pair, winner: Winner | None) -> None:
        """Count whose responses it decided between."""
        kin = family(self.critic)
        models = (pair.model_a, pair.model_b)
        if not kin or not any(models):
            return
        self.named += 1
        a_own, b_own = (family(model) == kin for model in models)
        self.own += a_own or b_own
        self.itself += any(same_model(self.critic, model) for model in models)
        if a_own != b_own and winner is not None:
            self.same_family.add(a_own == (winner == "a"))

    def record(self) -> dict[str, object]:
        """As it stands in the summary."""
        first = self.first_shown.rate
        return {
            "critic": self.critic,
            "pairs": self.pairs,
            "consistency": self.consistent.rate,
            "consistency_ci": self.consistent.interval,
            "first_shown_rate": None if first is None else round(first, 6),
            "first_shown_rate_ci": self.first_shown.interval(),
            "same_family_rate": self.same_family.rate,
            "same_family_rate_ci": self.same_family.interval,
            "verdicts": {
                "read": self.verdicts[None],
                **{status.value: self.verdicts[status] for status in _UNREAD},
            },
        }

    def remark(self) -> str:
        """That it judges its kin, where it does."""
        if not self.own:
            return ""
        itself = f", {self.itself} of them from itself" if self.itself else ""
        found = "No pair that it decided has just one of these, so whether it favours them can't be seen."
        if self.same_family.interval is not None:
            found = (
                f"Of the {self.same_family.n} that it decided between one of these and another, it chose its own in "
                f"{_percent(self.same_family.rate or 0.0, self.same_family.interval)}."
            )
        return (
            f"{self.critic} judges its own family: {self.own} of {self.named} pairs that name models have a response from {family(self.critic)}"
            f"{itself}. {found} Critics tend to favour their kin: docs/critics.md#self-preference."
        )


class Panel:
    """All critics of a run. `names`: those that are asked about every pair, `strong` the one that is asked in doubt.

    Of a sole critic only its kin is looked at, where the input names models: all else stands in the summary as it is.
    """

    def __init__(self, names: Sequence[str], strong: str = "") -> None:
        self.names = list(names)
        self.strong = strong
        self.critics = {name: ByItself(name) for name in [*names, *([strong] if strong else [])]}
        self.decisions: Counter[Unit] = Counter()
        self.asked = 0
        self.again = 0
        self.settled = 0

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self.critics) > 1

    def add(self, label: Label | Invalid) -> None:
        """Fold one pair in."""
        if isinstance(label, Invalid) or not label.verdicts:
            return
        if not self.several:
            if label.status is not Status.UNASKED:
                self.critics[self.names[0]].add_kin(label.pair, label.winner)
            return
        by_critic: dict[str, list[Verdict]] = {}
        for verdict in label.verdicts:
            by_critic.setdefault(verdict.critic, []).append(verdict)
        said = {name: self.critics[name].add(label.pair, verdicts) for name, verdicts in by_critic.items()}
        for order in Order:
            # The strong critic saw a choice of pairs only.
            p_a = [said[name][order] for name in self.names if order in said.get(name, {})]
            self.decisions[sum(p < 0.5 for p in p_a), p_a.count(PA(0.5)), sum(p > 0.5 for p in p_a)] += 1
        if label.status is not Status.UNASKED:
            self.asked += 1
            self.again += bool(label.decided_by)
            self.settled += bool(label.decided_by) and label.status is None

    def remarks(self) -> list[str]:
        """What is worth telling about who judged whom."""
        return [said for critic in self.critics.values() if (said := critic.remark())]

    def escalation(self, questions: int, mean_usd: Mapping[str, float | None]) -> dict[str, object] | None:
        """What asking the strong critic in doubt came to, against asking it alone about every pair.

        `questions`: to one critic about one pair. `mean_usd`: what a reply of each critic cost, None where unknown.
        """
        if not self.strong:
            return None
        return {
            "critic": self.strong,
            "asked": self.again,
            "settled": self.settled,
            "requests": self.again * questions,
            "requests_alone": self.asked * questions,
            "requests_saved": (self.asked - self.again) * questions,
            "saved_usd": self._saved_usd(questions, mean_usd),
        }

    def _saved_usd(self, questions: int, mean_usd: Mapping[str, float | None]) -> float | None:
        strong, first = mean_usd.get(self.strong), [mean_usd.get(name) for name in self.names]
        if strong is None or any(cost is None for cost in first):
            return None
        spared = (self.asked - self.again) * strong - self.asked * sum(cost or 0.0 for cost in first)
        return round(questions * spared, 9)


def _percent(rate: float, interval: Interval) -> str:
    return f"{100 * rate:.1f}% (95% interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f}; half is fair)"
