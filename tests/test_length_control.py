"""Length control: the fit, who is flagged and dropped, and that a run's files and counts follow."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aifeedback as af
from aifeedback.api import Options
from aifeedback.controlling import Controlling
from aifeedback.errors import OutputError, SettingsError
from aifeedback.job import run_job
from aifeedback.length_control import CLIP, Fate, Lengths, Settled, fit, shares, turns
from aifeedback.ordered import Row
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Content, Label, Message, Order, Pair, Reply, Status, Verdict
from aifeedback.settings import LengthControl, OutputSettings, ReconcileSettings
from aifeedback.summary import Tally
from aifeedback.testing import ScriptedCritic
from aifeedback.verdicts import write_answer
from tests.conftest import Command, read_lines, write_lines

HARD = [0.0, 1.0]


def label(pair: Pair, p_a: float) -> Label:
    return reconcile(pair, [Verdict("c", order, 0, PA(p_a)) for order in Order], ReconcileSettings())


def settled(labels: list[Label], mode: LengthControl = "drop", seed: int = 0) -> Settled:
    lengths = Lengths(mode, seed)
    for position, each in enumerate(labels):
        lengths.add(position, each)
    return lengths.settle()


def planted(
    count: int, seed: int, *, bias: float, sure: float = 1.5, hard: bool = False
) -> tuple[list[Label], list[str]]:
    """Labels of a critic whose logit is the truth, noise, and `bias` times a growing function of length; and the truth.

    The truth is independent of length. `sure`: how far it moves the logit, and how wide the noise is.
    """
    draw = random.Random(seed)
    labels, truth = [], []
    for number in range(count):
        a, b = (max(1, int(math.exp(draw.gauss(5, 0.7)))) for _ in "ab")
        better = draw.choice("ab")
        logit = draw.gauss(sure if better == "a" else -sure, sure) + bias * math.tanh((a - b) / 200)
        p_a = round(1 / (1 + math.exp(-logit)), 6)
        labels.append(
            label(Pair(str(number), f"q{number}", "x" * a, "y" * b), float(draw.random() < p_a) if hard else p_a)
        )
        truth.append(better)
    kept = [each.status is None for each in labels]
    return [each for each, keep in zip(labels, kept, strict=True) if keep], [
        each for each, keep in zip(truth, kept, strict=True) if keep
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_libraries(seed: int) -> None:
    optimize, api = pytest.importorskip("scipy.optimize"), pytest.importorskip("statsmodels.api")
    draw = random.Random(seed)
    lengths = [math.tanh(abs(draw.gauss(0, 1)) ** (1 + seed)) for _ in range(300)]
    preferences = [
        draw.choice(HARD) if seed % 2 else 1 / (1 + math.exp(-(seed * t + draw.gauss(0, 2)))) for t in lengths
    ]
    clipped = [min(max(p, CLIP), 1 - CLIP) for p in preferences]
    root = optimize.brentq(
        lambda beta: sum(t * (p - 1 / (1 + math.exp(-beta * t))) for t, p in zip(lengths, clipped, strict=True)), -50, 50, xtol=1e-12
    )  # fmt: skip
    model = api.GLM(clipped, [[t] for t in lengths], family=api.families.Binomial()).fit(tol=1e-12)
    assert fit(preferences, lengths) == pytest.approx(root, abs=1e-6)
    assert fit(preferences, lengths) == pytest.approx(model.params[0], abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1e-9, 1)), max_size=30))
def test_the_fit_ends_and_mirrors_whatever_it_is_given(data: list[tuple[float, float]]) -> None:
    beta = fit([p for p, _ in data], [t for _, t in data])
    mirrored = fit([1 - p for p, _ in data], [t for _, t in data])
    assert math.isfinite(beta)
    assert mirrored == pytest.approx(-beta, rel=1e-5, abs=2e-6)


@pytest.mark.parametrize(
    ("preference", "beta", "length", "changes"),
    [
        (0.6, 1.0, 0.5, True), (0.6, 1.0, 0.3, False), (0.4, 1.0, 0.9, False), (0.4, -1.0, 0.9, True),
        (1.0, 3.8, 1.0, False), (1.0, 4.0, 1.0, True), (0.6, 0.0, 1.0, False),
    ],
)  # fmt: skip
def test_a_pair_is_flagged_where_its_logit_without_the_length_term_names_another_winner(
    preference: float, beta: float, length: float, changes: bool
) -> None:
    assert turns(preference, beta, length) is changes
    assert turns(round(1 - preference, 6), -beta, length) is changes


CONTENT = st.one_of(
    st.text("ab ", min_size=1, max_size=40), st.just((Message("assistant", "hello"), Message("assistant", "there")))
)
LABELS = st.lists(
    st.builds(
        lambda number, a, b, p, gold: label(Pair(str(number), f"q{number % 5}", a, b, gold=gold), round(p, 6)),
        st.integers(0, 1000), CONTENT, CONTENT, st.floats(0, 1), st.sampled_from(["", "a", "b", "tie"]),
    ).filter(lambda each: each.status is None and each.pair.response_a != each.pair.response_b),
    max_size=40,
)  # fmt: skip


def exchanged(each: Label) -> Label:
    pair = each.pair
    gold: dict[str, Any] = {"a": "b", "b": "a"}
    assert each.p_a is not None
    return label(
        replace(pair, response_a=pair.response_b, response_b=pair.response_a, gold=gold.get(pair.gold, pair.gold)),
        round(1.0 - each.p_a, 6),
    )


@settings(deadline=None)
@given(LABELS, st.integers(-3, 3), st.data())
def test_neither_exchanging_the_responses_nor_the_order_of_arrival_changes_who_is_flagged_or_dropped(
    labels: list[Label], seed: int, data: st.DataObject
) -> None:
    found = settled(labels, seed=seed)
    turned = data.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)))
    assert (
        settled([exchanged(each) if turn else each for each, turn in zip(labels, turned, strict=True)], seed=seed)
        == found
    )
    lengths = Lengths("drop", seed)
    for position in data.draw(st.permutations(range(len(labels)))):
        lengths.add(position, labels[position])
    assert lengths.settle() == found


def won_by_the_longer(each: Label) -> bool:
    assert each.chosen is not None
    assert each.rejected is not None
    return len(str(each.chosen)) > len(str(each.rejected))


@settings(deadline=None)
@given(LABELS)
def test_no_more_is_dropped_than_the_aim_takes_and_only_flagged_pairs_that_the_longer_won(labels: list[Label]) -> None:
    found, flagging = settled(labels), settled(labels, "flag")
    assert len(found.fates) == len(labels)
    assert (found.beta, found.flagged, flagging.dropped) == (flagging.beta, flagging.flagged, 0)
    assert [fate != Fate.KEPT.value for fate in found.fates] == [fate == Fate.FLAGGED.value for fate in flagging.fates]
    dropped = [each for each, fate in zip(labels, found.fates, strict=True) if fate == Fate.DROPPED.value]
    assert len(dropped) == found.dropped <= found.flagged
    left = found.n - found.dropped
    if found.dropped:
        assert found.beta > 0
        assert found.longer - (found.dropped - 1) > found.target * (left + 1)  # one fewer would not have done
    if found.longer > found.target * found.n and found.beta > 0:
        assert found.longer - found.dropped <= found.target * left or found.dropped == found.flagged
    assert found.remark()
    assert found.remark().isprintable()


@given(st.dictionaries(st.integers(0, 6), st.integers(1, 50), max_size=7), st.integers(0, 400))
def test_each_bin_gives_its_share(sizes: dict[int, int], wanted: int) -> None:
    quotas = shares(sizes, wanted)
    total = sum(sizes.values())
    assert sum(quotas.values()) == min(wanted, total)
    for number, quota in quotas.items():
        assert abs(quota - min(wanted, total) * sizes[number] / total) < 1
        assert quota <= sizes[number]


def with_gold(labels: list[Label], count: int, share: float) -> list[Label]:
    """The same, where people know of the first `count` which is better: in that `share` the longer one."""

    def gold(number: int, pair: Pair) -> Any:
        longer, shorter = ("a", "b") if len(str(pair.response_a)) > len(str(pair.response_b)) else ("b", "a")
        return "" if number >= count else longer if number < share * count else shorter

    return [replace(each, pair=replace(each.pair, gold=gold(number, each.pair))) for number, each in enumerate(labels)]


def test_from_each_bin_of_the_length_ratio_the_seed_draws_the_same_share() -> None:
    labels, _ = planted(3000, 1, bias=3.0)
    aimed = with_gold(labels, 300, 0.69)
    by_seed = [settled(aimed, seed=seed) for seed in (0, 0, 1)]
    assert by_seed[0].fates == by_seed[1].fates != by_seed[2].fates
    assert 100 < by_seed[0].dropped == by_seed[2].dropped < by_seed[0].flagged - 50
    taken: dict[int, list[bool]] = {}
    for each, fate in zip(labels, by_seed[0].fates, strict=True):
        if fate != Fate.KEPT.value:
            ratio = len(str(each.chosen)) / len(str(each.rejected))
            taken.setdefault(sum(ratio >= edge for edge in (1.1, 1.25, 1.5, 2, 3, 5)), []).append(
                fate == Fate.DROPPED.value
            )
    share = by_seed[0].dropped / by_seed[0].flagged
    assert len(taken) > 4
    assert all(abs(sum(each) - share * len(each)) < 1 for each in taken.values())


def test_of_a_critic_that_prefers_the_longer_70_to_30_the_labels_that_length_turned_go_and_true_ones_stay() -> None:
    random_loss, loss, before, after = 0, 0, [], []
    for seed in range(5):
        labels, truth = planted(1000, seed, bias=2.7)
        found = settled(labels, seed=seed)
        right = [each.winner == better for each, better in zip(labels, truth, strict=True)]
        before.append(sum(right) / len(right))
        kept = [each for each, fate in zip(right, found.fates, strict=True) if fate != Fate.DROPPED.value]
        after.append(sum(kept) / len(kept))
        loss += sum(right) - sum(kept)
        longer = [each for each, one in zip(right, labels, strict=True) if won_by_the_longer(one)]
        random_loss += sum(random.Random(seed).sample(longer, found.dropped))
        assert 0.66 < (found.share_before or 0) < 0.74
        assert (found.share_after or 1) < (found.share_before or 0) - 0.03
    assert loss < 0.6 * random_loss
    assert sum(after) / 5 > sum(before) / 5 + 0.05


def test_where_enough_is_flagged_the_share_ends_within_a_pair_of_its_aim() -> None:
    labels, _ = planted(1000, 3, bias=2.7)
    people = with_gold(labels, 100, 0.69)
    found = settled(people)
    assert float(found.target) == pytest.approx(0.69, abs=0.01)
    assert 0 < found.dropped < found.flagged
    assert found.share_after == pytest.approx(float(found.target), abs=1 / (found.n - found.dropped))
    assert "as in the gold of" in found.remark()


def test_an_unbiased_critic_loses_next_to_nothing_and_a_hard_one_can_not_be_flagged() -> None:
    dropped = [settled(planted(1000, seed, bias=0.0)[0], seed=seed).dropped for seed in range(8)]
    assert sum(dropped) / 8 < 5
    assert max(dropped) < 20
    hard = settled(planted(1000, 1, bias=2.7, hard=True)[0])
    assert (hard.share_before or 0) > 0.63
    assert (hard.flagged, hard.dropped) == (0, 0)
    assert "no other pair is flagged" in hard.remark()
    assert settled(planted(1000, 1, bias=-2.7)[0]).dropped == 0  # it prefers the shorter: nothing to drop


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pairs_and_pairs_of_equal_length_are_told(count: int) -> None:
    found = settled([label(Pair("1", "q", "ab", "cd"), 0.9)] * count)
    assert found.record() == {
        "mode": "drop", "beta": 0.0, "flagged": 0, "dropped": 0, "share_before": None, "share_after": None, "target": 0.5,
    }  # fmt: skip
    assert "nothing to control" in found.remark()
    assert "1 pairs are few" in settled([label(Pair("1", "q", "abc", "d"), 0.9)]).remark()


MODELS = st.sampled_from(["", "gpt-4o", "claude-3"])
TALLIED = st.lists(
    st.builds(
        lambda a, b, ab, ba, gold, x, y: reconcile(
            Pair("1", "q", a, b, gold=gold, model_a=x, model_b=y),
            [Verdict("openai/gpt-5", order, 0, PA(p)) for order, p in zip(Order, (ab, ba), strict=True)],
            ReconcileSettings(),
        ),
        st.sampled_from(["x", "xy"]), st.sampled_from(["z", "zzz"]), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from(["", "a", "b", "tie"]), MODELS, MODELS,
    ),
    max_size=12,
)  # fmt: skip


@given(TALLIED, st.data())
def test_a_label_that_is_withdrawn_counts_as_if_it_had_come_with_the_status_length(
    labels: list[Label], data: st.DataObject
) -> None:
    went = [each.status is None and data.draw(st.booleans()) for each in labels]
    withdrawn, direct = Tally("openai/gpt-5"), Tally("openai/gpt-5")
    for each, gone in zip(labels, went, strict=True):
        withdrawn.add(each)
        direct.add(replace(each, status=Status.LENGTH) if gone else each)
    for each, gone in zip(labels, went, strict=True):
        if gone:
            withdrawn.withdraw(each)
    assert withdrawn.counts() == direct.counts()
    assert withdrawn.rates() == direct.rates()


def votes(question: af.Question) -> str:
    """Prefers the longer of two in 7 of 10 pairs, and of five samples some differ; a few pairs can't be decided."""
    pair = question.pair
    number = int(pair.id)
    longer: Any = "first" if len(str(question.first)) > len(str(question.second)) else "second"
    other: Any = "second" if longer == "first" else "first"
    if number % 17 == 0:
        return "hm."
    for_longer = (3, 5, 3, 4, 3, 1, 2, 3, 3, 2)[number % 10]
    return write_answer(question.format, longer if question.sample < for_longer else other, "so")


