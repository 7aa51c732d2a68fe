"""The report's figures as GitHub-flavoured Markdown, for the summary of a CI job; no text of the data can break it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aifeedback.markdown import bullets, page, table
from aifeedback.records import Content, Label, Order, text_of
from aifeedback.report.advice import steps
from aifeedback.report.entries import shared_out
from aifeedback.report.facts import Facts
from aifeedback.report.findings import findings
from aifeedback.report.parts import figures, funnel, funnel_note, headline, lead, parts
from aifeedback.report.view import Part, Rate, Table
from aifeedback.report.wording import STATUSES, between, count, percent

_VERDICTS = 4
_SPECIAL = re.compile(r"([\\`*_\[\]~#!])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "@": "&#64;", "$": "&#36;"}
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
# What GitHub makes a link of by itself: its first sign is written by number.
_LINKED = re.compile(r":(?=//)|(?i:w(?=ww\.))|(?<=mailto):")
_SIGNS = {"warning": "⚠️", "note": "ℹ️", "good": "✅"}
_LONGEST = 400


def markdown(facts: Facts, contested: Sequence[Label] = ()) -> str:
    """The page. `contested`: pairs worth a look, folded away."""
    todo = steps(facts)
    return page(
        f"## {plain(headline(facts))}",
        plain(lead(facts)),
        bullets(f"{_SIGNS[found.tone]} **{plain(found.title)}.** {plain(found.text)}" for found in findings(facts)),
        _rates(figures(facts)),
        *_funnel(facts),
        *(piece for part in parts(facts) for piece in _part(part)),
        "### What to do next" if todo else "",
        "\n".join(_step(number, step.text, step.command) for number, step in enumerate(todo, 1)),
        *_pairs(contested),
    )


def plain(text: str) -> str:
    """The text on one line, with nothing in it that Markdown or HTML would take for its own."""
    text = " ".join(_UNSEEN.sub(" ", text).split())
    text = "".join(_ENTITIES.get(sign, sign) for sign in _SPECIAL.sub(r"\\\1", text))
    text = _LINKED.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", text)
    return re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", re.sub(r"^([-+=])", r"\\\1", text))


def _part(part: Part) -> Iterator[str]:
    yield f"### {plain(part.title)}"
    if part.empty:
        yield plain(part.empty)
    if part.rates:
        yield _rates(part.rates)
    for one in part.tables:
        yield f"**{plain(one.title)}**" if one.title else ""
        yield _table(one)
    if part.remarks:
        yield bullets(plain(remark) for remark in part.remarks)


def _funnel(facts: Facts) -> Iterator[str]:
    rows = [(name, count(n), percent(share)) for _, name, n, share, _ in funnel(facts)]
    read = count(facts.counts["read"])
    yield "### From read to labelled"
    yield _table(Table("", ("Became", "Pairs", "Share"), [("Read", read, "100.0%"), *rows]))
    yield plain(funnel_note(facts))


def _rates(rates: Sequence[Rate]) -> str:
    rows = [
        (
            rate.name,
            percent(rate.rate),
            between(rate.interval),
            rate.of,
            "" if rate.fair is None else percent(rate.fair),
        )
        for rate in rates
    ]
    return _table(Table("", ("Figure", "Value", "95% interval", "Of", "Fair"), rows))


def _table(one: Table) -> str:
    cells = ([plain(cell) for cell in row] for row in one.rows)
    return table([plain(name) for name in one.head], cells, numbers=max(len(one.head) - one.numbers, 0))


def _step(number: int, text: str, command: str) -> str:
    # No command of ours holds a backtick; a file's name may, and then stands as plain text.
    shown = f"`{command}`" if "`" not in command and command.isprintable() else plain(command)
    return f"{number}. {plain(text)}" + f" {shown}" * bool(command)


def _pairs(contested: Sequence[Label]) -> Iterator[str]:
    if contested:
        yield "<details><summary>The most contested pairs</summary>"
    for label in contested:
        pair = label.pair
        status = (
            STATUSES[label.status.value][0] if label.status is not None else f"Labelled {(label.winner or '').upper()}"
        )
        place = f", {pair.file} line {pair.line}" if pair.line else ""
        yield f"**{plain(pair.id)}** ({plain(status + place)})"
        rows = [
            ("Prompt", _shortened(pair.prompt)),
            ("A", _shortened(pair.response_a)),
            ("B", _shortened(pair.response_b)),
            *(
                ("A first says" if v.order is Order.AB else "B first says", _said(v.p_a) + _shortened(v.reason))
                for v in shared_out(label.verdicts, _VERDICTS)
            ),
            *(
                [("", f"… and {len(label.verdicts) - _VERDICTS} more verdicts")]
                if len(label.verdicts) > _VERDICTS
                else []
            ),
        ]
        yield _table(Table("", ("", "Text"), rows, numbers=2))
    if contested:
        yield "</details>"


def _said(p_a: float | None) -> str:
    if p_a is None:
        return ""
    return "A. " if p_a > 0.5 else "B. " if p_a < 0.5 else "tie. "


def _shortened(content: Content) -> str:
    text = text_of(content)
    more = len(text) - _LONGEST
    return text if more <= 0 else f"{text[:_LONGEST]} … {more:,} more characters"
