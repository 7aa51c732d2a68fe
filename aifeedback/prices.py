"""What requests cost: prices a token, usage to money, the most that a request may come to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from aifeedback.errors import SettingsError
from aifeedback.records import Message, Usage

PICO = 10**12
"""Money is counted in whole picodollars: sums are exact, in whatever order requests come back."""
_PER_TOKEN = PICO // 10**6
_OVERHEAD = 64
_DEAREST_USD = 10**9


@dataclass(frozen=True, slots=True)
class Most:
    """The most tokens that one request can be billed for."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Picodollars a token, and a request, for requests with more than `above` input tokens.

    `cached` and `written` are for the input that came from a cache or went into one, `reasoning` for that part of the
    output.
    """

    above: int
    input: int
    cached: int
    written: int
    output: int
    reasoning: int
    request: int = 0

    def of(self, usage: Usage) -> int:
        """What `usage` costs."""
        # Where the parts are more than the whole, the server counts them apart from it.
        plain = usage.input - usage.cached - usage.written
        plain = plain if plain >= 0 else usage.input
        spoken = usage.output - usage.reasoning
        spoken = spoken if spoken >= 0 else usage.output
        return (
            plain * self.input
            + usage.cached * self.cached
            + usage.written * self.written
            + spoken * self.output
            + usage.reasoning * self.reasoning
            + self.request
        )

    def most(self, most: Most) -> int:
        """What no request within `most` costs more than."""
        dearest = max(self.input, self.cached, self.written)
        return most.input * dearest + most.output * max(self.output, self.reasoning) + self.request


@dataclass(frozen=True, slots=True)
class Price:
    """What one critic costs. `steps` by rising `above`, the first from 0; `source` says who says so, and as of when."""

    steps: tuple[Rates, ...]
    source: str = ""

    def of(self, usage: Usage) -> int:
        """What `usage` costs, in picodollars: the whole of it at the rates of the highest step that its input reaches."""
        if len(self.steps) == 1:
            return self.steps[0].of(usage)
        return [step for step in self.steps if step is self.steps[0] or usage.input > step.above][-1].of(usage)

    def most(self, most: Most) -> int:
        """What no request within `most` costs more than, in picodollars."""
        return max(step.most(most) for step in self.steps if step is self.steps[0] or most.input > step.above)

    def __str__(self) -> str:
        if self is FREE:
            return self.source
        rates = self.steps[0]
        parts = [f"{_a_million(rates.input)} in"]
        if rates.cached != rates.input:
            parts.append(f"{_a_million(rates.cached)} cached")
        parts.append(f"{_a_million(rates.output)} out")
        more = "; more for long prompts" if len(self.steps) > 1 else ""
        return f"{', '.join(parts)} a million tokens{more} ({self.source})"


FREE = Price((Rates(0, 0, 0, 0, 0, 0),), "costs nothing")


def flat(input: Decimal | float, output: Decimal | float, cached: Decimal | float | None = None) -> Price:  # noqa: A002
    """A price that the user names, in USD a million tokens; without `cached` cached input costs as much as any other."""
    plain, spoken = a_token(input), a_token(output)
    read = plain if cached is None else a_token(cached)
    return Price((Rates(0, plain, read, plain, spoken, spoken),), "as you named it")


def with_dearer_writes(price: Price) -> Price:
    """The same where what goes into a cache costs a quarter more than other input, as Anthropic bills it."""
    steps = tuple(replace(step, written=-(-step.input * 5 // 4)) for step in price.steps)
    return replace(price, steps=steps)


def a_token(usd_a_million: Decimal | float) -> int:
    """USD a million tokens in picodollars a token; a fraction counts as a whole one."""
    exact = Decimal(str(usd_a_million)) * _PER_TOKEN
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def read_price(value: str | Sequence[object], name: str = "--price") -> Price | None:
    """What a flag, aifeedback.toml or an option says: INPUT,OUTPUT[,CACHED]; None for the empty text. Raises SettingsError."""
    parts = re.split(r"\s*,\s*", value.strip("[]() ")) if isinstance(value, str) else [str(part) for part in value]
    if parts in ([], [""]):
        return None
    try:
        numbers = [Decimal(part) for part in parts]
    except InvalidOperation:
        numbers = []
    usable = all(number.is_finite() and 0 <= number < _DEAREST_USD for number in numbers)
    if not usable or len(numbers) not in {2, 3}:
        raise SettingsError(
            f"{name} {value!r} is not INPUT,OUTPUT or INPUT,OUTPUT,CACHED in USD a million tokens. Write for instance 0.25,2 or 0.25,2,0.025."
        )
    return flat(*numbers)


def most_input(size: int, messages: int) -> int:
    """The most tokens that a text of `size` bytes in so many messages can be: a token is a byte or more.

    What servers put around a message is counted with it, generously.
    """
    return size + _OVERHEAD * (messages + 1)


def most_of(messages: Iterable[Message], max_tokens: int) -> Most:
    """The most that one request with these messages can be billed for."""
    sizes = [len(message.content.encode("utf-8", "surrogatepass")) for message in messages]
    return Most(most_input(sum(sizes), len(sizes)), max_tokens)


def pico(usd: float) -> int:
    """USD in picodollars; a fraction counts as a whole one."""
    return int((Decimal(str(usd)) * PICO).to_integral_value(rounding=ROUND_CEILING))


def usd(picodollars: int) -> float:
    """Picodollars in USD, to nine digits."""
    return round(picodollars / PICO, 9)


def in_dollars(amount: float) -> str:
    """An amount in USD as it is shown: to the cent, below a dollar to three digits that say something."""
    if amount >= 1:
        return f"${amount:,.2f}"
    whole, _, cents = f"{float(f'{amount:.3g}'):.9f}".rstrip("0").partition(".")
    return f"${whole}.{cents:0<2}"


def _a_million(picodollars: int) -> str:
    return "$" + f"{Decimal(picodollars) / _PER_TOKEN:f}"
