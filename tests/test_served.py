"""What stands behind a critic's name, and whether it stayed the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aifeedback.api import Options
from aifeedback.job import run_job
from aifeedback.records import Question, Reply
from aifeedback.served import Served
from aifeedback.testing import ScriptedCritic
from aifeedback.verdicts import write_answer
from tests.conftest import read_lines, some_pairs, write_lines


def served(*said: tuple[str, str]) -> Served:
    seen = Served("openai/gpt-5-mini")
    for model, fingerprint in said:
        seen.add(Reply("A", model=model, fingerprint=fingerprint))
    return seen


def test_one_model_in_one_state_is_nothing_to_tell():
    assert served(*[("gpt-5-mini-2025-08-07", "fp_1")] * 9).remark() == ""
    assert served(("", ""), ("m", ""), ("m", "")).remark() == ""
    assert served(*[("m", "fp")] * 3).names == ["m fp"]


def test_several_models_are_named():
    said = served(("gpt-5-mini-2025-08-07", "fp"), ("gpt-5-mini-2026-01-01", "fp")).remark()
    assert "answered for by gpt-5-mini-2025-08-07 and gpt-5-mini-2026-01-01" in said


def test_a_fingerprint_that_changed_is_named_and_a_long_list_is_cut():
    said = served(*[("m", "fp_1")] * 20, *[("m", "fp_2")] * 20).remark()
    assert "the fingerprints fp_1 and fp_2: what serves it changed" in said
    many = served(*[("m", f"fp_{number % 9}") for number in range(90)]).remark()
    assert "fp_4 and 4 more" in many


def test_a_fingerprint_of_its_own_for_every_reply_is_no_list():
    seen = served(*[("m", f"id_{number}") for number in range(5000)])
    assert "varies with every reply" in seen.remark()
    assert "id_" not in seen.remark()
    assert len(seen.names) == 100


def test_a_run_says_which_model_gave_each_verdict_and_that_it_changed_and_judged_its_kin(tmp_path: Path):
    def say(question: Question) -> Reply:
        content = write_answer(question.format, "first" if question.order == "ab" else "second", "because")
        old = int(question.pair.id) < 6
        return Reply(content, finish_reason="stop", model="gpt-4o-2024-05-13" if old else "gpt-4o-2024-11-20")

    write_lines(tmp_path / "pairs.jsonl", some_pairs(10, model_a="gpt-4o", model_b="claude-3"))
    job = Options(ScriptedCritic(say, "openai/gpt-4o")).job([str(tmp_path / "pairs.jsonl")], str(tmp_path / "o.jsonl"))
    notes: list[str] = []
    result = asyncio.run(run_job(job, environment={}, note=notes.append))
    rows = read_lines(tmp_path / "o.jsonl")
    assert [row["feedback"]["verdicts"][1]["served_by"][-5:] for row in rows] == ["05-13"] * 6 + ["11-20"] * 4
    changed, kin = notes
    assert "openai/gpt-4o was answered for by gpt-4o-2024-05-13 and gpt-4o-2024-11-20" in changed
    assert "openai/gpt-4o judges its own family: 10 of 10 pairs that name models" in kin
    assert "chose its own in 100.0% (95% interval 72.2 to 100.0; half is fair)" in kin
    assert result.summary["same_family_rate"] == 1.0
    assert result.summary["critics"] == []
