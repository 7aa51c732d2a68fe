"""What the flags and [critics.NAME] say about critics becomes their settings."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import orjson

from aifeedback.endpoints.address import EndpointSettings, is_secret
from aifeedback.errors import SettingsError
from aifeedback.lanes import BUILTIN, CriticSettings
from aifeedback.prices import read_price

V = TypeVar("V")

HINT = """no critic is named. For instance:
  aifeedback {command} --critic openai/gpt-5-mini      (with OPENAI_API_KEY set)
  aifeedback {command} --critic ollama/qwen3           (a model on this machine)
  aifeedback {command} --critic builtin                (no model, no key: to try the tool)"""

_KEYS: dict[str, tuple[type, ...]] = {
    "critic": (str,),
    "base_url": (str,),
    "api_key_env": (str,),
    "headers": (dict,),
    "query": (dict,),
    "extra_body": (dict,),
    "id": (str,),
    "temperature": (int, float),
    "max_tokens": (int,),
    "reasoning_effort": (str,),
    "price": (str, list),
    "weight": (int, float),
}
_WORDS = {
    str: "a text",
    dict: "a table",
    list: "a list of two or three numbers",
    int: "a whole number",
    float: "a number",
}


@dataclass(frozen=True, slots=True)
class EndpointFlags:
    """The flags that point critics somewhere; they hold for each critic that doesn't say otherwise.

    `given` names the parameters that stand on the command line or in the environment: those beat [critics.NAME].
    """

    base_url: str
    api_key_env: str
    headers: Sequence[str]
    query: Sequence[str]
    extra_body: str
    given: frozenset[str] = frozenset()


def critics(
    names: Sequence[str],
    flags: EndpointFlags,
    named: Mapping[str, Mapping[str, object]],
    *,
    file: Path | None = None,
    command: str = "label pairs.jsonl",
) -> list[CriticSettings]:
    """The critics that `command` names, in order. `file` is where [critics.NAME] stands. Raises SettingsError."""
    if not names:
        raise SettingsError(HINT.format(command=command))
    if len(set(names)) < len(names):
        raise SettingsError("--critic names the same critic twice. To ask it several times use --samples.")
    return [critic(name, flags, named, file=file) for name in names]


def critic(
    name: str,
    flags: EndpointFlags,
    named: Mapping[str, Mapping[str, object]],
    *,
    file: Path | None = None,
    flag: str = "--critic",
) -> CriticSettings:
    """One critic that `flag` names. Raises SettingsError."""
    if name not in named:
        if "/" not in name and name != BUILTIN:
            near = difflib.get_close_matches(name, [*named, BUILTIN], 1)
            meant = (
                f"Did you mean {near[0]}?"
                if near
                else "Write PROVIDER/MODEL, or name it under [critics.NAME] in aifeedback.toml."
            )
            raise SettingsError(f"{flag} {name}: no such critic. {meant}")
        return CriticSettings(_endpoint(name, flags, {}))
    # --critic chose the table: it can't also beat what stands there.
    beaten = flags.given - {"critic", *_MERGED}
    if "base_url" in beaten:
        beaten |= {"api_key_env"}  # the key that the table names is meant for the table's own host
    table = {key: value for key, value in _checked(name, named[name], file).items() if key not in beaten}
    price = table.get("price")
    temperature, max_tokens, effort = table.get("temperature"), table.get("max_tokens"), table.get("reasoning_effort")
    return CriticSettings(
        _endpoint(str(table.get("critic", name)), flags, table),
        temperature=float(temperature) if isinstance(temperature, int | float) else None,
        max_tokens=max_tokens if isinstance(max_tokens, int) else None,
        reasoning_effort=effort if isinstance(effort, str) else None,
        price=read_price(price, f"[critics.{name}]: price") if isinstance(price, str | list) else None,
        weight=Fraction(str(table.get("weight", 1))),  # as it was written: 0.3 is 3/10
    )


_MERGED = ("header", "query", "extra_body")


def _checked(name: str, table: Mapping[str, object], file: Path | None) -> Mapping[str, object]:
    """The table of a named critic. Raises SettingsError for a key or a type that means nothing, or where none is named."""
    where = f"{file}: [critics.{name}]" if file else f"[critics.{name}]"
    table = {key.replace("-", "_"): value for key, value in table.items()}
    if "critic" not in table and "/" not in name:
        raise SettingsError(f'{where}: no critic is named. Write for instance critic = "openai/gpt-5-mini" in it.')
    for key, value in table.items():
        if key not in _KEYS and is_secret(key):
            raise SettingsError(
                f"{where}: a key does not belong into aifeedback.toml. Name the variable that holds it: api_key_env."
            )
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            meant = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(_KEYS))}."
            raise SettingsError(f"{where}: unknown {key!r}. {meant}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise SettingsError(f"{where}: {key} is not {_WORDS[_KEYS[key][-1]]}. Mend it.")
    weight = table.get("weight", 1)
    if not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise SettingsError(
            f"{where}: weight {weight} is no number above 0. Leave it out where all critics count alike."
        )
    return table


def _endpoint(critic: str, flags: EndpointFlags, table: Mapping[str, object]) -> EndpointSettings:
    return EndpointSettings(
        critic=critic,
        base_url=str(table.get("base_url", flags.base_url)),
        api_key_env=str(table.get("api_key_env", flags.api_key_env)),
        headers=_merged(_pairs(flags.headers, ":", "--header"), _texts(table.get("headers")), "header" in flags.given),
        query=_merged(_pairs(flags.query, "=", "--query"), _texts(table.get("query")), "query" in flags.given),
        extra_body=_merged(_object(flags.extra_body), _values(table.get("extra_body")), "extra_body" in flags.given),
        id=str(table.get("id", "")),
    )


def _merged(flag: Mapping[str, V], table: Mapping[str, V], given: bool) -> dict[str, V]:  # noqa: FBT001
    """Both; of the same name the flag's where it was given, else the table's, which is nearer than a default for all."""
    return {**table, **flag} if given else {**flag, **table}


def _pairs(texts: Sequence[str], separator: str, flag: str) -> dict[str, str]:
    # In aifeedback.toml both are tables, which arrive as NAME=VALUE; the name of a header holds neither sign.
    signs = ":=" if separator == ":" else "="
    found: dict[str, str] = {}
    for text in texts:
        match = re.fullmatch(rf"\s*([^{signs}\s][^{signs}]*)[{signs}](.*)", text, re.DOTALL)
        if match is None:  # it is not shown: it may hold a key
            example = "X-Title: labels" if separator == ":" else "api-version=2024-10-21"
            raise SettingsError(f"{flag}: one is not NAME{separator}VALUE. Write for instance {flag} '{example}'.")
        found[match[1].strip()] = match[2].strip()
    return found


def _texts(value: object) -> dict[str, str]:
    return {str(name): str(item) for name, item in _values(value).items()}


def _values(value: object) -> dict[str, object]:
    return {str(name): item for name, item in value.items()} if isinstance(value, Mapping) else {}


def _object(text: str) -> dict[str, object]:
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise SettingsError(f"--extra-body is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise SettingsError("--extra-body is no JSON object. Write for instance --extra-body '{\"top_p\": 0.9}'.")
    return value
