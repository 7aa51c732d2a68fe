"""TRL's implicit prompt: `chosen` and `rejected` as whole conversations, or as whole texts."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.exports.carrying import plain
from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, Unfit, content_of, see_pair
from aifeedback.exports.trl import loading
from aifeedback.records import Content
from aifeedback.training.reading import is_empty, said_by


def _write(row: Labelled) -> list[Row]:
    if not isinstance(row.chosen, str) and row.chosen[0] == row.rejected[0]:
        raise Unfit(
            "both answers begin with the same turn, which TRL would take for the prompt's. Export to trl, or leave the row out."
        )
    return [{"chosen": plain(_joined(row.prompt, row.chosen)), "rejected": plain(_joined(row.prompt, row.rejected))}]


def _joined(prompt: Content, answer: Content) -> Content:
    """One after the other, as TRL joins them itself."""
    if isinstance(prompt, str) and isinstance(answer, str):
        return prompt + answer
    assert not isinstance(prompt, str), "a row has one shape"
    assert not isinstance(answer, str), "a row has one shape"
    return prompt + answer


def _read(record: Mapping[str, object]) -> Preference:
    chosen, rejected = content_of(record, "chosen"), content_of(record, "rejected")
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise Unfit('only one of "chosen" and "rejected" is a list of messages. Write both alike.')
    if said_by(chosen) == said_by(rejected):
        raise Unfit('"chosen" and "rejected" say the same. Leave the row out.')
    if isinstance(chosen, str) or isinstance(rejected, str):
        if is_empty(chosen) or is_empty(rejected):
            raise Unfit('"chosen" or "rejected" is empty. Leave the row out.')
        return Preference(None, chosen, rejected)
    common = next((n for n, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other), 0)
    if not common:
        raise Unfit('"chosen" and "rejected" do not begin with the same turn, or one goes on where the other ends.')
    prompt, chosen, rejected = chosen[:common], chosen[common:], rejected[common:]
    see_pair(prompt, chosen, rejected)
    return Preference(prompt, chosen, rejected)


def _paste(files: Files, messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    where = "" if messages else "  # TRL takes what both texts begin with for the prompt"
    return f"trl.RewardTrainer(…, {loading(files)}){where}"


FORMAT = Format(
    "trl-implicit",
    "TRL with the prompt inside chosen and rejected: reward models, older recipes",
    _write,
    _read,
    _paste,
)
