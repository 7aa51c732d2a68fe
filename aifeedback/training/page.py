"""`training.html`: one page on what was learned, from what, and whether it helped; needs no network and no script."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from aifeedback.jsontext import scrub
from aifeedback.measures import wilson
from aifeedback.training.charts import Chart, charts, undecided
from aifeedback.training.record import Point, Record, Rows, is_local, public_name

KIND_NAMES = {"dpo": "DPO", "sft": "supervised fine-tuning", "kto": "KTO"}
_TEMPLATE = Path(__file__).with_name("page.html.jinja")
_SAMPLES_SHOWN = 5
_ROW_NAMES = {"dpo": ("pair", "pairs"), "sft": ("answer", "answers"), "kto": ("rated answer", "rated answers")}
# Key, name and whether more of it is better.
_FIGURES = {
    "dpo": (("accuracy", "Accuracy", True), ("margin", "Margin", True), ("loss", "Loss", False)),
    "sft": (("loss", "Loss", False), ("perplexity", "Perplexity", False), ("accuracy", "Token accuracy", True)),
    "kto": (("margin", "Margin", True), ("chosen_reward", "Reward of thumbs up", True), ("loss", "Loss", False)),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before (`""`: it has none) and after training. `verdict`: better, worse, unchanged, or `""`."""

    name: str
    before: str
    after: str
    verdict: str
    note: str = ""


def render(record: Record, *, folder: str = "path/to/this/folder") -> str:
    """The page. `folder` is where the result lies, for the lines that load it. Texts are shown, never run."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": "{:,}".format, "said": said, "whole_flags": _whole_flags}
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        record=record,
        title=f"{public_name(record['model'])}, trained with {KIND_NAMES[record['kind']]}",
        summary=summary(record),
        changes=changes(record),
        measured=measured_on(record),
        charts=[(chart, _svg(chart)) for chart in _charts(record)],
        samples=record["samples"][:_SAMPLES_SHOWN],
        more_samples=record["samples"][_SAMPLES_SHOWN:],
        histogram=_histogram(record),
        command=shlex.join(record["command"]),
        lines=loading_lines(folder),
        loading_note=loading_note(record),
    )
    return scrub(page)


def summary(record: Record) -> str:
    """What was trained on what, in a sentence or two of plain text."""
    kind, model, data, hardware = record["kind"], record["model"], record["data"], record["hardware"]
    what = "A LoRA adapter for" if model["kind"] == "adapter" else "All weights of"
    labelled = f", labelled by {_listed(data['critics'])}" if data["critics"] else ""
    criteria = f" (criteria: {_listed(data['criteria'])})" if data["critics"] and data["criteria"] else ""
    trained = _counted(data["rows"], kind)
    devices = f"{hardware['devices']} × {hardware['device']}" if hardware["devices"] > 1 else hardware["device"]
    return (
        f"{what} {public_name(model)}, trained with {KIND_NAMES[kind]} on {trained}{labelled}{criteria}. "
        f"{model['trainable']:,} of {model['parameters']:,} parameters were trained, in {_duration(record['seconds'])} on {devices}."
    )


def changes(record: Record) -> tuple[Change, ...]:
    """The figures that matter for this kind of training, before and after, as far as there are any."""
    points = _measured(record)
    pairs = record["data"]["rows"]["held_out"] if record["evaluations"] and record["kind"] == "dpo" else 0
    made = (
        _change(key, name, points, more_is_better=more, pairs=pairs) for key, name, more in _FIGURES[record["kind"]]
    )
    return tuple(change for change in made if change is not None)


def measured_on(record: Record) -> str:
    """What the figures of `changes` were measured on."""
    if record["evaluations"]:
        held_out = record["data"]["rows"]["held_out"]
        one, many = _ROW_NAMES[record["kind"]]
        return f"Measured on {held_out:,} {one if held_out == 1 else many} held out of training."
    return "Measured on the training data itself, since nothing was held out: they say little about new prompts."


def loading_lines(folder: str) -> str:
    """Three lines of Python that load the result."""
    where = json.dumps(folder, ensure_ascii=False)
    return (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained({where})\n"
        f"model = AutoModelForCausalLM.from_pretrained({where})"
    )


def loading_note(record: Record) -> str:
    """What the three lines need besides."""
    if record["model"]["kind"] == "weights":
        return "Needs transformers."
    base = public_name(record["model"])
    place = ", which must lie where it lay during training" if is_local(record["model"]) else ""
    return f"Needs transformers and peft: the adapter is put on its base model, {base}{place}."


def said(value: object) -> str:
    """A setting's value as people write it."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _whole_flags(text: str) -> Markup:
    """Escaped text in which no line ends inside a --flag."""
    flag = r"(?<!\S)(--[a-z][a-z0-9-]*)"
    return Markup(re.sub(flag, r'<span class="flag">\1</span>', str(escape(text))))  # noqa: S704 - escaped here


