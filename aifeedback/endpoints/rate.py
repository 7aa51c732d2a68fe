"""So much a minute: requests or tokens that start at even distances, except where the endpoint says that more is left."""

from __future__ import annotations

from aifeedback.endpoints.limits import Allowance

# What an endpoint announces is not used to the last: its clock, and others who use the same key, have some room.
_OF_ANNOUNCED = 0.985
_KEPT_BACK = 0.1
_LATE_S = 0.25


class Rate:
    """At most `a_minute` (0: no limit), as the user wants it; `told` lowers it to what the endpoint announces."""

    def __init__(self, a_minute: float = 0.0) -> None:
        self._wanted = a_minute
        self._announced = 0.0
        self._credit = 0.0
        self._next = 0.0

    @property
    def a_minute(self) -> float:
        """What is kept to; 0 where there is no limit."""
        limits = [limit for limit in (self._wanted, self._announced * _OF_ANNOUNCED) if limit]
        return min(limits, default=0.0)

    def told(self, allowance: Allowance, in_flight: float, now: float) -> None:
        """Take in what a response's headers say. `in_flight`: how much is on its way that they may not count yet.

        Of an allowance that is far from used up all but a tenth may be spent at once, as fast as it goes.
        """
        self._announced = allowance.a_minute or self._announced
        left = allowance.left
        if left is None:
            return
        # A limit that the user set is theirs: even distances, whatever the endpoint would bear.
        spare = left - in_flight - _KEPT_BACK * allowance.a_minute
        self._credit = max(0.0, spare) if allowance.a_minute and not self._wanted else 0.0
        if left <= 0:
            wait = allowance.reset_s
            if allowance.a_minute:  # a bucket is told to be full again much later than it has room for one more
                wait = min(wait, 60 / allowance.a_minute)
            self._next = max(self._next, now + wait)

    def due(self) -> float:
        """When more may start, on the caller's clock; a time that is past is now."""
        return 0.0 if self._credit >= 1 else self._next

    def take(self, amount: float, now: float) -> None:
        """Count what starts `now`. A start that comes a moment after it was due does not push back those behind it."""
        a_minute = self.a_minute
        if self._credit >= 1:
            self._credit -= amount
        elif a_minute:
            begun = self._next if now - self._next < _LATE_S else now
            self._next = begun + amount * 60 / a_minute
