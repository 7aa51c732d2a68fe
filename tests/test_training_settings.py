"""What a run is told: flags and the trainer's own names as one word, numbers that can be meant, nothing that would not act."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aifeedback.errors import SettingsError
from aifeedback.training.arguments import total_steps, trainer_arguments
from aifeedback.training.hardware import Hardware
from aifeedback.training.settings import Kind, TrainSettings

GPU = Hardware("cuda", "a GPU", 1, 0, bf16=True, threads=1)


def settings(kind: Kind = "dpo", **more: Any) -> TrainSettings:
    return TrainSettings(kind, ["labels.jsonl"], "model", "policy", **more)


def arguments(hardware: Hardware = GPU, **more: Any) -> dict[str, Any]:
    return trainer_arguments(
        settings(**more), hardware, rows=40, held_out=2, max_length=64, resuming=False, thumbs=(1.0, 1.0)
    )


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ({"epochs": 3.0, "trainer": {"max_steps": 2}}, 15),
        ({"steps": 7, "trainer": {"num_train_epochs": 3.0}}, 7),
        ({"steps": 7, "trainer": {"max_steps": 2}}, 7),
        ({"trainer": {"max_steps": 2, "num_train_epochs": 3.0}}, 2),
        ({"trainer": {"max_steps": -1, "num_train_epochs": 3.0}}, 15),
    ],
)
def test_a_flag_says_when_to_end_whatever_a_setting_says(more: dict[str, Any], steps: int) -> None:
    assert total_steps(settings(**more), 40, 1) == steps
    given = arguments(**more)
    assert ("max_steps" in given) == (
        steps in {2, 7} or (more["trainer"].get("max_steps") == -1 and "epochs" not in more)
    )
    if steps in {2, 7}:
        assert given["max_steps"] == steps


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"epochs": 3.0, "trainer": {"max_steps": 2}}, ["--epochs 3.0 goes before max_steps=2."]),
        ({"learning_rate": 1e-3, "trainer": {"learning_rate": 1e-4}}, ["--lr 0.001 goes before learning_rate=0.0001."]),
        ({"learning_rate": 1e-3, "trainer": {"learning_rate": 1e-3}}, []),
        ({"loss": "ipo", "trainer": {"loss_type": ["hinge"]}}, ["--loss ipo goes before loss_type=['hinge']."]),
        ({"lora_r": 4, "lora_more": {"r": 8}}, ["--lora-r 4 goes before lora.r=8."]),
        ({"lora_more": {"r": 8}}, []),
    ],
)
def test_where_a_flag_goes_before_a_setting_it_is_said(more: dict[str, Any], says: list[str]) -> None:
    assert list(settings(**more).overruled) == says


@pytest.mark.parametrize(
    ("more", "rank"),
    [
        ({}, 16),
        ({"lora_more": {"r": 8}}, 8),
        ({"lora_r": 4, "lora_more": {"r": 8}}, 4),
        ({"lora_r": 16, "lora_more": {"r": 8}}, 16),
        ({"lora": False}, None),
    ],
)
def test_the_rank_is_what_the_flag_says_then_the_setting_then_16(more: dict[str, Any], rank: int | None) -> None:
    assert settings(**more).rank == rank


@pytest.mark.parametrize(
    "more",
    [
        {"learning_rate": -1.0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"trainer": {"learning_rate": -1.0}},
        {"epochs": 0.0},
        {"epochs": -1.0},
        {"epochs": math.nan},
        {"epochs": math.inf},
        {"trainer": {"num_train_epochs": 0.0}},
        {"steps": 0},
        {"batch_size": 0},
        {"trainer": {"per_device_train_batch_size": 0}},
        {"grad_accum": 0},
        {"beta": -0.1},
        {"beta": math.nan},
        {"eval_fraction": math.nan},
        {"eval_fraction": 1.0},
        {"eval_fraction": -0.1},
        {"lora_r": 0},
        {"max_length": 0},
    ],
    ids=str,
)
def test_a_number_that_can_not_be_meant_is_refused_in_one_line(more: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**more)
    said = str(caught.value)
    assert "\n" not in said
    (value,) = (inner for outer in more.values() for inner in (outer.values() if isinstance(outer, dict) else [outer]))
    assert f": {value} " in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"soft_labels": "cdpo", "trainer": {"loss_weights": [0.5]}}, "loss_weights"),
        ({"soft_labels": "gdpo", "trainer": {"label_smoothing": 0.2}}, "label_smoothing"),
        ({"lora": False, "lora_more": {"r": 8}}, "lora.r is about an adapter"),
        ({"lora": False, "lora_r": 8}, "--lora-r is about an adapter"),
        ({"resume": True, "trainer": {"save_only_model": True}}, "save_only_model"),
        ({"resume": True, "trainer": {"sync_ref_model": True}}, "sync_ref_model"),
    ],
)
def test_what_would_not_act_or_act_wrongly_is_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        settings(**more)


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({}, {"dtype": "bfloat16"}),
        ({"attn_implementation": "sdpa"}, {"dtype": "bfloat16", "attn_implementation": "sdpa"}),
        ({"dtype": "float32"}, {"dtype": "float32"}),
        ({"torch_dtype": "float32"}, {"torch_dtype": "float32"}),
    ],
)
def test_how_the_model_is_loaded_on_a_gpu_is_ours_and_the_users_together(
    said: dict[str, Any], given: dict[str, Any]
) -> None:
    more = {"trainer": {"model_init_kwargs": said}} if said else {}
    assert arguments(**more)["model_init_kwargs"] == given
