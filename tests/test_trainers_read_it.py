"""What comes out loads with datasets and goes into TRL's trainers as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, clean_environment, some_pairs, write_lines

pytestmark = pytest.mark.slow

datasets = pytest.importorskip("datasets", reason="datasets is not installed")


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets.disable_progress_bars()


def loaded(path: Path, cache: Path) -> Any:
    return datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))


def dialogue(number: int) -> dict[str, Any]:
    return {
        "prompt": [
            {"role": "user", "content": "Name a number."},
            {"role": "assistant", "content": "One."},
            {"role": "user", "content": f"Another one than {number}?"},
        ],
        "response_a": f"{number + 1}.",
        "response_b": f"{number + 2} is another one, and a good one.",
        "system": "You know numbers.",
    }


@pytest.mark.parametrize("pairs", [some_pairs(8), [dialogue(n) for n in range(8)]], ids=["strings", "messages"])
def test_labels_from_a_pipe_are_a_preference_dataset_for_dpo_and_kto(
    aifeedback: Command, tmp_path: Path, pairs: list[dict[str, Any]]
) -> None:
    ended = aifeedback("label", "--critic", "builtin", stdin="".join(json.dumps(pair) + "\n" for pair in pairs))
    assert ended.code == 0, ended.err
    (tmp_path / "labels.jsonl").write_text(ended.out)
    assert loaded(tmp_path / "labels.jsonl", tmp_path / "cache").num_rows == 8
    script = Path(__file__).with_name("train_naively.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "labels.jsonl", tmp_path / "work"],
        env=clean_environment(HOME=str(tmp_path), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", HF_HUB_DISABLE_TELEMETRY="1"),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "dpo 8, kto 16"


def test_a_large_file_whose_oddities_stand_in_the_last_rows_still_loads(aifeedback: Command, tmp_path: Path) -> None:
    filler = "This sentence only makes the answer longer than it needs to be. " * 12
    pairs = some_pairs(13_000)
    for pair in pairs:
        pair["response_a"] += filler
    odd = {
        "gold": "a",
        "votes": ["a", "a", "b"],
        "reference": "r",
        "model_a": "m",
        "score": 1.5,
        "tags": [1, "x", None],
        "more": {"deep": {"er": [{}]}},
    }
    write_lines(
        tmp_path / "pairs.jsonl",
        pairs + [pair | odd | {"id": f"odd-{number}"} for number, pair in enumerate(some_pairs(3))],
    )
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "-o", "labels.jsonl", "--explain", "none")
    assert ended.code == 0, ended.err
    assert (tmp_path / "labels.jsonl").stat().st_size > 15_000_000
    rows = loaded(tmp_path / "labels.jsonl", tmp_path / "cache")
    assert rows.num_rows == 13_003
    assert rows[-1]["feedback"]["gold"] == "a"
    assert rows[-1]["meta"]["score"] == 1.5
    assert "votes" in ended.err


def test_meta_that_changes_its_shape_is_told_and_loads_as_text(aifeedback: Command, tmp_path: Path) -> None:
    pairs = some_pairs(4)
    write_lines(
        tmp_path / "pairs.jsonl",
        [pair | {"extra": value} for pair, value in zip(pairs, [1, "text", {"a": 1}, [None]], strict=True)],
    )
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "-o", "kept.jsonl")
    assert ended.err.count("--meta text") == 1
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "--meta", "text", "-o", "text.jsonl")
    assert "--meta text" not in ended.err
    rows = loaded(tmp_path / "text.jsonl", tmp_path / "cache")
    assert [json.loads(row["meta"])["extra"] for row in rows] == [1, "text", {"a": 1}, [None]]
