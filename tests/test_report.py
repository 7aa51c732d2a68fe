"""What a report counts, keeps, cuts and says; how it looks in a browser is in test_report_page.py."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from aifeedback.errors import InputError, SettingsError
from aifeedback.jsontext import dumps
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Invalid, Label, Message, Order, Pair, Status, Verdict
from aifeedback.report import advice, bias_parts, kin, wording, writing
from aifeedback.report.account import Account
from aifeedback.report.entries import SHORT, WHOLE, Cut, entry, in_script
from aifeedback.report.facts import Facts
from aifeedback.report.findings import findings
from aifeedback.report.kinds import contest, kinds_of
from aifeedback.report.lengths import NAMES, bin_of
from aifeedback.report.markdown import markdown, plain
from aifeedback.report.sampling import Sample, allotted
from aifeedback.report.writing import Request, write_report
from aifeedback.rows import Shaper, labelled_row, rest_row
from aifeedback.settings import OutputSettings, ReconcileSettings
from tests.conftest import ROOT, Command

NAMES_OF_RUN = ("openai/gpt-5-mini", "pairwise@1", "helpful")


def a_pair(number: int = 1, **more: Any) -> Pair:
    return Pair(**{"id": f"p{number}", "prompt": f"question {number}", "response_a": "long answer", "response_b": "short", "file": "in.jsonl", "line": number} | more)  # fmt: skip


def a_label(ab: float | None, ba: float | None, *, soft: bool = False, critic: str = NAMES_OF_RUN[0], **more: Any) -> Label:  # fmt: skip
    """A pair with P(a) as each order says it; None where it can't be read."""
    verdicts = [
        Verdict(critic, order, 0, None if p is None else PA(p), reason=f"because of {order}", soft=soft,
                status=Status.UNPARSED if p is None else None)
        for order, p in ((Order.AB, ab), (Order.BA, ba))
    ]  # fmt: skip
    return reconcile(a_pair(**more), verdicts, ReconcileSettings())


def written(folder: Path, labels: Sequence[Label | Invalid], *, rest: bool = True, names: Sequence[str] = NAMES_OF_RUN) -> str:  # fmt: skip
    """The files that `label` would write of them."""
    shaper, output = Shaper(OutputSettings()), OutputSettings()
    lines: tuple[list[bytes], list[bytes]] = ([], [])
    for label in labels:
        if isinstance(label, Label) and label.status is None:
            shaper.refuse(label.pair)
            lines[0].append(labelled_row(label, *names, shaper, output))
        else:
            lines[1].append(rest_row(label, *names, output))
    (folder / "labels.jsonl").write_bytes(b"\n".join([*lines[0], b""]))
    if rest:
        (folder / "labels.rest.jsonl").write_bytes(b"\n".join([*lines[1], b""]))
    return str(folder / "labels.jsonl")


def account_of(labels: Sequence[Label | Invalid], critic: str = NAMES_OF_RUN[0]) -> Account:
    account = Account()
    for label in labels:
        account.add(label, {"critic": critic, "template": "t@1", "criteria": "helpful"})
    return account


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


# The command


