"""Who wins at the test server, and how an answer becomes a chat completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import orjson

from aifeedback.errors import InputError
from aifeedback.records import Place
from aifeedback.testing.asked import Asked, write_verdict
from aifeedback.testing.faults import SCOPED, Fault
from aifeedback.testing.logprobs import Odds, legacy, tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to one question, and for which `place` where that is known.

    `blind`: the two responses were not found in the prompt, so the verdict comes from a hash of the whole question.
    `logprobs`: the tokens to list where log probabilities are asked for; where there are none, the content's own with
    these `odds`. `logprobs_as` names the fault in how they are listed.
    """

    content: str | None
    finish_reason: str = "stop"
    place: Place | None = None
    blind: bool = False
    reasoning_content: str | None = None
    refusal: str | None = None
    odds: Odds | None = None
    logprobs: tuple[dict[str, object], ...] = ()
    logprobs_as: str = ""
    in_parts: bool = False


Answering = Callable[[Asked], Answer | None]
"""The answer to a question; None where it has none."""

_OTHER: dict[Place, Place] = {"first": "second", "second": "first", "tie": "first"}
_LETTERS: dict[Place, str] = {"first": "A", "second": "B", "tie": "C"}
_REASONS: dict[Place, str] = {
    "first": "The one shown first is better.",
    "second": "The one shown second is better.",
    "tie": "Both are equally good.",
}


def _fair(first: str, second: str) -> Place:
    ours, theirs = (sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (first, second))
    return "tie" if ours == theirs else "first" if ours < theirs else "second"


def _longest(first: str, second: str) -> Place:
    return "tie" if len(first) == len(second) else "first" if len(first) > len(second) else "second"


WINNERS: dict[str, Callable[[str, str], Place]] = {
    "fair": _fair,
    "longest": _longest,
    "first": lambda _first, _second: "first",
    "second": lambda _first, _second: "second",
    "tie": lambda _first, _second: "tie",
}
"""How the winner is found. `fair` prefers one of any two texts for good, as drawn from their hashes, in both orders."""


def judged(winner: str) -> Answering:
    """Answers in the form that is asked for, for the winner by one of WINNERS."""
    decide = WINNERS[winner]

    def answering(asked: Asked) -> Answer:
        shown = asked.responses
        # Without the two texts the question itself is all there is to go by.
        place = decide(*(shown or (asked.question, "")))
        return Answer(write_verdict(asked, place, _REASONS[place]), place=place, blind=shown is None)

    return answering


def scripted(path: Path) -> Answering:
    """Answers from JSON lines with `match` (part of the last user message), `content`, maybe `finish_reason` and `logprobs`.

    The first line that matches counts. Raises InputError for a line that is none.
    """
    lines = [(number, line) for number, line in enumerate(path.read_bytes().split(b"\n"), 1) if line.strip()]
    script = [_scripted_line(line, path, number) for number, line in lines]

    def answering(asked: Asked) -> Answer | None:
        return next((answer for match, answer in script if match in asked.user), None)

    return answering


def _scripted_line(line: bytes, path: Path, number: int) -> tuple[str, Answer]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = None
    if isinstance(row, dict):
        match, content, finish_reason = row.get("match"), row.get("content"), row.get("finish_reason", "stop")
        listed = row.get("logprobs", [])
        if (
            isinstance(match, str)
            and isinstance(content, str)
            and isinstance(finish_reason, str)
            and isinstance(listed, list)
        ):
            return match, Answer(content, finish_reason, logprobs=tuple(listed))
    raise InputError('no line of a script. Write {"match": "…", "content": "…"}.', file=str(path), line=number)


def with_odds(answering: Answering, odds: Odds) -> Answering:
    """The same answers, with log probabilities for who asks for them."""

    def answering_with_odds(asked: Asked) -> Answer | None:
        answer = answering(asked)
        return None if answer is None else replace(answer, odds=odds)

    return answering_with_odds


def either(answerings: Sequence[Answering]) -> Answering:
    """The first of several that has an answer."""

    def answering(asked: Asked) -> Answer | None:
        return next((answer for each in answerings if (answer := each(asked)) is not None), None)

    return answering


def shaped(asked: Asked, answer: Answer, struck: Sequence[Fault]) -> tuple[Answer, list[str]]:
    """The answer as the faults have made it, and the kinds of those that made a difference."""
    applied = [fault for fault in struck if fault.kind in _SHAPES and _meant(fault, asked)]
    for fault in applied:
        shape = _SHAPES[fault.kind]
        answer = shape(asked, answer)
    return answer, [fault.kind for fault in applied]


