"""All that is settled before a tensor is made: data read and checked, lengths known, rows split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from aifeedback.errors import InputError, SettingsError
from aifeedback.files import STDIN
from aifeedback.training import checkpoints, hardware
from aifeedback.training.data import Parts, TrainingData, divide, read
from aifeedback.training.examples import Example, Thumb
from aifeedback.training.model_files import ModelFiles
from aifeedback.training.overrides import read_overrides
from aifeedback.training.settings import Kind, TrainSettings
from aifeedback.training.token_checks import LengthStatistics, TokenChecks
from aifeedback.training.tokens import quick_tokenizer, slow_tokenizer

# What the extra `train` installs, as far as a run cannot do without it.
PACKAGES = ("torch", "trl", "transformers", "peft", "datasets", "accelerate", "matplotlib")
_NO_LIMIT = 1 << 30
# Held-out examples of which nobody says that they are too many.
_FEW = 20
_SIDES = ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected", "logits/chosen", "logits/rejected")
# What TRL says of an evaluation beside the loss.
_FIGURES: Mapping[Kind, tuple[str, ...]] = {
    "dpo": ("rewards/accuracies", *_SIDES, "mean_token_accuracy", "entropy", "rewards/margins"),
    "sft": ("entropy", "mean_token_accuracy"),
    "kto": ("kl", *_SIDES, "entropy", "rewards/margins"),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run will do: with which rows, how long they are in tokens, and where they are cut."""

    settings: TrainSettings
    data: TrainingData
    parts: Parts
    max_length: int | None
    lengths: Mapping[str, LengthStatistics]
    model: ModelFiles

    @property
    def rank(self) -> int | None:
        """The rank of the adapter that is trained, an earlier one's own; None where all weights are."""
        return self.settings.rank if self.model.adapter is None else self.model.rank

    def refuse(self) -> None:
        """Raise InputError where the data must not be trained on.

        Rows that are bad by themselves can be left out (`skip_bad`); what is wrong with all of them together can't.
        """
        left_out = self.data.left_out
        bad = [f for f in self.data.findings.errors if not (self.settings.skip_bad and f.code in left_out)]
        if not bad:
            return
        rows = sum(left_out[finding.code] for finding in bad)
        told = f" {rows} of {self.data.read} rows are bad" if rows else ""
        # What is wrong with all rows together stays wrong without some of them.
        if rows and rows < self.data.read and all(finding.code in left_out for finding in bad):
            told += "; --skip-bad leaves them out"
        raise InputError(f"these data can't be trained on, and nothing was.{told}{'.' * bool(told)}")


def check_packages() -> None:
    """Raise SettingsError where the extra isn't installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"training needs more packages ({', '.join(missing)}). Install them with: pip install 'aifeedback[train]' (in a checkout: '.[train]')"
        )


def _check_loss(settings: TrainSettings) -> None:
    """Raise SettingsError for a loss that the trainer doesn't have: TRL says so only when it has loaded everything."""
    if settings.loss is not None:
        value = f"[{', '.join(settings.losses)}]" if settings.kind == "dpo" else settings.loss
        try:
            read_overrides(settings.kind, "", [f"loss_type={value}"])
        except SettingsError as error:
            raise SettingsError(str(error).replace("--set: loss_type", "--loss", 1)) from None


def _check_metric(settings: TrainSettings) -> None:
    """Raise SettingsError for a figure that no evaluation has: the trainer looks for it after the first one."""
    said = settings.chosen.get("metric_for_best_model")
    if said is None:
        return
    known = ["loss", *_FIGURES[settings.kind]]
    name = str(said).removeprefix("eval_")
    if name not in known:
        near = get_close_matches(name, known, 1) or known[-1:]
        raise SettingsError(
            f"metric_for_best_model: {said} is no held-out figure of {settings.kind.upper()}. Did you mean {near[0]}? There are {', '.join(known)}."
        )
    if not settings.eval_fraction:
        raise SettingsError("metric_for_best_model needs rows that are held out. Leave out --eval-fraction 0, or that.")


