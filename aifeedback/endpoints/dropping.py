"""Whether an endpoint that takes a parameter does anything about it."""

from __future__ import annotations

_ENOUGH = 3


class Dropping:
    """Looks at the replies to requests that asked for log probabilities."""

    def __init__(self) -> None:
        self._without = 0

    def found(self, *, given: bool) -> bool:
        """Whether this reply is the one that settles it: several came without any, and none with them."""
        if self._without < _ENOUGH:
            self._without = _ENOUGH + 1 if given else self._without + 1
            return self._without == _ENOUGH
        return False
