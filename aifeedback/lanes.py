"""Critics as the user names them become lanes to ask through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from aifeedback.critics import Critic
from aifeedback.endpoints.address import EndpointSettings, resolve, without_secrets
from aifeedback.endpoints.pace import Pace
from aifeedback.errors import SettingsError
from aifeedback.keys import Asked
from aifeedback.lane import Lane
from aifeedback.settings import AskSettings
from aifeedback.store import Store

BUILTIN = "builtin"


@dataclass(frozen=True, slots=True)
class CriticSettings:
    """One critic: where it is and what is asked of it in its own way (None: as the run's settings say)."""

    endpoint: EndpointSettings
    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None

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
    store: Store,
    environment: Mapping[str, str],
    context: Mapping[str, str],
    note: Callable[[str], None],
) -> AsyncIterator[list[Lane]]:
    """A lane for each critic, connected; `note` hears what is worth telling once. Raises SettingsError."""
    async with AsyncExitStack() as stack:
        lanes: list[Lane] = []
        for critic in critics:
            if not isinstance(critic, CriticSettings):
                lanes.append(_own(critic, ask, settings, context))
            elif critic.endpoint.critic == BUILTIN:
                lanes.append(_builtin(context))
            else:
                lanes.append(
                    await _endpoint(
                        critic, ask, settings, stack, store=store, environment=environment, context=context, note=note
                    )
                )
        yield lanes


def check(critics: Sequence[CriticSettings | Critic], environment: Mapping[str, str]) -> None:
    """Raises SettingsError for a critic that can't be asked as it is named: before anything else is done."""
    names = [critic.endpoint.critic if isinstance(critic, CriticSettings) else critic.name for critic in critics]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(
                f"two critics are called {name}, and their verdicts could not be told apart. Name each once."
            )
    for critic in critics:
        if isinstance(critic, CriticSettings) and critic.endpoint.critic != BUILTIN:
            resolve(critic.endpoint, environment)


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


def _own(critic: Critic, ask: AskSettings, settings: LaneSettings, context: Mapping[str, str]) -> Lane:
    """A critic that is the caller's own object."""
    return Lane(critic, asked_of(critic, ask, {}, context), settings.pace())


def _builtin(context: Mapping[str, str]) -> Lane:
    from aifeedback.critics.builtin import MODEL, BuiltinCritic

    return Lane(BuiltinCritic(), Asked(BUILTIN, MODEL, {}, context), Pace(4))


async def _endpoint(
    critic: CriticSettings,
    ask: AskSettings,
    settings: LaneSettings,
    stack: AsyncExitStack,
    *,
    store: Store,
    environment: Mapping[str, str],
    context: Mapping[str, str],
    note: Callable[[str], None],
) -> Lane:
    from aifeedback.critics.endpoint import EndpointCritic
    from aifeedback.endpoints.chat import ChatParameters
    from aifeedback.endpoints.features import Features, remembered

    address = resolve(critic.endpoint, environment)
    own = critic.over(ask)

    def learnt(features: Features, said: str) -> None:
        store.learn(address.identity, address.model, features.as_dict())
        note(
            f"{address.provider}/{address.model} refused a parameter ({said}) and is asked in another way from now on."
        )

    endpoint = EndpointCritic(
        address,
        ChatParameters(
            address.model, own.effective_temperature, own.max_tokens, own.reasoning_effort, critic.endpoint.extra_body
        ),
        timeout_s=settings.timeout_s,
        connections=settings.concurrency,
        features=remembered(store.learnt(address.identity, address.model)),
        on_learnt=learnt,
    )
    await stack.enter_async_context(endpoint)
    return Lane(endpoint, asked_of(critic, ask, environment, context), settings.pace(first_alone=True))
