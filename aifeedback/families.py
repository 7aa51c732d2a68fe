"""Which makers' models are kin: a critic may prefer what sounds like itself."""

from __future__ import annotations

import re
from functools import lru_cache

# Panickssery et al. 2024 (arXiv:2404.13076): critics recognise and favour their own family's text.
_FAMILIES = {
    "openai": r"gpt|chatgpt|o[134](?:-|$)|davinci|text-davinci",
    "anthropic": r"claude",
    "google": r"gemini|(?:code|med)?gemma|palm|bard",
    "meta": r"(?:code)?llama|vicuna|alpaca",
    "mistral": r"mistral|mixtral|ministral|pixtral|codestral|devstral|magistral",
    "qwen": r"qwen|qwq",
    "deepseek": r"deepseek",
    "cohere": r"command|aya",
    "xai": r"grok",
    "microsoft": r"phi-?\d|wizardlm",
    "zhipu": r"(?:chat)?glm",
    "moonshot": r"kimi",
    "amazon": r"nova|titan",
}
_PATTERNS = {family: re.compile(rf"(?:^|[^a-z])(?:{pattern})") for family, pattern in _FAMILIES.items()}


def same_model(critic: str, model: str) -> bool:
    """Whether a critic and a response's model go by the same name, whoever provides them."""
    return critic.lower().rpartition("/")[2] == model.lower().rpartition("/")[2]


@lru_cache(maxsize=4096)
def family(model: str) -> str:
    """The family of a model by its name, e.g. `openai` for `azure/gpt-5-mini`; `""` where the name tells nothing.

    Of several names the first counts: a `deepseek-r1-distill-llama` talks as its teacher does.
    """
    name = model.lower().rpartition("/")[2]
    found = [(match.start(), family) for family, pattern in _PATTERNS.items() if (match := pattern.search(name))]
    return min(found, default=(0, ""))[1]
