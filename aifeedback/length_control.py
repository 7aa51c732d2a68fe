"""How far length alone decided: a logistic fit of the critic's preference on length, and the pairs that it would turn.

Inspired by length-controlled AlpacaEval (Dubois et al. 2024, arXiv:2404.04475), whose model has a term in the tanh of
the standardised length difference; the model of single pairs and what is done with them are ours: docs/length.md.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from hashlib import blake2b

from aifeedback.keys import pair_hash
from aifeedback.records import Label, text_of
from aifeedback.settings import LengthControl

CLIP = 0.02
"""Preferences are taken to lie between this and 1 minus this: the logit of a hard verdict would be infinite."""
_RATIOS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0)
_FEW = 100
_DIGITS = 6
_CLOSE = 1e-10


class Fate(Enum):
    """What becomes of a labelled pair."""

    KEPT = 0
    FLAGGED = 1
    DROPPED = 2


def fit(preferences: Sequence[float], lengths: Sequence[float]) -> float:
    """The beta that makes logit P(longer is better) = beta * `lengths` most likely; 0 where all lengths are 0.

    `preferences`: P(longer is better) of each pair, a share as well as a decision (a fractional response, Papke &
    Wooldridge 1996); `lengths` are at least 0. Rounded to 6 digits before anything is decided.
    """
    if not any(lengths):
        return 0.0
    clipped = array("d", map(_clipped, preferences))

    def score(beta: float) -> tuple[float, float]:
        """The derivative of the log likelihood, which falls all the way, and its own derivative."""
        said = array("d", (_logistic(beta * length) for length in lengths))
        return (
            math.fsum(length * (p - q) for length, p, q in zip(lengths, clipped, said, strict=True)),
            -math.fsum(length * length * q * (1 - q) for length, q in zip(lengths, said, strict=True)),
        )

    low, high = -1.0, 1.0
    while score(low)[0] < 0:
        low *= 2
    while score(high)[0] > 0:
        high *= 2
    beta = 0.0
    # Close in proportion: beyond a million, neighbouring floats lie further apart than _CLOSE.
    while high - low > _CLOSE * max(1.0, abs(beta)):
        slope, bend = score(beta)
        low, high = (beta, high) if slope > 0 else (low, beta)
        # Newton's step, or half of what is left where it leaves that.
        step = beta - slope / bend if bend else math.inf
        before, beta = beta, step if low <= step <= high else (low + high) / 2
        if abs(beta - before) <= _CLOSE * max(1.0, abs(beta)):
            break
    return round(beta, _DIGITS) + 0.0


def turns(preference: float, beta: float, length: float) -> bool:
    """Whether the winner changes where the length term is taken out of a pair's logit; no winner left is a change."""
    logit = math.log(_clipped(preference) / (1 - _clipped(preference)))
    return (logit - beta * length) * logit <= 0


def _clipped(p: float) -> float:
    return min(max(p, CLIP), 1 - CLIP)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


class Lengths:
    """What the control must know of each labelled pair, in some 40 bytes; pairs come in any order.

    Each pair is seen from its longer response, so nothing depends on which one the input called a. Characters count.
    """

    def __init__(self, mode: LengthControl, seed: int) -> None:
        self._mode = mode
        self._seed = seed.to_bytes(16, "big", signed=True)
        self._positions = array("q")
        self._preferences = array("d")
        self._shorter = array("q")
        self._differences = array("q")
        self._gold = array("b")
        self._draws = array("Q")

    def add(self, position: int, label: Label) -> None:
        """Take in the label of the input position `position`."""
        pair, p_a = label.pair, label.p_a
        assert p_a is not None, "a labelled pair has a preference"
        a, b = len(text_of(pair.response_a)), len(text_of(pair.response_b))
        a_is_longer = a > b
        self._positions.append(position)
        self._preferences.append(p_a if a_is_longer else round(1.0 - p_a, _DIGITS))
        self._shorter.append(min(a, b))
        self._differences.append(abs(a - b))
        known = pair.gold in {"a", "b"} and a != b
        self._gold.append(0 if not known else 1 if (pair.gold == "a") == a_is_longer else -1)
        draw = blake2b(self._seed + pair_hash(pair), digest_size=8).digest()
        self._draws.append(int.from_bytes(draw, "big"))

    def settle(self) -> Settled:
        """Decide on all pairs together."""
        n = sum(map(bool, self._differences))
        # About 0, not about the mean: which response is a says nothing, so neither does the differences' sign.
        spread = math.sqrt(sum(each * each for each in self._differences) / len(self._differences)) if n else 1.0
        terms = array("d", (math.tanh(each / spread) for each in self._differences))
        beta = fit(self._preferences, terms)
        flagged = [
            index
            for index, (preference, term) in enumerate(zip(self._preferences, terms, strict=True))
            if beta * term and turns(preference, beta, term)
        ]
        longer = sum(p > 0.5 for p, term in zip(self._preferences, terms, strict=True) if term)
        judged = sum(map(bool, self._gold))
        target = Fraction(sum(gold > 0 for gold in self._gold), judged) if judged else Fraction(1, 2)
        dropped: set[int] = set()
        if self._mode == "drop" and beta > 0:
            dropped = self._drawn(flagged, _excess(longer, n, target))
        return Settled(
            mode=self._mode,
            beta=beta,
            n=n,
            longer=longer,
            flagged=len(flagged),
            dropped=len(dropped),
            target=target,
            judged=judged,
            fates=self._in_input_order(flagged, dropped),
        )

    def _in_input_order(self, flagged: Sequence[int], dropped: set[int]) -> bytes:
        """Each pair's fate, without a sorted list of hundreds of thousands of numbers."""
        nobody = len(Fate)
        fates = bytearray([nobody]) * (max(self._positions, default=-1) + 1)
        for position in self._positions:
            fates[position] = Fate.KEPT.value
        for index in flagged:
            fates[self._positions[index]] = (Fate.DROPPED if index in dropped else Fate.FLAGGED).value
        return bytes(fates).replace(bytes([nobody]), b"")

    def _drawn(self, flagged: Sequence[int], wanted: int) -> set[int]:
        """So many of the flagged pairs, of each bin of the length ratio the same share, by the seed within it."""
        bins: dict[int, list[int]] = {}
        for index in flagged:
            shorter = self._shorter[index]
            ratio = (shorter + self._differences[index]) / shorter if shorter else math.inf
            bins.setdefault(bisect(_RATIOS, ratio), []).append(index)
        drawn: set[int] = set()
        for number, quota in shares({number: len(indices) for number, indices in bins.items()}, wanted).items():
            by_draw = sorted(bins[number], key=lambda index: (self._draws[index], self._positions[index]))
            drawn.update(by_draw[:quota])
        return drawn


