"""Rows of a typed table, for Parquet and the hub: text or messages, never both, and a number."""

from __future__ import annotations

from aifeedback.exports.format import Files, Format, Row
from aifeedback.exports.row import Labelled, see_text
from aifeedback.exports.trl import explicit, loaded, read_explicit


def _write(row: Labelled) -> list[Row]:
    name = str(row.record.get("id") or "")
    see_text(name, "id")
    return [{"id": name, **explicit(row), "preference": row.preference}]


def _paste(files: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return loaded(files.train, "parquet")


def _paste_hub(names: Files, _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f'datasets.load_dataset("{names.train}")'


PARQUET = Format(
    "parquet",
    "a typed table for TRL, datasets, pandas, DuckDB",
    _write,
    read_explicit,
    _paste,
    keeps=True,
    layout="parquet",
)
HUB = Format(
    "hub",
    "the same table, pushed to the Hugging Face hub",
    _write,
    read_explicit,
    _paste_hub,
    keeps=True,
    layout="parquet",
)
