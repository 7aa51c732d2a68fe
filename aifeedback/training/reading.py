"""One line of training data becomes what can be learned from it, or what is wrong with it."""

from __future__ import annotations

import difflib
import unicodedata
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
# Marks and fillers count as letters or symbols, and leave nothing to be seen.
_UNSEEN = {*"\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"} | {
    chr(mark) for mark in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
# "Good morning" is rightly answered with good morning.
_GREETING = 2
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
        up = _thumb(value)
        prompt, completion = _answered(value, "completion", disliked=not up)
        return [Thumb(prompt, completion, up, file, line, name, source)]
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
    _check(prompt, chosen, "chosen")
    _check(prompt, rejected, "rejected", disliked=True)
    if all(begins_with_prompt(prompt, answer) for answer in (chosen, rejected)):
        # One answer may well take up the question; where both do, it is how the data are laid out.
        raise _Unfit("prompt_repeated", "chosen and rejected")
    if said_by(chosen) == said_by(rejected):
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


def _answered(value: Mapping[object, object], field: str, *, disliked: bool = False) -> tuple[Content, Content]:
    _need(value, "prompt", field)
    prompt, answer = _content(value["prompt"], "prompt"), _content(value[field], field)
    _check(prompt, answer, field, disliked=disliked)
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


def _check(prompt: Content, answer: Content, which: str, *, disliked: bool = False) -> None:
    """See that `answer` can follow `prompt`; only a disliked one may say nothing. Raises _Unfit."""
    if isinstance(prompt, str) != isinstance(answer, str):
        if not isinstance(answer, str) and answer[0].role != "assistant":
            raise _Unfit("prompt_repeated", which)
        raise _Unfit("mixed_row", f"prompt is {_shape(prompt)}, {which} {_shape(answer)}")
    if not isinstance(prompt, str) and not isinstance(answer, str):
        _check_turns(prompt, answer, which)
    elif _is_transcript(answer):
        raise _Unfit("transcript", which)
    asked = [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt if turn.role != "system"]
    if all(is_blank(text) for text in asked):
        raise _Unfit("empty", "prompt")
    if is_empty(answer) and not disliked:
        raise _Unfit("empty", which)


def is_empty(answer: Content) -> bool:
    """Whether an answer has nothing in it that can be seen."""
    return is_blank(answer if isinstance(answer, str) else answer[-1].content)


def is_blank(text: str) -> bool:
    """Whether there is nothing to be seen: white space, zero-width and control characters, fillers."""
    return all(_is_unseen(char) for char in text)


def _is_unseen(char: str) -> bool:
    return char.isspace() or char in _UNSEEN or unicodedata.category(char) in {"Cc", "Cf"}


def may_be_repeated(prompt: Content) -> bool:
    """Whether a prompt (of a dialogue what the user said last) is so long that no answer begins with it by chance."""
    return len(_asked(prompt).split(None, _GREETING)) > _GREETING


def begins_with_prompt(prompt: Content, answer: Content) -> bool:
    """Whether an answer begins with a prompt that `may_be_repeated`, whatever the white space in both."""
    asked = _asked(prompt)
    said = answer if isinstance(answer, str) else answer[0].content
    if asked.lstrip()[:1] != said.lstrip()[:1] or not may_be_repeated(prompt):
        return False
    return " ".join(said.split()).startswith(" ".join(asked.split()))


def _asked(prompt: Content) -> str:
    if isinstance(prompt, str):
        return prompt
    return prompt[-1].content if prompt[-1].role == "user" else ""


def _is_transcript(answer: object) -> bool:
    return isinstance(answer, str) and f"\n\n{answer.lstrip()}".startswith(_DIALOGUE)


def _check_turns(prompt: Sequence[Message], answer: Sequence[Message], which: str) -> None:
    if tuple(answer[: len(prompt)]) == tuple(prompt) or answer[0].role in {"user", "system"}:
        raise _Unfit("prompt_repeated", which)
    if answer[0].role != "assistant" or answer[-1].role != "assistant":
        raise _Unfit("roles", f"{which} begins with {answer[0].role} and ends with {answer[-1].role}")
    # The trainers take all that follows the prompt for the answer, whoever says it.
    if others := [turn.role for turn in answer if turn.role != "assistant"]:
        raise _Unfit("others_in_answer", f"{which} has a turn of the {others[0]}")
    if prompt[-1].role not in {"user", "tool"}:
        raise _Unfit("roles", f"the prompt ends with {prompt[-1].role}")


def _shape(content: Content) -> str:
    return "a string" if isinstance(content, str) else "messages"


def said_by(content: Content) -> tuple[tuple[str, str], ...]:
    """Who says what, for comparing: white space and unseen characters at the ends of a text say nothing."""
    if isinstance(content, str):
        return (("", _trimmed(content)),)
    return tuple((turn.role, _trimmed(turn.content)) for turn in content)


def _trimmed(text: str) -> str:
    start, end = 0, len(text)
    while start < end and _is_unseen(text[start]):
        start += 1
    while end > start and _is_unseen(text[end - 1]):
        end -= 1
    return text[start:end]


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
