"""One line of training data becomes what can be learned from it, or what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from aifeedback.forms.contents import ROLES
from aifeedback.jsontext import scrub
from aifeedback.records import Content, Message
from aifeedback.training.examples import Demonstration, Example, PreferencePair, Problem, Source, Thumb
from aifeedback.training.settings import Kind

_ANSWER_FIELDS = ("completion", "chosen", "response", "messages")
_KNOWN = ("prompt", "chosen", "rejected", "preference", "completion", "response", "messages", "thumb", "label")
_DIALOGUE = "\n\nHuman:"
# A turn says its text; what else it may hold (calls of tools, say) would be lost without a word.
_TURN_FIELDS = frozenset({"role", "content", "name", "weight"})
_NOT_TRAINED = ("tools", "image", "images", "video", "audio")


class _Unfit(Exception):
    """Carries a problem out of the reading of a row."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.problem = Problem(code, detail)
        super().__init__(code)


def read_examples(kind: Kind, value: object, *, file: str, line: int) -> list[Example] | Problem:
    """The examples of one row: one, or for KTO two of a labelled pair. Never raises, whatever `value` is."""
    try:
        return _read(kind, value, file, line)
    except _Unfit as unfit:
        return unfit.problem


def _read(kind: Kind, value: object, file: str, line: int) -> list[Example]:
    if not isinstance(value, Mapping):
        raise _Unfit("no_object")
    if carried := [name for name in _NOT_TRAINED if value.get(name)]:
        raise _Unfit("more_than_text", ", ".join(carried))
    if "status" in value and "pair" in value:
        raise _Unfit("rest_row", _shown(value["status"]))
    answers = ("chosen",) if kind == "dpo" else _ANSWER_FIELDS
    if ("response_a" in value or "response_b" in value) and not any(field in value for field in answers):
        raise _Unfit("unlabelled")
    row_id = value.get("id")
    name = scrub(row_id) if isinstance(row_id, str) else ""
    source = _source(value)
    if kind == "sft":
        prompt, completion = _demonstration(value)
        return [Demonstration(prompt, completion, file, line, name, source)]
    if kind == "kto" and "chosen" not in value:
        prompt, completion = _answered(value, "completion")
        return [Thumb(prompt, completion, _thumb(value), file, line, name, source)]
    pair = _pair(value, file, line, name, source)
    if kind == "dpo":
        return [pair]
    _see_chosen_is_better(pair.preference)
    return [
        Thumb(pair.prompt, pair.chosen, True, file, line, name, source),  # noqa: FBT003 - up, then down
        Thumb(pair.prompt, pair.rejected, False, file, line, name, source),  # noqa: FBT003
    ]


def _pair(value: Mapping[object, object], file: str, line: int, name: str, source: Source) -> PreferencePair:
    _need(value, "prompt", "chosen", "rejected")
    prompt = _content(value["prompt"], "prompt")
    chosen, rejected = _content(value["chosen"], "chosen"), _content(value["rejected"], "rejected")
    for which, answer in (("chosen", chosen), ("rejected", rejected)):
        _check(prompt, answer, which)
    if isinstance(prompt, str) and all(str(answer).startswith(prompt) for answer in (chosen, rejected)):
        # One answer may well take up the question; where both do, it is how the data are laid out.
        raise _Unfit("prompt_repeated", "chosen and rejected")
    if _said(chosen) == _said(rejected):
        raise _Unfit("same")
    return PreferencePair(prompt, chosen, rejected, _preference(value), file, line, name, source)


def _demonstration(value: Mapping[object, object]) -> tuple[Content, Content]:
    judged = value.get("thumb") is not None or isinstance(value.get("label"), bool)
    if judged and "chosen" not in value and not _thumb(value):
        raise _Unfit("disliked")
    if "messages" in value and "prompt" not in value:
        turns = _content(value["messages"], "messages")
        if isinstance(turns, str) or len(turns) < 2:
            raise _Unfit("roles", "messages need a question and an answer")
        _check(turns[:-1], turns[-1:], "the last turn")
        return turns[:-1], turns[-1:]
    field = next((field for field in _ANSWER_FIELDS if field in value), "completion")
    if field == "chosen":
        _see_chosen_is_better(_preference(value))
    return _answered(value, field)


def _answered(value: Mapping[object, object], field: str) -> tuple[Content, Content]:
    _need(value, "prompt", field)
    prompt, answer = _content(value["prompt"], "prompt"), _content(value[field], field)
    _check(prompt, answer, field)
    return prompt, answer


def _need(value: Mapping[object, object], *fields: str) -> None:
    missing = [field for field in fields if field not in value]
    if not missing:
        return
    for field in ("chosen", "rejected", "completion"):
        if "prompt" in missing and _is_transcript(value.get(field)):
            raise _Unfit("transcript", field)
    there = [str(name) for name in value if name not in _KNOWN]
    near = difflib.get_close_matches(missing[0], there, 1)
    lacking = " and ".join(f'no "{field}"' for field in missing)
    raise _Unfit("missing", lacking + (f', but "{near[0]}"' if near else ""))


