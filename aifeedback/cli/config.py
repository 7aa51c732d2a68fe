"""Defaults from the environment (AIFEEDBACK_*) and aifeedback.toml; a flag beats both."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aifeedback.errors import SettingsError

FILE_NAME = "aifeedback.toml"
_PREFIX = "AIFEEDBACK_"
_NOT_FLAGS = {"config", "test_data"}
_PATHS = {"output", "rest", "summary", "examples", "store"}


@dataclass(frozen=True, slots=True)
class Config:
    """aifeedback.toml: `defaults` by flag for all commands, tables for single ones, and the named critics."""

    path: Path | None = None
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    commands: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    critics: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of a command as far as defaults for it need knowing."""

    parameter: str
    multiple: bool


def find(start: Path) -> Path | None:
    """The nearest aifeedback.toml from `start` upward."""
    return next((path for folder in (start, *start.parents) if (path := folder / FILE_NAME).is_file()), None)


def load(path: Path | None) -> Config:
    """Read aifeedback.toml. Raises SettingsError with what is wrong with it."""
    if path is None:
        return Config()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Name another file with --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}. Mend it, or name another file with --config.") from error
    critics = data.pop("critics", {})
    if not isinstance(critics, dict) or not all(isinstance(critic, dict) for critic in critics.values()):
        raise SettingsError(f"{path}: critics are tables. Write [critics.NAME] above a critic's settings.")
    commands = {name: data.pop(name) for name in list(data) if isinstance(data[name], dict)}
    return Config(path, data, commands, critics)


def defaults(
    config: Config, command: str, flags: Mapping[str, Flag], known: frozenset[str], environment: Mapping[str, str]
) -> dict[str, object]:
    """Default values for a command's parameters: the file's, under the environment's.

    `flags`: the command's options by name (`min-preference`); `known`: those of all commands.
    """
    found: dict[str, object] = {}
    for table, values in (("", config.defaults), (command, config.commands.get(command, {}))):
        for key, value in values.items():
            name = key.replace("_", "-")
            if name in flags:
                found[flags[name].parameter] = _from_file(config, flags[name], value)
            elif table or name not in known:
                raise SettingsError(f"{config.path}: no flag --{name}{_near(name, flags if table else known)}")
    for variable, text in environment.items():
        name = variable.removeprefix(_PREFIX).lower().replace("_", "-")
        if variable.startswith(_PREFIX) and name in flags and text:
            flag = flags[name]
            found[flag.parameter] = text.split() if flag.multiple else text
    return found


def _from_file(config: Config, flag: Flag, value: object) -> object:
    """A value as click takes it: lists where several are meant; a path counts from the file's own folder."""
    if flag.multiple:
        if isinstance(value, dict):
            return [f"{key}={item}" for key, item in value.items()]
        return value if isinstance(value, list) else [value]
    if isinstance(value, dict | list):
        import json

        return json.dumps(value)
    if flag.parameter in _PATHS and isinstance(value, str) and value != "-" and config.path is not None:
        return os.path.relpath(config.path.parent / Path(value).expanduser())
    return value


def _near(name: str, known: Mapping[str, Flag] | frozenset[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f". Did you mean {near[0]}?" if near else ". Each key is a flag without its dashes."
