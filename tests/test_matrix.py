"""Endpoints with each feature switched off or broken in each known way: the same labels from all, and no second request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from aifeedback.api import Options
from aifeedback.endpoints.address import EndpointSettings
from aifeedback.forms import to_pairs
from aifeedback.job import Job
from aifeedback.labeling import Labeling, Outcome
from aifeedback.lanes import CriticSettings, open_lanes
from aifeedback.records import Invalid, Label, Status
from aifeedback.settings import InputSettings
from aifeedback.store import Store
from aifeedback.testing import StartServer
from tests.conftest import some_pairs

PAIRS = [pair for row in some_pairs(2) for pair in to_pairs(row, InputSettings(), file="", line=1)]
QUESTIONS = 2 * len(PAIRS)

FORMS = ("works", "refused", "embedded", "ignore-schema", "reasoning-content", "empty")
"""What becomes of a `response_format`: it is refused; or ignored, with the JSON in prose or a tag in its place; or the
JSON stands in the wrong field; or nothing comes of it."""
REFUSED = {"json_schema": "400-schema", "json_object": "400-object"}
LIMITS: Mapping[str, tuple[str, ...]] = {
    "max_tokens": (),
    "max_completion_tokens": ("400-max-tokens",),
    "no limit": ("400-param:max_tokens", "400-param:max_completion_tokens"),
}
OTHERS = ("400-temperature", "400-param:reasoning_effort", "400-system")
AT_WORST = 1 + 2 + 6
"""Requests for one question: itself, two rungs further down, and once for each thing that can be refused."""


def _form_faults(kind: str, state: str) -> tuple[str, ...]:
    if state == "works":
        return ()
    return (REFUSED[kind],) if state == "refused" else (f"{state}:1:{kind}",)


def endpoints() -> Iterator[tuple[str, ...]]:
    """The faults of each endpoint: all combinations; every other one sends its content in parts."""
    for number, (schema, object_, limit, *others) in enumerate(
        product(FORMS, FORMS, LIMITS, *([(), (other,)] for other in OTHERS))
    ):
        parts = ("parts",) * (number.bit_count() % 2)
        forms = (*_form_faults("json_schema", schema), *_form_faults("json_object", object_))
        yield (*forms, *LIMITS[limit], *(fault for other in others for fault in other), *parts)


class Runs:
    """Labelling runs on one store, each against a model of its own name."""

    def __init__(self, url: str, store: Store, **options: object) -> None:
        self._url, self._store = url, store
        self._job: Job = Options("vllm/m", reasoning_effort="low", concurrency=4, **options).job()  # type: ignore[arg-type]
        self._renderer = self._job.renderer()

    async def label(self, model: str) -> tuple[list[Label | Invalid], Outcome, list[str]]:
        """The labels in order, how the run ended, and what was told."""
        job, found, notes = self._job, dict[int, Label | Invalid](), list[str]()
        critics = [CriticSettings(EndpointSettings(f"vllm/{model}", self._url))]

        async def publish() -> None:
            pass

        async with open_lanes(
            critics,
            job.label_settings.ask,
            job.lane_settings,
            asking=job.label_settings.asking,
            store=self._store,
            environment={},
            context=job.context,
            note=notes.append,
        ) as lanes:
            run = Labeling(
                self._renderer,
                lanes,
                self._store,
                job.label_settings,
                emit=found.__setitem__,
                prepare=lambda: None,
                publish=publish,
            )
            outcome = await run.run(iter([PAIRS]))
        return [found[at] for at in sorted(found)], outcome, notes


def winners(labels: Sequence[Label | Invalid]) -> list[object]:
    return [(label.winner, label.preference, label.status) for label in labels]


async def in_turns(
    runs: Runs, models: Sequence[str], at_once: int = 16
) -> dict[str, tuple[list[Label | Invalid], Outcome, list[str]]]:
    """Run each, some at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(model: str) -> tuple[list[Label | Invalid], Outcome, list[str]]:
        async with free:
            return await runs.label(model)

    ended = await asyncio.gather(*(one(model) for model in models))
    return dict(zip(models, ended, strict=True))


NOWHERE: Mapping[str, tuple[Status, str]] = {
    "empty": (Status.UNPARSED, "empty reply"),
    "null-content": (Status.UNPARSED, "empty reply"),
    "length": (Status.UNPARSED, "the reply was cut off"),
    "filter": (Status.REFUSED, "the content filter stopped the critic"),
    "refusal": (Status.REFUSED, "the critic refused"),
}
"""What leaves no verdict anywhere: the status and the reason that each pair is to have."""


def test_where_the_information_is_nowhere_each_pair_says_why(critic_server: StartServer, tmp_path: Path) -> None:
    faults = {
        f"{lack} {number}": (*_form_faults("json_schema", form), *LIMITS[limit], lack)
        for number, (lack, form, limit) in enumerate(product(NOWHERE, FORMS[:4], LIMITS))
    }
    server = critic_server(keep=1)
    server.faults(by_model=faults)
    with contextlib.closing(Store(tmp_path / "s.sqlite")) as store:
        runs = Runs(server.url, store)
        first = asyncio.run(in_turns(runs, list(faults)))
        second = asyncio.run(in_turns(runs, list(faults)))
    for model, (labels, outcome, _) in first.items():
        lack = model.partition(" ")[0]
        assert outcome.stopped is None
        assert [(label.status, label.reason.partition(":")[0]) for label in labels] == [NOWHERE[lack]] * len(PAIRS)
        assert outcome.spending.sent <= QUESTIONS * AT_WORST
        again, outcome, _ = second[model]
        assert winners(again) == winners(labels)
        # A refusal is a finished answer; whatever else came was none.
        assert outcome.spending.from_store == (QUESTIONS if lack == "refusal" else 0)


def test_whatever_an_endpoint_lacks_its_labels_are_those_of_one_that_lacks_nothing(
    critic_server: StartServer, tmp_path: Path
) -> None:
    faults = {f"m{number}": each for number, each in enumerate(endpoints())}
    server = critic_server(keep=1)
    server.faults(by_model=faults)
    with contextlib.closing(Store(tmp_path / "s.sqlite")) as store:
        runs = Runs(server.url, store)
        first = asyncio.run(in_turns(runs, list(faults)))
        sent = server.stats()["requests"]
        second = asyncio.run(in_turns(runs, list(faults)))
    assert len(faults) == 6 * 6 * 3 * 2**3
    assert faults["m0"] == ()
    with_everything_on = winners(first["m0"][0])
    for model, lacks in faults.items():
        labels, outcome, notes = first[model]
        assert winners(labels) == with_everything_on, (lacks, labels)
        assert outcome.stopped is None
        assert QUESTIONS <= outcome.spending.sent <= QUESTIONS * AT_WORST
        # Who keeps to json_schema is never asked for json_object.
        refused = any(fault.startswith("400") and fault != "400-object" for fault in lacks)
        assert any("refused a parameter" in note for note in notes) or not refused, (lacks, notes)
        again, outcome, notes = second[model]
        assert winners(again) == with_everything_on, lacks
        assert (outcome.spending.sent, outcome.spending.from_store, notes) == (0, QUESTIONS, [])
    assert sum(outcome.spending.sent for _, outcome, _ in first.values()) == sent
    assert server.stats()["requests"] == sent
