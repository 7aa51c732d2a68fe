"""What an export was told, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aifeedback.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """`labels`: a labelled file, `-` for stdin. `to`: a format's name. `output`: a path, `-` for stdout.

    `min_preference`: pairs below it are left out. `split`: names and shares, `train=0.9,test=0.1`. `keep_feedback`: the
    critic's evidence goes along. `skip_bad`: rows that can't be exported are left out, instead of ending the export.
    `repo`, `private`: where on the hub, for the format `hub`. Raises SettingsError.
    """

    labels: str
    to: str
    output: str = "-"
    min_preference: float = 0.5
    split: str = ""
    seed: int = 0
    keep_feedback: bool = False
    skip_bad: bool = False
    repo: str = ""
    private: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.min_preference <= 1:
            raise SettingsError(f"a preference of at least {self.min_preference:g}: it lies between 0.5 and 1.")


@dataclass(slots=True)
class Exported:
    """What became of the rows of a file: `read` is the sum of `weak`, `bad` and the `parts` (pairs by part).

    `rows`: rows written, of which a format may have two a pair. `places`: the files by part. `paste`: what belongs into
    the trainer's settings.
    """

    read: int = 0
    weak: int = 0
    bad: int = 0
    rows: int = 0
    parts: Counter[str] = field(default_factory=Counter[str])
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    paste: str = ""

    @property
    def pairs(self) -> int:
        """How many pairs were exported."""
        return sum(self.parts.values())

    def as_line(self, to: str) -> str:
        """All counts in one line."""
        rows = f" as {self.rows} rows" if self.rows != self.pairs else ""
        parts = ", ".join(f"{name} {count}" for name, count in self.parts.items() if name)
        said = [f"{self.pairs} exported to {to}{rows}{f' ({parts})' if parts else ''}"]
        said += [f"{self.weak} below --min-preference"] if self.weak else []
        said += [f"{self.bad} bad ones skipped"] if self.bad else []
        return f"{self.read} {'pair' if self.read == 1 else 'pairs'} read: {', '.join(said)}."
