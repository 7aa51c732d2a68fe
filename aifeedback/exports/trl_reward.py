"""What TRL's RewardTrainer reads: an explicit prompt, and how far apart the two answers must score."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.exports.format import Files, Format, Preference, Row
from aifeedback.exports.row import Labelled, Unfit
from aifeedback.exports.trl import explicit, loading, read_explicit


def with_margin(row: Labelled) -> list[Row]:
    """A pair with the margin that its preference amounts to."""
    return [{**explicit(row), "margin": row.margin}]


def read_with_margin(record: Mapping[str, object]) -> Preference:
    """A pair that has a margin. Raises Unfit."""
    margin = record.get("margin")
    if isinstance(margin, bool) or not isinstance(margin, int | float):
        raise Unfit('"margin" is no number. Write one on each row, or on none.')
    return read_explicit(record)


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f"trl.RewardTrainer(…, {loading(files)})  # reads margin by itself"


FORMAT = Format(
    "trl-reward",
    "TRL's reward models, with a margin",
    with_margin,
    read_with_margin,
    _paste,
)
