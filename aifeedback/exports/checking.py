"""What is wrong with the rows of a file that a trainer is to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aifeedback.exports.format import Preference, Thumb
from aifeedback.exports.recognising import Shape, recognise
from aifeedback.exports.row import Unfit

MOST_TOLD = 20


@dataclass(slots=True)
class Check:
    """All rows of one file, seen one after the other.

    `told`: the first problems as (line, what); `problems` counts all. `shape`: what the first row is that is anything.
    """

    rows: int = 0
    problems: int = 0
    told: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    shape: Shape | None = None
    messages: bool | None = None
    _labels: Counter[bool] = field(default_factory=Counter[bool])

    def see(self, line: int, value: object, broken: str = "") -> None:
        """Look at one row; `broken` says why its line can't be read, where it can't."""
        self.rows += 1
        try:
            if broken:
                raise Unfit(broken)
            self._see(value)
        except Unfit as unfit:
            self._tell(line, str(unfit))

    def finish(self) -> None:
        """See what only all rows together show."""
        if len(self._labels) == 1:
            one = "true" if True in self._labels else "false"
            self._tell(0, f'"label" is {one} on every row. KTO needs good and bad answers.')

    @property
    def title(self) -> str:
        """What the file is."""
        if self.shape is None:
            return "no rows that a trainer reads"
        said = {True: "messages", False: "text", None: "neither text nor messages"}[self.messages]
        return f"{self.shape.title}, {said}"

    def _tell(self, line: int, what: str) -> None:
        self.problems += 1
        if len(self.told) < MOST_TOLD:
            self.told.append((line, what))

    def _see(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise Unfit("no JSON object. One a line is expected.")
        if "status" in value and "pair" in value:
            raise Unfit(f"a pair without a label ({value['status']}), from the rest. No trainer reads it.")
        shape = recognise(value)
        if shape is None:
            unlabelled = "response_a" in value or "responses" in value
            advice = " Label it first: aifeedback label FILE --critic …" if unlabelled else ""
            raise Unfit(f"no row that a trainer reads: it has the fields {_names(value)}.{advice}")
        self.shape = self.shape or shape
        if shape is not self.shape:
            raise Unfit(f"{shape.title}, where the file begins as another shape. Keep one shape a file.")
        found = shape.read({name: value.get(name) for name in {*value, "prompt", "chosen", "rejected"}})
        self._see_alike(found, value)

    def _see_alike(self, found: Preference | Thumb, value: Mapping[str, object]) -> None:
        """See that all rows are text or all are messages."""
        messages = not isinstance(value.get("completion" if isinstance(found, Thumb) else "chosen"), str)
        if isinstance(found, Thumb):
            self._labels[found.label] += 1
        if self.messages is None:
            self.messages = messages
        if messages != self.messages:
            kinds = ("messages", "text") if messages else ("text", "messages")
            raise Unfit(f"{kinds[0]} in a file of {kinds[1]}. Write all rows alike.")


def _names(value: Mapping[str, object]) -> str:
    shown = [str(name)[:30] for name in list(value)[:8]]
    return ", ".join(shown) + (", …" if len(value) > 8 else "") if shown else "(none)"
