"""Where requests go and which key goes there."""

from __future__ import annotations

import base64

import pytest

from aifeedback.endpoints.address import Address, EndpointSettings, is_secret, providers, resolve, without_secrets
from aifeedback.errors import SettingsError

KEYS = {provider.key_env: f"sk-own-key-of-{name}" for name, provider in providers().items() if provider.key_env}
ELSEWHERE = "https://elsewhere.example/v1"


def at(critic: str, environment: dict[str, str] | None = None, **more: object) -> Address:
    return resolve(EndpointSettings(critic, **more), KEYS if environment is None else environment)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(providers()))
def test_every_provider_resolves_and_gets_its_own_key_alone(name: str) -> None:
    environment = KEYS | {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/"}
    address = at(f"{name}/some/model", environment)
    assert address.model == "some/model"
    assert address.url.endswith("/messages" if name == "anthropic" else "/chat/completions")
    assert address.url.startswith(("https://", "http://localhost:"))
    sent = [key for key in KEYS.values() if any(key in value for value in address.headers.values())]
    assert sent == ([] if providers()[name].local else [KEYS[providers()[name].key_env]])
    assert not any(key in str((address.shown, address.identity, address.key_note)) for key in KEYS.values())


@pytest.mark.parametrize("name", sorted(providers()))
def test_with_a_base_url_no_key_is_sent(name: str) -> None:
    environment = KEYS | {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    address = at(f"{name}/m", environment, base_url=ELSEWHERE)
    claude = name == "anthropic"
    assert address.headers == ({"anthropic-version": "2023-06-01"} if claude else {})
    assert address.url == ELSEWHERE + ("/messages" if claude else "/chat/completions")
    assert "--api-key-env" in address.key_note


def test_with_a_base_url_the_key_that_is_named_is_sent() -> None:
    address = at("openai/m", KEYS | {"MINE": " sk-mine-1234 "}, base_url=ELSEWHERE, api_key_env="MINE")
    assert address.headers == {"Authorization": "Bearer sk-mine-1234"}
    assert address.secrets == ("sk-mine-1234",)
    assert address.key_note == "the key in MINE"


def test_openai_base_url_moves_where_the_key_goes() -> None:
    address = at(
        "openai/m",
        KEYS
        | {"OPENAI_BASE_URL": "https://moved.example/v1/", "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"},
    )
    assert address.url == "https://moved.example/v1/chat/completions"
    assert address.headers == {
        "Authorization": f"Bearer {KEYS['OPENAI_API_KEY']}", "OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1",
    }  # fmt: skip


def test_openai_base_url_moves_nobody_else() -> None:
    assert at("groq/m", KEYS | {"OPENAI_BASE_URL": ELSEWHERE}).url.startswith("https://api.groq.com/")


def test_azure_has_a_header_of_its_own_and_takes_a_query() -> None:
    address = at(
        "azure/my-deployment",
        KEYS | {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com"},
        query={"api-version": "2024-10-21"},
    )
    assert address.url == "https://mine.openai.azure.com/openai/v1/chat/completions?api-version=2024-10-21"
    assert address.headers == {"api-key": KEYS["AZURE_OPENAI_API_KEY"]}
    assert (
        at("azure/m", KEYS | {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/openai/v1/"}).shown
        == "https://mine.openai.azure.com/openai/v1"
    )


@pytest.mark.parametrize(
    "given",
    ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/messages", "http://h:1/v1/messages/"],
)
def test_claude_is_found_by_its_host_with_or_without_a_path(given: str) -> None:
    assert at("anthropic/m", {}, base_url=given).url == "http://h:1/v1/messages"


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/messages/"])
def test_anthropics_own_variable_moves_claude_and_its_key(given: str) -> None:
    moved = at("anthropic/m", KEYS | {"ANTHROPIC_BASE_URL": given})
    assert (moved.url, moved.shown) == ("http://h:1/v1/messages", "http://h:1/v1")
    assert moved.headers == {"anthropic-version": "2023-06-01", "x-api-key": KEYS["ANTHROPIC_API_KEY"]}


def test_claude_gets_the_key_and_the_version_that_are_named() -> None:
    address = at(
        "anthropic/m",
        {"MINE": "sk-mine-1234"},
        base_url=ELSEWHERE,
        api_key_env="MINE",
        headers={"Anthropic-Version": "2026-10-21", "anthropic-beta": "x"},
    )
    assert address.headers == {"x-api-key": "sk-mine-1234", "Anthropic-Version": "2026-10-21", "anthropic-beta": "x"}
    assert address.secrets == ("sk-mine-1234",)


def test_azure_without_an_address_says_which_variable_is_missing() -> None:
    with pytest.raises(SettingsError, match="AZURE_OPENAI_ENDPOINT"):
        at("azure/m")


def test_a_user_and_password_in_the_url_are_sent_as_basic_and_never_shown() -> None:
    address = at("vllm/m", {}, base_url="https://ann%40home:p%3Ass%20word@host.example:8443/v1?key=hidden-in-query")
    name, _, value = address.headers["Authorization"].partition(" ")
    assert (name, base64.b64decode(value).decode()) == ("Basic", "ann@home:p:ss word")
    assert address.url == "https://host.example:8443/v1/chat/completions?key=hidden-in-query"
    assert address.shown == address.identity == "https://host.example:8443/v1"
    assert {"p%3Ass%20word", "p:ss word", value, "hidden-in-query"} <= set(address.secrets)
    assert address.redact(f"it said p:ss word and {value}, hidden-in-query") == "it said *** and ***, ***"


def test_a_name_alone_in_the_url_is_a_token() -> None:
    assert "tok-123456" in at("vllm/m", {}, base_url="http://tok-123456@host/v1").secrets


def test_a_header_of_the_users_own_replaces_ours_whatever_its_case() -> None:
    address = at("openai/m", headers={"authorization": "Bearer other-secret"})
    assert address.headers == {"authorization": "Bearer other-secret"}
    assert {"other-secret", "Bearer other-secret"} <= set(address.secrets)


def test_secrets_in_the_extra_body_are_known_too_but_no_short_word_is() -> None:
    extra = {
        "auth": {"deep": ["sk-deep-secret-12345"]},
        "eos_token": "</think>",
        "api_key": "sk-extra-secret-1234",
        "top_p": 1,
        "note": "nothing that is secret",
    }
    assert set(at("vllm/m", {}, extra_body=extra).secrets) == {"sk-deep-secret-12345", "sk-extra-secret-1234"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/chat/completions", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/chat/completions/", "http://localhost:8000/v1"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://[::1]/v1#part", "http://[::1]/v1"),
        ("HTTPS://Host.Example/V1", "https://host.example/V1"),
    ],
)
def test_base_urls_are_taken_as_people_write_them(given: str, shown: str) -> None:
    address = at("vllm/m", {}, base_url=given)
    assert (address.shown, address.url) == (shown, f"{shown}/chat/completions")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "http://host:notaport/",
        "http://host:0/",
        "http://[::1/v1",
        "http://host:99999/",
        "http://ho st/v1",
    ],
)
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="--base-url") as caught:
        at("vllm/m", {}, base_url=url)
    assert str(caught.value).startswith("--base-url is no http:// or https:// URL. Write for instance")


@pytest.mark.parametrize("critic", ["gpt-5", "openai/", "/m", "opnai/m", "zzz/m"])
def test_what_is_no_provider_and_model_is_refused(critic: str) -> None:
    with pytest.raises(SettingsError, match="--critic"):
        at(critic)


def test_a_missing_key_names_its_variable() -> None:
    with pytest.raises(SettingsError, match="Set OPENAI_API_KEY"):
        at("openai/m", {"OPENAI_API_KEY": "  "})
    with pytest.raises(SettingsError, match=r"^MINE, named by --api-key-env, is not set"):
        at("openai/m", {}, api_key_env="MINE")


def test_looking_up_needs_no_key() -> None:
    assert resolve(EndpointSettings("openai/m"), {}, needs_key=False).headers == {}


@pytest.mark.parametrize("key", ["sk-\u0430bc-secret", "sk-abc\ndef", "sk-abc\x00def"])
def test_a_key_that_http_cant_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        at("openai/m", {"OPENAI_API_KEY": key})
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("", "v"), ("X-Ä", "v"), ("X-Title", "Grüße"), ("X\n", "v"), ("X Y", "v"), ("X:Y", "v")]
)
def test_a_header_that_http_cant_carry_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match="HTTP"):
        at("vllm/m", {}, headers={name: value})


def test_an_id_stands_for_an_endpoint_that_moves() -> None:
    assert at("vllm/m", {}, base_url="http://one:1/v1", id="mine").identity == "mine"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "api-key",
        "api_key",
        "apikey",
        "x-api-key",
        "Ocp-Apim-Subscription-Key",
        "token",
        "access_token",
        "Cookie",
        "X-Signature",
        "password",
        "sig",
        "key",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["api-version", "max_tokens", "X-Title", "keyboard", "monkey", "design"])
def test_other_names_are_no_secrets(name: str) -> None:
    assert not is_secret(name)


def test_what_is_kept_of_a_secret_is_that_it_is_there() -> None:
    assert without_secrets({"api_key": "x", "a": {"token": "y", "b": [{"password": "z"}, 1]}}) == {
        "api_key": "***",
        "a": {"token": "***", "b": [{"password": "***"}, 1]},
    }
