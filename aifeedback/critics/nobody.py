"""A critic in name only: what is not stored stays without an answer."""

from __future__ import annotations

from aifeedback.errors import GiveUp
from aifeedback.records import Question, Reply, Status


class Nobody:
    """Stands for the critic `name` in a replay, and is never asked anything: no key, no connection, no request."""

    def __init__(self, name: str) -> None:
        self.name = name

    def before_request(self) -> None:
        """Nothing is sent, so nothing is counted: that it is here says so (see Lane)."""

    async def ask(self, question: Question) -> Reply:
        """Raises GiveUp: the reply to `question` was looked for where it could be."""
        raise GiveUp("its reply is not in the store", status=Status.UNASKED)