def test_the_command_reports_what_label_wrote_and_says_the_same_as_its_summary(
    aifeedback: Command, tmp_path: Path
) -> None:
    label = aifeedback("label", ROOT / "examples/pairs.jsonl", "--critic", "builtin", "--no-store", "-o", "labels.jsonl", "--summary", "summary.json")  # fmt: skip
    assert label.code == 0, label.err
    ended = aifeedback("report", "labels.jsonl", "-o", "report.html")
    assert (ended.code, ended.out) == (0, "")
    assert "summary.json is taken for the run's summary" in ended.err
    assert "report.html holds all 32 pairs" in ended.err
    summary = json.loads((tmp_path / "summary.json").read_bytes())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = embedded(page)
    assert [sum(pair.get("s", "") == status for pair in data["pairs"]) for status in ("", "tie")] == [summary["labeled"], summary["tie"]]  # fmt: skip
    text = aifeedback("report", "-", "--rest", "labels.rest.jsonl", "--summary", "summary.json", "--markdown", stdin=(tmp_path / "labels.jsonl").read_bytes())  # fmt: skip
    assert text.code == 0, text.err
    for name, rate in (("Longer wins", "longer_chosen_rate"), ("First shown wins", "first_shown_rate"), ("Same decision in both orders", "consistency")):  # fmt: skip
        low, high = summary[f"{rate}_ci"]
        assert f"| {name} | {100 * summary[rate]:.1f}% | {100 * low:.1f}–{100 * high:.1f}% |" in text.out
        assert f"{100 * summary[rate]:.1f}%" in page
    assert f"| Right | {100 * summary['agreement']['accuracy']:.1f}% |" in text.out
    assert f"Cohen's kappa is {summary['agreement']['kappa']:.3f}" in text.out
    again = aifeedback("report", "labels.jsonl", "-q")
    assert (again.code, again.err) == (0, "")
    assert again.out == page


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "q", "response_a": "x", "response_b": "y"}', "line 1: this pair is not labelled yet."),
        ('{"text": "x"}', 'line 1: no "prompt": this is no labelled pair.'),
        ("prompt,chosen", "line 1: "),
        ("", "there is no labelled pair in it."),
    ],
)
def test_what_is_no_labelled_file_gets_one_clear_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "x.jsonl").write_text(line + "\n")
    (tmp_path / "report.html").write_text("what was there before")
    with pytest.raises(InputError, match=re.escape(said)):
        write_report(Request("x.jsonl", output="report.html"))
    assert (tmp_path / "report.html").read_text() == "what was there before"
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["report.html", "x.jsonl"]
    assert not list(tmp_path.glob(".*partial"))


def test_an_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    labels = written(tmp_path, [a_label(1, 1)])
    with pytest.raises(SettingsError, match="is also the input"):
        write_report(Request(labels, output=str(tmp_path / "labels.rest.jsonl")))


def test_without_matplotlib_the_page_is_refused_in_one_line_and_markdown_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    labels = written(tmp_path, [a_label(1, 1)])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"pip install 'aifeedback\[report\]'"):
        write_report(Request(labels, output="report.html"))
    assert not Path("report.html").exists()
    write_report(Request(labels, output="report.md", markdown=True))
    assert Path("report.md").read_text().startswith("## 1 of 1 pair labelled by openai/gpt-5-mini\n")


# Counts


def a_run() -> list[Label | Invalid]:
    return [
        *[
            a_label(0.9, 0.8, number=n, gold="a", model_a="openai/gpt-4o", model_b="qwen/qwen3", soft=True)
            for n in range(30)
        ],
        *[
            a_label(0.1, 0.2, number=n, gold="a", model_a="openai/gpt-4o", model_b="qwen/qwen3", soft=True)
            for n in range(30, 40)
        ],
        *[a_label(0.9, 0.1, number=n) for n in range(40, 45)],
        *[a_label(0.1, 0.9, number=n) for n in range(45, 47)],
        a_label(0.5, 0.5, number=47),
        a_label(None, 0.5, number=48),
        Invalid("in.jsonl", 49, "{", "not JSON"),
    ]


def test_the_funnel_adds_up_and_every_status_is_in_it(tmp_path: Path) -> None:
    labels = written(tmp_path, a_run())
    write_report(Request(labels, output="report.md", markdown=True))
    text = Path("report.md").read_text()
    counts = dict(re.findall(r"^\| (Read|Labelled|Tie|Conflict|Unparsed|Invalid) \| (\d+) \|", text, re.MULTILINE))
    assert counts == {"Read": "50", "Labelled": "40", "Tie": "1", "Conflict": "7", "Unparsed": "1", "Invalid": "1"}
    assert "The counts add up to 50 pairs read." in text


