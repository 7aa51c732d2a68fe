"""A user's own script who knows nothing of us: load the file, hand it to TRL. Run by test_trainers_read_it.py."""

import sys
from pathlib import Path

from datasets import load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

CHAT = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def tiny_model(folder: Path) -> str:
    """A model and tokenizer that are nothing but small."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    tokenizer.train_from_iterator(
        ["a number of numbers"] * 4,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|pad|>")
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    labels, work = sys.argv[1], Path(sys.argv[2])
    rows = load_dataset("json", data_files=labels, split="train", cache_dir=str(work / "cache"))
    model = tiny_model(work / "model")
    common = {
        "use_cpu": True,
        "bf16": False,
        "max_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
    }
    dpo = DPOTrainer(
        model=model,
        args=DPOConfig(output_dir=str(work / "dpo"), per_device_train_batch_size=2, **common),
        train_dataset=rows,
    )
    dpo.train()
    kto = KTOTrainer(
        model=model,
        args=KTOConfig(output_dir=str(work / "kto"), per_device_train_batch_size=2, **common),
        train_dataset=rows,
    )
    kto.train()
    print(f"dpo {len(dpo.train_dataset)}, kto {len(kto.train_dataset)}")
