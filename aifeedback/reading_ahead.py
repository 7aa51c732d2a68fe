"""An iterator that may block, read in a thread of its own, a little ahead."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

THREAD_NAME = "aifeedback-reader"
_AHEAD = 2

T = TypeVar("T")


async def read_ahead(items: Iterator[T]) -> AsyncIterator[list[T]]:
    """The items, as many at a time as have come, at most 2 read before they are wanted. Raises what `items` raises.

    The thread is a daemon: where it waits for a pipe that says nothing, nobody waits for it.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(_AHEAD)
    over = threading.Event()

    def hand_over(item: tuple[T] | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody wants it any more
            loop.call_soon_threadsafe(arrived.put_nowait, item)

    def pump() -> None:
        try:
            room.acquire()
            for item in items:
                hand_over((item,))
                room.acquire()
                if over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where the items are wanted
            hand_over(error)
        else:
            hand_over(None)

    threading.Thread(target=pump, name=THREAD_NAME, daemon=True).start()
    try:
        while True:
            come = [await arrived.get()]
            while not arrived.empty():
                come.append(arrived.get_nowait())
            here = [item[0] for item in come if isinstance(item, tuple)]
            if here:
                room.release(len(here))
                yield here
            last = come[-1]
            if isinstance(last, BaseException):
                raise last
            if last is None:
                return
    finally:
        over.set()
        room.release()
