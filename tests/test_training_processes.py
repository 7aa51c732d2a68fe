"""Two processes that train together (gloo, on CPUs) learn what one learns, and only the first speaks and writes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, clean_environment, write_lines
from tests.test_train_command import some_labels, told, weights

pytestmark = pytest.mark.slow
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "aifeedback.training"]
ONE = ["-m", "aifeedback.training"]


def run(folder: Path, launcher: list[str], *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *launcher, *map(str, arguments)],
        cwd=folder,
        env=clean_environment(HOME=str(folder), OMP_NUM_THREADS="1"),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=150,
    )


def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path, tiny: Path) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", some_labels(84))
    said = ["dpo", labels, "--model", tiny, "--lr", "1e-3", "--eval-fraction", "0.04", "--lora"]
    one = run(tmp_path, ONE, *said, "-o", "one", "--batch-size", 8)
    two = run(tmp_path, TWO, *said, "-o", "two", "--batch-size", 4)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert two.stderr.count("trained on") == 1
    single, double = told(tmp_path / "one"), told(tmp_path / "two")
    assert double["hardware"]["processes"] == 2
    assert double["data"]["rows"] == single["data"]["rows"]
    assert len(single["history"]) == len(double["history"]) == 10
    for name in ("loss", "margin"):
        for mine, theirs in zip(single["history"], double["history"], strict=True):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-4)
        for mine, theirs in zip(single["evaluations"], double["evaluations"], strict=True):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-4)
    assert weights(tmp_path / "one").keys() == weights(tmp_path / "two").keys()


def test_held_out_figures_of_two_processes_are_those_of_one_also_where_the_rows_do_not_divide(
    tmp_path: Path, tiny: Path
) -> None:
    # Thumbs: a row each, so that nothing is held out but what is asked for; and KTO has a figure more than the others.
    labels = [
        {"prompt": row["prompt"], "completion": row["chosen" if n % 3 else "rejected"], "thumb": 1 if n % 3 else -1}
        for n, row in enumerate(some_labels(106))
    ]
    write_lines(tmp_path / "labels.jsonl", labels)
    said = ["kto", "labels.jsonl", "--model", tiny, "--lr", "1e-3", "--eval-fraction", "0.32"]
    one = run(tmp_path, ONE, *said, "-o", "one", "--batch-size", 8)
    two = run(tmp_path, TWO, *said, "-o", "two", "--batch-size", 4)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    single, double = told(tmp_path / "one"), told(tmp_path / "two")
    rows = single["data"]["rows"]
    assert (rows["held_out"], rows["train"]) == (34, 72), "34 is no multiple of 8, and 72 is"
    assert len(single["evaluations"]) == len(double["evaluations"]) >= 4
    for mine, theirs in zip(single["evaluations"], double["evaluations"], strict=True):
        assert mine.keys() == theirs.keys()
        for name in ("loss", "margin", "accuracy", "chosen_reward", "rejected_reward", "kl"):
            if name in mine:
                assert theirs[name] == pytest.approx(mine[name], abs=1e-4), name


def test_two_processes_with_bad_data_say_so_once_and_leave_no_model(tmp_path: Path, tiny: Path) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", [{"prompt": "p", "chosen": "c"}] * 4)
    done = run(tmp_path, TWO, "dpo", labels, "--model", tiny, "-o", "policy")
    assert done.returncode != 0
    assert done.stderr.count("a field is missing") == 1
    assert not (tmp_path / "policy").exists()


def ranks(launcher: int) -> dict[str, int]:
    """The processes of a launcher by their rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    found: dict[str, int] = {}
    for child in children.read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {line[5:].decode(): int(child) for line in environment if line.startswith(b"RANK=")}
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("told_one", ["0", "1"])
def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path: Path, tiny: Path, told_one: str) -> None:
    labels = write_lines(tmp_path / "labels.jsonl", some_labels(40))
    line = ["dpo", labels, "--model", tiny, "-o", "policy", "--batch-size", 2, "--epochs", 2000]
    line += ["--eval-fraction", 0, "--set", "save_steps=20", "--set", "save_total_limit=100000"]
    launched = subprocess.Popen(
        [sys.executable, *TWO, *map(str, line)],
        cwd=tmp_path,
        env=clean_environment(HOME=str(tmp_path), OMP_NUM_THREADS="1"),
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 100
    while not list(tmp_path.glob("policy/checkpoint-*/aifeedback.json")) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(ranks(launched.pid)[told_one], signal.SIGTERM)
    _, said = launched.communicate(timeout=100)
    assert launched.returncode != 0
    [step] = re.findall(r"interrupted after step (\d+)\.", said)
    kept = {path.name for path in (tmp_path / "policy" / f"checkpoint-{step}").iterdir()}
    assert {"aifeedback.json", "rng_state_0.pth", "rng_state_1.pth"} <= kept
    assert not [path for path in tmp_path.glob("policy/checkpoint-*") if int(path.name.split("-")[1]) > int(step)]


def test_two_processes_do_not_share_stdin(tmp_path: Path, tiny: Path) -> None:
    done = run(tmp_path, TWO, "dpo", "-", "--model", tiny, "-o", "policy")
    assert done.returncode != 0
    assert "several processes can't share stdin" in done.stderr


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", sorted((ROOT / "examples" / "accelerate").glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_reads_the_example_configs(file: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(file))
    assert config.num_processes == 8
    assert config.mixed_precision == "bf16"
