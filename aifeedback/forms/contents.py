"""Prompts and responses as they are given: text, or the turns of a dialogue."""

from __future__ import annotations

from aifeedback.errors import InputError
from aifeedback.forms.wording import kind, quoted
from aifeedback.records import Content, Message

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_RESPONSE_ROLES = frozenset({"assistant", "tool", "function", "user"})


def read_content(value: object, name: str) -> Content:
    """Text, or messages of which role and content are kept. Raises InputError for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InputError(f'"{name}" must be text or a list of messages, not {kind(value)}.')
    if not value:
        raise InputError(f'"{name}" is an empty list of messages.')
    return tuple(_message(turn, f"{name}[{number}]") for number, turn in enumerate(value))


def as_prompt(content: Content, system: str) -> tuple[Content, str]:
    """The prompt, and the system text: that of the row, or else of the message that heads the prompt.

    Raises InputError where the two differ, where nothing but system messages is left, or where the last turn is the
    assistant's.
    """
    if isinstance(content, str):
        return content, system
    if content[0].role == "system":
        if system and content[0].content != system:
            raise InputError('"system" differs from the system message that heads "prompt". Keep one of them.')
        system, content = content[0].content, content[1:]
    if all(message.role == "system" for message in content):
        raise InputError('"prompt" holds nothing but a system message.')
    if content[-1].role == "assistant":
        raise InputError('"prompt" ends with a turn of the assistant. Put that turn into the responses.')
    return content, system


def as_response(content: Content, name: str) -> Content:
    """`content`, if it can answer a prompt. Raises InputError for no turn, a system turn, or an unanswered one."""
    if isinstance(content, str):
        return content
    if not content:
        raise InputError(f'"{name}" holds no turn after the prompt.')
    for message in content:
        if message.role not in _RESPONSE_ROLES:
            raise InputError(f'"{name}" holds a {message.role} message. Only a prompt may have one.')
    if content[-1].role != "assistant":
        raise InputError(f'"{name}" ends with a turn of the {content[-1].role}, not of the assistant.')
    return content


def read_response(value: object, name: str) -> Content:
    """Read a response. Raises InputError for what is none."""
    return as_response(read_content(value, name), name)


def _message(turn: object, name: str) -> Message:
    if not isinstance(turn, dict):
        raise InputError(f'"{name}" must be a message with "role" and "content", not {kind(turn)}.')
    for key in ("role", "content"):
        if not isinstance(turn.get(key), str):
            raise InputError(
                f'"{name}.{key}" must be text, not {kind(turn[key])}.' if key in turn else f'"{name}" has no "{key}".'
            )
    if turn["role"] not in ROLES:
        raise InputError(f'"{name}.role" is none of {", ".join(sorted(ROLES))}.')
    for key, value in turn.items():
        if key not in {"role", "content"} and value is not None:
            raise InputError(
                f'"{name}" has {quoted(key)}, which would be lost. Leave it out, or write it into "content".'
            )
    return Message(turn["role"], turn["content"])
