"""`aifeedback evaluate` from outside: recorded judges and people give the figures of their publications."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import aifeedback as af
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Order, Pair, Status, Verdict
from aifeedback.rows import Shaper, labelled_row, rest_row
from aifeedback.settings import OutputSettings, ReconcileSettings
from aifeedback.testing import StartServer
from tests.conftest import Command, read_lines, some_pairs, write_lines


def labels_of(data: Path, judge: str, folder: Path, *, gold: bool = True) -> str:
    """Recorded verdicts on PandaLM's test set, as the labelled file and the rest that `label` would have written."""
    said = {row["id"]: row["parsed"] for row in read_lines(data / f"verdicts_pandalm_{judge}.jsonl")}
    shaper, plain = Shaper(OutputSettings()), OutputSettings()
    labelled: list[bytes] = []
    rest: list[bytes] = []
    for number, row in enumerate(read_lines(data / "pandalm_test.jsonl"), start=1):
        people = {"gold": row["gold"], "votes": tuple(row["votes"])} if gold else {}
        pair = Pair(
            row["id"], row["prompt"], row["response_a"], row["response_b"], file="pandalm", line=number,
            meta={"application": row["application"]}, **people,
        )  # fmt: skip
        p_a = {"a": PA(1.0), "tie": PA(0.5), "b": PA(0.0), None: None}[said[pair.id]]
        verdict = Verdict(judge, Order.AB, 0, p_a, status=Status.UNPARSED if p_a is None else None)
        label = reconcile(pair, [verdict], ReconcileSettings())
        if label.status is None:
            labelled.append(labelled_row(label, judge, "t", "c", shaper, plain))
        else:
            rest.append(rest_row(label, judge, "t", "c", plain))
    (folder / f"{judge}.jsonl").write_bytes(b"\n".join(labelled) + b"\n")
    (folder / f"{judge}.rest.jsonl").write_bytes(b"\n".join(rest) + b"\n")
    return f"{judge}.jsonl"


def as_json(value: Any) -> Any:
    """As it is read back: intervals are lists there."""
    return json.loads(json.dumps(value))


