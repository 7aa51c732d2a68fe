"""The transcript form: `chosen` and `rejected` as whole "Human: … Assistant: …" dialogues (HH-RLHF)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

from aifeedback.errors import InputError
from aifeedback.forms.fields import SHARED
from aifeedback.forms.preference import prefer
from aifeedback.forms.row import Form, Row
from aifeedback.forms.wording import kind
from aifeedback.records import Message, Pair
from aifeedback.settings import InputSettings

_REQUIRED = ("chosen", "rejected")
_KNOWN = SHARED | frozenset(_REQUIRED)
_SPEAKER = re.compile("\n\n(Human|Assistant): ")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def looks_like_one(fields: Mapping[str, object]) -> bool:
    """Whether chosen and rejected are transcripts that bring their prompt along."""
    texts = (fields.get("chosen"), fields.get("rejected"))
    return fields.get("prompt") is None and all(
        isinstance(text, str) and text.startswith("\n\nHuman:") for text in texts
    )


def _read(row: Row, settings: InputSettings) -> list[Pair]:
    chosen, rejected = _turns(row.fields["chosen"], "chosen"), _turns(row.fields["rejected"], "rejected")
    if chosen[:-1] != rejected[:-1]:
        raise InputError("the transcripts part before their last turn.")
    if chosen == rejected:
        raise InputError("the transcripts are the same.")
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[-1].role != "assistant" or not turns[-1].content.strip():
            raise InputError(f'"{name}" does not end with an answer of the assistant.')
    return prefer(row, settings, _KNOWN, chosen[:-1], (chosen[-1:], rejected[-1:]))


def _turns(value: object, name: str) -> tuple[Message, ...]:
    """Split a transcript; joined by the speakers' names again, the turns are the text byte for byte."""
    if not isinstance(value, str):
        raise InputError(f'"{name}" must be text, not {kind(value)}.')
    before, *parts = _SPEAKER.split(value)
    if before or not parts or parts[0] != "Human":
        raise InputError(f'"{name}" does not start with a blank line and "Human: ".')
    turns = tuple(Message(_ROLES[speaker], text) for speaker, text in zip(parts[::2], parts[1::2], strict=True))
    if any(one.role == other.role for one, other in pairwise(turns)):
        raise InputError(f'"{name}" has two turns of one speaker in a row.')
    return turns


FORM = Form(_REQUIRED, _KNOWN, _read)
