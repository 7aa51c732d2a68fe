"""What became of one request of the examination."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from aifeedback.endpoints.payload import json_object, part_of, text_of, tool_input
from aifeedback.errors import AifeedbackError, CriticGone, GiveUp, Hiccup
from aifeedback.records import CUT_OFF_ENDINGS, Reply, Status
from aifeedback.verdicts.thinking import without_thinking


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, or the error in its place.

    `said`: an error's own words. `choices`: how many came. `thought_in`: the field that holds thinking.
    `odd_logprobs`: log probabilities came that can't be used. `status` is 0 where no response came at all.
    """

    sent: Mapping[str, object] = field(default_factory=dict[str, object])
    status: int = 0
    reply: Reply | None = None
    error: AifeedbackError | None = None
    said: str = ""
    seconds: float = 0.0
    choices: int = 0
    thought_in: str = ""
    odd_logprobs: bool = False

    @property
    def cause(self) -> str:
        """What went wrong, in one line."""
        return " ".join(str(self.error).split()) if self.error is not None else ""

    @property
    def timed_out(self) -> bool:
        """Whether the time for one request was over before it was answered."""
        return isinstance(self.error, Hiccup) and isinstance(self.error.__cause__, TimeoutError)

    @property
    def refused(self) -> bool:
        """Whether it turned down what was asked, rather than failed at it.

        Meant for a request that differs from one that was answered: then even a 404 (OpenRouter, where no provider
        takes a parameter) or a 403 (OpenAI, log probabilities of models that think) is about the difference.
        """
        if isinstance(self.error, GiveUp):
            return self.error.status is Status.FAILED
        return (
            isinstance(self.error, CriticGone)
            and self.status in {400, 403, 404, 405, 422}
            and "quota" not in self.cause
        )

    @property
    def cut_off_empty(self) -> bool:
        """Whether the room was used up before anything was said."""
        reply = self.reply
        return (
            reply is not None and reply.ending in CUT_OFF_ENDINGS and not without_thinking(reply.content).text.strip()
        )

    @property
    def thinks_aside(self) -> bool:
        """Whether there is thinking beside the content; beside an empty content it is the answer that landed there."""
        spoken = self.reply is not None and bool(self.reply.content.strip())
        return bool(self.thought_in) and (spoken or self.cut_off_empty)

    def names(self, words: str) -> bool:
        """Whether the error is in so many words about what `words`, a pattern, describes."""
        return bool(re.search(words, f"{self.said} {self.cause}", re.IGNORECASE))


def choices_in(payload: bytes) -> int:
    """How many choices a response holds."""
    choices = (json_object(payload) or {}).get("choices")
    return len(choices) if isinstance(choices, list) else 1


def holds_logprobs(payload: bytes) -> bool:
    """Whether a response holds anything under that name, of whatever shape."""
    choices = (json_object(payload) or {}).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and bool(first.get("logprobs"))


def thinking_field(payload: bytes) -> str:
    """The field of a response that holds thinking, or what should be the content; the empty text where none does."""
    data = json_object(payload) or {}
    blocks, choices = data.get("content"), data.get("choices")
    if isinstance(blocks, list):
        thinks = any(isinstance(block, dict) and "thinking" in str(block.get("type")) for block in blocks)
        return "thinking blocks" if thinks else ""
    first = choices[0] if isinstance(choices, list) and choices else None
    message = part_of(first, "message") if isinstance(first, dict) else {}
    named = next((name for name in ("reasoning_content", "reasoning") if text_of(message.get(name)).strip()), "")
    return named or "tool_calls" * (not text_of(message.get("content")).strip() and bool(tool_input(message)))
