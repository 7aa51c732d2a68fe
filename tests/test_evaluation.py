"""Labels against gold: counts that add up, figures that know no a and b, baselines, groups, what is worth reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aifeedback.cli.evaluation_table import show
from aifeedback.errors import InputError, SettingsError
from aifeedback.evaluation.baselines import NAMES, baseline_labels
from aifeedback.evaluation.collecting import Collection
from aifeedback.evaluation.disagreements import Disagreements
from aifeedback.evaluation.extra import require
from aifeedback.evaluation.groups import MISSING, MOST_GROUPS, Groups
from aifeedback.evaluation.page import page
from aifeedback.evaluation.reporting import report
from aifeedback.evaluation.settings import EvaluateSettings
from aifeedback.prompt_library import find_template
from aifeedback.reconcile import reconcile, without_asking
from aifeedback.records import PA, Label, Order, Pair, Status, Verdict
from aifeedback.settings import ReconcileSettings

FORM = find_template("pairwise").format
SETTINGS = ReconcileSettings()
SILENT = [Status.UNPARSED, Status.FAILED, Status.REFUSED, Status.TOO_LONG, Status.UNASKED]
quick = settings(max_examples=25, deadline=None)


def pair(number: int, gold: Any = "a", a: str = "x" * 9, b: str = "y", **more: Any) -> Pair:
    return Pair(str(number), f"Say {number}.", a, b, gold=gold, file="pairs.jsonl", line=number + 1, **more)


def label(of: Pair, ab: float | Status | None, ba: float | Status | None, *, soft: bool = False) -> Label:
    """A label from what each order says: P(a), or why nothing."""
    verdicts = [
        Verdict(
            "x", order, 0, None if isinstance(said, Status) else PA(said), soft=soft, reason=f"because {order}",
            status=said if isinstance(said, Status) else None,
        )
        for order, said in zip(Order, (ab, ba), strict=True)
        if said is not None
    ]  # fmt: skip
    return reconcile(of, verdicts, SETTINGS)


def figures(labels: list[Label], by: tuple[str, ...] = (), **critics: list[Label]) -> dict[str, Any]:
    """The report on one critic, or on several about the same pairs."""
    collection = Collection(Groups(by), FORM)
    for number, each in enumerate(labels):
        collection.add_pair(number, each.pair)
    for name, said in {"x": labels, **critics}.items():
        collection.add_critic(name, name)
        for number, each in enumerate(said):
            collection.add(name, number, each)
    return report(collection)


words = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, *SILENT])
texts = st.sampled_from(["a", "bb", "cc c", "Das ist es."])
drawn_labels = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "tie", ""]),
        st.lists(st.sampled_from(["a", "b", "tie"]), max_size=3),
        texts, texts, words, words, st.booleans(),
    ),
    min_size=1, max_size=25,
)  # fmt: skip

MIRROR = {"a": "b", "b": "a"}


def mirrored(of: Label) -> Label:
    """The same with the responses exchanged, in the pair and in everything that was said of it."""
    swapped = replace(
        of.pair,
        response_a=of.pair.response_b,
        response_b=of.pair.response_a,
        gold=MIRROR.get(of.pair.gold, of.pair.gold),
        votes=tuple(MIRROR.get(vote, vote) for vote in of.pair.votes),
        model_a=of.pair.model_b,
        model_b=of.pair.model_a,
    )
    if not of.verdicts:
        return replace(of, pair=swapped)
    verdicts = [
        replace(each, order=Order(each.order[::-1]), p_a=None if each.p_a is None else PA(1 - each.p_a))
        for each in reversed(of.verdicts)
    ]
    return reconcile(swapped, verdicts, SETTINGS)


def drawn(said: list[Any]) -> list[Label]:
    return [
        label(pair(n, gold, a, b, votes=tuple(votes), model_a="gpt-5", model_b="claude"), ab, ba, soft=soft)
        for n, (gold, votes, a, b, ab, ba, soft) in enumerate(said)
    ]


def without_orders(record: Any) -> Any:
    """A report without what speaks of ab and ba, or of a and b themselves, which exchange with a and b."""
    if isinstance(record, Mapping):
        return {
            name: sorted(map(repr, value.values())) if name.startswith("accuracy_by_order") else without_orders(value)
            for name, value in record.items()
            if name != "bins"  # mirrored: test_calibration
        }
    return [without_orders(each) for each in record] if isinstance(record, list) else record


def close(one: Any, other: Any) -> bool:
    """Whether two reports are the same but for the sixth digit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(close(x, y) for x, y in zip(one, other, strict=True))
    return bool(one == pytest.approx(other, abs=3e-6)) if isinstance(one, float) else one == other


