"""A full disk or memory, met as one line: each library has an error of its own for it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from aifeedback.errors import OutputError, SettingsError, StopRun

_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# How torch (which writes zip files in C++) and safetensors (Rust) tell of it, and torch of memory on a CPU.
_DISK = re.compile(
    r"PytorchStreamWriter|inline_container|file write failed|No space left|File too large|quota exceeded"
)
_MEMORY = re.compile(r"out of memory|can't allocate memory|Cannot allocate memory", re.IGNORECASE)


@contextmanager
def while_loading(model: str) -> Iterator[None]:
    """Tell what is wrong with a model that can't be loaded. Raises SettingsError, and StopRun where room runs out."""
    try:
        yield
    except Exception as error:
        if (full := _full(error)) is not None:
            raise StopRun(full) from error
        # Torn weights, none at all, weights of another shape, an argument that the model's class doesn't take.
        if isinstance(error, OSError | RuntimeError | ValueError | TypeError | EOFError | ImportError) or _foreign(
            error
        ):
            raise SettingsError(f"{model} can't be trained: {first_line(error)}") from error
        raise


@contextmanager
def while_training(then: str) -> Iterator[None]:
    """Tell what stopped a run, and `then` what can be done. Raises StopRun where disk or memory end.

    A fault of the code passes through.
    """
    try:
        yield
    except OutputError as error:
        raise StopRun(f"{error} {then}".rstrip()) from error
    except Exception as error:
        if (full := _full(error)) is not None:
            raise StopRun(f"{full} {then}".rstrip()) from error
        if isinstance(error, OSError):
            where = f" {error.filename}" if error.filename else ""
            raise StopRun(f"can't go on:{where} {error.strerror or error}. {then}".rstrip()) from error
        raise


def _full(error: Exception) -> str | None:
    """What has run out and what to do about it; None where nothing has."""
    import torch

    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return "out of GPU memory. Begin anew with a lower --batch-size and a higher --grad-accum, a lower --max-length, or --4bit."
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _MEMORY.search(text)):
        return "out of memory. Begin anew with a lower --batch-size and a higher --grad-accum, or a lower --max-length."
    of_files = isinstance(error, RuntimeError) or _foreign(error)
    if (isinstance(error, OSError) and error.errno in _ROOM) or (of_files and _DISK.search(text)):
        where = f" {error.filename}" if isinstance(error, OSError) and error.filename else ""
        why = error.strerror if isinstance(error, OSError) else first_line(error)
        return f"can't write{where}, as if the disk were full ({why}). Make room."
    return None


def _foreign(error: Exception) -> bool:
    """Whether it is an error of safetensors, of zip files or of a pickle, which are no kin to those of the system."""
    return type(error).__name__ in {"SafetensorError", "BadZipFile", "UnpicklingError"}


def first_line(error: BaseException) -> str:
    """The gist of an error of somebody else's, which may be a page, without its full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= 300 else text[:299] + "…").rstrip(".")
