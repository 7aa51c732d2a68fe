"""The losses against a calculation of our own in float64: TRL's DPO as we set it up, and the soft labels on top."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.records import Message
from aifeedback.training.examples import PreferencePair
from aifeedback.training.model_files import ModelFiles
from aifeedback.training.settings import SoftLabels, TrainSettings
from tests.tiny_models import tiny_model

# TRL and transformers warn of each other.
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]

BETA = 0.3
WITHIN = 1e-5


def sigmoid_loss(z: float) -> float:
    return math.log1p(math.exp(-z)) if z > 0 else -z + math.log1p(math.exp(z))


def by_hand(kind: SoftLabels, z: float, p: float) -> float:
    """The formulas of docs/training.md, in float64."""
    if kind == "cdpo":
        return p * sigmoid_loss(z) + (1 - p) * sigmoid_loss(-z)
    return sigmoid_loss((2 * p - 1) * z if kind == "gdpo" else z)


def some_pairs(*, certain: bool = False) -> list[PreferencePair]:
    drawn = random.Random(7)
    return [
        PreferencePair(
            (Message("user", f"Name a number above {number}."),),
            (Message("assistant", f"{number + drawn.randrange(1, 99)}"),),
            (Message("assistant", f"No, I'd say {number - 1}, or {drawn.randrange(99)} perhaps."),),
            1.0 if certain else round(drawn.uniform(0.500001, 1.0), 6),
            "labels.jsonl",
            number,
        )
        for number in range(1, 17)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def evaluated(model: Path, folder: Path, kind: SoftLabels, pairs: list[PreferencePair], *, batch: int) -> Any:
    """What a trainer of ours says of `pairs`, with a policy that is the model plus noise; and that policy."""
    import torch

    from aifeedback.training import arguments, hardware, trainers

    settings = TrainSettings(
        "dpo",
        ["labels.jsonl"],
        str(model),
        str(folder),
        batch_size=batch,
        soft_labels=kind,
        lora=False,
        beta=BETA,
    )
    found = hardware.look(four_bit=False, use_cpu=True, note=print)
    said = arguments.trainer_arguments(
        settings, found, rows=len(pairs), held_out=len(pairs), max_length=256, resuming=False, thumbs=(1.0, 1.0)
    )
    files = ModelFiles.find(str(model))
    tokenizer = trainers.padded_tokenizer(files, trust_remote_code=False)
    trainer = trainers.build(settings, said, pairs, pairs, tokenizer, files)
    torch.manual_seed(3)
    policy: Any = trainer.model
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    return trainer.evaluate(), policy


def margins(model: Path, policy: Any, pairs: list[PreferencePair]) -> list[tuple[float, float]]:
    """Implicit rewards of chosen and rejected, pair by pair: rendered, tokenised and summed up here."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    reference = AutoModelForCausalLM.from_pretrained(model).double()
    copy = AutoModelForCausalLM.from_pretrained(model)
    copy.load_state_dict(policy.state_dict())

    def log_probability(of: Any, pair: PreferencePair, answer: str) -> float:
        prompt = f"<|im_start|>user\n{pair.prompt[0].content}<|im_end|>\n<|im_start|>assistant\n"  # type: ignore[union-attr]
        head = tokenizer(prompt)["input_ids"]
        whole = tokenizer(f"{prompt}{answer}<|im_end|>\n")["input_ids"]
        assert whole[: len(head)] == head
        with torch.no_grad():
            logits = of(torch.tensor([whole])).logits[0].double()
        logps = torch.log_softmax(logits, dim=-1)
        return sum(float(logps[place - 1, whole[place]]) for place in range(len(head), len(whole)))

    policy64 = copy.double()
    return [
        tuple(  # type: ignore[misc]
            BETA * (log_probability(policy64, pair, text) - log_probability(reference, pair, text))
            for text in (pair.chosen[0].content, pair.rejected[0].content)  # type: ignore[union-attr]
        )
        for pair in pairs
    ]


@pytest.mark.parametrize("kind", ["off", "cdpo", "gdpo"])
def test_loss_and_implicit_rewards_are_those_of_the_formula(model: Path, tmp_path: Path, kind: SoftLabels) -> None:
    pairs = some_pairs()
    told, policy = evaluated(model, tmp_path, kind, pairs, batch=16)
    rewards = margins(model, policy, pairs)
    losses = [by_hand(kind, c - r, pair.preference or 0) for (c, r), pair in zip(rewards, pairs, strict=True)]
    assert max(abs(c - r) for c, r in rewards) > 0.1, "with no margin every loss is the same"
    assert told["eval_loss"] == pytest.approx(sum(losses) / 16, abs=WITHIN)
    assert told["eval_rewards/chosen"] == pytest.approx(sum(c for c, _ in rewards) / 16, abs=WITHIN)
    assert told["eval_rewards/rejected"] == pytest.approx(sum(r for _, r in rewards) / 16, abs=WITHIN)
    assert told["eval_rewards/margins"] == pytest.approx(sum(c - r for c, r in rewards) / 16, abs=WITHIN)
    assert told["eval_rewards/accuracies"] == sum(c > r for c, r in rewards) / 16


@pytest.mark.parametrize("kind", ["cdpo", "gdpo"])
def test_where_every_preference_is_one_soft_labels_are_plain_dpo(model: Path, tmp_path: Path, kind: SoftLabels) -> None:
    pairs = some_pairs(certain=True)
    soft, _ = evaluated(model, tmp_path, kind, pairs, batch=8)
    plain, _ = evaluated(model, tmp_path, "off", pairs, batch=8)
    assert soft["eval_loss"] == pytest.approx(plain["eval_loss"], abs=1e-6)
    assert soft["eval_rewards/margins"] == plain["eval_rewards/margins"]


@given(z=st.floats(-30, 30), p=st.floats(0.5, 1.0), kind=st.sampled_from(["off", "cdpo", "gdpo"]))
def test_the_loss_of_one_pair_is_the_formula_and_never_negative(z: float, p: float, kind: SoftLabels) -> None:
    import torch

    from aifeedback.training.soft_labels import soft_loss

    found = float(soft_loss(torch.tensor([z], dtype=torch.float64), torch.tensor([p], dtype=torch.float64), kind))
    assert found == pytest.approx(by_hand(kind, z, p), rel=1e-9, abs=1e-12)
    assert found >= 0


def test_cdpo_is_smallest_where_the_margin_says_what_the_critic_says() -> None:
    import torch

    from aifeedback.training.soft_labels import soft_loss

    p = 0.8
    z = torch.linspace(-6, 6, 12001, dtype=torch.float64)
    best = float(z[soft_loss(z, torch.full_like(z, p), "cdpo").argmin()])
    assert best == pytest.approx(math.log(p / (1 - p)), abs=1e-3)
