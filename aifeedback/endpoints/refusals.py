"""Whether an endpoint that refuses a request for now means all of them, or just some: pure, its clock is the caller's."""

from __future__ import annotations

import math

_MEMORY = 0.05  # the last 20 or so count
_ARBITRARY = 0.5


class Refusals:
    """Looks at what becomes of requests that started after one that was refused, before anybody waited for it.

    Where a limit is reached they are refused too. Where most of them are answered, refusals strike single requests (an
    overloaded machine of many, a fault), and to stop asking for each would be to hardly ask at all.
    """

    def __init__(self) -> None:
        self._first = math.inf
        self._waited_until = -math.inf
        self._answered = 0.0

    @property
    def arbitrary(self) -> bool:
        """Whether a refusal says nothing about the requests beside it."""
        return self._answered > _ARBITRARY

    def answered(self, started: float) -> None:
        """A request that started then was answered."""
        if self._first < started:
            self._answered += _MEMORY * (1 - self._answered)

    def refused(self, started: float) -> None:
        """A request that started then was refused for now."""
        if started >= self._waited_until and self._first < self._waited_until:
            self._first = math.inf  # those before the wait are another matter
        if self._first < started:
            self._answered -= _MEMORY * self._answered
        else:
            self._first = started

    def waits(self, until: float) -> None:
        """Nothing starts before `until`."""
        self._waited_until = max(self._waited_until, until)
