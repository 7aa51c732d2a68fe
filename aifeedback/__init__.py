"""AI feedback for alignment: response pairs in, labels that a trainer can trust out.

    import aifeedback as af

    pairs = [{"prompt": "What is 2+2?", "response_a": "4", "response_b": "5"}]
    for label in af.label(pairs, critic="openai/gpt-5-mini"):
        print(label.winner, label.preference)

Each name is loaded when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aifeedback.api import Options, evaluate, label, label_async, label_file
    from aifeedback.critics import Critic
    from aifeedback.errors import AifeedbackError
    from aifeedback.records import Invalid, Label, Message, Pair, Question, Reply, Status, Verdict
    from aifeedback.training.run import train
    from aifeedback.training.settings import TrainSettings

__version__ = "0.1.0"

__all__ = [
    "AifeedbackError",
    "Critic",
    "Invalid",
    "Label",
    "Message",
    "Options",
    "Pair",
    "Question",
    "Reply",
    "Status",
    "TrainSettings",
    "Verdict",
    "evaluate",
    "label",
    "label_async",
    "label_file",
    "train",
]

_HOMES = {
    "aifeedback.api": ("Options", "evaluate", "label", "label_async", "label_file"),
    "aifeedback.critics": ("Critic",),
    "aifeedback.errors": ("AifeedbackError",),
    "aifeedback.records": ("Invalid", "Label", "Message", "Pair", "Question", "Reply", "Status", "Verdict"),
    "aifeedback.training.run": ("train",),
    "aifeedback.training.settings": ("TrainSettings",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'aifeedback' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
