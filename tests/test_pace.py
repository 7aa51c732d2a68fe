"""The pace finds what an endpoint bears, and gives way at once. No test here waits: the loop's clock is a fake."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from aifeedback.endpoints import pace as pace_module
from aifeedback.endpoints.pace import Pace
from aifeedback.testing.pace import Bucket


class FakeTime(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time; who waits for what never comes is an error."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        return self.now


class _Skipping(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    def __init__(self, loop: FakeTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everybody waits for ever"
        self._loop.now += timeout
        return super().select(0)


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a coroutine to its end in fake time."""

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=FakeTime) as runner:
            loop = runner.get_loop()
            monkeypatch.setattr(pace_module, "time", SimpleNamespace(monotonic=loop.time))
            runner.run(coroutine)

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


Serve = Callable[[float, int], Awaitable[None]]


class Load:
    """Workers that always have something to ask; `serve` is the endpoint, given when it was asked and as the how-manieth at that time."""

    def __init__(self, pace: Pace, serve: Serve, workers: int) -> None:
        self.pace = pace
        self.starts: list[float] = []
        self.most = 0
        self._serve = serve
        self._tasks = [asyncio.create_task(self._work()) for _ in range(workers)]

    async def _work(self) -> None:
        while True:
            at = await self.pace.slot()
            assert at == self.pace.in_flight <= self.pace.limit <= self.pace.ceiling
            self.most = max(self.most, at)
            self.starts.append(now())
            await self._serve(now(), at)
            self.pace.done()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome


def steady(pace: Pace, latency_s: float = 1.0) -> Serve:
    async def serve(started: float, at: int) -> None:
        await asyncio.sleep(latency_s)
        pace.answered(now() - started, at)

    return serve


@pytest.mark.parametrize("ceiling", [1, 2, 5, 64, 100, 300])
def test_never_more_are_in_flight_than_the_limit_or_the_ceiling(run: Run, ceiling: int):
    async def main() -> None:
        pace = Pace(ceiling)
        assert pace.limit == min(ceiling, 64)
        load = Load(pace, steady(pace), workers=400)
        await asyncio.sleep(20)
        await load.stop()
        assert load.most == ceiling
        assert pace.limit == ceiling

    run(main())


def test_it_doubles_with_each_clean_round_trip(run: Run):
    async def main() -> None:
        pace = Pace(1000)
        load = Load(pace, steady(pace), workers=1000)
        limits = []
        for _ in range(7):
            await asyncio.sleep(0.5)
            limits.append(int(pace.limit))
            await asyncio.sleep(0.5)
        await load.stop()
        assert limits == [64, 128, 256, 512, 1000, 1000, 1000]

    run(main())


def test_a_limit_that_is_not_used_does_not_grow(run: Run):
    async def main() -> None:
        pace = Pace(1000)
        load = Load(pace, steady(pace), workers=10)
        await asyncio.sleep(50)
        await load.stop()
        assert pace.limit == 64

    run(main())


def test_an_endpoint_that_only_queues_is_not_given_ever_more(run: Run):
    async def main() -> None:
        pace = Pace(4096)

        async def serve(started: float, at: int) -> None:  # bears 100 at a time, everything beyond that waits
            await asyncio.sleep(max(1.0, pace.in_flight / 100))
            pace.answered(now() - started, at)

        load = Load(pace, serve, workers=4096)
        await asyncio.sleep(200)
        await load.stop()
        assert 100 < load.most < 600

    run(main())


def test_it_stays_at_what_an_endpoint_bears_at_a_time_and_is_refused_rarely(run: Run):
    async def main() -> None:
        pace = Pace(256)
        refused = served = 0

        async def serve(started: float, at: int) -> None:  # more than 40 at a time are turned away
            nonlocal refused, served
            if at > 40:
                await asyncio.sleep(0.05)
                refused += 1
                pace.pushed_back(0.0, started, at)
            else:
                await asyncio.sleep(1)
                served += 1
                pace.answered(now() - started, at)

        load = Load(pace, serve, workers=256)
        await asyncio.sleep(60)
        await load.stop()
        assert served > 0.9 * 40 * 60
        assert refused < 0.02 * served

    run(main())


def test_an_endpoint_that_bears_more_after_a_while_gets_more(run: Run):
    async def main() -> None:
        pace, bears = Pace(256), 40

        async def serve(started: float, at: int) -> None:
            if at > bears:
                await asyncio.sleep(0.05)
                pace.pushed_back(0.0, started, at)
            else:
                await asyncio.sleep(0.2)
                pace.answered(now() - started, at)

        load = Load(pace, serve, workers=256)
        await asyncio.sleep(10)
        assert pace.limit == 40
        bears = 1000
        await asyncio.sleep(60)
        await load.stop()
        assert pace.limit == 256

    run(main())


