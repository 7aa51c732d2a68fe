"""Critics as the user names them become lanes to ask through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aifeedback.critics import Critic
from aifeedback.endpoints.address import EndpointSettings, providers, resolve, without_secrets
from aifeedback.endpoints.pace import Pace
from aifeedback.errors import SettingsError
from aifeedback.keys import Asked
from aifeedback.lane import Lane
from aifeedback.prices import FREE, Most, Price, most_of, with_dearer_writes
from aifeedback.records import Question
from aifeedback.settings import AskingSettings, AskSettings
from aifeedback.store import Store

if TYPE_CHECKING:
    from aifeedback.endpoints.chat import ChatParameters

BUILTIN = "builtin"


@dataclass(frozen=True, slots=True)
class CriticSettings:
    """One critic: where it is, what is asked of it in its own way and what it costs (None: as the run's settings say).

    `weight`: how much it counts in a panel, above 0.
    """

    endpoint: EndpointSettings
    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    price: Price | None = None
    weight: Fraction = Fraction(1)

    def over(self, ask: AskSettings) -> AskSettings:
        """The run's settings with this critic's own on top."""
        return replace(
            ask,
            temperature=ask.temperature if self.temperature is None else self.temperature,
            max_tokens=ask.max_tokens if self.max_tokens is None else self.max_tokens,
            reasoning_effort=ask.reasoning_effort if self.reasoning_effort is None else self.reasoning_effort,
        )


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """How fast an endpoint may be asked.

    `concurrency` is a ceiling; `rpm` and `tpm` are requests and tokens a minute, 0 is no limit; `timeout_s` is for the
    whole of one request.
    """

    concurrency: int = 256
    rpm: float = 0.0
    tpm: float = 0.0
    timeout_s: float = 120.0

    def pace(self, *, first_alone: bool = False) -> Pace:
        """A pace within these limits."""
        return Pace(self.concurrency, rpm=self.rpm, tpm=self.tpm, first_alone=first_alone)


@asynccontextmanager
async def open_lanes(
    critics: Sequence[CriticSettings | Critic],
    ask: AskSettings,
    settings: LaneSettings,
    *,
    asking: AskingSettings,
    store: Store,
    environment: Mapping[str, str],
    context: Mapping[str, str],
    note: Callable[[str], None],
    replay: bool = False,
) -> AsyncIterator[list[Lane]]:
    """A lane for each critic, connected; `note` hears what is worth telling once. Raises SettingsError.

    With `replay` nobody stands behind them: what is not stored has no answer, and no key is looked at.
    """
    async with AsyncExitStack() as stack:
        lanes: list[Lane] = []
        for critic in critics:
            price = price_of(critic, asking, environment)
            if replay:
                lanes.append(_nobody(critic, asked_of(critic, ask, environment, context), price))
            elif not isinstance(critic, CriticSettings):
                lanes.append(_own(critic, ask, settings, context, price))
            elif critic.endpoint.critic == BUILTIN:
                lanes.append(_builtin(context))
            else:
                lanes.append(
                    await _endpoint(
                        critic,
                        ask,
                        settings,
                        stack,
                        price=price,
                        store=store,
                        environment=environment,
                        context=context,
                        note=note,
                    )
                )
        yield lanes


def check(
    critics: Sequence[CriticSettings | Critic],
    environment: Mapping[str, str],
    asking: AskingSettings,
    *,
    needs_key: bool = True,
) -> None:
    """Raises SettingsError for a critic that can't be asked as it is named: before anything else is done."""
    names = [name_of(critic) for critic in critics]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(
                f"two critics are called {name}, and their verdicts could not be told apart. Name each once."
            )
    for critic in critics:
        if isinstance(critic, CriticSettings) and critic.endpoint.critic != BUILTIN:
            resolve(critic.endpoint, environment, needs_key=needs_key)
    if asking.max_cost_usd is not None:
        for critic in critics:
            if price_of(critic, asking, environment) is None:
                raise SettingsError(_priceless(critic))


def name_of(critic: CriticSettings | Critic) -> str:
    """The critic's name as it stands in verdicts."""
    return critic.endpoint.critic if isinstance(critic, CriticSettings) else critic.name


def price_of(critic: CriticSettings | Critic, asking: AskingSettings, environment: Mapping[str, str]) -> Price | None:
    """What a critic costs: as the user says, as the price list has it, nothing on this machine; None if unknown."""
    if not isinstance(critic, CriticSettings):
        return asking.price
    if critic.endpoint.critic == BUILTIN:
        return FREE
    address = resolve(critic.endpoint, environment, needs_key=False)
    named = critic.price or asking.price
    if named is not None:
        return with_dearer_writes(named) if address.dialect == "messages" else named
    provider = providers()[address.provider]
    moved = address.shown != provider.base_url
    if provider.local and not moved:
        return FREE
    if provider.local and not _has_a_name(address.shown):
        return None
    # 0.2 s of imports, and nobody needs them who asks a model of their own.
    from aifeedback.endpoints.price_list import listed

    return listed(provider, address.model, url=address.shown, moved=moved, asked_for=critic.endpoint.extra_body)


def most_for(
    critic: CriticSettings | Critic, ask: AskSettings, environment: Mapping[str, str]
) -> Callable[[Question], Most]:
    """The most that asking a critic a question can be billed for, as far as that is known before it was ever asked."""
    if not isinstance(critic, CriticSettings):
        return lambda question: most_of(question.messages, ask.max_tokens)
    if critic.endpoint.critic == BUILTIN:
        return lambda _: Most(0, 0)
    from aifeedback.endpoints.dialects import DIALECTS
    from aifeedback.endpoints.features import Features

    address = resolve(critic.endpoint, environment, needs_key=False)
    parameters, dialect = _parameters(critic, ask, address.model), DIALECTS[address.dialect]
    return lambda question: dialect.most(question, parameters, Features())


def _parameters(critic: CriticSettings, ask: AskSettings, model: str) -> ChatParameters:
    from aifeedback.endpoints.chat import ChatParameters

    own = critic.over(ask)
    return ChatParameters(
        model, own.effective_temperature, own.max_tokens, own.reasoning_effort, critic.endpoint.extra_body
    )


def _has_a_name(url: str) -> bool:
    """Whether a host is named as those of providers are: not this machine, and no bare number."""
    host = urlsplit(url).hostname or ""
    return "." in host and any(character.isalpha() for character in host) and ":" not in host


def _priceless(critic: CriticSettings | Critic) -> str:
    """What to say of a critic whose price is not known."""
    name = name_of(critic)
    known: list[str] = []
    if isinstance(critic, CriticSettings):
        from aifeedback.endpoints.price_list import near

        provider, _, model = name.partition("/")
        known = near(providers()[provider], model)
    like = f" Known are {', '.join(known)}." if known else ""
    return f"--max-cost: the price of {name} is not known.{like} Name it in USD a million tokens: --price INPUT,OUTPUT."


def asked_of(
    critic: CriticSettings | Critic, ask: AskSettings, environment: Mapping[str, str], context: Mapping[str, str]
) -> Asked:
    """Under what a critic's replies are kept. Raises SettingsError."""
    if not isinstance(critic, CriticSettings):
        return _asked(f"object:{critic.name}", critic.name, ask, {}, context)
    if critic.endpoint.critic == BUILTIN:
        from aifeedback.critics.builtin import MODEL

        return Asked(BUILTIN, MODEL, {}, context)
    # Looking up needs no key: it changes nothing in what was asked.
    address = resolve(critic.endpoint, environment, needs_key=False)
    return _asked(address.identity, address.model, critic.over(ask), critic.endpoint.extra_body, context)


def _asked(
    endpoint: str, model: str, ask: AskSettings, extra_body: Mapping[str, object], context: Mapping[str, str]
) -> Asked:
    parameters = {
        "temperature": ask.effective_temperature,
        "max_tokens": ask.max_tokens,
        "reasoning_effort": ask.reasoning_effort,
        "extra_body": without_secrets(extra_body),
    }
    return Asked(endpoint, model, parameters, context)


def _own(
    critic: Critic, ask: AskSettings, settings: LaneSettings, context: Mapping[str, str], price: Price | None
) -> Lane:
    """A critic that is the caller's own object."""
    return Lane(
        critic, asked_of(critic, ask, {}, context), settings.pace(), price=price, most=most_for(critic, ask, {})
    )


def _nobody(critic: CriticSettings | Critic, asked: Asked, price: Price | None) -> Lane:
    from aifeedback.critics.nobody import Nobody

    return Lane(Nobody(name_of(critic)), asked, Pace(1), price=price, most=lambda _: Most(0, 0))


def _builtin(context: Mapping[str, str]) -> Lane:
    from aifeedback.critics.builtin import MODEL, BuiltinCritic

    return Lane(BuiltinCritic(), Asked(BUILTIN, MODEL, {}, context), Pace(4), price=FREE, most=lambda _: Most(0, 0))


async def _endpoint(
    critic: CriticSettings,
    ask: AskSettings,
    settings: LaneSettings,
    stack: AsyncExitStack,
    *,
    price: Price | None,
    store: Store,
    environment: Mapping[str, str],
    context: Mapping[str, str],
    note: Callable[[str], None],
) -> Lane:
    from aifeedback.critics.endpoint import EndpointCritic
    from aifeedback.endpoints.features import Features, remembered

    address = resolve(critic.endpoint, environment)

    def learnt(features: Features, said: str) -> None:
        store.learn(address.identity, address.model, features.as_dict())
        note(f"{address.provider}/{address.model} {said} and is asked in another way from now on.")

    endpoint = EndpointCritic(
        address,
        _parameters(critic, ask, address.model),
        timeout_s=settings.timeout_s,
        connections=settings.concurrency,
        features=remembered(store.learnt(address.identity, address.model)),
        on_learnt=learnt,
    )
    await stack.enter_async_context(endpoint)
    asked = asked_of(critic, ask, environment, context)
    return Lane(endpoint, asked, settings.pace(first_alone=True), price=price, most=endpoint.most)
