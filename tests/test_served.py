"""What stands behind a critic's name, and whether it stayed the same."""

from __future__ import annotations

from aifeedback.records import Reply
from aifeedback.served import Served


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
    assert "fp_1 and fp_2 for a fingerprint" in said
    many = served(*[("m", f"fp_{number % 9}") for number in range(90)]).remark()
    assert "fp_4 and 4 more" in many


def test_a_fingerprint_of_its_own_for_every_reply_is_no_list():
    seen = served(*[("m", f"id_{number}") for number in range(5000)])
    assert "varies with every reply" in seen.remark()
    assert "id_" not in seen.remark()
    assert len(seen.names) == 100
