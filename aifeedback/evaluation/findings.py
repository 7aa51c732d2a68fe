"""What the figures mean, in plain English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aifeedback.evaluation.baselines import BUILTIN, LONGER
from aifeedback.evaluation.comparing import Comparison

Record = Mapping[str, Any]
_SURE = 0.05
_FEW = 100
_VAGUE = 0.1
"""An interval wider than this doesn't show that two shares are alike."""


def findings(critics: Sequence[Record], between: Sequence[Comparison], against: Sequence[Comparison]) -> list[str]:
    """A sentence or two on each critic, and on each two."""
    found: list[str] = []
    for critic in critics:
        found += _of_critic(critic, [each for each in against if each.first == critic["critic"]])
    return found + [_between(each) for each in between]


def best(comparisons: Sequence[Comparison]) -> Comparison | None:
    """The comparison with the baseline that agrees most with gold, of those that accuracy is fair to."""
    fair = [each for each in comparisons if each.second in {BUILTIN, LONGER}]
    return max(fair, key=lambda each: each.accuracy_second, default=None)


def _of_critic(critic: Record, against: Sequence[Comparison]) -> list[str]:
    name, found = critic["critic"], []
    strongest = best(against)
    if strongest is not None and strongest.second != name:
        found.append(f"{name} {_beside_baseline(strongest)}")
    if critic["votes_agreement_minus_humans_ci"] is not None:
        found.append(f"{name} {_beside_people(critic)}")
    found += [f"{name}: {bias['text']}" for bias in critic["biases"]]
    judged = critic["n_gold"] - critic["n_gold_tie"]
    if 0 < judged < _FEW:
        found.append(f"{name} was judged on {judged} pairs: the intervals are wide. --plan says how many it takes.")
    return found


def _beside_baseline(against: Comparison) -> str:
    rates = f"{_percent(against.accuracy_first)} against {_percent(against.accuracy_second)}, {_chance(against.p_holm)}"
    if against.p_holm < _SURE and against.difference > 0:
        return f"is better than the baseline `{against.second}`: {rates}."
    if against.p_holm < _SURE and against.difference < 0:
        return f"is worse than the baseline `{against.second}`: {rates}."
    return f"is not shown to be better than the baseline `{against.second}`: {rates}."


def _beside_people(critic: Record) -> str:
    own, gap, (low, high) = (
        critic["votes_agreement"],
        critic["votes_agreement_minus_humans"],
        critic["votes_agreement_minus_humans_ci"],
    )
    rates = f"with {_percent(own)} of the single votes, {100 * abs(gap):.1f} points"
    if high < 0:
        return f"agrees less with people than people with each other: {rates} less ({_points(low, high)})."
    if low > 0:
        return f"agrees more with people than people with each other: {rates} more ({_points(low, high)})."
    if high - low > _VAGUE:
        rates = f"the pairs are too few to tell, {rates}"
        return f"may be as close to people as people are to each other: {rates} {'less' if gap < 0 else 'more'} ({_points(low, high)})."
    return f"is as close to people as people are to each other: {rates} {'less' if gap < 0 else 'more'} ({_points(low, high)})."


def _between(pair: Comparison) -> str:
    better, worse = (pair.first, pair.second) if pair.difference >= 0 else (pair.second, pair.first)
    low, high = pair.interval if pair.difference >= 0 else (-pair.interval[1], -pair.interval[0])
    points = f"{100 * abs(pair.difference):.1f} points ({_points(low, high)}), {_chance(pair.p_holm)}"
    if pair.p_holm < _SURE:
        return f"{better} agrees more with gold than {worse}: {points}."
    return f"{better} and {worse} can't be told apart on {pair.n} pairs: {points}."


def _chance(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _points(low: float, high: float) -> str:
    return f"95% interval {100 * low:+.1f} to {100 * high:+.1f}"
