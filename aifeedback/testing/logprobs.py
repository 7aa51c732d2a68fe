"""Log probabilities at the test server: an answer cut into tokens, each with what else it could have been."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aifeedback.errors import SettingsError

Spanning = Literal["", "before", "after", "both"]

_PIECE = re.compile(r"\s*\w{1,8}|\s*[^\w\s]|\s+")
_LAST_WORD = re.compile(r"\w+(?=\W*$)")
_BESIDE = re.compile(r"[^\w\s]")
_SURE = 0.9
_OTHERS = (
    " the", " a", " and", ",", ".", " of", " is", " it", " that", " response", " better", " more", " one", " this", " which",
    " both", " so", " but", " first", " second",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Odds:
    """The distribution of the verdict token, whatever was sampled: spellings and probabilities, the likeliest first.

    `spanning`: whether the token includes the quote or the bracket before the verdict, after it, or both.
    """

    spellings: tuple[tuple[str, float], ...]
    spanning: Spanning = ""


def parse_odds(text: str, spanning: Spanning = "") -> Odds:
    """Read `A:0.6, A:0.2,B:0.1`; spaces are part of a spelling. Raises SettingsError for what is no distribution."""
    spellings: list[tuple[str, float]] = []
    for part in text.split(","):
        spelling, _, number = part.rpartition(":")
        try:
            share = float(number)
        except ValueError:
            share = 0.0
        if not spelling or not 0 < share <= 1:
            raise SettingsError(f"--logprobs {text}: {part!r} is no spelling with a probability. Write A:0.6,B:0.4.")
        spellings.append((spelling, share))
    if math.fsum(share for _, share in spellings) > 1 + 1e-9:
        raise SettingsError(f"--logprobs {text}: the probabilities sum to more than 1. Write A:0.6,B:0.4.")
    return Odds(tuple(sorted(spellings, key=lambda each: -each[1])), spanning)


def tokens(content: str, odds: Odds, count: int) -> list[dict[str, object]]:
    """The tokens of an answer as OpenAI lists them, with `count` alternatives each; its last word is the verdict."""
    found = _LAST_WORD.search(content)
    if found is None:
        return [_ordinary(piece, count) for piece in _PIECE.findall(content)]
    start, end = found.span()
    if odds.spanning in {"before", "both"} and _BESIDE.match(content, max(start - 1, 0)):
        start -= 1
    if odds.spanning in {"after", "both"} and _BESIDE.match(content, end):
        end += 1
    before, after = content[start : found.start()], content[found.end() : end]
    verdict = _token(
        content[start:end],
        [(f"{before}{spelling}{after}", share) for spelling, share in odds.spellings],
        count,
    )
    pieces = (_PIECE.findall(part) for part in (content[:start], content[end:]))
    head, tail = ([_ordinary(piece, count) for piece in part] for part in pieces)
    return [*head, verdict, *tail]


def _ordinary(text: str, count: int) -> dict[str, object]:
    others = [other for other in _OTHERS if other != text][: max(count - 1, 0)]
    return _token(text, [(text, _SURE), *((other, (1 - _SURE) / (n + 1) / 4) for n, other in enumerate(others))], count)


def _token(text: str, shares: Sequence[tuple[str, float]], count: int) -> dict[str, object]:
    left = max(1 - math.fsum(share for _, share in shares), 1e-6)
    own = next((share for spelling, share in shares if spelling == text), left)
    return _entry(text, own) | {"top_logprobs": [_entry(*each) for each in shares[:count]]}


def _entry(text: str, share: float) -> dict[str, object]:
    return {"token": text, "logprob": math.log(share), "bytes": list(text.encode("utf-8", "surrogatepass"))}


def legacy(entries: Sequence[dict[str, object]]) -> dict[str, object]:
    """The same as the completions API lists it."""
    others = [entry.get("top_logprobs") for entry in entries]
    return {
        "tokens": [entry.get("token") for entry in entries],
        "token_logprobs": [entry.get("logprob") for entry in entries],
        "top_logprobs": [
            {each["token"]: each["logprob"] for each in listed} if isinstance(listed, list) else None
            for listed in others
        ],
    }
