"""What can be seen of a response without understanding it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What each feature can add to a score or take from it, on one scale: the whole way from nothing to a very long
# answer is worth 1. The weights are round figures chosen by what people say about answers; they are not fitted.
LENGTH = 1.0
"""The strongest cue there is without understanding: people mostly prefer the answer that says more."""
HALF_LENGTH = 200
"""Characters (about two sentences) that earn half of LENGTH: a second paragraph adds less than the first."""
ON_TOPIC = 0.2
"""Only mildly good: an answer that takes up the prompt's words is more often about it, but need not be right."""
EMPTY = 3.0
"""More than all else together: nothing is worse than no answer."""
REPEATED = 1.0
"""Outweighs LENGTH: a text that goes round in circles must gain nothing from being long."""
COPIED = 0.7
"""Outweighs ON_TOPIC and what an echo gains by its length."""
QUOTABLE = 0.5
"""Share of an answer that may be quoted from the prompt for nothing: corrections and summaries quote a lot."""
REFUSAL = 0.5
"""A refusal is worth less than two plain sentences. Wrong where refusing is right, which words alone don't tell."""
UNFINISHED = 0.15
"""A cut end spoils an answer a little: what stands before it may still serve."""

OPENING = 240
"""Characters at the head in which a refusal is looked for: who refuses says so at once."""
CONTENT_LETTERS = 4
"""Letters from which on a word counts as one about the topic: most shorter ones (the, and, por, und) are glue."""

# Chinese, Japanese, Thai, Lao, Khmer and Burmese put no space between words: there each character is a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Vowel signs and accents that \w leaves out, so that Hindi, Tamil, Arabic and Hebrew words stay in one piece.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_WORD = re.compile(f"[^\\W{_UNSPACED}]+(?:[{_MARKS}]+[^\\W{_UNSPACED}]*)*|[{_UNSPACED}]")
_ASCII_GAPS = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
_FIRST_UNSPACED = "\u0e00"

_DO = (
    "(?:help\\b(?! but| \\w+ing)|assist|answer|provide|comply|fulfil|do that|do this|create|write|generate|give|offer|"
    "discuss|share|tell you|complete|respond|engage|participate|access|browse)"
)
# Each begins with a plain letter, which lets the search skip what can't be one: otherwise it takes longer than
# all the rest.
_REFUSAL = re.compile(
    "|".join(
        (
            f"i(?<!\\wi) (?:can't|cannot|can not|won't|will not|refuse to|would rather not) (?:\\w+ )?{_DO}",
            f"i(?<!\\wi)(?:'m| am) (?:unable|not able|not going|not allowed|not willing) to (?:\\w+ )?{_DO}",
            "i(?<!\\wi)(?:'m not comfortable| am not comfortable| don't feel comfortable| (?:must|have to) (?:\\w+ )?decline)",
            "as an? (?:ai(?:,| language model| model| assistant)|artificial intelligence|(?:large )?language model)",
            "no puedo (?:ayudar|responder|proporcionar|cumplir|hacer eso)",
            "não posso (?:ajudar|te ajudar|responder|fornecer|fazer isso)",
            "non posso (?:aiutar|rispondere|fornire|farlo)",
            "je ne (?:peux|suis) pas (?:vous aider|t'aider|répondre|fournir|en mesure)",
            "kann ich (?:dir |ihnen )?(?:leider )?nicht (?:helfen|weiterhelfen|beantworten|anbieten)",
            "ich kann (?:dir |ihnen )?(?:dabei |damit |leider )*nicht (?:helfen|weiterhelfen|beantworten)",
            "не могу (?:помочь|вам помочь|ответить|предоставить|выполнить)",
            "我(?:无法|無法|不能|没办法)(?:帮|幫|提供|回答|协助|協助|满足)",
            "お(?:手伝い|答え)(?:することは|は)?できません",
            "提供(?:することは|は)?できません",
            "도와드릴 수 없",
            "답변(?:할|드릴|해 드릴) 수 없",
            "لا (?:أستطيع|يمكنني) (?:أن )?(?:مساعد|أساعد|الإجابة|تقديم|توفير)",
            "मदद नहीं कर सकत",
        )
    )
)