def test_without_a_rest_file_the_page_says_so_or_takes_the_runs_summary(tmp_path: Path) -> None:
    labels = written(tmp_path, a_run(), rest=False)
    write_report(Request(labels, output="report.md", markdown=True))
    text = Path("report.md").read_text()
    assert text.startswith("## 40 labelled pairs by ")
    assert "There is no rest file, so pairs without a label are not known" in text
    assert "Same decision in both orders" not in text
    counts = account_of(a_run()).tally.counts()
    (tmp_path / "summary.json").write_text(json.dumps(counts | {"labeled": 39}))
    assert not write_report(Request(labels, output="report.md", markdown=True)).notes, "of another run"
    (tmp_path / "labels.summary.json").write_text(json.dumps(counts))
    assert len(write_report(Request(labels, output="report.md", markdown=True)).notes) == 1
    text = Path("report.md").read_text()
    assert text.startswith("## 40 of 50 pairs labelled by ")
    assert "| Conflict | 7 | 14.0% |" in text
    assert "taken from the run's summary" in text
    note = write_report(Request(labels, summary="summary.json", output="report.md", markdown=True)).notes
    assert "counts 39 labelled pairs" in note[0]
    assert "It counts 39 labelled pairs, this file 40." in Path("report.md").read_text()


def test_bias_figures_are_those_of_a_hand_count() -> None:
    account = account_of(a_run())
    assert (account.slots.same, account.slots.first, account.slots.second, account.slots.half) == (41, 5, 2, 0)
    (match,) = account.kin.matches()
    assert (match.judge, match.first, match.second, match.own) == ("openai", "openai/gpt-4o", "qwen/qwen3", True)
    assert (match.wins.hits, match.wins.n) == (30, 40)
    assert (account.kin.models["qwen/qwen3"].hits, account.kin.models["qwen/qwen3"].n) == (10, 40)
    where = NAMES.index("2–3")
    assert (account.lengths.critic[where].hits, account.lengths.critic[where].n) == (30, 40)
    assert (account.lengths.people[where].hits, account.lengths.people[where].n) == (40, 40)
    assert account.sureness.soft == [0, 0, 0, 0, 0, 0, 0, 40, 0, 0]
    assert sum(account.sureness.hard) == 0


@pytest.mark.parametrize(("a", "b", "name"), [(100, 100, 0), (110, 100, 0), (100, 111, 1), (125, 100, 1), (300, 100, 4), (301, 100, 5), (0, 5, 5)])  # fmt: skip
def test_lengths_fall_into_bins_by_how_many_times_as_long_the_longer_is(a: int, b: int, name: int) -> None:
    assert bin_of(a, b) == bin_of(b, a) == name


def test_hard_verdicts_are_no_calibration() -> None:
    assert account_of([a_label(1, 1, gold="a")]).calibration is None
    mixed = account_of([a_label(1, 1, gold="a"), a_label(0.7, 0.7, soft=True, gold="b")]).calibration
    assert mixed is not None
    assert mixed.n == 2


def test_what_stands_out_is_said() -> None:
    def titles(labels: Sequence[Label | Invalid], *, rest: bool = True) -> list[str]:
        return [finding.title for finding in findings(Facts("x", account_of(labels), rest=rest))]

    favours_first = [a_label(0.9, 0.1 if n % 3 else 0.9, number=n, response_b="other words") for n in range(600)]
    assert titles(favours_first) == ["Position bias", "Nobody has checked these labels"]
    right = [a_label(*((1, 1) if n % 2 else (0, 0)), number=n, gold="a" if n % 2 else "b") for n in range(40)]
    assert titles(right) == ["People mostly choose the same", "No bias that is more than chance"]
    wrong = [replace(label, pair=replace(label.pair, gold="a")) for label in right]
    assert "Agreement with people can't be told from a coin" in titles(wrong)
    assert titles([replace(label, pair=replace(label.pair, gold="ba"[label.winner == "b"])) for label in right])[0] == "People mostly choose otherwise"  # fmt: skip
    silent = [a_label(None, 1, number=n, gold="a") for n in range(9)]
    assert "No labelled pair says what people chose" in titles(silent)
    assert "People mostly choose the same" in titles([*right, *silent * 9]), "no label is no wrong label"
    failed = [*right, *[a_label(None, 1, number=n) for n in range(40, 50)]]
    assert "10 pairs got no answer that can be read" in titles(failed)
    assert "There is no rest file" in titles(right, rest=False)