def _excess(longer: int, n: int, target: Fraction) -> int:
    """How many of `longer` winners must go, so that their share among `n` pairs is no more than `target`."""
    over = longer - target * n
    return math.ceil(over / (1 - target)) if over > 0 else 0


def shares(sizes: dict[int, int], wanted: int) -> dict[int, int]:
    """`wanted`, or all there are, split in proportion to `sizes`; what is left over goes to the largest remainders."""
    total = sum(sizes.values())
    wanted = min(wanted, total)
    quotas = {number: wanted * size // total for number, size in sizes.items()}
    remainders = sorted(sizes, key=lambda number: (-(wanted * sizes[number] % total), number))
    for number in remainders[: wanted - sum(quotas.values())]:
        quotas[number] += 1
    return quotas


@dataclass(frozen=True, slots=True)
class Settled:
    """What the control came to over `n` labelled pairs of unequal length, in `longer` of which the longer one won.

    `target`: the share of longer winners that is aimed at, over `judged` pairs with gold; half without. `fates`: of each
    labelled pair, in input order, its Fate's value.
    """

    mode: LengthControl
    beta: float
    n: int
    longer: int
    flagged: int
    dropped: int
    target: Fraction
    judged: int
    fates: bytes

    @property
    def share_before(self) -> float | None:
        """Share of longer winners among all; None without any pair of unequal length."""
        return round(self.longer / self.n, _DIGITS) if self.n else None

    @property
    def share_after(self) -> float | None:
        """The same among those that remain."""
        left = self.n - self.dropped
        return round((self.longer - self.dropped) / left, _DIGITS) if left else None

    def record(self) -> dict[str, object]:
        """As it stands in the summary."""
        return {
            "mode": self.mode,
            "beta": self.beta,
            "flagged": self.flagged,
            "dropped": self.dropped,
            "share_before": self.share_before,
            "share_after": self.share_after,
            "target": round(float(self.target), _DIGITS),
        }

    @property
    def reason(self) -> str:
        """Why a pair went to the rest."""
        return (
            f"the longer response won, and by the fit on all labels (beta {self.beta:g}) it would not but for its length; "
            f"dropped to bring the share of longer winners to {float(self.target):.1%}"
        )

    def remark(self) -> str:
        """What came of it, in words."""
        head = f"--length-control {self.mode}:"
        if self.share_before is None:
            return f"{head} no labelled pair has responses of unequal length, so there is nothing to control."
        parts = [
            f"{head} the longer response won in {self.share_before:.1%} of {self.n} labelled pairs of unequal length.",
            f"Without the effect of length (beta {self.beta:g}) the winner would change in {self.flagged}.",
        ]
        if self.mode == "drop":
            parts.append(self._dropped())
        if self.n < _FEW:
            parts.append(f"{self.n} pairs are few for such a fit.")
        return " ".join(parts)

    def _dropped(self) -> str:
        known = f"as in the gold of {self.judged} of them" if self.judged else "since nobody's gold says otherwise"
        aim = f"The aim was {float(self.target):.1%}, {known}"
        if self.longer <= self.target * self.n:
            return f"Nothing was dropped. {aim}."
        went = (
            f"{self.dropped} went to the rest, and among the others the longer wins in {self.share_after or 0.0:.1%}."
        )
        if self.longer - self.dropped <= self.target * (self.n - self.dropped):
            return f"{went} {aim}."
        return f"{went} {aim}: no other pair is flagged. docs/length.md says why that may be."
