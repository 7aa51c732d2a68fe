"""How many human labels it takes for an interval of a wished width, and which width those at hand give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

from aifeedback.errors import SettingsError

_Z = NormalDist().inv_cdf(0.975)
_MOST = 10**9
RATES = (0.6, 0.7, 0.8, 0.9, 0.95)


def accuracy_width(n: float, rate: float) -> float:
    """How wide Wilson's interval is for `rate` of `n` pairs."""
    z2 = _Z * _Z
    return 2 * _Z * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)


def kappa_width(n: float, rate: float) -> float:
    """How wide that of kappa is for two even classes, of which `rate` are right in each.

    There kappa is 2 rate - 1, and its standard error for large n (Fleiss, Cohen & Everitt 1969) twice that of the rate.
    """
    return 4 * _Z * math.sqrt(rate * (1 - rate) / n)


def difference_width(n: float, rate: float, together: float) -> float:
    """How wide that of the difference of two critics is, both right in `rate` of the pairs (Bonett & Price 2012).

    `together`: the correlation of being right; 0 where they err independently, 1 where always on the same pairs.
    """
    apart = 2 * rate * (1 - rate) * (1 - together)
    return 2 * _Z * math.sqrt((apart * n + 2) / (n + 2) / (n + 2))


def needed(width: float, of: Callable[[float], float]) -> int:
    """The smallest number of pairs whose interval is no wider than `width`. Raises SettingsError for no such width."""
    if not 0 < width < 1:
        raise SettingsError(
            f"--plan {width:g} is no width between 0 and 1. Write for instance 0.1: five points up and down."
        )
    low, high = 1, 1
    while of(high) > width:
        low, high = high, high * 2
        if high > _MOST:
            raise SettingsError(f"--plan {width:g} takes more than a billion labels. Name a larger width.")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if of(middle) <= width else (middle + 1, high)
    return high


@dataclass(frozen=True, slots=True)
class Need:
    """Labels that it takes at an accuracy of `rate`: for the accuracy, kappa, and two critics' difference."""

    rate: float
    accuracy: int
    kappa: int
    difference: int
    difference_alike: int


ALIKE = 0.5
"""Two critics that often err on the same pairs: the correlation of being right for which `difference_alike` is."""


def plan(width: float, expect: float = 0.8) -> list[Need]:
    """For `expect` and some other accuracies, in rising order. Raises SettingsError."""
    if not 0 < expect < 1:
        raise SettingsError(f"--expect {expect:g} is no accuracy between 0 and 1. Write for instance 0.8.")
    return [
        Need(
            rate,
            needed(width, partial(accuracy_width, rate=rate)),
            needed(width, partial(kappa_width, rate=rate)),
            needed(width, partial(difference_width, rate=rate, together=0.0)),
            needed(width, partial(difference_width, rate=rate, together=ALIKE)),
        )
        for rate in sorted({*RATES, expect})
    ]


def plan_text(width: float, expect: float, gold: int | None = None) -> str:
    """The table that `--plan` prints. `gold`: pairs at hand whose gold names a side, None where no input is named."""
    lines = [
        f"Human labels (pairs whose gold names a or b) for 95% intervals no wider than {100 * width:g} points:",
        "",
        f"{'accuracy':>10}{'for it':>10}{'for kappa':>12}{'for a difference between two critics that err':>50}",
        f"{'':>32}{'independently':>32}{'mostly alike':>18}",
    ]
    for need in plan(width, expect):
        mark = "  <- expected" if need.rate == expect else ""
        lines.append(
            f"{need.rate:>10g}{need.accuracy:>10}{need.kappa:>12}{need.difference:>32}{need.difference_alike:>18}{mark}"
        )
    if gold is not None:
        lines.append("")
        if not gold:
            lines.append("The input has no pair whose gold names a side.")
        else:
            widths = (
                accuracy_width(gold, expect),
                kappa_width(gold, expect),
                difference_width(gold, expect, 0.0),
                difference_width(gold, expect, ALIKE),
            )
            accuracy, kappa, apart, alike = (f"{100 * each:.1f}" for each in widths)
            lines.append(
                f"The {gold} of the input, at an accuracy of {expect:g}, give {accuracy} points for accuracy, {kappa} for kappa, "
                f"{apart} for a difference between critics that err independently, {alike} mostly alike."
            )
    return "\n".join(lines)
