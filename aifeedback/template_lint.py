"""What is legal in a template and yet likely a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aifeedback.template_file import OF_THE_PAIR, Part, Template, environment

if TYPE_CHECKING:
    from jinja2 import nodes

_EXPLAIN = r"(?:explain\w*|explanation|justif\w+|reason(?:s|ing)?|rationale|analysis)"
_DECIDE = r"(?:verdict|answer|decision|choice|choose|decide|letter|winner)"
_VERDICT_FIRST = re.compile(
    rf"\b{_DECIDE}\b[^.!?]{{0,80}}?\b(?:(?:then|followed by|before|afterwards?)\b[^.!?]{{0,60}}?|and (?:briefly )?)"
    rf"\b{_EXPLAIN}\b",
    re.IGNORECASE,
)
_DECIDE_LINE = re.compile(rf"^\W*(?:\d+\W+)?(?:final )?{_DECIDE}\W*:", re.IGNORECASE | re.MULTILINE)
_EXPLAIN_LINE = re.compile(rf"^\W*(?:\d+\W+)?{_EXPLAIN}\W*:", re.IGNORECASE | re.MULTILINE)
_OWN_FENCE = re.compile(r"^[ \t]*<{3,}[^<>\n]+>{3,}[ \t]*$", re.MULTILINE)
_OF_THE_PAIR = re.compile(rf"\{{[{{%][^}}]*\b(?:{'|'.join(OF_THE_PAIR)})\b[^}}]*\}}+")
_FENCED_VARIABLE = re.compile(r"\{\{\s*(?:(?:prompt|first|second|reference|system)\s*\}\}|[^}]*\bfence\()")
_VARIABLE = re.compile(r"\{\{.*?\}\}")
_TAG = re.compile(r"\{%.*?%\}|\{#.*?#\}")
_LONG_TAIL = 400
_FENCED = {"prompt", "first", "second", "reference", "system"}
_NUMBERS = {"length", "count", "wordcount"}


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning about a template and the line (from 1) that it speaks of."""

    line: int
    text: str


def lint_template(template: Template) -> list[Remark]:
    """Warnings about a template that parses, in the order of its lines."""
    checks = (_verdict_before_reasoning, _silent, _unfenced, _order, _uncached)
    found = {remark for check in checks for remark in check(template)}
    return sorted(found, key=lambda remark: (remark.line, remark.text))


def _verdict_before_reasoning(template: Template) -> Iterator[Remark]:
    """A critic that commits itself first only defends its verdict afterwards."""
    form = template.format
    advice = "Ask for the reasoning first: a verdict that comes before it is a guess"
    if form.kind == "json":
        yield from _fields(template, advice)
        return
    if form.which == "first" and form.kind != "letter":
        yield Remark(1, f'which = "first" reads the verdict before the reasoning. {advice}.')
    for part in template.parts:
        told = _VERDICT_FIRST.search(part.text)
        decide, explain = _DECIDE_LINE.search(part.text), _EXPLAIN_LINE.search(part.text)
        if told:
            yield _remark(part, told.start(), f"the verdict is asked for before the reasoning. {advice}.")
        elif decide and explain and decide.start() < explain.start():
            yield _remark(part, decide.start(), f"the verdict stands above the reasoning. {advice}.")


def _fields(template: Template, advice: str) -> Iterator[Remark]:
    reasoning, answer = template.format.reasoning_field, template.format.answer_field
    if answer < reasoning:
        text = f'"{answer}" comes before "{reasoning}" in the alphabet, and some endpoints sort fields. Rename one.'
        yield Remark(1, text)
    named = re.compile(rf'"({re.escape(answer)}|{re.escape(reasoning)})"')
    found = [(part, match) for part in template.parts for match in named.finditer(part.text)]
    if not any(match[1] == reasoning for _, match in found):
        line = template.parts[0].line
        yield Remark(line, f'the field "{reasoning}" is never named. Show the JSON that you want, "{reasoning}" first.')
    elif found[0][1][1] == answer:
        yield _remark(found[0][0], found[0][1].start(), f'"{answer}" stands before "{reasoning}". {advice}.')


