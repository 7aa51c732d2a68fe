"""Models and tokenizers that are nothing but small, made on the spot, so that no test needs a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<|begin|>")
VOCABULARY = 512
CONTEXT = 2048
WORDS = (
    "Name a number. Another one? One, two, three, four, five, six, seven, eight, nine, ten.",
    "The answer to the question is a number, and a good one.",
    "user assistant system tool: What is the best way to say it? Say it plainly and briefly.",
    "I do not know that, but this is what people say. Thank you, you are welcome.",
)

_TURNS = "{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
_OPENING = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
CHATML = _TURNS + _OPENING
"""Each turn with its role and an end token."""
NO_END = CHATML.replace("<|im_end|>", "")
"""Answers end in a line break and nothing else."""
THINKING = _TURNS + _OPENING.replace("assistant\n", "assistant\n<think>\n\n</think>\n\n")
"""The prompt alone ends in an empty thought, which prompt and answer together don't have."""
BEGINNING = "{{ bos_token }}" + CHATML
"""Writes the begin token itself."""


def tiny_tokenizer(
    folder: Path, *, chat: bool | str = True, words: Sequence[str] = WORDS, bos: bool = False, **said: object
) -> Path:
    """Save a byte-level BPE tokenizer. `chat`: ChatML, none, or a template; `bos`: it adds a begin token by itself.

    `said` goes to tokenizer_config.json.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [*words] * 4,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
        ),
    )
    if bos:
        begin = ("<|begin|>", made.token_to_id("<|begin|>"))
        made.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[begin]
        )
    names: dict[str, Any] = {"eos_token": "<|im_end|>", "pad_token": "<|pad|>", "bos_token": "<|begin|>"}
    whole = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    if chat:
        whole.chat_template = CHATML if chat is True else chat
    whole.save_pretrained(folder)
    if said:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | said))
    return folder


def tiny_model(
    folder: Path,
    *,
    seed: int = 0,
    chat: bool | str = True,
    hidden: int = 64,
    layers: int = 2,
    words: Sequence[str] = WORDS,
    bos: bool = False,
) -> Path:
    """Save a Llama of some hundred thousand random weights with its tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tiny_tokenizer(folder, chat=chat, words=words, bos=bos)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


RIGHT, WRONG = "(this is right)", "(this is wrong)"
_SAID = {
    "[[": ("The first. [[A]]", "The second. [[B]]"),
    "JSON": (
        '{"analysis": "The first is right.", "verdict": "A"}',
        '{"analysis": "The second is right.", "verdict": "B"}',
    ),
    "": ("A", "B"),
}
"""What a judge says for the first and the second response, by what the question asks for."""


def tiny_judge(folder: Path) -> Path:
    """Save a Llama that names the response with RIGHT in it, and the first where none has it.

    Its chat template reads the question and ends in a token that stands for what is to be said; the weights turn that
    token into the answer, and the answer into the end.
    """
    import torch
    from tokenizers import AddedToken
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    answers = [answer for pair in _SAID.values() for answer in pair]
    steering = [f"<|say {number}|>" for number in range(len(answers))]
    branches = [
        f"{{% {'if' if at == 0 else 'elif'} {json.dumps(asked)} in asked %}}{{{{ ['<|say {2 * at}|>', '<|say {2 * at + 1}|>'][second] }}}}"
        for at, asked in enumerate(_SAID)
    ]
    chat = (
        CHATML
        + "{% set asked = messages[-1]['content'] %}"
        + f"{{% set right, wrong = asked.find('{RIGHT}'), asked.find('{WRONG}') %}}"
        + "{% set second = 1 if right > wrong and wrong >= 0 else 0 %}"
        + "".join(branches)
        + "{% endif %}"
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer(folder, chat=chat))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in (*steering, *answers)])
    tokenizer.save_pretrained(folder)
    size = len(tokenizer)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size + size % 2,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        head_dim=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    follows = dict(
        zip(tokenizer.convert_tokens_to_ids(steering), tokenizer.convert_tokens_to_ids(answers), strict=True)
    )
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size, config.hidden_size))
        model.lm_head.weight.zero_()
        for token in range(size):
            model.lm_head.weight[follows.get(token, tokenizer.eos_token_id), token] = 1.0
    model.save_pretrained(folder)
    return folder
