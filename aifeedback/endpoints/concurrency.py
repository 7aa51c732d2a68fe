"""How many requests an endpoint bears at a time, found out by asking: pure, its clock is the caller's."""

from __future__ import annotations

import math

from aifeedback.endpoints.bound import Bound

_START = 64
_BACK_OFF = 0.7
_MEMORY = 0.02  # the share of trouble is that of the last 50 requests or so
_TOO_MANY_WRONG = 0.3
_TOO_MANY_REFUSED = 0.4
_SLOWLY = 0.1
_FAR_LATER = 5.0
_YIELDS = 3


class Concurrency:
    """A number that rises while the endpoint bears more and falls when it says, or shows, that it bears less.

    It starts at min(ceiling, 64), doubles with each clean round trip, and stops at the bound beyond which requests are
    refused. Refusals that have nothing to do with the number do not lower it, unless they are many: then, as where much
    goes wrong, it falls by three tenths a round trip and rises again by one, or a tenth (after Chiu & Jain 1989). Where
    answers come ever later, more on their way must be worth it (Little's law: what is on its way, over the round trip,
    is what comes back a second).
    """

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._limit = float(min(ceiling, _START))
        self.round_trip_s = 0.0
        self._usual_s = 0.0  # the same over more answers: a few that take long change nothing
        self._best_round_trip_s = math.inf
        self._growing_fast = True
        self._last_cut = -math.inf
        self._wrong = 0.0
        self._refused = 0.0
        self._bound = Bound(ceiling)
        self._best_throughput = 0.0
        self._best_limit = 0.0
        self._yielded = 0

    @property
    def limit(self) -> int:
        """How many may be on their way."""
        return int(self._limit)

    def answered(self, seconds: float, at: int, now: float, *, wanted: bool) -> bool:
        """A request came back after `seconds` that had started as the `at`-th on its way; whether the limit rose.

        `wanted`: whether more would be on their way if they might.
        """
        self._wrong -= _MEMORY * self._wrong
        self._refused -= _MEMORY * self._refused
        self.round_trip_s = seconds if not self.round_trip_s else 0.9 * self.round_trip_s + 0.1 * seconds
        self._usual_s = seconds if not self._usual_s else self._usual_s + _MEMORY * (seconds - self._usual_s)
        self._best_round_trip_s = min(self._best_round_trip_s, self.round_trip_s)
        self._bound.answered(at, now)
        before = self._limit
        if wanted:
            self._grow(now)
        if self._usual_s <= 2 * self._best_round_trip_s:
            self._yielded = 0
        elif self._usual_s > _FAR_LATER * self._best_round_trip_s + 0.05:
            self._yield(now)
        return int(self._limit) > int(before)

    def _grow(self, now: float) -> None:
        if self._limit >= self._bound.value:
            self._bound.reached(now)
        if self._limit >= self._bound.value:
            return
        throughput = self._limit / self.round_trip_s
        if throughput > 1.05 * self._best_throughput:
            self._best_throughput, self._best_limit = throughput, self._limit
        queueing = self.round_trip_s > 2 * self._best_round_trip_s + 0.05
        if queueing and self._limit > 1.5 * self._best_limit:
            return
        more = 1.0 if self._growing_fast and not queueing else max(1.0, _SLOWLY * self._limit) / self._limit
        self._limit = min(self._bound.value, self._limit + more)

    def pushed_back(self, started: float, at: int, now: float) -> bool:
        """A request that started then, as the `at`-th on its way, was refused; whether the limit was lowered for it.

        Of the requests that were on their way together each may be refused: they lower it once.
        """
        self._refused += _MEMORY * (1 - self._refused)
        if self._bound.refused(started, at, now):
            self._last_cut = now
            self._limit = min(self._limit, self._bound.value)
            return True
        many = self._refused > _TOO_MANY_REFUSED
        if many and started >= self._last_cut:
            self._cut(now)
        return many

    def went_wrong(self, started: float, now: float) -> None:
        """A request that started then failed: where many do, it is the endpoint, not the request."""
        self._wrong += _MEMORY * (1 - self._wrong)
        if started >= self._last_cut and self._wrong > _TOO_MANY_WRONG:
            self._cut(now)

    def restart(self) -> None:
        """Nobody answers: begin anew with one, and double again once somebody does."""
        self._limit = 1.0
        self._growing_fast = True

    def _cut(self, now: float) -> None:
        self._limit = max(1.0, self._limit * _BACK_OFF)
        self._growing_fast = False
        self._last_cut = now
        self._bound.forget_beyond(self.limit)  # more than that has to be seen again

    def _yield(self, now: float) -> None:
        """Answers take far longer than they did: ask for less, and if that doesn't help, take it for the new normal."""
        if now - self._last_cut < self.round_trip_s:
            return
        if self._yielded < _YIELDS:
            self._yielded += 1
            self._cut(now)
        else:
            self._yielded = 0
            self._best_round_trip_s = self.round_trip_s
            self._best_throughput = 0.0
