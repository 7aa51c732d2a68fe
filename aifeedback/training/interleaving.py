"""Thumbs up and down, shuffled and spread evenly: KTO's trainer takes its rows in the order in which they come."""

from __future__ import annotations

import random
from collections.abc import Sequence

from aifeedback.training.examples import Example, Thumb


def interleaved(examples: Sequence[Example], seed: int) -> list[Example]:
    """All of `examples` in an order in which every stretch has about the same share of thumbs up.

    Each side is shuffled by itself, so the two halves of one pair seldom meet in a batch, where the KL term is
    estimated from an answer to another prompt.
    """
    up: list[Example] = [example for example in examples if isinstance(example, Thumb) and example.up]
    down: list[Example] = [example for example in examples if not (isinstance(example, Thumb) and example.up)]
    sides: tuple[list[Example], list[Example]] = (up, down)
    for number, side in enumerate(sides):
        random.Random(f"{seed}-{number}").shuffle(side)  # noqa: S311 - an order, not a secret
    placed = [
        ((place + 0.5) / len(side), number, example)
        for number, side in enumerate(sides)
        for place, example in enumerate(side)
    ]
    return [example for _, _, example in sorted(placed, key=lambda one: one[:2])]


def weights(examples: Sequence[Example]) -> tuple[float, float]:
    """Weights of thumbs up and down that bring their masses together: the rarer side counts more, the other 1.

    Ethayarajh et al. 2024 (arXiv:2402.01306), section 4.2: the ratio of the masses between 1:1 and 4:3 of good to bad.
    """
    up = sum(isinstance(example, Thumb) and example.up for example in examples)
    down = len(examples) - up
    if not up or not down or 1 <= up / down <= 4 / 3:
        return 1.0, 1.0
    return (1.0, up / down) if up > down else (down / up, 1.0)
