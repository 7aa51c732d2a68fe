"""Teach a tiny model what a critic likes, and measure that it has learnt it.

Usage: python examples/learn_a_preference.py [--seed N] [--work DIR] [--plot FILE.svg] [--quick]

The critic likes answers that end in a question. A model of 0.2 million weights first learns to answer at all, half of
the time with a question at the end (`aifeedback train sft`). Then the critic labels made-up pairs, the model learns
from these labels (`aifeedback train dpo`), and both models answer prompts that neither has seen. A second critic that
draws lots shows what becomes of the answers when there is nothing to learn. Needs no network and no GPU, and a minute
or two; --quick does less of everything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aifeedback as af
from aifeedback.testing import FairCritic

ANIMALS = [
    "ant",
    "bear",
    "cat",
    "crow",
    "deer",
    "dog",
    "duck",
    "eel",
    "fox",
    "frog",
    "goat",
    "hare",
    "hen",
    "horse",
    "lamb",
    "mole",
    "mouse",
    "owl",
    "pig",
    "seal",
]
COLOURS = ["black", "blue", "brown", "gold", "green", "grey", "pink", "red", "tan", "white"]
FRAMES = ("Where is the {}?", "Find me the {}.", "I have lost the {}.", "Tell me where the {} lives.")
PLACES = ["in the barn", "by the lake", "on the hill", "under the bridge", "behind the house", "near the old mill"]
# As many words in a question as in its counterpart: what is learnt must not be length.
QUESTIONS = ("Do you like it there?", "Shall I show you?", "May I ask you why?", "Is it yours?")
STATEMENTS = ("It does like it there.", "I can show you.", "You need not say why.", "It is mine.")

CHAT = (
    "{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. `sft` and `dpo` are flags of the two commands; `samples`: answers to a held-out prompt."""

    answers: int = 1600
    pairs: int = 640
    prompts: int = 120
    samples: int = 8
    sft: Sequence[str] = ("--epochs", "3", "--batch-size", "16", "--lr", "3e-3")
    # The sft term keeps the chosen answers likely; without it so small a model forgets how to end one.
    dpo: Sequence[str] = (
        *("--epochs", "3", "--batch-size", "8", "--lr", "1e-3", "--beta", "0.5"),
        *("--loss", "sigmoid+sft", "--eval-fraction", "0.1"),
    )


QUICK = Plan(answers=800, pairs=480, prompts=60, samples=4)


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers of one model: for each prompt the share of them that end in a question, and that name who was asked for."""

    question: Sequence[float]
    named: Sequence[float]
    finished: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured. `unmoved` is the model that learnt from a critic drawing lots; `evaluations` of `after`'s run."""

    before: Measured
    after: Measured
    unmoved: Measured | None
    evaluations: Sequence[dict[str, Any]]


def ends_in_a_question(text: str) -> float:
    """What the critic likes: 1.0 or 0.0."""
    return float(text.rstrip().endswith("?"))


def draws_lots(text: str) -> float:
    """A liking without a reason, from 0 to 1: the same for the same text."""
    return hashlib.sha256(text.encode()).digest()[0] / 255


def whom(prompt: str) -> str:
    """The colour and the animal that a prompt asks for."""
    words = prompt.rstrip(".?").split()
    place = next(i for i, word in enumerate(words) if word in COLOURS)
    return " ".join(words[place : place + 2])


def all_prompts(seed: int) -> list[str]:
    """Every prompt there is, shuffled."""
    found = [frame.format(f"{colour} {animal}") for frame in FRAMES for colour in COLOURS for animal in ANIMALS]
    random.Random(seed).shuffle(found)  # noqa: S311 - nothing here is secret
    return found


def answer(prompt: str, drawn: random.Random) -> str:
    """An answer that ends in a question half of the time."""
    closing = drawn.choice(QUESTIONS if drawn.random() < 0.5 else STATEMENTS)
    return f"The {whom(prompt)} is {drawn.choice(PLACES)}. {closing}"


