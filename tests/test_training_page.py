"""What a training run leaves to read: training.json, its page, its charts and its card."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import OutputError
from aifeedback.training import card, page, record
from aifeedback.training.charts import charts, plans
from aifeedback.training.falling_apart import count
from aifeedback.training.settings import Kind

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)></div></main>"


def answer(text: str, *flags: str) -> dict[str, Any]:
    return {"text": text, "flags": list(flags)}


def a_record(**more: Any) -> Any:
    """A made-up run of DPO."""
    samples = [
        {
            "prompt": f"How do I keep basil alive indoors? ({n})",
            "chosen": "Light and water.",
            "before": answer("Basil is a plant."),
            "after": answer("Put it in a window."),
        }
        for n in range(6)
    ]
    length = {"n": 1184, "p50": 131, "p90": 380, "p95": 500, "p99": 700, "max": 1441}
    return {
        "aifeedback": "0.2.0",
        "kind": "dpo",
        "finished": True,
        "started": "2026-01-24T09:12:44+00:00",
        "seconds": 743.2,
        "command": ["aifeedback", "train", "dpo", "my pairs.jsonl", "--model", "Qwen/Qwen2.5-0.5B-Instruct"],
        "model": {
            "name": "Qwen/Qwen2.5-0.5B-Instruct",
            "kind": "adapter",
            "parameters": 494032768,
            "trainable": 8798208,
            "local": False,
        },
        "data": {
            "files": [{"name": "my pairs.jsonl", "sha256": "9f" * 32, "rows": 1260}],
            "rows": {"read": 1260, "train": 1184, "held_out": 62, "left_out": 14},
            "left_out": {"dropped": 9, "identical": 5},
            "findings": [
                {
                    "code": "identical",
                    "severity": "error",
                    "count": 5,
                    "message": "chosen and rejected are the same.",
                    "examples": ["line 91"],
                }
            ],
            "tokens": {"prompt": length, "chosen": length},
            "max_length": 1024,
            "critics": {"openai/gpt-5-mini": 1260},
            "templates": {"pairwise@9f31c2": 1260},
            "criteria": {"helpful": 900, "harmless": 360},
            "preference": {"mean": 0.87, "min": 0.55, "share_1": 0.31, "histogram": [0, 1, 2, 3, 4, 5, 6, 7, 8, 40]},
        },
        "settings": {"--lr": 5e-6, "--beta": 0.1, "--4bit": False, "--max-length": None, "--model": "/home/me/secret"},
        "trainer": {"learning_rate": 5e-6, "loss_type": ["sigmoid"], "report_to": None},
        "hardware": {"device": "CPU", "devices": 1, "processes": 1, "precision": "float32", "threads": 2},
        "versions": {"python": "3.11.7", "trl": "1.16.0"},
        "history": [
            {
                "step": s,
                "loss": 0.69 - s / 200,
                "margin": s / 50,
                "accuracy": 0.5 + s / 300,
                "chosen_logp": -180.0 - s,
                "rejected_logp": -190.0 - 2 * s,
            }
            for s in range(10, 101, 10)
        ],
        "evaluations": [
            {"step": 0, "loss": 0.693, "margin": 0.0, "accuracy": 0.0, "chosen_logp": -180.0, "rejected_logp": -190.0},
            {
                "step": 100,
                "loss": 0.41,
                "margin": 1.7,
                "accuracy": 0.77,
                "chosen_logp": -190.0,
                "rejected_logp": -260.0,
            },
        ],
        "samples": samples,
        "signs": {"before": count([()] * 6), "after": count([("cut",), *[()] * 5])},
        "warnings": ["the preferred answers became less likely."],
        "result_files": {"adapter_model.safetensors": "12" * 32},
        **more,
    }


class Reader(HTMLParser):
    """Which elements a browser would see, and whether all that were opened are closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_harmless(text: str) -> Reader:
    seen = Reader(text)
    assert seen.open == []
    assert not seen.tags & {"script", "img", "link", "iframe", "object", "base", "form"}
    for name, value in seen.attributes:
        assert not name.startswith("on")
        if name in {"href", "src", "xlink:href"}:
            assert str(value).startswith("#")
    ids = [value for name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    return seen


def test_the_page_tells_what_was_trained_on_what_by_which_critic():
    text = page.render(a_record(), folder="out/qwen")
    assert (
        "A LoRA adapter for Qwen/Qwen2.5-0.5B-Instruct, trained with DPO on 1,184 pairs, labelled by openai/gpt-5-mini "
        "(criteria: helpful and harmless)." in text
    )
    assert "Measured on 62 pairs held out of training." in text
    assert "AutoModelForCausalLM.from_pretrained(&#34;out/qwen&#34;)" in text
    assert "&#39;my pairs.jsonl&#39;" in text  # the command as a shell takes it
    assert "12" * 32 in text
    assert "9f" * 32 in text


def test_the_page_runs_nothing_and_asks_nobody():
    text = page.render(a_record())
    assert_harmless(text)
    assert text.count("<svg") == 4
    assert "default-src 'none'" in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_texts_of_the_data_are_shown_and_never_run():
    sample = {"prompt": HOSTILE, "chosen": HOSTILE, "before": answer(HOSTILE), "after": answer(HOSTILE, "cut")}
    data = a_record()["data"] | {
        "critics": {HOSTILE: 1},
        "criteria": {HOSTILE: 1},
        "left_out": {HOSTILE: 1},
        "findings": [{"code": "x", "severity": "error", "count": 1, "message": HOSTILE, "examples": [HOSTILE]}],
        "files": [{"name": HOSTILE, "sha256": "", "rows": 1}],
    }
    hostile = a_record(samples=[sample], data=data, warnings=[HOSTILE], command=[HOSTILE], settings={HOSTILE: HOSTILE})
    hostile["model"]["name"] = HOSTILE
    text = page.render(hostile, folder=HOSTILE)
    assert_harmless(text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_flag_in_a_warning_stays_on_one_line_and_the_rest_stays_text():
    text = page.render(a_record(warnings=["<b> Lower --lr, or <i>--beta"]))
    assert '&lt;b&gt; Lower <span class="flag">--lr</span>, or &lt;i&gt;--beta' in text


def test_odd_characters_do_not_stop_the_page():
    sample = {"prompt": "\ud800 \x00 \u202e", "chosen": "", "before": answer("\udfff"), "after": answer(" \n")}
    text = page.render(a_record(samples=[sample]))
    text.encode()
    assert "(nothing)" in text


def test_five_samples_are_shown_and_the_rest_is_folded():
    text = page.render(a_record())
    assert text.index("indoors? (4)") < text.index("<summary>1 more</summary>") < text.index("indoors? (5)")


def test_an_unfinished_run_says_so_and_how_to_go_on():
    assert "--resume" in page.render(a_record(finished=False))
    assert "This run has not finished" not in page.render(a_record())


def test_a_run_of_which_nothing_is_known_has_a_page_and_a_card():
    empty: dict[str, Any] = {
        "history": [],
        "evaluations": [],
        "samples": [],
        "warnings": [],
        "result_files": {},
        "settings": {},
    }
    bare = a_record(**empty, trainer={}, versions={}, command=[], signs={"before": count([]), "after": count([])})
    bare["data"] |= {
        "findings": [],
        "tokens": {},
        "critics": {},
        "templates": {},
        "criteria": {},
        "preference": None,
        "left_out": {},
        "max_length": None,
    }
    del bare["model"]["local"]
    text = page.render(bare)
    assert_harmless(text)
    assert "No charts" in text
    assert "No answers were sampled" in text
    assert "Nothing was measured." in card.render(bare)
    assert "Who wrote the labels is not recorded" in card.render(bare)


def test_without_matplotlib_the_page_has_no_charts(monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(page, "charts", missing)
    assert "matplotlib is not installed" in page.render(a_record())


def test_accuracy_before_the_first_step_is_no_figure_and_is_held_against_chance():
    accuracy, margin, loss = page.changes(a_record())
    assert accuracy == page.Change("Accuracy", "", "77%", "", "95% interval 66% to 86%: above chance (50%)")
    assert (margin.before, margin.after, margin.verdict) == ("0", "+1.70", "better")
    assert (loss.before, loss.after, loss.verdict) == ("0.693", "0.41", "better")


def test_what_got_worse_is_called_worse():
    points = [
        {"step": s, "loss": loss, "margin": 1 - s, "accuracy": 0.6 - s / 10} for s, loss in enumerate((0.5, 0.3, 0.9))
    ]
    accuracy, margin, loss = page.changes(a_record(evaluations=points))
    assert [change.verdict for change in (accuracy, margin, loss)] == ["worse"] * 3
    assert "not clearly above chance" in accuracy.note
    assert margin.after == "−1.00"
    assert loss.note == "it was lowest, 0.3, at step 1"


def test_without_held_out_rows_the_page_says_whose_figures_they_are():
    alone = a_record(evaluations=[])
    assert "nothing was held out" in page.render(alone)
    assert [change.note for change in page.changes(alone)] == ["", "", ""]


@pytest.mark.parametrize("nothing", [math.nan, math.inf, None])
def test_figures_that_are_not_numbers_are_said_to_be_none(nothing: float | None):
    broken = a_record(evaluations=[{"step": 0, "loss": 0.7}, {"step": 9, "loss": nothing}])
    assert page.changes(broken) == (page.Change("Loss", "0.7", "not a number", ""),)
    assert_harmless(page.render(broken))


@pytest.mark.parametrize(
    ("kind", "names", "titles"),
    [
        ("sft", ["Loss", "Perplexity", "Token accuracy"], ["Loss", "Token accuracy"]),
        ("kto", ["Margin", "Reward of thumbs up", "Loss"], ["Loss", "Margin", "Rewards"]),
    ],
)
def test_each_kind_has_figures_and_charts_of_its_own(kind: Kind, names: list[str], titles: list[str]):
    points: Any = [
        {
            "step": s,
            "loss": 2 - s / 10,
            "accuracy": s / 10,
            "margin": s / 5,
            "chosen_reward": s / 9,
            "rejected_reward": -s / 9,
        }
        for s in range(1, 5)
    ]
    run = a_record(kind=kind, history=points, evaluations=points)
    assert [change.name for change in page.changes(run)] == names
    assert [plan.title for plan in plans(kind, points, points)] == titles
    assert "50%)" not in page.render(run)


def test_charts_come_out_the_same_and_in_the_pages_colours():
    run = a_record()
    first, second = (charts("dpo", run["history"], run["evaluations"]) for _ in range(2))
    assert first == second
    for chart in first:
        root = ET.fromstring(chart.svg)
        assert root.get("role") == "img"
        assert root.get("width") is None
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert "var(--line-1" in chart.svg
        assert set(re.findall(r"#[0-9a-f]{6}", re.sub(r"var\([^)]*\)", "", chart.svg))) == set()
        assert "DejaVu" not in chart.svg


@pytest.mark.parametrize(
    "values", [[0.5], [math.nan, 0.5, math.nan], [0.7, None, 0.5, None, 0.3], [0.0, 0.0], [1e300, -1e300]]
)
def test_one_point_gaps_and_odd_values_are_drawn(values: list[float | None]):
    points: Any = [{"step": step, "loss": value} for step, value in enumerate(values)]
    (chart,) = charts("dpo", points, [])
    assert "from" in chart.svg
    missing = sum(value is None or math.isnan(value) for value in values)
    assert bool(chart.note) is bool(missing)


def test_points_without_any_number_make_no_chart():
    assert charts("dpo", [{"step": 1, "loss": math.nan}], []) == ()


def test_the_record_is_written_whole_and_without_nan(tmp_path: Path):
    odd = a_record(
        history=[{"step": 1, "loss": math.nan}], trainer={"a": Path("x"), "b": {1}, "c": (1, math.inf), "d": "\ud800"}
    )
    record.write(odd, tmp_path / "training.json")
    text = (tmp_path / "training.json").read_text(encoding="utf-8")
    read = json.loads(text)
    assert read["history"] == [{"step": 1, "loss": None}]
    assert read["trainer"] == {"a": "x", "b": ["1"], "c": [1, None], "d": "\ud800"}
    assert [path.name for path in tmp_path.iterdir()] == ["training.json"]
    assert_harmless(page.render(read))


def test_a_record_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(OutputError, match=r"training.json can't be written: No such file"):
        record.write(a_record(), tmp_path / "gone" / "training.json")


def yaml_head(text: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_card_has_a_head_that_hubs_read_and_names_no_licence():
    text = card.render(a_record(), folder="/home/me/out/qwen-dpo")
    head = yaml_head(text)
    assert head == {
        "base_model": "Qwen/Qwen2.5-0.5B-Instruct",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["aifeedback", "trl", "dpo", "lora"],
    }
    assert 'from_pretrained("qwen-dpo")' in text
    assert "not people's" in text
    assert "| Accuracy |  | 77% | 95% interval" in text
    assert "`9f9f" in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/me/models/tiny", "tiny"),
        ("./models/tiny/", "tiny"),
        ("C:\\models\\tiny", "tiny"),
        ("org/model", "org/model"),
    ],
)
def test_the_card_tells_nothing_of_this_machines_folders(name: str, shown: str):
    run = a_record(model={"name": name, "kind": "weights", "parameters": 9, "trainable": 9})
    text = card.render(run)
    assert yaml_head(text)["base_model"] == shown
    assert "/home/me" not in text
    assert "C:" not in text


def test_a_folder_whose_name_looks_like_a_hubs_is_known_by_standing_there(tmp_path: Path):
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    assert record.public_name({"name": "models/tiny", "kind": "weights", "parameters": 1, "trainable": 1}) == "tiny"


def test_names_from_the_data_stay_text_in_the_card():
    odd = '`]\n\n# Heading <b>"x": |'
    run = a_record(warnings=[odd])
    run["data"]["critics"] = {odd: 1}
    run["model"]["name"] = odd
    text = card.render(run)
    assert yaml_head(text)["base_model"]
    assert not re.search(r"^# Heading", text, re.MULTILINE)
    assert re.search(r"^- Critic: `` .* `` \(1\)$", text, re.MULTILINE)
