"""Exported files go into the real libraries, and what these make of them is what was labelled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aifeedback.exports.exporting import export
from aifeedback.exports.settings import ExportSettings
from tests.conftest import clean_environment, write_lines

pytestmark = pytest.mark.slow

pytest.importorskip("trl", reason="trl is not installed")


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


TEXTS = [
    {
        "id": str(number),
        "prompt": f"Name a number after {number}:",
        "chosen": f" {number + 1}, of course",
        "rejected": f" no number comes after {number}",
        "preference": 0.75,
    }
    for number in range(4)
]
DIALOGUES = [
    {
        **row,
        "prompt": [
            turn("system", "You know numbers."),
            turn("user", "Name a number."),
            turn("assistant", "One."),
            turn("user", str(row["prompt"])),
        ],
        "chosen": [turn("assistant", str(row["chosen"]).strip())],
        "rejected": [turn("assistant", str(row["rejected"]).strip())],
    }
    for row in TEXTS
]


def shown(turns: list[dict[str, str]], *, answering: bool = False) -> str:
    """As the tiny model's chat template writes it."""
    text = "".join(f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in turns)
    return text + "<|im_start|>assistant\n" * answering


def wanted(row: dict[str, Any]) -> tuple[str, str, str]:
    """Prompt, chosen and rejected as a model is to see them."""
    if isinstance(row["prompt"], str):
        return row["prompt"], f"{row['chosen']}<|im_end|>", f"{row['rejected']}<|im_end|>"
    prompt = shown(row["prompt"], answering=True)
    chosen, rejected = (f"{row[name][0]['content']}<|im_end|>\n" for name in ("chosen", "rejected"))
    return prompt, chosen, rejected


def test_trl_s_trainers_prepare_what_was_labelled(tmp_path: Path, tiny: Path) -> None:
    for shape, rows in (("text", TEXTS), ("messages", DIALOGUES)):
        labels = write_lines(tmp_path / f"{shape}.jsonl", rows)
        for name in ("trl", "trl-implicit", "trl-kto", "trl-reward", "parquet"):
            kind = "parquet" if name == "parquet" else "json"
            export(ExportSettings(str(labels), name, output=str(tmp_path / f"{shape}.{name}.{kind}")))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("export_naively.py"), tiny, tmp_path, tmp_path / "work"],
        env=clean_environment(HOME=str(tmp_path), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", HF_HUB_DISABLE_TELEMETRY="1"),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    for shape, rows in (("text", TEXTS), ("messages", DIALOGUES)):
        texts = [wanted(row) for row in rows]
        for name in ("trl", "parquet"):
            found = said[f"{shape} {name} DPOTrainer"]
            assert [(each["prompt_ids"], each["chosen_ids"], each["rejected_ids"]) for each in found] == texts
        implicit = said[f"{shape} trl-implicit DPOTrainer"]
        # of text TRL takes all that both begin with for the prompt; the whole is the same
        whole = [
            (each["prompt_ids"] + each["chosen_ids"], each["prompt_ids"] + each["rejected_ids"]) for each in implicit
        ]
        assert whole == [(prompt + chosen, prompt + rejected) for prompt, chosen, rejected in texts]
        if shape == "messages":
            assert [each["prompt_ids"] for each in implicit] == [prompt for prompt, _, _ in texts]
        kto = [
            (each["prompt_ids"], each["completion_ids"], each["label"]) for each in said[f"{shape} trl-kto KTOTrainer"]
        ]
        assert kto == [
            each for prompt, chosen, rejected in texts for each in ((prompt, chosen, True), (prompt, rejected, False))
        ]
        for name in ("trl-reward", "trl-implicit"):
            found = said[f"{shape} {name} RewardTrainer"]
            assert [(each["chosen_ids"], each["rejected_ids"]) for each in found] == [
                (prompt + chosen, prompt + rejected) for prompt, chosen, rejected in texts
            ]
            assert [each.get("margin") for each in found] == [0.5 if name == "trl-reward" else None] * len(rows)


def test_datasets_loads_every_shape_with_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets.disable_progress_bars()
    labels = write_lines(tmp_path / "labels.jsonl", DIALOGUES)
    # a system prompt in some rows only, and none in the first
    mixed = write_lines(
        tmp_path / "mixed.jsonl", [{**DIALOGUES[0], "prompt": DIALOGUES[0]["prompt"][1:]}, *DIALOGUES[1:]]
    )
    for name in ("openai", "axolotl", "llamafactory", "openrlhf", "halos"):
        for source in (labels, mixed):
            path = tmp_path / f"{source.stem}-{name}.json"
            export(ExportSettings(str(source), name, output=str(path)))
            rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
            assert rows.num_rows == len(DIALOGUES)
            text = path.read_text()
            plain = json.loads(text) if name == "halos" else [json.loads(line) for line in text.splitlines()]
            assert rows.to_list() == plain, name
