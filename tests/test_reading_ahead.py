"""A blocking iterator is read in a thread of its own, a little ahead and no further."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar, cast

import pytest

from aifeedback.errors import InputError
from aifeedback.reading_ahead import THREAD_NAME, read_ahead

T = TypeVar("T")


async def ahead(items: Iterator[T]) -> AsyncGenerator[T]:
    """One by one what `read_ahead` gives as many at a time as have come."""
    async with aclosing(cast("AsyncGenerator[list[T]]", read_ahead(items))) as come:
        async for several in come:
            assert 1 <= len(several) <= 8
            for item in several:
                yield item


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - another thread makes it true
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 1000])
async def test_the_items_come_in_order(count: int):
    assert [item async for item in ahead(iter(range(count)))] == list(range(count))


async def test_an_item_may_be_nothing_or_an_exception():
    items = [None, ValueError("an item, not raised"), ()]
    assert [item async for item in ahead(iter(items))] == items


class Counting:
    """Counts what is read from it, and from which thread."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self.threads: set[threading.Thread] = set()
        self._count = count

    def __iter__(self) -> Iterator[int]:
        for number in range(self._count):
            self.read += 1
            self.threads.add(threading.current_thread())
            yield number


async def test_only_a_few_items_are_read_before_they_are_wanted():
    source = Counting(100)
    async with aclosing(ahead(iter(source))) as items:
        wanted = 0
        async for _ in items:
            wanted += 1
            if wanted % 25 == 1:
                least = wanted + 1
                await until(lambda least=least: source.read >= least)
                await asyncio.sleep(0.02)
            assert source.read <= wanted + 16
    assert source.read == 100
    assert [thread.name for thread in source.threads] == [THREAD_NAME]


@pytest.mark.parametrize("after", [0, 3])
async def test_what_reading_raises_is_raised_where_the_items_are_wanted(after: int):
    def broken() -> Iterator[int]:
        yield from range(after)
        raise InputError("it can't be read on.", file="pairs.jsonl")

    items = ahead(broken())
    assert [await anext(items) for _ in range(after)] == list(range(after))
    with pytest.raises(InputError, match=r"pairs\.jsonl"):
        await anext(items)


async def test_the_loop_goes_on_while_an_item_is_waited_for():
    gate = threading.Event()

    def slow() -> Iterator[str]:
        gate.wait(20)
        yield "late"

    async def collect() -> list[str]:
        return [item async for item in ahead(slow())]

    collecting = asyncio.create_task(collect())
    await asyncio.sleep(0.02)
    assert not collecting.done()
    gate.set()
    assert await collecting == ["late"]


async def test_a_reader_that_is_no_longer_wanted_stops():
    source = Counting(10**9)
    async with aclosing(ahead(iter(source))) as items:
        async for item in items:
            if item == 3:
                break
    await until(lambda: not any(thread.is_alive() for thread in source.threads))
    assert source.read <= 20


async def test_a_consumer_that_is_cancelled_lets_the_reader_stop():
    gate = threading.Event()
    threads: list[threading.Thread] = []

    def stuck() -> Iterator[int]:
        threads.append(threading.current_thread())
        yield 1
        gate.wait(20)
        yield 2

    async def consume() -> None:
        async with aclosing(ahead(stuck())) as items:
            async for _ in items:
                pass

    consuming = asyncio.create_task(consume())
    await asyncio.sleep(0.02)
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
    gate.set()
    await until(lambda: not threads[0].is_alive())


def test_a_reader_that_waits_for_ever_holds_up_nobodys_end():
    code = """
import asyncio, os
from aifeedback.reading_ahead import read_ahead
ours, theirs = os.pipe()
def lines():
    yield b"one"
    yield os.read(ours, 1)  # nobody ever writes
async def main():
    async for lines_ in read_ahead(lines()):
        print(lines_[0].decode(), flush=True)
        break
asyncio.run(main())
"""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[1],
    )
    assert (done.stdout, done.stderr) == (b"one\n", b"")
    assert time.monotonic() - started < 60
