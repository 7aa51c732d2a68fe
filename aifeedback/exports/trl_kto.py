"""TRL's unpaired preference: `prompt`, `completion` and a `label`; two rows a pair."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.exports.carrying import plain
from aifeedback.exports.format import Files, Format, Row, Thumb
from aifeedback.exports.row import Labelled, Unfit, content_of, see_answer, see_prompt
from aifeedback.exports.trl import loading
from aifeedback.training.reading import is_empty


def _write(row: Labelled) -> list[Row]:
    prompt = plain(row.prompt)
    return [
        {"prompt": prompt, "completion": plain(row.chosen), "label": True},
        {"prompt": prompt, "completion": plain(row.rejected), "label": False},
    ]


def _read(record: Mapping[str, object]) -> Thumb:
    prompt, completion, label = content_of(record, "prompt"), content_of(record, "completion"), record.get("label")
    if not isinstance(label, bool):
        raise Unfit('"label" is neither true nor false. Write it as one of the two.')
    see_prompt(prompt)
    see_answer(prompt, completion, "completion")
    if label and is_empty(completion):
        raise Unfit('"completion" is empty and labelled good. Leave the row out.')
    return Thumb(prompt, completion, label)


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f"trl.KTOTrainer(…, {loading(files)})  # shuffle first: ….shuffle(seed=0)"


FORMAT = Format("trl-kto", "TRL's KTO: single answers, good or bad", _write, _read, _paste)
