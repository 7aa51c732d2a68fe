"""Pairs in, labels out: what is asked about each pair, and what its replies amount to."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from aifeedback.asking import Asking, Settle
from aifeedback.errors import GiveUp, SettingsError, StopRun, StoreError, TemplateError
from aifeedback.keys import Asked
from aifeedback.lane import Lane
from aifeedback.noticed import Noticed
from aifeedback.reading_ahead import read_ahead
from aifeedback.reconcile import IDENTICAL, reconcile, unsettled, without_asking
from aifeedback.records import Invalid, Label, Pair, Question, Reply, Status, Verdict, as_p_a
from aifeedback.rows import identical
from aifeedback.served import Served
from aifeedback.settings import AskingSettings, AskSettings, ReconcileSettings, Soft
from aifeedback.spending import Spending
from aifeedback.store import Store
from aifeedback.templates import Renderer
from aifeedback.verdicts import read_verdict, soften

Submission = tuple[int, Question, Settle]
Emit = Callable[[int, Label | Invalid], None]
"""Takes the outcome of the input position (from 0), in whatever order they come."""

_AT_ONCE = 64
# Pairs in doubt that may wait for the strong critic before no new ones are begun.
_IN_DOUBT = 512


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What a labelling run was told, beside its critics and its template. `limit` 0 is all pairs.

    `soft`: whether token probabilities are read where they are there (`auto`, `logprobs`). Raises SettingsError for
    `samples` with a single one.
    """

    ask: AskSettings = field(default_factory=AskSettings)
    reconcile: ReconcileSettings = field(default_factory=ReconcileSettings)
    asking: AskingSettings = field(default_factory=AskingSettings)
    limit: int = 0
    reask_unparsed: bool = False
    soft: Soft = "auto"

    def __post_init__(self) -> None:
        if self.soft == "samples" and self.ask.samples == 1:
            raise SettingsError("--soft samples with --samples 1 has no votes to count. Add for instance --samples 5.")


