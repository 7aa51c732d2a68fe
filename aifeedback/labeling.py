"""Pairs in, labels out: what is asked about each pair, and what its replies amount to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from aifeedback.asking import Asking, Settle
from aifeedback.errors import GiveUp, StopRun, StoreError, TemplateError
from aifeedback.keys import Asked
from aifeedback.lane import Lane
from aifeedback.reading_ahead import read_ahead
from aifeedback.reconcile import IDENTICAL, reconcile, without_asking
from aifeedback.records import Invalid, Label, Pair, Question, Reply, Status, Verdict, as_p_a
from aifeedback.rows import identical
from aifeedback.settings import AskingSettings, AskSettings, ReconcileSettings
from aifeedback.spending import Spending
from aifeedback.store import Store
from aifeedback.templates import Renderer
from aifeedback.verdicts import read_verdict

Submission = tuple[int, Question, Settle]
Emit = Callable[[int, Label | Invalid], None]
"""Takes the outcome of the input position (from 0), in whatever order they come."""

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What a labelling run was told, beside its critics and its template. `limit` 0 is all pairs."""

    ask: AskSettings = field(default_factory=AskSettings)
    reconcile: ReconcileSettings = field(default_factory=ReconcileSettings)
    asking: AskingSettings = field(default_factory=AskingSettings)
    limit: int = 0
    reask_unparsed: bool = False


@dataclass(slots=True)
class Progress:
    """Where a run is; read by whoever draws it.

    `all_pairs` says about how many there are (None: nobody knows yet), as long as not all are `read`; `limit` of them are
    labelled (0: all), each with `questions`.
    """

    read: int = 0
    settled: int = 0
    input_done: bool = False
    limit: int = 0
    questions: int = 0
    all_pairs: Callable[[], int | None] = lambda: None
    spending: Spending = field(default_factory=Spending)

    def projected_usd(self) -> float | None:
        """What the whole run will have cost at this rate; None as long as that can't be said.

        What is still to be asked is taken to cost as much as what was asked in this run did, question by question.
        """
        spending = self.spending
        cost, pairs = spending.cost_usd, self.read if self.input_done else self.all_pairs()
        if cost is None or pairs is None or not spending.replies:
            return None
        pairs = min(pairs, self.limit) if self.limit else pairs
        open_questions = max(0, pairs * self.questions - spending.replies - spending.from_store)
        done = self.input_done and self.settled >= self.read
        return cost if done else cost + open_questions * cost / spending.replies


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: `stopped` is why it did before its time, `heard` whether any answer came at all."""

    spending: Spending
    asked: Sequence[Asked]
    served_by: AbstractSet[str]
    heard: bool
    stopped: StopRun | None


class Labeling:
    """One run over one stream of pairs.

    `accept` says why a pair can't be labelled (`""`: it can) before anybody is asked. `publish` is awaited after each
    commit of replies, a few times a second: what was emitted before the commit began is safe to write then.
    """

    def __init__(
        self,
        renderer: Renderer,
        lanes: Sequence[Lane],
        store: Store,
        settings: LabelSettings,
        *,
        emit: Emit,
        prepare: Callable[[], None],
        publish: Callable[[], Awaitable[None]],
        accept: Callable[[Pair], str] = lambda _: "",
    ) -> None:
        self.progress = Progress()
        self._renderer = renderer
        self._lanes = lanes
        self._settings = settings
        self._emit = emit
        self._prepare = prepare
        self._publish = publish
        self._accept = accept
        self._asking = Asking(lanes, store, settings.asking, reask=self._asks_again)
        self.progress.spending = self._asking.spending
        self.progress.limit = settings.limit
        self.progress.questions = len(settings.ask.orders) * settings.ask.samples * len(lanes)

    def _asks_again(self, question: Question, reply: Reply) -> bool:
        return self._settings.reask_unparsed and read_verdict(reply, question.format).status is Status.UNPARSED

    async def run(self, chunks: Iterator[Sequence[Pair | Invalid]]) -> Outcome:
        """Label everything that `chunks` gives. Raises what reading, the store or the outputs raise."""
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                self._asking.start(group)
                publishing = group.create_task(self._keep_publishing(over))
                await self._feed(chunks)
                await self._asking.finish()
                over.set()
                self._asking.commit_due.set()
                await publishing
        except BaseExceptionGroup as errors:  # what one of the tasks met is what the caller hears of
            first = _first(errors)
            await self._keep_the_last(first)
            raise first from errors
        except BaseException as ended:
            await self._keep_the_last(ended)
            raise
        asking = self._asking
        return Outcome(
            asking.spending, [lane.asked for lane in self._lanes], asking.served_by, asking.heard, asking.stopped
        )

    async def _keep_the_last(self, ended: BaseException) -> None:
        """Whatever ended the run: what was answered has been paid for."""
        try:
            await self._asking.commit()
        except StoreError:
            ended.add_note(f"the last {self._asking.uncommitted} replies could not be stored, and are asked for again.")

    async def _keep_publishing(self, over: asyncio.Event) -> None:
        """Commit replies and then publish what was derived from them, in turn, until the run is over."""
        while True:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 that may swallow the cancellation that is to end us.
                async with asyncio.timeout(0.25):
                    await self._asking.commit_due.wait()
            last = over.is_set()
            self._prepare()
            await self._asking.commit()
            await self._publish()
            if last:
                return

    async def _feed(self, chunks: Iterator[Sequence[Pair | Invalid]]) -> None:
        """Read on while earlier questions are answered; the queues, not the slowest pair, hold the reading back."""
        position, limit = 0, self._settings.limit
        async for arrived in read_ahead(chunks):
            items = [item for chunk in arrived for item in chunk]
            if limit:
                items = items[: limit - position]
            for start in range(0, len(items), _AT_ONCE):
                block: list[Submission] = []
                for item in items[start : start + _AT_ONCE]:
                    block += self._questions(position, item)
                    position += 1
                self.progress.read = position
                await self._asking.submit(block)
            if limit and position >= limit:
                break
        self.progress.input_done = True

    def _questions(self, position: int, item: Pair | Invalid) -> Iterator[Submission]:
        """What must be asked about one input position; nothing where its outcome is already clear."""
        settled = item if isinstance(item, Invalid) else self._without_asking(item)
        questions: list[Question] = []
        if isinstance(item, Pair) and settled is None:
            try:
                questions = self._renderer.questions(item, self._settings.ask.orders, self._settings.ask.samples)
            except TemplateError as error:  # the template needs something that this pair hasn't got
                settled = without_asking(item, Status.INVALID, str(error))
        if settled is not None:
            self.progress.settled += 1
            self._emit(position, settled)
            return
        assert isinstance(item, Pair), "an invalid line is settled"
        waiting = _Open(self, position, item, missing=len(questions) * len(self._lanes))
        for lane, _ in enumerate(self._lanes):
            for question in questions:
                yield lane, question, waiting.settler(lane, question)

    def _without_asking(self, pair: Pair) -> Label | None:
        refusal = self._accept(pair)
        if refusal:
            return without_asking(pair, Status.INVALID, refusal)
        if identical(pair):
            return without_asking(pair, Status.TIE, IDENTICAL)
        return None

    def close(self, position: int, pair: Pair, verdicts: Sequence[Verdict]) -> None:
        """All verdicts on a pair are in."""
        self.progress.settled += 1
        self._emit(position, reconcile(pair, verdicts, self._settings.reconcile))

    def critic_name(self, lane: int) -> str:
        """The name of a lane's critic as it stands in verdicts."""
        return self._lanes[lane].critic.name


