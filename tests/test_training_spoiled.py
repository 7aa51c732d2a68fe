"""Weights that are no numbers are never written as a model, nor gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import StopRun
from aifeedback.training.progress import Ended, Progress, callback
from tests.test_train_command import some_labels, told

pytestmark = [pytest.mark.filterwarnings("ignore")]  # what TRL, transformers and peft warn each other of

# A single step of this is infinite in float32; after one of 1e30 the next loss is.
BEYOND = 1e39
EXPLODING: dict[str, Any] = {"lora": False, "learning_rate": 1e30}


def spoils(**more: Any) -> dict[str, Any]:
    return EXPLODING | {"trainer": {"max_grad_norm": 0.0, **more.pop("trainer", {})}} | more


@pytest.mark.parametrize(
    "more",
    [
        {"epochs": 5},
        {"steps": 1, "learning_rate": BEYOND},
        {"steps": 3, "eval_fraction": 0.0, "trainer": {"logging_steps": 50}},
        {"steps": 3, "trainer": {"logging_strategy": "no"}},
        {"steps": 3, "eval_fraction": 0.0, "trainer": {"logging_strategy": "no", "save_strategy": "no"}},
        {"steps": 1, "learning_rate": BEYOND, "eval_fraction": 0.0, "trainer": {"save_strategy": "no"}},
        {"epochs": 1, "trainer": {"save_strategy": "epoch", "eval_strategy": "epoch"}},
    ],
    ids=["logged", "the last step", "logged too seldom", "never logged", "never saved", "one step", "by epoch"],
)
def test_a_loss_that_is_no_number_ends_the_run_and_writes_no_model(trained: Any, more: dict[str, Any]) -> None:
    said = spoils(**more)
    with pytest.raises(StopRun, match="no number any more"):
        trained("dpo", some_labels(40), **said)
    folder = Path("policy")
    assert not (folder / "model.safetensors").exists()
    assert told(folder)["finished"] is False
    for mark in folder.glob("checkpoint-*/aifeedback.json"):
        assert finite(mark.parent)
    with pytest.raises(StopRun, match="no number any more"):
        trained("dpo", some_labels(40), resume=True, **said)
    assert not (folder / "model.safetensors").exists()


def finite(folder: Path) -> bool:
    from tests.test_train_command import weights

    found = weights(folder)
    return bool(found) and all(bool(value.isfinite().all()) for value in found.values())


@pytest.mark.parametrize("name", ["loss", "eval_loss", "train_loss"])
def test_each_loss_that_is_no_number_stops_the_run_before_it_saves(name: str) -> None:
    from transformers import TrainerControl, TrainerState

    marked: list[Path] = []
    ended = Ended()
    following, control, state = callback(Progress(), ended, marked.append), TrainerControl(), TrainerState()
    state.global_step = 4
    for value in (0.5, float("nan")):
        control.should_save = control.should_evaluate = True
        following.on_log(None, state, control, logs={name: value, "epoch": 1.0})
        stops = value != 0.5
        assert (ended.diverged, control.should_training_stop) == (4 if stops else None, stops)
        assert (control.should_save, control.should_evaluate) == (not stops, not stops)


def test_one_weight_that_is_no_number_among_many_is_seen() -> None:
    import torch

    model = torch.nn.Linear(50, 50)
    ended = Ended()
    ended.see_weights(model, 3)
    assert ended.diverged is None
    with torch.no_grad():
        model.bias[17] = float("inf")
    ended.see_weights(model, 4)
    assert ended.diverged == 4


def test_what_is_not_trained_may_hold_anything() -> None:
    import torch

    model = torch.nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    with torch.no_grad():
        model.weight[0, 0] = float("-inf")
    ended = Ended()
    ended.see_weights(model, 1)
    assert ended.diverged is None
