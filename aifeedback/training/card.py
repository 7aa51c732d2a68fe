"""The result's README.md: what it is, what it learned from, and how to load it, for whoever finds it on a hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from aifeedback.jsontext import scrub
from aifeedback.training.page import KIND_NAMES, changes, loading_lines, loading_note, measured_on, said, summary
from aifeedback.training.record import Data, Record, public_name

_UNKNOWN = "unknown"
# Paths of this machine and its way of working say nothing to a reader elsewhere.
_OF_NO_USE = {"data", "model", "o", "out", "output", "config", "resume", "telemetry", "command"}


def render(record: Record, *, folder: str = "path/to/this/folder") -> str:
    """The card, in Markdown with a YAML head. Names no licence: that of the base model and of the data is not known.

    `folder` is where the result lies; its own name alone is told.
    """
    parts = (
        _head(record),
        f"# {_plain(public_name(record['model']))}, trained with {KIND_NAMES[record['kind']]}",
        _plain(summary(record)),
        *_state(record),
        "## Load it",
        _fenced(loading_lines(PurePath(folder.replace("\\", "/")).name or folder), "python"),
        _plain(loading_note(record)),
        "## Data",
        *_data(record["data"]),
        "## Result",
        *_result(record),
        "## Settings",
        "\n".join(_settings(record)),
        "## Limits",
        _limits(record),
    )
    return scrub("\n\n".join(parts) + "\n")


def _head(record: Record) -> str:
    adapter = record["model"]["kind"] == "adapter"
    tags = ["aifeedback", "trl", record["kind"], *(["lora"] if adapter else [])]
    # JSON is YAML: a name in quotes can't become anything else.
    lines = (
        f"base_model: {json.dumps(public_name(record['model']))}",
        f"base_model_relation: {'adapter' if adapter else 'finetune'}",
        f"library_name: {'peft' if adapter else 'transformers'}",
        "pipeline_tag: text-generation",
        "tags:",
        *(f"- {tag}" for tag in tags),
    )
    return "\n".join(("---", *lines, "---"))


def _state(record: Record) -> Iterator[str]:
    if not record["finished"]:
        yield "**This run has not finished.**"
    if record["warnings"]:
        yield "\n".join(f"- **Warning:** {_plain(warning)}" for warning in record["warnings"])


def _data(data: Data) -> Iterator[str]:
    rows = data["rows"]
    yield (
        f"{rows['read']:,} rows read: {rows['train']:,} to train on, {rows['held_out']:,} held out by prompt, "
        f"{rows['left_out']:,} left out."
    )
    yield "\n".join(
        f"- {_code(PurePath(file['name'].replace(chr(92), '/')).name)}: {file['rows']:,} rows, SHA-256 {_code(file['sha256'])}"
        for file in data["files"]
    )
    counts = (("Critic", data["critics"]), ("Template", data["templates"]), ("Criteria", data["criteria"]))
    named = [f"- {name}: {_counts(rows_by_name)}" for name, rows_by_name in counts if rows_by_name]
    if named:
        yield "\n".join(named)
    preference = data.get("preference")
    if preference:
        yield (
            f"The critic's preference for the chosen answer is {preference['mean']:.2f} on average, "
            f"{preference['min']:.2f} at the lowest, and 1.00 in {preference['share_1']:.0%} of the rows."
        )


def _result(record: Record) -> Iterator[str]:
    found = changes(record)
    if found:
        yield "\n".join(
            (
                "| | before | after | |",
                "|---|---:|---:|---|",
                *(f"| {change.name} | {change.before} | {change.after} | {change.note} |" for change in found),
            )
        )
        yield measured_on(record)
    after = record["signs"]["after"]
    if after["n"]:
        before = record["signs"]["before"]
        yield (
            f"Sampled answers that are empty, repeat themselves or were cut at the limit: "
            f"{before['any']} of {before['n']} before, {after['any']} of {after['n']} after."
        )
    if not found and not after["n"]:
        yield "Nothing was measured."


def _settings(record: Record) -> Iterator[str]:
    for name, value in record["settings"].items():
        if value is not None and name.lstrip("-") not in _OF_NO_USE:
            yield f"- {_code(name)}: {_code(said(value))}"
    versions = {"aifeedback": record["aifeedback"], **record["versions"]}
    yield "- Made with " + _plain(", ".join(f"{name} {version}" for name, version in versions.items()))


def _limits(record: Record) -> str:
    critics = record["data"]["critics"]
    habits = "What a critic prefers by habit (length, a style, its own family's wording) is learned along with what it was asked to judge."
    if not critics.keys() - {_UNKNOWN}:
        about_labels = "Who wrote the labels is not recorded in the data."
    elif _UNKNOWN in critics:
        about_labels = (
            f"Some of the labels are a critic model's judgements; who wrote the others is not recorded. {habits}"
        )
    else:
        about_labels = f"The labels are a critic model's judgements, not people's. {habits}"
    held_out = "The held-out figures say how far the model agrees with the same labels; they do not say that its answers are better, true or safe."
    licence = "Licences of the base model and of the data apply; this card does not know them."
    return f"{about_labels} {held_out} {licence}"


def _counts(rows_by_name: Mapping[str, int]) -> str:
    return ", ".join(f"{_code(name or 'unnamed')} ({n:,})" for name, n in rows_by_name.items())


def _code(text: str) -> str:
    """A code span, in as many backticks as the text needs."""
    line = " ".join(text.split()) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if longest else f"{fence}{line}{fence}"


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _plain(text: str) -> str:
    """One line in which no character is Markdown or HTML."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#&!~])", r"\\\1", line)