def responses(number: int) -> dict[str, Any]:
    size = blake2b(str(number).encode(), digest_size=1).digest()[0] + 2
    sides = ["s" * size, "l" * (2 * size)]
    if number % 3 == 0:
        sides.reverse()
    return {
        "id": str(number),
        "prompt": f"q{number}",
        "response_a": sides[0],
        "response_b": sides[1],
        "gold": "a",
        "topic": "x",
    }


def test_a_run_flags_or_drops_and_files_counts_gates_and_replays_follow(tmp_path: Path) -> None:
    pairs = str(write_lines(tmp_path / "pairs.jsonl", [responses(number) for number in range(200)]))
    options: dict[str, Any] = {
        "critic": ScriptedCritic(votes, name="voter"),
        "samples": 5,
        "store": tmp_path / "s.sqlite",
    }

    def run(name: str, **more: Any) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
        summary = af.label_file(pairs, str(tmp_path / f"{name}.jsonl"), **options, **more)
        return dict(summary), read_lines(tmp_path / f"{name}.jsonl"), read_lines(tmp_path / f"{name}.rest.jsonl")

    off, plain, _ = run("off")
    assert off["length_control"] is None
    assert not any("length_flagged" in row["feedback"] for row in plain)
    flag, flagged, rest = run("flag", length_control="flag")
    assert all(type(row["feedback"]["length_flagged"]) is bool for row in flagged + rest)
    marks = [row["feedback"].pop("length_flagged") for row in flagged]
    assert flagged == plain
    assert flag["length_control"]["flagged"] == sum(marks) > 20
    assert (flag["labeled"], flag["length"], flag["length_control"]["dropped"]) == (off["labeled"], 0, 0)

    drop, left, rest = run("drop", length_control="drop")
    gone = [row for row in rest if row["status"] == "length"]
    assert 0 < len(gone) == drop["length"] == drop["length_control"]["dropped"] <= sum(marks)
    assert drop["labeled"] == off["labeled"] - len(gone) == len(left)
    assert sum(drop[status.value] for status in Status) + drop["labeled"] == drop["read"] == 200
    marked = {row["id"] for row, mark in zip(flagged, marks, strict=True) if mark}
    assert {row["id"] for row in gone} <= marked
    assert {row["id"] for row in left if row["feedback"]["length_flagged"]} == marked - {row["id"] for row in gone}
    assert [int(row["id"]) for row in rest] == sorted(int(row["id"]) for row in rest)
    assert gone[0]["reason"].startswith("the longer response won, and by the fit on all labels (beta ")
    assert gone[0]["pair"]["topic"] == "x"
    assert gone[0]["feedback"]["winner"] == ""
    assert drop["longer_chosen_rate"] == drop["length_control"]["share_after"] < off["longer_chosen_rate"]
    assert off["longer_chosen_rate"] == drop["length_control"]["share_before"]
    assert drop["agreement"]["n"] == off["agreement"]["n"]
    assert drop["agreement"]["accuracy_decided"] == pytest.approx(
        sum(row["feedback"]["winner"] == "a" for row in left) / len(left), abs=1e-6
    )
    assert (drop["consistency"], drop["first_shown_rate"]) == (off["consistency"], off["first_shown_rate"])

    asked = len(options["critic"].questions)
    run("again", length_control="drop", replay=True)
    assert len(options["critic"].questions) == asked
    for name in ("{}.jsonl", "{}.rest.jsonl"):
        assert (tmp_path / name.format("again")).read_bytes() == (tmp_path / name.format("drop")).read_bytes()
    with pytest.raises(SettingsError, match="Use label_file"):
        af.label([], critic="builtin", length_control="drop")