def test_refusals_that_have_nothing_to_do_with_the_number_do_not_strangle_it(run: Run):
    async def main() -> None:
        pace, generator, served = Pace(256), random.Random(5), 0

        async def serve(started: float, at: int) -> None:
            nonlocal served
            if generator.random() < 0.2:
                await asyncio.sleep(0.01)
                pace.pushed_back(1.0, started, at)
            else:
                await asyncio.sleep(0.02)
                served += 1
                pace.answered(now() - started, at)

        load = Load(pace, serve, workers=256)
        await asyncio.sleep(120)
        await load.stop()
        assert served > 120 * 30

    run(main())


def test_six_hundred_a_minute_as_the_headers_say_are_used_and_hardly_ever_refused(run: Run):
    async def main() -> None:
        pace, bucket = Pace(256, first_alone=True), Bucket(600)
        refused = served = 0

        async def serve(started: float, at: int) -> None:
            nonlocal refused, served
            taken = bucket.take(now())
            await asyncio.sleep(0.3)
            pace.told(bucket.headers())
            if taken:
                served += 1
                pace.answered(now() - started, at)
            else:
                refused += 1
                pace.pushed_back(1.0, started, at)

        load = Load(pace, serve, workers=256)
        await asyncio.sleep(60)
        await load.stop()
        assert served > 0.95 * 600
        assert refused < 0.01 * served

    run(main())


def test_what_is_left_of_a_large_allowance_is_spent_at_once(run: Run):
    async def main() -> None:
        pace, served = Pace(64, first_alone=True), 0

        async def serve(started: float, at: int) -> None:
            nonlocal served
            await asyncio.sleep(0.1)
            served += 1
            left = str(max(0, 600 - served))
            pace.told({"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": left})
            pace.answered(now() - started, at)

        load = Load(pace, serve, workers=64)
        await asyncio.sleep(3)
        await load.stop()
        assert 400 < served < 600

    run(main())


def test_the_first_request_goes_alone_until_it_is_answered(run: Run):
    async def main() -> None:
        pace = Pace(256, first_alone=True)
        load = Load(pace, steady(pace, 0.5), workers=100)
        await asyncio.sleep(0.4)
        assert load.most == 1
        await asyncio.sleep(0.2)
        await load.stop()
        assert load.most == 65

    run(main())


def test_a_first_request_that_takes_its_time_gets_a_few_companions(run: Run):
    async def main() -> None:
        pace = Pace(256, first_alone=True)
        load = Load(pace, steady(pace, 30.0), workers=100)
        await asyncio.sleep(29)
        assert load.most == 4
        await asyncio.sleep(2)
        await load.stop()
        assert load.most > 30

    run(main())


@pytest.mark.parametrize("how", ["it went wrong", "it will not be answered"])
def test_a_first_request_without_an_answer_holds_nobody_up(run: Run, how: str):
    async def main() -> None:
        pace = Pace(256, first_alone=True)
        await pace.slot()
        (pace.heard if how == "it will not be answered" else lambda: pace.went_wrong(0.0, now()))()
        pace.done()
        load = Load(pace, steady(pace), workers=100)
        await asyncio.sleep(0.5)
        await load.stop()
        assert load.most == 64

    run(main())


def test_tokens_a_minute_are_kept_to_by_what_requests_took_so_far(run: Run):
    async def main() -> None:
        pace = Pace(16, tpm=60_000)

        async def serve(started: float, at: int) -> None:
            await asyncio.sleep(0.1)
            pace.answered(now() - started, at, tokens=500)

        load = Load(pace, serve, workers=16)
        await asyncio.sleep(60)
        await load.stop()
        assert 0.95 * 120 < len(load.starts) <= 121 + 16  # the first ones start before anything is known

    run(main())


@pytest.mark.parametrize(
    ("retry_after_s", "round_trip_s", "wait"),
    [(7.0, 1.0, 7.0), (0.0, 1.0, 1.0), (0.0, 0.0, 0.1), (0.0, 0.01, 0.1), (0.0, 30.0, 5.0), (60.0, 0.0, 60.0)],
)
def test_what_the_endpoint_says_about_waiting_holds_for_all(
    run: Run, retry_after_s: float, round_trip_s: float, wait: float
):
    async def main() -> None:
        pace = Pace(1)
        at = await pace.slot()
        pace.done()
        if round_trip_s:
            pace.answered(round_trip_s, at)
        pace.pushed_back(retry_after_s, now(), at)
        pushed = now()
        waiting = asyncio.create_task(pace.slot())
        await asyncio.sleep(wait - 0.01)
        assert not waiting.done()
        await waiting
        assert now() - pushed == pytest.approx(wait, abs=0.001)

    run(main())


