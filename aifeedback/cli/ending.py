"""How a run ends: what was missed is told, on stderr and on a CI job's page, and the exit code says it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aifeedback.ending import Check, exit_code

if TYPE_CHECKING:
    from aifeedback.cli.main import Common

PAGE_VARIABLE = "GITHUB_STEP_SUMMARY"


def end(checked: Sequence[Check], common: Common, *, page: Callable[[], str], withheld: str = "") -> int:
    """Tell what was missed, and return the exit code.

    `page`: writes the Markdown for the job's page, asked only where there is one. `withheld`: said where nothing went
    into a pipe.
    """
    for check in checked:
        if not check.passed:
            common.screen.error(check.missed)
    if withheld:
        common.screen.note(withheld)
    _add_to_page(page, common)
    return exit_code(checked)


def _add_to_page(page: Callable[[], str], common: Common) -> None:
    """Append to the file that GitHub shows; a run is as good as it is, whether that can be written or not."""
    path = os.environ.get(PAGE_VARIABLE)
    if not path:
        return
    try:
        with open(path, "a", encoding="utf-8", errors="replace") as file:
            file.write(page() + "\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        common.screen.note(f"{PAGE_VARIABLE} {path} can't be written: {why}. The job's page goes without the summary.")
