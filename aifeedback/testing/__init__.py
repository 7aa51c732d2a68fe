"""For tests, ours and yours: critics that need no model, and a server that fails as it is told."""

from aifeedback.testing.critics import (
    AlwaysFirst,
    AlwaysSecond,
    AlwaysTie,
    BiasedCritic,
    FailingCritic,
    FairCritic,
    ScriptedCritic,
)
from aifeedback.testing.server import Server, StartServer
from aifeedback.testing.tally import key_mark

__all__ = [
    "AlwaysFirst",
    "AlwaysSecond",
    "AlwaysTie",
    "BiasedCritic",
    "FailingCritic",
    "FairCritic",
    "ScriptedCritic",
    "Server",
    "StartServer",
    "key_mark",
]
