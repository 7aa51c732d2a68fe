"""What a run was told: frozen values, checked where they are made; reads no file and no environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from aifeedback.errors import SettingsError
from aifeedback.prices import Price
from aifeedback.records import Order

OnConflict = Literal["drop", "tie", "soft", "escalate"]
Soft = Literal["auto", "logprobs", "samples", "off"]
Panel = Literal["mean", "majority"]
Explain = Literal["none", "reason", "full"]
Meta = Literal["keep", "text", "drop"]
LengthControl = Literal["off", "flag", "drop"]
Shape = Literal["auto", "strings", "messages"]
PairsOf = Literal["all", "adjacent", "best-worst"]
FormName = Literal["pair", "candidates", "preference", "transcript", "alpaca", "ultrafeedback"]


@dataclass(frozen=True, slots=True)
class InputSettings:
    """How lines become pairs. `map` renames: our field to the input's. `seed` decides which of chosen, rejected is a."""

    format: FormName | None = None
    map: Mapping[str, str] = field(default_factory=dict[str, str])
    pairs: PairsOf = "all"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """How verdicts become a label. Raises SettingsError for a `min_preference` outside [0.5, 1].

    `panel`: how several critics' verdicts become one. `weights`: of each critic by its name, as whole numbers, since
    only their proportions count; empty where all count alike.
    """

    on_conflict: OnConflict = "drop"
    min_preference: float = 0.5
    panel: Panel = "mean"
    weights: Mapping[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        if not 0.5 <= self.min_preference <= 1.0:
            raise SettingsError(f"--min-preference {self.min_preference} is not between 0.5 and 1.")


def whole_weights(weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Weights above 0 as whole numbers in the same proportions; nothing where all are alike."""
    if len(set(weights.values())) <= 1:
        return {}
    whole = math.lcm(*(weight.denominator for weight in weights.values()))
    return {name: int(weight * whole) for name, weight in weights.items()}


@dataclass(frozen=True, slots=True)
class AskSettings:
    """What is asked about each pair, as far as it decides the questions: all of it is part of a reply's key.

    `temperature` None is 0, or 1.0 with `samples` above 1; `max_tokens` bounds the reply; `extra_body` goes into each
    request as it is.
    """

    orders: tuple[Order, ...] = (Order.AB, Order.BA)
    samples: int = 1
    temperature: float | None = None
    max_tokens: int = 2048
    reasoning_effort: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise SettingsError(f"--samples {self.samples}: at least 1 is needed.")
        if self.samples > 1 and self.temperature == 0:
            raise SettingsError(
                "--samples above 1 with --temperature 0 asks the same thing again and again. Leave --temperature out or raise it."
            )
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise SettingsError(f"--temperature {self.temperature} is not between 0 and 2.")
        if self.max_tokens < 1:
            raise SettingsError(f"--max-tokens {self.max_tokens}: at least 1 is needed.")

    @property
    def effective_temperature(self) -> float:
        """The temperature that is asked for."""
        if self.temperature is not None:
            return self.temperature
        return 0.0 if self.samples == 1 else 1.0


@dataclass(frozen=True, slots=True)
class AskingSettings:
    """How long and how hard an answer is sought.

    `patience_s`: how long an endpoint that is gone is waited for; None is 10 minutes, or 10 s for one that never
    answered. `max_requests` 0 and `max_cost_usd` None are no limit. `price`: of the critics that have none of their own,
    None where the price list is asked.
    """

    retries: int = 8
    patience_s: float | None = None
    max_requests: int = 0
    max_cost_usd: float | None = None
    price: Price | None = None

    def __post_init__(self) -> None:
        if self.max_cost_usd is not None and not 0 < self.max_cost_usd < math.inf:
            raise SettingsError(f"--max-cost {self.max_cost_usd:g} is no amount above 0. For no limit leave it out.")


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """How labels are written, and whether those that length decided are marked or dropped."""

    shape: Shape = "auto"
    meta: Meta = "keep"
    explain: Explain = "reason"
    length_control: LengthControl = "off"
