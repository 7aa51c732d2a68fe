"""LLaMA-Factory's `dataset_info.json`: our entries beside those that are there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from aifeedback.errors import InputError, SettingsError

NAME = "dataset_info.json"


def merged(path: Path, entries: Mapping[str, object]) -> list[bytes]:
    """The lines of the file with `entries` in it, all others as they were.

    Raises InputError for a file that is no JSON object, SettingsError where an entry of that name is about another file.
    """
    there = _read(path)
    for name, entry in entries.items():
        assert isinstance(entry, dict), "an entry is an object"
        old = there.get(name)
        if old is not None and not (isinstance(old, dict) and old.get("file_name") == entry["file_name"]):
            raise SettingsError(f"{path} has another dataset called {name}. Choose another name with -o.")
    return json.dumps({**there, **entries}, indent=2, ensure_ascii=False).encode().split(b"\n")


def _read(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{error.strerror}. Choose another folder with -o.", file=str(path)) from error
    except ValueError as error:
        raise InputError(f"no JSON ({error}). Mend it, or choose another folder with -o.", file=str(path)) from error
    if not isinstance(value, dict):
        raise InputError("no JSON object. Mend it, or choose another folder with -o.", file=str(path))
    return value
