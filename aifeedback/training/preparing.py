"""All that is settled before a tensor is made: data read and checked, lengths known, rows split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from aifeedback.errors import InputError, SettingsError
from aifeedback.files import STDIN
from aifeedback.training import checkpoints, hardware
from aifeedback.training.data import Parts, TrainingData, divide, read
from aifeedback.training.examples import Thumb
from aifeedback.training.overrides import read_overrides
from aifeedback.training.settings import TrainSettings
from aifeedback.training.token_checks import LengthStatistics, TokenChecks
from aifeedback.training.tokens import ModelFiles, quick_tokenizer, slow_tokenizer

# What the extra `train` installs, as far as a run cannot do without it.
PACKAGES = ("torch", "trl", "transformers", "peft", "datasets", "accelerate", "matplotlib")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run will do: with which rows, how long they are in tokens, and where they are cut."""

    settings: TrainSettings
    data: TrainingData
    parts: Parts
    max_length: int
    lengths: Mapping[str, LengthStatistics]

    def refuse(self) -> None:
        """Raise InputError where the data must not be trained on.

        Rows that are bad by themselves can be left out (`skip_bad`); what is wrong with all of them together can't.
        """
        bad = [
            finding
            for finding in self.data.findings.errors
            if not (self.settings.skip_bad and finding.code in self.data.left_out)
        ]
        if bad:
            rows = sum(finding.count for finding in bad if finding.code in self.data.left_out)
            more = f" {rows} of {self.data.read} rows are bad; --skip-bad leaves them out." if rows else ""
            raise InputError(f"these data can't be trained on, and nothing was.{more}")


def check_packages() -> None:
    """Raise SettingsError where the extra isn't installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"training needs more packages ({', '.join(missing)}). Install them with: pip install 'aifeedback[train]'"
        )


def _check_loss(settings: TrainSettings) -> None:
    """Raise SettingsError for a loss that the trainer doesn't have: TRL says so only when it has loaded everything."""
    if settings.loss:
        value = f"[{', '.join(settings.losses)}]" if settings.kind == "dpo" else settings.loss
        try:
            read_overrides(settings.kind, "", [f"loss_type={value}"])
        except SettingsError as error:
            raise SettingsError(str(error).replace("--set: loss_type", "--loss", 1)) from None


def prepare(settings: TrainSettings, *, note: Callable[[str], None]) -> Prepared:
    """Check everything that can be checked without the model's weights; what is wrong with rows is in the findings.

    Raises SettingsError, and InputError for data that can't be read at all.
    """
    check_packages()
    _check_loss(settings)
    if hardware.processes() > 1 and STDIN in settings.data:
        raise SettingsError("several processes can't share stdin. Write the labels to a file first.")
    checkpoints.check_place(Path(settings.output), settings.model)
    files = ModelFiles.find(settings.model)
    data = read(settings)
    tokens = quick_tokenizer(files)
    if tokens is None:
        note(f"{settings.model} has no tokenizer.json, so its rows are checked the slow way.")
        tokens = slow_tokenizer(settings.model)
    checks = TokenChecks(tokens, settings.kind, model_vocabulary=files.vocabulary)
    for example in data.examples:
        checks.see(example)
    said = settings.trainer.get("max_length") if settings.max_length is None else settings.max_length
    max_length = checks.suggest_max_length() if said is None else int(str(said))
    fits = checks.finish(max_length, data.findings)
    kept = [example for example, keep in zip(data.examples, fits, strict=True) if keep == "kept"]
    # Rows, not examples: KTO makes two of a pair.
    gone = {
        (example.file, example.line): "prompt_too_long" if keep == "too_long" else "same_after_cut"
        for example, keep in zip(data.examples, fits, strict=True)
        if keep != "kept"
    }
    data.left_out.update(gone.values())
    data.examples = kept
    parts = divide(kept, settings)
    _see_what_is_left(settings, data, parts)
    return Prepared(settings, data, parts, max_length, checks.statistics())


def _see_what_is_left(settings: TrainSettings, data: TrainingData, parts: Parts) -> None:
    if not parts.train and (settings.skip_bad or not data.findings.errors):
        data.findings.say("nothing_left", f"of {data.read} read")
    ups = {example.up for example in parts.train if isinstance(example, Thumb)}
    if len(ups) == 1:
        data.findings.say("one_sided", f"{len(parts.train)} thumbs {'up' if ups.pop() else 'down'}")
