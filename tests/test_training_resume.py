"""A run that goes on ends as one that was never stopped; one that would not is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import SettingsError
from tests.test_train_command import some_labels, told, weights
from tests.tiny_models import tiny_model

pytestmark = [pytest.mark.filterwarnings("ignore")]  # what TRL, transformers and peft warn each other of


def cut_back(folder: Path, step: int) -> None:
    """Leave the run as if it had been killed right after the checkpoint of `step`."""
    for checkpoint in folder.glob("checkpoint-*"):
        if int(checkpoint.name.split("-")[1]) > step:
            shutil.rmtree(checkpoint)
    for name in ("adapter_model.safetensors", "model.safetensors", "training.html", "README.md"):
        (folder / name).unlink(missing_ok=True)
    (folder / "training.json").write_text(json.dumps(told(folder) | {"finished": False}))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def test_a_torn_checkpoint_does_not_count(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(30), steps=6, trainer={"save_steps": 2})
    whole = weights(folder)
    (folder / "checkpoint-6" / "aifeedback.json").unlink()  # as if the process had died while it was written
    (folder / "checkpoint-6" / "adapter_model.safetensors").write_bytes(b"torn")
    run = told(folder)
    (folder / "training.json").write_text(json.dumps(run | {"finished": False}))
    trained("dpo", some_labels(30), steps=6, trainer={"save_steps": 2}, resume=True)
    assert any(line.endswith("checkpoint-4.") for line in trained.said)
    assert same(whole, weights(folder))


def test_resuming_before_the_first_checkpoint_begins_anew(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(30), steps=2, resume=True)
    assert any("begins anew" in line for line in trained.said)
    assert told(folder)["evaluations"][0]["step"] == 0


@pytest.mark.parametrize(
    "more",
    [{}, {"trainer": {"load_best_model_at_end": True, "eval_steps": 1, "save_steps": 1}}],
    ids=["the last", "the best"],
)
def test_a_run_that_had_taken_all_its_steps_takes_no_further_one(trained: Any, more: dict[str, Any]) -> None:
    # A constant rate, since the last step of a falling one changes nothing; and 6 steps end inside the third epoch.
    more = {"trainer": {"lr_scheduler_type": "constant", **more.get("trainer", {})}}
    _, folder = trained("dpo", some_labels(20), steps=7, learning_rate=5e-2, **more)
    whole, run = weights(folder), told(folder)
    cut_back(folder, 7)
    result, _ = trained("dpo", some_labels(20), steps=7, learning_rate=5e-2, resume=True, **more)
    assert result.step == 7
    assert same(whole, weights(folder))
    assert [point["step"] for point in told(folder)["history"]] == [point["step"] for point in run["history"]]
    assert told(folder)["evaluations"][-1] == run["evaluations"][-1]


def test_what_is_told_of_the_model_is_told_of_the_best_one_where_that_is_kept(trained: Any) -> None:
    # The worst is called the best here: whichever step that is, it is not the last one.
    wanted = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    rows = some_labels(24)
    _, folder = trained("dpo", rows, lora=False, steps=5, trainer=wanted | {"eval_steps": 1, "save_steps": 1})
    losses = [point["loss"] for point in told(folder)["evaluations"]]
    kept = losses.index(max(losses[1:-1]))  # step 0 has no checkpoint
    assert kept < 5
    assert losses[-1] == pytest.approx(losses[kept], rel=1e-6)
    assert losses[-1] > losses[-2]
    assert same(weights(folder), weights(folder / f"checkpoint-{kept}"))


def _others(folder: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        path = folder / name
        before = path.stat()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda folder: tiny_model(folder, seed=9), "weights of the model"),
        (_others, "weights of the model"),
        (lambda folder: (folder / "notes.txt").write_text("mine"), ""),
    ],
    ids=["other weights", "another time", "other files"],
)
def test_a_run_does_not_go_on_from_other_weights_in_the_same_place(
    trained: Any, tmp_path: Path, change: Callable[[Path], object], names: str
) -> None:
    start = tiny_model(tmp_path / "start")
    said = {"steps": 3, "trainer": {"save_steps": 1}, "model": str(start)}
    _, folder = trained("dpo", some_labels(20), **said)
    cut_back(folder, 2)
    change(start)
    if names:
        with pytest.raises(SettingsError, match=f"made with other {names}"):
            trained("dpo", some_labels(20), resume=True, **said)
        assert not (folder / "adapter_model.safetensors").exists()
    else:
        trained("dpo", some_labels(20), resume=True, **said)
        assert told(folder)["finished"]


def test_the_weights_of_an_adapters_base_count_too(trained: Any, tmp_path: Path) -> None:
    start = tiny_model(tmp_path / "start")
    _, adapter = trained("sft", some_labels(20), model=str(start), output="adapter", steps=1)
    said = {"steps": 3, "trainer": {"save_steps": 1}, "model": str(adapter)}
    _, folder = trained("dpo", some_labels(20), **said)
    cut_back(folder, 2)
    tiny_model(start, seed=9)
    with pytest.raises(SettingsError, match="made with other weights of the model"):
        trained("dpo", some_labels(20), resume=True, **said)


def test_a_run_does_not_go_on_in_another_number_of_processes(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = trained("dpo", some_labels(20), steps=3, trainer={"save_steps": 1})
    cut_back(folder, 2)
    monkeypatch.setattr("aifeedback.training.hardware.processes", lambda: 2)
    with pytest.raises(SettingsError, match="made with other number of processes"):
        trained("dpo", some_labels(20), steps=3, trainer={"save_steps": 1}, resume=True)


@pytest.mark.parametrize(
    "again",
    [
        {"trainer": {"warmup_steps": 1, "save_steps": 1, "weight_decay": 0.0}, "steps": 3},
        {"trainer": {"save_steps": 1, "max_steps": 3, "weight_decay": 0.0, "warmup_steps": 1}},
    ],
    ids=["another order", "a flag as a setting"],
)
def test_the_same_settings_in_other_words_are_the_same_run(trained: Any, again: dict[str, Any]) -> None:
    first = {"trainer": {"save_steps": 1, "weight_decay": 0.0, "warmup_steps": 1}, "steps": 3}
    _, folder = trained("dpo", some_labels(20), **first)
    whole = weights(folder)
    cut_back(folder, 2)
    trained("dpo", some_labels(20), resume=True, **again)
    assert any(line.endswith("checkpoint-2.") for line in trained.said)
    assert same(whole, weights(folder))


def test_a_run_that_goes_on_tells_when_it_began_and_how_long_all_of_it_took(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(20), steps=3, trainer={"save_steps": 1})
    cut_back(folder, 2)
    mark = folder / "checkpoint-2" / "aifeedback.json"
    assert 0 < json.loads(mark.read_text())["loop_seconds"] <= json.loads(mark.read_text())["seconds"] + 0.1
    mark.write_text(json.dumps({"seconds": 5000.0, "loop_seconds": 4000.0}))
    began = "2020-01-01T00:00:00+00:00"
    (folder / "training.json").write_text(json.dumps(told(folder) | {"started": began}))
    trained("dpo", some_labels(20), steps=3, trainer={"save_steps": 1}, resume=True)
    run = told(folder)
    assert (run["started"], run["seconds"] > 5000, run["loop_seconds"] > 4000) == (began, True, True)


def test_one_checkpoint_more_than_the_newest_is_kept_whatever_is_said(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(20), steps=4, trainer={"save_steps": 1, "save_total_limit": 1})
    marks = sorted(path.parent.name for path in folder.glob("checkpoint-*/aifeedback.json"))
    assert marks == ["checkpoint-3", "checkpoint-4"]
    assert any("two are kept" in line for line in trained.said)