def _silent(template: Template) -> Iterator[Remark]:
    """What the critic is not told."""
    text = "\n".join(part.text for part in template.parts)
    used = frozenset[str]().union(*(part.names for part in template.parts))
    line = template.parts[0].line
    for answer in template.format.answers:
        if not re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text):
            yield Remark(line, f'the answer "{answer}" is never mentioned. Tell the critic what it can answer.')
    if "criteria" not in used:
        yield Remark(line, "the criteria are never shown, so --criteria has no effect. Write {{ criteria }}.")
    if "prompt" not in used:
        yield Remark(line, "the prompt is never shown. Write {{ prompt }}.")
    if "fences" not in used and "<<<" not in text:
        yield Remark(line, "the critic is not told what the fences mean. Write {{ fences }} into the fixed text.")


def _unfenced(template: Template) -> Iterator[Remark]:
    """Data that is printed bare can speak to the critic."""
    from jinja2 import nodes

    for part in template.parts:
        tree = environment().parse(part.text)
        data = set(OF_THE_PAIR)
        for loop in tree.find_all(nodes.For):
            data |= _named_by(loop.target, loop.iter, data)
        for assignment in tree.find_all(nodes.Assign):
            data |= _named_by(assignment.target, assignment.node, data)
        for output in tree.find_all(nodes.Output):
            for shown in output.nodes:
                if _is_bare(shown, data):
                    text = 'data is printed without a fence, or changed with it. Write {{ first.text | ... | fence("NAME") }}.'
                    yield Remark(part.line + shown.lineno - 1, text)
        for number, line in enumerate(part.text.split("\n"), part.line):
            if _FENCED_VARIABLE.search(line) and _VARIABLE.sub("", _TAG.sub("", line), count=1).strip():
                yield Remark(number, "a fence needs lines of its own. Write the variable alone on its line.")
        for own in _OWN_FENCE.finditer(part.text):
            yield _remark(part, own.start(), "this looks like a fence, and is none. Variables bring their own.")


def _is_bare(node: nodes.Node, data: set[str]) -> bool:
    from jinja2 import nodes

    if isinstance(node, nodes.Name):
        return node.name in data and node.name not in _FENCED
    if isinstance(node, nodes.Filter) and node.name in {"fence", *_NUMBERS}:
        return False
    if isinstance(node, nodes.CondExpr):
        return any(_is_bare(side, data) for side in (node.expr1, node.expr2) if side is not None)
    return _mentions(node, data)


def _named_by(target: nodes.Node, value: nodes.Node, data: set[str]) -> set[str]:
    """The names that stand for data because their value does."""
    from jinja2 import nodes

    if not _mentions(value, data):
        return set()
    return {name.name for name in (target, *target.find_all(nodes.Name)) if isinstance(name, nodes.Name)}


def _mentions(node: nodes.Node, data: set[str]) -> bool:
    from jinja2 import nodes

    return any(name.name in data for name in (node, *node.find_all(nodes.Name)) if isinstance(name, nodes.Name))


def _order(template: Template) -> Iterator[Remark]:
    part = template.parts[-1]
    first, second = (re.search(rf"\{{\{{[^}}]*\b{name}\b", part.text) for name in ("first", "second"))
    if first and second and second.start() < first.start():
        yield _remark(part, second.start(), "`second` is shown before `first`. Exchange them, or their names mislead.")


def _uncached(template: Template) -> Iterator[Remark]:
    """Fixed text comes first, then a provider's prompt cache serves it."""
    *head, user = template.parts
    for part in head:
        if not part.fixed:
            text = "the system part depends on the pair, so no prompt cache can serve it. Move that to the user part."
            yield Remark(part.line, text)
    places = [found.end() for found in _OF_THE_PAIR.finditer(user.text)]
    tail = user.text[max(places, default=0) :]
    if places and (len(tail) > _LONG_TAIL or re.search(r"\{\{\s*(?:criteria|fences)\b", tail)):
        yield _remark(
            user, max(places), "much fixed text stands after the pair, where no prompt cache serves it. Move it up."
        )


def _remark(part: Part, offset: int, text: str) -> Remark:
    return Remark(part.line + part.text.count("\n", 0, offset), text)
