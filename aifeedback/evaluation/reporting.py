"""A collection as the one mapping that `--json` writes and the library gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aifeedback.biases import find_biases
from aifeedback.evaluation.baselines import NAMES
from aifeedback.evaluation.collecting import Collection, Entry
from aifeedback.evaluation.comparing import Comparison, compare, with_holm
from aifeedback.evaluation.findings import findings
from aifeedback.evaluation.humans import humans
from aifeedback.evaluation.record import record


def report(collection: Collection, *, seed: int = 0) -> dict[str, Any]:
    """Contract section 8, and beyond it `comparisons`, `against_baselines` and `findings`."""
    critics = [_entry(entry, seed) for entry in collection.critics.values()]
    biases = {entry.name: find_biases(entry.figures.tally) for entry in collection.critics.values()}
    for critic in critics:
        critic["biases"] = [bias.record() for bias in biases[critic["critic"]]]
    people = humans(collection.votes, seed=seed)
    between = with_holm([made for one, other in collection.beside_each_other() if (made := _compared(one, other))])
    against = with_holm(
        [
            made
            for entry in collection.critics.values()
            for name in NAMES
            if (made := _compared(entry, collection.baselines[name])) and name != entry.name
        ]
    )
    return {
        "critics": critics,
        "baselines": [_entry(entry, seed) for entry in collection.baselines.values()],
        "humans": people,
        "comparisons": [each.record() for each in between],
        "against_baselines": [each.record() for each in against],
        "findings": findings(critics, between, against),
    }


def _entry(entry: Entry, seed: int) -> dict[str, Any]:
    by: Mapping[str, object] = {
        name: {value: record(figures, seed=seed) for value, figures in sorted(values.items())}
        for name, values in entry.groups.items()
    }
    return {"critic": entry.name, **record(entry.figures, seed=seed), "by": by}


def _compared(one: Entry, other: Entry) -> Comparison | None:
    return compare(one.name, other.name, one.beside(other))
