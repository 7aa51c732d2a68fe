"""Verdicts of all orders, samples and critics on one pair become one label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from aifeedback.records import PA, Label, Order, Pair, Status, Verdict
from aifeedback.settings import ReconcileSettings

IDENTICAL = "identical responses"

_MILLION = 1_000_000
Exact = int | Fraction
"""A probability in millionths, as it is before it is rounded: whole but for means that don't come out even."""

# With several things missing, the one that the next run of the same command can mend comes first.
# A label from some of its samples would be another one after the next run.
_MAY_COME_YET = (Status.UNASKED, Status.FAILED)
_MISSING_FIRST = (Status.UNASKED, Status.FAILED, Status.REFUSED, Status.TOO_LONG, Status.UNPARSED)


def reconcile(pair: Pair, verdicts: Sequence[Verdict], settings: ReconcileSettings) -> Label:
    """The label of `pair`, or why it has none.

    `verdicts`: at least one for each critic and order that was asked. Each order's P(a) is the weighted mean over
    critics of the mean over samples, or with `majority` the weighted share of their votes; the label's is the mean of
    the orders (Lee et al. 2023, arXiv:2309.00267, section 2.1). Opposite decisions of the two orders are a conflict,
    never a tie: they measure position bias.
    """
    groups = _by_order_and_critic(verdicts)
    means = {order: mean for order, critics in groups.items() if (mean := _order_mean(critics, settings)) is not None}
    order_p_a = {order: _rounded(mean) for order, mean in means.items()}
    missing = _missing(groups)
    if missing is not None:
        return Label(
            pair, missing.status or Status.FAILED, missing.why, None, order_p_a, agreed=False, verdicts=tuple(verdicts)
        )
    p_a = _rounded(_mean(list(means.values())))
    decisions = {_side(p) for p in order_p_a.values()}
    agreed = len(order_p_a) == 2 and len(decisions) == 1
    status, reason = _decide(p_a, decisions, settings, split=_split(verdicts))
    return Label(pair, status, reason, p_a, order_p_a, agreed=agreed, verdicts=tuple(verdicts))


def without_asking(pair: Pair, status: Status, reason: str) -> Label:
    """The label of a pair about which nobody was asked."""
    return Label(pair, status, reason, None, {}, agreed=False, verdicts=())


def unsettled(label: Label, settings: ReconcileSettings) -> bool:
    """Whether a stronger critic is worth asking: the verdicts contradict each other, or the preference is too weak.

    A tie is settled where all verdicts are ties and a tie is strong enough. What failed is a failure, no doubt.
    """
    if label.status is Status.TIE and label.verdicts:
        return settings.min_preference > 0.5 or _split(label.verdicts)
    return label.status in {Status.CONFLICT, Status.WEAK}


def _decide(p_a: PA, decisions: set[int], settings: ReconcileSettings, *, split: bool) -> tuple[Status | None, str]:
    conflict = {-1, 1} <= decisions
    if conflict and settings.on_conflict == "tie":
        return Status.TIE, "the two orders disagree; counted as a tie"
    if conflict and (settings.on_conflict != "soft" or p_a == 0.5):
        return Status.CONFLICT, "the two orders disagree"
    if p_a == 0.5:
        return Status.TIE, "the verdicts cancel each other out" if split else "the critic sees no difference"
    preference = max(p_a, round(1.0 - p_a, 6))
    if preference < settings.min_preference:
        return Status.WEAK, f"preference {preference} is below {settings.min_preference}"
    return None, ""


def _split(verdicts: Iterable[Verdict]) -> bool:
    return any(verdict.p_a not in {None, 0.5} for verdict in verdicts)


def _by_order_and_critic(verdicts: Iterable[Verdict]) -> dict[Order, dict[str, list[Verdict]]]:
    groups: dict[Order, dict[str, list[Verdict]]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.order, {}).setdefault(verdict.critic, []).append(verdict)
    return groups


def _missing(groups: Mapping[Order, Mapping[str, Sequence[Verdict]]]) -> Verdict | None:
    """The verdict whose absence keeps the pair from a label, if any."""
    silent = [
        verdict
        for critics in groups.values()
        for asked in critics.values()
        for verdict in asked
        if verdict.status in _MAY_COME_YET or all(each.p_a is None for each in asked)
    ]
    known = [
        verdict if verdict.status in _MISSING_FIRST else replace(verdict, status=Status.FAILED) for verdict in silent
    ]
    return min(known, key=lambda verdict: _MISSING_FIRST.index(verdict.status or Status.FAILED), default=None)


def _order_mean(critics: Mapping[str, Sequence[Verdict]], settings: ReconcileSettings) -> Exact | None:
    """The mean over critics of the mean over each one's readable samples, or its vote; None if one of them has none."""
    means = []
    for asked in critics.values():
        readable = [round(verdict.p_a * _MILLION) for verdict in asked if verdict.p_a is not None]
        if not readable:
            return None
        means.append(_mean(readable))
    if settings.panel == "majority":
        means = [_vote(mean) for mean in means]
    if settings.weights:
        weights = [settings.weights.get(critic, 1) for critic in critics]
        return _share(sum(weight * mean for weight, mean in zip(weights, means, strict=True)), sum(weights))
    return _mean(means)


def _vote(mean: Exact) -> int:
    """One critic's decision: all for a, all for b, or half."""
    return _MILLION // 2 * (1 + (2 * mean > _MILLION) - (2 * mean < _MILLION))


def _mean(values: Sequence[Exact]) -> Exact:
    return _share(sum(values), len(values))


def _share(total: Exact, parts: int) -> Exact:
    if isinstance(total, int) and total % parts == 0:
        return total // parts  # nearly always, and far cheaper than a fraction
    return Fraction(total, parts)


def _rounded(p: Exact) -> PA:
    """To 6 digits, once, and around 0.5, so that exchanging a and b mirrors it exactly."""
    if isinstance(p, int):
        return PA(p / _MILLION)
    distance = abs(p - _MILLION // 2)
    whole = (2 * distance.numerator + distance.denominator) // (2 * distance.denominator)
    return PA((_MILLION // 2 + (whole if p > _MILLION // 2 else -whole)) / _MILLION)


def _side(p_a: PA) -> int:
    return (p_a > 0.5) - (p_a < 0.5)
