"""What the server has seen: counts, and the latest requests with every credential replaced by a mark."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

_SECRET = re.compile("auth|key|token|secret|cookie|password|signature", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Seen:
    number: int
    target: str
    headers: Mapping[str, str]
    body: bytes

    def shown(self) -> dict[str, object]:
        """As JSON can hold it, without credentials."""
        address = urlsplit(self.target)
        query = [(name, key_mark(value) if _SECRET.search(name) else value) for name, value in parse_qsl(address.query)]
        headers = {
            name.lower(): key_mark(value) if _SECRET.search(name) else value for name, value in self.headers.items()
        }
        body = orjson.loads(self.body)
        return {"n": self.number, "path": address.path, "query": urlencode(query), "headers": headers, "body": body}


@dataclass
class Tally:
    """Counts since the start or the last reset. `keep` bounds how many requests are held for `_requests`.

    The tokens are those of every answer that was made, also of one that was lost on its way: what a provider bills.
    """

    keep: int = 1000
    requests: int = 0
    answered: int = 0
    blind: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    questions: Counter[str] = field(default_factory=Counter[str])
    attempts: Counter[str] = field(default_factory=Counter[str])
    """Of `questions`, those that a limit on the pace let through."""
    faults: Counter[str] = field(default_factory=Counter[str])
    keys: Counter[str] = field(default_factory=Counter[str])
    prefixes: set[str] = field(default_factory=set[str])
    """Marks of what the prompt cache of the Messages API holds."""
    latest: deque[_Seen] = field(init=False)

    def __post_init__(self) -> None:
        self.latest = deque(maxlen=self.keep)

    def afresh(self) -> Tally:
        """A tally that starts now; what is in flight goes on being so."""
        return Tally(self.keep, in_flight=self.in_flight, max_in_flight=self.in_flight)

    def arrived(self, target: str, headers: Mapping[str, str], body: bytes, question: str) -> None:
        """Note one question."""
        self.requests += 1
        self.questions[question] += 1
        key = next((headers[name] for name in ("Authorization", "api-key", "x-api-key") if name in headers), "")
        self.keys[key_mark(key)] += 1
        self.latest.append(_Seen(self.requests, target, headers, body))

    def attempt(self, question: str) -> int:
        """Note that a question is let through; which attempt at it this is, from 1.

        What a limit turns away is none: that depends on the scheduling, and what faults strike must not.
        """
        self.attempts[question] += 1
        return self.attempts[question]

    def stats(self) -> dict[str, object]:
        """All counts, for `_stats`."""
        return {
            "requests": self.requests,
            "answered": self.answered,
            "blind": self.blind,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
            "tokens": {"input": self.input_tokens, "output": self.output_tokens},
            "questions": dict(self.questions),
            "faults": dict(self.faults),
            "authorization": dict(self.keys),
        }

    def since(self, number: int) -> list[dict[str, object]]:
        """The requests after the `number`-th that are still held, oldest first."""
        return [seen.shown() for seen in self.latest if seen.number > number]


def key_mark(value: str) -> str:
    """What stands for a credential: the first 12 hex digits of its SHA-256, or `none` for the empty text."""
    return sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:12] if value else "none"
