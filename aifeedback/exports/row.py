"""One line of a labelled file becomes a pair that can be exported, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aifeedback.errors import InputError
from aifeedback.forms.contents import as_response, read_content
from aifeedback.records import Content
from aifeedback.training.reading import begins_with_prompt, is_blank, is_empty, said_by


class Unfit(Exception):
    """A row that can't be used: `str()` says what is wrong with it and what to do."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled pair; `preference` is P(chosen is better), above 0.5. `record`: the line as it was."""

    prompt: Content
    chosen: Content
    rejected: Content
    preference: float
    record: Mapping[str, object]

    @property
    def margin(self) -> float:
        """How far apart the two are, from 0 (in doubt) to 1 (certain): P(chosen is better) - P(rejected is)."""
        return round(2.0 * self.preference - 1.0, 6)


def read_row(value: object) -> Labelled:
    """The pair of one line. Raises Unfit."""
    record = _labelled(value)
    prompt, chosen, rejected = (content_of(record, name) for name in ("prompt", "chosen", "rejected"))
    see_pair(prompt, chosen, rejected)
    return Labelled(prompt, chosen, rejected, _preference(record), record)


def content_of(record: Mapping[str, object], name: str) -> Content:
    """A field as text or messages. Raises Unfit for anything else, and for what can't be written as UTF-8."""
    try:
        content = read_content(record.get(name), name)
    except InputError as error:
        raise Unfit(str(error)) from None
    for text in [content] if isinstance(content, str) else [turn.content for turn in content]:
        see_text(text, name)
    return content


def see_text(text: str, name: str) -> None:
    """See that a text can be written as UTF-8. Raises Unfit."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unfit(f'"{name}" holds half a character (a lone surrogate). Mend the text.') from None


def see_pair(prompt: Content, chosen: Content, rejected: Content) -> None:
    """See that these three can be a preference. Raises Unfit."""
    see_prompt(prompt)
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        see_answer(prompt, answer, name)
    if is_empty(chosen):
        raise Unfit('"chosen" is empty. Leave the row out.')
    if all(begins_with_prompt(prompt, answer) for answer in (chosen, rejected)):
        raise Unfit('"chosen" and "rejected" repeat the prompt. Keep the answers alone in them.')
    if said_by(chosen) == said_by(rejected):
        raise Unfit('"chosen" and "rejected" say the same. Leave the row out.')


def see_prompt(prompt: Content) -> None:
    """See that something is asked, and that an answer can follow. Raises Unfit."""
    asked = [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt if turn.role != "system"]
    if all(is_blank(text) for text in asked):
        raise Unfit("the prompt is empty. Leave the row out.")
    if not isinstance(prompt, str) and prompt[-1].role not in {"user", "tool", "function"}:
        raise Unfit(f"the prompt ends with a turn of the {prompt[-1].role}. Move that turn into the answers.")


def see_answer(prompt: Content, answer: Content, name: str) -> None:
    """See that an answer follows the prompt, and that nobody else speaks in it. Raises Unfit."""
    if isinstance(prompt, str) != isinstance(answer, str):
        shapes = ["text" if isinstance(each, str) else "messages" for each in (prompt, answer)]
        raise Unfit(f'the prompt is {shapes[0]}, "{name}" {shapes[1]}. Label with --shape messages.')
    if isinstance(answer, str) or isinstance(prompt, str):
        return
    if answer[: len(prompt)] == prompt or answer[0].role in {"user", "system"}:
        raise Unfit(f'"{name}" begins with the prompt, or with another turn of the user. Keep the answer alone in it.')
    try:
        as_response(answer, name)
    except InputError as error:
        raise Unfit(str(error)) from None
    if others := [turn.role for turn in answer if turn.role != "assistant"]:
        # trainers take all that follows the prompt for the answer, whoever says it
        raise Unfit(f'"{name}" has a turn of the {others[0]}. Move all turns before the last answer into the prompt.')


def _labelled(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Unfit("no JSON object. One labelled pair a line is expected, as aifeedback label writes them.")
    if "status" in value and "pair" in value:
        raise Unfit(f"a pair without a label ({value['status']}), from the rest. Export the labelled file beside it.")
    if "chosen" not in value and ("response_a" in value or "responses" in value):
        raise Unfit("a pair that is not labelled yet. Label it first: aifeedback label FILE --critic …")
    missing = [name for name in ("prompt", "chosen", "rejected", "preference") if value.get(name) is None]
    if missing:
        named = " and no ".join(f'"{name}"' for name in missing)
        raise Unfit(f"no {named}. A labelled file is expected, as aifeedback label writes it.")
    return value


def _preference(record: Mapping[str, object]) -> float:
    found = record["preference"]
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise Unfit('"preference" is no number from 0 to 1. It says how likely chosen is the better one.')
    if found == 0.5:
        raise Unfit("a tie (preference 0.5): neither answer is the better one. Leave the row out.")
    if found < 0.5:
        raise Unfit(f"a preference of {found:g} says that rejected is the better one. Exchange the two.")
    return float(found)
