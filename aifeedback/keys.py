"""What was asked for, as the key under which its reply is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from aifeedback.records import Message, Pair, Question, text_of


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a run asks and with what, as far as it decides the reply; all of it is part of the key, `context` is not.

    `endpoint`: its URL without credentials, or the id that the user gave it. `parameters`: what the user asked for,
    never what the endpoint's quirks made of it. `context`: the template and criteria, for `store explain`.
    """

    endpoint: str
    model: str
    parameters: Mapping[str, object]
    context: Mapping[str, str]

    def facets(self) -> str:
        """Everything as canonical JSON."""
        return _canonical(asdict(self))


@dataclass(frozen=True, slots=True)
class Key:
    """Where a question's reply is kept, and the parts by which a near miss is explained."""

    digest: bytes
    messages: bytes
    pair: bytes
    sample: int


class Keys:
    """Makes the keys of one run's questions to one critic; what is the same for all of them is hashed once."""

    def __init__(self, asked: Asked) -> None:
        head = _canonical([asked.endpoint, asked.model, asked.parameters])
        self._head = hashlib.blake2b(head.encode(), digest_size=16)
        self._pair: tuple[Pair | None, bytes] = (None, b"")
        self._opening: tuple[tuple[Message, ...], hashlib.blake2b] = ((), hashlib.blake2b(digest_size=16))

    def key(self, question: Question) -> Key:
        """The key of `question`: a hash of the messages, the model, the parameters, the endpoint and the sample."""
        messages = self._hashed(question.messages[:-1])
        for last in question.messages[-1:]:
            _feed(messages, last)
        digest = self._head.copy()
        digest.update(messages.digest() + question.sample.to_bytes(4, "big"))
        if question.pair is not self._pair[0]:  # the questions about a pair come one after the other
            self._pair = (question.pair, pair_hash(question.pair))
        return Key(digest.digest(), messages.digest(), self._pair[1], question.sample)

    def _hashed(self, opening: tuple[Message, ...]) -> hashlib.blake2b:
        """The hash of what comes before the last message: the same for all pairs, as a rule."""
        if opening != self._opening[0]:
            begun = hashlib.blake2b(digest_size=16)
            for message in opening:
                _feed(begun, message)
            self._opening = (opening, begun)
        return self._opening[1].copy()


def _feed(messages: hashlib.blake2b, message: Message) -> None:
    content = message.content.encode()
    messages.update(b"%d %s %d " % (len(message.role), message.role.encode(), len(content)))
    messages.update(content)


def pair_hash(pair: Pair) -> bytes:
    """The same for all questions about the same content, whatever the template, the order or the critic."""
    sides = sorted((text_of(pair.response_a), text_of(pair.response_b)))
    text = "\0".join((text_of(pair.prompt), *sides))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _canonical(value: object) -> str:
    """The same text for the same value, whatever the order of its fields."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=dict)
