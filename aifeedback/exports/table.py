"""Rows of a typed table, for Parquet and the hub: text or messages, never both, and a number."""

from __future__ import annotations

from collections.abc import Sequence

from aifeedback.exports.format import Format, Row
from aifeedback.exports.row import Labelled
from aifeedback.exports.trl import explicit, read_explicit


def _write(row: Labelled) -> list[Row]:
    return [{"id": str(row.record.get("id") or ""), **explicit(row), "preference": row.preference}]


def _paste(files: Sequence[str], _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f'datasets.load_dataset("parquet", data_files={list(files)!r}, split="train")'


def _paste_hub(names: Sequence[str], _messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    return f'datasets.load_dataset("{names[0]}")'


_FIELDS = ("id", "prompt", "chosen", "rejected", "preference")
PARQUET = Format(
    "parquet",
    "a typed table for TRL, datasets, pandas, DuckDB",
    _FIELDS,
    _write,
    read_explicit,
    _paste,
    keeps=True,
    layout="parquet",
)
HUB = Format(
    "hub",
    "the same table, pushed to the Hugging Face hub",
    _FIELDS,
    _write,
    read_explicit,
    _paste_hub,
    keeps=True,
    layout="parquet",
)
