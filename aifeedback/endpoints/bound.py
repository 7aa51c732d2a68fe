"""Beyond how many requests at a time an endpoint begins to refuse: pure, its clock is the caller's."""

from __future__ import annotations

import math

_FIRST_HOLD_S = 0.5
_LONGEST_HOLD_S = 30.0
_FIRST_DEAF_S = 60.0
_LONGEST_DEAF_S = 600.0
_WELL_BEYOND = 1.15
_WITNESSES = 3
_HELPLESS = 0.85
_MEMORY = 0.02
_USUAL, _A_LIMIT = 0.1, 0.35
_MORE = 1.3


class Bound:
    """A number found by what is refused, and tried again from time to time; at first the ceiling.

    A request refused beyond all that were borne sets it to just below. A try goes beyond it for two round trips: if no
    more are refused than usual, it stays there and the next try goes further, else it goes back and the next try waits
    four times as long. Refusals at the number itself mean that it is a little too high, since answers on their way back still count
    here and no more there: each lowers it by a half. If that goes on for long without helping, or if requests well
    beyond it were answered, refusals have nothing to do with the number.
    """

    def __init__(self, ceiling: int) -> None:
        self.value = self._known = float(ceiling)
        self._ceiling = float(ceiling)
        self._borne = 0
        self._share = 0.0  # of refusals among the last 50 or so, tries apart
        self._trying = False
        self._clean = self._foul = 0
        self._step = 1
        self._hold_s = _FIRST_HOLD_S
        self._try_at = 0.0
        self._lowered_at = -math.inf
        self._witnesses = 0
        self._top: float | None = None
        self._deaf_s = _FIRST_DEAF_S
        self._deaf_until = -math.inf

    def answered(self, at: int, now: float) -> None:
        """A request was answered that had started as the `at`-th on its way."""
        self._borne = max(self._borne, at)
        if not self._trying or at <= self._known:
            self._share -= _MEMORY * self._share
        if at > _WELL_BEYOND * self.value + 2:
            self._witnesses += 1
            if self._witnesses == _WITNESSES:
                self.value = self._known = self._ceiling
                self._trying, self._hold_s, self._top = False, _FIRST_HOLD_S, None
        elif self._trying and at > self._known:
            self._clean += 1
            if self._clean + self._foul >= 2 * self.value:
                self._known, self._trying = self.value, False
                self._hold_s, self._try_at, self._top = _FIRST_HOLD_S, now, None

    def refused(self, started: float, at: int, now: float) -> bool:
        """A request was refused that had started then, as the `at`-th on its way; whether the number fell for it."""
        fresh = started >= self._lowered_at  # those that were on their way together are refused together
        failed = fresh and self._trying and at > self._known and self._fails()
        if failed:
            self._hold_s = min(4 * self._hold_s, _LONGEST_HOLD_S)
            self._lower(self._known, now)
        usual = _USUAL < self._share < _A_LIMIT
        if not self._trying or at <= self._known:
            self._share += _MEMORY * (1 - self._share)
        if at > max(1, self._borne) and not usual:
            self._lower(max(1.0, min(self.value, at - 1.0)), now)
            self._witnesses = 0
            return True
        if failed or not fresh:
            return failed
        if at >= int(self.value) and self.value < self._ceiling and now >= self._deaf_until:
            return self._press(now)
        return False

    def _fails(self) -> bool:
        """Whether a try has seen more refusals than it would have seen anyway."""
        self._foul += 1
        usual = 2 * self.value * self._share
        return self._foul > _MORE * usual + (usual > 1)

    def _press(self, now: float) -> bool:
        top = self._top or self.value
        if self.value - 0.5 < _HELPLESS * top:
            self._lower(top, now)
            self._top = None
            self._deaf_until = now + self._deaf_s
            self._deaf_s = min(2 * self._deaf_s, _LONGEST_DEAF_S)
            return False
        self._lower(max(1.0, self.value - 0.5), now)
        self._top = top
        return True

    def _lower(self, value: float, now: float) -> None:
        self.value = self._known = value
        self._trying, self._step = False, 1
        self._lowered_at, self._try_at = now, now + self._hold_s

    def reached(self, now: float) -> None:
        """As many are on their way as may be, and more are wanted: perhaps it is time for a try."""
        if not self._trying and self.value < self._ceiling and now >= self._try_at:
            self._known, self.value = self.value, min(self._ceiling, self.value + self._step)
            self._trying, self._clean, self._foul, self._step = True, 0, 0, 2 * self._step

    def forget_beyond(self, number: int) -> None:
        """What was borne beyond `number` counts no more."""
        self._borne = min(self._borne, number)
