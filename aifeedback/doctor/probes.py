"""What is asked of an endpoint to find out what it does, and how an answer is judged: each probe changes one thing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mode

from aifeedback.doctor.answers import Answer
from aifeedback.doctor.findings import Finding, Outcome
from aifeedback.endpoints.address import DialectName
from aifeedback.endpoints.payload import json_object
from aifeedback.jsontext import loads
from aifeedback.records import CUT_OFF_ENDINGS, Reply
from aifeedback.verdicts.json_objects import parse
from aifeedback.verdicts.thinking import without_thinking

ROOM = 512
MORE_ROOM = 2048
"""For models that think: what is asked for again where the first was used up before anything was said."""
_TINY = 4
LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
LIMIT = r"max.?(completion.?|output.?|new.?)?tokens|token limit"
"""What errors call it."""

PROMPT = (
    "First say in one sentence which sound a dog makes. Then write the same as JSON, with the fields animal and sound."
)
"""Prose comes before the JSON, so an object that stands alone was forced. It must name JSON: OpenAI refuses `json_object` else."""
_SYSTEM = "You answer briefly."
# Neither the names nor the values are what a model would come up with by itself after that prompt.
_SCHEMA = {
    "type": "object",
    "properties": {
        "quandle": {"type": "string", "enum": ["zx-41", "zx-42"]},
        "fremble": {"type": "string", "enum": ["ultramarine", "vermilion"]},
    },
    "required": ["quandle", "fremble"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to find out: `ways` are tried in turn until one is not refused.

    A way is the fields that it changes. `about` is a pattern of what an error calls them. `judge` is given the plain
    answer and the probe's own.
    """

    name: str
    ways: tuple[Mapping[str, object], ...]
    about: str
    judge: Callable[[str, Answer, Answer], Finding]


def plain(model: str, limit_name: str, room: int = ROOM) -> dict[str, object]:
    """The plainest request, alike in both APIs; without a limit where `limit_name` is empty."""
    limit = {limit_name: room} if limit_name else {}
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], **limit}


def read_text(answer: Answer) -> Finding:
    """Whether the plain request was answered with text, and where that stands."""
    reply = answer.reply
    if reply is None:
        return _unanswered("text", answer)
    if reply.refusal and not reply.content.strip():
        return Finding("text", "unknown", f"it declines to answer: {_short(reply.refusal)}")
    if answer.cut_off_empty:
        return Finding(
            "text", "empty", f"the whole room of {_limit(answer.sent)} tokens went by before anything was said"
        )
    if reply.content.strip():
        return Finding("text", "yes")
    if reply.reasoning.strip():
        return Finding(
            "text", "misplaced", f"the answer stands in {answer.thought_in or 'the reasoning'}, the content is empty"
        )
    return Finding("text", "empty", "a 200 that says nothing")


def _schema(name: str, before: Answer, answer: Answer) -> Finding:
    del before
    return _object_as_asked(name, answer, lambda value: _fits(value), "an object of that form")


def _any_object(name: str, before: Answer, answer: Answer) -> Finding:
    found = _object_as_asked(name, answer, lambda value: bool(value), "a lone object")
    by_itself = before.reply is not None and bool(_spoken_object(before.reply.content))
    if found.outcome == "yes" and by_itself:
        return Finding(name, "unknown", "accepted, and an object came; but one comes without being asked for, too")
    return found


def _fits(value: Mapping[str, object]) -> bool:
    properties = _SCHEMA["properties"]
    assert isinstance(properties, dict)
    return value.keys() == properties.keys() and all(value[name] in kind["enum"] for name, kind in properties.items())


def _object_as_asked(name: str, answer: Answer, fits: Callable[[Mapping[str, object]], bool], form: str) -> Finding:
    reply = answer.reply
    if reply is None:
        return _unanswered(name, answer)
    value = _spoken_object(reply.content)
    if value is not None and fits(value):
        thought = without_thinking(reply.content).thought
        return Finding(name, "yes", "after a think block in the content" if thought else "")
    hidden = None if reply.content.strip() else _spoken_object(reply.reasoning)
    if hidden is not None and fits(hidden):
        return Finding(name, "misplaced", f"{form} comes, but in {answer.thought_in or 'the reasoning'}")
    if answer.cut_off_empty:
        return Finding(name, "empty", f"accepted, but cut off after {_limit(answer.sent)} tokens without a word")
    if not reply.said.strip():
        return Finding(name, "empty", "accepted, and nothing comes")
    begins = without_thinking(reply.said).text.lstrip()[:1]
    if reply.ending in CUT_OFF_ENDINGS and begins == "{":  # what begins with prose is none, however it ends
        return Finding(name, "unknown", f"accepted; the answer was cut off after {_limit(answer.sent)} tokens")
    return Finding(
        name, "ignored", f"accepted, but what came is not {form}: {_short(reply.content or reply.reasoning)}"
    )


