"""One shape that labels can be written in, and read back from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aifeedback.exports.row import Labelled
from aifeedback.records import Content


@dataclass(frozen=True, slots=True)
class Preference:
    """A pair as a row of some shape says it. `prompt` is None where nobody can tell its end from the answers' begin."""

    prompt: Content | None
    chosen: Content
    rejected: Content


@dataclass(frozen=True, slots=True)
class Thumb:
    """One answer as a row of some shape says it: good or not."""

    prompt: Content
    completion: Content
    label: bool


Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of an export, for what is pasted into a trainer's settings; `test` is empty where nothing was split."""

    train: str
    test: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """A trainer's shape: `purpose` says whose in a line.

    `write` raises Unfit for what the shape can't carry; `read` takes a row back, and raises Unfit for what is wrong
    with it. `paste`: what belongs into the trainer's settings, for these files and for messages or text. `as_is`: text
    stays text, so that a file must be one of the two. `parts`: the only names that parts of a split may have, which each row then
    says under `split`; none where any will do. `keeps`: has room for the critic's evidence.
    """

    name: str
    purpose: str
    write: Callable[[Labelled], list[Row]]
    read: Callable[[Mapping[str, object]], Preference | Thumb]
    paste: Callable[[Files, bool], str]
    as_is: bool = True
    parts: tuple[str, ...] = ()
    keeps: bool = False
    layout: Literal["lines", "array", "parquet"] = "lines"
