"""All arguments of the trainer: what was said, and for the rest what suits the data and the hardware."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aifeedback.training.hardware import Hardware
    from aifeedback.training.settings import TrainSettings

_POINTS = 200
_STOPS = 10
_EVALUATIONS = 4
# The newest may be torn when the process is killed, so there is always one before it.
_FEWEST_KEPT = 2


def total_steps(settings: TrainSettings, rows: int, processes: int) -> int:
    """Optimiser steps of the whole run over `rows` examples."""
    said = settings.chosen.get("max_steps")
    if said is not None and int(str(said)) > 0:
        return int(str(said))
    batches = math.ceil(rows / (settings.devices_batch * processes))
    a_pass = max(1, math.ceil(batches / settings.accumulation))
    return math.ceil(settings.passes * a_pass)


def trainer_arguments(
    settings: TrainSettings,
    hardware: Hardware,
    *,
    rows: int,
    held_out: int,
    max_length: int | None,
    resuming: bool,
    thumbs: tuple[float, float],
) -> dict[str, object]:
    """The arguments for TRL's config class of `settings.kind`, under its own names; what the user said comes last.

    `rows` and `held_out` are counts of examples, `max_length` counts tokens, `thumbs` are KTO's weights of up and down.
    """
    steps = total_steps(settings, rows, hardware.processes)
    on_gpu = hardware.device in {"cuda", "xpu"}
    arguments: dict[str, object] = {
        "output_dir": settings.output,
        "per_device_train_batch_size": settings.devices_batch,
        "per_device_eval_batch_size": settings.devices_batch,
        "gradient_accumulation_steps": settings.accumulation,
        "num_train_epochs": settings.passes,
        "learning_rate": settings.default_learning_rate,
        "max_length": max_length,
        "seed": settings.seed,
        "use_cpu": hardware.device == "cpu",
        "bf16": hardware.bf16,
        "gradient_checkpointing": on_gpu,
        "logging_steps": max(1, steps // _POINTS),
        # A loss that is no number must be seen, not averaged away.
        "logging_nan_inf_filter": False,
        "save_steps": max(1, steps // _STOPS),
        "save_total_limit": _FEWEST_KEPT,
        "eval_strategy": "steps" if held_out else "no",
        "eval_steps": max(1, math.ceil(steps / _EVALUATIONS)),
        "eval_on_start": bool(held_out) and not resuming,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if settings.kind != "sft":
        arguments["beta"] = 0.1
    if settings.kind == "kto":
        arguments["desirable_weight"], arguments["undesirable_weight"] = thumbs
    if hardware.processes > 1:
        arguments["ddp_find_unused_parameters"] = False
        if hardware.device == "cpu":
            arguments["ddp_backend"] = "gloo"
    if on_gpu and settings.lora:
        # The model's own weights stay as they are: half the memory, and the adapter is kept in float32.
        arguments["model_init_kwargs"] = {"dtype": "bfloat16" if hardware.bf16 else "float32"}
    chosen = settings.chosen
    return arguments | chosen | dict(_joined(arguments, chosen))


def _joined(ours: Mapping[str, object], chosen: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Where what was said does not simply take the place of what suits."""
    loading, said = ours.get("model_init_kwargs"), chosen.get("model_init_kwargs")
    if isinstance(loading, Mapping) and isinstance(said, Mapping) and "torch_dtype" not in said:
        yield "model_init_kwargs", {**loading, **said}
    if chosen.get("save_total_limit") == 1:
        yield "save_total_limit", _FEWEST_KEPT