def test_a_shorter_wait_does_not_shorten_a_longer_one(run: Run):
    async def main() -> None:
        pace, begun = Pace(16), now()
        pace.pushed_back(30.0, now(), 1)
        pace.pushed_back(1.0, now(), 2)
        await pace.slot()
        assert now() - begun == pytest.approx(30)

    run(main())


def test_after_a_pause_one_request_goes_first(run: Run):
    async def main() -> None:
        pace = Pace(16)
        begun = now()
        pace.pause(10)
        load = Load(pace, steady(pace), workers=16)
        await asyncio.sleep(9.9)
        assert load.starts == []
        await asyncio.sleep(0.6)
        assert [start - begun for start in load.starts] == pytest.approx([10])
        await asyncio.sleep(1)
        assert pace.in_flight == 2
        await asyncio.sleep(20)
        assert pace.in_flight == 16
        await load.stop()

    run(main())


def test_requests_a_minute_start_at_even_distances(run: Run):
    async def main() -> None:
        pace, begun = Pace(16, rpm=120), now()
        load = Load(pace, steady(pace, 3.0), workers=20)
        await asyncio.sleep(59.9)
        await load.stop()
        assert [start - begun for start in load.starts] == pytest.approx(
            [number / 2 for number in range(120)], abs=0.01
        )

    run(main())


def test_time_in_which_nothing_was_asked_is_not_made_up_for(run: Run):
    async def main() -> None:
        pace, begun = Pace(16, rpm=60), now()
        starts = []
        await pace.slot()
        await asyncio.sleep(100.5)
        for _ in range(3):
            await pace.slot()
            starts.append(now() - begun)
        assert starts == pytest.approx([100.5, 101.5, 102.5], abs=0.01)

    run(main())


def test_the_limit_holds_under_requests_a_minute_too(run: Run):
    async def main() -> None:
        pace = Pace(2, rpm=600)
        load = Load(pace, steady(pace, 5.0), workers=10)
        await asyncio.sleep(49.9)
        await load.stop()
        assert load.most == 2
        assert len(load.starts) == 20

    run(main())


@pytest.mark.parametrize("how", ["no slot is free", "the endpoint wants a pause", "the next start is far off"])
def test_closing_wakes_everybody(run: Run, how: str):
    async def main() -> None:
        pace = Pace(2, rpm=0.001 if how == "the next start is far off" else 0.0)
        await pace.slot()
        if how == "no slot is free":
            await pace.slot()
        elif how == "the endpoint wants a pause":
            pace.pushed_back(10_000.0, now(), 1)
        waiting = [asyncio.create_task(pace.slot()) for _ in range(10)]
        sleeping = asyncio.create_task(pace.sleep(10_000))
        await asyncio.sleep(1)
        assert not any(task.done() for task in (*waiting, sleeping))
        begun = now()
        pace.close()
        await asyncio.gather(*waiting, sleeping)
        await pace.slot()
        await pace.sleep(100)
        assert now() == begun
        for _ in range(pace.in_flight):
            pace.done()
        assert pace.in_flight == 0

    run(main())


def test_sleeping_ends_by_itself(run: Run):
    async def main() -> None:
        pace, begun = Pace(1), now()
        await pace.sleep(5)
        assert now() - begun == pytest.approx(5)

    run(main())


def test_who_waits_is_served_in_turn(run: Run):
    async def main() -> None:
        pace = Pace(1)
        served: list[int] = []

        async def work(number: int) -> None:
            await pace.slot()
            served.append(number)
            await asyncio.sleep(1)
            pace.done()

        await asyncio.gather(*(work(number) for number in range(10)))
        assert served == list(range(10))

    run(main())


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "when its turn has come"])
def test_a_waiter_that_is_cancelled_passes_its_turn_on(run: Run, late: bool):
    async def main() -> None:
        pace = Pace(1)
        await pace.slot()
        first, second = (asyncio.create_task(pace.slot()) for _ in range(2))
        await asyncio.sleep(1)
        if late:
            pace.done()
            first.cancel()
        else:
            first.cancel()
            await asyncio.sleep(1)
            pace.done()
        await second
        assert first.cancelled()
        assert pace.in_flight == 1

    run(main())
