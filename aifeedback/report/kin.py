"""Who beat whom before which critic: self-preference by pair of models, and each model's wins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aifeedback.families import family
from aifeedback.records import Label
from aifeedback.report.wording import short
from aifeedback.summary import Share

_KEPT = 5_000


class Match(NamedTuple):
    """Labelled pairs of two models before one judge; `own`: the first, and it alone, is of the judge's family."""

    judge: str
    first: str
    second: str
    own: bool
    wins: Share


@dataclass(slots=True)
class Kin:
    """Wins by judge and pair of models, and by model. `left_out`: pairs beyond what is kept apart."""

    pairs: dict[tuple[str, str, str], Share] = field(default_factory=dict[tuple[str, str, str], Share])
    models: dict[str, Share] = field(default_factory=dict[str, Share])
    left_out: int = 0

    def add(self, label: Label, critic: str) -> None:
        """Fold one pair in. `critic`: as the line names it."""
        a, b = short(label.pair.model_a), short(label.pair.model_b)
        if label.winner is None or not a or not b or a == b:
            return
        judge = short(judge_of(label.decided_by or critic))
        first, second = sorted((a, b), key=lambda model: (not _is_own(model, judge), model))
        key = (judge, first, second)
        if key not in self.pairs and len(self.pairs) >= _KEPT:
            self.left_out += 1
            return
        won = (label.winner == "a") == (first == a)
        self.pairs.setdefault(key, Share()).add(won)
        for model, hit in ((first, won), (second, not won)):
            self.models.setdefault(model, Share()).add(hit)

    def matches(self) -> Iterator[Match]:
        """All pairs of models: those with one of the judge's own first, then the most frequent."""
        found = [
            Match(judge, first, second, _is_own(first, judge) and not _is_own(second, judge), wins)
            for (judge, first, second), wins in self.pairs.items()
        ]
        yield from sorted(found, key=lambda match: (not match.own, -match.wins.n, match[:3]))


def judge_of(critic: str) -> str:
    """The families of one or more critics joined by `+`; the names of those whose family is not known."""
    return "+".join(sorted({family(name) or name for name in critic.split("+")}))


def _is_own(model: str, judge: str) -> bool:
    return family(model) in set(judge.split("+")) - {""}
