"""All figures of a labelled file, folded pair by pair in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aifeedback.calibration import Calibration
from aifeedback.panel import ByItself
from aifeedback.records import Invalid, Label, Order, Status, Verdict
from aifeedback.report.kin import Kin
from aifeedback.report.lengths import Lengths
from aifeedback.report.sureness import Sureness, is_soft
from aifeedback.report.wording import short
from aifeedback.summary import Tally

_NAMES_KEPT = 1_000
_CRITICS_KEPT = 50
_NOT_ASKED = frozenset({Status.UNASKED, Status.INVALID})


@dataclass(slots=True)
class Sources:
    """What the lines say of how they were labelled, each with its number of lines."""

    critics: Counter[str] = field(default_factory=Counter[str])
    templates: Counter[str] = field(default_factory=Counter[str])
    criteria: Counter[str] = field(default_factory=Counter[str])
    served_by: Counter[str] = field(default_factory=Counter[str])
    files: Counter[str] = field(default_factory=Counter[str])

    def add(self, label: Label | Invalid, feedback: Mapping[str, object]) -> None:
        """Fold one line in."""
        for counts, name in (
            (self.critics, feedback.get("critic")),
            (self.templates, feedback.get("template")),
            (self.criteria, feedback.get("criteria")),
            (self.files, label.file if isinstance(label, Invalid) else label.pair.file),
        ):
            _count(counts, name)
        if isinstance(label, Label):
            for verdict in label.verdicts:
                _count(self.served_by, verdict.reply.model if verdict.reply is not None else "")


@dataclass(slots=True)
class Slots:
    """Pairs whose two orders could be read, by what came of exchanging the places."""

    same: int = 0
    first: int = 0
    second: int = 0
    half: int = 0

    def add(self, label: Label) -> None:
        """Fold one pair in."""
        if len(label.order_p_a) < 2:
            return
        ab, ba = (_side(label.order_p_a[order]) for order in (Order.AB, Order.BA))
        if ab == ba:
            self.same += 1
        elif ab and ba:
            self.first += ab > 0
            self.second += ab < 0
        else:
            self.half += 1

    @property
    def pairs(self) -> int:
        """All of them."""
        return self.same + self.first + self.second + self.half


class Account:
    """What the page tells of a file."""

    def __init__(self) -> None:
        self.tally = Tally("")
        self.sources = Sources()
        self.slots = Slots()
        self.lengths = Lengths()
        self.kin = Kin()
        self.sureness = Sureness()
        self._calibration = Calibration()
        self._soft = False
        self.critics: dict[str, ByItself] = {}

    @property
    def calibration(self) -> Calibration | None:
        """P(a) against gold, over all pairs that have both; None where every verdict is hard."""
        return self._calibration if self._soft else None

    def add(self, label: Label | Invalid, feedback: Mapping[str, object]) -> None:
        """Fold one pair in; `feedback` as it stands in its line."""
        critic = str(feedback.get("critic") or "")
        self.tally.critic = critic
        self.tally.add(label)
        self.sources.add(label, feedback)
        if isinstance(label, Invalid):
            return
        self.slots.add(label)
        self.lengths.add(label, flagged=feedback.get("length_flagged") is True)
        self.kin.add(label, critic)
        if label.p_a is not None and label.pair.gold in {"a", "b"} and label.status not in _NOT_ASKED:
            self._calibration.add(label.p_a, gold_is_a=label.pair.gold == "a")
            self._soft = self._soft or is_soft(label)
        if label.status is None:
            self.sureness.add(label)
        by_critic: dict[str, list[Verdict]] = {}
        for verdict in label.verdicts:
            by_critic.setdefault(short(verdict.critic), []).append(verdict)
        for name, verdicts in by_critic.items():
            if name in self.critics or len(self.critics) < _CRITICS_KEPT:
                self.critics.setdefault(name, ByItself(name)).add(label.pair, verdicts)


def _side(p_a: float) -> int:
    return (p_a > 0.5) - (p_a < 0.5)


def _count(counts: Counter[str], name: object) -> None:
    name = short(name) if isinstance(name, str) else ""
    if name and (name in counts or len(counts) < _NAMES_KEPT):
        counts[name] += 1
