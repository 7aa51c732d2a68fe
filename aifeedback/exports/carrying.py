"""What a shape can carry of a pair: turns, roles, one answer; all else is refused with advice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from aifeedback.exports.row import Unfit
from aifeedback.records import Content, Message
from aifeedback.rows import as_messages
from aifeedback.training.reading import is_blank

ELSEWHERE = "Export to trl, or leave the row out."
"""What to do about a row that another shape carries."""


def plain(content: Content) -> object:
    """Text as it is, messages as JSON objects."""
    return content if isinstance(content, str) else [spoken(turn) for turn in content]


def spoken(turn: Message) -> dict[str, object]:
    """A turn as a JSON object."""
    return {"role": turn.role, "content": turn.content}


def as_turns(prompt: Content, roles: Collection[str], reader: str) -> tuple[Message, ...]:
    """A prompt as turns of `roles`, a text as one of the user. Raises Unfit where another role speaks."""
    turns = as_messages(prompt, "user")
    if foreign := [turn.role for turn in turns if turn.role not in roles]:
        raise Unfit(f"the prompt has a turn of the {foreign[0]}, which {reader} does not read. {ELSEWHERE}")
    if any(turn.role == "system" for turn in turns[1:]):
        raise Unfit(f"a system message stands inside the prompt, and {reader} reads one at its head. {ELSEWHERE}")
    return turns


def one_answer(answer: Content, name: str, reader: str, *, empty: bool = True) -> str:
    """The text of an answer of one turn. Raises Unfit for several, and where it is empty and may not be."""
    if not isinstance(answer, str) and len(answer) > 1:
        raise Unfit(f'"{name}" has {len(answer)} turns, and {reader} reads one. Export to trl.')
    text = answer if isinstance(answer, str) else answer[0].content
    if not empty and is_blank(text):
        raise Unfit(f'"{name}" is empty, which {reader} does not take. Leave the row out.')
    return text


def see_no_one_twice(turns: Sequence[Message], reader: str) -> None:
    """See that nobody speaks twice in a row. Raises Unfit."""
    for one, other in pairwise(turns):
        if one.role == other.role:
            raise Unfit(f"two turns of the {one.role} stand in a row, which {reader} refuses. {ELSEWHERE}")


def see_alternating(turns: Sequence[Message], reader: str) -> None:
    """See that user (or tool) and assistant take turns, from the user to the user. Raises Unfit."""
    spoken_by = ["assistant" if turn.role == "assistant" else "user" for turn in turns]
    if spoken_by[0] == "assistant" or any(one == other for one, other in pairwise(spoken_by)):
        raise Unfit(f"user and assistant do not take turns in the prompt, as {reader} wants. {ELSEWHERE}")
