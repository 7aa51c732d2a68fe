"""A model's family is read off its name."""

from __future__ import annotations

import pytest

from aifeedback.families import family


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-5-mini", "openai"),
        ("azure/gpt-4o", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o1-preview", "openai"),
        ("openai/o3", "openai"),
        ("text-davinci-003", "openai"),
        ("text_davinci_003", "openai"),
        ("anthropic/claude-sonnet-5", "anthropic"),
        ("openrouter/anthropic/claude-3.5-haiku", "anthropic"),
        ("us.anthropic.claude-3-opus", "anthropic"),
        ("gemini/gemini-2.5-pro", "google"),
        ("models/gemma-2-9b-it", "google"),
        ("palm-2", "google"),
        ("meta-llama/Llama-3.1-70B-Instruct", "meta"),
        ("codellama-34b", "meta"),
        ("vicuna-13b", "meta"),
        ("mistral/mistral-large-latest", "mistral"),
        ("Mixtral-8x7B-Instruct", "mistral"),
        ("ollama/qwen3", "qwen"),
        ("qwen2.5:7b", "qwen"),
        ("deepseek/deepseek-reasoner", "deepseek"),
        ("deepseek-r1-distill-llama-70b", "deepseek"),
        ("ollama/llama3.2", "meta"),
        ("command-r-plus", "cohere"),
        ("grok-4", "xai"),
        ("microsoft/Phi-3-mini", "microsoft"),
        ("phi4", "microsoft"),
        ("chatglm3-6b", "zhipu"),
        ("kimi-k2", "moonshot"),
        ("amazon.nova-pro-v1", "amazon"),
    ],
)
def test_a_name_tells_its_maker(model: str, expected: str):
    assert family(model) == expected


@pytest.mark.parametrize(
    "model",
    [
        "",
        "builtin",
        "azure/my-deployment",
        "ollama/my-model",
        "openai/ft-acme",
        "human",
        "philosopher-7b",
        "o1x",
        "demo3",
    ],
)
def test_a_name_that_tells_nothing_has_no_family(model: str):
    assert family(model) == ""


def test_the_provider_in_front_is_no_maker():
    assert family("mistral/claude-like") == "anthropic"
    assert family("llamacpp/unknown") == ""
