"""Of several verdicts in one reply, the one that counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

Which = Literal["last", "first", "agreeing"]
T = TypeVar("T")


def choose(found: Sequence[T], which: Which, meaning: Callable[[T], object]) -> T | None:
    """The first or last of `found` (at least one); with `agreeing` the last, or None where their meanings differ."""
    if which == "agreeing" and len({meaning(one) for one in found}) > 1:
        return None
    return found[0] if which == "first" else found[-1]