def text_of_report(tmp_path: Path, labels: Sequence[Label | Invalid], **more: Any) -> str:
    write_report(Request(written(tmp_path, labels, **more), output="report.md", markdown=True))
    return Path("report.md").read_text()


def test_each_critic_of_a_panel_stands_by_itself(tmp_path: Path) -> None:
    def asked(number: int) -> Label:
        said = {
            "openai/x": {Order.AB: 1.0, Order.BA: 1.0},
            "qwen/y": {Order.AB: 0.9, Order.BA: 0.1 if number % 2 else 0.9},
        }
        verdicts = [Verdict(critic, order, 0, PA(p)) for critic, both in said.items() for order, p in both.items()]
        return reconcile(a_pair(number), verdicts, ReconcileSettings())

    text = text_of_report(tmp_path, [asked(n) for n in range(20)], names=("openai/x+qwen/y", "t@1", "helpful"))
    assert "labelled by openai/x and qwen/y" in text
    assert "| openai/x | 20 | 0.0% (0.0–16.1%) | 50.0%" in text
    assert "| qwen/y | 20 | 50.0% (29.9–70.1%) | 75.0%" in text


def test_with_one_order_alone_no_place_is_called_fair_or_unfair(tmp_path: Path) -> None:
    one = reconcile(a_pair(), [Verdict("c/x", Order.AB, 0, PA(1.0))], ReconcileSettings())
    account = account_of([one] * 50)
    position = bias_parts.position(Facts("x", account))
    (rate,) = position.rates
    assert (rate.name, rate.rate, rate.fair, rate.off) == ("First shown wins", 1.0, None, False)
    assert "one order only" in rate.note


def test_cost_and_setup_come_from_the_runs_summary(tmp_path: Path) -> None:
    manifest = {"version": "0.1.0", "criteria_text": "Be kind.", "escalate_to": "openai/big", "seed": 3, "inputs": {"in.jsonl": "abc"} | {f"{n}.jsonl": "def" for n in range(50)},
                "parameters": {"orders": ["ab", "ba"], "on_conflict": "drop", "weights": {}}}  # fmt: skip
    summary = {"read": 50, "labeled": 40, "requests": {"sent": 98, "retried": 2, "from_store": 4}, "tokens": {"input": 12345, "output": 99},
               "cost_usd": 0.05, "seconds": 200, "manifest": manifest}  # fmt: skip
    (tmp_path / "labels.summary.json").write_text(json.dumps(summary))
    text = text_of_report(tmp_path, a_run())
    for row in ("Requests sent | 98", "Input tokens | 12,345", "Output tokens | 99", "Cost | &#36;0.0500", "Cost per 1,000 pairs | &#36;1.00",
                "Time | 3 min 20 s", "Escalated to | openai/big", "Seed | 3", "Criteria in full | Be kind.", "Orders | ab, ba", "On conflict | drop", "SHA-256 of in.jsonl | abc", "More input files | 31"):  # fmt: skip
        assert f"| {row} |" in text
    assert "Weights" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file or directory. Check the path."), ("{", "Name the file that label --summary wrote."), ('{"x": 1}', "this is no summary of a run.")],
)  # fmt: skip
def test_a_summary_that_is_none_is_refused_if_it_is_named_and_else_passed_over(tmp_path: Path, content: str | None, said: str) -> None:  # fmt: skip
    labels = written(tmp_path, [a_label(1, 1)])
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(said)):
        write_report(Request(labels, summary="summary.json", output="report.md", markdown=True))
    assert not write_report(Request(labels, output="report.md", markdown=True)).notes