def _meant(fault: Fault, asked: Asked) -> bool:
    """Whether a fault is about a request of this form and length."""
    if fault.kind == "long":
        limits = [asked.body.get(name) for name in ("max_tokens", "max_completion_tokens")]
        return any(isinstance(limit, int) and limit < fault.number for limit in limits)
    if fault.kind not in SCOPED or not fault.value:
        return True
    wanted = asked.body.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") == fault.value


def completion(asked: Asked, answer: Answer) -> dict[str, object]:
    """The chat completion that holds an answer."""
    said = [{"type": "text", "text": answer.content}] if answer.in_parts else answer.content
    message: dict[str, object] = {"role": "assistant", "content": said, "refusal": answer.refusal}
    if answer.reasoning_content is not None:
        message["reasoning_content"] = answer.reasoning_content
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    listed = _listed(asked, answer)
    if listed:
        held = message if answer.logprobs_as == "logprobs-elsewhere" else choice
        held["logprobs"] = legacy(listed) if answer.logprobs_as == "legacy-logprobs" else {"content": listed}
    written = len(answer.content or "") + len(answer.reasoning_content or "")
    spent = {"prompt_tokens": asked.characters // 4, "completion_tokens": written // 4}
    thought = len(answer.reasoning_content or "") // 4 if answer.content else 0
    return {
        "id": f"chatcmpl-{asked.question}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked.body.get("model", ""),
        "system_fingerprint": "fp_testing",
        "choices": [choice],
        "usage": {
            **spent,
            "total_tokens": sum(spent.values()),
            **({"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}),
        },
    }


def _listed(asked: Asked, answer: Answer) -> list[dict[str, object]]:
    """The tokens with their log probabilities; none where they were not asked for, or are dropped."""
    if asked.body.get("logprobs") is not True or answer.logprobs_as == "no-logprobs":
        return []
    if answer.logprobs or answer.odds is None:
        return list(answer.logprobs)
    count = asked.body.get("top_logprobs")
    said = answer.content or answer.reasoning_content or ""
    return tokens(said, answer.odds, count if isinstance(count, int) else 0)


def _cut(answer: Answer, finish_reason: str) -> Answer:
    content = answer.content or ""
    return replace(answer, content=content[: len(content) // 2], finish_reason=finish_reason)


def _ignoring_schema(asked: Asked, answer: Answer) -> Answer:
    if not (asked.body.get("response_format") or asked.schema) or answer.place is None:
        return answer
    return replace(answer, content=f"{_REASONS[answer.place]} My verdict: [[{_LETTERS[answer.place]}]]")


def _embedded(asked: Asked, answer: Answer) -> Answer:
    if not (asked.body.get("response_format") or asked.schema):
        return answer
    return replace(answer, content=f"Here is what I think of them.\n\n{answer.content}\n\nI hope that helps!")


def _reasoned(asked: Asked, answer: Answer) -> Answer:
    other = "Hard to say." if answer.place is None else write_verdict(asked, _OTHER[answer.place], "At first sight.")
    return replace(answer, reasoning_content=f"{other}\nBut no, let me think again.")


def _thinking(asked: Asked, answer: Answer) -> Answer:
    if answer.place is None:
        doubt = "Hard to say."
    else:
        other = _OTHER[answer.place]
        doubt = f"At first sight: {write_verdict(asked, other, _REASONS[other])}\nBut no."
    return replace(answer, content=f"<think>\n{doubt}\n</think>\n\n{answer.content}")


_SHAPES: dict[str, Callable[[Asked, Answer], Answer]] = {
    "empty": lambda _asked, answer: replace(answer, content=""),
    "null-content": lambda _asked, answer: replace(answer, content=None),
    "length": lambda _asked, answer: _cut(answer, "length"),
    "filter": lambda _asked, answer: _cut(answer, "content_filter"),
    "refusal": lambda _asked, answer: replace(answer, content=None, refusal="I'm sorry, I can't help with that."),
    "long": lambda _asked, answer: _cut(answer, "length"),
    "ignore-schema": _ignoring_schema,
    "embedded": _embedded,
    "parts": lambda _asked, answer: replace(answer, in_parts=True),
    "reasoned": _reasoned,
    "think": _thinking,
    **{
        kind: lambda _asked, answer, kind=kind: replace(answer, logprobs_as=kind)  # type: ignore[misc]
        for kind in ("no-logprobs", "legacy-logprobs", "logprobs-elsewhere")
    },
    "reasoning-content": lambda _asked, answer: replace(answer, content=None, reasoning_content=answer.content),
}
