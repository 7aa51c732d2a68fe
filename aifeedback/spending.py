"""What asking has cost so far, and the limits that it must not pass."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aifeedback.errors import AifeedbackError, BudgetSpent
from aifeedback.prices import FREE, Most, Price, in_dollars, pico, usd
from aifeedback.records import Question, Usage


@dataclass(slots=True)
class Spending:
    """Requests, tokens and money of a run, of all its critics together.

    `max_requests` 0 and `max_cost_usd` None are no limit; `retried` of the `sent` were not a question's first. Money is
    in picodollars: `billed` is known, `unsure` the worst case of requests whose bill nobody knows (a time-out, a
    connection that was lost), `reserved` that of those on their way. The three together never pass the limit, unless
    a server bills more than a request's worst case: `beyond` counts those. `repeated` of the `replies` came for a
    question that had one before. `unmetered` replies came without usage and
    were `billed` at their worst case; `unpriced` ones came from a critic without a price.
    """

    max_requests: int = 0
    max_cost_usd: float | None = None
    sent: int = 0
    retried: int = 0
    from_store: int = 0
    replies: int = 0
    repeated: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    billed: int = 0
    unsure: int = 0
    reserved: int = 0
    unmetered: int = 0
    unpriced: int = 0
    beyond: int = 0
    accounts: list[Account] = field(default_factory=list["Account"])
    limit: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.limit = None if self.max_cost_usd is None else pico(self.max_cost_usd)

    def charge(self) -> None:
        """Count a request that is about to go out. Raises BudgetSpent where it must not."""
        if self.max_requests and self.sent >= self.max_requests:
            raise BudgetSpent(f"--max-requests {self.max_requests} is used up.")
        self.sent += 1

    @property
    def cost_usd(self) -> float | None:
        """What is known to have been spent; None where a critic's price is not known."""
        if self.unpriced or not all(account.price or account.told for account in self.accounts):
            return None
        return usd(self.billed)

    @property
    def unsure_usd(self) -> float | None:
        """What may have been spent beyond that, at most."""
        return None if self.cost_usd is None else usd(self.unsure)

    def add(self, usage: Usage) -> None:
        """Count one reply's tokens."""
        self.replies += 1
        self.input += usage.input
        self.cached += usage.cached
        self.output += usage.output
        self.reasoning += usage.reasoning

    @property
    def answered(self) -> int:
        """How many questions got a reply."""
        return self.replies - self.repeated

    def fits(self, worst: int) -> bool:
        """Whether `worst` can be set aside now. Raises BudgetSpent where nothing on its way can free enough for it."""
        if self.limit is None:
            return True
        left = self.limit - self.billed - self.unsure
        if worst > left:
            raise BudgetSpent(self._spent(worst))
        return worst <= left - self.reserved

    def _spent(self, worst: int) -> str:
        unsure = f" (and {in_dollars(usd(self.unsure))} perhaps)" if self.unsure else ""
        return (
            f"--max-cost {in_dollars(self.max_cost_usd or 0.0)} is used up: {in_dollars(usd(self.billed))}{unsure} is spent, "
            f"and the next request may cost up to {in_dollars(usd(worst))}."
        )

    def give_back(self, worst: int) -> None:
        """`worst` is no longer set aside: whoever waits for money looks again."""
        self.reserved -= worst
        for account in self.accounts:
            account.wake()

    def wake_all(self) -> None:
        """The run is over: nobody waits for money any more."""
        for account in self.accounts:
            account.wake(everybody=True)

    def remarks(self) -> list[str]:
        """What is worth telling about these figures, once."""
        said = []
        if self.unmetered:
            said.append(f"{self.unmetered} replies came without token counts: each is counted at the most it can cost.")
        if self.beyond:
            said.append(
                f"{self.beyond} replies were billed higher than a request's worst case, so --max-cost may have been passed by that much."
            )
        return said


