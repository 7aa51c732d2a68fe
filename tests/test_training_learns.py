"""A preference that can be counted is learnt: from pairs through a critic, labels and DPO to the policy's own answers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture
def example() -> ModuleType:
    """examples/learn_a_preference.py, as a module."""
    spec = importlib.util.spec_from_file_location("learn_a_preference", ROOT / "examples" / "learn_a_preference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["learn_a_preference"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_critics_liking_turns_up_in_answers_to_prompts_that_nobody_trained_on(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = (
        *("--epochs", "3", "--batch-size", "8", "--lr", "1e-3", "--beta", "0.5"),
        *("--loss", "sigmoid+sft", "--eval-fraction", "0.1"),
    )
    plan = example.Plan(answers=800, pairs=480, prompts=60, samples=4, dpo=settings)
    outcome = example.learn(tmp_path, plan, seed=0, lots=False)
    gained = example.differences(outcome.before.question, outcome.after.question)
    low, _ = example.interval(gained)
    assert 0.3 < example.mean(outcome.before.question) < 0.7, "half of the demonstrations end in a question"
    assert low > 0.1, "the paired bootstrap's 95% interval of the gain, over prompts"
    assert outcome.after.finished > 0.9, "and the answers have not fallen apart"
    first, last = outcome.evaluations[0], outcome.evaluations[-1]
    assert last["margin"] > first["margin"]