@quick
@given(drawn_labels)
def test_exchanging_a_and_b_everywhere_changes_no_figure(said: list[Any]):
    labels = drawn(said)
    there, back = (without_orders(figures(each)) for each in (labels, [mirrored(each) for each in labels]))
    for name in ("critics", "baselines", "humans", "against_baselines"):
        assert close(there[name], back[name]), name


@quick
@given(drawn_labels)
def test_counts_always_add_up_and_every_rate_lies_within_its_interval(said: list[Any]):
    found = figures(drawn(said))
    for entry in [*found["critics"], *found["baselines"]]:
        statuses = [each for each in Status if each not in {Status.UNASKED, Status.INVALID}]
        assert entry["n"] == entry["n_decided"] + sum(entry[each.value] for each in statuses)
        assert entry["n"] + entry["unasked"] == len(said)
        assert entry["n_gold"] <= entry["n"]
        assert (entry["three_way"] is None) == (entry["n_gold_tie"] == 0)
        for name, between in entry.items():
            if name.endswith("_ci") and between is not None and name != "accuracy_by_order_ci":
                rate = entry[name.removesuffix("_ci")]
                assert between[0] - 2e-6 <= rate <= between[1] + 2e-6, name
    unanswered = sum(1 for each in drawn(said) if each.status is Status.UNASKED)
    assert found["critics"][0]["unasked"] == unanswered


def test_what_is_no_label_is_wrong_and_nothing_else_is():
    labels = [
        label(pair(0), 1.0, 1.0),
        label(pair(1), 0.0, 0.0),
        label(pair(2), 1.0, 0.0),
        label(pair(3), 0.5, 0.5),
        label(pair(4), 1.0, Status.FAILED),
        label(pair(5), Status.UNPARSED, 1.0),
        label(pair(6), Status.UNASKED, 1.0),
        label(pair(7, "tie"), 0.5, 0.5),
        label(pair(8, "tie"), 1.0, 1.0),
        without_asking(pair(9), Status.INVALID, "no reference"),
    ]
    (entry,) = figures(labels)["critics"]
    assert [entry[name] for name in ("n", "n_gold", "n_gold_tie", "n_decided")] == [8, 8, 2, 3]
    assert [entry[name] for name in ("conflict", "tie", "failed", "unparsed", "unasked", "invalid")] == [
        1,
        2,
        1,
        1,
        1,
        1,
    ]
    assert entry["accuracy"] == pytest.approx(1 / 6, abs=1e-6)
    assert entry["accuracy_decided"] == 0.5
    # ab: right, wrong, right, tie, right, unparsed; ba: right, wrong, wrong, tie, failed, right
    assert entry["accuracy_by_order"] == {"ab": 0.5, "ba": pytest.approx(2 / 6, abs=1e-6)}
    assert entry["accuracy_mean"] == pytest.approx(5 / 12, abs=1e-6)
    assert entry["accuracy_both"] == pytest.approx(1 / 6, abs=1e-6)
    assert entry["three_way"]["accuracy"] == 0.25
    assert entry["calibration"] is None


def test_one_order_has_no_figure_of_two():
    (entry,) = figures([label(pair(n), 1.0, None) for n in range(3)])["critics"]
    assert entry["accuracy_by_order"] == {"ab": 1.0, "ba": None}
    for name in ("accuracy_mean", "accuracy_both", "consistency"):
        assert entry[name] is entry[f"{name}_ci"] is None
    assert entry["accuracy"] == 1.0


def test_calibration_is_there_as_soon_as_one_verdict_is_soft():
    labels = [label(pair(0), 0.9, 0.9, soft=True), label(pair(1, "b"), 1.0, 0.0), label(pair(2, "tie"), 0.5, 0.5)]
    (entry,) = figures(labels)["critics"]
    assert entry["calibration"]["n"] == 2  # a conflict has a P(a), and a tie among people has no side to be right on
    assert entry["calibration"]["brier"] == pytest.approx((0.01 + 0.25) / 2)


