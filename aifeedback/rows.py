"""Labels as the lines that are written: the same keys and types on each."""

from __future__ import annotations

from collections.abc import Iterable

from aifeedback.jsontext import dumps
from aifeedback.records import Content, Invalid, Label, Message, Pair, Verdict, served_by
from aifeedback.settings import OutputSettings

_EMPTY_PAIR = Pair(id="", prompt="", response_a="", response_b="")


class Shaper:
    """Decides once, by the first pair, whether the file is strings or messages, and turns contents into that."""

    def __init__(self, settings: OutputSettings) -> None:
        self._messages = {"strings": False, "messages": True}.get(settings.shape)

    def refuse(self, pair: Pair) -> str:
        """Why `pair` can't be written in this file's shape; `""` where it can. The first pair fixes the shape."""
        dialogue = bool(pair.system) or not all(
            isinstance(part, str) for part in (pair.prompt, pair.response_a, pair.response_b)
        )
        if self._messages is None:
            self._messages = dialogue
        if dialogue and not self._messages:
            return "a dialogue or a system prompt in a file of strings. Use --shape messages."
        return ""

    def prompt(self, pair: Pair) -> object:
        """The prompt in the file's shape; a system prompt is its first message."""
        if not self._messages:
            return pair.prompt
        turns = as_messages(pair.prompt, "user")
        return _plain(((Message("system", pair.system),) if pair.system else ()) + turns)

    def response(self, content: Content) -> object:
        """A response in the file's shape."""
        return _plain(as_messages(content, "assistant")) if self._messages else content


def as_messages(content: Content, role: str) -> tuple[Message, ...]:
    """A text as the one turn of `role`; a dialogue as it is."""
    return (Message(role, content),) if isinstance(content, str) else content


def identical(pair: Pair) -> bool:
    """Whether both responses say the same, in whatever shape."""
    return as_messages(pair.response_a, "assistant") == as_messages(pair.response_b, "assistant")


def labelled_row(
    label: Label, critic: str, template: str, criteria: str, shaper: Shaper, settings: OutputSettings
) -> bytes:
    """A labelled pair as a line without its newline."""
    pair = label.pair
    assert label.chosen is not None and label.rejected is not None, "a labelled pair has a winner"  # noqa: PT018
    record = {
        "id": pair.id,
        "prompt": shaper.prompt(pair),
        "chosen": shaper.response(label.chosen),
        "rejected": shaper.response(label.rejected),
        "preference": label.preference,
        "feedback": _feedback(label, critic, template, criteria, settings),
        "meta": _meta(pair, settings),
    }
    return dumps(record, exact=pair.exact)


def rest_row(label: Label | Invalid, critic: str, template: str, criteria: str, settings: OutputSettings) -> bytes:
    """A pair without a label, or a bad line, as a line without its newline."""
    if isinstance(label, Invalid):
        nothing = Label(_EMPTY_PAIR, None, "", None, {}, agreed=False, verdicts=())
        record = {
            "id": label.id,
            "file": label.file,
            "line": label.line,
            "status": "invalid",
            "reason": label.reason,
            "pair": _input(_EMPTY_PAIR),
            "raw": label.raw,
            "feedback": _feedback(nothing, critic, template, criteria, settings),
        }
        return dumps(record)
    pair = label.pair
    record = {
        "id": pair.id,
        "file": pair.file,
        "line": pair.line,
        "status": label.status,
        "reason": label.reason,
        "pair": _input(pair),
        "raw": "",
        "feedback": _feedback(label, critic, template, criteria, settings),
    }
    return dumps(record, exact=pair.exact)


def meta_shape(value: object) -> object:
    """What a loader that infers types sees: the types of all leaves; equal for values that load alike."""
    if isinstance(value, dict):
        return tuple(sorted((key, meta_shape(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("list", *sorted({repr(meta_shape(item)) for item in value}))
    return type(value).__name__


def _feedback(label: Label, critic: str, template: str, criteria: str, settings: OutputSettings) -> dict[str, object]:
    pair = label.pair
    feedback: dict[str, object] = {
        "winner": label.winner or "",
        "p_a": label.p_a,
        "agreed": label.agreed,
        "critic": label.decided_by or critic,
        "template": template,
        "criteria": criteria,
        "verdicts": [_verdict(verdict, settings) for verdict in label.verdicts],
        "gold": pair.gold,
        "votes": list(pair.votes),
        "reference": pair.reference,
        "model_a": pair.model_a,
        "model_b": pair.model_b,
        "file": pair.file,
        "line": pair.line,
    }
    if settings.length_control != "off":
        feedback["length_flagged"] = label.length_flagged
    return feedback


def _verdict(verdict: Verdict, settings: OutputSettings) -> dict[str, object]:
    return {
        "critic": verdict.critic,
        "order": verdict.order,
        "sample": verdict.sample,
        "p_a": verdict.p_a,
        "method": verdict.method,
        "soft": verdict.soft,
        "mass": verdict.mass,
        "served_by": "" if verdict.reply is None else served_by(verdict.reply),
        "reason": _said(verdict, settings),
    }


def _said(verdict: Verdict, settings: OutputSettings) -> str:
    """As much of the critic's words as was asked for; for what could not be read, why not."""
    if settings.explain == "full" and verdict.reply is not None:
        reply = verdict.reply
        return "\n\n".join(part for part in (reply.reasoning, reply.content or reply.refusal) if part)
    if verdict.p_a is None:
        return verdict.why
    return "" if settings.explain == "none" else verdict.reason


def _meta(pair: Pair, settings: OutputSettings) -> object:
    if settings.meta == "drop":
        return {}
    if settings.meta == "text":
        return dumps(pair.meta, exact=pair.exact).decode()
    return pair.meta


def _input(pair: Pair) -> dict[str, object]:
    """The pair in the input's own form `pair`, so that it can be labelled again."""
    ours: dict[str, object] = {
        "id": pair.id,
        "prompt": _plain(pair.prompt),
        "response_a": _plain(pair.response_a),
        "response_b": _plain(pair.response_b),
        "system": pair.system,
        "reference": pair.reference,
        "gold": pair.gold,
        "votes": list(pair.votes),
        "model_a": pair.model_a,
        "model_b": pair.model_b,
    }
    # A field that the input's form had no use for may bear one of these names.
    return ours | {name: value for name, value in pair.meta.items() if name not in ours}


def _plain(content: Content | Iterable[Message]) -> object:
    if isinstance(content, str):
        return content
    return [{"role": message.role, "content": message.content} for message in content]