# Two letters before the stop, so that the number of a list item ends no sentence.
_SENTENCE_ENDED = re.compile("[^\\W\\d]{2}[.!?…](?=\\s)|[。！？؟।]")
_CUT_AFTER = frozenset(",:([{،、，：（")
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Features:
    """One response as seen from outside.

    `characters`: its length without white space around it. Shares from 0 to 1: `repeated`, of its word triples that
    stood in it before; `copied`, of its word triples that stand in the prompt; `on_topic`, of the prompt's longer
    words that it takes up. `empty`: nothing in it can be seen. `refusal`: it opens with one. `unfinished`: it ends
    within a sentence, a bracket or a block of code.
    """

    characters: int
    empty: bool
    repeated: float
    copied: float
    on_topic: float
    refusal: bool
    unfinished: bool


def features(prompt: str, response: str) -> Features:
    """See `response` as an answer to `prompt`, in time linear in both."""
    text = response.strip()
    words, asked = _words(text), _words(prompt)
    triples, asked_triples = _triples(words), set(_triples(asked))
    distinct = set(triples)
    topic = {word for word in asked if len(word) >= CONTENT_LETTERS or word[0] >= _FIRST_UNSPACED}
    return Features(
        characters=len(text),
        empty=not any(char.isprintable() and not char.isspace() for char in text),
        repeated=_share(len(triples) - len(distinct), len(triples)),
        copied=_share(len(distinct & asked_triples), len(distinct)),
        on_topic=_share(len(topic.intersection(words)), len(topic)),
        refusal=_REFUSAL.search(text[:OPENING].lower().replace("’", "'")) is not None,
        unfinished=_is_unfinished(text),
    )


def points(seen: Features) -> dict[str, float]:
    """Weigh each feature, by its name; negative where it counts against the response."""
    return {
        "characters": LENGTH * seen.characters / (seen.characters + HALF_LENGTH),
        "empty": -EMPTY * seen.empty,
        "repeated": -REPEATED * seen.repeated,
        "copied": -COPIED * max(0.0, seen.copied - QUOTABLE) / (1 - QUOTABLE),
        "on_topic": ON_TOPIC * seen.on_topic,
        "refusal": -REFUSAL * seen.refusal,
        "unfinished": -UNFINISHED * seen.unfinished,
    }


def score(seen: Features) -> float:
    """Add all points up, rounded to 9 digits: the higher, the better the response looks."""
    return round(sum(points(seen).values()), 9)


def why(better: Features, worse: Features) -> str:
    """Say what speaks for `better`, the weightiest first, e.g. `longer (412 against 120 characters); no refusal`."""
    ours, theirs = points(better), points(worse)
    said = {
        "characters": f"longer ({better.characters:,} against {worse.characters:,} characters)",
        "empty": "not empty",
        "repeated": f"less repetition ({better.repeated:.0%} against {worse.repeated:.0%})",
        "copied": f"less copied from the prompt ({better.copied:.0%} against {worse.copied:.0%})",
        "on_topic": f"more of the prompt's words ({better.on_topic:.0%} against {worse.on_topic:.0%})",
        "refusal": "no refusal",
        "unfinished": "a finished end",
    }
    gains = {name: ours[name] - theirs[name] for name in said}
    telling = [name for name in said if gains[name] > 0]
    return "; ".join(said[name] for name in sorted(telling, key=lambda name: -gains[name]))


def _words(text: str) -> list[str]:
    if text.isascii():  # the same words as below, in a seventh of the time
        return text.lower().translate(_ASCII_GAPS).split()
    return _WORD.findall(text.casefold())


def _triples(words: list[str]) -> list[tuple[str, ...]]:
    """Each three words in a row; of a shorter text, all there is."""
    if len(words) < 3:
        return [tuple(words)] if words else []
    return list(zip(words, words[1:], words[2:], strict=False))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _is_unfinished(text: str) -> bool:
    if not text:
        return False
    if text.count(_FENCE) % 2 or _count(text, "([{") > _count(text, ")]}"):
        return True
    # A list item or a short answer needs no full stop; one after a finished sentence in the same paragraph does.
    last_line = text[text.rfind("\n") + 1 :]
    return text[-1] in _CUT_AFTER or (text[-1].isalnum() and _SENTENCE_ENDED.search(last_line) is not None)


def _count(text: str, chars: str) -> int:
    return sum(text.count(char) for char in chars)
