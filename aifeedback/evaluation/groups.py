"""Groups of pairs by what the input's own fields say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aifeedback.errors import InputError
from aifeedback.jsontext import dumps, scrub

MOST_GROUPS = 50
MISSING = "(missing)"


class Groups:
    """The groups that a pair belongs to, one for each field of `by`; a dotted name leads into objects."""

    def __init__(self, by: Sequence[str]) -> None:
        self.by = tuple(dict.fromkeys(by))
        self._seen: dict[str, set[str]] = {name: set() for name in self.by}

    def of(self, meta: Mapping[str, object], *, file: str = "", line: int = 0) -> tuple[str, ...]:
        """The group in each field. Raises InputError where a field has too many of them to be one."""
        found = tuple(_value(meta, name) for name in self.by)
        for name, value in zip(self.by, found, strict=True):
            seen = self._seen[name]
            seen.add(value)
            if len(seen) > MOST_GROUPS:
                raise InputError(
                    f"--by {name} has more than {MOST_GROUPS} values, and figures of so small groups say nothing. Name a field with fewer.",
                    file=file,
                    line=line,
                )
        return found

    def unknown(self) -> list[str]:
        """The fields that no pair has."""
        return [name for name, seen in self._seen.items() if seen == {MISSING}]


def _value(meta: Mapping[str, object], name: str) -> str:
    value: object = meta
    if name in meta:  # a field may have a dot in its own name
        value = meta[name]
    else:
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return MISSING
    return scrub(value) if isinstance(value, str) else dumps(value, exact=True).decode("utf-8", "replace")
