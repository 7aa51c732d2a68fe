"""TRL's explicit prompt: `prompt`, `chosen`, `rejected`, as the labelled file has them."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.exports.carrying import plain
from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, content_of, see_pair


def explicit(row: Labelled) -> Row:
    """The three fields, in the shape of the file."""
    return {"prompt": plain(row.prompt), "chosen": plain(row.chosen), "rejected": plain(row.rejected)}


def read_explicit(record: Mapping[str, object]) -> Preference:
    """A pair with its prompt given. Raises Unfit."""
    prompt, chosen, rejected = (content_of(record, name) for name in ("prompt", "chosen", "rejected"))
    see_pair(prompt, chosen, rejected)
    return Preference(prompt, chosen, rejected)


def loading(files: Files) -> str:
    """What a trainer is given: the files as `datasets` loads them."""
    test = f", eval_dataset={loaded(files.test)}" if files.test else ""
    return f"train_dataset={loaded(files.train)}{test}"


def loaded(file: str, kind: str = "json") -> str:
    """One file as `datasets` loads it."""
    return f'datasets.load_dataset("{kind}", data_files={file!r}, split="train")'


def _write(row: Labelled) -> list[Row]:
    return [explicit(row)]


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f"trl.DPOTrainer(…, {loading(files)})"


FORMAT = Format(
    "trl",
    "TRL with an explicit prompt: DPO, CPO, ORPO, online methods",
    _write,
    read_explicit,
    _paste,
    keeps=True,
)
