"""What a request asks: the two responses that it shows, and the form in which it wants the verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise

import orjson

from aifeedback.records import Place

_FENCE = re.compile(r"<<<(?P<name>[^<>\n]+) (?P<code>\w+)>>>\n")
"""The line above a text; `<<<END NAME code>>>` stands below: all there is to know about how templates show data."""
_TURN = re.compile(r"<<<[^<>\n]+ TURN \w+>>>\n")

Object = Mapping[str, object]


@dataclass(frozen=True)
class Asked:
    """A request. `question` is a hash of its messages alone."""

    body: Object
    question: str
    texts: tuple[tuple[str, str], ...]
    """Role and text of each message."""

    @cached_property
    def user(self) -> str:
        """The last message of the user."""
        return next((text for role, text in reversed(self.texts) if role == "user"), "")

    @cached_property
    def responses(self) -> tuple[str, str] | None:
        """The texts shown first and second; None where they are not to be found between fences."""
        for one, other in reversed(list(pairwise(_blocks(self.user)))):
            # `RESPONSE A` and `RESPONSE B`: alike but for the last word.
            kind, _, which = one.name.rpartition(" ")
            if kind and kind == other.name.rpartition(" ")[0] and which != other.name.rpartition(" ")[2]:
                return one.text, other.text
        return None

    @cached_property
    def instructions(self) -> str:
        """All that is said outside of fences."""
        return "\n\n".join(_outside(text) for _, text in self.texts)

    @cached_property
    def schema(self) -> Mapping[str, Object] | None:
        """The properties of the JSON schema that the reply, or the input of a tool, must follow; None where none was sent."""
        wanted: object = self.body
        path: tuple[str, ...] = ("response_format", "json_schema", "schema", "properties")
        tools = self.body.get("tools")
        if isinstance(tools, list) and tools:
            wanted, path = tools[0], ("input_schema", "properties")
        for name in path:
            wanted = wanted.get(name) if isinstance(wanted, dict) else None
        if not isinstance(wanted, dict):
            return None
        return {name: kind if isinstance(kind, dict) else {} for name, kind in wanted.items()}

    @property
    def characters(self) -> int:
        """The length of all messages."""
        return sum(len(text) for _, text in self.texts)


@dataclass(frozen=True, slots=True)
class _Block:
    """A text between fence lines, which begin at `start` and end before `end`."""

    name: str
    text: str
    start: int
    end: int


def _blocks(text: str) -> list[_Block]:
    found: list[_Block] = []
    at = 0
    while head := _FENCE.search(text, at):
        foot = f"\n<<<END {head['name']} {head['code']}>>>"
        end = text.find(foot, head.end())
        if end < 0 or text[max(0, head.start() - 1) : head.start()] not in {"", "\n"}:
            at = head.end()
            continue
        at = end + len(foot)
        found.append(_Block(head["name"], _TURN.sub("", text[head.end() : end]), head.start(), at))
    return found


def _outside(text: str) -> str:
    edges = [0, *(edge for block in _blocks(text) for edge in (block.start, block.end)), len(text)]
    return "".join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))


def read_body(raw: bytes) -> dict[str, object]:
    """The object in a request. Raises ValueError, with a message for the client, where it is none."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:
        message = f"We could not parse the JSON body of your request: {wrong}."
        raise ValueError(message) from wrong
    return body if isinstance(body, dict) else {}


def read_asked(raw: bytes) -> Asked:
    """A chat completions request's body. Raises ValueError, with a message for the client, where it is none."""
    body = read_body(raw)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(turn, dict) for turn in messages):
        raise ValueError("Missing required parameter: 'messages'.")
    if body.get("stream"):
        raise ValueError("This server does not stream. Leave 'stream' out.")
    texts = tuple((str(turn.get("role", "")), text_in(turn.get("content"))) for turn in messages)
    return Asked(body, sha256(orjson.dumps(messages)).hexdigest()[:16], texts)


def write_verdict(asked: Asked, place: Place, reasoning: str) -> str:
    """A reply that says `place` in the form that was asked for; where it knows none, `reasoning` alone."""
    if asked.schema is not None:
        filled = {name: _value(name, kind, place, reasoning) for name, kind in asked.schema.items()}
        return orjson.dumps(filled).decode()
    said = asked.instructions
    for sign, answers in _TAGS.items():
        if sign in said:
            return f"{reasoning}\n\n{answers[place]}"
    fields = re.findall(r'"(\w+)"\s*:', said)
    if len(fields) > 1:
        offered = [word for word in re.findall(r'"(\w+)"', said) if word not in fields]
        filled = dict.fromkeys(fields[:-1], reasoning) | {fields[-1]: spelled(place, offered)}
        return orjson.dumps(filled).decode()
    if re.search(r"\b(one|single) (letter|word)\b|nothing else", said, re.IGNORECASE):
        return _LETTERS[place]
    wanted = asked.body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        return orjson.dumps({"answer": reasoning}).decode()
    return reasoning


def spelled(place: Place, offered: Sequence[str]) -> str:
    """Which of the offered answers says `place`; for a tie that is not offered, the first one."""
    plain = {re.sub(r"[\W_]", "", answer).casefold(): answer for answer in reversed(offered)}
    for spelling in _SPELLINGS[place]:
        if spelling in plain:
            return plain[spelling]
    if place == "tie":
        return spelled("first", offered)
    return offered[0 if place == "first" else min(1, len(offered) - 1)] if offered else _LETTERS[place]


_LETTERS = {"first": "A", "second": "B", "tie": "C"}
_TAGS = {
    "[[A>>B]]": {"first": "[[A>>B]]", "second": "[[B>>A]]", "tie": "[[A=B]]"},
    "[[A]]": {"first": "[[A]]", "second": "[[B]]", "tie": "[[C]]"},
    "Output (a)": {
        "first": "Therefore, Output (a) is better.",
        "second": "Therefore, Output (b) is better.",
        "tie": "Both are equally good.",
    },
}
"""What instructions contain that ask for a tag or a claim, and the answers; the more special ones first."""
_NOUNS = ("", "response", "answer", "assistant", "output", "model")
_SPELLINGS: dict[Place, tuple[str, ...]] = {
    "first": tuple(noun + name for name in ("a", "first", "1") for noun in _NOUNS),
    "second": tuple(noun + name for name in ("b", "second", "2") for noun in _NOUNS),
    "tie": ("c", "tie", "equal", "both", "neither", "same", "draw"),
}


def _value(name: str, kind: Object, place: Place, reasoning: str) -> object:
    """A value that fits a property of a schema: the verdict where answers are offered, else something harmless."""
    offered = kind.get("enum")
    if isinstance(offered, list) and offered:
        return spelled(place, [str(answer) for answer in offered])
    harmless = {"number": 0.5, "integer": 1, "boolean": True, "array": [], "object": {}, "null": None}
    wanted = kind.get("type")
    return harmless.get(wanted, reasoning) if isinstance(wanted, str) else reasoning


def text_in(content: object) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
