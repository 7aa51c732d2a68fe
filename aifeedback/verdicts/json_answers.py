"""A verdict from a JSON object with a reasoning field and an answer field."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.records import Reading, VerdictFormat
from aifeedback.verdicts.choosing import choose
from aifeedback.verdicts.contradictions import contradicts
from aifeedback.verdicts.json_objects import Contradictory, in_words, objects_in, parse
from aifeedback.verdicts.offered import offered
from aifeedback.verdicts.reasons import (
    BROKEN_OBJECT,
    CONTRADICTS_REASONING,
    DISAGREEING,
    NO_OBJECT,
    NOT_OFFERED,
    REPEATED_FIELD,
    SEVERAL,
    WRONG_TYPE,
    unparsed,
)

_NO_WRAPPERS = frozenset({"example", "examples", "schema", "default", "definitions", "$defs"})


def read_direct(text: str, asked: VerdictFormat) -> Reading | None:
    """The verdict of a text that is one JSON value and nothing else; None where it is not, or holds no answer."""
    value, method = parse(text), "json"
    for _ in range(2):
        if isinstance(value, str):
            value, method = parse(value), "double"
    readings = _readings_of(value, asked, method)
    return _chosen(readings, asked) if readings else None


def read_json(text: str, asked: VerdictFormat) -> Reading:
    """The verdict of a text without its thinking, in which the object may stand anywhere."""
    direct = read_direct(text, asked)
    if direct is not None:
        return direct
    readings: list[Reading] = []
    for found in objects_in(text):
        if found.value is not None:
            readings += _readings_of(found.value, asked, "fenced" if found.fenced else "embedded")
        elif asked.answer_field.casefold() in (spelled := text[found.start : found.end]).casefold():
            readings.append(unparsed(BROKEN_OBJECT, spelled))
    return _chosen(readings, asked) if readings else _read_bare(text, asked)


def read_json_at_end(text: str, asked: VerdictFormat) -> Reading | None:
    """The verdict of a complete object, with both fields as text, with which a text ends; else None."""
    last = None
    for found in objects_in(text):
        last = found
    if last is None or text[last.end :].strip(" \t\r\n`") or not isinstance(last.value, dict):
        return None
    if not isinstance(last.value.get(asked.reasoning_field), str):
        return None
    return _reading_of(last.value, asked, "json")


def _readings_of(value: object, asked: VerdictFormat, method: str) -> list[Reading]:
    """One reading for each object with the answer field: `value`, an item of it, or what one level of wrapping holds."""
    if isinstance(value, list):
        return [one for item in value if isinstance(item, dict) for one in _readings_of(item, asked, method)]
    if not isinstance(value, dict):
        return []
    reading = _reading_of(value, asked, method)
    return [reading] if reading is not None else _wrapped_readings(value, asked, method)


def _wrapped_readings(value: Mapping[str, object], asked: VerdictFormat, method: str) -> list[Reading]:
    held = [one for key, one in value.items() if key not in _NO_WRAPPERS and key != asked.reasoning_field]
    single = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in held]
    objects = [one for one in single if isinstance(one, dict)]
    # In a schema that was echoed the answer field holds a description of itself, and is no answer.
    answers = [
        one for one in objects if not any(isinstance(one[key], dict) for key in _spelled(one, asked.answer_field))
    ]
    return [one for one in (_reading_of(answer, asked, method) for answer in answers) if one is not None]


def _spelled(value: Mapping[str, object], name: str) -> list[str]:
    """The keys that spell `name`; capitals and spaces around it don't matter."""
    wanted = name.casefold()
    return [key for key in value if key.casefold().strip() == wanted]


def _reading_of(value: Mapping[str, object], asked: VerdictFormat, method: str) -> Reading | None:
    """What one object says; None where it lacks the answer field."""
    keys = _spelled(value, asked.answer_field)
    if not keys:
        return None
    reasoning = _spelled(value, asked.reasoning_field)
    reason = in_words(value[reasoning[0]]) if reasoning else ""
    repeated = isinstance(value, Contradictory) and not value.keys_twice.isdisjoint(keys)
    if repeated or len({in_words(value[key]) for key in keys}) > 1:
        return unparsed(REPEATED_FIELD, reason=reason)
    return _read_answer(value[keys[0]], reason, asked, method)


def _read_answer(answer: object, reason: str, asked: VerdictFormat, method: str) -> Reading:
    if isinstance(answer, int) and str(answer) in asked.answers:
        answer = str(answer)
    if not isinstance(answer, str):
        return unparsed(WRONG_TYPE, in_words(answer) or "null", reason=reason)
    choices = offered(asked.answers)
    p_first = choices.find(answer)
    if p_first is None:
        phrase = SEVERAL if choices.several(answer) else NOT_OFFERED
        return unparsed(phrase, answer.strip() or "nothing", reason=reason)
    if contradicts(reason, p_first, asked.answers):
        return unparsed(CONTRADICTS_REASONING, reason=reason)
    return Reading(p_first, method=method, reason=reason)


def _chosen(readings: list[Reading], asked: VerdictFormat) -> Reading:
    chosen = choose(readings, asked.which, lambda one: (one.p_first, one.why))
    return chosen if chosen is not None else unparsed(DISAGREEING)


def _read_bare(text: str, asked: VerdictFormat) -> Reading:
    """A reply without any object counts only where all of it is one answer."""
    p_first = None if "{" in text else offered(asked.answers).find(text)
    if p_first is None:
        return unparsed(f'{NO_OBJECT} "{asked.answer_field}"')
    return Reading(p_first, method="bare")