def test_pairs_of_ever_more_models_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kin, "_KEPT", 3)
    labels = [a_label(1, 1, number=n, model_a=f"lab/m{n}", model_b="lab/z") for n in range(20)]
    text = text_of_report(tmp_path, labels)
    assert len(re.findall(r"^\| openai \|", text, re.MULTILINE)) == 3
    write_report(Request("labels.jsonl", output="report.html"))
    assert "17 labelled pairs of still other models are not counted here." in Path("report.html").read_text()


def test_what_to_do_next_follows_from_what_was_found() -> None:
    def told(labels: Sequence[Label | Invalid]) -> str:
        return " ".join(step.text + step.command for step in advice.steps(Facts("my labels.jsonl", account_of(labels))))

    unasked = replace(a_label(None, None), status=Status.UNASKED)
    assert "Run the same label command again" in told([unasked])
    assert "--reask unparsed" in told([a_label(None, 1)])
    assert "--escalate-to" in told([a_label(1, 0, number=n) for n in range(20)])
    assert "Nobody has checked" in told([a_label(1, 1)])
    assert "aifeedback train dpo 'my labels.jsonl'" in told([a_label(1, 1)])
    assert "train" not in told([unasked])
    assert "--length-control flag" in told([a_label(1, 1, number=n) for n in range(40)])
    kept = [a_label(1, 1, number=n, gold="a", model_a="openai/gpt-4o", model_b="qwen/qwen3") for n in range(20)]
    assert "another family" in told(kept)


def test_templates_that_are_mixed_are_named() -> None:
    account = Account()
    for template in ("pairwise@1", "quick@2"):
        account.add(a_label(1, 1), {"critic": "c", "template": template, "criteria": "helpful"})
    assert "Labelled by 2 templates" in [finding.title for finding in findings(Facts("x", account))]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (wording.duration(4.26), "4.3 s"), (wording.duration(42), "42 s"), (wording.duration(200), "3 min 20 s"), (wording.duration(7500), "2 h 5 min"),
        (wording.usd(0), "$0.00"), (wording.usd(0.01234), "$0.0123"), (wording.usd(1234.5), "$1,234.50"),
        (wording.listed([]), ""), (wording.listed(["a"]), "a"), (wording.listed(["a", "b"]), "a and b"), (wording.listed(list("abcde")), "a, b, c and 2 more"),
        (wording.short("x" * 121), "x" * 119 + "…"), (wording.count(1, "pair"), "1 pair"), (wording.count(1200, "pair"), "1,200 pairs"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_write_them(said: str, text: str) -> None:
    assert said == text


# Which pairs


@pytest.mark.parametrize(
    ("label", "kinds"),
    [
        (a_label(1, 1), ("longer",)),
        (a_label(0, 0), ("shorter",)),
        (a_label(0, 0, gold="a"), ("against", "shorter")),
        (a_label(1, 0), ("first",)),
        (a_label(0, 1), ("second",)),
        (a_label(1, 0.5), ("half", "longer")),
        (a_label(0.6, 0.55), ("close", "longer")),
        (a_label(1, 1, model_a="openai/gpt-4o", model_b="qwen/q"), ("own", "longer")),
        (a_label(0, 0, model_a="openai/gpt-4o", model_b="qwen/q"), ("shorter",)),
        (a_label(1, 1, model_a="openai/gpt-4o", model_b="openai/o3"), ("longer",)),
        (a_label(None, 1, gold="b"), ()),
    ],
)
def test_a_pair_is_of_every_kind_that_fits(label: Label, kinds: tuple[str, ...]) -> None:
    assert kinds_of(label, NAMES_OF_RUN[0]) == kinds
    flagged = kinds_of(label, NAMES_OF_RUN[0], flagged=True)
    assert set(flagged) == {*kinds, "flagged"}


def test_critics_that_name_opposite_winners_are_split() -> None:
    verdicts = [Verdict(critic, order, 0, PA(p)) for critic, p in (("x", 1.0), ("y", 0.2)) for order in Order]
    assert "split" in kinds_of(reconcile(a_pair(), verdicts, ReconcileSettings()), "x+y")


def test_the_most_contested_come_first() -> None:
    labels = [
        a_label(1, 0),
        a_label(0.8, 0.3),
        a_label(0.5, 0.5),
        a_label(0.7, 0.6),
        a_label(1, 1),
        a_label(None, None),
    ]
    contests = [contest(label) for label in labels]
    assert contests == sorted(contests, reverse=True)
    assert contests[0] == 2
    assert contests[-1] == contest(Invalid("f", 1, "", "")) == -1


@given(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=2), st.tuples(st.integers(0, 10_000), st.booleans()), max_size=9
    ),
    st.integers(0, 20_000),
)
def test_room_is_never_overdrawn_nor_left_where_somebody_could_use_it(kinds: dict[str, tuple[int, bool]], room: int) -> None:  # fmt: skip
    given_to = allotted(kinds, room)
    assert set(given_to) == set(kinds)
    assert all(0 <= given_to[kind] <= kinds[kind][0] for kind in kinds)
    total = sum(size for size, _ in kinds.values())
    assert sum(given_to.values()) <= room
    assert sum(given_to.values()) >= min(total, room) - 2 * len(kinds)
    for kind, (size, trouble) in kinds.items():
        if trouble and size <= room * 0.85 / max(len(kinds), 1) - 1:
            assert given_to[kind] == size, "a small kind of trouble is kept whole"


