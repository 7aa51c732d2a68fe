"""An iterator that may block, read in a thread of its own, a little ahead."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

THREAD_NAME = "aifeedback-reader"
_AHEAD = 8

T = TypeVar("T")


async def read_ahead(items: Iterator[T]) -> AsyncIterator[T]:
    """The items, at most 8 of them read before they are wanted. Raises what `items` raises.

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
        while (item := await arrived.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item[0]
    finally:
        over.set()
        room.release()
