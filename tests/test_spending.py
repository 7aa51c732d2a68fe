"""A budget is never overrun, whatever comes back in whatever order, and nobody waits for money that can't come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aifeedback as af
from aifeedback.errors import Away, BudgetSpent, Busy, CriticGone, GiveUp, Hiccup
from aifeedback.prices import FREE, PICO, Most, Price, Rates
from aifeedback.records import Message, Order, Pair, PFirst, Question, Reply, Status, Usage, VerdictFormat
from aifeedback.spending import Account, Bill, Spending
from tests.conftest import some_pairs

ONE_EACH = Price((Rates(0, 1, 1, 1, 1, 1),))


def question(size: int = 1) -> Question:
    pair = Pair("1", "p", "a", "b")
    return Question((Message("user", "x" * size),), VerdictFormat("letter", {"A": PFirst(1.0)}), pair, Order.AB)


def account(limit: int | None, price: Price | None = ONE_EACH) -> Account:
    """One that costs a picodollar for each character of a question."""
    spending = Spending(max_cost_usd=None if limit is None else limit / PICO)
    return Account(spending, price, lambda asked: Most(len(asked.messages[0].content), 0))


@given(data=st.data(), limit=st.integers(1, 2000), critics=st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_a_budget_is_never_overrun_for_any_interleaving(data: st.DataObject, limit: int, critics: int) -> None:
    first = account(limit)
    spending = first.spending
    accounts = [first, *(Account(spending, ONE_EACH, first.most) for _ in range(critics - 1))]
    flying: list[tuple[Bill, int]] = []
    really_billed = 0
    for _ in range(data.draw(st.integers(1, 60))):
        if flying and data.draw(st.booleans()):
            bill, size = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
            match data.draw(st.sampled_from(["usage", "cost", "no usage", "free", "lost"])):
                case "usage":
                    spent = data.draw(st.integers(1, size))
                    bill.settle(Usage(input=spent))
                    really_billed += spent
                case "cost":
                    spent = data.draw(st.integers(0, size))
                    bill.settle(Usage(input=1, cost_usd=spent / PICO))
                    really_billed += spent
                case "no usage":
                    bill.settle(Usage())
                    really_billed += size
                case "free":
                    bill.release()
                case _:
                    bill.keep()
                    really_billed += data.draw(st.integers(0, size))
        else:
            size = data.draw(st.integers(1, 400))
            bill = Bill(data.draw(st.sampled_from(accounts)), question(size))
            try:
                if bill.reserve():
                    flying.append((bill, size))
                else:
                    assert spending.reserved, "nobody waits where nothing is on its way"
            except BudgetSpent:
                assert size > limit - spending.billed - spending.unsure, "it might still have fitted"
        assert spending.reserved == sum(size for _, size in flying)
        assert spending.billed + spending.unsure + spending.reserved <= limit
        assert really_billed <= spending.billed + spending.unsure


@given(
    limit=st.integers(1, 3000),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=80),
    ends=st.lists(st.sampled_from(["usage", "free", "lost"]), min_size=1, max_size=20),
    critics=st.integers(1, 3),
    workers=st.integers(1, 16),
)
@settings(max_examples=120, deadline=None)
def test_nobody_waits_for_ever_and_a_run_stops_only_where_nothing_more_fits(
    limit: int, sizes: list[int], ends: list[str], critics: int, workers: int
) -> None:
    first = account(limit)
    spending = first.spending
    accounts = [first, *(Account(spending, ONE_EACH, first.most) for _ in range(critics - 1))]
    todo = list(enumerate(sizes))
    stopped: list[int] = []

    async def work(own: Account) -> None:
        while todo and not stopped:
            number, size = todo.pop()
            bill = Bill(own, question(size))
            try:
                while not bill.reserve():
                    await bill.room()
                    await asyncio.sleep(0)  # the slot, for which others may be before us
                    if stopped:
                        return
            except BudgetSpent:
                assert size > limit - spending.billed - spending.unsure
                stopped.append(size)
                spending.wake_all()
                return
            await asyncio.sleep(0.0001 * (number % 3))
            match ends[number % len(ends)]:
                case "usage":
                    bill.settle(Usage(input=1 + size // 4))
                case "free":
                    bill.release()
                case _:
                    bill.keep()

    async def run() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(work(accounts[number % critics]))

    asyncio.run(run())
    assert stopped or not todo
    assert spending.reserved == 0
    assert spending.billed + spending.unsure <= limit


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (Busy("429"), 0),
        (Away("refused"), 0),
        (BudgetSpent("--max-requests"), 0),
        (Hiccup("no answer within 2 s"), 7),
        (GiveUp("filtered, after all was written", status=Status.REFUSED), 7),
        (CriticGone("quota, said within a 200"), 7),
        (asyncio.CancelledError(), 7),
        (ValueError("a fault of our own"), 7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_an_error_that_certainly_cost_nothing_gives_its_money_back(error: BaseException, billed: int) -> None:
    one = account(10)
    bill = Bill(one, question(7))
    assert bill.reserve()
    with pytest.raises(type(error)), bill:
        raise error
    assert (one.spending.reserved, one.spending.unsure, one.spending.billed) == (0, billed, 0)


def test_a_refusal_known_to_be_free_gives_its_money_back() -> None:
    one = account(10)
    bill = Bill(one, question(7))
    bill.reserve()
    refused = GiveUp("400", status=Status.FAILED)
    refused.free = True
    with pytest.raises(GiveUp), bill:
        raise refused
    assert one.spending.unsure == 0


def test_who_waits_is_called_once_another_gives_back() -> None:
    async def run() -> list[str]:
        one, said = account(10), []
        big, small = Bill(one, question(8)), Bill(one, question(5))
        assert big.reserve()
        assert not small.reserve()

        async def wait() -> None:
            await small.room()
            said.append("called")
            assert small.reserve()

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        said.append("settled")
        big.settle(Usage(input=2))
        await waiting
        return said

    assert asyncio.run(run()) == ["settled", "called"]


def test_a_slow_critics_waiters_do_not_keep_the_others_from_being_called() -> None:
    async def run() -> None:
        slow = account(10)
        quick = Account(slow.spending, ONE_EACH, slow.most)
        flying = Bill(slow, question(8))
        assert flying.reserve()
        waiting = [asyncio.create_task(Bill(own, question(5)).room()) for own in (slow, slow, quick)]
        await asyncio.sleep(0)
        flying.settle(Usage(input=1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, False, True]
        slow.spending.wake_all()
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_a_budget_is_spent_to_the_last_request_that_certainly_fits() -> None:
    one = account(10)
    for _ in range(2):
        bill = Bill(one, question(5))
        assert bill.reserve()
        bill.settle(Usage(input=5))
    with pytest.raises(
        BudgetSpent, match=r"--max-cost .* is used up: .* is spent, and the next request may cost up to"
    ):
        Bill(one, question(1)).reserve()


def charged(prepare: Callable[[Account], object], *, price: Price | None = ONE_EACH) -> Spending:
    one = account(None, price)
    prepare(one)
    return one.spending


def reply(usage: Usage) -> Callable[[Account], None]:
    def prepare(one: Account) -> None:
        bill = Bill(one, question(9))
        assert bill.reserve()
        bill.settle(usage)

    return prepare


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(input=3, output=2), ONE_EACH, 5e-12),
        (Usage(input=3, output=2, cost_usd=0.25), ONE_EACH, 0.25),
        (Usage(input=3, output=2, cost_usd=0.25), None, 0.25),
        (Usage(input=3, output=2, cost_usd=0.0), ONE_EACH, 0.0),
        (Usage(), ONE_EACH, 9e-12),
        (Usage(), FREE, 0.0),
        (Usage(input=3, output=2), None, None),
    ],
    ids=["by tokens", "the server's word", "its word alone", "its word is nothing", "no usage", "free", "unknown"],
)
def test_the_cost_is_the_servers_own_figure_or_ours_or_unknown(
    usage: Usage, price: Price | None, cost: float | None
) -> None:
    spending = charged(reply(usage), price=price)
    assert spending.billed == (0 if cost is None else round(cost * PICO))
    assert (spending.cost_usd is None) == (cost is None)


def test_nothing_asked_of_a_critic_without_a_price_is_not_said_to_cost_nothing() -> None:
    assert account(None, None).spending.cost_usd is None
    assert account(None).spending.cost_usd == 0.0


def test_replies_without_token_counts_and_bills_beyond_the_worst_case_are_told() -> None:
    one = account(1000)
    for usage in (Usage(), Usage(), Usage(input=50)):
        bill = Bill(one, question(9))
        assert bill.reserve()
        bill.settle(usage)
    assert [remark.split()[0] for remark in one.spending.remarks()] == ["2", "1"]
    assert one.spending.billed == 9 + 9 + 50


class Erratic:
    """Answers, fails and asks for patience at random, and is gone for good after so many questions."""

    def __init__(self, name: str, seed: int, gone_after: int) -> None:
        self.name = name
        self.draw = random.Random(seed)
        self.left = gone_after

    async def ask(self, question: Question) -> Reply:
        await asyncio.sleep(self.draw.random() * 0.004)
        self.left -= 1
        if self.left < 0:
            raise CriticGone("no more.")
        match self.draw.randrange(8):
            case 0:
                raise Hiccup("lost", retry_after_s=0.001)
            case 1:
                raise Busy("429", retry_after_s=0.002)
            case _:
                size = sum(len(message.content) for message in question.messages)
                return Reply(question.format.answer("first"), finish_reason="stop", usage=Usage(size // 4, 0, 2))


@pytest.mark.parametrize("seed", range(12))
def test_a_run_that_stops_while_many_wait_for_money_ends(seed: int) -> None:
    draw = random.Random(seed)
    critics = [Erratic(f"c{number}", seed + number, draw.randrange(20, 100)) for number in range(draw.randrange(1, 4))]
    # A question may come to about 0.004 USD: a few at a time.
    options = {"price": (1.0, 10.0), "max_cost": draw.choice([0.02, 0.05, 0.2]), "max_tokens": 50, "template": "quick"}
    outcomes = []

    async def run() -> None:
        async with asyncio.timeout(60):
            async for outcome in af.label_async(some_pairs(60), critic=critics, concurrency=32, retries=2, **options):
                outcomes.append(outcome)

    with pytest.raises((BudgetSpent, CriticGone)):
        asyncio.run(run())
    assert len(outcomes) == 60
