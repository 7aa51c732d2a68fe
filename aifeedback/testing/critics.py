"""Critics that need no model: scripted, position biased, perfectly fair, biased on purpose, failing on purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aifeedback.errors import GiveUp
from aifeedback.records import Place, Question, Reply, Status, Usage, VerdictFormat, text_of
from aifeedback.verdicts import write_answer

Script = Sequence[str | Reply | Exception] | Callable[[Question], str | Reply]


class _Critic(Protocol):
    async def ask(self, question: Question) -> Reply: ...


@dataclass
class ScriptedCritic:
    """Replies as it was told: one after the other in the order in which questions come, or by a function.

    An exception among the replies is raised in its turn. `questions` are those it was asked so far.
    Raises AssertionError when a question comes after the last reply.
    """

    replies: Script
    name: str = "scripted"
    questions: list[Question] = field(default_factory=list[Question], init=False)

    async def ask(self, question: Question) -> Reply:
        """The next reply, or what the function says."""
        self.questions.append(question)
        reply = self.replies(question) if callable(self.replies) else self._next(self.replies)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else _reply(question, reply, self.name)

    def _next(self, replies: Sequence[str | Reply | Exception]) -> str | Reply | Exception:
        asked = len(self.questions)
        if asked > len(replies):
            latest = self.questions[-1]
            message = (
                f"ScriptedCritic has {len(replies)} replies, and question {asked} came "
                f"(pair {latest.pair.id!r}, order {latest.order}). Give it more replies, or a function."
            )
            raise AssertionError(message)
        return replies[asked - 1]


@dataclass
class AlwaysFirst:
    """Names the response shown first, whatever it says: what the swap of orders must unmask."""

    name: str = "always-first"

    async def ask(self, question: Question) -> Reply:
        """A verdict for the first place."""
        return _verdict(question, "first", self.name)


@dataclass
class AlwaysSecond:
    """Names the response shown second, whatever it says."""

    name: str = "always-second"

    async def ask(self, question: Question) -> Reply:
        """A verdict for the second place."""
        return _verdict(question, "second", self.name)


@dataclass
class AlwaysTie:
    """Says that both are equally good; under a template that offers no tie this can't be read as a verdict."""

    name: str = "always-tie"

    async def ask(self, question: Question) -> Reply:
        """A tie, or a sentence that names neither response."""
        if _offers_tie(question.format):
            return _verdict(question, "tie", self.name)
        return _reply(question, "Both are equally good.", self.name)


@dataclass
class FairCritic:
    """Prefers the response whose text has the higher score, whichever was shown first.

    Equal scores are a tie; where the template offers none, the text that sorts first wins, so both orders agree.
    """

    score: Callable[[str], float]
    name: str = "fair"

    async def ask(self, question: Question) -> Reply:
        """A verdict for the better response."""
        return _verdict(question, self._place(question), self.name)

    def _place(self, question: Question) -> Place:
        first, second = text_of(question.first), text_of(question.second)
        ahead = self.score(first) - self.score(second)
        if ahead == 0:
            if _offers_tie(question.format):
                return "tie"
            return "first" if first <= second else "second"
        return "first" if ahead > 0 else "second"


@dataclass
class BiasedCritic:
    """Draws each verdict at random with the biases it was given, the same verdict for the same question.

    `first`: P(it names the first-shown) between responses of equal length; `longer`: P(it names the longer one, in
    characters) where position plays no part. Both act together as the product of their odds.
    """

    first: float = 0.6
    longer: float = 0.5
    seed: int = 0
    name: str = "biased"

    async def ask(self, question: Question) -> Reply:
        """A verdict drawn from a hash of the seed and the question."""
        place: Place = "first" if _draw(self.seed, question) < self._p_first(question) else "second"
        return _verdict(question, place, self.name)

    def _p_first(self, question: Question) -> float:
        ahead = len(text_of(question.first)) - len(text_of(question.second))
        by_length = 0.5 if ahead == 0 else self.longer if ahead > 0 else 1.0 - self.longer
        for_first, for_second = self.first * by_length, (1.0 - self.first) * (1.0 - by_length)
        # Two certainties that contradict each other leave nothing to go by.
        return for_first / (for_first + for_second) if for_first + for_second else 0.5


@dataclass
class FailingCritic:
    """Fails on about every n-th question; the same ones each time, whatever the order in which they come.

    `inner` answers the others. `error` is raised instead of GiveUp with the status `failed`.
    """

    inner: _Critic = field(default_factory=lambda: FairCritic(len))
    every: int = 3
    error: Exception | None = None
    name: str = "failing"

    async def ask(self, question: Question) -> Reply:
        """What `inner` says, or the planted failure."""
        if int(_digest(0, question), 16) % self.every:
            return await self.inner.ask(question)
        if self.error is not None:
            # One instance is raised many times: without this its traceback would grow each time.
            raise self.error.with_traceback(None)
        message = f"planted failure: pair {question.pair.id!r}, order {question.order}."
        raise GiveUp(message, status=Status.FAILED)


def _verdict(question: Question, place: Place, name: str) -> Reply:
    reasons = {"first": "The response shown first is better.", "second": "The response shown second is better."}
    reasoning = reasons.get(place, "Both responses are equally good.")
    return _reply(question, write_answer(question.format, place, reasoning), name)


def _reply(question: Question, content: str, name: str) -> Reply:
    rung = "json_schema" if question.format.kind == "json" else "text"
    asked = sum(len(message.content) for message in question.messages)
    usage = Usage(input=asked // 4, output=len(content) // 4)
    return Reply(content=content, finish_reason="stop", model=name, fingerprint="testing", rung=rung, usage=usage)


def _offers_tie(verdict_format: VerdictFormat) -> bool:
    return 0.5 in verdict_format.answers.values()


def _draw(seed: int, question: Question) -> float:
    return int(_digest(seed, question), 16) / 16**16


def _digest(seed: int, question: Question) -> str:
    said = [text for message in question.messages for text in (message.role, message.content)]
    parts = "\x00".join([str(seed), question.order, str(question.sample), *said])
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:16]
