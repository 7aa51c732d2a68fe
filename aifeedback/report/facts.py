"""What a report is about: the figures of a labelled file, and what the run's summary adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aifeedback.biases import Bias, find_biases
from aifeedback.report.account import Account


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told about. `summary`: of the run, None where there is none; `rest`: whether the rest was read too."""

    name: str
    account: Account
    summary: Mapping[str, object] | None = None
    rest: bool = True

    @property
    def counts(self) -> Mapping[str, int]:
        """Pairs by what became of them: as counted, or, without the rest, as the run's summary says."""
        counted = self.account.tally.counts()
        if self.rest or self.summary is None:
            return counted
        return {name: whole(self.summary.get(name)) for name in counted}

    @property
    def complete(self) -> bool:
        """Whether it is known what became of all pairs."""
        return self.rest or self.summary is not None

    @property
    def biases(self) -> Sequence[Bias]:
        """Those that are more than chance."""
        return find_biases(self.account.tally)

    def is_biased(self, name: str) -> bool:
        """Whether the bias of that name was found."""
        return any(bias.name == name for bias in self.biases)

    @property
    def length_controlled(self) -> bool:
        """Whether --length-control had a look at the labels."""
        return self.account.lengths.flagged > 0 or bool((self.summary or {}).get("length_control"))

    @property
    def critics(self) -> list[str]:
        """Who labelled, the busiest first."""
        asked = [name for name in self.account.critics if name]
        return asked or [name for name, _ in self.account.sources.critics.most_common()]


def mapping(value: object) -> Mapping[str, object]:
    """A part of a summary; empty where it is none."""
    return value if isinstance(value, Mapping) else {}


def whole(value: object) -> int:
    """A count of a summary; 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
