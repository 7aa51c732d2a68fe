"""The preference form (TRL): `chosen` and `rejected`, with the prompt given or at the head of both."""

from __future__ import annotations

import hashlib

from aifeedback.errors import InputError
from aifeedback.forms.contents import as_response, read_content
from aifeedback.forms.fields import SHARED, About, make_pair, read_head
from aifeedback.forms.row import Form, Row
from aifeedback.records import Content, Message, Pair
from aifeedback.settings import InputSettings

_REQUIRED = ("chosen", "rejected")
_KNOWN = SHARED | frozenset({*_REQUIRED, "prompt"})


def prefer(
    row: Row, settings: InputSettings, known: frozenset[str], prompt: Content, responses: tuple[Content, Content]
) -> list[Pair]:
    """Make the one pair of chosen and rejected, in this order: chosen is the gold; seed and id draw its side."""
    chosen, rejected = (as_response(text, name) for text, name in zip(responses, _REQUIRED, strict=True))
    head = read_head(row, known, prompt, (chosen, rejected))
    drawn = hashlib.sha256(f"{settings.seed}\0{head.id}".encode("utf-8", "surrogatepass")).digest()
    if drawn[0] & 1:
        return [make_pair(row, head, chosen, rejected, About(gold="a"))]
    return [make_pair(row, head, rejected, chosen, About(gold="b"))]


def _read(row: Row, settings: InputSettings) -> list[Pair]:
    fields = row.fields
    chosen, rejected = read_content(fields["chosen"], "chosen"), read_content(fields["rejected"], "rejected")
    if fields.get("prompt") is not None:
        prompt = read_content(fields["prompt"], "prompt")
        prompt, chosen, rejected = _without_repetition(prompt, chosen, rejected)
    else:
        prompt = _common_text(chosen, rejected) if isinstance(chosen, str) else _common_turns(chosen, rejected)
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    return prefer(row, settings, _KNOWN, prompt, (chosen, rejected))


def _without_repetition(prompt: Content, chosen: Content, rejected: Content) -> tuple[Content, Content, Content]:
    heads = _repeated(prompt, chosen), _repeated(prompt, rejected)
    if bool(heads[0]) != bool(heads[1]):
        raise InputError('only one of "chosen" and "rejected" repeats the prompt.')
    if not any(heads):
        return prompt, chosen, rejected
    if chosen[: heads[0]] != rejected[: heads[1]]:
        raise InputError('"chosen" and "rejected" repeat the prompt in different ways.')
    repeated = chosen[: heads[0]]
    if isinstance(repeated, tuple) and repeated[0].role == "system":
        prompt = repeated  # its system message belongs to the prompt too
    return prompt, chosen[heads[0] :], rejected[heads[1] :]


def _repeated(prompt: Content, conversation: Content) -> int:
    """How many turns (of a text: characters) at the head of a conversation are the prompt once more."""
    if isinstance(conversation, str):
        # only a transcript surely repeats its prompt; an answer to "Hi" may well begin with "Hi"
        starts = isinstance(prompt, str) and prompt.startswith("\n\nHuman:") and conversation.startswith(prompt)
        return len(prompt) if starts else 0
    skipped = 1 if conversation[0].role == "system" else 0
    turns = conversation[skipped:]
    if isinstance(prompt, str):
        same = bool(turns) and turns[0].role == "user" and turns[0].content.strip() == prompt.strip()
        return skipped + 1 if same else 0
    if skipped and prompt[0].role == "system" and prompt[0] != conversation[0]:
        return 0
    asked = prompt[1:] if prompt[0].role == "system" else prompt
    return skipped + len(asked) if asked and turns[: len(asked)] == asked else 0


def _common_turns(chosen: tuple[Message, ...], rejected: Content) -> tuple[Message, ...]:
    """The turns that both begin with, up to the last one that can be answered; each side keeps at least one."""
    if isinstance(rejected, str):
        raise InputError('no "prompt", and only one of "chosen" and "rejected" is a list of messages.')
    length = _common_length(chosen[:-1], rejected[:-1])
    while length and chosen[length - 1].role == "assistant":
        length -= 1
    if not length:
        raise InputError('no "prompt", and "chosen" and "rejected" do not begin with the same turn.')
    return chosen[:length]


def _common_text(chosen: str, rejected: Content) -> str:
    """The words that both begin with, as TRL takes them: the space before the first different word is the answer's."""
    if not isinstance(rejected, str):
        raise InputError('no "prompt", and only one of "chosen" and "rejected" is a list of messages.')
    common = chosen[: _common_length(chosen, rejected)]
    if common and not common[-1].isspace():
        common = common[: -len(common.rsplit(maxsplit=1)[-1])]  # a word that only begins alike is the answers'
    common = common.rstrip()
    if chosen == rejected or not common:
        raise InputError('no "prompt", and none at the head of both "chosen" and "rejected".')
    return common


def _common_length(one: Content, other: Content) -> int:
    return next(
        (n for n, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other))
    )


FORM = Form(_REQUIRED, _KNOWN, _read)
