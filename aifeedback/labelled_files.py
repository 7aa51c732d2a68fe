"""A labelled file and its rest as labels again, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from aifeedback.errors import InputError
from aifeedback.files import Source
from aifeedback.publish import STDOUT, rest_path
from aifeedback.records import Invalid, Label
from aifeedback.rereading import reread


def rest_of(labels: str) -> str:
    """Where the rest of a labelled file lies if nobody says otherwise; `""` where there is none."""
    beside = "" if labels == STDOUT else rest_path(labels)
    return next((path for path in (beside, f"{beside}.gz") if beside and Path(path).is_file()), "")


def labels_in(labels: str, rest: str = "") -> Iterator[Label | Invalid]:
    """The labels of the file `labels` (`-`: stdin), then what `rest` (`""`: none) says of the pairs without one.

    Raises InputError, with file and line, for what can't be read, what is no labelled pair, and an input without any.
    """
    return (label for label, _ in lines_in(labels, rest))


def lines_in(labels: str, rest: str = "") -> Iterator[tuple[Label | Invalid, Mapping[str, object]]]:
    """As `labels_in`, each label with the line that it was read from."""
    paths = [labels, *([rest] if rest else [])]
    source = Source(paths)
    source.check()
    count = 0
    for line in source.values():
        if line.problem:
            raise InputError(line.problem, file=line.file, line=line.line)
        try:
            label = reread(line.value)
        except InputError as error:
            raise InputError(Exception.__str__(error), file=line.file, line=line.line) from error
        if line.file == rest and label.status is None:
            raise InputError(
                "a labelled pair among those without a label. Name the file of --rest.", file=line.file, line=line.line
            )
        count += 1
        yield label, line.value if isinstance(line.value, Mapping) else {}
    if not count:
        raise InputError("there is no labelled pair in it.", file=labels)
