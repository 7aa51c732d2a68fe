"""What is wrong with a critic's labels beyond chance: it goes by place, by length or by who wrote a response.

A bias is reported where the rate lies five points or more off its fair value and a 99.9% interval excludes that value.
The fair value is 0.5 or, for length and family, gold's own share where there is gold. A critic that errs at random,
without any bias, lies between the two; so a rate counts only beyond both. What it is measured by: docs/biases.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aifeedback.measures import ClusteredRate, Interval, paired_difference
from aifeedback.summary import Share, Tally

STRICT = 0.999
LEAST_EFFECT = 0.05
ENOUGH_GOLD = 30
"""Pairs with gold from which on gold's share is the fair value."""

_EVEN = 0.5
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Bias:
    """A bias that was found: `rate` with its 95% `interval` over `n` pairs, and the `fair` value that it should have.

    `apart`: 99.9% interval of `rate` - `fair`, which takes in what is not known of `fair`. `text`: one sentence for people.
    """

    name: str
    rate: float
    interval: Interval
    fair: float
    apart: Interval
    n: int
    text: str

    def record(self) -> dict[str, object]:
        """The bias as it stands in the summary."""
        return {
            "name": self.name,
            "rate": self.rate,
            "interval": self.interval,
            "fair": self.fair,
            "n": self.n,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class _Words:
    """One sort of bias in words: what is named too often, above the fair value and below it, and what to do."""

    name: str
    of: str
    above: str
    below: str
    advice_above: str
    advice_below: str


_OTHER = "try another critic or template"
_POSITION = _Words(
    "position", "decided verdicts", "the response shown first", "the response shown second",
    f"Keep --orders both, which gives no label where it contradicts itself, or {_OTHER}.",
    f"Keep --orders both, which gives no label where it contradicts itself, or {_OTHER}.",
)  # fmt: skip
_LENGTH = _Words(
    "length", "labels", "the longer response", "the shorter response",
    "Say in the criteria that length is no merit, or try another critic.",
    "Say in the criteria that brevity is no merit, or try another critic.",
)  # fmt: skip
_FAMILY = _Words(
    "own_family", "labels", "the response of its own family", "the response of another family",
    "Take a critic of another family than the responses, or a panel of several families.",
    "Take a critic of another family than the responses, or a panel of several families.",
)  # fmt: skip


def find_biases(tally: Tally) -> list[Bias]:
    """The biases that the labels show; empty for a critic without any, and where there are too few pairs to tell."""
    found = (
        _position(tally.first_shown.without(tally.first_shown_alone)),
        _choice(_LENGTH, tally.longer, tally.longer_beside_gold),
        _choice(_FAMILY, tally.same_family, tally.same_family_beside_gold),
    )
    return [bias for bias in found if bias is not None]


def _position(shown: ClusteredRate) -> Bias | None:
    """Over pairs with a verdict in both orders: with one order alone, which place won and which response can't be told apart."""
    rate, interval, strict = shown.rate, shown.interval(), shown.interval(STRICT)
    if rate is None or interval is None or strict is None:
        return None
    return _bias(_POSITION, round(rate, _DIGITS), interval, [_apart_from_even(strict)], shown.clusters)


def _choice(words: _Words, chosen: Share, beside_gold: Sequence[int]) -> Bias | None:
    """A bias in what is chosen: among the pairs with gold where there are enough of them, else among all."""
    n = sum(beside_gold)
    if n >= ENOUGH_GOLD:
        both, critic, gold, neither = beside_gold
        chosen = Share(both + critic, n)
    rate, interval, strict = chosen.rate, chosen.interval, chosen.interval_at(STRICT)
    if rate is None or interval is None or strict is None:
        return None
    against = [_apart_from_even(strict)]
    if n >= ENOUGH_GOLD:
        apart = paired_difference(both, critic, gold, neither, STRICT)
        assert apart is not None, "there are pairs"
        against.append((round((both + gold) / n, _DIGITS), apart))
    return _bias(words, rate, interval, against, chosen.n)


def _apart_from_even(strict: Interval) -> tuple[float, Interval]:
    return _EVEN, (round(strict[0] - _EVEN, _DIGITS), round(strict[1] - _EVEN, _DIGITS))


def _bias(
    words: _Words, rate: float, interval: Interval, against: Sequence[tuple[float, Interval]], n: int
) -> Bias | None:
    """The bias, if `rate` lies clearly to one side of each fair value; it is told by the nearest one."""
    above = all(rate - fair >= LEAST_EFFECT - 1e-9 and apart[0] > 0 for fair, apart in against)
    below = all(fair - rate >= LEAST_EFFECT - 1e-9 and apart[1] < 0 for fair, apart in against)
    if not above and not below:
        return None
    fair, apart = min(against, key=lambda one: abs(rate - one[0]))
    text = _text(words, rate, interval, fair, n, above=above, gold=len(against) > 1)
    return Bias(words.name, rate, interval, fair, apart, n, text)


def _text(words: _Words, rate: float, interval: Interval, fair: float, n: int, *, above: bool, gold: bool) -> str:
    low, high = interval
    if not above:
        rate, fair, low, high = 1 - rate, 1 - fair, 1 - high, 1 - low
    measure = f"gold's own share is {100 * fair:.1f}%" if gold and fair != _EVEN else "50% is fair"
    doubt = "" if gold or words is _POSITION else " More pairs with gold would tell whether people choose alike."
    return (
        f"{words.name.replace('_', ' ')} bias: {100 * rate:.1f}% of the {words.of} are for "
        f"{words.above if above else words.below}, where {measure} (95% interval {100 * low:.1f}% to {100 * high:.1f}%, "
        f"{n} pairs{' with gold' if gold else ''}). {words.advice_above if above else words.advice_below}{doubt}"
    )