@dataclass(slots=True)
class Progress:
    """Where a run is; read by whoever draws it.

    `all_pairs` says about how many there are (None: nobody knows yet), as long as not all are `read`; `limit` of them are
    labelled (0: all), each with `questions`. `again` of the `judged` are asked about once more, with `more_questions`
    each.
    """

    read: int = 0
    settled: int = 0
    input_done: bool = False
    limit: int = 0
    questions: int = 0
    judged: int = 0
    again: int = 0
    more_questions: int = 0
    all_pairs: Callable[[], int | None] = lambda: None
    spending: Spending = field(default_factory=Spending)

    def projected_usd(self) -> float | None:
        """What the whole run will have cost at this rate; None as long as that can't be said.

        What is still to be asked is taken to cost as much as what was asked in this run did, question by question.
        """
        spending = self.spending
        cost, pairs = spending.cost_usd, self.read if self.input_done else self.all_pairs()
        if cost is None or pairs is None or not spending.answered:
            return None
        pairs = min(pairs, self.limit) if self.limit else pairs
        questions = float(pairs * self.questions)
        if self.again:
            questions += pairs * self.more_questions * self.again / self.judged
        open_questions = max(0.0, questions - spending.answered - spending.from_store)
        done = self.input_done and self.settled >= self.read
        return cost if done else cost + open_questions * cost / spending.answered


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: `stopped` is why it did before its time, `heard` whether any answer came at all."""

    spending: Spending
    asked: Sequence[Asked]
    served: Sequence[Served]
    noticed: Sequence[Noticed]
    heard: bool
    stopped: StopRun | None


class Labeling:
    """One run over one stream of pairs.

    Of the `lanes`, each is asked about every pair; with `--on-conflict escalate` the last only about those in doubt.
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
        escalates = settings.reconcile.on_conflict == "escalate"
        self._first = range(len(lanes) - escalates)
        self._strong = range(len(self._first), len(lanes))
        self._doubts: deque[tuple[int, Pair, Label]] = deque()
        self._doubt = asyncio.Event()
        self._doubts_fewer = asyncio.Event()
        self._no_more_doubts = False
        self._emit = emit
        self._prepare = prepare
        self._publish = publish
        self._accept = accept
        self._asking = Asking(lanes, store, settings.asking, reask=self._asks_again)
        self.progress.spending = self._asking.spending
        self.progress.limit = settings.limit
        self.progress.more_questions = len(settings.ask.orders) * settings.ask.samples
        self.progress.questions = self.progress.more_questions * len(self._first)

    @property
    def reads_tokens(self) -> bool:
        """Whether token probabilities are read as preferences."""
        return self._settings.soft in {"auto", "logprobs"}

    def _asks_again(self, question: Question, reply: Reply) -> bool:
        return self._settings.reask_unparsed and read_verdict(reply, question.format).status is Status.UNPARSED

    async def run(self, chunks: Iterator[Sequence[Pair | Invalid]]) -> Outcome:
        """Label everything that `chunks` gives. Raises what reading, the store or the outputs raise."""
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                self._asking.start(group)
                publishing = group.create_task(self._keep_publishing(over))
                escalating = group.create_task(self._escalate()) if self._strong else None
                await self._feed(chunks)
                if escalating is not None:
                    await self._asking.settled()  # only then is it known which pairs are in doubt
                    self._no_more_doubts = True
                    self._doubt.set()
                    await escalating
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
            asking.spending,
            [lane.asked for lane in self._lanes],
            list(asking.served.values()),
            list(asking.noticed.values()),
            asking.heard,
            asking.stopped,
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
                await self._room_for_doubts()
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
        yield from self._ask(position, item, questions, self._first)

    def _ask(
        self, position: int, pair: Pair, questions: Sequence[Question], lanes: range, before: Label | None = None
    ) -> Iterator[Submission]:
        waiting = _Open(self, position, pair, missing=len(questions) * len(lanes), before=before)
        for lane in lanes:
            for question in questions:
                yield lane, question, waiting.settler(lane, question)

    def _without_asking(self, pair: Pair) -> Label | None:
        refusal = self._accept(pair)
        if refusal:
            return without_asking(pair, Status.INVALID, refusal)
        if identical(pair):
            return without_asking(pair, Status.TIE, IDENTICAL)
        return None

    def close(self, position: int, pair: Pair, verdicts: Sequence[Verdict], before: Label | None) -> None:
        """All verdicts on a pair are in: those of the first critics or, with what these came `before` to, the strong one's."""
        settings = self._settings.reconcile
        label = reconcile(pair, verdicts, settings)
        if before is not None:
            strong = self.critic_name(self._strong[0])
            label = replace(label, verdicts=(*before.verdicts, *verdicts), decided_by=strong)
        elif self._strong:
            self.progress.judged += 1
            if unsettled(label, settings):
                # Whoever calls us must not wait: the strong critic's queue may be full.
                self.progress.again += 1
                self._doubts.append((position, pair, label))
                self._doubt.set()
                return
        self.progress.settled += 1
        self._emit(position, label)

    async def _escalate(self) -> None:
        """Ask the strong critic about the pairs in doubt, as they come, until there are no more."""
        ask = self._settings.ask
        while True:
            while self._doubts:
                block: list[Submission] = []
                for _ in range(min(_AT_ONCE, len(self._doubts))):
                    position, pair, label = self._doubts.popleft()
                    questions = self._renderer.questions(pair, ask.orders, ask.samples)
                    block += self._ask(position, pair, questions, self._strong, label)
                await self._asking.submit(block)
                self._doubts_fewer.set()
            if self._no_more_doubts:
                return
            self._doubt.clear()
            await self._doubt.wait()

    async def _room_for_doubts(self) -> None:
        """Wait while the strong critic can't keep up."""
        while len(self._doubts) >= _IN_DOUBT:
            self._doubts_fewer.clear()
            await self._doubts_fewer.wait()

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
    before: Label | None
    verdicts: dict[tuple[int, str, int], Verdict] = field(default_factory=dict[tuple[int, str, int], Verdict])

    def settler(self, lane: int, question: Question) -> Callable[[Reply | GiveUp], None]:
        def settle(outcome: Reply | GiveUp) -> None:
            place = (lane, question.order.value, question.sample)
            self.verdicts[place] = verdict(
                self.labeling.critic_name(lane), question, outcome, soft=self.labeling.reads_tokens
            )
            self.missing -= 1
            if not self.missing:
                verdicts = [self.verdicts[place] for place in sorted(self.verdicts)]
                self.labeling.close(self.position, self.pair, verdicts, self.before)

        return settle


def verdict(critic: str, question: Question, outcome: Reply | GiveUp, *, soft: bool = True) -> Verdict:
    """What one outcome says about the pair, as far as possible by its tokens' probabilities where `soft`.

    The only way from a reply to a P(a).
    """
    if isinstance(outcome, GiveUp):
        return Verdict(critic, question.order, question.sample, None, status=outcome.status, why=str(outcome))
    reading = read_verdict(outcome, question.format)
    if outcome.tokens:
        reading = soften(reading, outcome, question.format) if soft else reading
        outcome = replace(outcome, tokens=())  # they are large, and a verdict may wait long for the others on its pair
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
