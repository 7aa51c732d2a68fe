"""Several critics: each one's own figures, how far they agree, and what asking the stronger one in doubt saved."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aifeedback import alpha
from aifeedback.alpha import krippendorff_alpha
from aifeedback.api import Options
from aifeedback.job import run_job
from aifeedback.measures import wilson
from aifeedback.panel import Panel
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Label, Order, Pair, Status, Verdict
from aifeedback.settings import ReconcileSettings
from aifeedback.testing import FairCritic
from tests.conftest import some_pairs, write_lines

AB, BA = Order.AB, Order.BA
PAIR = Pair("1", "prompt", "one", "two")
Said = dict[str, tuple[float | Status, float | Status]]


def label(said: Said, pair: Pair = PAIR, **changes: Any) -> Label:
    """A label of a panel, by what each critic says in both orders."""
    heard = [
        Verdict(critic, order, 0, None, status=outcome)
        if isinstance(outcome, Status)
        else Verdict(critic, order, 0, PA(outcome))
        for critic, outcomes in said.items()
        for order, outcome in zip(Order, outcomes, strict=True)
    ]
    return replace(reconcile(pair, heard, ReconcileSettings()), **changes)


def panel(*labels: Label, names: str = "xy", strong: str = "") -> Panel:
    folded = Panel(list(names), strong)
    for each in labels:
        folded.add(each)
    return folded


def test_each_critic_has_figures_of_its_own():
    folded = panel(
        label({"x": (1.0, 1.0), "y": (1.0, 0.0)}),
        label({"x": (0.0, 0.0), "y": (1.0, Status.UNPARSED)}),
        label({"x": (0.5, 0.5), "y": (0.0, 0.0)}),
    )
    x, y = (critic.record() for critic in folded.critics.values())
    assert (x["consistency"], x["consistency_ci"], x["first_shown_rate"]) == (1.0, wilson(3, 3), 0.5)
    # Of five verdicts, the first shown wins in "a in ab" twice and in "b in ba" twice.
    assert (y["consistency"], y["consistency_ci"], y["first_shown_rate"]) == (0.5, wilson(1, 2), 0.8)
    assert y["verdicts"] == {"read": 5, "unparsed": 1, "refused": 0, "too_long": 0, "failed": 0, "unasked": 0}


def test_alpha_is_the_librarys_on_what_the_critics_decide_about_each_pair_in_each_order():
    library = pytest.importorskip("krippendorff")
    generator = random.Random(3)
    labels, table = [], [[], [], []]
    for _ in range(200):
        truth, said = generator.choice([1.0, 0.0]), {}
        for number, critic in enumerate("xyz"):
            one = truth if generator.random() < 0.8 else generator.choice([0.0, 0.5, 1.0])
            other = generator.choice([one, one, one, 1.0 - one, Status.FAILED])
            said[critic] = (one, other)
            table[number] += [one, float("nan") if isinstance(other, Status) else other]
        labels.append(label(said))
    found = krippendorff_alpha(panel(*labels, names="xyz").decisions)
    assert found == pytest.approx(library.alpha(table, level_of_measurement="interval"), abs=1e-6)
    assert 0.4 < found < 0.9


def test_alpha_of_more_pairs_than_fit_is_that_of_as_many_in_the_same_proportions(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("krippendorff")
    units = Counter({(2, 0, 0): 40_000, (1, 1, 0): 3_000, (1, 0, 1): 6_000, (0, 0, 2): 50_001})
    exact = krippendorff_alpha(units)
    monkeypatch.setattr(alpha, "_MOST_UNITS", 9_000)
    assert krippendorff_alpha(units) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("units", [{}, {(1, 0, 0): 5, (0, 0, 1): 5}, {(2, 0, 0): 9}])
def test_there_is_no_alpha_where_nothing_can_be_told_apart(units: dict[tuple[int, int, int], int]):
    pytest.importorskip("krippendorff")
    assert krippendorff_alpha(units) is None


def test_without_the_library_there_is_no_alpha_and_a_note_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    critics = [FairCritic(len, name="x"), FairCritic(len, name="y")]
    job = Options(critics).job([str(tmp_path / "pairs.jsonl")], str(tmp_path / "o.jsonl"))
    notes: list[str] = []
    summary = asyncio.run(run_job(job, environment={}, note=notes.append)).summary
    assert summary["critics_alpha"] is None
    assert [note for note in notes if "pip install 'aifeedback[panel]'" in note]
    assert [critic["critic"] for critic in summary["critics"]] == ["x", "y"]


def kin(model_a: str, model_b: str) -> Pair:
    return replace(PAIR, model_a=model_a, model_b=model_b)


def test_a_critic_that_judges_its_own_family_is_told_with_its_rate():
    gpt = "openai/gpt-4o"
    alone = Panel([gpt])
    for pair, p in ((kin("gpt-4o", "claude-3"), 1.0), (kin("claude-3", "o3-mini"), 0.0), (kin("", "llama-3"), 1.0)):
        alone.add(label({gpt: (p, p)}, pair))
    (said,) = alone.remarks()
    assert f"{gpt} judges its own family: 2 of 3 pairs that name models" in said
    assert "1 of them from itself" in said
    assert "Of the 2 that it decided between one of these and another, it chose its own in 100.0%" in said


def test_a_critic_of_no_known_family_or_without_kin_or_models_is_not_told():
    for critic, pair in (
        ("vllm/mine", kin("mine", "")),
        ("openai/gpt-4o", kin("claude-3", "")),
        ("openai/gpt-4o", PAIR),
    ):
        alone = Panel([critic])
        alone.add(label({critic: (1.0, 1.0)}, pair))
        assert alone.remarks() == []


def test_in_a_panel_each_critics_rate_is_over_its_own_decisions():
    gpt, claude = "openai/gpt-4o", "anthropic/claude-5"
    folded = Panel([gpt, claude])
    folded.add(label({gpt: (1.0, 1.0), claude: (0.0, 0.0)}, kin("gpt-4o", "claude-3")))
    assert [critic.record()["same_family_rate"] for critic in folded.critics.values()] == [1.0, 1.0]


def test_what_escalation_saved_counts_questions_and_what_both_critics_cost():
    strong = {"x": (1.0, 0.0), "s": (1.0, 1.0)}
    folded = panel(
        *[label({"x": (1.0, 1.0)})] * 7,
        *[label(strong, status=None, decided_by="s")] * 2,
        label(strong, status=Status.CONFLICT, decided_by="s"),
        label(strong, status=Status.UNASKED, decided_by="s"),
        names="x",
        strong="s",
    )
    found = folded.escalation(2, {"x": 0.001, "s": 0.01})
    # alone: 10 pairs, two questions, a cent each; instead: 10 pairs of x and 3 of s
    assert found == {
        "critic": "s", "asked": 3, "settled": 2, "requests": 6, "requests_alone": 20, "requests_saved": 14,
        "saved_usd": pytest.approx(0.2 - 0.02 - 0.06),
    }  # fmt: skip
    unpriced = folded.escalation(2, {"x": None, "s": 0.01})
    assert unpriced is not None
    assert unpriced["saved_usd"] is None
    assert panel(label({"x": (1.0, 1.0)})).escalation(2, {}) is None
