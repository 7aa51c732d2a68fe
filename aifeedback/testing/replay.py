"""Answers that were recorded: found again by the two responses that a prompt shows, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonlines

from aifeedback.errors import InputError
from aifeedback.testing.answers import Answer, Answering
from aifeedback.testing.asked import Asked

Row = Mapping[str, object]
Shown = tuple[str, str]


def replay_answers(pairs_path: Path, recorded_path: Path, strategy: str = "") -> Answering:
    """Answers a question about a recorded pair with the text that was recorded for it in that order.

    Pairs have `id`, `response_a` and `response_b`; recorded rows `id`, `order` (`ab`, `ba`), `raw_output` and, where
    there is more than one a pair and order, `strategy` (which one is meant), `round` and `final` (the final one counts,
    of several the latest). Raises InputError for a file that does not have them.
    """
    recorded = _recorded(recorded_path, strategy)
    by_shown: dict[Shown, list[tuple[str, Answer]]] = {}
    for line, row in _rows(pairs_path):
        name, a, b = (_text(row, field, pairs_path, line) for field in ("id", "response_a", "response_b"))
        for order, first, second in (("ab", a, b), ("ba", b, a)):
            if (name, order) in recorded:
                found = (_squeezed(str(row.get("prompt", ""))), recorded[name, order])
                by_shown.setdefault((_squeezed(first), _squeezed(second)), []).append(found)

    def answering(asked: Asked) -> Answer | None:
        if asked.responses is None:
            return None
        first, second = asked.responses
        found = by_shown.get((_squeezed(first), _squeezed(second)), [])
        if len(found) <= 1:
            return found[0][1] if found else None
        # The same two responses to several prompts: the one that is shown with them.
        said = _squeezed(asked.user)
        return next((answer for prompt, answer in found if prompt in said), None)

    return answering


def _recorded(path: Path, strategy: str) -> dict[tuple[str, str], Answer]:
    rows = [(line, row) for line, row in _rows(path) if row.get("raw_output") is not None and row.get("final", True)]
    strategies = sorted({str(row.get("strategy", "")) for _, row in rows})
    if strategy not in strategies and (strategy or len(strategies) != 1):
        message = f"strategy {strategy!r} is not recorded. Take one of {', '.join(strategies) or 'none: it is empty'}."
        raise InputError(message, file=str(path))
    latest: dict[tuple[str, str], tuple[int, Answer]] = {}
    for line, row in rows:
        if strategy and row.get("strategy") != strategy:
            continue
        name, order, text = (_text(row, field, path, line) for field in ("id", "order", "raw_output"))
        turn = row.get("round", 0)
        if not isinstance(turn, int):
            raise InputError('"round" is no number. Count the rounds from 0.', file=str(path), line=line)
        before = latest.get((name, order))
        if before is None or before[0] <= turn:
            latest[name, order] = (turn, Answer(text, str(row.get("finish_reason") or "stop")))
    return {key: answer for key, (_, answer) in latest.items()}


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The file's records with their numbers, from 1; blank lines are no records."""
    with jsonlines.open(path) as reader:
        try:
            yield from enumerate(reader.iter(type=dict, skip_empty=True), start=1)
        except jsonlines.InvalidLineError as wrong:
            raise InputError(f"no JSON object: {wrong}. Repair the line.", file=str(path), line=wrong.lineno) from wrong


def _text(row: Row, name: str, path: Path, line: int) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise InputError(f'"{name}" is no text. Add it to the line.', file=str(path), line=line)
    return value


def _squeezed(text: str) -> str:
    """Without white space: templates may put spaces into what looks like their fences, and trim ends."""
    return "".join(text.split())
