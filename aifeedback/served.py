"""What answered for a critic: the models behind its name, and whether they changed within a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aifeedback.records import Reply, served_by

_KEPT = 100
_SHOWN = 5
# From so many replies on, a fingerprint for nearly each of them says nothing about what stands behind it.
_ENOUGH = 5


@dataclass(slots=True)
class Served:
    """Models and fingerprints as one critic's replies name them, the first hundred; in constant memory."""

    critic: str
    replies: int = 0
    named: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def add(self, reply: Reply) -> None:
        """Take one reply in, from wherever it came."""
        if len(self.named) >= _KEPT:
            return
        self.replies += 1
        seen = (reply.model, reply.fingerprint)
        if seen not in self.named:
            self.named[seen] = served_by(reply)

    @property
    def names(self) -> list[str]:
        """Each model with its fingerprint."""
        return sorted(self.named.values())

    def remark(self) -> str:
        """What is worth telling: that more than one model, or one in several states, gave these labels."""
        models = {model for model, _ in self.named if model}
        if len(models) > 1:
            return f"{self.critic} was answered for by {_listed(models)}: these labels have several judges. {_ADVICE}"
        marks = {mark for _, mark in self.named if mark}
        if len(marks) < 2:
            return ""
        if self.replies >= _ENOUGH and len(marks) >= 0.8 * self.replies:
            return f"{self.critic}: the fingerprint varies with every reply, so it can't tell whether the model stayed the same."
        return (
            f"{self.critic} answered with the fingerprints {_listed(marks)}: what serves it changed within these replies, "
            f"and verdicts may differ for that alone. {_ADVICE}"
        )


_ADVICE = "To pin it: docs/critics.md#pinning."


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    shown = [*names[:_SHOWN], *more]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
