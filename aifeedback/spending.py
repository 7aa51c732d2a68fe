"""What asking has cost so far, and the limit that it must not pass."""

from __future__ import annotations

from dataclasses import dataclass

from aifeedback.errors import BudgetSpent
from aifeedback.records import Usage


@dataclass(slots=True)
class Spending:
    """Requests and tokens of a run. `max_requests` 0 is no limit; `retried` of the `sent` were not a question's first."""

    max_requests: int = 0
    sent: int = 0
    retried: int = 0
    from_store: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def charge(self) -> None:
        """Count a request that is about to go out. Raises BudgetSpent where it must not."""
        if self.max_requests and self.sent >= self.max_requests:
            raise BudgetSpent(f"--max-requests {self.max_requests} is used up.")
        self.sent += 1

    def add(self, usage: Usage) -> None:
        """Count one reply's tokens."""
        self.input += usage.input
        self.cached += usage.cached
        self.output += usage.output
        self.reasoning += usage.reasoning
