"""What providers charge, as genai-prices lists it: the copy that is installed, never the network."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from aifeedback.endpoints.address import Provider
from aifeedback.prices import Price, Rates, a_token

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice
    from genai_prices.types import Provider as Lister

_AHEAD = timedelta(hours=48)
_EVERY = timedelta(minutes=30)
_NEAR = 3


def listed(
    provider: Provider,
    model: str,
    *,
    url: str,
    moved: bool,
    asked_for: Mapping[str, object],
    now: datetime | None = None,
) -> Price | None:
    """The price of a provider's model, or None where it is not listed.

    An endpoint that was `moved` away from the provider's own has its own price, where its `url` is one that the list
    knows; else a hosted model costs what it costs at home, and a local one's price is not known. `asked_for`: the
    fields of a request, some of which (`service_tier`) make it dearer. Where the price depends on the hour or changes
    within two days, the dearest counts.
    """
    lister = (_by_url(url) if moved else None) or _by_name(provider.prices)
    found = _model(lister, model) if lister is not None else None
    if found is None:
        return None
    moment = now or datetime.now(UTC)
    context = {name: value for name, value in asked_for.items() if isinstance(value, str)}
    times = (
        [moment + number * _EVERY for number in range(_AHEAD // _EVERY)] if isinstance(found.prices, list) else [moment]
    )
    prices = [found.get_prices(time, context or None) for time in times]
    if any(_rate(price, name, 0) is None for price in prices for name in ("input_mtok", "output_mtok")):
        return None  # no price for a chat: an embedding, a transcript, or a model that nobody has priced yet
    starts = sorted({0, *(start for price in prices for start in _starts(price))})
    return Price(tuple(_dearest(prices, start) for start in starts), _source(moment.date()))


def near(provider: Provider, model: str) -> list[str]:
    """Models with a price whose names are like this one, as `--critic` takes them; the likest first."""
    lister = _by_name(provider.prices)
    if lister is None:
        return []
    names = {each.id: None for each in lister.models if each.prices and lister.find_model(each.id)}
    return [f"{provider.name}/{name}" for name in difflib.get_close_matches(model.lower(), names, _NEAR, 0.5)]


def _by_name(name: str) -> Lister | None:
    return next((lister for lister in _listers() if lister.id == name), None) if name else None


def _by_url(url: str) -> Lister | None:
    return next((lister for lister in _listers() if re.match(lister.api_pattern, url)), None)


def _listers() -> list[Lister]:
    from genai_prices.data import providers

    return providers


def _model(lister: Lister, model: str) -> ModelInfo | None:
    return lister.find_model(model, all_providers=_listers())


def _dearest(prices: list[ModelPrice], above: int) -> Rates:
    """The highest of each rate for requests with more than `above` input tokens."""
    rates = [_rates(price, above) for price in prices]
    return Rates(above, *(max(column) for column in zip(*rates, strict=True)))


def _rates(price: ModelPrice, above: int) -> tuple[int, ...]:
    plain, spoken = _rate(price, "input_mtok", above) or 0, _rate(price, "output_mtok", above) or 0
    cached, written, reasoning = (
        _rate(price, name, above) for name in ("cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")
    )
    request = price.requests_kcount
    return (
        plain,
        plain if cached is None else cached,
        plain if written is None else written,
        spoken,
        spoken if reasoning is None else reasoning,
        a_token(request * 1000) if isinstance(request, Decimal) else 0,
    )


def _rate(price: ModelPrice, name: str, above: int) -> int | None:
    """Picodollars a token; with steps, the whole of a request is charged at the highest step that its input reaches."""
    value = getattr(price, name)
    if value is None:
        return None
    if isinstance(value, Decimal):
        return a_token(value)
    reached = [tier.price for tier in value.tiers if tier.start <= above]  # by rising start
    return a_token(reached[-1] if reached else value.base)


def _starts(price: ModelPrice) -> Iterator[int]:
    for name in ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok"):
        value = getattr(price, name)
        if value is not None and not isinstance(value, Decimal):
            yield from (tier.start for tier in value.tiers)


def _source(today: date) -> str:
    """The list's version, and the day of its newest price that is in force: it says nothing else about its age."""
    from genai_prices import __version__
    from genai_prices.types import StartDateConstraint

    days = [
        each.constraint.start_date
        for lister in _listers()
        for model in lister.models
        if isinstance(model.prices, list)
        for each in model.prices
        if isinstance(each.constraint, StartDateConstraint)
    ]
    return f"genai-prices {__version__}, newest price of {max(day for day in days if day <= today)}"
