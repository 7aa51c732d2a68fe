"""Critics asked about the pairs that people have judged: one run for all of them, and what each says by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from aifeedback.errors import CriticGone, InputError
from aifeedback.evaluation.collecting import Collection
from aifeedback.evaluation.disagreements import Disagreements
from aifeedback.evaluation.groups import Groups
from aifeedback.evaluation.outcome import Gathered
from aifeedback.evaluation.settings import EvaluateSettings
from aifeedback.files import Reader, Source
from aifeedback.job import BUILTIN_NOTE, Job, usable
from aifeedback.labeling import Labeling, Outcome, Progress
from aifeedback.lanes import BUILTIN, check, name_of, open_lanes
from aifeedback.reconcile import reconcile
from aifeedback.records import Invalid, Label, Pair, Status, Verdict
from aifeedback.store import Store
from aifeedback.summary import Tally


async def ask(
    job: Job,
    settings: EvaluateSettings,
    *,
    environment: Mapping[str, str],
    note: Callable[[str], None],
    watch: Callable[[Progress, Tally], None],
    disagreements: Disagreements | None,
) -> Gathered:
    """Ask all critics of `job` about each pair with gold or votes.

    Raises InputError, SettingsError, StoreError; CriticGone where no answer came at all.
    """
    check(job.everybody, environment, job.label_settings.asking)
    reader = Reader(job.inputs, job.input_settings)
    reader.check()
    groups = Groups(settings.by)
    if settings.by:
        _check_groups(job, settings)
    judged = Judged(reader, job.inputs, groups)
    collection = Collection(groups, job.template.format, seed=job.label_settings.ask.seed)
    desk = _Desk(job, settings, collection, disagreements)
    with contextlib.closing(Store(job.store, note=note)) as store:
        async with open_lanes(
            job.critics, job.label_settings.ask, job.lane_settings,
            asking=job.label_settings.asking, store=store, environment=environment, context=job.context, note=note,
        ) as lanes:  # fmt: skip
            labeling = Labeling(
                job.renderer(), lanes, store, job.label_settings,
                emit=desk.emit, prepare=lambda: None, publish=_nothing,
            )  # fmt: skip
            watch(labeling.progress, desk.tally)
            outcome = await labeling.run(judged.chunks())
    if isinstance(outcome.stopped, CriticGone) and not outcome.heard:
        raise outcome.stopped
    if not collection.pairs:
        raise InputError(
            f'none of the {judged.read} pairs has "gold" or "votes", so there is nothing to hold a critic against. Add gold (a, b or tie) to some: --plan says how many.'
        )
    _tell(note, judged, groups, outcome, desk)
    if BUILTIN in map(name_of, job.critics):
        note(BUILTIN_NOTE)
    return Gathered(
        collection, judged.read, judged.without, desk.invalid, outcome.stopped, _spent(outcome), judged.hashes()
    )


class Judged:
    """The pairs of an input that people have judged; the others are counted."""

    def __init__(self, reader: Reader, inputs: Sequence[str], groups: Groups) -> None:
        self.read = 0
        self.without = 0
        self._reader = reader
        self._inputs = inputs
        self._groups = groups

    def chunks(self) -> Iterator[list[Pair | Invalid]]:
        """What is to be asked about, and the lines that are no pair."""
        for chunk in usable(self._reader, self._inputs):
            self.read += len(chunk)
            kept = [item for item in chunk if isinstance(item, Invalid) or is_judged(item)]
            self.without += len(chunk) - len(kept)
            for item in kept:
                if isinstance(item, Pair):
                    self._groups.of(item.meta, file=item.file, line=item.line)  # too many are told before they are paid
            yield kept

    def hashes(self) -> Mapping[str, str]:
        """The SHA-256 of each input."""
        return self._reader.all_hashes()


def is_judged(pair: Pair) -> bool:
    """Whether people said anything about it."""
    return bool(pair.gold or pair.votes)


async def _nothing() -> None:
    """Nothing is published before the end."""


def _check_groups(job: Job, settings: EvaluateSettings) -> None:
    """Read what can be read twice, so that a field of too many values is told before anybody is asked."""
    again, limit = Source(job.inputs).check(), job.label_settings.limit
    if not again:
        return
    judged = Judged(Reader(again, job.input_settings), again, Groups(settings.by))
    for _ in judged.chunks():
        if limit and judged.read - judged.without >= limit:
            return


class _Desk:
    """Takes each pair's verdicts and hands them to the critics that they are from."""

    def __init__(
        self, job: Job, settings: EvaluateSettings, collection: Collection, disagreements: Disagreements | None
    ) -> None:
        self.tally = Tally(job.critic_name)
        self.invalid = 0
        self._names = [name_of(critic) for critic in job.critics]
        self._panel = job.critic_name if settings.panel and len(self._names) > 1 else ""
        self._alone = replace(job.label_settings.reconcile, panel="mean", weights={})
        self._collection = collection
        self._disagreements = disagreements
        for name in [*self._names, *([self._panel] if self._panel else [])]:
            collection.add_critic(name, name)

    def emit(self, position: int, label: Label | Invalid) -> None:
        """Take one outcome in."""
        self.tally.add(label)
        if isinstance(label, Invalid):
            self.invalid += 1
            for entry in self._collection.critics.values():
                entry.figures.tally.add(label)
            return
        self._collection.add_pair(position, label.pair)
        if self._disagreements is not None:
            self._disagreements.add_pair(position, label.pair)
        for name in self._names:
            self._add(name, position, self._by_itself(name, label))
        if self._panel:
            self._add(self._panel, position, label)

    def _add(self, name: str, position: int, label: Label) -> None:
        self._collection.add(name, position, label)
        if self._disagreements is not None:
            self._disagreements.add(name, position, label)

    def _by_itself(self, name: str, label: Label) -> Label:
        own: list[Verdict] = [verdict for verdict in label.verdicts if verdict.critic == name]
        return reconcile(label.pair, own, self._alone) if own else label


def _tell(note: Callable[[str], None], judged: Judged, groups: Groups, outcome: Outcome, desk: _Desk) -> None:
    if judged.without:
        note(f"{judged.without} of {judged.read} pairs have neither gold nor votes and were not asked about.")
    for name in groups.unknown():
        note(f"--by {name}: no pair has such a field.")
    unasked = desk.tally.statuses[Status.UNASKED]
    if unasked:
        note(
            f"{unasked} pairs were not asked about by every critic before the run stopped; a critic's figures leave out what it was not asked."
        )
    for said in (
        *outcome.spending.remarks(),
        *(said for served in outcome.served if (said := served.remark())),
        *(said for each in outcome.noticed for said in each.remarks()),
    ):
        note(said)


def _spent(outcome: Outcome) -> dict[str, object]:
    counts = outcome.spending
    return {
        "requests": {"sent": counts.sent, "retried": counts.retried, "from_store": counts.from_store},
        "tokens": {
            "input": counts.input,
            "cached": counts.cached,
            "output": counts.output,
            "reasoning": counts.reasoning,
        },
        "cost_usd": counts.cost_usd,
    }