def _spoken_object(text: str) -> Mapping[str, object] | None:
    """The object that all of a text is, thinking apart."""
    value = parse(without_thinking(text).text.strip())
    return value if isinstance(value, dict) else None


def judge_logprobs(name: str, before: Answer, answer: Answer) -> Finding:
    """How many alternatives come with each token of the reply."""
    del before
    reply = answer.reply
    if reply is None:
        return _unanswered(name, answer)
    counts = [len(token.alternatives) for token in reply.tokens if token.alternatives]
    wanted = answer.sent.get("top_logprobs")
    if not counts and answer.odd_logprobs:
        return Finding(name, "no", "some come, but without alternatives, or they don't fit the text", {"top": 0})
    if not counts:
        return Finding(name, "ignored", "accepted, but none come", {"top": 0})
    top = mode(counts)  # one more where the token that was drawn is not among them
    asked = f", {wanted} were asked for" if top != wanted else ""
    return Finding(name, "yes", f"{top} a token{asked}", {"top": top})


def _accepted(name: str, before: Answer, answer: Answer) -> Finding:
    del before
    return _unanswered(name, answer) if answer.reply is None else Finding(name, "yes", "accepted")


def _choices(name: str, before: Answer, answer: Answer) -> Finding:
    del before
    if answer.reply is None:
        return _unanswered(name, answer)
    outcome: Outcome = "yes" if answer.choices == answer.sent["n"] else "ignored"
    came = "choice comes" if answer.choices == 1 else "choices come"
    return Finding(name, outcome, f"{answer.choices} {came} for {answer.sent['n']}", {"choices": answer.choices})


def _limit_kept(name: str, before: Answer, answer: Answer) -> Finding:
    reply = answer.reply
    if reply is None:
        if answer.refused and answer.names(r"(limit|max_\w*tokens) (was|were|is) reached|could not finish"):
            return Finding(name, "yes", "obeyed")
        if answer.refused and answer.names(r"minimum|at least|below|greater than|>="):
            return Finding(name, "yes", f"known, but {_TINY} is too small for it: {_short(answer.cause)}")
        return _unanswered(name, answer)
    if reply.ending in CUT_OFF_ENDINGS:
        return Finding(name, "yes", "obeyed")
    long = before.reply.usage.output if before.reply is not None else 0
    if not reply.usage.output or 0 < long <= _TINY:
        return Finding(name, "yes", "accepted; whether it is obeyed can't be told")
    if reply.usage.output <= _TINY:
        return Finding(name, "yes", "obeyed, though the reply does not say that it was cut off")
    return Finding(name, "ignored", f"accepted, but {reply.usage.output} tokens come where {_TINY} were allowed")


def _effort(name: str, before: Answer, answer: Answer) -> Finding:
    del before
    reply = answer.reply
    if reply is None:
        return _unanswered(name, answer)
    if not reply.usage.reasoning and not answer.thinks_aside and not without_thinking(reply.content).thought:
        return Finding(name, "yes", "accepted, but no thinking shows")
    tokens = f"{reply.usage.reasoning} tokens of thinking" if reply.usage.reasoning else "it thinks"
    return Finding(name, "yes", f"accepted, {tokens}")


PROBES: Mapping[DialectName, tuple[Probe, ...]] = {
    "chat": (
        Probe("system", ({"messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": PROMPT}]},), "system|role", _accepted),
        Probe(
            "json_schema",
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": _SCHEMA}}},),
            "response.?format|schema|structured|json", _schema,
        ),
        Probe("json_object", ({"response_format": {"type": "json_object"}},), "response.?format|json", _any_object),
        Probe(
            "logprobs",
            tuple({"logprobs": True, "top_logprobs": top} for top in (20, 5, 1)),
            "log.?prob", judge_logprobs,
        ),
        *(Probe(name, ({name: _TINY},), LIMIT, _limit_kept) for name in LIMIT_NAMES),
        Probe("temperature", ({"temperature": 0},), "temperature", _accepted),
        Probe("n", ({"n": 2},), r"\bn\b|choices|completions", _choices),
        Probe("seed", ({"seed": 7},), "seed", _accepted),
        Probe("reasoning_effort", ({"reasoning_effort": "low"},), "reasoning|effort|think", _effort),
    ),
    "messages": (
        Probe("system", ({"system": _SYSTEM},), "system", _accepted),
        Probe(
            "json_schema",
            ({"tools": [{"name": "verdict", "description": "Takes your answer.", "input_schema": _SCHEMA}], "tool_choice": {"type": "tool", "name": "verdict"}},),
            "tool|schema", _schema,
        ),
        Probe("max_tokens", ({"max_tokens": _TINY},), LIMIT, _limit_kept),
        Probe("temperature", ({"temperature": 0},), "temperature", _accepted),
        Probe(
            "reasoning_effort",
            (
                {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "max_tokens": MORE_ROOM},
                {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": MORE_ROOM},
            ),
            "think|effort|adaptive|budget|output_config", _effort,
        ),
    ),
}  # fmt: skip
"""What makes sense to ask of each API."""
ASKED = tuple(probe.name for probe in PROBES["chat"])


