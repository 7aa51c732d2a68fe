"""Verdicts of all orders, samples and critics on one pair become one label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aifeedback.records import PA, Label, Order, Pair, Status, Verdict
from aifeedback.settings import ReconcileSettings

IDENTICAL = "identical responses"

# With several things missing, the one that the next run of the same command can mend comes first.
_MISSING_FIRST = (Status.UNASKED, Status.FAILED, Status.REFUSED, Status.TOO_LONG, Status.UNPARSED)


def reconcile(pair: Pair, verdicts: Sequence[Verdict], settings: ReconcileSettings) -> Label:
    """The label of `pair`, or why it has none.

    `verdicts`: at least one for each critic and order that was asked. Each order's P(a) is the mean over critics of
    the mean over samples; the label's is the mean of the orders (Lee et al. 2023, arXiv:2309.00267, section 2.1).
    Opposite decisions of the two orders are a conflict, never a tie: they measure position bias.
    """
    groups = _by_order_and_critic(verdicts)
    order_p_a = {order: _mean(means) for order, critics in groups.items() if (means := _means(critics)) is not None}
    missing = _missing(groups)
    if missing is not None:
        return Label(
            pair, missing.status or Status.FAILED, missing.why, None, order_p_a, agreed=False, verdicts=tuple(verdicts)
        )
    p_a = _mean(order_p_a.values())
    decisions = {_side(p) for p in order_p_a.values()}
    agreed = len(order_p_a) == 2 and len(decisions) == 1
    status, reason = _decide(p_a, decisions, settings)
    return Label(pair, status, reason, p_a, order_p_a, agreed=agreed, verdicts=tuple(verdicts))


def without_asking(pair: Pair, status: Status, reason: str) -> Label:
    """The label of a pair about which nobody was asked."""
    return Label(pair, status, reason, None, {}, agreed=False, verdicts=())


def _decide(p_a: PA, decisions: set[int], settings: ReconcileSettings) -> tuple[Status | None, str]:
    conflict = {-1, 1} <= decisions
    if conflict and settings.on_conflict == "tie":
        return Status.TIE, "the two orders disagree; counted as a tie"
    if conflict and (settings.on_conflict == "drop" or p_a == 0.5):
        return Status.CONFLICT, "the two orders disagree"
    if p_a == 0.5:
        return Status.TIE, "the critic sees no difference"
    preference = max(p_a, round(1.0 - p_a, 6))
    if preference < settings.min_preference:
        return Status.WEAK, f"preference {preference} is below {settings.min_preference}"
    return None, ""


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
        if all(each.p_a is None for each in asked)
        for verdict in asked
    ]
    return min(silent, key=lambda verdict: _MISSING_FIRST.index(verdict.status or Status.FAILED), default=None)


def _means(critics: Mapping[str, Sequence[Verdict]]) -> list[PA] | None:
    """Each critic's mean over its readable samples; None if one of them has none."""
    means = []
    for asked in critics.values():
        readable = [verdict.p_a for verdict in asked if verdict.p_a is not None]
        if not readable:
            return None
        means.append(_mean(readable))
    return means


def _mean(values: Iterable[PA]) -> PA:
    """Mean to 6 digits, in whole millionths around 0.5, so that exchanging a and b mirrors it exactly."""
    distances = [round(value * 1_000_000) - 500_000 for value in values]
    total = sum(distances)
    rounded = (2 * abs(total) + len(distances)) // (2 * len(distances))
    return PA((500_000 + (rounded if total > 0 else -rounded)) / 1_000_000)


def _side(p_a: PA) -> int:
    return (p_a > 0.5) - (p_a < 0.5)
