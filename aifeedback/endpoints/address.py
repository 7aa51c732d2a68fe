"""Where an endpoint is and which secrets go there: a provider's own key goes to that provider's host alone."""

from __future__ import annotations

import base64
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from aifeedback.errors import SettingsError

_SECRET_NAME = re.compile(
    r"(^|[-_.])(authorization|auth|(api[-_]?|[a-z]+[-_])?key|token|secret|password|passwd|cookie|credentials?|signature|sig)$",
    re.IGNORECASE,
)

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST = re.compile(r"[\w.:~%-]+")


DialectName = Literal["chat", "messages"]
"""The API that is spoken: OpenAI's chat completions, or Anthropic's Messages."""
_PATHS: Mapping[DialectName, str] = {"chat": "/chat/completions", "messages": "/messages"}
_HEADERS: Mapping[DialectName, Mapping[str, str]] = {"messages": {"anthropic-version": "2023-06-01"}}
"""What each request must say beside its body."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Facts about a provider, from providers.toml."""

    name: str
    base_url: str = ""
    base_url_env: str = ""
    base_url_suffix: str = ""
    key_env: str = ""
    key_header: str = ""
    headers_env: Mapping[str, str] = field(default_factory=dict[str, str])
    local: bool = False
    prices: str = ""
    dialect: DialectName = "chat"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """How the user named an endpoint: `critic` is PROVIDER/MODEL, the rest is what the flags of section 4 say."""

    critic: str
    base_url: str = ""
    api_key_env: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    extra_body: Mapping[str, object] = field(default_factory=dict[str, object])
    id: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go. `url` may hold secrets in its query; `shown` never does; `secrets` must never be shown.

    `identity` is what stands in the store for this endpoint. `key_note` says which key is sent, for error messages.
    """

    provider: str
    model: str
    url: str
    shown: str
    identity: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    key_note: str
    dialect: DialectName = "chat"

    @property
    def models_url(self) -> str:
        """Where the endpoint lists its models; as `url` it may hold secrets in its query."""
        bare, mark, query = self.url.partition("?")
        return bare.removesuffix(_PATHS[self.dialect]) + "/models" + mark + query

    def redact(self, text: str) -> str:
        """`text` without any of the secrets."""
        for secret in self.secrets:
            if secret in text:
                text = text.replace(secret, "***")
        return text


@cache
def providers() -> Mapping[str, Provider]:
    """All known providers, by name."""
    text = resources.files("aifeedback.endpoints").joinpath("providers.toml").read_text(encoding="utf-8")
    return {name: Provider(name=name, **facts) for name, facts in tomllib.loads(text).items()}


def resolve(settings: EndpointSettings, environment: Mapping[str, str], *, needs_key: bool = True) -> Address:
    """The address that `settings` mean. Raises SettingsError for an unknown provider, a missing URL or a missing key."""
    provider, model = _provider_and_model(settings.critic)
    base_url = _base_url(provider, settings, environment)
    parts = _checked(base_url, provider.dialect)
    key, key_note = _key(provider, settings, environment) if needs_key else ("", "")
    headers = {name: environment[env] for name, env in provider.headers_env.items() if environment.get(env)}
    # An organisation or project is the provider's business alone, as its key is.
    headers = dict(_HEADERS.get(provider.dialect, {})) | ({} if settings.base_url else headers)
    named = [*settings.query.items(), *parse_qsl(parts.query), *settings.headers.items()]
    secrets = [key, *_secret_words(named), *_secret_words(_texts(settings.extra_body), at_least=16)]
    if parts.username or parts.password:
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        # A name that stands alone is a token.
        secrets += [password or user, parts.password or parts.username or "", headers["Authorization"][len("Basic ") :]]
    if key:
        name = provider.key_header or "Authorization"
        headers[name] = key if provider.key_header else f"Bearer {key}"
    given = {name.lower() for name in settings.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in given} | dict(settings.headers)
    _check_headers(headers)
    host = parts.hostname or ""
    netloc = (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port else "")
    query = urlencode([*parse_qsl(parts.query), *settings.query.items()])
    bare = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    return Address(
        provider=provider.name,
        model=model,
        url=f"{bare}{_PATHS[provider.dialect]}" + (f"?{query}" if query else ""),
        shown=bare,
        identity=settings.id or bare,
        headers=headers,
        secrets=tuple(sorted({secret for secret in secrets if len(secret) >= 6}, key=len, reverse=True)),
        key_note=key_note,
        dialect=provider.dialect,
    )


def is_secret(name: str) -> bool:
    """Whether a header, a query parameter or a field of that name holds what nobody else may see."""
    return bool(_SECRET_NAME.search(name))


def without_secrets(fields: Mapping[str, object]) -> dict[str, object]:
    """`fields` fit to be kept and shown: of a secret only that it is there."""
    return {name: "***" if is_secret(name) else _without_secrets(value) for name, value in fields.items()}


def _without_secrets(value: object) -> object:
    if isinstance(value, Mapping):
        return without_secrets(value)
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text inside `value`, with the name of the field that holds it."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, name if is_secret(name) else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, name)


def _secret_words(named: Iterable[tuple[str, str]], *, at_least: int = 1) -> list[str]:
    """What must not be shown of secret fields: the value, what follows a "Bearer", and how a URL spells it.

    `at_least`: how long a value must be; an `end_token` that bears such a name by chance is shorter than a key.
    """
    values = [value for name, value in named if is_secret(name) and len(value) >= at_least]
    return [word for value in values for word in (value, value.rpartition(" ")[2], quote(value, safe=""))]


def _provider_and_model(critic: str) -> tuple[Provider, str]:
    name, slash, model = critic.partition("/")
    if not slash or not model:
        raise SettingsError(
            f"--critic {critic!r} is not PROVIDER/MODEL. Write for instance --critic openai/gpt-5-mini."
        )
    if name not in providers():
        near = difflib.get_close_matches(name, providers(), 1)
        meant = f"Did you mean {near[0]}/{model}?" if near else f"Known: {', '.join(providers())}, builtin."
        raise SettingsError(f"--critic {critic!r}: no provider {name!r}. {meant}")
    return providers()[name], model


def _base_url(provider: Provider, settings: EndpointSettings, environment: Mapping[str, str]) -> str:
    if settings.base_url:
        return settings.base_url
    moved = environment.get(provider.base_url_env, "").strip() if provider.base_url_env else ""
    if moved:
        bare = moved.rstrip("/").removesuffix(_PATHS[provider.dialect])
        return bare + ("" if bare.endswith(provider.base_url_suffix) else provider.base_url_suffix)
    if not provider.base_url:
        raise SettingsError(
            f"--critic {settings.critic}: where is it? Name its URL with --base-url or {provider.base_url_env}."
        )
    return provider.base_url


def _checked(url: str, dialect: DialectName) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(_HOST.fullmatch(parts.hostname or "")) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(
            "--base-url is no http:// or https:// URL. Write for instance --base-url http://localhost:8000/v1."
        )
    if parts.path.rstrip("/").endswith(_PATHS[dialect]):
        parts = parts._replace(path=parts.path.rstrip("/").removesuffix(_PATHS[dialect]))
    if dialect == "messages" and not parts.path.strip("/"):
        # Anthropic's own clients take the host alone.
        parts = parts._replace(path="/v1")
    return parts


def _key(provider: Provider, settings: EndpointSettings, environment: Mapping[str, str]) -> tuple[str, str]:
    """The key to send, and a word on which one it is."""
    if settings.api_key_env:
        key = environment.get(settings.api_key_env, "").strip()
        if not key:
            raise SettingsError(f"{settings.api_key_env}, named by --api-key-env, is not set. Set it to the key.")
        return key, f"the key in {settings.api_key_env}"
    if settings.base_url:
        return "", "no key was sent; name its variable with --api-key-env"
    if provider.local:
        return "", "no key was sent; name its variable with --api-key-env"
    key = environment.get(provider.key_env, "").strip()
    if not key:
        raise SettingsError(
            f"--critic {settings.critic} needs a key. Set {provider.key_env}, or name another variable with --api-key-env."
        )
    return key, f"the key in {provider.key_env}"


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not value.isprintable() or not value.isascii() or not _HEADER_NAME.fullmatch(name):
            raise SettingsError(
                f"The header {name!r} holds characters that HTTP can't carry. Check the key or --header."
            )
