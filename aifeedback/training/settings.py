"""What a training run was told, checked; reads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aifeedback.errors import SettingsError

Kind = Literal["dpo", "sft", "kto"]
SoftLabels = Literal["off", "cdpo", "gdpo"]

# As in TRL's own example scripts: an adapter takes ten times the step of full fine-tuning.
_LEARNING_RATES: Mapping[Kind, tuple[float, float]] = {"dpo": (5e-6, 5e-7), "kto": (5e-6, 5e-7), "sft": (2e-4, 2e-5)}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One training run: what to learn from, which model, and how. None means: not said, so a default applies.

    `batch_size`: examples a device holds at once; an optimiser step sees `batch_size` x `grad_accum` x processes.
    `max_length`: tokens of prompt and completion together. `eval_fraction`: share of the prompts that is held out.
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
    lora_r: int = 16
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
        losses = self.losses
        if self.soft_labels != "off":
            if losses != ("sigmoid",):
                raise SettingsError(
                    f"--soft-labels {self.soft_labels} is a change of the sigmoid loss and has no meaning with {'+'.join(losses)}. Leave one of them out."
                )
            for name in ("ld_alpha", "use_weighting"):
                if self.trainer.get(name):
                    raise SettingsError(f"--soft-labels can't be combined with {name}. Leave one of them out.")
            if self.trainer.get("f_divergence_type", "reverse_kl") != "reverse_kl":
                raise SettingsError("--soft-labels is defined for reverse_kl only. Leave f_divergence_type out.")
        if self.trainer.get("truncation_mode") == "keep_end":
            raise SettingsError("truncation_mode=keep_end cuts the prompts, which nothing here checks. Leave it out.")
        if self.epochs is not None and self.steps is not None:
            raise SettingsError("--epochs and --steps both say when to end. Give one of them.")
        if self.merge and not self.lora:
            raise SettingsError(
                "--merge merges an adapter, and --no-lora trains none: its result is plain weights already."
            )
        if self.four_bit and not self.lora:
            raise SettingsError("--4bit freezes the model's own weights, so there is nothing to train with --no-lora.")
        if self.kind == "kto" and self.devices_batch < 2:
            raise SettingsError("KTO estimates its KL term within a batch. Use a --batch-size of 2 or more.")

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of the loss, one or several."""
        named = self.loss.split("+") if self.loss else self.trainer.get("loss_type")
        if named is None:
            return {"dpo": ("sigmoid",), "kto": ("kto",), "sft": ("nll",)}[self.kind]
        return (named,) if isinstance(named, str) else tuple(str(name) for name in named)  # type: ignore[attr-defined] # a list by the field's type

    @property
    def devices_batch(self) -> int:
        """Examples on one device at a time."""
        said = self.trainer.get("per_device_train_batch_size") if self.batch_size is None else self.batch_size
        return int(str(said)) if said is not None else 8

    @property
    def default_learning_rate(self) -> float:
        """The learning rate that applies where none was given."""
        adapter, full = _LEARNING_RATES[self.kind]
        return adapter if self.lora else full
