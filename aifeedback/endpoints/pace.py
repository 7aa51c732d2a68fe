"""How many requests may be on their way, and when the next may start: finds what an endpoint bears, and gives way at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

from aifeedback.endpoints.concurrency import Concurrency
from aifeedback.endpoints.limits import read_limits
from aifeedback.endpoints.rate import Rate
from aifeedback.endpoints.refusals import Refusals

_ALONE_S = 1.0
_FEW = 4
_SHORTEST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0


class Pace:
    """Slots for requests to one endpoint: as many at a time as it bears, as many a minute as it allows.

    With `first_alone` the first request goes by itself for a second, and with a few others until something was heard:
    what it learns (a parameter that is refused, a limit in the headers) all others need not learn by being refused.
    What the endpoint says about waiting holds for all slots at once. `rpm` and `tpm` are the user's limits a minute, 0
    none.
    """

    def __init__(self, ceiling: int, *, rpm: float = 0.0, tpm: float = 0.0, first_alone: bool = False) -> None:
        self.ceiling = ceiling
        self.in_flight = 0
        self._concurrency = Concurrency(ceiling)
        self._refusals = Refusals()
        self._requests = Rate(rpm)
        self._tokens = Rate(tpm)
        self._tokens_each = 0.0
        self._not_before = 0.0
        self._at_most = 1 if first_alone else ceiling  # until the endpoint was heard
        self._full = False  # whether the latest start was the last that fitted: else nobody wants more
        self._over = asyncio.Event()
        self._changed = asyncio.Event()
        self._door = asyncio.Lock()

    @property
    def limit(self) -> int:
        """How many may be on their way now."""
        return min(self._at_most, self._concurrency.limit)

    async def slot(self, tokens: float = 0.0) -> int:
        """Take a slot, in turn, once the endpoint bears one more; gives how many are on their way then. `done` gives it back.

        `tokens`: about how many the request will take, where that is not known from those before it.
        """
        if self._door.locked() or self._waits_until(time.monotonic()) is not None:
            async with self._door:
                while not self._over.is_set() and (until := self._waits_until(time.monotonic())) is not None:
                    await self._wait(until)
        now = time.monotonic()
        self.in_flight += 1
        self._full = self.in_flight >= self.limit
        self._requests.take(1.0, now)
        self._tokens.take(self._tokens_each or tokens, now)
        return self.in_flight

    def _waits_until(self, now: float) -> float | None:
        """When to look again (infinity: when something changes); None where a request may start."""
        if self._over.is_set():
            return None
        due = max(self._not_before, self._requests.due(), self._tokens.due())
        if due > now:
            return due
        if self.in_flight < self.limit:
            return None
        return now + _ALONE_S if self._at_most == 1 else float("inf")

    async def _wait(self, until: float) -> None:
        """Only the first in the queue waits here; the others wait behind it."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if until == float("inf") else max(0.0, until - time.monotonic())):
                await self._changed.wait()
                return
        if self._at_most == 1 and self.in_flight:
            self._at_most = min(_FEW, self.ceiling)  # the first takes its time

    def done(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        self._changed.set()

    def told(self, headers: Mapping[str, str]) -> None:
        """Take in what a response's headers say about limits."""
        limits = read_limits(headers)
        if limits.requests is not None:
            self._requests.told(limits.requests, self.in_flight, time.monotonic())
        if limits.tokens is not None:
            self._tokens.told(limits.tokens, self.in_flight * self._tokens_each, time.monotonic())

    def answered(self, seconds: float, at: int, tokens: int = 0) -> None:
        """A request was answered properly after `seconds`; `at`: what its `slot` gave, `tokens`: what it took."""
        now = time.monotonic()
        self.heard()
        if tokens:
            self._tokens_each = tokens if not self._tokens_each else 0.9 * self._tokens_each + 0.1 * tokens
        self._refusals.answered(now - seconds)
        if self._concurrency.answered(seconds, at, now, wanted=self._full):
            self._changed.set()

    def heard(self) -> None:
        """The endpoint said something, if only that it won't answer: others need not wait for the first any more."""
        if self._at_most < self.ceiling:
            self._at_most = self.ceiling
            self._changed.set()

    def pushed_back(self, retry_after_s: float, started: float, at: int) -> float:
        """The endpoint refused, for now, a request that started then (monotonic) as the `at`-th on its way.

        Gives the seconds that this one request should wait; what all have to wait is seen to here.
        """
        now = time.monotonic()
        lowered = self._concurrency.pushed_back(started, at, now)
        self._refusals.refused(started)
        if retry_after_s and not self._refusals.arbitrary:
            self._wait_for_all(now + retry_after_s)
        elif not retry_after_s and (self.limit == 1 or (lowered and self.limit >= at)):
            # It doesn't say how long, and fewer at a time are no help.
            self._wait_for_all(now + self.moment_s)
        return retry_after_s

    def _wait_for_all(self, until: float) -> None:
        self._not_before = max(self._not_before, until)
        self._refusals.waits(self._not_before)

    @property
    def moment_s(self) -> float:
        """A wait for an endpoint that does not say how long: a round trip, but neither nothing nor long."""
        return min(max(_SHORTEST_WAIT_S, self._concurrency.round_trip_s), _LONGEST_WAIT_S)

    def went_wrong(self, retry_after_s: float, started: float) -> None:
        """A request that started then failed for a reason of its own; only what the endpoint says holds for all."""
        self.heard()
        now = time.monotonic()
        self._concurrency.went_wrong(started, now)
        if retry_after_s:
            self._wait_for_all(now + retry_after_s)

    def pause(self, seconds: float) -> None:
        """Start nothing for `seconds`, and go on with one request at a time until one is answered."""
        self._at_most = self.ceiling
        self._concurrency.restart()
        self._wait_for_all(time.monotonic() + seconds)

    async def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until the run is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def close(self) -> None:
        """The run is over: nobody waits any more."""
        self._over.set()
        self._changed.set()