def prepare(settings: TrainSettings, *, note: Callable[[str], None]) -> Prepared:
    """Check everything that can be checked without the model's weights; what is wrong with rows is in the findings.

    Raises SettingsError, and InputError for data that can't be read at all.
    """
    check_packages()
    if settings.chosen.get("use_liger_kernel") and find_spec("liger_kernel") is None:
        raise SettingsError("use_liger_kernel needs one more package. Install it with: pip install liger-kernel")
    _check_loss(settings)
    _check_metric(settings)
    if hardware.processes() > 1 and STDIN in settings.data:
        raise SettingsError("several processes can't share stdin. Write the labels to a file first.")
    for sentence in settings.overruled:
        note(sentence)
    files = ModelFiles.find(settings.model, settings.revision)
    _check_adapter(settings, files)
    checkpoints.check_place(Path(settings.output), files)
    data = read(settings)
    tokens = quick_tokenizer(files)
    if tokens is None:
        note(f"the tokenizer of {settings.model} needs transformers, which takes some seconds to load.")
        tokens = slow_tokenizer(files, trust_remote_code=settings.trusts_code)
    checks = TokenChecks(tokens, settings.kind, model_vocabulary=files.vocabulary)
    for example in data.examples:
        checks.see(example)
    max_length = _max_length(settings, checks)
    checks.finish(_NO_LIMIT if max_length is None else max_length, data.findings)
    # Rows, not examples: KTO makes two of a pair, and a half alone would be learned from as if nobody had chosen.
    gone = {data.examples[number].place: code for number, code in checks.reasons.items()}
    data.left_out.update(gone.values())
    data.examples = [example for example in data.examples if example.place not in gone]
    _see_strings_and_messages(data)
    parts = divide(data.examples, settings)
    _see_what_is_left(settings, data, parts)
    _see_how_much_is_held_out(settings, parts, note)
    return Prepared(settings, data, parts, max_length, checks.statistics(), files)


def _check_adapter(settings: TrainSettings, model: ModelFiles) -> None:
    """Raise SettingsError for what can't be done with an adapter that training goes on with."""
    if model.adapter is None:
        return
    if not settings.lora:
        raise SettingsError(
            f"{model.name} is an adapter, and --no-lora trains plain weights. Merge it first: train it with --merge, or use peft's merge_and_unload."
        )
    if said := settings.said_of_adapter:
        raise SettingsError(
            f"{said[0]} is about a new adapter, and {model.name} is one already, which keeps its own settings. Leave {said[0]} out."
        )


def _max_length(settings: TrainSettings, checks: TokenChecks) -> int | None:
    """Where rows are cut, in tokens; None where the trainer was told not to cut any."""
    chosen = settings.chosen
    if "max_length" in chosen:
        said = chosen["max_length"]
        return None if said is None else int(str(said))
    return checks.suggest_max_length()


def _see_how_much_is_held_out(settings: TrainSettings, parts: Parts, note: Callable[[str], None]) -> None:
    """Say where it is far more than was asked for: the share is one of prompts, and some have many rows."""
    held, whole = len(parts.held_out), len(parts.held_out) + len(parts.train)
    if held > max(_FEW, 2 * settings.eval_fraction * whole):
        note(f"{held} of {whole} examples are held out, since all of a prompt are. Another --seed draws other prompts.")


def _see_strings_and_messages(data: TrainingData) -> None:
    """Trainers read all rows as they read the first one. Rows that are left out already are nobody's trouble."""
    first: dict[bool, Example] = {}
    counts: Counter[bool] = Counter()
    for example in data.examples:
        strings = isinstance(example.prompt, str)
        first.setdefault(strings, example)
        counts[strings] += 1
    if len(counts) > 1:
        rarer = min(counts, key=lambda strings: (counts[strings], not strings))
        kind, other = ("strings", "messages") if rarer else ("messages", "strings")
        where = f"{first[rarer].file}, line {first[rarer].line}"
        data.findings.say("mixed_file", f"{counts[rarer]} of {kind}, the first {where}; {counts[not rarer]} of {other}")


def _see_what_is_left(settings: TrainSettings, data: TrainingData, parts: Parts) -> None:
    if not parts.train and (settings.skip_bad or not data.findings.errors):
        data.findings.say("nothing_left", f"of {data.read} read")
    ups = {example.up for example in parts.train if isinstance(example, Thumb)}
    if len(ups) == 1:
        data.findings.say("one_sided", f"{len(parts.train)} thumbs {'up' if ups.pop() else 'down'}")
