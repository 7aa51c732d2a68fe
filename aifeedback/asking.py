"""Questions in, replies out: the only place with concurrency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aifeedback.critics import Critic
from aifeedback.endpoints.pace import Pace
from aifeedback.errors import Away, BudgetSpent, Busy, CriticGone, GiveUp, Hiccup, StopRun
from aifeedback.keys import Asked, Key, Keys
from aifeedback.records import Question, Reply, Status, Usage
from aifeedback.store import Store

Settle = Callable[[Reply | GiveUp], None]
"""Hears what became of a question: the reply, complete or not, or why there is none."""

_PATIENCE_S = 600.0
_AT_START_S = 10.0
_COMMIT_AT = 500


@dataclass(frozen=True, slots=True)
class AskingSettings:
    """How long and how hard an answer is sought.

    `patience_s`: how long an endpoint that is gone is waited for; None is 10 minutes, or 10 s for one that never
    answered. `max_requests` 0 is no limit.
    """

    retries: int = 8
    patience_s: float | None = None
    max_requests: int = 0


@dataclass(slots=True)
class Counts:
    """What asking has cost so far. `asked` questions took `sent` requests."""

    sent: int = 0
    asked: int = 0
    answered: int = 0
    from_store: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def retried(self) -> int:
        """Requests beyond the first of a question."""
        return max(0, self.sent - self.asked)

    def add(self, usage: Usage) -> None:
        """Count one reply's tokens."""
        self.input += usage.input
        self.cached += usage.cached
        self.output += usage.output
        self.reasoning += usage.reasoning


@dataclass(slots=True)
class Lane:
    """One critic and the questions that wait for it."""

    critic: Critic
    asked: Asked
    pace: Pace
    keys: Keys = field(init=False)
    queue: asyncio.Queue[_Flight] = field(init=False)
    silent_since: float | None = None
    pause_s: float = 0.5
    paused_until: float = 0.0
    reached: bool = False

    def __post_init__(self) -> None:
        self.keys = Keys(self.asked)
        self.queue = asyncio.Queue(maxsize=2 * self.pace.ceiling + 256)


@dataclass(slots=True)
class _Flight:
    """A question on its way, and everybody who waits for its reply."""

    question: Question
    key: Key
    settle: list[Settle]