def _content(value: object, field: str) -> Content:
    """A field as text or as turns. What is neither would be trained on as Python spells it ("None")."""
    if isinstance(value, str):
        return _text(value, field)
    if not isinstance(value, list):
        raise _Unfit("not_text", f"{field} is {_kind(value)}")
    if not value:
        raise _Unfit("empty", field)
    return tuple(_turn(turn, f"{field}[{number}]") for number, turn in enumerate(value))


def _turn(value: object, where: str) -> Message:
    if not isinstance(value, Mapping) or not isinstance(value.get("role"), str):
        raise _Unfit("roles", f"{where} is no message with a role")
    if value["role"] not in ROLES:
        raise _Unfit("roles", f"{where} has the role {_shown(value['role'])}")
    content = value.get("content")
    if not isinstance(content, str):
        raise _Unfit("not_text", f"{where}.content is {_kind(content)}")
    if more := [str(name) for name in value if name not in _TURN_FIELDS and value[name] not in (None, "", [], {})]:
        raise _Unfit("more_than_text", f"{where} has {', '.join(more)}")
    return Message(_text(str(value["role"]), where), _text(content, where))


def _text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Unfit("not_text", f"{where} holds half a character (a lone surrogate)") from None
    return text


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "true or false", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    """A value for a message: itself where it is short, else what kind of value it is."""
    if isinstance(value, str | float | None) or (isinstance(value, int) and value.bit_length() < 64):
        return str(value)[:40]
    return _kind(value)


def _check(prompt: Content, answer: Content, which: str) -> None:
    """See that `answer` can follow `prompt`. Raises _Unfit."""
    if isinstance(prompt, str) != isinstance(answer, str):
        if not isinstance(answer, str) and answer[0].role != "assistant":
            raise _Unfit("prompt_repeated", which)
        raise _Unfit("mixed_row", f"prompt is {_shape(prompt)}, {which} {_shape(answer)}")
    if isinstance(prompt, str) or isinstance(answer, str):
        _check_strings(str(prompt), str(answer), which)
    else:
        _check_turns(prompt, answer, which)


def _check_strings(prompt: str, answer: str, which: str) -> None:
    for name, text in (("prompt", prompt), (which, answer)):
        if not text.strip():
            raise _Unfit("empty", name)
    if _is_transcript(answer):
        raise _Unfit("transcript", which)


def _is_transcript(answer: object) -> bool:
    return isinstance(answer, str) and f"\n\n{answer.lstrip()}".startswith(_DIALOGUE)


def _check_turns(prompt: Sequence[Message], answer: Sequence[Message], which: str) -> None:
    if tuple(answer[: len(prompt)]) == tuple(prompt) or answer[0].role in {"user", "system"}:
        raise _Unfit("prompt_repeated", which)
    if answer[0].role != "assistant" or answer[-1].role != "assistant":
        raise _Unfit("roles", f"{which} begins with {answer[0].role} and ends with {answer[-1].role}")
    if prompt[-1].role not in {"user", "tool"}:
        raise _Unfit("roles", f"the prompt ends with {prompt[-1].role}")
    if not any(turn.content.strip() for turn in prompt if turn.role != "system"):
        raise _Unfit("empty", "prompt")
    if not answer[-1].content.strip():
        raise _Unfit("empty", which)


def _shape(content: Content) -> str:
    return "a string" if isinstance(content, str) else "messages"


def _said(content: Content) -> object:
    """What an answer says, for comparing: white space at its ends says nothing."""
    if isinstance(content, str):
        return content.strip()
    return tuple((turn.role, turn.content.strip()) for turn in content)


def _preference(value: Mapping[object, object]) -> float | None:
    found = value.get("preference")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise _Unfit("preference", _shown(found))
    return float(found)


def _see_chosen_is_better(preference: float | None) -> None:
    """Of one answer alone nobody can see later that it was the worse. Raises _Unfit."""
    if preference is not None and preference < 0.5:
        raise _Unfit("worse_chosen", f"{preference:g}")


def _thumb(value: Mapping[object, object]) -> bool:
    if "thumb" not in value and isinstance(value.get("label"), bool):
        return bool(value["label"])
    if "thumb" not in value:
        raise _Unfit("missing", 'no "thumb"')
    thumb = value["thumb"]
    if isinstance(thumb, bool) or thumb not in (1, -1):
        raise _Unfit("thumb", _shown(thumb))
    if value.get("label") is (thumb != 1):
        raise _Unfit("contradiction", f"thumb is {_shown(thumb)}, label {str(thumb != 1).lower()}")
    return thumb == 1


def _source(value: Mapping[object, object]) -> Source:
    feedback = value.get("feedback")
    if not isinstance(feedback, Mapping):
        return Source()
    said = (feedback.get(name) for name in ("critic", "template", "criteria"))
    return Source(*(scrub(text) if isinstance(text, str) else "" for text in said))
