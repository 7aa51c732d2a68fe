"""What the flags and [critics.NAME] say about critics becomes their settings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from aifeedback.endpoints.address import EndpointSettings, is_secret
from aifeedback.errors import SettingsError
from aifeedback.lanes import BUILTIN, CriticSettings

HINT = """no critic is named. For instance:
  aifeedback label pairs.jsonl --critic openai/gpt-5-mini      (with OPENAI_API_KEY set)
  aifeedback label pairs.jsonl --critic ollama/qwen3           (a model on this machine)
  aifeedback label pairs.jsonl --critic builtin                (no model, no key: to try the tool)"""

_KEYS = {
    "critic",
    "base_url",
    "api_key_env",
    "headers",
    "query",
    "extra_body",
    "id",
    "temperature",
    "max_tokens",
    "reasoning_effort",
}


@dataclass(frozen=True, slots=True)
class EndpointFlags:
    """The flags that point critics somewhere; they hold for each critic that doesn't say otherwise."""

    base_url: str
    api_key_env: str
    headers: Sequence[str]
    query: Sequence[str]
    extra_body: str


def critics(
    names: Sequence[str], flags: EndpointFlags, named: Mapping[str, Mapping[str, object]]
) -> list[CriticSettings]:
    """The critics that were named, in order. Raises SettingsError."""
    if not names:
        raise SettingsError(HINT)
    if len(set(names)) < len(names):
        raise SettingsError("--critic names the same critic twice. To ask it several times use --samples.")
    return [_critic(name, flags, named) for name in names]


def _critic(name: str, flags: EndpointFlags, named: Mapping[str, Mapping[str, object]]) -> CriticSettings:
    if name not in named:
        if "/" not in name and name != BUILTIN:
            near = difflib.get_close_matches(name, [*named, BUILTIN], 1)
            meant = (
                f"Did you mean {near[0]}?"
                if near
                else "Write PROVIDER/MODEL, or name it under [critics.NAME] in aifeedback.toml."
            )
            raise SettingsError(f"--critic {name}: no such critic. {meant}")
        return CriticSettings(_endpoint(name, flags, {}))
    table = dict(named[name])
    for key in table:
        if key not in _KEYS:
            if is_secret(key):
                raise SettingsError(
                    f"[critics.{name}]: a key does not belong into aifeedback.toml. Name the variable that holds it: api_key_env."
                )
            near = difflib.get_close_matches(key, _KEYS, 1)
            raise SettingsError(
                f"[critics.{name}]: unknown {key!r}. "
                + (f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(_KEYS))}.")
            )
    temperature, max_tokens, effort = table.get("temperature"), table.get("max_tokens"), table.get("reasoning_effort")
    return CriticSettings(
        _endpoint(str(table.get("critic", name)), flags, table),
        temperature=float(temperature) if isinstance(temperature, int | float) else None,
        max_tokens=max_tokens if isinstance(max_tokens, int) else None,
        reasoning_effort=effort if isinstance(effort, str) else None,
    )


def _endpoint(critic: str, flags: EndpointFlags, table: Mapping[str, object]) -> EndpointSettings:
    return EndpointSettings(
        critic=critic,
        base_url=str(table.get("base_url", flags.base_url)),
        api_key_env=str(table.get("api_key_env", flags.api_key_env)),
        headers=_pairs(flags.headers, ":", "--header") | _texts(table.get("headers")),
        query=_pairs(flags.query, "=", "--query") | _texts(table.get("query")),
        extra_body=_object(flags.extra_body) | _values(table.get("extra_body")),
        id=str(table.get("id", "")),
    )


def _pairs(texts: Sequence[str], separator: str, flag: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        # In aifeedback.toml both are tables, which arrive as NAME=VALUE.
        name, found_separator, value = text.partition(separator) if separator in text else text.partition("=")
        if not found_separator or not name.strip():
            shown = name.strip() or "?"
            raise SettingsError(
                f"{flag} {shown}: not NAME{separator}VALUE. Write for instance {flag} {'X-Title: labels' if separator == ':' else 'api-version=2024-10-21'}."
            )
        found[name.strip()] = value.strip()
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
