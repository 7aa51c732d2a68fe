"""What can be learned from: a preference pair, a demonstration, a thumb; or why a row is none of these."""

from __future__ import annotations

from dataclasses import dataclass

from aifeedback.records import Content


@dataclass(frozen=True, slots=True)
class Source:
    """What labelled the row; `""` where the row doesn't say."""

    critic: str = ""
    template: str = ""
    criteria: str = ""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A prompt with a better and a worse answer. `preference` is P(chosen is better), None where the row has none."""

    prompt: Content
    chosen: Content
    rejected: Content
    preference: float | None
    file: str
    line: int
    id: str = ""
    source: Source = Source()

    @property
    def place(self) -> tuple[str, int]:
        """The row that it comes from."""
        return self.file, self.line


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt with an answer worth imitating."""

    prompt: Content
    completion: Content
    file: str
    line: int
    id: str = ""
    source: Source = Source()

    @property
    def place(self) -> tuple[str, int]:
        """The row that it comes from."""
        return self.file, self.line


@dataclass(frozen=True, slots=True)
class Thumb:
    """A prompt with an answer that somebody liked (`up`) or did not."""

    prompt: Content
    completion: Content
    up: bool
    file: str
    line: int
    id: str = ""
    source: Source = Source()

    @property
    def place(self) -> tuple[str, int]:
        """The row that it comes from."""
        return self.file, self.line


Example = PreferencePair | Demonstration | Thumb


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row can't be trained on: a code of `findings.WORDINGS`, and what is so of this row."""

    code: str
    detail: str = ""
