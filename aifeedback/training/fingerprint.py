"""What has to be the same for a run to go on: labels, model, settings, and how many processes share a step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aifeedback.training.model_files import ModelFiles
from aifeedback.training.settings import TrainSettings

_SAID = ("kind", "soft_labels", "lora", "four_bit", "merge", "eval_fraction", "seed", "skip_bad")
_OF_THE_MODEL = (".safetensors", ".bin", ".json", ".jinja", ".model", ".py")


def fingerprint(settings: TrainSettings, model: ModelFiles, *, labels: str, processes: int) -> Mapping[str, str]:
    """By name, as text that is the same for the same meaning. `labels` is the SHA-256 of the data.

    What a flag says counts under the trainer's name, so that the same words in another order, or as --set, are the same.
    """
    said = {name: getattr(settings, name) for name in _SAID} | settings.chosen
    said |= {f"lora.{name}": value for name, value in settings.lora_more.items()} | {"lora.r": settings.rank}
    told = {name: json.dumps(value, sort_keys=True, default=str) for name, value in said.items()}
    folder = Path(settings.model)
    told["model"] = str(folder.resolve()) if folder.is_dir() else settings.model
    return told | {
        "weights of the model": "; ".join(_weights(model)),
        "labels": labels,
        "number of processes": str(processes),
    }


def different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names of what is not the same."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _weights(model: ModelFiles) -> Iterator[str]:
    """What tells the files of the model, and of an adapter's base, from others in the same place, without reading them."""
    for name in filter(None, (model.name, model.base)):
        if Path(name).is_dir():
            yield from _stamps(Path(name).iterdir())
    # The hub keeps each commit in a folder of its own, and a commit never changes.
    yield from sorted(path.parent.name for path in model.found if "snapshots" in path.parts)


def _stamps(paths: Iterable[Path]) -> Iterator[str]:
    for path in sorted(paths):
        if path.suffix in _OF_THE_MODEL and path.is_file():
            state = path.stat()
            yield f"{path.name} {state.st_size} {state.st_mtime_ns}"
