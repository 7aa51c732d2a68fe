"""Whose run a folder holds and whether it is done, by its training.json; and from which checkpoint it can go on."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aifeedback.errors import OutputError, SettingsError
from aifeedback.jsontext import dumps, loads
from aifeedback.training.fingerprint import different
from aifeedback.training.model_files import ModelFiles
from aifeedback.training.record import write_whole

MARK = "aifeedback.json"
# The answers from before training, for a run that goes on.
BEFORE = ".before.json"
_RECORD = "training.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_REPORT = ("training.html", "README.md", BEFORE)
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "adapter_config.json", "config.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class Earlier:
    """The run of ours that a folder holds, as its training.json tells it."""

    output: Path
    record: Mapping[str, Any]

    @classmethod
    def of(cls, output: Path) -> Earlier | None:
        """The run in `output`; None where there is none, or a training.json that isn't ours."""
        try:
            value, _ = loads((output / _RECORD).read_bytes())
        except (OSError, ValueError):
            return None
        ours = isinstance(value, dict) and "aifeedback" in value and isinstance(value.get("fingerprint"), dict)
        return cls(output, value) if ours and isinstance(value, dict) else None

    @property
    def finished(self) -> bool:
        """Whether all of it is there: it is written last."""
        return self.record.get("finished") is True

    @property
    def started(self) -> str:
        """When it began, as an ISO time."""
        return str(self.record.get("started", ""))

    def check(self, fingerprint: Mapping[str, str]) -> None:
        """Raise SettingsError where it has other labels, another model or other settings.

        A run that went on from it would be neither the one nor the other.
        """
        if names := different(self.record["fingerprint"], fingerprint):
            raise SettingsError(
                f"the run in {self.output} was made with other {', '.join(names)}. Give what that run was given, or choose another -o."
            )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint. `seconds` the run had taken until then, `loop_seconds` of them in the training loop."""

    folder: Path
    seconds: float
    loop_seconds: float

    @property
    def is_last(self) -> bool:
        """Whether the run had taken all its steps."""
        state = _object(self.folder / "trainer_state.json") or {}
        return bool(state.get("global_step", 0) >= state.get("max_steps", 1))


def mark(folder: Path, *, seconds: float, loop_seconds: float) -> None:
    """Say that the checkpoint in `folder` is whole: written last, when all else is on the disk. Raises OutputError."""
    try:
        for path in folder.iterdir():
            if path.is_file():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"{folder} can't be written: {error.strerror or error}. Make room.") from error
    write_whole(dumps({"seconds": seconds, "loop_seconds": loop_seconds}).decode(), folder / MARK)


def last(output: Path) -> Checkpoint | None:
    """The newest whole checkpoint; None where there is none yet."""
    for folder in _checkpoints(output):
        marked = _object(folder / MARK)
        if marked is not None:
            return Checkpoint(folder, float(marked.get("seconds", 0)), float(marked.get("loop_seconds", 0)))
    return None


def check_place(output: Path, model: ModelFiles) -> None:
    """See that `output` can take a model: a new or empty folder, or one with a former run of ours.

    Never one that holds the model itself or the base of an adapter, which would be lost. Raises SettingsError.
    """
    if output.exists() and not output.is_dir():
        raise SettingsError(f"-o {output} is a file. Name a folder.")
    if not output.is_dir():
        return
    _check_apart(output.resolve(), output, model.folders)
    if Earlier.of(output) is not None:
        return
    theirs = next((found for name in (*_WEIGHTS, "checkpoint-*") for found in output.glob(name)), None)
    if theirs is not None:
        raise SettingsError(
            f"-o {output} holds a model ({theirs.name}) that no run of aifeedback made. Choose another -o."
        )
    if (output / _RECORD).exists():
        raise SettingsError(f"-o {output} holds a {_RECORD} that no run of aifeedback wrote. Choose another -o.")


def _check_apart(place: Path, output: Path, folders: Sequence[Path]) -> None:
    for number, folder in enumerate(folders):
        what = "the base of the adapter" if number else "the model"
        if folder == place:
            raise SettingsError(f"-o {output} is {what} itself, which training must not overwrite. Choose another -o.")
        if place in folder.parents:
            raise SettingsError(
                f"-o {output} holds {what} ({folder}), which training must not remove. Choose another -o."
            )


def clear(output: Path) -> None:
    """Make `output` and remove what a former run of ours left in it; other files stay. Raises OutputError.

    First its record says that it is not finished; it stays till the next run writes its own, so that there is no
    moment at which the folder looks like somebody else's, or a half removed run like a whole one.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        earlier = Earlier.of(output)
        if earlier is None:
            return
        write_whole(dumps({**earlier.record, "finished": False}).decode(), output / _RECORD)
        for folder in _checkpoints(output):
            shutil.rmtree(folder)
        for name in (*_WEIGHTS, *_REPORT):
            for found in output.glob(name):
                found.unlink()
        shutil.rmtree(output / "adapter", ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"{output} can't be written: {error.strerror or error}. Make room or choose another -o."
        ) from error


def _checkpoints(output: Path) -> list[Path]:
    """The newest first."""
    found = [(int(match[1]), path) for path in output.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def _object(path: Path) -> Mapping[str, Any] | None:
    try:
        value, _ = loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
