"""The data of one run: read to the end, checked, split; nothing is trained before all of it is known."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from aifeedback.errors import InputError
from aifeedback.files import STDIN, Source, name_of
from aifeedback.records import Content
from aifeedback.training.checks import TextChecks
from aifeedback.training.examples import Demonstration, Example, PreferencePair, Problem, Thumb
from aifeedback.training.findings import Findings
from aifeedback.training.interleaving import interleaved
from aifeedback.training.reading import read_examples
from aifeedback.training.settings import Kind, TrainSettings
from aifeedback.training.split import held_out, prompt_key

# More held-out pairs make an evaluation dearer, not surer: at 500 the standard error of an accuracy is 2 points.
_MOST_HELD_OUT = 500


@dataclass(slots=True)
class TrainingData:
    """Rows that can be learned from, and what became of the others.

    `read` counts rows; with kto a labelled pair is one row and two examples. `left_out` counts rows by the code of
    the finding. `files`: each file's SHA-256 and its rows.
    """

    kind: Kind
    examples: list[Example] = field(default_factory=list[Example])
    findings: Findings = field(default_factory=Findings)
    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter[str])
    files: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])

    @property
    def sha256(self) -> str:
        """One hash over all files."""
        return hashlib.sha256("".join(sha256 for sha256, _ in self.files.values()).encode()).hexdigest()

    def sources(self, what: str) -> dict[str, int]:
        """Rows by the `critic`, `template` or `criteria` that labelled them; nothing where no row says so."""
        told = {example.place: getattr(example.source, what) for example in self.examples}
        return dict(Counter(name or "unknown" for name in told.values()).most_common()) if any(told.values()) else {}

    def preferences(self) -> list[float]:
        """P(chosen is better) of each pair that has one."""
        pairs = (example for example in self.examples if isinstance(example, PreferencePair))
        return [pair.preference for pair in pairs if pair.preference is not None]


def read(settings: TrainSettings) -> TrainingData:
    """Read all data. What is wrong with single rows goes to `findings`; a row with an error is no example.

    Raises InputError for what can't be read at all, and where nothing is in it.
    """
    source = Source(settings.data)
    source.check()
    _check_twice(settings.data)
    data = TrainingData(settings.kind)
    checks = TextChecks(settings.kind, soft=settings.soft_labels != "off", findings=data.findings)
    rows: Counter[str] = Counter()
    for line in source.values():
        rows[line.file] += 1
        found = (
            Problem("unreadable", line.problem)
            if line.problem
            else read_examples(settings.kind, line.value, file=line.file, line=line.line)
        )
        if isinstance(found, Problem):
            data.findings.add(found.code, f"{line.file}, line {line.line}", found.detail)
            data.left_out[found.code] += 1
            continue
        for example in found:
            checks.see(example)
        data.examples += found
    data.read = sum(rows.values())
    data.files = {name_of(path): (source.hashes[name_of(path)], rows[name_of(path)]) for path in settings.data}
    if not data.read:
        names = ", ".join(name_of(path) for path in settings.data)
        more = " Did what should have written it fail?" if STDIN in settings.data else ""
        raise InputError(f"{names}: no rows in it, so there is nothing to train on.{more}")
    checks.finish()
    return data


def _check_twice(paths: Sequence[str]) -> None:
    """Raise InputError for a file that is given twice, under whatever name: its rows would count double."""
    seen: dict[str, str] = {}
    for path in paths:
        real = path if path == STDIN else os.path.realpath(path)
        if real in seen:
            also = "" if seen[real] == path else f" (as {seen[real]} too)"
            raise InputError(f"the file is given twice{also}, so its rows would count double. Name it once.", file=path)
        seen[real] = path


@dataclass(frozen=True, slots=True)
class Parts:
    """What is trained on, in the order it is given to the trainer, and what is held out."""

    train: Sequence[Example]
    held_out: Sequence[Example]


def divide(examples: Sequence[Example], settings: TrainSettings) -> Parts:
    """Split by prompt, so that no held-out prompt is trained on."""
    keys = [prompt_key(example.prompt) for example in examples]
    fraction = min(settings.eval_fraction, _MOST_HELD_OUT / max(1, len(examples)))
    out = held_out(keys, fraction, settings.seed)
    train = [example for example, away in zip(examples, out, strict=True) if not away]
    rest = [example for example, away in zip(examples, out, strict=True) if away]
    if settings.kind == "kto":
        return Parts(interleaved(train, settings.seed), interleaved(rest, settings.seed))
    return Parts(train, rest)


def answer_of(example: Example) -> Content:
    """The answer that the data hold for good (of a thumb: the one that was judged)."""
    match example:
        case PreferencePair():
            return example.chosen
        case Demonstration() | Thumb():
            return example.completion
