"""The answers that were offered, and which of them a few words name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from aifeedback.records import PFirst
from aifeedback.verdicts.plain_text import plain_text

NOUN = (
    r"(?:responses?|options?|answers?|outputs?|assistants?|models?|candidates?|choices?|completions?|summary|summaries)"
)

_EDGES = " \t\r\n\f\v\"'“”‘’«»„_~#()[]{}「」.,:;!"
_LEAD = re.compile(
    rf"(?:the\s+|my\s+)?(?:final\s+)?(?:{NOUN}|verdict|decision|winner)(?:\b|(?=_))(?:\s+is\b)?[\s:=\"'“‘(\[_]*",
    re.IGNORECASE,
)
_AROUND_SIGNS = re.compile(r"\s*([<>=]+)\s*")
_LONGEST = 200


def core(text: str) -> str:
    """What is left of "**Response A.**" or "Final answer: (A)" without dress: "a"."""
    return _AROUND_SIGNS.sub(r"\1", _undressed(plain_text(text).casefold()))


def core_span(text: str) -> tuple[int, int] | None:
    """From where to where in `text` its core stands; None where there is none, or `text` is too long for an answer."""
    if len(text) > _LONGEST:
        return None
    folded = [(c, place) for place, character in enumerate(text) for c in plain_text(character).casefold()]
    whole = "".join(c for c, _ in folded)
    end = len(whole.rstrip(_EDGES))  # what leads to an answer stands before it
    start = end - len(_undressed(whole))
    return (folded[start][1], folded[end - 1][1] + 1) if start < end else None


def begun(text: str, dress: str = "") -> str:
    """The beginning of an answer without what stands before it; `dress`: further characters that are none of it."""
    return plain_text(text).casefold().lstrip(_EDGES + dress)


def _undressed(folded: str) -> str:
    bare = folded.strip(_EDGES)
    while (lead := _LEAD.match(bare)) and lead.end() < len(bare):
        bare = bare[lead.end() :].strip(_EDGES)
    return bare


@dataclass(frozen=True, slots=True)
class Offered:
    """`exact`: the answers as they were spelled; `cores`: the same by their core, None where that is ambiguous."""

    exact: Mapping[str, PFirst]
    cores: Mapping[str, PFirst | None]

    def find(self, text: str) -> PFirst | None:
        """What `text` means where it is one offered answer and nothing else; else None."""
        if text in self.exact:
            return self.exact[text]
        return self.cores.get(core(text)) if len(text) <= _LONGEST else None

    def several(self, text: str) -> bool:
        """Whether `text` names more than one offered answer, as "A or B" does."""
        words = plain_text(text[:_LONGEST]).casefold()
        named = [name for name in self.cores if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words)]
        return len(named) > 1


def offered(answers: Mapping[str, PFirst]) -> Offered:
    """The answers, made ready for looking up; kept from one reply to the next."""
    return _offered(tuple(answers.items()))


@lru_cache(maxsize=256)
def _offered(answers: tuple[tuple[str, PFirst], ...]) -> Offered:
    return Offered(dict(answers), by_core(answers))


def by_core(answers: Iterable[tuple[str, PFirst]]) -> Mapping[str, PFirst | None]:
    """What each core means; None where two answers share it and mean different things."""
    cores: dict[str, PFirst | None] = {}
    for answer, p_first in answers:
        if name := core(answer):
            cores[name] = p_first if cores.get(name, p_first) == p_first else None
    return cores
