"""How many requests may be on their way: finds what an endpoint bears and gives way at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

_START = 16
_BACK_OFF = 0.7
_MEMORY = 0.02
_TOO_MANY = 0.15


class Pace:
    """A number of slots that adapts to one endpoint.

    It starts at min(ceiling, 16), gently enough for a small server, doubles with each clean round trip, shrinks once a round trip on a push-back, and
    from then on grows by one a round trip (additive increase, multiplicative decrease: Chiu & Jain 1989). What the
    endpoint says about waiting holds for all slots at once. `rpm` spaces starts evenly.
    """

    def __init__(self, ceiling: int, *, rpm: float = 0.0) -> None:
        self.ceiling = ceiling
        self.limit = float(min(ceiling, _START))
        self.in_flight = 0
        self._interval_s = 60.0 / rpm if rpm else 0.0
        self._next_start = 0.0
        self._not_before = 0.0
        self._growing_fast = True
        self._last_cut = 0.0
        self._round_trip_s = 0.0
        self._best_round_trip_s = float("inf")
        self._trouble = 0.0  # the share of the last requests, some 50 of them, that went wrong
        self._over = asyncio.Event()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._called = 0  # whose turn has come, but who have not taken their slot yet

    async def slot(self) -> None:
        """Take a slot, waiting until the endpoint bears one more. Give it back with `done`."""
        while True:
            now = time.monotonic()
            start = max(self._not_before, self._next_start)
            if self._over.is_set():
                self.in_flight += 1
                return
            if start <= now and self._has_room():
                self.in_flight += 1
                self._next_start = max(now, self._next_start) + self._interval_s if self._interval_s else 0.0
                return
            try:
                await (self.sleep(start - now) if start > now else self._turn())
            except asyncio.CancelledError:
                self._wake()
                raise

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn.done() and not turn.cancelled():
                self._called -= 1

    def _has_room(self) -> bool:
        return self.in_flight + self._called < int(self.limit)

    def done(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        self._wake()

    def answered(self, seconds: float) -> None:
        """A request was answered properly after `seconds`."""
        self._trouble -= _MEMORY * self._trouble
        self._round_trip_s = seconds if not self._round_trip_s else 0.9 * self._round_trip_s + 0.1 * seconds
        self._best_round_trip_s = min(self._best_round_trip_s, self._round_trip_s)
        # An endpoint that only queues what is beyond its strength answers ever later: more in flight gains nothing.
        queueing = self._round_trip_s > 2 * self._best_round_trip_s + 0.05
        in_use = self.in_flight + self._called >= int(self.limit) - 1
        if self.limit < self.ceiling and in_use and not queueing:
            self.limit = min(self.ceiling, self.limit + (1.0 if self._growing_fast else 1.0 / self.limit))
            self._wake()

    def pushed_back(self, retry_after_s: float, started: float) -> None:
        """The endpoint wants a slower pace; requests `started` (monotonic) before the last cut were already punished."""
        now = time.monotonic()
        if started >= self._last_cut:
            self.limit = max(1.0, self.limit * _BACK_OFF)
            self._growing_fast = False
            self._last_cut = now
        wait = retry_after_s or min(max(0.1, self._round_trip_s), 5.0)
        self._not_before = max(self._not_before, now + wait)

    def went_wrong(self, retry_after_s: float, started: float) -> None:
        """A request failed for a reason of its own: a push-back only where the endpoint says so, or where many do."""
        self._trouble += _MEMORY * (1 - self._trouble)
        if retry_after_s or self._trouble > _TOO_MANY:
            self.pushed_back(retry_after_s, started)

    def pause(self, seconds: float) -> None:
        """Start nothing for `seconds`, and go on with one request at a time until one is answered."""
        self.limit = 1.0
        self._growing_fast = True
        self._not_before = max(self._not_before, time.monotonic() + seconds)

    async def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until the run is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def close(self) -> None:
        """The run is over: nobody waits any more."""
        self._over.set()
        self._wake()

    def _wake(self) -> None:
        while self._waiting and (self._over.is_set() or self._has_room()):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._called += 1