def test_longer_is_half_right_where_both_are_as_long_and_first_is_judged_by_its_mean():
    labels = [
        label(pair(0, "a", "long one", "short"), 1.0, 1.0),
        label(pair(1, "b", "same", "size"), 1.0, 1.0),
        label(pair(2, "a", "same", "size"), 1.0, 1.0),
        label(pair(3, "b", "long one", "short"), 1.0, 1.0),
    ]
    found = {entry["critic"]: entry for entry in figures(labels)["baselines"]}
    assert tuple(found) == NAMES
    assert found["longer"]["accuracy"] == found["longer"]["accuracy_mean"] == 0.5
    assert found["longer"]["accuracy_decided"] == 0.5
    assert found["longer"]["n_decided"] == 2
    assert found["first"]["accuracy"] == 0.0
    assert found["first"]["accuracy_mean"] == 0.5
    assert found["first"]["first_shown_rate"] == 1.0
    assert found["random"]["consistency"] == 1.0


@given(texts, texts, st.integers(0, 5))
def test_a_baseline_chooses_the_same_response_whichever_is_called_a(a: str, b: str, seed: int):
    one, other = pair(0, "a", a, b), pair(0, "b", b, a)
    there, back = (baseline_labels(each, FORM, seed=seed) for each in (one, other))
    for name in NAMES:
        assert there[name].chosen == back[name].chosen


def test_the_coin_is_fair_and_another_seed_is_another_coin():
    pairs = [pair(n, "a", f"left {n}", f"right {n}") for n in range(400)]
    heads = [[baseline_labels(each, FORM, seed=seed)["random"].winner == "a" for each in pairs] for seed in (0, 1)]
    assert all(150 < sum(each) < 250 for each in heads)
    assert heads[0] != heads[1]


def test_a_group_for_each_value_of_a_field_also_of_an_inner_one_and_one_for_none():
    metas: list[dict[str, object]] = [{"topic": {"name": "law"}}, {"topic": {"name": 3}}, {"topic": {}}, {"topic": 1}]
    labels = [label(pair(n, meta=meta), 1.0, 1.0) for n, meta in enumerate(metas)]
    (entry,) = figures(labels, by=("topic.name",))["critics"]
    assert {value: found["n"] for value, found in entry["by"]["topic.name"].items()} == {"law": 1, "3": 1, MISSING: 2}
    assert entry["by"]["topic.name"]["law"]["accuracy"] == 1.0


def test_a_field_with_too_many_values_is_refused_with_its_line():
    groups = Groups(["id", "none"])
    for number in range(MOST_GROUPS):
        groups.of({"id": number}, file="pairs.jsonl", line=number + 1)
    with pytest.raises(InputError, match=r"pairs.jsonl, line 51: --by id has more than 50 values"):
        groups.of({"id": MOST_GROUPS}, file="pairs.jsonl", line=MOST_GROUPS + 1)
    assert groups.unknown() == ["none"]


def test_the_surest_contradiction_stands_first_then_conflicts_then_ties():
    collected = Disagreements()
    labels = [
        label(pair(0), 1.0, 1.0),
        label(pair(1), 0.5, 0.5),
        label(pair(2), 1.0, 0.0),
        label(pair(3, votes=("a", "a", "b")), 0.1, 0.3),
        label(pair(4, votes=("a", "a", "b")), 0.0, 0.0),
        label(pair(5, votes=("a", "a", "a")), 0.0, 0.0),
        label(pair(6), Status.FAILED, 0.0),
        label(pair(7, ""), 0.0, 0.0),
    ]
    for number, each in enumerate(labels):
        collected.add_pair(number, each.pair)
        collected.add("x", number, each)
        collected.add("y", number, label(each.pair, 1.0, 1.0))
    lines = [json.loads(line) for line in collected.lines()]
    collected.close()
    assert [line["id"] for line in lines] == ["5", "4", "3", "2", "1"]
    first = lines[0]
    assert (first["file"], first["line"], first["gold"], first["votes"]) == ("pairs.jsonl", 6, "a", ["a", "a", "a"])
    assert [critic["winner"] for critic in first["critics"]] == ["b", "a"]
    assert first["critics"][0]["verdicts"][1]["reason"] == "because ba"
    assert lines[3]["critics"][0]["status"] == "conflict"


