"""A full disk, no memory, a model that can't be loaded: one line that says what to do, and an exit code that fits."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import SettingsError, StopRun
from aifeedback.training.limits import while_loading, while_training
from tests.conftest import clean_environment
from tests.test_train_command import some_labels
from tests.tiny_models import tiny_model

pytestmark = [pytest.mark.filterwarnings("ignore")]  # what TRL, transformers and peft warn each other of


def command(folder: Path, *arguments: object, largest: int | None = None) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own; no file can grow beyond `largest` bytes."""

    def limit() -> None:
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    return subprocess.run(
        [sys.executable, "-m", "aifeedback", "train", *map(str, arguments)],
        cwd=folder,
        env=clean_environment(HOME=str(folder), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=150,
        preexec_fn=limit,
    )


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(("Error", "Traceback"))]


def test_memory_that_ends_stops_the_run_while_loading_and_while_training() -> None:
    import torch

    for error in (torch.OutOfMemoryError("CUDA out of memory."), MemoryError()):
        with pytest.raises(StopRun, match="out of"), while_loading("model"):
            raise error
        with pytest.raises(StopRun, match="--batch-size"), while_training(""):
            raise error


def test_a_fault_of_the_code_is_no_full_disk() -> None:
    for error in (RuntimeError("shape mismatch"), ValueError("a fault"), KeyError("name")):
        with pytest.raises(type(error)), while_training(""):
            raise error


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _torn(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50_000])


def _of_another_shape(folder: Path) -> None:
    shutil.copy(tiny_model(folder / "wide", hidden=128) / "model.safetensors", folder)


@pytest.mark.parametrize("spoil", [_without_weights, _torn, _of_another_shape])
@pytest.mark.parametrize("lora", [True, False])
def test_a_model_that_can_not_be_loaded_is_one_line_and_its_folder_is_named(
    trained: Any, tmp_path: Path, tiny: Path, spoil: Any, lora: bool
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    spoil(model)
    with pytest.raises(SettingsError) as caught:
        trained("dpo", some_labels(20), model=str(model), steps=1, lora=lora)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("policy/*"))


def test_an_adapter_whose_weights_are_torn_is_one_line(trained: Any) -> None:
    _, adapter = trained("sft", some_labels(20), output="adapter", steps=1)
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(SettingsError, match="adapter can't be trained"):
        trained("dpo", some_labels(20), model=str(adapter), steps=1)


@pytest.mark.parametrize(
    "trainer", [{"use_liger_kernel": True}, {"model_init_kwargs": {"no_such_argument": 1}}], ids=["liger", "argument"]
)
def test_what_the_packages_or_the_model_do_not_have_is_one_line(trained: Any, trainer: dict[str, Any]) -> None:
    if "use_liger_kernel" in trainer:
        from importlib.util import find_spec

        if find_spec("liger_kernel"):
            pytest.skip("liger-kernel is installed")
    with pytest.raises(SettingsError) as caught:
        trained("dpo", some_labels(20), steps=1, trainer=trainer)
    assert "\n" not in str(caught.value)
