"""What a request costs, by hand and by the price list; what it may cost at most."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data import providers as listers
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.address import EndpointSettings, Provider, providers
from aifeedback.endpoints.price_list import listed, near
from aifeedback.errors import SettingsError
from aifeedback.lanes import CriticSettings, price_of
from aifeedback.prices import FREE, PICO, Most, Price, Rates, flat, in_dollars, most_input, read_price
from aifeedback.records import Usage
from aifeedback.settings import AskingSettings

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def of_list(name: str, model: str, **asked_for: object) -> Price | None:
    return listed(providers()[name], model, url="", moved=False, asked_for=asked_for, now=NOW)


@pytest.mark.parametrize(
    ("price", "usage", "usd"),
    [
        ("0.25,2", Usage(input=1000, output=500), 0.00025 + 0.001),
        ("0.25,2,0.025", Usage(input=1000, cached=400, output=500), 600 * 0.25e-6 + 400 * 0.025e-6 + 0.001),
        ("0.25,2", Usage(input=1000, cached=400, output=500), 0.00025 + 0.001),
        ("0.25,2", Usage(input=1000, output=500, reasoning=450), 0.00025 + 0.001),
        ("3,15", Usage(input=1), 0.000003),
        ("0,0", Usage(input=10**6, output=10**6), 0.0),
    ],
    ids=["plain", "cached", "cached at the full price", "reasoning is output", "one token", "nothing"],
)
def test_a_request_costs_what_one_works_out_by_hand(price: str, usage: Usage, usd: float) -> None:
    named = read_price(price)
    assert named is not None
    assert named.of(usage) / PICO == pytest.approx(usd, abs=1e-15)


def test_a_long_prompt_is_charged_at_its_step_as_a_whole() -> None:
    price = Price((Rates(0, 3, 3, 3, 15, 15), Rates(200_000, 6, 6, 6, 22, 22)))
    assert price.of(Usage(input=200_000, output=10)) == 200_000 * 3 + 150
    assert price.of(Usage(input=200_001, output=10)) == 200_001 * 6 + 220
    assert price.most(Most(200_000, 10)) == 200_000 * 3 + 150
    assert price.most(Most(200_001, 10)) == 200_001 * 6 + 220


def test_parts_that_are_more_than_the_whole_are_charged_beside_it() -> None:
    price = flat(1, 10, 0.5)
    assert price.of(Usage(input=10, cached=100)) == price.of(Usage(input=10)) + 100 * PICO // 2_000_000


def test_what_goes_into_claudes_cache_costs_a_quarter_more_also_at_a_price_of_ones_own() -> None:
    price = flat(4, 10, 0.4)
    claude = CriticSettings(EndpointSettings("anthropic/m"), price=price)
    written = Usage(input=100, written=100)
    assert price_of(claude, AskingSettings(), {}).of(written) == price.of(Usage(input=125))  # type: ignore[union-attr]
    assert price_of(CriticSettings(EndpointSettings("openai/m"), price=price), AskingSettings(), {}) == price


@given(
    rates=st.lists(st.tuples(*[st.integers(0, 10**9)] * 6), min_size=1, max_size=3),
    most=st.builds(Most, st.integers(1, 10**6), st.integers(0, 10**5)),
    share=st.tuples(*[st.floats(0, 1)] * 5),
)
def test_no_request_costs_more_than_the_most(
    rates: list[tuple[int, ...]], most: Most, share: tuple[float, ...]
) -> None:
    price = Price(tuple(Rates(100_000 * number, *each) for number, each in enumerate(rates)))
    read, spoken = int(most.input * share[0]), int(most.output * share[1])
    cached = int(read * share[2])
    usage = Usage(read, cached, spoken, int(spoken * share[3]), int((read - cached) * share[4]))
    assert price.of(usage) <= price.most(most)


@given(st.text(), st.integers(1, 9))
def test_a_text_never_has_more_tokens_than_it_is_taken_for(text: str, messages: int) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    assert most_input(size, messages) > size


HOSTED = [each for each in providers().values() if each.prices]


@pytest.mark.parametrize("provider", HOSTED, ids=lambda provider: provider.name)
def test_every_listed_model_costs_what_the_list_works_out_itself(provider: Provider) -> None:
    (lister,) = [each for each in listers if each.id == provider.prices]
    draw = random.Random(7)
    prefix = "accounts/fireworks/models/" if provider.name == "fireworks" else ""
    compared = 0
    for each in lister.models:
        model, price = lister.find_model(prefix + each.id), of_list(provider.name, prefix + each.id)
        if model is None or price is None or isinstance(model.prices, list):
            continue
        for read in (draw.randrange(1, 10_000), draw.randrange(10_000, 1_000_000)):
            cached, spoken = draw.randrange(read), draw.randrange(5000)
            usage = TheirUsage(input_tokens=read, cache_read_tokens=cached, output_tokens=spoken)
            theirs = model.calc_price(usage, lister).total_price
            ours = Decimal(price.of(Usage(read, cached, spoken))) / PICO
            assert 0 <= ours - theirs <= Decimal(read + spoken) / PICO, each.id
            compared += 1
    assert compared > 4


def test_a_price_that_is_known_is_the_lists_own() -> None:
    price = of_list("openai", "gpt-5-mini")
    assert price is not None
    theirs = calc_price(
        TheirUsage(input_tokens=1000, cache_read_tokens=100, output_tokens=500), "gpt-5-mini", provider_id="openai"
    )
    assert Decimal(price.of(Usage(1000, 100, 500))) / PICO == theirs.total_price
    assert price.source.startswith("genai-prices ")
    assert " 20" in price.source


def test_where_the_price_depends_on_the_hour_the_dearest_counts() -> None:
    price = of_list("deepseek", "deepseek-chat")
    assert price is not None
    usage, theirs = Usage(input=1000, output=1000), TheirUsage(input_tokens=1000, output_tokens=1000)
    hours = [
        calc_price(theirs, "deepseek-chat", provider_id="deepseek", genai_request_timestamp=NOW.replace(hour=hour))
        for hour in range(24)
    ]
    assert price.of(usage) / PICO == pytest.approx(float(max(hour.total_price for hour in hours)))


def test_a_tier_of_service_that_is_asked_for_has_its_own_price() -> None:
    plain, hurried = of_list("openai", "gpt-5-mini"), of_list("openai", "gpt-5-mini", service_tier="priority")
    assert plain is not None
    assert hurried is not None
    assert hurried.of(Usage(1000, 0, 1000)) > plain.of(Usage(1000, 0, 1000))


@pytest.mark.parametrize(
    ("name", "model"),
    [("openai", "gpt-55-mini"), ("openai", "text-embedding-3-small"), ("azure", "my-deployment"), ("vllm", "m")],
)
def test_what_is_not_listed_for_a_chat_has_no_price(name: str, model: str) -> None:
    assert of_list(name, model) is None


def test_models_with_a_price_and_a_name_like_it_are_found() -> None:
    assert near(providers()["openai"], "gpt-5-miny")[0] == "openai/gpt-5-mini"
    assert near(providers()["vllm"], "m") == []


def test_a_moved_endpoint_has_the_price_of_the_host_that_it_moved_to() -> None:
    def at(url: str, name: str = "vllm", model: str = "grok-4") -> Price | None:
        return listed(providers()[name], model, url=url, moved=True, asked_for={}, now=NOW)

    assert at("https://api.x.ai/v1") is not None
    assert at("https://judge.example.org/v1") is None
    assert at("http://gateway.example.org/v1", "openai", "gpt-5-mini") == of_list("openai", "gpt-5-mini")


@pytest.mark.parametrize("value", ["0.25, 2", "[0.25, 2.0]", [0.25, 2], (0.25, 2.0)])
def test_a_price_is_named_as_text_or_as_numbers(value: str | list[float]) -> None:
    assert read_price(value) == flat(0.25, 2)


@pytest.mark.parametrize("value", ["x", "1", "1,2,3,4", "-1,2", "nan,2", "inf,1", "1;2", [True], {"in": 1}])
def test_what_is_no_price_is_refused_with_an_example(value: str) -> None:
    with pytest.raises(SettingsError, match=r"USD a million tokens\. Write for instance"):
        read_price(value, "price")


def test_no_price_is_none() -> None:
    assert read_price("") is None


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "$0.00"), (1234.567, "$1,234.57"), (0.5, "$0.50"), (0.0123456, "$0.0123"), (0.00000012, "$0.00000012"), (0.9999, "$1.00")],
)  # fmt: skip
def test_amounts_are_shown_to_the_digits_that_say_something(amount: float, shown: str) -> None:
    assert in_dollars(amount) == shown


def test_a_price_says_what_it_is_and_who_says_so() -> None:
    assert str(flat(0.25, 2, 0.025)) == "$0.25 in, $0.025 cached, $2 out a million tokens (as you named it)"
    assert str(FREE) == "costs nothing"
