"""Who can be asked: anything with a name and an `ask`."""

from __future__ import annotations

from typing import Protocol

from aifeedback.records import Question, Reply


class Critic(Protocol):
    """Answers questions. `name` stands in every label that it gave.

    `ask` raises Wait where the same question may be answered later, GiveUp where this one can't be, and StopRun
    where none can.
    """

    @property
    def name(self) -> str:
        """Who this is, e.g. `openai/gpt-5-mini`."""
        ...

    async def ask(self, question: Question) -> Reply:
        """The critic's reply to `question`."""
        ...
