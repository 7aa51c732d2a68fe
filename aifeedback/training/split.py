"""Which rows are held out: by prompt, so that nothing is tested on what was trained."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Sequence

from aifeedback.records import Content


def prompt_key(prompt: Content) -> bytes:
    """What tells one prompt from another: roles and words, whatever the white space between and what can't be seen."""
    digest = hashlib.blake2b(digest_size=16)
    for role, text in [("user", prompt)] if isinstance(prompt, str) else [(turn.role, turn.content) for turn in prompt]:
        digest.update(f"{role}\0{' '.join(_seen(text).split())}\0".encode("utf-8", "surrogatepass"))
    return digest.digest()


def _seen(text: str) -> str:
    """The same letters in one spelling, without zero-width characters and the like."""
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    return "".join(char for char in composed if unicodedata.category(char) != "Cf")


def held_out(keys: Sequence[bytes], fraction: float, seed: int) -> list[bool]:
    """For each row whether it is held out: that share of the different prompts, with all their rows.

    Drawn by seed, whatever the order of the rows. Of two or more prompts at least one is held out and one kept,
    where `fraction` is above 0; of fewer, none is held out.
    """
    unique = set(keys)
    if fraction <= 0 or len(unique) < 2:
        return [False] * len(keys)
    salt = str(seed).encode()
    ranked = sorted(unique, key=lambda key: hashlib.blake2b(key, key=salt[:64], digest_size=16).digest())
    # 0.07 * 100 is a little more than 7 in floating point
    wanted = max(1, math.ceil(round(fraction * len(unique), 9)))
    out = set(ranked[: min(wanted, len(unique) - 1)])
    return [key in out for key in keys]
