"""What Axolotl's DPO reads under `type: chat_template.default`: `messages`, and one message each for the answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from aifeedback.exports.carrying import as_turns, one_answer, spoken
from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, Unfit, content_of, see_pair
from aifeedback.records import Message

_READER = "Axolotl"
_ROLES = ("system", "user", "assistant", "tool")
# Axolotl renders an answer after a message of its own and looks for the answer's first occurrence in the result. What
# common templates put before the answer then: ChatML, Llama 3, Gemma, Mistral.
_BEFORE = (
    "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n[[dummy_message]]<|im_end|>\n<|im_start|>assistant\n",
    (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
        "[[dummy_message]]<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "<bos><start_of_turn>user\n[[dummy_message]]<end_of_turn>\n<start_of_turn>model\n",
    "<s>[INST] [[dummy_message]] [/INST] ",
)


def _answer(answer: str, name: str) -> str:
    if any(f"{before}{answer}".find(answer) < len(before) for before in _BEFORE):
        raise Unfit(f'"{name}" is {answer!r}, which Axolotl would look for in the wrong place. Leave the row out.')
    if answer != answer.strip():
        # templates that trim what is said (Llama 3's) make it find nothing, and train on one character
        raise Unfit(
            f'"{name}" begins or ends with white space, of which Axolotl may leave one character. Trim it, or export to trl.'
        )
    return answer


def _write(row: Labelled) -> list[Row]:
    turns = as_turns(row.prompt, _ROLES, _READER)
    answers = {
        name: spoken(Message("assistant", _answer(one_answer(answer, name, _READER, empty=False), name)))
        for name, answer in (("chosen", row.chosen), ("rejected", row.rejected))
    }
    return [{"messages": [spoken(turn) for turn in turns], **answers}]


def _read(record: Mapping[str, object]) -> Preference:
    prompt = content_of(record, "messages")
    if isinstance(prompt, str):
        prompt = (Message("user", prompt),)
    as_turns(prompt, _ROLES, _READER)
    answers: list[tuple[Message, ...]] = []
    for name in ("chosen", "rejected"):
        said = record[name]
        given = content_of({name: [said] if isinstance(said, Mapping) else said}, name)
        answers.append((Message("assistant", _answer(one_answer(given, name, _READER, empty=False), name)),))
        if not isinstance(given, str) and given[0].role != "assistant":
            raise Unfit(f'"{name}" is said by the {given[0].role}, not by the assistant.')
    see_pair(prompt, *answers)
    return Preference(prompt, *answers)


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    test = f"\ntest_datasets:\n{_dataset(files.test)}" if files.test else ""
    return f"rl: dpo\ndatasets:\n{_dataset(files.train)}{test}"


def _dataset(file: str) -> str:
    """One entry of the yml; a path that YAML would read as something else is quoted."""
    path = file if re.fullmatch(r"[\w./][\w./-]*", file) else json.dumps(file, ensure_ascii=False)
    return f"""  - ds_type: json
    data_files: [{path}]
    split: train
    type: chat_template.default
    field_messages: messages
    field_chosen: chosen
    field_rejected: rejected"""


FORMAT = Format(
    "axolotl",
    "Axolotl's DPO, as chat_template.default",
    _write,
    _read,
    _paste,
    as_is=False,
)
