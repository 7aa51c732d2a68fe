"""What ContextualAI's HALOs read as pairwise feedback: one JSON array of comparisons."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aifeedback.exports.carrying import as_turns, one_answer, spoken
from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, Unfit, content_of, see_pair
from aifeedback.records import Content, Message

_READER = "HALOs"
_ROLES = ("system", "user", "assistant")
_TYPE = "pairwise_feedback"


def prompt_id(prompt: tuple[Message, ...]) -> str:
    """What tells one prompt from another: HALOs gather the comparisons of a prompt by it."""
    digest = hashlib.sha256()
    for turn in prompt:
        digest.update(f"{turn.role}\0{len(turn.content)}\0{turn.content}\0".encode())
    return digest.hexdigest()


def _write(row: Labelled) -> list[Row]:
    turns = as_turns(row.prompt, _ROLES, _READER)
    chosen, rejected = (
        [spoken(Message("assistant", one_answer(answer, name, _READER)))]
        for name, answer in (("chosen", row.chosen), ("rejected", row.rejected))
    )
    return [
        {
            "prompt_id": prompt_id(turns),
            "prompt": [spoken(turn) for turn in turns],
            "output_A": chosen,
            "output_B": rejected,
            "label": 1,
            "reward_A": row.preference,
            "reward_B": round(1.0 - row.preference, 6),
            "reward_difference": row.margin,
            "type": _TYPE,
        }
    ]


def _read(record: Mapping[str, object]) -> Preference:
    if record.get("type") != _TYPE:
        raise Unfit(f'"type" is not {_TYPE!r}. Comparisons alone are known here.')
    prompt, one, other = (_turns(record, name) for name in ("prompt", "output_A", "output_B"))
    as_turns(prompt, _ROLES, _READER)
    for name, answer in (("output_A", one), ("output_B", other)):
        one_answer(answer, name, _READER)
    label = record.get("label")
    if isinstance(label, bool) or label not in (0, 1):
        raise Unfit('"label" is neither 1 (A is better) nor 0.')
    for name in ("reward_A", "reward_B"):
        if isinstance(record.get(name), bool) or not isinstance(record.get(name), int | float):
            raise Unfit(f'"{name}" is no number.')
    if not isinstance(record.get("prompt_id"), str | int):
        raise Unfit('no "prompt_id". HALOs gather the comparisons of a prompt by it.')
    chosen, rejected = (one, other) if label == 1 else (other, one)
    see_pair(prompt, chosen, rejected)
    return Preference(prompt, chosen, rejected)


def _turns(record: Mapping[str, object], name: str) -> tuple[Message, ...]:
    content: Content = content_of(record, name)
    if isinstance(content, str):
        raise Unfit(f'"{name}" is text, not a list of messages.')
    return content


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f"loss=dpo datasets=[{','.join(filter(None, (files.train, files.test)))}]"


FORMAT = Format(
    "halos",
    "ContextualAI's HALOs: DPO, KTO and their kin",
    _write,
    _read,
    _paste,
    as_is=False,
    parts=("train", "test"),
    layout="array",
)