class Account:
    """One critic's way to the money: its price (None: not known) and the most that a question's request can come to.

    `told`: the server itself has said what a request cost. `sent`, `replies` and `billed` are this critic's part of
    the run's.
    """

    def __init__(self, spending: Spending, price: Price | None, most: Callable[[Question], Most]) -> None:
        self.spending = spending
        self.price = price
        self.most = most
        self.told = False
        self.sent = 0
        self.replies = 0
        self.billed = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        spending.accounts.append(self)

    def charge(self) -> None:
        """Count a request that is about to go out. Raises BudgetSpent where it must not."""
        self.spending.charge()
        self.sent += 1

    @property
    def cost_usd(self) -> float | None:
        """What is known to have been spent on this critic; None where its price is not known."""
        return usd(self.billed) if self.price or self.told else None

    async def room(self, worst: int) -> None:
        """Wait until there may be money for `worst` again; it is not reserved yet."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append((worst, waiting))
        await waiting

    def wake(self, *, everybody: bool = False) -> None:
        """Call those for whom there is room now, the longest waiting first, or who wait in vain."""
        spending = self.spending
        left = (spending.limit or 0) - spending.billed - spending.unsure
        room = left - spending.reserved
        while self._waiting:
            worst, waiting = self._waiting[0]
            if not (everybody or worst <= room or worst > left):
                return
            self._waiting.popleft()
            if not waiting.done():
                room -= worst
                waiting.set_result(None)


class Bill:
    """What one question's request costs: the worst case while it is on its way, then what came of it.

    As a context: leaving it with an error that certainly cost nothing gives the reservation back; any other error may
    have been billed, and the worst case counts as spent.
    """

    __slots__ = ("_account", "_open", "_question", "_worst")

    def __init__(self, account: Account, question: Question) -> None:
        self._account = account
        self._question = question
        self._worst: int | None = None
        self._open = False

    @property
    def worst(self) -> int:
        """The most that it can come to, in picodollars; 0 where no price is known."""
        if self._worst is None:
            price = self._account.price
            self._worst = price.most(self._account.most(self._question)) if price else 0
        return self._worst

    def fits(self) -> bool:
        """Whether there is money for the worst case; false where others must come in first. Raises BudgetSpent."""
        spending = self._account.spending
        return spending.limit is None or spending.fits(self.worst)

    def reserve(self) -> bool:
        """Set the worst case aside, if it fits. Raises BudgetSpent."""
        spending = self._account.spending
        if spending.limit is None:
            self._open = True
        elif spending.fits(self.worst):
            self._open = True
            spending.reserved += self.worst
        return self._open

    async def room(self) -> None:
        """Wait until looking again is worth it."""
        await self._account.room(self.worst)

    def settle(self, usage: Usage) -> None:
        """The reply is there: count its tokens and what they cost, and give back the rest."""
        account, spending = self._account, self._account.spending
        spending.add(usage)
        price = account.price
        if usage.cost_usd is not None:
            cost = pico(usage.cost_usd)  # the server's own figure knows more than any list
            account.told = True
        elif price is None:
            cost = 0
            spending.unpriced += 1
        elif usage.input or usage.output or price is FREE:
            cost = price.of(usage)
        else:
            cost = self.worst
            spending.unmetered += 1
        spending.billed += cost
        account.billed += cost
        account.replies += 1
        if spending.limit is None:
            self._open = False
            return
        spending.beyond += cost > self.worst
        self.release()

    def release(self) -> None:
        """It certainly cost nothing, or what it cost is counted: give back what was reserved."""
        if self._open:
            self._open = False
            if self._account.spending.limit is not None:
                self._account.spending.give_back(self.worst)

    def keep(self) -> None:
        """It may have been billed: the worst case counts as spent."""
        if self._open:
            self._account.spending.unsure += self.worst
            self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        if isinstance(error, AifeedbackError) and error.free:
            self.release()
        else:
            self.keep()
