"""Preference fine-tuning as OpenAI, Together and Fireworks take it."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.exports.carrying import as_turns, one_answer, see_no_one_twice, spoken
from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, Unfit, content_of, see_pair
from aifeedback.records import Message

# OpenAI alone takes more of some of it; what is written is what all three take.
_READER = "preference fine-tuning"
_ROLES = ("system", "user", "assistant")
_OUTPUTS = {"chosen": "preferred_output", "rejected": "non_preferred_output"}


def _write(row: Labelled) -> list[Row]:
    turns = as_turns(row.prompt, _ROLES, _READER)
    see_no_one_twice(turns, _READER)
    answers = {
        _OUTPUTS[name]: [spoken(Message("assistant", one_answer(answer, name, _READER, empty=False)))]
        for name, answer in (("chosen", row.chosen), ("rejected", row.rejected))
    }
    return [{"input": {"messages": [spoken(turn) for turn in turns]}, **answers}]


def _read(record: Mapping[str, object]) -> Preference:
    asked = record.get("input")
    if not isinstance(asked, Mapping):
        raise Unfit('"input" is no object with "messages".')
    prompt = content_of(asked, "messages")
    chosen, rejected = (content_of(record, name) for name in _OUTPUTS.values())
    if isinstance(prompt, str) or isinstance(chosen, str) or isinstance(rejected, str):
        raise Unfit("text stands where messages are expected.")
    see_no_one_twice(as_turns(prompt, _ROLES, _READER), _READER)
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        one_answer(answer, _OUTPUTS[name], _READER, empty=False)
    see_pair(prompt, chosen, rejected)
    return Preference(prompt, chosen, rejected)


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    test = f", validation_file {files.test}" if files.test else ""
    return f'training_file {files.train}{test}; OpenAI: method {{"type": "dpo"}}, Together: training_method="dpo"'


FORMAT = Format(
    "openai",
    "preference fine-tuning at OpenAI, Together and Fireworks",
    _write,
    _read,
    _paste,
    as_is=False,
)
