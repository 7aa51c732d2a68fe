"""All that a run can say about itself, gathered into one record."""

from __future__ import annotations

import dataclasses
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aifeedback import __version__
from aifeedback.training import falling_apart
from aifeedback.training.checkpoints import Checkpoint
from aifeedback.training.data import answer_of
from aifeedback.training.preparing import Prepared
from aifeedback.training.progress import named
from aifeedback.training.record import Data, Point, Preference, Record, Sample
from aifeedback.training.samples import Answer, as_text

if TYPE_CHECKING:
    from transformers import Trainer

    from aifeedback.training.examples import Example
    from aifeedback.training.hardware import Hardware

_PACKAGES = ("torch", "trl", "transformers", "peft", "datasets", "accelerate", "tokenizers")
_BINS = 10
_Numbers = Sequence[falling_apart.Numbers]


@dataclasses.dataclass(slots=True)
class Account:
    """What is known so far of one run; `record` can be asked for at any time. `start`: what it went on from."""

    prepared: Prepared
    hardware: Hardware
    trainer: Trainer
    asked: Sequence[Example]
    before: Sequence[Answer]
    fingerprint: Mapping[str, str]
    started: str = ""
    start: Checkpoint | None = None
    after: Sequence[Answer] = ()
    finished: bool = False
    result_files: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    _begun: float = dataclasses.field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.started = self.started or datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def seconds(self) -> float:
        """How long the run has taken, with what it had taken up to the checkpoint that it went on from."""
        return round((self.start.seconds if self.start else 0.0) + time.monotonic() - self._begun, 1)

    def loop_seconds(self, here: float | None = None) -> float:
        """The training loop's part of that. `here`: in this process, by default what the trainer says; 0 until it ends."""
        if here is None:
            log: Sequence[Mapping[str, float]] = self.trainer.state.log_history
            here = next((float(entry["train_runtime"]) for entry in reversed(log) if "train_runtime" in entry), 0.0)
        return (self.start.loop_seconds if self.start else 0.0) + here

    def record(self) -> Record:
        """All of it, as `training.json` holds it."""
        settings = self.prepared.settings
        before, after = (_signs(answers) for answers in (self.before, self.after))
        points, evaluations = self.history()
        return {
            "aifeedback": __version__,
            "kind": settings.kind,
            "finished": self.finished,
            "fingerprint": self.fingerprint,
            "started": self.started,
            "seconds": self.seconds,
            "loop_seconds": self.loop_seconds(),
            "command": list(settings.command),
            "model": {
                "name": settings.model,
                "kind": "adapter" if settings.lora and not settings.merge else "weights",
                "parameters": sum(parameter.numel() for parameter in self._model.parameters()),
                "trainable": sum(
                    parameter.numel() for parameter in self._model.parameters() if parameter.requires_grad
                ),
                "local": Path(settings.model).is_dir(),
            },
            "data": self._data(),
            "settings": {
                field.name: getattr(settings, field.name)
                for field in dataclasses.fields(settings)
                if field.name not in {"command", "trainer", "lora_more"}
            }
            | {"lora_r": self.prepared.rank}
            | {f"lora.{name}": value for name, value in settings.lora_more.items()},
            "trainer": self.trainer.args.to_dict(),
            "hardware": {
                "device": self.hardware.name,
                "devices": self.hardware.processes,
                "processes": self.hardware.processes,
                "precision": self.hardware.precision,
                "threads": self.hardware.threads,
            },
            "versions": {"python": platform.python_version()} | _versions(),
            "history": points,
            "evaluations": evaluations,
            "samples": [
                _sample(example, then, now)
                for example, then, now in zip(self.asked, self.before, self.after, strict=True)
            ]
            if self.after
            else [],
            "signs": {"before": before, "after": after},
            "warnings": self.warnings(),
            "result_files": self.result_files,
        }

    def history(self) -> tuple[list[Point], list[Point]]:
        """The logged steps, and the evaluations on what is held out."""
        steps: list[Point] = []
        evaluations: list[Point] = []
        for entry in self.trainer.state.log_history:
            where: Point = {"step": int(entry["step"]), "epoch": entry.get("epoch")}
            if "loss" in entry:
                steps.append(_point(where, named(entry), self.prepared.settings.kind))
            elif "eval_loss" in entry:
                evaluations.append(_point(where, named(entry, "eval_"), self.prepared.settings.kind))
        return steps, evaluations

    def warnings(self) -> list[str]:
        """What a look at the loss alone would miss."""
        points, evaluations = self.history()
        first, last = (evaluations[0], evaluations[-1]) if evaluations else (None, None)
        before, after = (_signs(answers) for answers in (self.before, self.after))
        found = [
            falling_apart.not_a_number(cast("_Numbers", points)),
            falling_apart.warning(
                before,
                after,
                first.get("loss") if first else None,
                last.get("loss") if last else None,
                beta=self.prepared.settings.kind != "sft",
            )
            if self.after
            else None,
            falling_apart.displacement(cast("_Numbers", evaluations if len(evaluations) > 1 else points))
            if self.prepared.settings.kind == "dpo"
            else None,
        ]
        return [warning for warning in found if warning is not None]

    @property
    def _model(self) -> Any:  # noqa: ANN401 - a model of any architecture
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    def _data(self) -> Data:
        data, parts = self.prepared.data, self.prepared.parts
        trained, held = (len({(e.file, e.line) for e in part}) for part in (parts.train, parts.held_out))
        return {
            "files": [{"name": name, "sha256": digest, "rows": rows} for name, (digest, rows) in data.files.items()],
            "rows": {"read": data.read, "train": trained, "held_out": held, "left_out": data.left_out.total()},
            "left_out": dict(data.left_out),
            "held_out": {
                name: sorted({each.line for each in parts.held_out if each.file == name}) for name in data.files
            },
            "findings": data.findings.as_json(),  # type: ignore[typeddict-item] # the shape is the table's
            "tokens": {name: dataclasses.asdict(lengths) for name, lengths in self.prepared.lengths.items()},  # type: ignore[misc] # the same fields
            "max_length": self.prepared.max_length,
            "critics": data.sources("critic"),
            "templates": data.sources("template"),
            "criteria": data.sources("criteria"),
            "preference": _preference(data.preferences()),
        }


def _preference(found: Sequence[float]) -> Preference | None:
    if not found:
        return None
    counts = [0] * _BINS
    for preference in found:
        counts[min(_BINS - 1, max(0, int((preference - 0.5) * 2 * _BINS)))] += 1
    return {
        "mean": round(statistics.fmean(found), 6),
        "min": min(found),
        "share_1": round(sum(preference == 1.0 for preference in found) / len(found), 6),
        "histogram": counts,
    }


def _point(where: Point, figures: Mapping[str, float], kind: str) -> Point:
    known = {name: value for name, value in figures.items() if name in Point.__annotations__}
    if kind == "sft" and "token_accuracy" in figures:
        known["accuracy"] = figures["token_accuracy"]
    return {**where, **known}  # type: ignore[typeddict-item] # the names were just compared


def _signs(answers: Sequence[Answer]) -> falling_apart.SignCounts:
    return falling_apart.count(falling_apart.signs(answer.text, finished=answer.finished) for answer in answers)


def _sample(example: Example, before: Answer, after: Answer) -> Sample:
    return {
        "prompt": as_text(example.prompt),
        "chosen": as_text(answer_of(example)),
        "before": {"text": before.text, "flags": list(falling_apart.signs(before.text, finished=before.finished))},
        "after": {"text": after.text, "flags": list(falling_apart.signs(after.text, finished=after.finished))},
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