@dataclass(slots=True)
class _Open:
    """A pair some of whose questions are on their way."""

    labeling: Labeling
    position: int
    pair: Pair
    missing: int
    verdicts: dict[tuple[int, str, int], Verdict] = field(default_factory=dict[tuple[int, str, int], Verdict])

    def settler(self, lane: int, question: Question) -> Callable[[Reply | GiveUp], None]:
        def settle(outcome: Reply | GiveUp) -> None:
            place = (lane, question.order.value, question.sample)
            self.verdicts[place] = verdict(self.labeling.critic_name(lane), question, outcome)
            self.missing -= 1
            if not self.missing:
                self.labeling.close(self.position, self.pair, [self.verdicts[place] for place in sorted(self.verdicts)])

        return settle


def verdict(critic: str, question: Question, outcome: Reply | GiveUp) -> Verdict:
    """What one outcome says about the pair: the only way from a reply to a P(a)."""
    if isinstance(outcome, GiveUp):
        return Verdict(critic, question.order, question.sample, None, status=outcome.status, why=str(outcome))
    reading = read_verdict(outcome, question.format)
    if reading.p_first is None:
        return Verdict(
            critic, question.order, question.sample, None,
            reason=reading.reason, status=reading.status or Status.UNPARSED, why=reading.why, reply=outcome,
        )  # fmt: skip
    return Verdict(
        critic, question.order, question.sample, as_p_a(reading.p_first, question.order),
        method=reading.method, reason=reading.reason, soft=reading.soft, mass=reading.mass, reply=outcome,
    )  # fmt: skip


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
