"""The summary of the run that wrote a labelled file: named, or found beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from aifeedback.errors import InputError
from aifeedback.jsontext import loads
from aifeedback.publish import STDOUT


def summary_of(labels: str, named: str, labeled: int) -> tuple[Mapping[str, object] | None, list[str]]:
    """The summary that is `named`, else one beside `labels` that counts `labeled` too; and what is worth telling.

    Raises InputError where the one that is named is none.
    """
    if named:
        summary = _read(named)
        labelled = summary.get("labeled")
        if labelled != labeled:
            return summary, [
                f"{named} counts {labelled} labelled pairs, {labels} holds {labeled}: it may be of another run."
            ]
        return summary, []
    for beside in summaries_beside(labels):
        try:
            summary = _read(beside)
        except InputError:
            continue
        if summary.get("labeled") == labeled:
            return summary, [f"{beside} is taken for the run's summary, as it counts the same."]
    return None, []


def summaries_beside(labels: str) -> list[str]:
    """The files beside `labels` that may be the run's summary."""
    if labels == STDOUT:
        return []
    path = Path(labels)
    stem = re.sub(r"(\.jsonl|\.json|\.ndjson)?(\.gz)?$", "", path.name)
    beside = (path.with_name(f"{stem}.summary.json"), path.with_name("summary.json"))
    return [str(each) for each in beside if each.is_file()]


def _read(path: str) -> Mapping[str, object]:
    try:
        value = loads(Path(path).read_bytes())[0]
    except OSError as error:
        raise InputError(f"{(error.strerror or 'unreadable').lower()}. Check the path.", file=path) from error
    except ValueError as error:
        raise InputError(f"{error} Name the file that label --summary wrote.", file=path) from error
    if not isinstance(value, Mapping) or "labeled" not in value:
        raise InputError("this is no summary of a run. Name the file that label --summary wrote.", file=path)
    return value
