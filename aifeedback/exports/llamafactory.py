"""What LLaMA-Factory reads as a ranking in ShareGPT form: `conversations`, and one turn each for the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from aifeedback.exports.carrying import as_turns, one_answer, see_alternating
from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, Unfit, content_of, see_pair
from aifeedback.records import Message

_READER = "LLaMA-Factory"
_FROM = {"user": "human", "assistant": "gpt", "tool": "observation"}
_ROLES = {name: role for role, name in _FROM.items()}
_SUFFIXES = (".jsonl", ".json")


def _said(role: str, text: str) -> dict[str, object]:
    return {"from": _FROM[role], "value": text}


def _write(row: Labelled) -> list[Row]:
    turns = as_turns(row.prompt, ("system", *_FROM), _READER)
    system = ""
    if turns[0].role == "system":
        system, turns = turns[0].content, turns[1:]
        if not system:
            raise Unfit(
                "an empty system message, which LLaMA-Factory takes for none at all. Export to trl, or leave the row out."
            )
    see_alternating(turns, _READER)
    return [
        {
            "conversations": [_said(turn.role, turn.content) for turn in turns],
            "system": system,
            "chosen": _said("assistant", one_answer(row.chosen, "chosen", _READER)),
            "rejected": _said("assistant", one_answer(row.rejected, "rejected", _READER)),
        }
    ]


def _read(record: Mapping[str, object]) -> Preference:
    said = record.get("conversations")
    if not isinstance(said, list) or not said:
        raise Unfit('"conversations" is no list of turns.')
    turns = [_turn(each, f"conversations[{number}]") for number, each in enumerate(said)]
    system = record.get("system") or ""
    if not isinstance(system, str):
        raise Unfit('"system" is no text.')
    if system and turns[0].role == "system":
        raise Unfit('"system" stands beside a system turn. Keep one of them.')
    head = [Message("system", system)] if system else turns[:1] if turns[0].role == "system" else []
    asked = turns[1:] if turns[0].role == "system" else turns
    as_turns((*head, *asked), ("system", *_FROM), _READER)
    if not asked:
        raise Unfit("nothing is asked. Leave the row out.")
    see_alternating(asked, _READER)
    chosen, rejected = (_turn(record[name], name) for name in ("chosen", "rejected"))
    prompt = (*head, *asked)
    see_pair(prompt, (chosen,), (rejected,))
    return Preference(prompt, (chosen,), (rejected,))


def _turn(value: object, name: str) -> Message:
    """One turn. Raises Unfit."""
    if not isinstance(value, Mapping):
        raise Unfit(f'"{name}" is no turn with "from" and "value".')
    speaker = value.get("from")
    role = "system" if speaker == "system" else _ROLES.get(str(speaker))
    if role is None:
        raise Unfit(f'"{name}.from" is none of system, {", ".join(_ROLES)}.')
    text = content_of(value, "value")
    if not isinstance(text, str):
        raise Unfit(f'"{name}.value" is no text.')
    return Message(role, text)


def entries(files: Sequence[str]) -> dict[str, object]:
    """What `dataset_info.json` says of files beside it, by the name of each. Raises ValueError where a name can't be one."""
    found: dict[str, object] = {}
    for file in files:
        path = PurePath(file)
        if path.suffix not in _SUFFIXES:
            raise ValueError(f"{file}: LLaMA-Factory knows a file by its ending. End it in .jsonl.")
        if "," in path.stem or not path.stem.strip():
            raise ValueError(f"{file}: LLaMA-Factory splits names of datasets at commas. Name the file without one.")
        found[path.stem] = {
            "file_name": path.name,
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {
                "messages": "conversations",
                "system": "system",
                "chosen": "chosen",
                "rejected": "rejected",
            },
        }
    return found


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    path = PurePath(files.train)
    test = f"\neval_dataset: {PurePath(files.test).stem}" if files.test else ""
    return f"stage: dpo\ndataset_dir: {path.parent}\ndataset: {path.stem}{test}"


FORMAT = Format(
    "llamafactory",
    "LLaMA-Factory's DPO and reward models, as a ShareGPT ranking, with its dataset_info.json",
    _write,
    _read,
    _paste,
    as_is=False,
)
