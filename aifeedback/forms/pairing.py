"""Several responses to one prompt become pairs: all, neighbours, or the best with the worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from aifeedback.errors import InputError, SettingsError
from aifeedback.forms.fields import About, make_pair, read_head
from aifeedback.forms.row import Row
from aifeedback.records import Content, Pair
from aifeedback.settings import InputSettings


class Candidate(NamedTuple):
    """One of several responses. `extra` is what else the input says about it; it goes into the pair's meta."""

    content: Content
    model: str
    score: float | None
    extra: Mapping[str, object]


def pair_up(
    row: Row, settings: InputSettings, known: frozenset[str], prompt: Content, candidates: Sequence[Candidate]
) -> list[Pair]:
    """Make the pairs that `settings.pairs` asks for; `ID#i-j` names responses i < j, from 0 in the given order.

    Raises SettingsError, with file and line, where `best-worst` meets a response without a score, and InputError
    where it finds no best.
    """
    head = read_head(row, known, prompt, (candidate.content for candidate in candidates))
    made = []
    for i, j in _indices(row, settings, candidates):
        a, b = candidates[i], candidates[j]
        extra = {side: about for side, about in (("response_a", a.extra), ("response_b", b.extra)) if about}
        own = head._replace(meta={**head.meta, **extra}) if extra else head
        about = About(model_a=a.model, model_b=b.model)
        made.append(make_pair(row, own, a.content, b.content, about, f"#{i}-{j}"))
    return made


def _indices(row: Row, settings: InputSettings, candidates: Sequence[Candidate]) -> Iterable[tuple[int, int]]:
    if settings.pairs == "all":
        return combinations(range(len(candidates)), 2)
    if settings.pairs == "adjacent":
        return pairwise(range(len(candidates)))
    return [_best_and_worst(row, [candidate.score for candidate in candidates])]


def _best_and_worst(row: Row, given: Sequence[float | None]) -> tuple[int, int]:
    scores = [score for score in given if score is not None]
    if len(scores) < len(given):
        where = f"{row.file}, line {row.line}"
        raise SettingsError(
            f"{where}: response {given.index(None)} (from 0) has no score, and --pairs best-worst needs one of each. "
            "Add scores, or take --pairs all."
        )
    best, worst = scores.index(max(scores)), len(scores) - 1 - scores[::-1].index(min(scores))
    if scores[best] == scores[worst]:
        raise InputError("all scores are equal, so --pairs best-worst finds no best response.")
    # the sides follow the input, so that a is not always the better one
    return min(best, worst), max(best, worst)
