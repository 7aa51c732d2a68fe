"""Gates: what a run's figures have to reach before its labels count as good enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from aifeedback.errors import SettingsError
from aifeedback.measures import Interval, kappa, kappa_interval
from aifeedback.summary import Share, Tally

GateOn = Literal["estimate", "lower"]
"""What is held against a limit: the figure itself, or the bad end of its 95% interval."""

# Figures are rounded to as many digits before anything is decided; a limit is, too, or 2/3 would miss one of 2/3.
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """A number from the summary: its estimate and 95% interval, None where it does not exist, over `n` pairs."""

    estimate: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """One sort of gate: `measure` is the figure's name in the summary, `needs` what it is a figure of."""

    name: str
    measure: str
    bound: Literal["least", "most"]
    needs: str
    advice: str

    @property
    def at_most(self) -> bool:
        """Whether the figure may not be above the limit; else it may not be below."""
        return self.bound == "most"


_BETTER = "Try another critic, a stronger template or clearer criteria."
_KINDS: Mapping[str, _Kind] = {
    "min_consistency": _Kind(
        "min-consistency", "consistency", "least", "pairs with a readable verdict in both orders (--orders both)",
        f"The critic's choice changes with the order. {_BETTER}",
    ),
    "min_accuracy": _Kind(
        "min-accuracy", "agreement.accuracy", "least", 'pairs whose "gold" or "votes" name a or b',
        f"A tie, a conflict or a failure counts as wrong. {_BETTER}",
    ),
    "min_kappa": _Kind(
        "min-kappa", "agreement.kappa", "least", 'labelled pairs with "gold" or "votes", not all of them for one side', _BETTER
    ),
    "max_longer_rate": _Kind(
        "max-longer-rate", "longer_chosen_rate", "most", "labelled pairs whose responses differ in length",
        "Say in the criteria that length is no merit, or try another critic.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate and what came to it: `figure` was held against `limit`, by its estimate or by the bad end of its interval."""

    kind: _Kind
    figure: Figure
    limit: float
    on: GateOn

    @property
    def held(self) -> float | None:
        """The number that is held against the limit; None where it does not exist."""
        if self.on == "estimate":
            return self.figure.estimate
        return None if self.figure.interval is None else self.figure.interval[1 if self.kind.at_most else 0]

    @property
    def passed(self) -> bool:
        """Exactly at the limit passes; a figure that does not exist never does."""
        held, limit = self.held, round(self.limit, _DIGITS)
        return held is not None and (held <= limit if self.kind.at_most else held >= limit)

    def record(self) -> dict[str, object]:
        """The gate as it stands in the summary."""
        return {
            "name": self.kind.name,
            "figure": self.held,
            "limit": self.limit,
            "on": self.on,
            "passed": self.passed,
        }

    @property
    def missed(self) -> str:
        """One line for who has to do something about it."""
        kind, figure = self.kind, self.figure
        flag = f"--{kind.name} {self.limit:g}"
        if figure.estimate is None:
            return f"gate missed: there is no {kind.measure} to hold against {flag} (n = {figure.n}). It takes {kind.needs}."
        interval = (
            "no 95% interval" if figure.interval is None else "95% interval {:g} to {:g}".format(*figure.interval)
        )
        end = "" if self.on == "estimate" else f" by the {'upper' if kind.at_most else 'lower'} end"
        text = (
            f"gate missed: {kind.measure} is {figure.estimate:g} ({interval}, n = {figure.n}), "
            f"{'above' if kind.at_most else 'below'} {flag}{end}. "
        )
        by_luck = replace(self, on="estimate").passed
        return f"{text}More pairs would make the interval narrower." if by_luck else text + kind.advice


@dataclass(frozen=True, slots=True)
class Gates:
    """The limits a run was given, from 0 to 1; None is no gate. Raises SettingsError for others."""

    min_consistency: float | None = None
    min_accuracy: float | None = None
    min_kappa: float | None = None
    max_longer_rate: float | None = None
    on: GateOn = "estimate"

    def __post_init__(self) -> None:
        for field, limit in self._limits.items():
            if not 0 <= limit <= 1:
                raise SettingsError(
                    f"--{_KINDS[field].name} {limit:g} is not between 0 and 1. Write for instance 0.8 or 80%."
                )

    @property
    def _limits(self) -> dict[str, float]:
        given = {field: getattr(self, field) for field in _KINDS}
        return {field: limit for field, limit in given.items() if limit is not None}

    def __bool__(self) -> bool:
        """Whether there is any gate."""
        return bool(self._limits)

    def judge(self, tally: Tally) -> list[GateResult]:
        """What comes to each gate."""
        if not self:
            return []
        figures = _figures(tally)
        return [GateResult(_KINDS[field], figures[field], limit, self.on) for field, limit in self._limits.items()]

    def __str__(self) -> str:
        """The gates in words, for who reads a plan."""
        gates = [f"{_KINDS[field].measure} at {_KINDS[field].bound} {limit:g}" for field, limit in self._limits.items()]
        by = "the estimate" if self.on == "estimate" else "the bad end of the 95% interval"
        return f"{', '.join(gates)}, by {by}" if gates else "none"


def limit_of(name: str, text: str | None) -> float | None:
    """A limit as a flag has it: a number from 0 to 1 or a percentage; None where the flag is absent.

    Raises SettingsError for anything else, an empty text included: an unset variable must not open a gate.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text, re.ASCII)
    limit = Decimal(match[1]) / (100 if match[2] else 1) if match else Decimal(-1)
    if not 0 <= limit <= 1:
        raise SettingsError(
            f"--{name} {text!r} is neither a number from 0 to 1 nor a percentage. Write for instance 0.8 or 80%."
        )
    return float(limit)


def _figures(tally: Tally) -> dict[str, Figure]:
    chance_corrected = kappa(tally.confusion)
    return {
        "min_consistency": _share(tally.consistent),
        "min_accuracy": _share(tally.right),
        "min_kappa": Figure(
            None if chance_corrected is None else round(chance_corrected, _DIGITS),
            kappa_interval(tally.confusion),
            sum(tally.confusion),
        ),
        "max_longer_rate": _share(tally.longer),
    }


def _share(share: Share) -> Figure:
    return Figure(share.rate, share.interval, share.n)
