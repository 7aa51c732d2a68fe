"""What was labelled, how, and what it took, part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from aifeedback.report.account import Sources
from aifeedback.report.facts import Facts, mapping, whole
from aifeedback.report.view import Part, Table
from aifeedback.report.wording import count, duration, listed, short, usd

_INPUTS = 20


def cost(facts: Facts) -> Part:
    """What it took."""
    about = "What asking took, from the run's summary."
    summary = facts.summary
    if summary is None:
        return Part(
            "cost",
            "Cost",
            "Cost and tokens",
            about,
            empty="Not in this file. Name the run's summary with --summary FILE.",
        )
    requests, tokens = mapping(summary.get("requests")), mapping(summary.get("tokens"))
    money, seconds = summary.get("cost_usd"), summary.get("seconds")
    read = whole(summary.get("read"))
    rows = [
        ("Requests sent", count(whole(requests.get("sent")))),
        ("Retried", count(whole(requests.get("retried")))),
        ("Answered from the store", count(whole(requests.get("from_store")))),
        ("Input tokens", count(whole(tokens.get("input")))),
        ("of them from a cache", count(whole(tokens.get("cached")))),
        ("Output tokens", count(whole(tokens.get("output")))),
        ("of them reasoning", count(whole(tokens.get("reasoning")))),
        ("Cost", usd(float(money)) if isinstance(money, int | float) else "no price is known"),
    ]
    if isinstance(money, int | float) and read:
        rows.append(("Cost per 1,000 pairs", usd(1000 * float(money) / read)))
    if isinstance(seconds, int | float):
        rows.append(("Time", duration(float(seconds))))
    return Part("cost", "Cost", "Cost and tokens", about, tables=[Table("", ("What", "Figure"), rows)])


def sources(facts: Facts) -> Part:
    """What was labelled, and how."""
    found = facts.account.sources
    manifest = mapping((facts.summary or {}).get("manifest"))
    rows = [(name, text) for name, text in (*_from_lines(found), *_from_manifest(manifest)) if text]
    remarks = [] if manifest else ["The run's summary is not here: what the lines themselves say is shown."]
    return Part(
        "sources",
        "Setup",
        "What was labelled, and how",
        "Enough to do the same again.",
        tables=[Table("", ("What", "Value"), rows, numbers=2)] if rows else (),
        remarks=remarks,
    )


NO_REST = "There is no rest file: conflicts and ties are missing, so this looks better than it was."


def _from_lines(found: Sources) -> Iterator[tuple[str, str]]:
    for name, attribute in (
        ("Critic", "critics"),
        ("Served by", "served_by"),
        ("Template", "templates"),
        ("Criteria", "criteria"),
        ("Input", "files"),
    ):
        counts: Counter[str] = getattr(found, attribute)
        names = counts.most_common()
        several = len(names) > 1
        yield (
            name,
            listed([f"{each} ({n:,})" if several else each for each, n in names], most=6),
        )


def _from_manifest(manifest: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, key in (
        ("Criteria in full", "criteria_text"),
        ("Version", "version"),
        ("Escalated to", "escalate_to"),
        ("Seed", "seed"),
    ):
        if key in manifest and manifest[key] != "":
            yield name, short(str(manifest[key]), 2_000)
    for key, value in mapping(manifest.get("parameters")).items():
        if value not in (None, "", {}, []):
            said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield short(key.replace("_", " ").capitalize()), short(said, 2_000)
    inputs = list(mapping(manifest.get("inputs")).items())
    for file, digest in inputs[:_INPUTS]:
        yield f"SHA-256 of {short(file)}", short(str(digest))
    if len(inputs) > _INPUTS:
        yield "More input files", count(len(inputs) - _INPUTS)
