"""What the findings come to: one sentence in plain words, and the lines to paste into aifeedback.toml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

from aifeedback.doctor.findings import Report
from aifeedback.endpoints.address import Address, is_secret, providers
from aifeedback.endpoints.features import RUNGS
from aifeedback.lanes import CriticSettings
from aifeedback.prices import PICO, Price

_WORKS = {"yes", "misplaced"}
_ROOM_FOR_THINKING = 8192


def rung_of(report: Report) -> str:
    """The best rung of the ladder that holds."""
    return next((rung for rung in RUNGS[:-1] if report.outcome(rung) in _WORKS), "text")


def verdict_on(report: Report) -> str:
    """One or a few sentences: whether it can be used and how; or why not and what to do."""
    if report.cause is not None:
        return f"Not usable: {report.cause}"
    return "Usable. " + " ".join(_sentences(report))


def _sentences(report: Report) -> Iterator[str]:
    if report.outcome("system") == "refused":
        yield "It refuses the role system: label puts that part of a template in front of the user's."
    yield f"{_form(report)}; {_soft(report)}."
    if report.outcome("max_tokens") == "refused" and report.outcome("max_completion_tokens") in {"yes", "ignored"}:
        yield "It takes max_completion_tokens in the place of max_tokens."
    if report.outcome("text") == "empty":
        yield f"It thinks longer than the room that it got: give it more with --max-tokens {_ROOM_FOR_THINKING}."
    elif report.outcome("thinking") == "yes":
        yield "It thinks before it answers: --max-tokens holds for both."
    if report.outcome("price") == "unknown":
        yield "Its price is not known: --max-cost needs --price."


def _form(report: Report) -> str:
    """In which form verdicts come."""
    rung = rung_of(report)
    if rung != "text":
        tool = ", as the input of a tool" if report.api == "messages" else ""
        where = ", and come beside the content" if report.outcome(rung) == "misplaced" else ""
        return f"Verdicts are asked for as {rung}{tool}{where}"
    outcomes = {name: report.outcome(name) for name in RUNGS[:-1]}
    whys = [f"{name} is {outcome}" for name, outcome in outcomes.items() if outcome in {"refused", "ignored", "empty"}]
    whys += [f"whether {name} holds can't be told" for name, outcome in outcomes.items() if outcome == "unknown"]
    return f"Verdicts are read from plain text ({', '.join(whys)})"


def _soft(report: Report) -> str:
    """Where soft labels come from."""
    outcome = report.outcome("logprobs")
    if outcome == "yes":
        return f"log probabilities come ({report.data('logprobs').get('top')} a token): soft labels work"
    if outcome == "unknown":
        return "whether log probabilities come can't be told"
    return "no log probabilities come, so soft labels take several samples (--samples)"


def toml_lines(
    report: Report,
    critic: CriticSettings,
    address: Address,
    environment: Mapping[str, str],
    *,
    name: str,
    price: Price | None,
) -> tuple[str, ...]:
    """A table for aifeedback.toml that names this critic as it was asked; never a key.

    `name`: what it is called there already. `price`: what the user says that it costs.
    """
    if report.cause is not None:
        return ()
    return (
        f"[critics.{_bare(name or address.model)}]",
        *_settings(critic, address, environment),
        *_own(report, critic, price),
    )


def _settings(critic: CriticSettings, address: Address, environment: Mapping[str, str]) -> Iterator[str]:
    """Where it is and what is sent there."""
    settings, provider = critic.endpoint, providers()[address.provider]
    yield f"critic = {_value(settings.critic)}"
    moved = bool(provider.base_url_env and environment.get(provider.base_url_env, "").strip())
    if settings.base_url or moved:
        yield f"base_url = {_value(address.shown)}"
    if settings.api_key_env:
        yield f"api_key_env = {_value(settings.api_key_env)}"
    elif moved and not settings.base_url and provider.key_env:
        yield f"api_key_env = {_value(provider.key_env)}"
    if settings.id:
        yield f"id = {_value(settings.id)}"
    named = "Authorization" in address.headers and address.headers["Authorization"].startswith("Basic ")
    left_out = ["the address's name and password"] if named and "Authorization" not in settings.headers else []
    query = dict(parse_qsl(urlsplit(address.url).query))  # also what stood in the base URL
    for key, values in (("headers", settings.headers), ("query", query), ("extra_body", settings.extra_body)):
        kept = {each: value for each, value in values.items() if not _secret(each, value, address)}
        left_out += [each for each in values if each not in kept]
        if kept:
            yield f"{key} = {_value(kept)}"
    if left_out:
        yield f"# Left out, as they are or may hold secrets: {', '.join(map(_value, left_out))}"


def _own(report: Report, critic: CriticSettings, price: Price | None) -> Iterator[str]:
    """What was said of this critic alone, and what it needs."""
    if critic.temperature is not None:
        yield f"temperature = {critic.temperature!r}"
    thinks_long = report.outcome("text") == "empty"
    if critic.max_tokens is not None or thinks_long:
        yield f"max_tokens = {max(critic.max_tokens or 0, _ROOM_FOR_THINKING if thinks_long else 0)}"
    if critic.reasoning_effort is not None:
        yield f"reasoning_effort = {_value(critic.reasoning_effort)}"
    if critic.weight != 1:
        yield f"weight = {float(critic.weight)!r}"
    if price is not None:
        rates = price.steps[0]
        yield f'price = "{",".join(_a_million(rate) for rate in (rates.input, rates.output, rates.cached))}"'
    elif report.outcome("price") == "unknown":
        yield '# price = "INPUT,OUTPUT"  # USD a million tokens; --max-cost needs it'


def _secret(name: str, value: object, address: Address) -> bool:
    """Whether a setting is a secret, holds one, or is nothing that TOML can say."""
    text = json.dumps(value, ensure_ascii=False)
    return is_secret(name) or any(secret in text for secret in address.secrets) or "null" in text


def _a_million(picodollars: int) -> str:
    """Picodollars a token as USD a million tokens."""
    return f"{Decimal(picodollars) * 10**6 / PICO:f}"


def _bare(name: str) -> str:
    """A name as a bare key of TOML."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "critic"


def _value(value: object) -> str:
    """A JSON value in TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(str(name))} = {_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
