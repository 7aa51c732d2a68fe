"""Which part of a split a row goes to: by its prompt and a seed, whatever the order of the rows."""

from __future__ import annotations

import hashlib
import re
from fractions import Fraction

from aifeedback.errors import SettingsError
from aifeedback.records import Content
from aifeedback.training.split import prompt_key

_NAME = re.compile(r"[A-Za-z0-9_]+")
Shares = tuple[tuple[str, Fraction], ...]


def read_shares(text: str) -> Shares:
    """`train=0.9,test=0.1` as names and shares; nothing for an empty text. Raises SettingsError."""
    if not text:
        return ()
    shares = tuple(_share(part) for part in text.split(","))
    names = [name for name, _ in shares]
    if len(set(names)) < len(names):
        raise SettingsError(f"--split {text}: a name stands twice. Give each part a name of its own.")
    if sum(share for _, share in shares) != 1:
        raise SettingsError(
            f"--split {text}: the shares add to {float(sum(share for _, share in shares)):g}, not to 1. Mend one of them."
        )
    return shares


def part_of(prompt: Content, shares: Shares, seed: int) -> str:
    """The part that all rows with this prompt go to; "" where nothing is split.

    Prompts that differ in white space alone are the same prompt.
    """
    if not shares:
        return ""
    digest = hashlib.blake2b(prompt_key(prompt), key=str(seed).encode()[:64], digest_size=8).digest()
    drawn, reached = Fraction(int.from_bytes(digest, "big"), 1 << 64), Fraction(0)
    for name, share in shares:
        reached += share
        if drawn < reached:
            return name
    return shares[-1][0]


def _share(part: str) -> tuple[str, Fraction]:
    name, equals, number = (piece.strip() for piece in part.partition("="))
    try:
        share = Fraction(number)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not equals or not _NAME.fullmatch(name) or not 0 < share <= 1:
        raise SettingsError(
            f"--split: {part.strip()!r} is no name with a share above 0. Write --split train=0.9,test=0.1"
        )
    return name, share