async def test_gates_judge_what_remains_and_a_spent_budget_controls_what_was_labelled(tmp_path: Path) -> None:
    pairs = str(write_lines(tmp_path / "pairs.jsonl", [responses(number) for number in range(100)]))
    said: list[str] = []

    async def run(**more: Any) -> Any:
        options = Options(critic=ScriptedCritic(votes, name="voter"), samples=5, length_control="drop", **more)
        return await run_job(options.job([pairs], str(tmp_path / "labels.jsonl")), environment={}, note=said.append)

    whole = await run()
    after = whole.summary["length_control"]["share_after"]
    assert whole.summary["longer_chosen_rate"] == after
    assert any(each.startswith("--length-control drop: the longer response won in ") for each in said)
    part = await run(max_requests=400)
    assert part.stopped is not None
    assert part.summary["unasked"] > 0
    assert part.summary["read"] == part.summary["labeled"] + sum(part.summary[status.value] for status in Status)
    assert len(read_lines(tmp_path / "labels.jsonl")) == part.summary["labeled"]


def test_the_command_knows_the_flag_and_a_pipe_gets_its_labels_at_the_end(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", [responses(number) for number in range(8)])
    command = ("label", "pairs.jsonl", "--critic", "builtin", "--length-control", "flag", "--meta", "text")
    ended = aifeedback(*command, "--summary", "s.json")
    assert ended.code == 0, ended.err
    assert all(type(row["feedback"]["length_flagged"]) is bool for row in ended.rows)
    assert "Note: --length-control flag: the longer response won in 100.0% of 8" in ended.err
    assert json.loads((tmp_path / "s.json").read_text())["length_control"]["beta"] > 1
    again = aifeedback(*command, "--replay", "--max-longer-rate", "1")
    assert (again.code, again.out) == (0, ended.out)
    assert aifeedback(*command, "--replay", "--max-longer-rate", "0.5").out == ""


def kept_row(each: Label) -> Row:
    return Row(each.pair.id.encode(), labelled=each.status is None)


@pytest.mark.parametrize("in_memory", [1, 1 << 20])
def test_what_waits_comes_back_in_order_from_memory_and_from_disk(in_memory: int) -> None:
    waiting = Controlling(OutputSettings(explain="full", length_control="flag"), 0, in_memory=in_memory)
    odd: list[Content] = ["\ud800 alone", (Message("assistant", "two"), Message("assistant", "turns"))]
    labels = [label(Pair(str(number), "q", odd[number % 2], "y", meta={"n": 2**70}), 0.9) for number in range(600)]
    labels = [replace(each, verdicts=(replace(each.verdicts[0], reply=Reply("words")),)) for each in labels]
    rows = [waiting.row(number, each) for number, each in enumerate(labels)]
    for number in range(0, 600, 50):
        waiting.hold([Row(b"bad line", labelled=False), *rows[number : number + 50]])
    back: list[Label] = []

    def written(each: Label) -> Row:
        back.append(replace(each, length_flagged=False))
        return kept_row(each)

    got = [row for rows in waiting.let_through(waiting.settle(), written) for row in rows]
    assert back == labels
    assert [row.data for row in got if row.labelled] == [str(number).encode() for number in range(600)]
    assert sum(row.data == b"bad line" for row in got) == 12
    waiting.close()


def test_a_full_temporary_folder_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Controlling(OutputSettings(length_control="flag"), 0)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(waiting._held, "write", full)
    with pytest.raises(OutputError, match=r"--length-control can't be kept in .*: No space left on device. Set TMPDIR"):
        waiting.hold([Row(b"x", labelled=False)])
    waiting.close()
