"""A run until its end or a signal: then what was answered is kept, and the process ends with 128 + signal."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from aifeedback.cli.main import Common
    from aifeedback.labeling import Progress
    from aifeedback.summary import Tally

T = TypeVar("T")


def run_until_signal(
    start: Callable[[Callable[[Progress, Tally], None]], Awaitable[T]], common: Common, *, stored: bool
) -> T:
    """Run what `start` begins, which is given a way to show its progress. `stored`: replies are kept beyond the run."""
    # Thousands of small objects are on their way at a time and hardly any form a cycle: to look for cycles among them
    # as often as Python does by itself is a tenth of all that a run costs.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None, "we run inside a task"
        received: list[int] = []
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # under nohup, or in a background job: whoever started us wants it ignored
            loop.add_signal_handler(number, _interrupt, number, received, task)
        with ExitStack() as stack:
            try:
                return await start(lambda progress, tally: stack.enter_context(common.screen.progress(progress, tally)))
            except asyncio.CancelledError as ended:
                stack.close()
                kept = "the replies so far are stored. The same command goes on from there."
                common.screen.error(f"interrupted; {kept if stored else 'without a store, no reply is kept.'}")
                for note in getattr(ended, "__notes__", ()):
                    common.screen.note(note)
                # Python's own handler heard a signal that came before ours.
                _leave(128 + (received[0] if received else signal.SIGINT))
            except BrokenPipeError:
                stack.close()
                _leave(0)

    return asyncio.run(main())


def _interrupt(number: int, received: list[int], task: asyncio.Task[Any]) -> None:
    """The first signal ends the run in good order, the second at once."""
    if received:
        _leave(128 + number)
    received.append(number)
    task.cancel()


def _leave(code: int) -> NoReturn:
    """End the process now: a thread may still wait for stdin or for a full pipe, and Python would wait for it."""
    sys.stderr.flush()
    os._exit(code)