def _charts(record: Record) -> Sequence[Chart]:
    try:
        return charts(record["kind"], record["history"], record["evaluations"])
    except ModuleNotFoundError:  # a result without charts is worth more than none
        return ()


def _svg(chart: Chart) -> Markup:
    return Markup(chart.svg)  # noqa: S704 - drawn by us from numbers; no text of the data is in it


def _measured(record: Record) -> Sequence[Point]:
    """The evaluations; where nothing was held out, the logged steps."""
    return record["evaluations"] or [point for point in record["history"] if "loss" in point]


def _value(point: Point, key: str) -> float | None:
    numbers: Mapping[str, object] = point
    value = numbers.get("loss" if key == "perplexity" else key)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return math.exp(min(value, 700.0)) if key == "perplexity" else float(value)


def _change(key: str, name: str, points: Sequence[Point], *, more_is_better: bool, pairs: int) -> Change | None:
    """One figure's way from the first point to the last; None where no point has it."""
    values = [_value(point, key) for point in points]
    if not any(value is not None for value in values):
        return None
    first, last = values[0], values[-1]
    if len(values) == 1:
        first = None
    write = partial(_written, key)
    if key == "accuracy" and pairs:
        if undecided(points[0]):
            first = None  # policy and reference were one: a tie on every pair, which is counted as wrong
        return Change(
            name,
            write(first) if first is not None else "",
            write(last),
            _verdict(first, last, up=True),
            _chance(last, pairs),
        )
    return Change(
        name,
        write(first) if first is not None else "",
        write(last),
        _verdict(first, last, up=more_is_better),
        _lowest(key, points, values),
    )


def _verdict(first: float | None, last: float | None, *, up: bool) -> str:
    if first is None or last is None:
        return ""
    if math.isclose(first, last, rel_tol=1e-3, abs_tol=1e-4):
        return "unchanged"
    return "better" if (last > first) == up else "worse"


def _chance(accuracy: float | None, pairs: int) -> str:
    """How far an accuracy can be trusted, and whether it is more than chance."""
    interval = wilson(round(accuracy * pairs), pairs) if accuracy is not None and 0 <= accuracy <= 1 else None
    if interval is None:
        return ""
    low, high = interval
    against = "above chance" if low > 0.5 else "below chance" if high < 0.5 else "not clearly above chance"
    return f"95% interval {low:.0%} to {high:.0%}: {against} (50%)"


def _lowest(key: str, points: Sequence[Point], values: Sequence[float | None]) -> str:
    """Where a held-out loss was lower before the end."""
    if key != "loss" or values[-1] is None or len(values) < 3:
        return ""
    lowest, step = min(
        (value, point.get("step", 0)) for value, point in zip(values, points, strict=True) if value is not None
    )
    return f"it was lowest, {lowest:.3g}, at step {step}" if lowest < values[-1] * 0.98 else ""


def _written(key: str, value: float | None) -> str:
    if value is None:
        return "not a number"
    if key == "accuracy":
        return f"{value:.0%}"
    if key in {"margin", "chosen_reward"}:
        return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0"
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.1e}"


def _histogram(record: Record) -> Sequence[tuple[str, int, int]]:
    """Span, count and height in per cent of each of the ten bars."""
    preference = record["data"].get("preference")
    if preference is None or not any(preference["histogram"]):
        return ()
    highest = max(preference["histogram"])
    return [
        (f"{0.5 + i * 0.05:.2f}–{0.55 + i * 0.05:.2f}", n, round(100 * n / highest))
        for i, n in enumerate(preference["histogram"])
    ]


def _listed(names: Iterable[str]) -> str:
    known = [" ".join(name.split()) or "an unnamed one" for name in names]
    shown = known[:3] + ([f"{len(known) - 3} more"] if len(known) > 3 else [])
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _counted(rows: Rows, kind: str) -> str:
    one, many = _ROW_NAMES[kind]
    return f"{rows['train']:,} {one if rows['train'] == 1 else many}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
