"""Whether a reply kept to the JSON object that it was asked for, whatever its verdict."""

from __future__ import annotations

from typing import Literal

import orjson

from aifeedback.records import CUT_OFF_ENDINGS, Reply, Status, VerdictFormat
from aifeedback.verdicts.reading import read_verdict
from aifeedback.verdicts.reasons import CONTRADICTS_REASONING

Form = Literal["kept", "strayed", "unreadable", "none"]
"""`strayed`: a verdict, but not as the object that was asked for. `unreadable`: no verdict, by a fault of form alone.
`none`: the reply says nothing about the form, as a refusal does."""


def form_of(reply: Reply, asked: VerdictFormat) -> Form:
    """How a reply kept to the form, where a JSON object was demanded of the server. Of most replies one look tells."""
    if _is_the_object(reply.content, asked) and not reply.refusal and reply.complete:
        return "kept"
    reading = read_verdict(reply, asked)
    if reading.p_first is not None:
        return "kept" if reading.method.partition(":")[0] in {"json_schema", "json_object"} else "strayed"
    if reading.status is not Status.UNPARSED or reply.ending in CUT_OFF_ENDINGS:
        return "none"
    return "kept" if reading.why == CONTRADICTS_REASONING else "unreadable"


def _is_the_object(content: str, asked: VerdictFormat) -> bool:
    """Whether `content` is, to the letter, what was asked for; a tenth of the time that reading it takes."""
    try:
        value = orjson.loads(content)
    except ValueError:
        return False
    if not isinstance(value, dict) or content.count(f'"{asked.answer_field}"') != 1:
        return False
    answer = value.get(asked.answer_field)
    return isinstance(answer, str) and answer in asked.answers and isinstance(value.get(asked.reasoning_field), str)
