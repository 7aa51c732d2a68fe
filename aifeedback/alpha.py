"""Agreement between critics: Krippendorff's alpha, as the library of that name computes it."""

from __future__ import annotations

from collections.abc import Mapping

Unit = tuple[int, int, int]
"""How many critics decided for b, for a tie and for a about one pair in one order."""

ADVICE = "critics_alpha was not computed: its library is missing. pip install 'aifeedback[panel]' brings it (in a checkout: '.[panel]')."
_MOST_UNITS = 100_000


def krippendorff_alpha(units: Mapping[Unit, int]) -> float | None:
    """Interval alpha over units that two critics or more decided, counted by how; None where it is not defined.

    Decisions are the numbers 0, 0.5 and 1, as everywhere: a tie lies half way. Beyond a hundred thousand units as many
    in the same proportions are taken, which changes alpha by less than 0.0001. Raises ImportError without the library.
    """
    from krippendorff import alpha

    paired = {unit: count for unit, count in sorted(units.items()) if sum(unit) > 1}
    if sum(any(unit[value] for unit in paired) for value in range(3)) < 2:
        return None  # nobody decided anything, or all always the same: nothing to be told apart
    scale = min(1.0, _MOST_UNITS / sum(paired.values()))
    # The library takes units one by one.
    counts = [unit for unit, count in paired.items() for _ in range(max(1, round(count * scale)))]
    return round(float(alpha(value_counts=counts, value_domain=[0.0, 0.5, 1.0], level_of_measurement="interval")), 6)
