"""Signs that a trained model's answers fall apart, while its loss still looks well."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

Sign = Literal["empty", "repeating", "cut"]
Numbers = Mapping[str, float | int | None]
"""One logged step or evaluation: figures by name. None stands for what was not a number."""

# Welleck et al. 2020 (arXiv:1908.04319) count the 4-grams of words that occurred before: 0.006 of them in people's
# text, 0.44 in greedy samples of a language model. Verse with a refrain and boilerplate code stay below 0.4.
_WORDS, _WORDS_SHARE, _FEWEST_WORDS = 4, 0.5, 20
# Where words are long because nothing separates them, eight characters are about as much as four words.
_CHARACTERS, _LONG_WORD, _FEWEST_CHARACTERS = 8, 12, 60
# A loop that begins late is a small part of the whole, so the end is looked at by itself. More must repeat there: a
# song may end in its refrain, a loop goes on for at least four rounds.
_LAST_WORDS, _LAST_CHARACTERS, _LAST_SHARE = 48, 96, 0.75

_MORE_ANSWERS, _MORE_SHARE = 2, 0.2
# 10 nats: the preferred answers have become 22,000 times less likely. A fifth: to a long answer 10 nats are little.
_FALL_NATS, _FALL_SHARE = 10.0, 0.2
_MOST_AVERAGED = 10


class SignCounts(TypedDict):
    """How many of `n` answers show each sign, and how many show `any` of them."""

    empty: int
    repeating: int
    cut: int
    any: int
    n: int


def signs(text: str, *, finished: bool) -> tuple[Sign, ...]:
    """What looks wrong with one answer, without its special tokens.

    `finished`: it ended with an end token, not at the limit of its length. Answers below 20 words (60 characters,
    where nothing separates words) are never called repeating.
    """
    found: list[Sign] = []
    if not any(_visible(character) for character in text):
        found.append("empty")
    elif _repeats(text):
        found.append("repeating")
    if not finished:
        found.append("cut")
    return tuple(found)


def count(answers: Iterable[Sequence[Sign]]) -> SignCounts:
    """The signs of many answers, added up."""
    counts: SignCounts = {"empty": 0, "repeating": 0, "cut": 0, "any": 0, "n": 0}
    for found in answers:
        counts["n"] += 1
        counts["any"] += bool(found)
        for sign in found:
            counts[sign] += 1
    return counts


def repeated_share(units: Sequence[str] | str, n: int) -> float:
    """The share of n-grams that occurred before, 0 to 1: seq-rep-n of Welleck et al. 2020. 0.0 below n units."""
    total = len(units) - n + 1
    if total <= 0:
        return 0.0
    return 1 - len({units[start : start + n] for start in range(total)}) / total


def warning(
    before: SignCounts, after: SignCounts, eval_before: float | None, eval_after: float | None, *, beta: bool = True
) -> str | None:
    """One line on answers that fell apart, and what to do; None where they did not.

    They did where at least 2 answers and 20 points more show a sign than before, or where all have become empty.
    `eval_before` and `eval_after`: the held-out loss, None where there is none. `beta`: the trainer has a --beta.
    """
    if not after["n"] or not _fell_apart(before, after):
        return None
    shown = ", ".join(f"{after[sign]} {sign}" for sign in ("empty", "repeating", "cut") if after[sign])
    improved = eval_before is not None and eval_after is not None and eval_after < eval_before
    though = f", though the held-out loss improved from {eval_before:.3g} to {eval_after:.3g}" if improved else ""
    remedy = "Lower --lr, train fewer --epochs, or raise --beta." if beta else "Lower --lr or train fewer --epochs."
    return (
        f"answers fall apart: {after['any']} of {after['n']} sampled answers look wrong after training ({shown}), "
        f"{before['any']} of {before['n']} did before{though}. {remedy}"
    )


def displacement(points: Sequence[Numbers]) -> str | None:
    """One line where the preferred answers became unlikely while the margin grew; None where they did not.

    A margin grows as well when both answers lose probability and the rejected one loses more: then the probability
    goes to answers that nobody chose (Razin et al. 2024, arXiv:2410.08847; Pal et al. 2024, arXiv:2402.13228).
    It is said where `chosen_logp` (the mean of an answer's summed log-probabilities, in nats) fell by at least 10
    nats and by a fifth of where it began. `points`: the evaluations or, noisier, the logged steps, in order; the
    first and the last tenth are averaged.
    """
    chosen, rejected = _ends(points, "chosen_logp"), _ends(points, "rejected_logp")
    if chosen is None or rejected is None:
        return None
    fall = chosen[0] - chosen[1]
    margin_grew = chosen[1] - rejected[1] > chosen[0] - rejected[0]
    if not margin_grew or fall < max(_FALL_NATS, _FALL_SHARE * abs(chosen[0])):
        return None
    return (
        f"the preferred answers became less likely (log-probability {chosen[0]:.0f} to {chosen[1]:.0f}) while the margin "
        "grew: probability may go to answers that nobody chose. Read the samples; --loss sigmoid+sft, a higher --beta "
        "or a lower --lr hold it back."
    )


def not_a_number(points: Sequence[Numbers]) -> str | None:
    """One line where the loss stopped being a number; None where it did not."""
    bad = [point for point in points if "loss" in point and not _finite(point["loss"])]
    if not bad:
        return None
    where = f", first at step {bad[0]['step']}" if bad[0].get("step") is not None else ""
    return (
        f"the loss was not a number {len(bad)} times of {len(points)}{where}: the weights may be spoiled. "
        "Lower --lr, or train with --set bf16=false --set fp16=false."
    )


def _visible(character: str) -> bool:
    # Z: separators; C: control, format (zero width), unassigned
    return unicodedata.category(character)[0] not in "ZC"


def _repeats(text: str) -> bool:
    words = tuple(text.casefold().split())
    letters = "".join(words)
    if len(words) >= _FEWEST_WORDS and repeated_share(words, _WORDS) >= _WORDS_SHARE:
        return True
    if len(words) >= _LAST_WORDS and repeated_share(words[-_LAST_WORDS:], _WORDS) >= _LAST_SHARE:
        return True
    if len(letters) < _FEWEST_CHARACTERS:
        return False
    if len(letters) > _LONG_WORD * len(words) and repeated_share(letters, _CHARACTERS) >= _WORDS_SHARE:
        return True
    # Of the last word alone: rules of dashes and rows of a table are as long only together with their neighbours.
    end = words[-1][-_LAST_CHARACTERS:]
    return len(end) == _LAST_CHARACTERS and repeated_share(end, _CHARACTERS) >= _LAST_SHARE


def _fell_apart(before: SignCounts, after: SignCounts) -> bool:
    all_empty = after["empty"] == after["n"] and before["empty"] < before["n"]
    share_before = before["any"] / before["n"] if before["n"] else 0.0
    # Compared in answers of the second round: the rounds may differ in size, and a fifth is to be met exactly.
    more = after["any"] - share_before * after["n"]
    return all_empty or (more >= _MORE_ANSWERS - 1e-9 and more >= _MORE_SHARE * after["n"] - 1e-9)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _ends(points: Sequence[Numbers], key: str) -> tuple[float, float] | None:
    """The means of the first and the last tenth of a figure, of 10 points at most; None for fewer than two points."""
    values = [value for point in points if (value := point.get(key)) is not None and math.isfinite(value)]
    if len(values) < 2:
        return None
    n = min(max(len(values) // 10, 1), _MOST_AVERAGED)
    return sum(values[:n]) / n, sum(values[-n:]) / n
