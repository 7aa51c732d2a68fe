"""What is worth a look about a pair: how contested it is, and which biases may have decided it."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.families import family
from aifeedback.records import Invalid, Label, Order, Status, text_of

# Code and name. The order is that of the filters, and of which one a pair is sampled by.
KINDS: Mapping[str, str] = {
    "against": "Against people",
    "first": "First shown won both ways",
    "second": "Second shown won both ways",
    "own": "Own family won",
    "flagged": "Winner by length alone",
    "split": "Critics split",
    "half": "Tie in one order",
    "close": "Close call",
    "shorter": "Shorter won",
    "longer": "Longer won",
}
_CLOSE = 0.65
_SAID_BY_SHORT = frozenset({"shorter", "longer"})


def kinds_of(label: Label, critic: str, *, flagged: bool = False) -> tuple[str, ...]:
    """Codes of KINDS, in their order. `critic`: as the line names it; `flagged`: by `--length-control`."""
    found = {
        "against": label.winner is not None and label.pair.gold in {"a", "b"} and label.winner != label.pair.gold,
        "own": own_side(label, critic) == label.winner is not None,
        "flagged": flagged,
        "split": _split(label),
        "close": label.p_a is not None
        and label.preference < _CLOSE
        and label.status in {None, Status.WEAK, Status.TIE},
    }
    found |= dict.fromkeys(_by_place(label), True)
    difference = len(text_of(label.pair.response_a)) - len(text_of(label.pair.response_b))
    if label.winner is not None and difference:
        found["longer" if (difference > 0) == (label.winner == "a") else "shorter"] = True
    return tuple(kind for kind in KINDS if found.get(kind))


def own_side(label: Label, critic: str) -> str | None:
    """Which response, of exactly one, is by a model of the critic's family; None for neither or both."""
    own = {family(name) for name in (label.decided_by or critic).split("+")} - {""}
    a_own, b_own = (family(model) in own for model in (label.pair.model_a, label.pair.model_b))
    return None if a_own == b_own else "a" if a_own else "b"


def contest(label: Label | Invalid) -> float:
    """How contested: how far the orders lie apart plus how near their mean is to a tie, 0 to 2; −1 where nobody said.

    A flat contradiction of the two orders is 2, a tie in both 1, a sure label 0.
    """
    if isinstance(label, Invalid) or not label.order_p_a:
        return -1.0
    values = list(label.order_p_a.values())
    mean = sum(values) / len(values)
    return round(max(values) - min(values) + 1 - 2 * abs(mean - 0.5), 4)


def stratum(label: Label | Invalid, kinds: tuple[str, ...]) -> tuple[bool, str]:
    """Which kind of pair this is sampled as, and whether that kind is trouble, which is kept first."""
    if label.status is not None:
        return True, label.status.value
    if kinds and kinds[0] not in _SAID_BY_SHORT:
        return True, kinds[0]
    return False, kinds[0] if kinds else "label"


def _by_place(label: Label) -> tuple[str, ...]:
    if len(label.order_p_a) < 2:
        return ()
    shown_first = label.order_p_a[Order.AB] - 0.5, 0.5 - label.order_p_a[Order.BA]
    if all(lead > 0 for lead in shown_first):
        return ("first",)
    if all(lead < 0 for lead in shown_first):
        return ("second",)
    return ("half",) if any(shown_first) and not all(shown_first) else ()


def _split(label: Label) -> bool:
    """Whether critics that were asked came to opposite winners."""
    said: dict[str, list[float]] = {}
    for verdict in label.verdicts:
        if verdict.p_a is not None:
            said.setdefault(verdict.critic, []).append(verdict.p_a)
    sides = {(mean > 0.5) - (mean < 0.5) for values in said.values() for mean in [sum(values) / len(values)]}
    return {1, -1} <= sides
