"""A limit of requests a minute, with the headers in which endpoints announce it."""

from __future__ import annotations

import math


class Bucket:
    """Fills at `rpm` a minute and holds what comes in a second, so that the limit is felt at once.

    Endpoints do the same: they hold to a limit per minute by the second.
    """

    def __init__(self, rpm: float) -> None:
        self.rpm = rpm
        self._rate = rpm / 60
        self._size = max(1.0, self._rate)
        self._level = self._size
        self._filled_at = -math.inf

    def take(self, now: float) -> bool:
        """Whether one more request is within the limit at `now`, in seconds of any steady clock."""
        self._level = min(self._size, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def headers(self) -> dict[str, str]:
        """The limit, what is left of it and when it is whole again."""
        return {
            "x-ratelimit-limit-requests": f"{self.rpm:g}",
            "x-ratelimit-remaining-requests": str(int(self._level)),
            "x-ratelimit-reset-requests": f"{math.ceil((self._size - self._level) / self._rate * 1000)}ms",
        }

    def retry_after(self) -> dict[str, str]:
        """How long until the next request fits, in the two spellings that endpoints use."""
        wait_s = max(0.0, (1 - self._level) / self._rate)
        return {"Retry-After": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(wait_s * 1000))}
