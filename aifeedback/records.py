"""The nouns of labelling: frozen values with no behaviour that needs I/O.

Responses are `a` and `b`; places in a prompt are `first` and `second`. `p_first` speaks of places, `p_a` of
responses, and `as_p_a` is the only place where one becomes the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType

PFirst = NewType("PFirst", float)
"""P(the response shown first is better), 0 to 1."""
PA = NewType("PA", float)
"""P(the input's response_a is better), 0 to 1."""

Winner = Literal["a", "b", "tie"]
Place = Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a dialogue."""

    role: str
    content: str


Content = str | tuple[Message, ...]
"""A prompt or a response: plain text, or the turns of a dialogue."""


class Order(StrEnum):
    """Which response was shown first."""

    AB = "ab"
    BA = "ba"


class Status(StrEnum):
    """Why a pair has no label; in the order in which the summary lists them."""

    TIE = "tie"
    CONFLICT = "conflict"
    WEAK = "weak"
    LENGTH = "length"
    UNPARSED = "unparsed"
    REFUSED = "refused"
    TOO_LONG = "too_long"
    FAILED = "failed"
    UNASKED = "unasked"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to one prompt, and what else the input said about them.

    `id` is unique only as far as the input's is. `gold` is what people say (`""`: unknown), `votes` the single
    voices behind it. `meta` holds every field that is not ours, untouched. `file` and `line` (from 1) say where it
    stood. `exact` is true where the line holds values that only the standard library's JSON writes back as they were
    (NaN, integers beyond 64 bits, lone surrogates).
    """

    id: str
    prompt: Content
    response_a: Content
    response_b: Content
    system: str = ""
    reference: str = ""
    gold: Literal["", "a", "b", "tie"] = ""
    votes: tuple[Winner, ...] = ()
    model_a: str = ""
    model_b: str = ""
    meta: Mapping[str, object] = field(default_factory=dict[str, object])
    file: str = ""
    line: int = 0
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Invalid:
    """A line that is no usable pair: where it stood, the line itself and what is wrong with it."""

    file: str
    line: int
    raw: str
    reason: str
    id: str = ""

    @property
    def status(self) -> Status:
        """As a label has one."""
        return Status.INVALID

    @property
    def winner(self) -> None:
        """As a label has one: none."""

    @property
    def preference(self) -> float:
        """As a label has one: nothing is known."""
        return 0.5

    @property
    def chosen(self) -> None:
        """As a label has one: none."""

    @property
    def rejected(self) -> None:
        """As a label has one: none."""


@dataclass(frozen=True, slots=True)
class VerdictFormat:
    """What kind of verdict a template asks for, and how a reply to it is read.

    `kind`: `json` (an object with a reasoning field first and an answer field), `letter` (one answer and nothing
    else), `tags` (an answer such as `[[A]]` after prose), `claim` (prose with a sentence such as "Output (a) is
    better") or `pattern` (a regular expression of the user's own, whose group 1, or the whole match, is the answer).
    `answers`: each answer that was offered, spelled as offered, and what it means: P(the first shown is better).
    `which`: of several answers in one reply the `last` counts, the `first`, or, with `agreeing`, all must be equal.
    `soft`: whether the answer's token probabilities may be read as a preference.
    """

    kind: Literal["json", "letter", "tags", "claim", "pattern"]
    answers: Mapping[str, PFirst]
    which: Literal["last", "first", "agreeing"] = "last"
    reasoning_field: str = "analysis"
    answer_field: str = "verdict"
    pattern: str = ""
    soft: bool = True

    def answer(self, place: Place) -> str:
        """The offered answer that says `place` most plainly. Raises KeyError where none does."""
        wanted = {"first": 1.0, "tie": 0.5, "second": 0.0}[place]
        for answer, p_first in self.answers.items():
            if p_first == wanted:
                return answer
        raise KeyError(place)


@dataclass(frozen=True, slots=True)
class Question:
    """One asking: a pair shown in one order, as the messages that go to the critic.

    `down` and `room` say how it is put again where a first reply could not be read or was cut off: so many rungs further
    down the ladder, and with so many times the room for the reply. They are no part of what is asked. The `fixed` first
    messages are the same for all pairs, so a provider's cache may keep them.
    """

    messages: tuple[Message, ...]
    format: VerdictFormat
    pair: Pair
    order: Order
    sample: int = 0
    down: int = 0
    room: int = 1
    fixed: int = 0

    @property
    def first(self) -> Content:
        """The response shown first."""
        return self.pair.response_a if self.order is Order.AB else self.pair.response_b

    @property
    def second(self) -> Content:
        """The response shown second."""
        return self.pair.response_b if self.order is Order.AB else self.pair.response_a


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `cached` and `written` (into a cache) are part of `input`, `reasoning` part of `output`.

    `cost_usd`: what the server itself says that it cost, None where it says nothing.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    written: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply: what it spells from `start` to before `end` of `Reply.said`, and what else it could have been.

    `alternatives`: texts and natural log probabilities, the token itself among them; empty where they were not kept.
    """

    start: int
    end: int
    alternatives: tuple[tuple[str, float], ...] = ()


# What servers call it when a reply is not whole: cut off at a limit, held back by a filter, or broken.
CONTEXT_FULL = "model_context_window_exceeded"
CUT_OFF_ENDINGS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "max_length", CONTEXT_FULL})
FILTERED_ENDINGS = frozenset(
    {
        "content_filter",
        "content_filtered",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "guardrail_intervened",
    }
)
BROKEN_ENDINGS = frozenset(
    {
        "error",
        "cancelled",
        "canceled",
        "abort",
        "aborted",
        "incomplete",
        "insufficient_system_resource",
        "malformed_function_call",
        "pause_turn",
    }
)
_UNFINISHED = CUT_OFF_ENDINGS | FILTERED_ENDINGS | BROKEN_ENDINGS


@dataclass(frozen=True, slots=True)
class Reply:
    """What the critic said, unread. `rung` is how it was asked: `json_schema`, `json_object` or `text`.

    `tokens`: of what it said, in order, where the endpoint gave log probabilities.
    """

    content: str
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str = ""
    model: str = ""
    fingerprint: str = ""
    rung: str = "text"
    usage: Usage = Usage()
    tokens: tuple[Token, ...] = ()

    @property
    def said(self) -> str:
        """Where the verdict stands: the content, or what a server put beside an empty one."""
        return self.content if self.content.strip() else self.reasoning

    @property
    def ending(self) -> str:
        """The finish reason, as it is compared."""
        return self.finish_reason.strip().casefold()

    @property
    def complete(self) -> bool:
        """Whether the critic finished: only then is the reply worth keeping and may be read."""
        if self.ending in _UNFINISHED:
            return False
        return bool(self.content.strip() or self.reasoning.strip() or self.refusal.strip())


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply amounts to: `p_first` with `reason` (the critic's own words), or a `status` and why.

    `method` says where the verdict was found, e.g. `json_schema`, `fenced`, `embedded`, `tag`, `claim`, `letter`.
    `soft`: `p_first` comes from the verdict token's probabilities, `mass` of which lay on the answers that were offered;
    `method` then ends in `:not_sampled` where the likelier answer is not the one that was sampled.
    """

    p_first: PFirst | None
    method: str = ""
    reason: str = ""
    status: Status | None = None
    why: str = ""
    soft: bool = False
    mass: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one asking said about the pair: `p_a`, or a `status` and `why` there is none."""

    critic: str
    order: Order
    sample: int
    p_a: PA | None
    method: str = ""
    reason: str = ""
    soft: bool = False
    mass: float = 0.0
    status: Status | None = None
    why: str = ""
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """What all verdicts on a pair amount to: a winner, or a status and the reason for it.

    `p_a` is their mean, None where an order that was asked has no readable verdict; `order_p_a` the same for each
    readable order. `agreed`: both orders were asked and came to the same decision. `decided_by`: the critic whose
    verdicts alone count, where it was asked after the others; `""` where all count. `length_flagged`: the winner would be
    another one but for its length, where `--length-control` looked.
    """

    pair: Pair
    status: Status | None
    reason: str
    p_a: PA | None
    order_p_a: Mapping[Order, PA]
    agreed: bool
    verdicts: tuple[Verdict, ...]
    decided_by: str = ""
    length_flagged: bool = False

    @property
    def deciding(self) -> tuple[Verdict, ...]:
        """The verdicts that count."""
        if not self.decided_by:
            return self.verdicts
        return tuple(verdict for verdict in self.verdicts if verdict.critic == self.decided_by)

    @property
    def winner(self) -> Winner | None:
        """`a` or `b` for a labelled pair, else None."""
        if self.status is not None or self.p_a is None:
            return None
        return "a" if self.p_a > 0.5 else "b"

    @property
    def preference(self) -> float:
        """P(chosen is better), in [0.5, 1]; 0.5 where nothing is known."""
        if self.p_a is None:
            return 0.5
        return self.p_a if self.p_a >= 0.5 else round(1.0 - self.p_a, 6)

    @property
    def chosen(self) -> Content | None:
        """The better response of a labelled pair, else None."""
        return {"a": self.pair.response_a, "b": self.pair.response_b}.get(self.winner or "")

    @property
    def rejected(self) -> Content | None:
        """The worse response of a labelled pair, else None."""
        return {"a": self.pair.response_b, "b": self.pair.response_a}.get(self.winner or "")


def served_by(reply: Reply) -> str:
    """What the endpoint calls the model that answered, and its fingerprint; `""` where it says neither."""
    return f"{reply.model} {reply.fingerprint}".strip()


def as_p_a(p_first: PFirst, order: Order) -> PA:
    """P(first shown is better), seen from `order`, as P(response_a is better); rounded to 6 digits."""
    p = round(p_first, 6)
    return PA(p if order is Order.AB else round(1.0 - p, 6))


def text_of(content: Content) -> str:
    """A response or prompt as one text: the turns' contents, joined by a blank line."""
    return content if isinstance(content, str) else "\n\n".join(message.content for message in content)
