"""Held-out figures are means over rows: the same for every batch size, and those of a calculation of our own in float64."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.training.evaluation import JudgedRow, kto_figures, settled, shares
from aifeedback.training.examples import Demonstration, Example, PreferencePair, Thumb
from aifeedback.training.model_files import ModelFiles
from aifeedback.training.settings import TrainSettings
from tests.tiny_models import tiny_model

# TRL and transformers warn of each other.
pytestmark = [pytest.mark.filterwarnings("ignore")]
BETA, ROWS, WITHIN = 0.3, 17, 1e-5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"), chat=False)


def some(kind: str) -> list[Example]:
    """Rows whose answers differ much in length, so that a mean over batches is another one."""
    drawn = random.Random(7)
    found: list[Example] = []
    for number in range(ROWS):
        prompt = f"Name a number above {number}.\n"
        short, long = str(number + 1), " ".join(str(drawn.randrange(99)) for _ in range(1 + number))
        if kind == "dpo":
            found.append(PreferencePair(prompt, short, long, round(drawn.uniform(0.51, 1), 6), "f", number))
        elif kind == "sft":
            found.append(Demonstration(prompt, long, "f", number))
        else:
            found.append(Thumb(prompt, long if number % 3 else short, number % 3 > 0, "f", number))
    return found


def evaluated(model: Path, folder: Path, rows: Sequence[Example], settings: dict[str, Any]) -> tuple[Any, Any]:
    """What a trainer of ours says of `rows`, with a policy that is the model plus noise; and that policy."""
    import torch

    from aifeedback.training import arguments, hardware, trainers

    said = {"lora": False} | settings
    made = TrainSettings(said.pop("kind"), ["labels.jsonl"], str(model), str(folder), **said)
    found = hardware.look(four_bit=False, use_cpu=True, note=print)
    all_said = arguments.trainer_arguments(
        made, found, rows=len(rows), held_out=len(rows), max_length=256, resuming=False, thumbs=(1.0, 2.0)
    )
    files = ModelFiles.find(str(model))
    tokenizer = trainers.padded_tokenizer(files, trust_remote_code=False)
    trainer = trainers.build(made, all_said, rows, rows, tokenizer, files)
    torch.manual_seed(3)
    policy: Any = trainer.model
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    return trainer.evaluate(), policy


class ByHand:
    """Log-probabilities of answers in float64: of the model, and of the policy that was made of it."""

    def __init__(self, model: Path, policy: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._reference = AutoModelForCausalLM.from_pretrained(model).double()
        self._policy = AutoModelForCausalLM.from_pretrained(model)
        self._policy.load_state_dict(policy.state_dict())
        self._policy = self._policy.double()

    def tokens(self, prompt: object, answer: object, *, of_policy: bool = True) -> list[float]:
        """The log-probability of each token of the answer and its end."""
        import torch

        head = self._tokenizer(prompt)["input_ids"]
        whole = self._tokenizer(f"{prompt}{answer}<|im_end|>")["input_ids"]
        assert whole[: len(head)] == head
        with torch.no_grad():
            logits = (self._policy if of_policy else self._reference)(torch.tensor([whole])).logits[0]
        logps = torch.log_softmax(logits, dim=-1)
        return [float(logps[place - 1, whole[place]]) for place in range(len(head), len(whole))]

    def ratio(self, prompt: object, answer: object) -> float:
        """The policy's log-probability of the answer less the model's."""
        return sum(self.tokens(prompt, answer)) - sum(self.tokens(prompt, answer, of_policy=False))


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("soft", ["off", "cdpo", "gdpo"])
@pytest.mark.parametrize("batch", [2, 8, 17])
def test_of_pairs_loss_margin_accuracy_and_rewards_are_means_over_pairs(
    model: Path, tmp_path: Path, soft: str, batch: int
) -> None:
    rows = some("dpo")
    more = {"kind": "dpo", "beta": BETA, "batch_size": batch, "soft_labels": soft}
    told, policy = evaluated(model, tmp_path, rows, more)
    hand = ByHand(model, policy)
    pairs = [row for row in rows if isinstance(row, PreferencePair)]
    chosen = [BETA * hand.ratio(pair.prompt, pair.chosen) for pair in pairs]
    rejected = [BETA * hand.ratio(pair.prompt, pair.rejected) for pair in pairs]
    margins = [c - r for c, r in zip(chosen, rejected, strict=True)]
    p = [pair.preference or 0.0 for pair in pairs]
    losses = {
        "off": [-math.log(sigmoid(z)) for z in margins],
        "cdpo": [-q * math.log(sigmoid(z)) - (1 - q) * math.log(sigmoid(-z)) for z, q in zip(margins, p, strict=True)],
        "gdpo": [-math.log(sigmoid((2 * q - 1) * z)) for z, q in zip(margins, p, strict=True)],
    }
    assert told["eval_loss"] == pytest.approx(mean(losses[soft]), abs=WITHIN)
    assert told["eval_rewards/margins"] == pytest.approx(mean(margins), abs=WITHIN)
    assert told["eval_rewards/chosen"] == pytest.approx(mean(chosen), abs=WITHIN)
    assert told["eval_rewards/rejected"] == pytest.approx(mean(rejected), abs=WITHIN)
    assert told["eval_rewards/accuracies"] == pytest.approx(mean([float(z > 0) for z in margins]), abs=1e-6)
    logps = [sum(hand.tokens(pair.prompt, pair.chosen)) for pair in pairs]
    assert told["eval_logps/chosen"] == pytest.approx(mean(logps), rel=1e-5)


@pytest.mark.parametrize("batch", [2, 8, 17])
def test_of_demonstrations_the_loss_is_the_mean_over_all_tokens_of_answers(
    model: Path, tmp_path: Path, batch: int
) -> None:
    rows = some("sft")
    told, policy = evaluated(model, tmp_path, rows, {"kind": "sft", "batch_size": batch})
    hand = ByHand(model, policy)
    tokens = [
        -each for row in rows if isinstance(row, Demonstration) for each in hand.tokens(row.prompt, row.completion)
    ]
    assert told["eval_loss"] == pytest.approx(mean(tokens), abs=WITHIN)


@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
@pytest.mark.parametrize("batch", [2, 8, 17])
def test_of_thumbs_the_loss_is_the_mean_over_answers_with_one_kl_term(
    model: Path, tmp_path: Path, batch: int, loss: str
) -> None:
    rows = some("kto")
    told, policy = evaluated(model, tmp_path, rows, {"kind": "kto", "beta": BETA, "batch_size": batch, "loss": loss})
    hand = ByHand(model, policy)
    thumbs = [row for row in rows if isinstance(row, Thumb)]
    ratios = [hand.ratio(thumb.prompt, thumb.completion) for thumb in thumbs]
    kl = 0.0
    if loss == "kto":  # each prompt with the answer of the row before it
        kl = max(0.0, mean([hand.ratio(thumbs[n].prompt, thumbs[n - 1].completion) for n in range(ROWS)]))
    losses = [
        1.0 * (1 - sigmoid(BETA * (ratio - kl))) if thumb.up else 2.0 * (1 - sigmoid(BETA * (kl - ratio)))
        for thumb, ratio in zip(thumbs, ratios, strict=True)
    ]
    assert told["eval_loss"] == pytest.approx(mean(losses), abs=WITHIN)
    for name, up in (("chosen", True), ("rejected", False)):
        side = [BETA * ratio for thumb, ratio in zip(thumbs, ratios, strict=True) if thumb.up == up]
        assert told[f"eval_rewards/{name}"] == pytest.approx(mean(side), abs=WITHIN)
    expected = told["eval_rewards/chosen"] - told["eval_rewards/rejected"]
    assert told["eval_rewards/margins"] == pytest.approx(expected, abs=1e-9)
    if loss == "kto":
        assert told["eval_kl"] == pytest.approx(kl, abs=WITHIN)


def test_reference_log_probabilities_that_were_computed_before_give_the_same_figures(
    model: Path, tmp_path: Path
) -> None:
    for kind in ("dpo", "kto"):
        before = {"precompute_ref_log_probs": True}
        one, _ = evaluated(model, tmp_path, some(kind), {"kind": kind, "batch_size": 8})
        two, _ = evaluated(model, tmp_path, some(kind), {"kind": kind, "batch_size": 8, "trainer": before})
        assert two["eval_loss"] == pytest.approx(one["eval_loss"], abs=1e-6)
        assert two["eval_rewards/margins"] == pytest.approx(one["eval_rewards/margins"], abs=1e-5)


@given(rows=st.integers(1, 60), most=st.integers(1, 9), processes=st.integers(1, 5))
def test_every_row_counts_once_and_all_processes_have_as_many_batches(rows: int, most: int, processes: int) -> None:
    parts = [shares(rows, most, processes, rank) for rank in range(processes)]
    assert len({len(part) for part in parts}) == 1
    batches = [batch for part in parts for batch in part]
    assert all(1 <= len(numbers) <= most and count in (0, len(numbers)) for numbers, count in batches)
    assert sorted(number for numbers, count in batches if count for number in numbers) == list(range(rows))
    assert len(parts[0]) == math.ceil(rows / (most * processes))


def test_where_nothing_is_preferred_yet_the_accuracy_is_a_half() -> None:
    assert settled(0.0, 0.0) == 0.5
    assert settled(0.0, -0.1) == 0.0
    assert settled(0.25, 0.0) == 0.25


def test_thumbs_of_one_side_have_no_margin() -> None:
    rows = [JudgedRow(up=True, logp=-2.0, ratio=0.5, kl=-1.0)] * 2
    found = kto_figures(rows, loss="kto", beta=1.0, weights=(1.0, 1.0), kl=True)
    assert found["kl"] == 0
    assert found["loss"] == pytest.approx(1 - sigmoid(0.5))
    assert "rewards/margins" not in found


def test_what_is_no_number_stays_none_in_the_loss_of_thumbs() -> None:
    rows = [JudgedRow(up=up, logp=math.nan, ratio=math.nan, kl=math.nan) for up in (True, False)]
    assert math.isnan(kto_figures(rows, loss="kto", beta=1.0, weights=(1.0, 1.0), kl=True)["loss"])
