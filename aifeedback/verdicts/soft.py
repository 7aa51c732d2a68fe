"""An answer's token probabilities as a preference.

With the masses of the offered answers and m their sum, p_first is the sum of mass times meaning over m: for A, B and
a tie (P(A) + P(tie) / 2) / m (after Lee et al. 2023, arXiv:2309.00267).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter

from aifeedback.records import PFirst, Reading, Reply, Token, VerdictFormat
from aifeedback.verdicts.locating import Answer, locate
from aifeedback.verdicts.offered import begun, core

SOFT_KINDS = frozenset({"json", "letter", "tags"})
"""The kinds of verdict whose answer is a few tokens at a known place."""
NOT_SAMPLED = ":not_sampled"
LEAST_MASS = 0.5
"""Where less lies on the answers that were offered, the critic was about to say something else."""
# Rounded log probabilities add up to a little more than 1; what adds up to more is none.
_MOST_MASS = 1.01


def can_be_soft(asked: VerdictFormat) -> bool:
    """Whether token probabilities of such a verdict may be read as a preference."""
    return asked.soft and asked.kind in SOFT_KINDS


def soften(reading: Reading, reply: Reply, asked: VerdictFormat) -> Reading:
    """`reading` with the probabilities of the token that decided it; as it is where these are not there, or say little.

    A reading without a verdict stays so: what was not said is not guessed from what might have been.
    """
    if not reply.tokens or reading.p_first is None or not can_be_soft(asked):
        return reading
    answer = locate(reading, reply, asked)
    found = _deciding(reply, answer, reading.p_first) if answer else None
    if answer is None or found is None:
        return reading
    masses = _masses(found, reply.said, answer)
    total = math.fsum(masses.values())
    mass = round(min(total, 1.0), 6)
    if mass < LEAST_MASS or total > _MOST_MASS:
        return replace(reading, mass=mass if total <= _MOST_MASS else 0.0)
    # Rounded around 0.5, so that exchanging the sides mirrors it exactly.
    distance = round(math.fsum(each * (meaning - 0.5) for meaning, each in masses.items()) / total, 6)
    p_first = PFirst(round(0.5 + distance, 6))
    mark = NOT_SAMPLED if _outvoted(reading.p_first, p_first, masses) else ""
    return replace(reading, p_first=p_first, method=reading.method + mark, soft=True, mass=mass)


def _outvoted(sampled: PFirst, p_first: PFirst, masses: dict[PFirst, float]) -> bool:
    """Whether the probabilities lean to another side than the answer that was sampled; a tie, where a side outweighs it."""
    if sampled == 0.5:
        return p_first != 0.5 and max(masses.values()) > masses.get(sampled, 0.0)
    return (sampled - 0.5) * (p_first - 0.5) < 0


def _deciding(reply: Reply, answer: Answer, sampled: PFirst) -> Token | None:
    """The first token with which it is clear what the sampled answer means.

    None where there is none, where it means something else than was read, or where an earlier token has already ruled
    out some meaning: its probability is then not to be found at a single token.
    """
    said, before, meanings = reply.said, 0, set(answer.meanings.values())
    # Those before the answer are many, and in order where they are of any use.
    begin = bisect_right(reply.tokens, answer.start, key=attrgetter("end"))
    for token in reply.tokens[begin:]:
        if token.end <= token.start or token.end <= answer.start:
            continue
        if token.start < before or token.end > len(said) or token.start >= answer.end:
            return None
        if before == 0 and token.start > answer.start:
            return None
        before = token.end
        text = said[answer.start : token.end]
        meant = _meant(text, answer)
        if len(meant) == 1:
            return token if meant == {sampled} else None
        if meant != meanings:
            return None
    return None


def _masses(token: Token, said: str, answer: Answer) -> dict[PFirst, float]:
    """How much probability lies on each meaning, the spellings of an answer together."""
    so_far, lead = said[answer.start : token.start], said[token.start : answer.start]
    found: dict[PFirst, list[float]] = {}
    for text, logprob in dict.fromkeys(token.alternatives):
        spelled = _without_lead(text, lead)
        meant = _meant(so_far + spelled, answer) if spelled and not math.isnan(logprob) else frozenset()
        if len(meant) == 1 and (meaning := next(iter(meant))) is not None:
            found.setdefault(meaning, []).append(math.exp(min(logprob, 0.0)))
    return {meaning: math.fsum(masses) for meaning, masses in found.items()}


def _without_lead(text: str, lead: str) -> str:
    """An alternative without what the sampled token has before the answer; nothing where that was more than dress."""
    if lead and text.startswith(lead):
        return text[len(lead) :]
    return "" if any(c.isalnum() for c in lead) else text


def _meant(text: str, answer: Answer) -> frozenset[PFirst | None]:
    """What an answer that begins with `text`, or is it, can mean; nothing where none that was offered does."""
    return _meant_by(text, tuple(answer.meanings.items()), answer.brackets)


@lru_cache(maxsize=4096)  # what comes at a verdict's place is nearly always the same
def _meant_by(text: str, meanings: tuple[tuple[str, PFirst | None], ...], brackets: str) -> frozenset[PFirst | None]:
    start = begun(text, brackets)
    if not start:
        return frozenset()
    whole = core(start.rstrip(brackets))
    return frozenset(meaning for name, meaning in meanings if name == whole or name.startswith(start))
