"""The canonical reply: how a critic that keeps to the format says which response is better."""

from __future__ import annotations

import json

from aifeedback.records import Place, Reply, VerdictFormat
from aifeedback.verdicts.reading import read_verdict


def write_answer(format: VerdictFormat, place: Place, reasoning: str) -> str:  # noqa: A002 - the users' word for it
    """A reply that says `place` in this format, with `reasoning` in front where the format has room for it.

    Reasoning that would be read as another verdict is left out. Raises ValueError where the format offers no answer
    for `place`, or where its pattern does not match the answer on a line of its own.
    """
    try:
        answer = format.answer(place)
    except KeyError as error:
        raise ValueError(f"No answer that was offered says {place!r}.") from error
    for words in (reasoning.strip(), ""):
        text = _written(format, answer, words)
        if read_verdict(Reply(text), format).p_first == format.answers[answer]:
            return text
    raise ValueError(
        f"{answer!r} on a line of its own is not read as a verdict. Change the template's pattern or answers."
    )


def _written(asked: VerdictFormat, answer: str, reasoning: str) -> str:
    if asked.kind == "json":
        return json.dumps({asked.reasoning_field: reasoning, asked.answer_field: answer}, ensure_ascii=False)
    if asked.kind == "letter":
        return answer
    ending = f"{answer} is better." if asked.kind == "claim" and asked.answers[answer] != 0.5 else answer
    return f"{reasoning}\n\n{ending}" if reasoning else ending
