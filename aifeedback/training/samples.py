"""What the policy answers to a few held-out prompts, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aifeedback.records import Content, Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `finished`: it ended by itself and not at the limit of tokens."""

    text: str
    finished: bool


def fit(tokenizer: PreTrainedTokenizerBase, prompt: Content, *, most_tokens: int, context: int | None) -> bool:
    """Whether the model can see the prompt with an answer of that length at once."""
    return context is None or len(_ids(tokenizer, prompt)) + most_tokens <= context


def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Content], *, most_tokens: int
) -> list[Answer]:
    """The likeliest answer to each prompt (greedy, so nothing is drawn and training goes on as if nothing had been asked)."""
    import torch

    training, side = model.training, tokenizer.padding_side
    model.eval()
    tokenizer.padding_side = "left"
    found: list[Answer] = []
    try:
        with torch.no_grad():
            for start in range(0, len(prompts), _AT_ONCE):
                found += _some(model, tokenizer, prompts[start : start + _AT_ONCE], most_tokens)
    finally:
        model.train(training)
        tokenizer.padding_side = side
    return found


def _some(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Content], most_tokens: int
) -> list[Answer]:
    ids = [_ids(tokenizer, prompt) for prompt in prompts]
    batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(model.device)
    ends = _ends(model, tokenizer)
    generate: Any = model.generate
    out = generate(
        **batch,
        max_new_tokens=most_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )
    return [_answer(tokenizer, row.tolist(), ends) for row in out[:, batch["input_ids"].shape[1] :]]


def _ids(tokenizer: PreTrainedTokenizerBase, prompt: Content) -> list[int]:
    if isinstance(prompt, str):
        found: list[int] = tokenizer(prompt)["input_ids"]
        return found
    turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
    rendered: Any = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=True)
    ids: list[int] = rendered["input_ids"]
    return ids


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """All tokens that end an answer: the tokenizer's, and those that the model names besides."""
    named: Any = model.generation_config.eos_token_id
    ends = set(named if isinstance(named, list) else [named]) | {tokenizer.eos_token_id}
    return {end for end in ends if isinstance(end, int)}


def _answer(tokenizer: PreTrainedTokenizerBase, ids: list[int], ends: set[int]) -> Answer:
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    text: Any = tokenizer.decode(ids if end is None else ids[:end], skip_special_tokens=True)
    return Answer(str(text).strip(), end is not None)


def as_text(content: Content) -> str:
    """A prompt as a person reads it; of a dialogue each turn under its role."""
    if isinstance(content, str):
        return content
    if len(content) == 1:
        return content[0].content
    return "\n\n".join(_turn(turn) for turn in content)


def _turn(turn: Message) -> str:
    return f"{turn.role}: {turn.content}"
