"""A full disk, no memory, a model that can't be loaded: one line that says what to do, and an exit code that fits."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import SettingsError, StopRun
from aifeedback.training.limits import while_loading, while_training
from tests.conftest import clean_environment, write_lines
from tests.test_train_command import some_labels, told, weights
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


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 1.5], ids=["weights", "optimiser"])
def test_a_file_that_can_not_be_written_stops_the_run_and_resume_finishes_it(
    tmp_path: Path, tiny: Path, share: float
) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", some_labels(20))
    line = ["dpo", labels, "--model", tiny, "-o", "policy", "--no-lora", "--steps", 3, "--set", "save_steps=1"]
    size = (tiny / "model.safetensors").stat().st_size
    done = command(tmp_path, *line, largest=int(size * share))
    assert done.returncode == 5, done.stderr
    assert done.stdout == ""
    [error] = errors(done.stderr)
    assert "Make room. --resume goes on from the last checkpoint." in error
    assert not (tmp_path / "policy" / "training.html").exists()
    again = command(tmp_path, *line, "--resume")
    assert again.returncode == 0, again.stderr
    assert told(tmp_path / "policy")["finished"]


# Weights, and twice as much for the optimiser: the second one no longer fits.
_ONE_CHECKPOINT = 4.5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    tool = shutil.which("mount")
    made = subprocess.run([tool, "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=False) if tool else None
    if made is None or made.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_resume_finishes_it(tmp_path: Path, tiny: Path, small_disk: Path) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", some_labels(20))
    line = ["dpo", labels, "--model", tiny, "-o", small_disk / "policy", "--no-lora", "--steps", 3]
    line += ["--set", "save_steps=1", "--lr", "1e-3"]
    size = (tiny / "model.safetensors").stat().st_size
    with (small_disk / "filled").open("wb") as file:
        free = os.statvfs(small_disk)
        file.write(b"x" * int(free.f_bavail * free.f_frsize - size * _ONE_CHECKPOINT - 200_000))
    done = command(tmp_path, *line)
    assert done.returncode == 5, done.stderr
    assert done.stdout == ""
    [error] = errors(done.stderr)
    assert "--resume goes on from the last checkpoint." in error
    assert [path.parent.name for path in small_disk.glob("policy/*/aifeedback.json")] == ["checkpoint-1"]
    (small_disk / "filled").unlink()
    again = command(tmp_path, *line, "--resume")
    assert again.returncode == 0, again.stderr
    unfilled = command(tmp_path, *line[:4], "-o", "elsewhere", *line[6:])
    assert unfilled.returncode == 0, unfilled.stderr
    one, other = weights(small_disk / "policy"), weights(tmp_path / "elsewhere")
    assert all((one[name] - other[name]).abs().max() <= 1e-6 for name in other)


def test_a_report_that_can_not_be_written_after_training_stops_the_run(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "policy" / "training.html").mkdir(parents=True)
    with pytest.raises(StopRun, match=r"training\.html can't be written.*--resume"):
        trained("dpo", some_labels(20), steps=1)
    (tmp_path / "policy" / "training.html").rmdir()
    trained("dpo", some_labels(20), steps=1, resume=True)
    assert told(tmp_path / "policy")["finished"]


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
