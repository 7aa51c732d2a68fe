"""Defaults from the environment (AIFEEDBACK_*) and aifeedback.toml; a flag beats both."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aifeedback.errors import SettingsError

FILE_NAME = "aifeedback.toml"
_PREFIX = "AIFEEDBACK_"
_PATHS = {"output", "rest", "summary", "examples", "store", "config", "json", "junit", "disagreements"}
# AIFEEDBACK_CONFIG names aifeedback.toml, whatever else a command calls its --config.
_NO_VARIABLE = {"config"}


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


def load(path: Path | None, flags: Mapping[str, Mapping[str, Flag]]) -> Config:
    """Read aifeedback.toml. Raises SettingsError with what is wrong with it.

    `flags`: each command's options by name (`min-preference`); those under `""` are common to all commands.
    """
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
    commands = {name: data.pop(name) for name in list(data) if name in flags and isinstance(data[name], dict)}
    known = {name for options in flags.values() for name in options}
    for table, values in (("", data), *commands.items()):
        meant = {*flags[table], *flags[""]} if table else known
        for key in values:
            if key.replace("_", "-") not in meant:
                where = f" in [{table}]" if table else ""
                raise SettingsError(
                    f"{path}: {key!r}{where} is no flag.{_near(key.replace('_', '-'), [*meant, *flags])}"
                )
    return Config(path, data, commands, critics)


def defaults(
    config: Config, command: str, flags: Mapping[str, Flag], environment: Mapping[str, str]
) -> dict[str, object]:
    """Default values for the parameters of `flags`: the file's, those of [command] before the others, under the environment's."""
    found: dict[str, object] = {}
    for values in (config.defaults, config.commands.get(command, {})):
        for key, value in values.items():
            flag = flags.get(key.replace("_", "-"))
            if flag is not None:
                found[flag.parameter] = _from_file(config, flag, value)
    for name, flag in flags.items():
        text = environment.get(_variable(name))
        if text and name not in _NO_VARIABLE:
            found[flag.parameter] = _several(name, text) if flag.multiple else text
    return found


def given_in(environment: Mapping[str, str], flags: Mapping[str, Flag]) -> frozenset[str]:
    """The parameters that the environment sets."""
    return frozenset(flag.parameter for name, flag in flags.items() if environment.get(_variable(name)))


def _variable(flag: str) -> str:
    return _PREFIX + flag.upper().replace("-", "_")


def _several(name: str, text: str) -> list[str]:
    """Several values in one variable: critics by white space, what may hold a space by lines."""
    return text.split() if name == "critic" else [line for line in text.splitlines() if line.strip()]


def _from_file(config: Config, flag: Flag, value: object) -> object:
    """A value as click takes it: lists where several are meant; a path counts from the file's own folder."""
    if flag.multiple:
        if isinstance(value, dict):
            between = ":" if flag.parameter == "header" else "="
            return [f"{key}{between}{item}" for key, item in value.items()]
        return value if isinstance(value, list) else [value]
    if isinstance(value, dict | list):
        import json

        return json.dumps(value, default=str)
    if isinstance(value, str) and config.path is not None:
        return _from_folder(config.path.parent, flag.parameter, value)
    return value


def _from_folder(folder: Path, parameter: str, value: str) -> str:
    """A path as seen from here that is written as seen from `folder`; any other text as it is."""
    mark = "@" if parameter == "criteria" and value.startswith("@") else ""
    a_path = parameter in _PATHS or mark or (parameter == "template" and ("/" in value or value.endswith(".md")))
    if not a_path or value in {"", "-"}:
        return value
    return mark + os.path.relpath(folder / Path(value.removeprefix(mark)).expanduser())


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return (
        f" Did you mean {near[0]}?"
        if near
        else " Each key is a flag without its dashes, each table a command or [critics.NAME]."
    )