def sampled(count: int, room: int, seed: int = 0) -> list[tuple[str, str]]:
    sample = Sample(room, seed=seed)
    for n in range(count):
        kind, trouble = ("failed", True) if n % 100 == 7 else ("conflict", True) if n % 10 == 3 else ("longer", False)
        text = f'{{"n":{n}}}'
        sample.add(kind, lambda text=text: text + " " * 90, lambda text=text: text, trouble=trouble)  # type: ignore[misc]
    return sample.entries()


def test_a_sample_keeps_whole_texts_as_long_as_they_fit_and_trouble_first_after_that() -> None:
    assert [text.strip() for _, text in sampled(20, 3000)] == [f'{{"n":{n}}}' for n in range(20)]
    assert all(text.endswith(" " * 90) for _, text in sampled(20, 3000))
    chosen = sampled(5000, 3000)
    assert sum(len(text) + 2 for _, text in chosen) <= 3000
    numbers = [json.loads(text)["n"] for _, text in chosen]
    assert numbers == sorted(set(numbers))
    kinds = [kind for kind, _ in chosen]
    assert kinds.count("failed") == 50, "all of the rarest kind of trouble"
    assert kinds.count("conflict") > kinds.count("longer") > 20
    assert chosen == sampled(5000, 3000)
    assert chosen != sampled(5000, 3000, seed=1)


def test_a_page_that_can_not_hold_all_says_how_many_of_each_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    many = [replace(label, pair=replace(label.pair, id=f"{copy}-{label.pair.id}", prompt="q" * 2000)) if isinstance(label, Label) else label for copy in range(8) for label in a_run()]  # fmt: skip
    labels = written(tmp_path, many)
    whole = write_report(Request(labels, output="all.html"))
    monkeypatch.setattr(writing, "PAIRS_ROOM", 120_000)
    some = write_report(Request(labels, output="some.html"))
    assert whole.shown == whole.pairs == some.pairs == 400 > some.shown
    assert some.size - 120_000 < 150_000
    page = Path("some.html").read_text()
    data = embedded(page)
    assert len(data["pairs"]) == some.shown
    assert data["total"] == 400
    assert f"{some.shown:,} of 400 pairs, so that the page stays small: drawn by seed (0)" in page
    assert "Texts longer than 1,500 characters are cut" in page
    assert {len(pair["p"]["t"]) + pair["p"]["m"] for pair in data["pairs"] if "p" in pair} == {2000}
    shown = dict(re.findall(r'<th scope="row">(\w+)</th><td class="n">(\d+)</td><td class="n">\d+</td></tr>', page))
    statuses = {"": "Labelled"} | {status.value: status.value.capitalize() for status in Status}
    for status, name in statuses.items():
        there = sum(pair.get("s", "") == status for pair in data["pairs"])
        assert shown.get(name, "0") == str(there)
    assert {pair.get("s", "") for pair in data["pairs"]} == {"", "tie", "conflict", "unparsed", "invalid"}


