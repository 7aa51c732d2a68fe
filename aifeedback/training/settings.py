"""What a training run was told, checked; reads nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal, get_args

from aifeedback.errors import SettingsError

Kind = Literal["dpo", "sft", "kto"]
SoftLabels = Literal["off", "cdpo", "gdpo"]

# As in TRL's own example scripts: an adapter takes ten times the step of full fine-tuning.
_LEARNING_RATES: Mapping[Kind, tuple[float, float]] = {"dpo": (5e-6, 5e-7), "kto": (5e-6, 5e-7), "sft": (2e-4, 2e-5)}
_RANK = 16
# What has a flag, under the trainer's name: the field here, and the flag.
_FLAGS: Mapping[str, tuple[str, str]] = {
    "num_train_epochs": ("epochs", "--epochs"),
    "max_steps": ("steps", "--steps"),
    "per_device_train_batch_size": ("batch_size", "--batch-size"),
    "gradient_accumulation_steps": ("grad_accum", "--grad-accum"),
    "learning_rate": ("learning_rate", "--lr"),
    "beta": ("beta", "--beta"),
    "max_length": ("max_length", "--max-length"),
    "loss_type": ("loss", "--loss"),
}
# Either of these says when to end, so the flag of one goes before the other's name as well.
_ENDS: Mapping[str, str] = {"max_steps": "num_train_epochs", "num_train_epochs": "max_steps"}
# With a beta of 0 no answer is better than another.
_ABOVE_ZERO = ("num_train_epochs", "learning_rate", "beta")
_ONE_OR_MORE = ("per_device_train_batch_size", "gradient_accumulation_steps")
_WHOLE_NUMBERS = ("steps", "batch_size", "grad_accum", "max_length", "lora_r", "seed")
_NUMBERS = ("epochs", "learning_rate", "beta", "eval_fraction", *_WHOLE_NUMBERS)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One training run: what to learn from, which model, and how. None means: not said, so a default applies.

    `batch_size`: examples a device holds at once; an optimiser step sees `batch_size` x `grad_accum` x processes.
    `max_length`: tokens of prompt and completion together. `eval_fraction`: share of the prompts that is held out.
    `lora_r`: rank of a new adapter, 16 where nothing is said.
    `trainer` and `lora` hold further settings under the trainer's (and peft's LoraConfig's) own names.
    """

    kind: Kind
    data: Sequence[str]
    model: str
    output: str
    epochs: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    grad_accum: int | None = None
    learning_rate: float | None = None
    beta: float | None = None
    max_length: int | None = None
    loss: str | None = None
    soft_labels: SoftLabels = "off"
    lora: bool = True
    lora_r: int | None = None
    four_bit: bool = False
    merge: bool = False
    eval_fraction: float = 0.05
    seed: int = 42
    resume: bool = False
    skip_bad: bool = False
    telemetry: bool = False
    trainer: Mapping[str, object] = field(default_factory=dict[str, object])
    lora_more: Mapping[str, object] = field(default_factory=dict[str, object])
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._check_what_was_said()
        self._check_numbers()
        if self.soft_labels != "off":
            self._check_soft_labels()
        if self.trainer.get("truncation_mode") == "keep_end":
            raise SettingsError("truncation_mode=keep_end cuts the prompts, which nothing here checks. Leave it out.")
        if self.epochs is not None and self.steps is not None:
            raise SettingsError("--epochs and --steps both say when to end. Give one of them.")
        if not self.lora:
            self._check_without_adapter()
        if self.kind == "kto" and self.devices_batch < 2:
            raise SettingsError("KTO estimates its KL term within a batch. Use a --batch-size of 2 or more.")
        if self.resume and (why := self.why_final):
            raise SettingsError(f"{why}. Leave out --resume, or that.")

    def _check_what_was_said(self) -> None:
        """Types and choices, which no parser has seen where the settings are made in Python. Raises SettingsError."""
        for name, choices in (("kind", get_args(Kind)), ("soft_labels", get_args(SoftLabels))):
            if (said := getattr(self, name)) not in choices:
                raise SettingsError(f"{name}: {said!r} is none of {', '.join(choices)}. Choose one of them.")
        if isinstance(self.data, str | PathLike) or not all(isinstance(path, str) for path in self.data):
            raise SettingsError(f"data: {self.data!r} is no list of paths. Write data=[{str(self.data)!r}], say.")
        for name in _NUMBERS:
            said = getattr(self, name)
            if said is not None and (isinstance(said, bool) or not isinstance(said, int | float)):
                raise SettingsError(f"{name}: {said!r} is no number. Give one, or leave it out.")
        for name in _WHOLE_NUMBERS:
            said = getattr(self, name)
            if isinstance(said, float):
                raise SettingsError(f"{name}: {said!r} is no whole number. Give one, or leave it out.")

    def _check_numbers(self) -> None:
        chosen = self.chosen
        for name in (*_ABOVE_ZERO, *_ONE_OR_MORE):
            value, least = chosen.get(name), 1 if name in _ONE_OR_MORE else 0
            if value is None:
                continue
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= least and value):
                wanted = "1 or more" if least else "a number above 0"
                raise SettingsError(f"{self._told(name)}: {value} can't be meant. Give {wanted}.")
        for flag, count in (("--steps", self.steps), ("--lora-r", self.rank), ("--max-length", self.max_length)):
            if count is not None and count < 1:
                raise SettingsError(f"{flag}: {count} can't be meant. Give 1 or more.")
        if not 0 <= self.eval_fraction <= 0.9:
            raise SettingsError(f"--eval-fraction: {self.eval_fraction} is no share. Give a number from 0 to 0.9.")

    def _check_soft_labels(self) -> None:
        if self.losses != ("sigmoid",):
            raise SettingsError(
                f"--soft-labels {self.soft_labels} is a change of the sigmoid loss and has no meaning with {'+'.join(self.losses)}. Leave one of them out."
            )
        for name in ("ld_alpha", "use_weighting", "loss_weights", "label_smoothing"):
            if self.trainer.get(name):
                raise SettingsError(f"--soft-labels can't be combined with {name}. Leave one of them out.")
        if self.trainer.get("f_divergence_type", "reverse_kl") != "reverse_kl":
            raise SettingsError("--soft-labels is defined for reverse_kl only. Leave f_divergence_type out.")

    def _check_without_adapter(self) -> None:
        if self.merge:
            raise SettingsError(
                "--merge merges an adapter, and --no-lora trains none: its result is plain weights already."
            )
        if self.four_bit:
            raise SettingsError("--4bit freezes the model's own weights, so there is nothing to train with --no-lora.")
        if said := self.said_of_adapter:
            raise SettingsError(f"{said[0]} is about an adapter, and --no-lora trains none. Leave one of them out.")

    @property
    def chosen(self) -> dict[str, object]:
        """What was said, under the trainer's own names. A flag goes before what `trainer` says, which `overruled` tells."""
        flags = self._flags
        beaten = {_ENDS[name] for name in flags if name in _ENDS}
        return {name: value for name, value in self.trainer.items() if name not in beaten} | flags

    @property
    def _flags(self) -> dict[str, object]:
        said = {name: getattr(self, field_name) for name, (field_name, _) in _FLAGS.items()}
        if self.loss is not None and self.kind == "dpo":
            said["loss_type"] = self.loss.split("+")
        return {name: value for name, value in said.items() if value is not None}

    @property
    def overruled(self) -> Iterator[str]:
        """Where a flag went before another word on the same thing, in a sentence each."""
        flags = self._flags
        for name, value in self.trainer.items():
            by = name if name in flags else _ENDS.get(name, "")
            if by in flags and (by != name or flags[name] != value):
                yield f"{_FLAGS[by][1]} {getattr(self, _FLAGS[by][0])} goes before {name}={value}."
        if self.lora_r is not None and self.lora_more.get("r", self.lora_r) != self.lora_r:
            yield f"--lora-r {self.lora_r} goes before lora.r={self.lora_more['r']}."
        if self.trainer.get("save_total_limit") == 1:
            yield "save_total_limit=1 would leave no whole checkpoint while one is written, so two are kept."

    @property
    def rank(self) -> int | None:
        """The rank of a new adapter; None where all weights are trained."""
        said = self.lora_more.get("r", _RANK) if self.lora_r is None else self.lora_r
        return int(str(said)) if self.lora else None

    @property
    def said_of_adapter(self) -> list[str]:
        """What was said about a new adapter, by flag or name."""
        return ["--lora-r"] * (self.lora_r is not None) + [f"lora.{name}" for name in self.lora_more]

    @property
    def revision(self) -> str:
        """Which revision of the model the hub is asked for; "" for the newest."""
        loading = self.chosen.get("model_init_kwargs")
        return str(loading.get("revision") or "") if isinstance(loading, Mapping) else ""

    @property
    def trusts_code(self) -> bool:
        """Whether code that comes with a model may be run."""
        loading = self.chosen.get("model_init_kwargs")
        said = loading.get("trust_remote_code") if isinstance(loading, Mapping) else None
        return bool(said or self.chosen.get("trust_remote_code"))

    @property
    def why_final(self) -> str:
        """Why nothing could go on from a checkpoint of this run; "" where it could."""
        if self.trainer.get("save_only_model"):
            return "save_only_model=true keeps no state of the optimiser, so no run can go on from its checkpoints"
        if self.trainer.get("sync_ref_model"):
            return (
                "sync_ref_model=true moves the reference model, which no checkpoint keeps, so no run can go on from one"
            )
        return ""

    def _told(self, name: str) -> str:
        """What a user said it with."""
        field_name, flag = _FLAGS[name]
        return flag if getattr(self, field_name) is not None else name

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of the loss, one or several."""
        named = self.chosen.get("loss_type")
        if named is None:
            return {"dpo": ("sigmoid",), "kto": ("kto",), "sft": ("nll",)}[self.kind]
        return (named,) if isinstance(named, str) else tuple(str(name) for name in named)  # type: ignore[attr-defined] # a list by the field's type

    @property
    def devices_batch(self) -> int:
        """Examples on one device at a time."""
        return int(str(self.chosen.get("per_device_train_batch_size", 8)))

    @property
    def accumulation(self) -> int:
        """Batches to an optimiser step."""
        return int(str(self.chosen.get("gradient_accumulation_steps", 1)))

    @property
    def passes(self) -> float:
        """Passes over the data, where no number of steps was said."""
        return float(str(self.chosen.get("num_train_epochs", 1)))

    @property
    def default_learning_rate(self) -> float:
        """The learning rate that applies where none was given."""
        adapter, full = _LEARNING_RATES[self.kind]
        return adapter if self.lora else full