def demonstrations(prompts: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Rows for `train sft`."""
    drawn = random.Random(seed + 1)  # noqa: S311
    chosen = [drawn.choice(prompts) for _ in range(count)]
    return [{"prompt": _turn("user", each), "completion": _turn("assistant", answer(each, drawn))} for each in chosen]


def pairs(prompts: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Pairs for the critic: two different answers of the same making to each prompt."""
    drawn = random.Random(seed + 2)  # noqa: S311
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        prompt = drawn.choice(prompts)
        a, b = answer(prompt, drawn), answer(prompt, drawn)
        if a != b:
            rows.append({"id": str(len(rows)), "prompt": _turn("user", prompt), "response_a": a, "response_b": b})
    return rows


def _turn(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def write(path: Path, rows: Sequence[object]) -> str:
    """Write JSON Lines and give the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def make_model(folder: Path, seed: int) -> str:
    """Save a Llama of random weights, and a tokenizer that knows the words of the game."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    drawn = random.Random(seed)  # noqa: S311
    words = [text for prompt in all_prompts(seed) for text in (prompt, answer(prompt, drawn), "user assistant")]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    specials = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        words,
        trainers.BpeTrainer(vocab_size=512, special_tokens=specials, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|pad|>")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def aifeedback(*arguments: str) -> None:
    """Run the command. Raises RuntimeError with what it said, where it fails."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "aifeedback", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"aifeedback {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")


def sample(folder: str, prompts: Sequence[str], samples: int, seed: int) -> list[list[tuple[str, bool]]]:
    """Answers drawn at temperature 1 to each prompt: the text, and whether it ended by itself."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    texts = [
        tokenizer.apply_chat_template(_turn("user", p), add_generation_prompt=True, tokenize=False) for p in prompts
    ]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    size = batch["input_ids"].shape[1]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        # top_k is 50 unless told otherwise, which would not be the model's own distribution.
        out = model.generate(
            **batch,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=samples,
            max_new_tokens=40,
        )[:, size:]
    end = tokenizer.eos_token_id
    found = [(tokenizer.decode(row, skip_special_tokens=True).strip(), end in row.tolist()) for row in out]
    return [found[start : start + samples] for start in range(0, len(found), samples)]


def measure(folder: str, prompts: Sequence[str], samples: int, seed: int) -> Measured:
    """What the model in `folder` answers to `prompts`, in figures."""
    answers = sample(folder, prompts, samples, seed)
    question = [sum(ends_in_a_question(text) for text, _ in each) / samples for each in answers]
    named = [
        sum(whom(prompt) in text for text, _ in each) / samples for prompt, each in zip(prompts, answers, strict=True)
    ]
    finished = sum(done for each in answers for _, done in each) / samples / len(prompts)
    return Measured(question, named, finished)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95% interval of the mean: percentile bootstrap over prompts. Of differences by prompt it is the paired one."""
    import numpy as np

    drawn = np.random.default_rng(seed)
    array = np.asarray(values)
    means = array[drawn.integers(0, len(array), (RESAMPLES, len(array)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def differences(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """By prompt."""
    return [then - now for now, then in zip(before, after, strict=True)]


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def prefer(work: Path, name: str, likes: Callable[[str], float], plan: Plan, seed: int) -> str:
    """Have a critic label work/pairs.jsonl, and teach the model in work/sft what it likes; gives the new model's folder."""
    labels, folder = str(work / f"labels-{name}.jsonl"), str(work / name)
    af.label_file(str(work / "pairs.jsonl"), labels, critic=FairCritic(likes, name=name))
    told = ("--model", str(work / "sft"), "-o", folder, "--no-lora", "--seed", str(seed))
    aifeedback("train", "dpo", labels, *told, "--set", "eval_steps=0.1", *plan.dpo)
    return folder


def learn(work: Path, plan: Plan, seed: int, *, lots: bool = True) -> Outcome:
    """The whole way in `work`: an untaught model, demonstrations, pairs, labels, DPO, answers. `lots`: the other critic too."""
    prompts = all_prompts(seed)
    held_out, rest = prompts[: plan.prompts], prompts[plan.prompts :]
    base = make_model(work / "base", seed)
    taught = write(work / "demonstrations.jsonl", demonstrations(rest, plan.answers, seed))
    write(work / "pairs.jsonl", pairs(rest, plan.pairs, seed))
    told = ("--model", base, "-o", str(work / "sft"), "--no-lora", "--eval-fraction", "0", "--seed", str(seed))
    aifeedback("train", "sft", taught, *told, *plan.sft)
    after = prefer(work, "likes-questions", ends_in_a_question, plan, seed)
    unmoved = prefer(work, "draws-lots", draws_lots, plan, seed) if lots else None
    record = json.loads((Path(after) / "training.json").read_text(encoding="utf-8"))
    return Outcome(
        measure(str(work / "sft"), held_out, plan.samples, seed),
        measure(after, held_out, plan.samples, seed),
        measure(unmoved, held_out, plan.samples, seed) if unmoved else None,
        record["evaluations"],
    )


def rows(outcome: Outcome) -> list[tuple[str, Measured]]:
    """Each model that answered, by its name."""
    found = [("before", outcome.before), ("after", outcome.after)]
    return found + ([("after a critic that draws lots", outcome.unmoved)] if outcome.unmoved else [])


def table(outcome: Outcome) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| model | ends in a question | difference | names who was asked for | ends by itself |",
        "|---|---|---|---|---|",
    ]
    for name, measured in rows(outcome):
        more = "" if name == "before" else _cell(differences(outcome.before.question, measured.question), sign="+")
        cells = (_cell(measured.question), more, f"{mean(measured.named):.1%}", f"{measured.finished:.1%}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float], sign: str = "") -> str:
    low, high = interval(values)
    return f"{mean(values):{sign}.1%} ({low:{sign}.1%} to {high:{sign}.1%})"


def plot(outcome: Outcome, path: Path) -> None:
    """Draw the shares with their intervals, and margin and accuracy on the held-out pairs during training."""
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    plain = {
        "svg.fonttype": "none",
        "svg.hashsalt": "learnt-preference",
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#ddd",
        "axes.axisbelow": True,
    }
    # Reset first: nobody's matplotlibrc changes the drawing.
    with style.context(plain, after_reset=True):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        shares, margin, accuracy = figure.subplots(1, 3, width_ratios=[1.2, 1, 1])
        named = rows(outcome)
        for place, (_, measured) in enumerate(named):
            centre, (low, high) = mean(measured.question), interval(measured.question)
            shares.errorbar(place, centre, [[centre - low], [high - centre]], fmt="o", color="#0072b2", capsize=4)
            shares.annotate(f"{centre:.0%}", (place, centre), xytext=(9, 0), textcoords="offset points", va="center")
        shares.set_xticks(
            range(len(named)), [name.replace("after a", "after a\n").replace("that", "that\n") for name, _ in named]
        )
        shares.set_xlim(-0.5, len(named) - 0.4)
        shares.set_ylim(0, 1.02)
        shares.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        shares.set_title("Answers that end in a question")
        for axes, key, title in ((margin, "margin", "Held-out margin"), (accuracy, "accuracy", "Held-out accuracy")):
            # Before the first step policy and reference are one, so no side of a pair is ahead.
            points = [point for point in outcome.evaluations if key == "margin" or point["step"]]
            axes.plot([point["step"] for point in points], [point[key] for point in points], "o-", color="#c04d00")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_xlim(left=0)
            axes.set_xlabel("DPO step")
            axes.set_title(title)
        accuracy.set_ylim(0, 1.02)
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})


def main() -> int:
    """Do it, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="for everything that is drawn")
    parser.add_argument("--work", type=Path, help="a new folder for data and models; without it they are thrown away")
    parser.add_argument("--plot", type=Path, help="where to write the plot")
    parser.add_argument("--quick", action="store_true", help="do less of everything, and leave out the drawing of lots")
    told = parser.parse_args()
    # Several threads get in each other's way at a model of this size.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as away:
        work = told.work or Path(away)
        work.mkdir(parents=True, exist_ok=True)
        outcome = learn(work, QUICK if told.quick else Plan(), told.seed, lots=not told.quick)
    print(table(outcome))
    if told.plot:
        plot(outcome, told.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
