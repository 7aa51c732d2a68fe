"""Which checkpoints are whole and belong to this run, so that an interrupted one can go on where it was."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from aifeedback.errors import OutputError, SettingsError
from aifeedback.jsontext import dumps, loads

MARK = "aifeedback.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_OURS = ("training.json", "training.html", "README.md")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "adapter_config.json", "config.json", "generation_config.json")


def mark(folder: Path, fingerprint: Mapping[str, str]) -> None:
    """Say that the checkpoint in `folder` is whole, and whose it is. Written last: without it, it doesn't count."""
    partial = folder / f".{MARK}"
    partial.write_bytes(dumps(dict(fingerprint)))
    partial.replace(folder / MARK)


def last(output: Path, fingerprint: Mapping[str, str]) -> Path | None:
    """The newest whole checkpoint of this very run; None where there is none yet.

    Raises SettingsError where the checkpoints come from other labels, another model or other settings: a run that
    went on from them would be neither the one nor the other.
    """
    for folder in _checkpoints(output):
        theirs = _marked(folder)
        if theirs is None:
            continue
        different = sorted(name for name in {*theirs, *fingerprint} if theirs.get(name) != fingerprint.get(name))
        if different:
            raise SettingsError(
                f"{folder} was made with other {', '.join(different)}. Give what that run was given, or choose another -o."
            )
        return folder
    return None


def check_place(output: Path, model: str) -> None:
    """See that `output` can take a model: a new or empty folder, or one with a former run of ours, never the model itself.

    Raises SettingsError, OutputError.
    """
    if output.exists() and not output.is_dir():
        raise SettingsError(f"-o {output} is a file. Name a folder.")
    if not output.is_dir():
        return
    if Path(model).is_dir() and output.resolve() == Path(model).resolve():
        raise SettingsError(f"-o {output} is the model itself, which training must not overwrite. Choose another -o.")
    holds_a_model = next((found for name in (*_WEIGHTS, "checkpoint-*") for found in output.glob(name)), None)
    if holds_a_model is not None and not (output / "training.json").is_file():
        raise SettingsError(
            f"-o {output} holds a model ({holds_a_model.name}) that no run of aifeedback made. Choose another -o."
        )


def clear(output: Path) -> None:
    """Make `output` and remove what a former run of ours left in it; other files stay. Raises OutputError."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        if (output / "training.json").is_file():
            for folder in _checkpoints(output):
                shutil.rmtree(folder)
            for name in (*_WEIGHTS, *_OURS):
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


def _marked(folder: Path) -> dict[str, str] | None:
    with contextlib.suppress(OSError, ValueError):
        value, _ = loads((folder / MARK).read_bytes())
        if isinstance(value, dict):
            return {str(name): str(item) for name, item in value.items()}
    return None
