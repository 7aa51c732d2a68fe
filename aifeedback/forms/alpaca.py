"""The alpaca form: an instruction with an optional input, and two outputs."""

from __future__ import annotations

from aifeedback.errors import InputError
from aifeedback.forms.contents import read_content, read_response
from aifeedback.forms.fields import ABOUT, SHARED, About, make_pair, read_about, read_head, read_text
from aifeedback.forms.row import Form, Row
from aifeedback.records import Content, Pair, Winner
from aifeedback.settings import InputSettings

_REQUIRED = ("instruction", "output_1", "output_2")
_KNOWN = SHARED | ABOUT | frozenset({*_REQUIRED, "input", "preference"})


def _read(row: Row, _settings: InputSettings) -> list[Pair]:
    fields = row.fields
    response_a = read_response(fields["output_1"], "output_1")
    response_b = read_response(fields["output_2"], "output_2")
    head = read_head(row, _KNOWN, _prompt(row), (response_a, response_b))
    return [make_pair(row, head, response_a, response_b, _about(row))]


def _prompt(row: Row) -> Content:
    instruction = read_content(row.fields["instruction"], "instruction")
    extra = read_text(row.fields, "input")
    if not extra.strip():
        return instruction
    if not isinstance(instruction, str):
        raise InputError('"input" can\'t be added to an "instruction" of messages. Put it into a message.')
    return f"{instruction}\n\n{extra}"


def _about(row: Row) -> About:
    about = read_about(row)
    preference = _preferred(row.fields.get("preference"))
    return about if row.fields.get("gold") or preference is None else about._replace(gold=preference)


def _preferred(value: object) -> Winner | None:
    if value is None:
        return None
    if isinstance(value, bool) or value not in (1, 2):
        raise InputError('"preference" must be 1 or 2.')
    return "a" if value == 1 else "b"


FORM = Form(_REQUIRED, _KNOWN, _read)