def test_two_critics_are_told_apart_only_by_more_than_luck():
    pairs = [pair(n, "a" if n % 2 else "b", "s" * 5, "t" * 6) for n in range(60)]
    good = [label(each, *[1.0 if each.gold == "a" else 0.0] * 2) for each in pairs]
    bad = [label(each, *[0.0 if each.gold == "a" else 1.0] * 2) if n < 20 else good[n] for n, each in enumerate(pairs)]
    close_by = [label(pairs[0], Status.FAILED, 1.0), *good[1:]]
    found = figures(good, y=bad, z=close_by)
    by_names = {(each["first"], each["second"]): each for each in found["comparisons"]}
    assert by_names["x", "y"]["only_first_right"] == 20
    assert by_names["x", "y"]["p_holm"] == pytest.approx(3 * 2 * 0.5**20, rel=1e-3)
    assert by_names["x", "z"]["p"] == 1.0
    told = "\n".join(found["findings"])
    assert "x agrees more with gold than y: 33.3 points" in told
    assert "x and z can't be told apart on 60 pairs" in told
    assert "x is better than the baseline `" in told
    assert "x was judged on 60 pairs" in told


@pytest.mark.parametrize(
    ("right", "told"),
    [(10, "agrees less with people"), (20, "may be as close to people as people are"), (40, "agrees more with people")],
)
def test_a_critic_is_held_against_people_as_far_as_these_agree(right: int, told: str):
    """Where two of three say a, a third of the pairs of people agree; a label for a agrees with two thirds of the votes."""
    pairs = [pair(n, votes=("a", "a", "b")) for n in range(40)]
    shares = [1.0 if n < right else 0.5 for n in range(40)]
    found = figures([label(each, p, p) for each, p in zip(pairs, shares, strict=True)])
    assert any(told in text for text in found["findings"]), found["findings"]


def test_a_critic_that_agrees_as_people_do_on_many_pairs_is_as_close_as_they_are():
    pairs = [pair(n, votes=("a", "a", "b")) for n in range(400)]
    found = figures([label(each, *[1.0 if n % 2 else 0.5] * 2) for n, each in enumerate(pairs)])
    assert any("x is as close to people as people are to each other" in text for text in found["findings"])


def test_the_page_of_a_job_holds_every_critic_and_people():
    labels = [label(pair(n, votes=("a", "a", "b")), 1.0, 1.0) for n in range(5)]
    text = page({**figures(labels), "gates": []}, [])
    assert "| `x` | 5 | 56.6% to 100.0% | 100.0% |" in text
    assert "| baseline longer | 5 |" in text
    assert "People among themselves: pairwise agreement 33.3% over 5 pairs" in text


@pytest.mark.parametrize(("width", "shown"), [(80, "±"), (140, "(56.6 to 100.0)")])
def test_the_table_keeps_every_figure_on_a_narrow_terminal(
    width: int, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("aifeedback.cli.evaluation_table._WIDTH", width)
    labels = [label(pair(n, votes=("a", "a", "b")), 1.0, 1.0) for n in range(5)]
    figures_of_all = figures(labels, **{"vllm/\x1b[31ma-model-with-a-long-name": labels})
    said: list[str] = []
    show(figures_of_all, {"figures": "f.json"}, said.append)
    table = capsys.readouterr().err
    assert max(map(len, table.splitlines())) <= width
    assert shown in table
    assert "…" not in table
    assert "\x1b" not in table
    assert table.count("100.0%") >= 2 * 5
    assert said[-1] == "figures: f.json"


def test_settings_that_can_not_be_are_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match="--rest is given 2 times and --labels 1 times"):
        EvaluateSettings(labels=["l"], rests=["r", "s"])
    with pytest.raises(SettingsError, match="is also"):
        EvaluateSettings(json="pairs.jsonl").check_places(["pairs.jsonl"])
    monkeypatch.setattr("aifeedback.evaluation.extra.find_spec", lambda name: None if name == "scipy" else name)
    with pytest.raises(
        SettingsError, match=r"needs scipy, which is not installed. pip install 'aifeedback\[evaluate\]'"
    ):
        require()
