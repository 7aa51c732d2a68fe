"""What a critic must beat: rules that judge without understanding, in both orders, as labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aifeedback.critics.builtin import judge
from aifeedback.reconcile import IDENTICAL, reconcile, without_asking
from aifeedback.records import (
    PA,
    Label,
    Order,
    Pair,
    PFirst,
    Question,
    Status,
    Verdict,
    VerdictFormat,
    as_p_a,
    text_of,
)
from aifeedback.rows import identical
from aifeedback.settings import ReconcileSettings

BUILTIN, LONGER, FIRST, RANDOM = "builtin", "longer", "first", "random"
NAMES = (BUILTIN, LONGER, FIRST, RANDOM)

_PLAIN = ReconcileSettings()
_P_FIRST = {"first": PFirst(1.0), "tie": PFirst(0.5), "second": PFirst(0.0)}


def baseline_labels(pair: Pair, form: VerdictFormat, *, seed: int = 0) -> Mapping[str, Label]:
    """What each baseline makes of a pair. `form` says whether the built-in critic may call a tie."""
    if identical(pair):
        return dict.fromkeys(NAMES, without_asking(pair, Status.TIE, IDENTICAL))
    longer, coin = _longer(pair), _coin(pair, seed)
    return {
        BUILTIN: _label(pair, BUILTIN, {order: _builtin(pair, form, order) for order in Order}),
        LONGER: _label(pair, LONGER, dict.fromkeys(Order, longer)),
        FIRST: _label(pair, FIRST, {order: as_p_a(PFirst(1.0), order) for order in Order}),
        RANDOM: _label(pair, RANDOM, dict.fromkeys(Order, coin)),
    }


def _label(pair: Pair, name: str, said: Mapping[Order, PA]) -> Label:
    return reconcile(pair, [Verdict(name, order, 0, p_a, method="rule") for order, p_a in said.items()], _PLAIN)


def _builtin(pair: Pair, form: VerdictFormat, order: Order) -> PA:
    place, _ = judge(Question((), form, pair, order))
    return as_p_a(_P_FIRST[place], order)


def _longer(pair: Pair) -> PA:
    """The one with more characters; neither where both have as many."""
    ahead = len(text_of(pair.response_a)) - len(text_of(pair.response_b))
    return PA(0.5 if not ahead else 1.0 if ahead > 0 else 0.0)


def _coin(pair: Pair, seed: int) -> PA:
    """A coin by the seed and the content, that falls on the same response whichever of them is called a."""
    texts = [text_of(content).encode("utf-8", "surrogatepass") for content in (pair.response_a, pair.response_b)]
    low, high = sorted(texts)
    prompt = text_of(pair.prompt).encode("utf-8", "surrogatepass")
    head = f"{seed} {len(prompt)} {len(low)} ".encode()
    wins = (low, high)[hashlib.sha256(head + prompt + low + high).digest()[0] & 1]
    return PA(1.0 if wins == texts[0] else 0.0)
