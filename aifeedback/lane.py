"""One critic and how it is asked: at its pace, again after a mishap, with patience while it is gone."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from aifeedback.critics import Critic
from aifeedback.endpoints.pace import Pace
from aifeedback.errors import Away, BudgetSpent, Busy, CriticGone, GiveUp, Hiccup, StopRun, Wait
from aifeedback.keys import Asked, Keys
from aifeedback.prices import Most, Price
from aifeedback.records import Question, Reply, Status
from aifeedback.settings import AskingSettings
from aifeedback.spending import Account, Bill, Spending

_PATIENCE_S = 600.0
_AT_START_S = 10.0
_LONGEST_PAUSE_S = 10.0


class Lane:
    """A critic, under what its replies are kept, its pace and its price. `begin` must come before the first `answer`.

    `most`: the most that a question's request can be billed for. `reached` is true once any reply came, complete or not.
    """

    def __init__(
        self, critic: Critic, asked: Asked, pace: Pace, *, price: Price | None, most: Callable[[Question], Most]
    ) -> None:
        self.critic = critic
        self.asked = asked
        self.pace = pace
        self.price = price
        self.most = most
        self.keys = Keys(asked)
        self.reached = False
        self._settings = AskingSettings()
        self._spending = Spending()
        self._account = Account(self._spending, price, most)
        self._stopped: StopRun | None = None
        self._silent_since: float | None = None
        self._pause_s = 0.5
        self._paused_until = 0.0
        # An endpoint sends more than one request for a question where it learns how to ask: it counts them itself.
        self._counts_itself = hasattr(critic, "before_request")
        # What a critic that can be asked in several ways says of a reply: how to put its question once more.
        self._anew: Callable[[Question, Reply], Question | None] | None = getattr(critic, "anew", None)

    def begin(self, settings: AskingSettings, spending: Spending) -> None:
        """Take part in a run that spends from `spending`."""
        self._settings = settings
        self._spending = spending
        self._account = Account(spending, self.price, self.most)
        if self._counts_itself:
            self.critic.before_request = self._account.charge  # type: ignore[attr-defined] # it has one, see above
            self.critic.must_bound = spending.limit is not None  # type: ignore[attr-defined]
        if hasattr(self.critic, "after_response"):
            self.critic.after_response = self.pace.told

    def stop(self, error: StopRun) -> None:
        """Send nothing new: who waits for a slot or for another attempt is told `error`."""
        self._stopped = error
        self.pace.close()
        self._spending.wake_all()

    async def answer(self, question: Question) -> Reply:
        """The critic's reply. Raises GiveUp where this question has none, StopRun where no question has any more."""
        reply = await self._put(question, again=False)
        if self._anew is not None and (further := self._anew(question, reply)) is not None:
            return await self._better(further, reply)
        return reply

    async def _better(self, further: Question | None, reply: Reply) -> Reply:
        """Put a question once more whose `reply` was cut off or can't be read, as long as its critic knows another way.

        The last complete reply counts, where none is complete the last. Each is a request like any other, with its own
        slot and its own money.
        """
        while further is not None:
            try:
                latest = await self._put(further, again=True)
            except GiveUp:
                break
            self._spending.repeated += 1
            if latest.complete or not reply.complete:
                reply = latest
            further = self._anew(further, latest) if self._anew else None
        return reply

    async def _put(self, question: Question, *, again: bool) -> Reply:
        """One reply to a question, after as many attempts as it takes."""
        at, bill = await self._turn(question)
        try:
            return await self._attempt(question, at, bill, again=again)
        except Hiccup as error:
            return await self._again(question, error)

    async def _slot(self, question: Question) -> int:
        at = await self.pace.slot(_tokens(question))
        if self._stopped is not None:
            self.pace.done()
            raise self._stopped
        return at

    async def _turn(self, question: Question) -> tuple[int, Bill]:
        """A slot, and money for the worst case. Nobody holds the one while waiting for the other: so nobody waits for ever.

        Raises BudgetSpent, or what the run was stopped by.
        """
        bill = Bill(self._account, question)
        while True:
            if self._stopped is not None:  # nobody would call us any more
                raise self._stopped
            if not bill.fits():
                await bill.room()
                continue
            at = await self._slot(question)
            try:
                if bill.reserve():
                    return at, bill
            except BudgetSpent:
                self.pace.done()
                raise
            self.pace.done()

    async def _again(self, question: Question, first: Hiccup) -> Reply:
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
            at, bill = await self._turn(question)
            return await self._attempt(question, at, bill, again=True)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._settings.retries + 1),
            wait=wait,
            retry=retry_if_exception_type(Hiccup),
            sleep=self.pace.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except Hiccup as error:
            attempts = self._settings.retries + 1
            raise GiveUp(f"no answer after {attempts} attempts: {error}", status=Status.FAILED) from error

    async def _attempt(self, question: Question, at: int, bill: Bill, *, again: bool) -> Reply:
        """One attempt, with the `at`-th slot taken and money set aside; waiting for a busy or absent endpoint is none."""
        refused = 0
        while True:
            wait = 0.0
            started = time.monotonic()
            try:
                reply = await self._ask(question, bill, again=again)
            except Busy as error:
                self._be_patient(error)
                refused += 1
                wait = self.pace.pushed_back(error.retry_after_s, started, at) or self._while_busy(refused)
            except Away as error:
                self._be_patient(error)
                self._pause()
            except Hiccup as error:
                if error.retry_after_s > self._patience(error):
                    raise self._gone(error, 0.0) from error
                self.pace.went_wrong(error.retry_after_s, started)
                raise
            except GiveUp:
                self.pace.heard()
                raise
            else:
                usage = reply.usage
                self.pace.answered(time.monotonic() - started, at, usage.input + usage.output)
                self._silent_since, self._pause_s, self.reached = None, 0.5, True
                return reply
            finally:
                self.pace.done()
            again = True
            if wait:
                await self.pace.sleep(wait)
            at, bill = await self._turn(question)

    async def _ask(self, question: Question, bill: Bill, *, again: bool) -> Reply:
        self._spending.retried += again
        with bill:
            try:
                if not self._counts_itself:
                    self._account.charge()
                reply = await self.critic.ask(question)
            except BudgetSpent:
                self._spending.retried -= again
                raise
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # Something inside the critic was cancelled, not we.
                raise Hiccup(f"{self.critic.name} broke off its own request") from None
            if not isinstance(reply, Reply):
                raise TypeError(f"critic {self.critic.name!r}: ask() gave {type(reply).__name__}, not a Reply")
            bill.settle(reply.usage)
            return reply

    def _while_busy(self, refused: int) -> float:
        """How long a question waits that was refused so often without a word on when to come back."""
        longest = min(self.pace.moment_s * 1.5 ** min(refused, 20), _LONGEST_PAUSE_S)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - so that they don't all come back at once

    def _patience(self, error: Wait) -> float:
        if self._settings.patience_s is not None:
            return self._settings.patience_s
        return _AT_START_S if isinstance(error, Away) and not self.reached else _PATIENCE_S

    def _be_patient(self, error: Away | Busy) -> None:
        """Raise CriticGone where patience with an endpoint that answers nobody is at its end."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        patience = self._patience(error)
        if now - self._silent_since >= patience or error.retry_after_s > patience:
            raise self._gone(error, now - self._silent_since) from error

    def _gone(self, error: Wait, waited_s: float) -> CriticGone:
        advice = "Is it running, and is --base-url right?" if isinstance(error, Away) else "--patience waits longer."
        wants = error.retry_after_s
        waited = f"It asks for {wants:.0f} s." if wants > self._patience(error) else f"Waited {waited_s:.0f} s."
        return CriticGone(f"{self.critic.name} at {self.asked.endpoint}: {error}. {waited} {advice}")

    def _pause(self) -> None:
        now = time.monotonic()
        if now >= self._paused_until:  # of all that find it gone at once, only the first makes the pause longer
            self._paused_until = now + self._pause_s
            self.pace.pause(self._pause_s)
            self._pause_s = min(self._pause_s * 1.5, _LONGEST_PAUSE_S)


def _tokens(question: Question) -> int:
    """About how many tokens a question has: four characters each, as English runs."""
    return sum(len(message.content) for message in question.messages) // 4