def elsewhere(dialect: DialectName) -> list[Finding]:
    """What can't be asked of this API."""
    known = {probe.name for probe in PROBES[dialect]}
    return [Finding(name, "not part of this API") for name in ASKED if name not in known]


def read_thinking(answers: Sequence[Answer]) -> Finding:
    """Whether the model thinks and where that lands, over all answers that came."""
    replies = [answer.reply for answer in answers if answer.reply is not None]
    fields = dict.fromkeys(answer.thought_in for answer in answers if answer.thinks_aside)
    places = [*fields, *(["the content, between think tags"] if any(map(_thinks_aloud, replies)) else [])]
    tokens = max((reply.usage.reasoning for reply in replies), default=0)
    data = {"where": places, "tokens": tokens}
    count = f", up to {tokens} tokens" if tokens else ""
    if places:
        return Finding("thinking", "yes", f"in {' and in '.join(places)}{count}", data)
    if tokens:
        return Finding("thinking", "yes", f"counted but not shown{count}", data)
    return Finding("thinking", "no", "none shows", data)


def _thinks_aloud(reply: Reply) -> bool:
    return without_thinking(reply.content).thought


def read_models(payload: bytes) -> tuple[list[str], bool]:
    """The models that a list names, and whether that is all of them: OpenAI's `data`, Ollama's `models`, a bare list."""
    data: object = json_object(payload)
    if data is None:
        try:
            data, _ = loads(payload)
        except ValueError:
            return [], False
    whole = True
    if isinstance(data, dict):
        whole = not (data.get("has_more") or data.get("nextPageToken"))
        data = data.get("data", data.get("models"))
    items = data if isinstance(data, list) else []
    names = [item if isinstance(item, str) else _name(item) for item in items]
    return [name for name in names if name], whole


def _name(item: object) -> str:
    if not isinstance(item, dict):
        return ""
    return next((value for name in ("id", "name", "model") if isinstance(value := item.get(name), str)), "")


def judge_model(model: str, listed: Sequence[str], *, whole: bool, answers: bool) -> Finding:
    """Whether the model is there; that it answers counts for more than any list."""
    data: dict[str, object] = {"listed": _is_listed(model, listed) if listed else None}
    if not listed:
        return Finding(
            "model", "yes" if answers else "unknown", "it answers; no list of models is to be had" * answers, data
        )
    if data["listed"]:
        return Finding("model", "yes", "listed", data)
    near = near_names(model, listed)
    data["near"] = near
    like = f"near: {', '.join(near)}" if near else f"listed: {some(listed)}"
    if answers:
        return Finding("model", "yes", f"it answers, but is not listed; {like}", data)
    if not whole:
        data["listed"] = None
        return Finding("model", "unknown", f"not on the first page of the list; {like}", data)
    return Finding("model", "no", f"not listed; {like}", data)


def some(names: Sequence[str]) -> str:
    """The first few of them."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def near_names(model: str, listed: Sequence[str]) -> list[str]:
    """The listed models whose names are like this one, the likest first."""
    by_lower = {name.lower(): name for name in listed}
    close = difflib.get_close_matches(model.lower(), by_lower, 3, 0.5)
    inside = [lower for lower in by_lower if model.lower() in lower or lower in model.lower()]
    return [by_lower[lower] for lower in dict.fromkeys([*inside[:2], *close])][:3]


def _is_listed(model: str, listed: Sequence[str]) -> bool:
    """Gemini lists `models/X`, Ollama `X:latest` for X."""
    return any(name in {model, f"models/{model}", f"{model}:latest"} for name in listed)


def _unanswered(name: str, answer: Answer) -> Finding:
    said = _short(answer.said or answer.cause)
    if answer.refused:
        return Finding(name, "refused", f"{answer.status}: {said}" if answer.status else said)
    return Finding(name, "unknown", _short(answer.cause))


def _limit(sent: Mapping[str, object]) -> object:
    return next((sent[name] for name in LIMIT_NAMES if name in sent), "all its")


def _short(text: str) -> str:
    words = " ".join(text.split())
    return re.sub(r"\s\S*$", "", words[:160]) + " …" if len(words) > 160 else words
