"""The few pairs of a file that are most contested."""

from __future__ import annotations

import heapq

from aifeedback.records import Invalid, Label
from aifeedback.report.kinds import contest


class MostContested:
    """The few labels that are most contested, of equals the first."""

    def __init__(self, most: int = 5) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Label]] = []
        self._added = 0

    def add(self, label: Label | Invalid) -> None:
        """Offer one."""
        self._added += 1
        contested = contest(label)
        if isinstance(label, Invalid) or contested <= 0:
            return
        heapq.heappush(self._heap, (contested, -self._added, label))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)

    def labels(self) -> list[Label]:
        """The most contested first."""
        return [label for _, _, label in sorted(self._heap, key=lambda kept: kept[:2], reverse=True)]
