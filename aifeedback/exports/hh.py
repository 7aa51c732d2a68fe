r"""HH transcripts: whole dialogues as text, `\n\nHuman: … \n\nAssistant: …`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aifeedback.exports.carrying import as_turns, one_answer, see_alternating
from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, Unfit, content_of, see_pair
from aifeedback.exports.trl import loaded
from aifeedback.records import Message

_READER = "an HH transcript"
_SPEAKER = {"user": "Human", "assistant": "Assistant"}
_ROLES = {name: role for role, name in _SPEAKER.items()}
_BOUNDARY = re.compile(r"\n\n(Human|Assistant):")
_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def _write(row: Labelled) -> list[Row]:
    turns = as_turns(row.prompt, tuple(_SPEAKER), _READER)
    see_alternating(turns, _READER)
    head = "".join(_said(turn.role, turn.content) for turn in turns)
    return [
        {
            name: head + _said("assistant", one_answer(answer, name, _READER))
            for name, answer in (("chosen", row.chosen), ("rejected", row.rejected))
        }
    ]


def _said(role: str, text: str) -> str:
    if found := _BOUNDARY.search(text):
        raise Unfit(
            f"a text holds {found[0]!r}, which would be read as the begin of another turn. "
            "Leave the row out, or export to trl."
        )
    return f"\n\n{_SPEAKER[role]}: {text}"


def _read(record: Mapping[str, object]) -> Preference:
    chosen, rejected = (_turns(record, name) for name in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Unfit("the transcripts part before their last turn. Leave the row out.")
    see_pair(chosen[:-1], chosen[-1:], rejected[-1:])
    return Preference(chosen[:-1], chosen[-1:], rejected[-1:])


def _turns(record: Mapping[str, object], name: str) -> tuple[Message, ...]:
    text = content_of(record, name)
    if not isinstance(text, str):
        raise Unfit(f'"{name}" is no text.')
    before, *parts = _TURN.split(text)
    if before or not parts:
        raise Unfit(f'"{name}" does not start with a blank line and "Human: ".')
    turns = tuple(Message(_ROLES[who], said) for who, said in zip(parts[::2], parts[1::2], strict=True))
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise Unfit(f'"{name}" does not end with an answer of the assistant.')
    see_alternating(turns[:-1], _READER)
    return turns


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f"{loaded(files.train)}  # laid out as Anthropic/hh-rlhf is"


FORMAT = Format(
    "hh",
    "transcripts as in Anthropic's HH-RLHF, for trainers written around it",
    _write,
    _read,
    _paste,
    as_is=False,
)
