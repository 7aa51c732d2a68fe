"""What can go wrong, as a tree, by what the caller can do about it.

    AifeedbackError
    ├── InputError         fix the input: a file, a line, a field
    ├── SettingsError      fix the command line, the environment or aifeedback.toml
    │   └── TemplateError  fix the template, criteria or examples file
    ├── StoreError         the store of replies can't be used as it is
    │   └── MissingReplies a replay needs replies that are not in it
    ├── OutputError        the output can't be written: a full disk, a folder that is gone
    ├── Wait               the same question may be answered later
    │   ├── Busy           the endpoint asked for a slower pace
    │   ├── Away           nobody answers at the endpoint's address
    │   └── Hiccup         this one request went wrong
    ├── GiveUp             this one question has no answer; the pair gets a status, the run goes on
    └── StopRun            no further question can be answered
        ├── CriticGone     credentials, quota, model or endpoint
        └── BudgetSpent    --max-requests or --max-cost is used up

Each message is one line that says what, where and, after a full stop, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aifeedback.records import Status


class AifeedbackError(Exception):
    """Anything that this package raises on purpose. `str()` is fit to be shown to a user.

    `free`: the request that met it certainly cost nothing.
    """

    free = False


class InputError(AifeedbackError):
    """The input can't be read, or a line of it can't be used.

    `file` and `line` (from 1; 0 where the whole file is meant) say where.
    """

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return where + super().__str__()


class SettingsError(AifeedbackError):
    """A flag, a variable or a line of aifeedback.toml is wrong."""


class TemplateError(SettingsError):
    """A template, criteria or examples file is wrong; `line` counts from 1, 0 where unknown."""

    def __init__(self, message: str, *, path: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.path = path
        self.line = line

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line}: " if self.line else f"{self.path}: " if self.path else ""
        return where + super().__str__()


class StoreError(AifeedbackError):
    """The store can't be opened, read or written."""


class MissingReplies(StoreError):
    """A replay needs replies that the store does not hold."""


class OutputError(AifeedbackError):
    """An output can't be written."""


class Wait(AifeedbackError):
    """No answer this time; `retry_after_s` is how long the endpoint asked to be left alone (0: it didn't say)."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Busy(Wait):
    """Rate limited or overloaded (429, 529): no attempt of the question, the whole endpoint slows down."""

    free = True


class Away(Wait):
    """Refused, unknown host, unreachable: no attempt of the question, the endpoint is waited for."""

    free = True


class Hiccup(Wait):
    """A server error, a lost connection, a time-out or a broken body: one attempt of the question is used."""


class GiveUp(AifeedbackError):
    """One question stays without an answer. `status` is what its pair gets."""

    def __init__(self, message: str, *, status: Status) -> None:
        super().__init__(message)
        self.status = status


class StopRun(AifeedbackError):
    """Going on is pointless: every further question would meet the same."""


class CriticGone(StopRun):
    """Credentials refused, quota used up, no such model, or the endpoint stayed away."""


class BudgetSpent(StopRun):
    """The limit on requests or on money is used up: nothing was sent."""

    free = True
