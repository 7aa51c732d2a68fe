"""A folder belongs to one run at a time: two that write to it would leave what neither of them made."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from aifeedback.errors import OutputError, SettingsError
from aifeedback.publish import locked
from aifeedback.training import hardware
from aifeedback.training.settings import TrainSettings

Run = TypeVar("Run", bound=Callable[..., object])
_LOCK = ".lock"


def one_at_a_time(run: Run) -> Run:
    """Claim the output of a run as long as it goes on. Of several processes the first one does so for all."""

    @wraps(run)
    def claiming(settings: TrainSettings, **more: object) -> object:
        with contextlib.nullcontext() if hardware.rank() else claimed(Path(settings.output)):
            return run(settings, **more)

    return cast("Run", claiming)


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """Make the folder and lock it, so that what can't be written is known before anything is read.

    A lock ends with its process, however that ends. What was made and is still empty is removed again.
    Raises SettingsError, and OutputError where the folder can't be made or another run writes to it.
    """
    if output.exists() and not output.is_dir():
        raise SettingsError(f"-o {output} is a file. Name a folder.")
    new = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        try:
            output.mkdir(parents=True, exist_ok=True)
            lock = _lock(output)
        except OSError as error:
            raise OutputError(f"-o {output} can't be written: {error.strerror or error}. Choose another -o.") from error
        with lock:
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    (output / _LOCK).unlink()
    finally:
        with contextlib.suppress(OSError):
            for folder in new:
                folder.rmdir()


def _lock(output: Path) -> BinaryIO:
    while True:
        stream = (output / _LOCK).open("ab")
        if not locked(stream):
            stream.close()
            raise OutputError(f"-o {output} is being written by another run. Wait for it, or choose another -o.")
        # The run that held the lock may have removed the file in between.
        with contextlib.suppress(OSError):
            if os.fstat(stream.fileno()).st_ino == (output / _LOCK).stat().st_ino:
                return stream
        stream.close()
