"""One line as our names see it: renamed by `--map`, with what is not ours set aside as meta."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from aifeedback.records import Pair
from aifeedback.settings import InputSettings


class Row(NamedTuple):
    """One line: `record` as it is, and its `fields` under our names. `names` is `--map`: our names to the input's."""

    record: Mapping[str, object]
    fields: Mapping[str, object]
    names: Mapping[str, str]
    file: str
    line: int
    exact: bool

    def meta(self, known: frozenset[str]) -> dict[str, object]:
        """Every field that a form with these `known` fields does not read, untouched."""
        if not self.names:
            return {name: value for name, value in self.record.items() if name not in known}
        rest = self.record
        for name, source in self.names.items():
            rest = _without(rest, source) if name in known else rest
        # a field that bears one of our names, but is not what --map takes for it, is not ours
        renamed = {*self.names, *self.names.values()}
        return {name: value for name, value in rest.items() if name not in known or name in renamed}


class Form(NamedTuple):
    """A shape that lines come in: what it must have, all that it reads, and how a row of it becomes pairs.

    `read` raises InputError, without file and line, for a row that is no usable pair.
    """

    required: tuple[str, ...]
    known: frozenset[str]
    read: Callable[[Row, InputSettings], list[Pair]]

    def missing(self, fields: Mapping[str, object]) -> list[str]:
        """What the form needs and `fields` lacks; null counts as lacking."""
        return [name for name in self.required if fields.get(name) is None]


def row_of(record: Mapping[str, object], names: Mapping[str, str], *, file: str, line: int, exact: bool) -> Row:
    """`record` under our names, by `names`: ours to the input's, a key or else a dotted path into nested objects."""
    if not names:
        return Row(record, record, names, file, line, exact)
    rest = record
    for source in names.values():
        rest = _without(rest, source)
    found = {name: find(record, source) for name, source in names.items()}
    return Row(record, {**rest, **found}, names, file, line, exact)


def find(record: Mapping[str, object], source: str) -> object:
    """The value at a key, or else at a dotted path; None where there is none."""
    if source in record:
        return record[source]
    outer, _, path = source.partition(".")
    inner = record.get(outer)
    return find(inner, path) if path and isinstance(inner, dict) else None


def _without(record: Mapping[str, object], source: str) -> Mapping[str, object]:
    if source in record:
        return {name: value for name, value in record.items() if name != source}
    outer, _, path = source.partition(".")
    inner = record.get(outer)
    if not path or not isinstance(inner, dict):
        return record
    less = _without(inner, path)
    if not less:
        return {name: value for name, value in record.items() if name != outer}
    return {name: less if name == outer else value for name, value in record.items()}