class Asking:
    """Asks each question once: the store first, then those on their way, then the critic.

    `reask` says of a stored reply whether it is asked again all the same. After `stopped` is set nothing new is sent;
    what is on its way comes in, the others are settled as unasked.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        store: Store,
        settings: AskingSettings,
        *,
        reask: Callable[[Question, Reply], bool] = lambda _question, _reply: False,
    ) -> None:
        self.counts = Counts()
        self.stopped: StopRun | None = None
        self.served_by: dict[str, int] = {}
        self.commit_due = asyncio.Event()
        self._lanes = lanes
        self._store = store
        self._settings = settings
        self._reask = reask
        self._reasked: set[bytes] = set()
        self._flights: dict[bytes, _Flight] = {}
        self._fresh: list[tuple[Key, Asked, Reply]] = []
        self._uncommitted: dict[bytes, Reply] = {}
        self._committing: asyncio.Future[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        for lane in lanes:
            if hasattr(lane.critic, "before_request"):
                lane.critic.before_request = self._before_request

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start working; `finish` ends it."""
        self._workers = [group.create_task(self._serve(lane)) for lane in self._lanes for _ in range(lane.pace.ceiling)]

    async def submit(self, block: Sequence[tuple[int, Question, Settle]]) -> None:
        """Take in questions, each with the number of its lane; returns when all are settled or in a queue."""
        keyed = [
            (self._lanes[lane], question, settle, self._lanes[lane].keys.key(question))
            for lane, question, settle in block
        ]
        unknown = [
            key for _, _, _, key in keyed if key.digest not in self._flights and key.digest not in self._uncommitted
        ]
        stored = await asyncio.to_thread(self._store.find, unknown) if unknown else {}
        for lane, question, settle, key in keyed:
            reply = self._uncommitted.get(key.digest) or self._from_store(question, stored.get(key.digest), key)
            if reply is not None:
                self.counts.from_store += 1
                self._count_served(reply)
                settle(reply)
            elif key.digest in self._flights:
                self.counts.from_store += 1
                self._flights[key.digest].settle.append(settle)
            elif self.stopped is not None:
                settle(_unasked(self.stopped))
            else:
                flight = _Flight(question, key, [settle])
                self._flights[key.digest] = flight
                await lane.queue.put(flight)

    def _from_store(self, question: Question, reply: Reply | None, key: Key) -> Reply | None:
        if reply is None or key.digest in self._reasked or not self._reask(question, reply):
            return reply
        self._reasked.add(key.digest)
        return None

    async def finish(self) -> None:
        """Wait until every question that was submitted is settled, and stop working."""
        await asyncio.gather(*(lane.queue.join() for lane in self._lanes))
        for worker in self._workers:
            worker.cancel()

    async def commit(self) -> None:
        """Put every reply that has come in so far into the store; one that is interrupted in this still does so."""
        await self._committed()
        self.commit_due.clear()
        entries, self._fresh = self._fresh, []
        if entries:
            self._committing = asyncio.ensure_future(asyncio.to_thread(self._store.put, entries))
            await self._committed()
            for key, _, _ in entries:
                self._uncommitted.pop(key.digest, None)

    async def _committed(self) -> None:
        if self._committing is not None:
            await asyncio.shield(self._committing)
            self._committing = None

    async def _serve(self, lane: Lane) -> None:
        """Draw questions and answer them, one at a time."""
        while True:
            flight = await lane.queue.get()
            # A slot is taken only by who has something to ask: an idle holder would starve those who try again.
            await lane.pace.slot()
            outcome = await self._outcome(lane, flight)
            del self._flights[flight.key.digest]
            if isinstance(outcome, Reply) and outcome.complete:
                self._keep(lane, flight, outcome)
            for settle in flight.settle:
                settle(outcome)
            lane.queue.task_done()

    async def _outcome(self, lane: Lane, flight: _Flight) -> Reply | GiveUp:
        """What becomes of a question whose slot is taken; the slot is given back."""
        if self.stopped is not None:
            lane.pace.done()
            return _unasked(self.stopped)
        self.counts.asked += 1
        try:
            try:
                return await self._answer(lane, flight.question)
            except Hiccup as error:
                return await self._again(lane, flight.question, error)
        except GiveUp as error:
            return error
        except StopRun as error:
            self._stop(error)
            return _unasked(error)

    async def _again(self, lane: Lane, question: Question, first: Hiccup) -> Reply:
        """Try a question again that failed once, with growing pauses. Raises GiveUp when the retries are used up."""
        from tenacity import (
            AsyncRetrying,
            RetryCallState,
            retry_if_exception_type,
            stop_after_attempt,
            wait_random_exponential,
        )

        backoff = wait_random_exponential(multiplier=0.5, max=60)
        failed = [first]

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked_for = error.retry_after_s if isinstance(error, Hiccup) else 0.0
            return max(backoff(state), asked_for)

        async def attempt() -> Reply:
            if failed:
                raise failed.pop()
            await lane.pace.slot()
            if self.stopped is not None:
                lane.pace.done()
                raise self.stopped
            return await self._answer(lane, question)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._settings.retries + 1),
            wait=wait,
            retry=retry_if_exception_type(Hiccup),
            sleep=lane.pace.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except Hiccup as error:
            raise GiveUp(
                f"no answer after {self._settings.retries + 1} attempts: {error}", status=Status.FAILED
            ) from error

    async def _answer(self, lane: Lane, question: Question) -> Reply:
        """One attempt, with a slot already taken; waiting for a busy or absent endpoint is no attempt."""
        while True:
            started = time.monotonic()
            try:
                if not hasattr(lane.critic, "before_request"):
                    self._before_request()
                reply = await lane.critic.ask(question)
            except Busy as error:
                self._be_patient(lane, error)
                lane.pace.pushed_back(error.retry_after_s, started)
            except Away as error:
                self._be_patient(lane, error)
                self._pause(lane)
            except Hiccup as error:
                lane.pace.pushed_back(error.retry_after_s, started)
                raise
            else:
                lane.pace.answered(time.monotonic() - started)
                lane.silent_since, lane.pause_s, lane.reached = None, 0.5, True
                self.counts.add(reply.usage)
                return reply
            finally:
                lane.pace.done()
            await lane.pace.slot()
            if self.stopped is not None:
                lane.pace.done()
                raise self.stopped

    def _be_patient(self, lane: Lane, error: Away | Busy) -> None:
        """Raise CriticGone where patience with an endpoint that answers nobody is at its end."""
        now = time.monotonic()
        if lane.silent_since is None:
            lane.silent_since = now
        patience = self._settings.patience_s
        if patience is None:
            patience = _AT_START_S if isinstance(error, Away) and not lane.reached else _PATIENCE_S
        if now - lane.silent_since >= patience or error.retry_after_s > patience:
            advice = (
                "Is it running, and is --base-url right?" if isinstance(error, Away) else "--patience waits longer."
            )
            raise CriticGone(
                f"{lane.critic.name} at {lane.asked.endpoint}: {error}. Waited {now - lane.silent_since:.0f} s. {advice}"
            ) from error

    def _pause(self, lane: Lane) -> None:
        now = time.monotonic()
        if now >= lane.paused_until:  # of all that find it gone at once, only the first makes the pause longer
            lane.paused_until = now + lane.pause_s
            lane.pace.pause(lane.pause_s)
            lane.pause_s = min(lane.pause_s * 1.5, 10.0)

    def _before_request(self) -> None:
        limit = self._settings.max_requests
        if limit and self.counts.sent >= limit:
            raise BudgetSpent(f"--max-requests {limit} is used up.")
        self.counts.sent += 1

    def _keep(self, lane: Lane, flight: _Flight, reply: Reply) -> None:
        self.counts.answered += 1
        self._count_served(reply)
        self._uncommitted[flight.key.digest] = reply
        self._fresh.append((flight.key, lane.asked, reply))
        if len(self._fresh) >= _COMMIT_AT:
            self.commit_due.set()

    def _count_served(self, reply: Reply) -> None:
        served = f"{reply.model} {reply.fingerprint}".strip()
        self.served_by[served] = self.served_by.get(served, 0) + 1

    def _stop(self, error: StopRun) -> None:
        if self.stopped is None:
            self.stopped = error
            for lane in self._lanes:
                lane.pace.close()


def _unasked(stopped: StopRun) -> GiveUp:
    return GiveUp(f"the run stopped first: {stopped}", status=Status.UNASKED)
