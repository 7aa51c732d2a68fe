"""Other people's libraries neither talk nor report to their makers, unless that is wanted."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOUD = ("transformers", "trl", "peft", "accelerate", "datasets", "torch", "huggingface_hub")


@contextmanager
def quiet(*, telemetry: bool, verbose: bool) -> Iterator[None]:
    """Keep them quiet; `verbose` lets them talk, `telemetry` report."""
    if not telemetry:
        # Read when huggingface_hub is imported; what the user has set stays.
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if verbose:
        yield
        return
    import datasets
    from transformers.utils import logging as transformers_logging

    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    try:
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings(), _bars_on_terminals_only():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """TRL draws a bar while it computes log-probabilities ahead, whatever stderr is, and has no setting for it."""
    import accelerate.utils
    from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore] # it comes without types

    def bar(*arguments: Any, disable: bool = False, **more: Any) -> Any:  # noqa: ANN401 - tqdm's own
        return tqdm(*arguments, disable=True if disable else None, **more)

    # By its name the package has the function of that name, not the module.
    module: Any = sys.modules[f"{accelerate.utils.__name__}.tqdm"]
    theirs, module._tqdm = module._tqdm, bar  # noqa: SLF001
    try:
        yield
    finally:
        module._tqdm = theirs  # noqa: SLF001
