"""What the training loop costs beside TRL's own: the same rows, model and settings, alternated; medians and their ratio.

Usage: OMP_NUM_THREADS=1 python benchmarks/train_against_trl.py [--runs 5]
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROWS, STEPS, BATCH, LENGTH = 160, 20, 8, 256
CHAT = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def make_model(folder: Path) -> None:
    """A Llama that is large enough for a step to cost more than what surrounds it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    made = Tokenizer(models.BPE(vocab={text: number for number, text in enumerate(specials + alphabet)}, merges=[]))
    made.add_special_tokens(specials)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    names = {"eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def make_rows(path: Path) -> None:
    drawn = random.Random(0)
    words = [f"word{number}" for number in range(200)]

    def text(count: int) -> str:
        return " ".join(drawn.choice(words) for _ in range(count))

    def turn(role: str, content: str) -> list[dict[str, str]]:
        return [{"role": role, "content": content}]

    rows = [
        {
            "prompt": turn("user", text(6)),
            "chosen": turn("assistant", text(12)),
            "rejected": turn("assistant", text(12)),
        }
        for _ in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def ours(work: Path) -> tuple[float, float]:
    """Seconds in the loop, and the last loss."""
    said = ["--no-lora", "--lr", "1e-4", "--steps", str(STEPS), "--batch-size", str(BATCH), "--max-length", str(LENGTH)]
    said += ["--eval-fraction", "0", "--set", "save_strategy=no", "--set", "logging_steps=10"]
    command = [
        sys.executable,
        "-m",
        "aifeedback",
        "train",
        "dpo",
        "rows.jsonl",
        "--model",
        "model",
        "-o",
        "ours",
        *said,
    ]
    subprocess.run(command, cwd=work, check=True, capture_output=True)
    record = json.loads((work / "ours" / "training.json").read_text(encoding="utf-8"))
    return record["loop_seconds"], record["history"][-1]["loss"]


def theirs(work: Path) -> tuple[float, float]:
    settings = {
        "model_name_or_path": "model", "datasets": [{"path": "json", "data_files": "rows.jsonl"}], "output_dir": "theirs",
        "learning_rate": 1e-4, "max_steps": STEPS, "per_device_train_batch_size": BATCH, "max_length": LENGTH, "use_cpu": True,
        "bf16": False, "gradient_checkpointing": False, "report_to": "none", "save_strategy": "no", "logging_steps": 10,
        "disable_tqdm": True, "seed": 42,
    }  # fmt: skip
    (work / "trl.yaml").write_text(json.dumps(settings), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("trl")), "dpo", "--config", "trl.yaml"]
    done = subprocess.run(command, cwd=work, check=True, capture_output=True, text=True)
    told = [ast.literal_eval(line) for line in re.findall(r"^\{'.*\}$", done.stdout, re.MULTILINE)]
    losses = [float(each["loss"]) for each in told if "loss" in each]
    return next(float(each["train_runtime"]) for each in told if "train_runtime" in each), losses[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_model(work / "model")
        make_rows(work / "rows.jsonl")
        seconds: dict[str, list[float]] = {"trl dpo": [], "aifeedback train dpo": []}
        losses: dict[str, float] = {}
        for _ in range(runs):
            for name, run in (("trl dpo", theirs), ("aifeedback train dpo", ours)):
                took, losses[name] = run(work)
                seconds[name].append(took)
    bare = statistics.median(seconds["trl dpo"])
    print(f"{STEPS} steps of {BATCH} pairs, all weights, one thread; medians of {runs} alternated runs\n")
    print("| | loop, seconds | of TRL's | range | last loss |\n|---|---|---|---|---|")
    for name, took in seconds.items():
        middle = statistics.median(took)
        print(f"| {name} | {middle:.2f} | {middle / bare:.3f} | {min(took):.2f}-{max(took):.2f} | {losses[name]:.4f} |")


if __name__ == "__main__":
    main()
