"""Questions in, replies out: the only place with concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aifeedback.errors import CriticGone, GiveUp, StopRun
from aifeedback.keys import Asked, Key
from aifeedback.lane import Lane
from aifeedback.noticed import Noticed
from aifeedback.records import Question, Reply, Status
from aifeedback.served import Served
from aifeedback.settings import AskingSettings
from aifeedback.spending import Spending
from aifeedback.store import Store

Settle = Callable[[Reply | GiveUp], None]
"""Hears what became of a question: the reply, complete or not, or why there is none."""

_COMMIT_AT = 500
_MOST_FRESH = 1000
_TOKENS_A_PLACE = 8
"""So many tokens, with all that they could have been, take the room of a reply without any."""


@dataclass(slots=True)
class _Flight:
    """A question on its way, and everybody who waits for its reply."""

    lane: Lane
    question: Question
    key: Key
    settle: list[Settle]


class Asking:
    """Asks each question once: those on their way first, then the store, then the critic.

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
        self.spending = Spending(settings.max_requests, settings.max_cost_usd)
        self.stopped: StopRun | None = None
        self.served = {lane: Served(lane.critic.name) for lane in lanes}
        self.noticed = {lane: Noticed(lane.critic.name, lane.asked.parameters) for lane in lanes}
        self.commit_due = asyncio.Event()
        self._lanes = lanes
        self._queues: dict[Lane, asyncio.Queue[_Flight]] = {
            lane: asyncio.Queue(maxsize=2 * lane.pace.ceiling + 256) for lane in lanes
        }
        self._store = store
        self._reask = reask
        self._reasked: set[bytes] = set()
        self._flights: dict[bytes, _Flight] = {}
        self._fresh: list[tuple[Key, Asked, Reply]] = []
        self._uncommitted: dict[bytes, Reply] = {}
        # A reply is at any time in flight, uncommitted or in the store; under this lock it can't slip from the second
        # to the third while somebody looks for it.
        self._looking = asyncio.Lock()
        self._committing: asyncio.Future[None] | None = None
        # Replies with their log probabilities are large: where the store is slower than the critics, they wait for it.
        self._room = asyncio.Event()
        self._room.set()
        self._places = 0
        self._workers: list[asyncio.Task[None]] = []
        for lane in lanes:
            lane.begin(settings, self.spending)

    @property
    def heard(self) -> bool:
        """Whether any answer came: from a critic, or from the store."""
        return self.spending.from_store > 0 or any(lane.reached for lane in self._lanes)

    @property
    def uncommitted(self) -> int:
        """How many replies are not in the store yet."""
        return len(self._fresh)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start working; `finish` ends it."""
        self._workers = [group.create_task(self._serve(lane)) for lane in self._lanes for _ in range(lane.pace.ceiling)]

    async def submit(self, block: Sequence[tuple[int, Question, Settle]]) -> None:
        """Take in questions, each with the number of its lane; returns when all are settled or in a queue."""
        keyed = [
            (self._lanes[lane], question, settle, self._lanes[lane].keys.key(question))
            for lane, question, settle in block
        ]
        new: list[_Flight] = []
        async with self._looking:
            unknown = [
                key for *_, key in keyed if key.digest not in self._flights and key.digest not in self._uncommitted
            ]
            stored = await asyncio.to_thread(self._store.find, unknown) if unknown else {}
            # No await from here on: what is found nowhere is on its way before anybody else looks for it.
            for lane, question, settle, key in keyed:
                flight = self._flights.get(key.digest)
                if flight is not None:
                    flight.settle.append(settle)
                    continue
                reply = self._uncommitted.get(key.digest) or self._from_store(question, stored.get(key.digest), key)
                if reply is not None:
                    self.spending.from_store += 1
                    self._hear(lane, reply)
                    settle(reply)
                else:
                    flight = self._flights[key.digest] = _Flight(lane, question, key, [settle])
                    new.append(flight)
        for flight in new:
            await self._queues[flight.lane].put(flight)

    def _from_store(self, question: Question, reply: Reply | None, key: Key) -> Reply | None:
        if reply is None or key.digest in self._reasked or not self._reask(question, reply):
            return reply
        self._reasked.add(key.digest)
        return None

    async def settled(self) -> None:
        """Wait until every question that was submitted is settled."""
        await asyncio.gather(*(queue.join() for queue in self._queues.values()))

    async def finish(self) -> None:
        """Wait until every question that was submitted is settled, and stop working."""
        await self.settled()
        for worker in self._workers:
            worker.cancel()

    async def commit(self) -> None:
        """Put every reply that has come in so far into the store; one that is interrupted in this still does so.

        Raises StoreError where it can't be written; the replies are kept for the next try.
        """
        await self._committed()
        self.commit_due.clear()
        if not self._fresh:
            return
        entries, self._fresh, self._places = self._fresh, [], 0
        self._room.set()
        self._committing = asyncio.ensure_future(asyncio.to_thread(self._put, entries))
        await self._committed()
        async with self._looking:
            for key, _, _ in entries:
                self._uncommitted.pop(key.digest, None)

    def _put(self, entries: list[tuple[Key, Asked, Reply]]) -> None:
        try:
            self._store.put(entries)
        except BaseException:
            self._fresh[:0] = entries
            raise

    async def _committed(self) -> None:
        """Wait for a commit that is under way, without breaking it off."""
        committing, self._committing = self._committing, None
        if committing is not None:
            try:
                await asyncio.shield(committing)
            except asyncio.CancelledError:
                self._committing = committing
                raise

    async def _serve(self, lane: Lane) -> None:
        """Draw questions and answer them, one at a time."""
        queue = self._queues[lane]
        while True:
            flight = await queue.get()
            if not self._room.is_set():
                await self._room.wait()
            outcome = await self._outcome(flight)
            del self._flights[flight.key.digest]
            if isinstance(outcome, Reply):
                self.spending.from_store += len(flight.settle) - 1
                self._keep(flight, outcome)
            for settle in flight.settle:
                settle(outcome)
            queue.task_done()

    async def _outcome(self, flight: _Flight) -> Reply | GiveUp:
        if self.stopped is not None:
            return _unasked(self.stopped)
        try:
            return await flight.lane.answer(flight.question)
        except GiveUp as error:
            return error
        except StopRun as error:
            return _unasked(self._stop(self._named(error, flight.lane)))

    def _keep(self, flight: _Flight, reply: Reply) -> None:
        """Hand a complete reply to the next commit; any other is asked again by the next run."""
        self._hear(flight.lane, reply)
        if not reply.complete:
            self.noticed[flight.lane].broken_off(reply)
            return
        self._uncommitted[flight.key.digest] = reply
        self._fresh.append((flight.key, flight.lane.asked, reply))
        self._places += 1 + len(reply.tokens) // _TOKENS_A_PLACE
        if self._places >= _COMMIT_AT:
            self.commit_due.set()
        if self._places >= _MOST_FRESH:
            self._room.clear()

    def _hear(self, lane: Lane, reply: Reply) -> None:
        """Take note of a reply, from wherever it came."""
        self.served[lane].add(reply)
        noticed = self.noticed[lane]
        if noticed.waits:
            noticed.look(reply)

    def _named(self, error: StopRun, lane: Lane) -> StopRun:
        """What stops the run, with the critic that it is about where there are several."""
        said, name = str(error), lane.critic.name
        if len(self._lanes) < 2 or not isinstance(error, CriticGone) or said.startswith(name):
            return error
        return CriticGone(f"{name}: {said}")

    def _stop(self, error: StopRun) -> StopRun:
        """What stopped the run: the first that did."""
        if self.stopped is None:
            self.stopped = error
            for lane in self._lanes:
                lane.stop(error)
        return self.stopped


def _unasked(stopped: StopRun) -> GiveUp:
    return GiveUp(f"the run stopped first: {stopped}", status=Status.UNASKED)