# Texts


@settings(max_examples=60)
@given(st.text(), st.text(), st.sampled_from([Cut(5, 3), SHORT, WHOLE]))
def test_an_entry_is_safe_in_a_script_and_says_what_it_holds(prompt: str, response: str, cut: Cut) -> None:
    text = entry(a_label(1, 1, prompt=prompt, response_a=f"<{response}", response_b="b"), (), cut)
    assert not set("<>&\u2028\u2029\r\n") & set(text)
    held = json.loads(text)
    said = held.get("p", "")
    shown, more = (said["t"], said["m"]) if isinstance(said, dict) else (said, 0)
    assert (shown, more) == (prompt[: cut.text], max(len(prompt) - cut.text, 0))
    assert held["la"] == len(response) + 1


def test_lone_surrogates_and_nul_stay_what_they_are() -> None:
    assert json.loads(in_script(dumps({"t": "\ud800 \x00 \u202e </script>"}))) == {"t": "\ud800 \x00 \u202e </script>"}


def test_of_a_long_dialogue_the_first_and_last_turns_are_kept() -> None:
    turns = tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(31))
    held = json.loads(entry(a_label(1, 1, prompt=turns), (), SHORT))["p"]
    assert held[:3] == [["user", "turn 0"], ["assistant", "turn 1"], 19]
    assert [turn[1] for turn in held[3:]] == [f"turn {n}" for n in range(21, 31)]


@settings(max_examples=200)
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("|`*_[]()<>&\\~#!$@:-+=1.\n"), max_size=60))
def test_no_text_breaks_a_table_or_becomes_markup(text: str) -> None:
    cell = plain(text)
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(f"| a | b |\n|---|---|\n| x{cell}x | y |\n")  # fmt: skip
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    children = cells[2].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    shown = "".join(child.content for child in children)
    unseen = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+", " ", text)
    assert "".join(shown.split()) == f"x{''.join(unseen.split())}x"


def test_markdown_with_hostile_names_and_pairs_has_no_html_but_its_own(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>|</details>\n# x `y` [z](javascript:1) https://evil.example www.evil.example"
    label = a_label(0.9, 0.1, id=evil, prompt=evil, response_a=evil, response_b=f"b {evil}", model_a=evil, model_b="m")
    account = account_of([label, a_label(1, 1, model_a=evil, model_b="m")], critic=evil)
    text = markdown(Facts(evil, account), [label])
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(text)
    html = [token.content.strip() for each in tokens for token in (each, *(each.children or [])) if token.type.startswith("html")]  # fmt: skip
    assert html == ["<details><summary>The most contested pairs</summary>", "</details>"]
    assert "https://" not in text
    assert not re.search(r"(?i)www\.", text)
    headings = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    assert [heading for heading in headings[1:] if "evil" in heading] == []


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    labels = written(tmp_path, a_run())
    pages = []
    for name in ("one.html", "two.html"):
        write_report(Request(labels, output=name))
        pages.append(Path(name).read_bytes())
    assert pages[0] == pages[1]


def test_the_page_of_a_file_with_next_to_nothing_in_it_is_whole(tmp_path: Path) -> None:
    for labels in ([a_label(1, 1)], [a_label(None, None)], [Invalid("f", 3, "{", "not JSON")]):
        write_report(Request(written(tmp_path, labels), output="report.html"))
        page = Path("report.html").read_text()
        assert "Not in this file. Name the run&#39;s summary" in page
        assert embedded(page)["total"] == 1