def test_recorded_verdicts_as_labels_give_pandalms_own_figures(aifeedback: Command, data: Path, tmp_path: Path) -> None:
    files = [labels_of(data, judge, tmp_path, gold=judge == "gpt35") for judge in ("gpt35", "7b")]
    ended = aifeedback(
        "evaluate", data / "pandalm_test.jsonl", "--labels", files[0], "--labels", files[1], "--json", "-",
        "--disagreements", "read.jsonl", "--max-failed", "3%",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    expected = json.loads((data / "expected.json").read_text())["expected"]
    for entry, accuracy, f1, kappa in zip(
        found["critics"], (69.77, 66.77), (52.74, 57.43), (0.4755, 0.4354), strict=True
    ):
        three_way = entry["three_way"]
        assert 100 * three_way["accuracy"] == pytest.approx(accuracy, abs=0.005)
        assert 100 * three_way["macro_f1"] == pytest.approx(f1, abs=0.005)
        assert three_way["kappa"] == pytest.approx(kappa, abs=0.00005)
        assert entry["n"] == entry["n_gold"] == three_way["n"] == 999
        assert entry["accuracy_by_order"]["ba"] is entry["accuracy_mean"] is entry["consistency"] is None
    assert [entry["unparsed"] for entry in found["critics"]] == [25, 0]
    humans = found["humans"]
    assert 100 * humans["pairwise_agreement"] == pytest.approx(91.99, abs=0.005)
    assert humans["fleiss_kappa"] == pytest.approx(0.8642, abs=0.00005)
    assert (humans["n"], humans["mean_votes"]) == (999, 3.0)
    longer = next(entry for entry in found["baselines"] if entry["critic"] == "longer")
    assert 100 * longer["accuracy"] == pytest.approx(67.39, abs=0.005)
    assert expected  # the same figures, as the data's README rounds them
    (between,) = found["comparisons"]
    assert between["n"] == 894
    # The most confident contradictions first, those with all three voters against the critic before the others.
    lines = read_lines(tmp_path / "read.jsonl")
    assert lines[0]["votes"] == [lines[0]["gold"]] * 3
    assert {critic["critic"] for critic in lines[0]["critics"]} == {"gpt35", "7b"}
    assert lines[0]["gold"] not in {critic["winner"] for critic in lines[0]["critics"]}
    # The same by the labels' own gold.
    alone = aifeedback(
        "evaluate", "--labels", files[0], "--json", "-", "--by", "application", "-q", "--max-failed", "25"
    )
    assert alone.code == 0, alone.err
    own = json.loads(alone.out)["critics"][0]
    groups = own.pop("by")["application"]
    whole = {**found["critics"][0]}
    whole.pop("by")
    assert own == whole
    assert sum(each["n"] for each in groups.values()) == 999


def test_recorded_judges_side_by_side_give_llmbars_figures_in_each_order(
    aifeedback: Command, critic_server: StartServer, data: Path, tmp_path: Path
) -> None:
    pairs = data / "llmbar_natural.jsonl"
    judges = {
        "gpt4": "GPT-4 / Vanilla",
        "chatgpt": "ChatGPT / Vanilla",
        "llama2": "LLaMA2 / Vanilla",
        "gpt4-cot": "GPT-4 / CoT",
        "llama2-cot": "LLaMA2 / CoT",
    }
    config = ""
    for judge, name in judges.items():
        recorded = data / f"recorded_llmbar_natural_{judge.removesuffix('-cot')}.jsonl"
        server = critic_server(replay=recorded, pairs=pairs, strategy=name.rpartition(" ")[2])
        config += f'[critics.{judge}]\ncritic = "vllm/{judge}"\nbase_url = "{server.url}"\n'
    (tmp_path / "aifeedback.toml").write_text(config)
    ended = aifeedback(
        "evaluate", pairs, *(word for judge in judges for word in ("--critic", judge)), "--panel", "majority",
        "--template", "statement", "--json", "figures.json", "--junit", "junit.xml", "--min-consistency", "0.8",
        env={"GITHUB_STEP_SUMMARY": str(tmp_path / "page.md")},
    )  # fmt: skip
    # Each critic must pass each gate, and the line names the one that doesn't. A file is written all the same.
    assert ended.code == 3
    assert "vllm/chatgpt: gate missed: consistency is 0.71" in ended.err
    assert "vllm/gpt4: gate" not in ended.err
    found = json.loads((tmp_path / "figures.json").read_text())
    expected = json.loads((data / "expected.json").read_text())["expected"]
    for entry, judge in zip(found["critics"], judges.values(), strict=False):
        theirs = expected[f"llmbar_natural / {judge}"]
        by_order = entry["accuracy_by_order"]
        assert [100 * by_order["ab"], 100 * by_order["ba"]] == pytest.approx([theirs["acc_ab"], theirs["acc_ba"]])
        assert 100 * entry["accuracy_mean"] == pytest.approx((theirs["acc_ab"] + theirs["acc_ba"]) / 2)
        assert 100 * entry["accuracy_both"] == pytest.approx(theirs["acc_both"])
        assert 100 * entry["consistency"] == pytest.approx(theirs["positional_agreement"])
        assert entry["n"] == 100
    assert found["critics"][5]["critic"] == "+".join(f"vllm/{judge}" for judge in judges)
    assert len(found["comparisons"]) == 15
    assert found["requests"]["sent"] == 1000
    suites = ET.parse(tmp_path / "junit.xml").getroot().findall("testsuite")
    failed = {suite.get("name"): suite.get("failures") for suite in suites}
    assert failed["aifeedback evaluate vllm/chatgpt"] == "1"
    assert failed["aifeedback evaluate vllm/gpt4"] == "0"
    assert "❌ aifeedback evaluate" in (tmp_path / "page.md").read_text()
    assert "| ❌ `vllm/chatgpt` min-consistency | 0.71 | 0.8 |" in (tmp_path / "page.md").read_text()
    # The same critics again: nothing is asked, and a pipe behind a missed gate receives nothing.
    again = aifeedback(
        "evaluate", pairs, "--critic", "chatgpt", "--template", "statement", "--min-consistency", "80%", "--json", "-"
    )
    assert again.code == 3
    assert not again.out
    assert "nothing was written to stdout" in again.err
    assert "0 requests sent (0 retried), 200 from the store" in again.err


def test_the_builtin_critic_asked_is_the_builtin_baseline_and_the_same_as_its_labels(
    aifeedback: Command, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = some_pairs(24)
    for number, row in enumerate(rows):
        row |= {"votes": ["a", "b", "a"][: number % 4], "topic": number % 2} if number % 3 else {}
    write_lines(tmp_path / "pairs.jsonl", [*rows, "no object"])
    asked = aifeedback(
        "evaluate", "pairs.jsonl", "--critic", "builtin", "--json", "-", "--by", "topic", "--max-failed", "1"
    )
    assert asked.code == 0, asked.err
    found = json.loads(asked.out)
    assert found["pairs"] == {"read": 25, "judged_by_people": 12, "without_gold": 12, "invalid": 1}
    assert "12 of 25 pairs have neither gold nor votes" in asked.err
    assert "builtin looks at surface features only" in asked.err
    critic, baseline = found["critics"][0], found["baselines"][0]
    assert {name: critic[name] for name in baseline if name != "invalid"} == {
        name: value for name, value in baseline.items() if name != "invalid"
    }
    assert as_json(af.evaluate("pairs.jsonl", critic="builtin", by=["topic"])["critics"]) == found["critics"]
    # Labelled first and evaluated then: the same figures, and the summary's.
    done = aifeedback(
        "label", "pairs.jsonl", "--critic", "builtin", "-o", "l.jsonl", "--summary", "s.json", "--max-failed", "1"
    )
    assert done.code == 0, done.err
    finished = aifeedback("evaluate", "--labels", "l.jsonl", "--json", "-", "--by", "topic", "--max-failed", "1")
    assert finished.code == 0, finished.err
    assert json.loads(finished.out)["critics"] == found["critics"]
    assert as_json(af.evaluate(labels="l.jsonl", by=["topic"])["critics"]) == found["critics"]
    agreement = json.loads((tmp_path / "s.json").read_text())["agreement"]
    for name in ("accuracy", "accuracy_ci", "accuracy_decided", "kappa", "kappa_ci", "accuracy_by_order"):
        assert agreement[name] == critic[name]


def test_finished_labels_of_a_panel_and_of_a_strong_critic_in_doubt_are_read_as_they_were_made(
    aifeedback: Command, critic_server: StartServer, tmp_path: Path
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(30, gold="a"))
    both = ["--critic", "builtin", "--critic", "vllm/m", "--base-url", critic_server().url, "--no-store"]
    asked = aifeedback("evaluate", "pairs.jsonl", *both, "--panel", "mean", "--json", "-")
    assert asked.code == 0, asked.err
    panel = json.loads(asked.out)["critics"][2]
    assert panel["critic"] == "builtin+vllm/m"
    assert panel["tie"] + panel["conflict"] > 0
    assert aifeedback("label", "pairs.jsonl", *both, "-o", "panel.jsonl").code == 0
    assert as_json(af.evaluate(labels="panel.jsonl")["critics"]) == [panel]
    # Labels of other pairs that happen to have the same ids are not held against these.
    write_lines(tmp_path / "pairs2.jsonl", [row | {"response_a": "Nothing."} for row in some_pairs(30, gold="a")])
    assert aifeedback("label", "pairs2.jsonl", "--critic", "builtin", "-o", "others.jsonl").code == 0
    assert af.evaluate(labels=["panel.jsonl", "others.jsonl"])["comparisons"] == []
    doubt = ["--critic", "vllm/m", "--on-conflict", "escalate", "--escalate-to", "builtin", "--min-preference", "1"]
    first = critic_server(answer="first").url
    assert aifeedback("label", "pairs.jsonl", *doubt, "--base-url", first, "--no-store", "-o", "doubt.jsonl").code == 0
    (escalated,) = af.evaluate(labels="doubt.jsonl")["critics"]
    assert escalated["critic"] == "vllm/m, in doubt builtin"
    assert escalated["n_decided"] == 30


def test_a_budget_that_is_spent_leaves_the_rest_unasked_and_says_so(
    aifeedback: Command, critic_server: StartServer, tmp_path: Path
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(10, gold="a"))
    server = critic_server()
    ended = aifeedback(
        "evaluate",
        "pairs.jsonl",
        "--critic",
        "vllm/m",
        "--base-url",
        server.url,
        "--max-requests",
        "8",
        "--json",
        "f.json",
    )
    assert ended.code == 4, ended.err
    (critic,) = json.loads((tmp_path / "f.json").read_text())["critics"]
    assert critic["n"] + critic["unasked"] == 10
    assert critic["unasked"] >= 6
    assert "were not asked about by every critic" in ended.err
    assert "The figures are of what was answered" in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--labels", "l.jsonl", "--critic", "builtin"], "--labels and --critic don't go together"),
        (["other.jsonl", "--labels", "l.jsonl"], "l.jsonl: the id '0' is not in other.jsonl"),
        (["twice.jsonl", "--labels", "l.jsonl"], "the id '0' stands for several pairs in twice.jsonl"),
        (["changed.jsonl", "--labels", "l.jsonl"], "the responses of '0' are not those in changed.jsonl"),
        (["pairs.jsonl", "--labels", "l.jsonl", "--labels", "l.jsonl"], "--labels names the same file twice"),
        (["--labels", "l.jsonl", "--panel", "mean"], "--panel is for critics that are asked"),
        (["--labels", "none.jsonl"], "none.jsonl: no such file"),
        (["nogold.jsonl", "--critic", "builtin"], 'none of the 3 pairs has "gold" or "votes"'),
        (["pairs.jsonl", "--critic", "builtin", "--by", "n"], "pairs.jsonl, line 51: --by n has more than 50 values"),
        (["pairs.jsonl", "--critic", "builtin", "--json", "pairs.jsonl"], "--json pairs.jsonl is also the input"),
        (["pairs.jsonl"], "no critic is named"),
    ],
)  # fmt: skip
def test_what_can_not_be_evaluated_ends_with_2_and_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aifeedback.cli.main import run

    monkeypatch.setattr("sys.stdin", None)
    rows = some_pairs(60, gold="a")
    write_lines(tmp_path / "pairs.jsonl", [row | {"n": number} for number, row in enumerate(rows)])
    write_lines(tmp_path / "other.jsonl", rows[1:])
    write_lines(tmp_path / "twice.jsonl", [*rows, rows[0] | {"response_a": "Something else."}])
    write_lines(tmp_path / "changed.jsonl", [row | {"response_a": "Something else."} for row in rows])
    write_lines(tmp_path / "nogold.jsonl", some_pairs(3))
    label = {
        "id": "0", "prompt": rows[0]["prompt"], "chosen": rows[0]["response_a"], "rejected": rows[0]["response_b"],
        "preference": 1.0, "meta": {}, "feedback": {"winner": "a", "p_a": 1.0, "critic": "x", "verdicts": []},
    }  # fmt: skip
    write_lines(tmp_path / "l.jsonl", [label])
    assert run(["evaluate", *arguments]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert not said.out


def test_what_asks_nobody_needs_no_critic_that_can_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from aifeedback.cli.main import run

    write_lines(tmp_path / "pairs.jsonl", [*some_pairs(3), *some_pairs(4, gold="b"), *some_pairs(1, gold="tie")])
    assert run(["evaluate", "--plan", "0.1"]) == 0
    plan = capsys.readouterr().out
    assert "0.8       245" in plan
    assert run(["evaluate", "pairs.jsonl", "--plan", "0.1", "--expect", "0.7"]) == 0
    assert "The 4 of the input, at an accuracy of 0.7, give" in capsys.readouterr().out
    wanted = [
        "evaluate",
        "pairs.jsonl",
        "--critic",
        "openai/gpt-5-mini",
        "--dry-run",
        "--min-kappa",
        "0.5",
        "--limit",
        "4",
    ]
    assert run(wanted) == 0
    dry = capsys.readouterr().out
    assert "agreement.kappa at least 0.5, by the estimate, for each critic" in dry
    assert "pairs       4 (" in dry
    assert "left out    3 pairs with neither gold nor votes" in dry
