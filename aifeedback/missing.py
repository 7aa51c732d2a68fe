"""What a replay did not find in the store: how many questions' replies, and the first of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from aifeedback.errors import MissingReplies
from aifeedback.records import Invalid, Label

_SHOWN = 3


@dataclass(slots=True)
class Missing:
    """Folded from labels in any order, in constant memory. In a replay, a verdict without a reply is a missing one."""

    questions: int = 0
    missing: int = 0
    first: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])

    def add(self, position: int, label: Label | Invalid) -> None:
        """Take in the outcome of the input position `position`."""
        if isinstance(label, Invalid):
            return
        self.questions += len(label.verdicts)
        pair = label.pair
        for number, verdict in enumerate(label.verdicts):
            if verdict.reply is not None:
                continue
            self.missing += 1
            if len(self.first) < _SHOWN or position < self.first[-1][0]:
                where = f"{pair.file}, line {pair.line}" if pair.file else f"line {position + 1}"
                asked = f"order {verdict.order}, {verdict.critic}, sample {verdict.sample}"
                self.first = sorted([*self.first, (position, number, f"{where}, {pair.id}, {asked}")])[:_SHOWN]

    def check(self, store: object) -> None:
        """Raise MissingReplies where any is; `store` is where they were looked for."""
        if not self.missing:
            return
        named = "; ".join(text for *_, text in self.first)
        more = f"; and {self.missing - len(self.first)} more" if self.missing > len(self.first) else ""
        raise MissingReplies(
            f"{self.missing} of {self.questions} questions have no reply in {store}: {named}{more}. Nothing was written. "
            "aifeedback store explain with the same flags says why; the same command without --replay asks for them."
        )
