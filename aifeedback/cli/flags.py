"""What flags say: texts become values, or one clear line about what is wrong with them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import typer

from aifeedback.errors import SettingsError

if TYPE_CHECKING:
    from aifeedback.cli.main import Common
    from aifeedback.ending import MaxFailed
    from aifeedback.gates import Gates
    from aifeedback.records import Order


def orders_of(word: str) -> tuple[Order, ...]:
    """What `--orders` says."""
    from aifeedback.records import Order

    return (Order.AB, Order.BA) if word == "both" else (Order(word),)


def given(ctx: typer.Context) -> frozenset[str]:
    """The parameters that the command line or the environment sets: what aifeedback.toml says comes after them."""
    named = {name for name in ctx.params if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")}
    return cast("Common", ctx.obj).from_environment | named


def inputs_of(paths: list[str] | None, command: str) -> list[str]:
    """The files that are named, or stdin; raises SettingsError where that is a terminal."""
    if paths:
        return paths
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingsError(f"no input. Name a file (aifeedback {command} pairs.jsonl) or pipe pairs in.")
    return ["-"]


def renames(texts: list[str]) -> dict[str, str]:
    """What `--map` says: our names to the input's. Raises SettingsError."""
    found: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        ours, equals, theirs = part.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise SettingsError(f"--map {part!r} is not OURS=THEIRS. Write for instance --map prompt=question.")
        found[ours.strip()] = theirs.strip()
    return found


def seconds(text: str, flag: str) -> float:
    """A duration such as 90, 90s, 10m or 1h."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|)\s*", text)
    if not match or (flag == "--timeout" and float(match[1]) == 0):
        raise SettingsError(f"{flag} {text!r} is no time. Write for instance 90, 90s or 10m.")
    return float(match[1]) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[match[2]]


def max_failed_of(text: str) -> MaxFailed:
    """How many troubled pairs are allowed."""
    from aifeedback.ending import MaxFailed

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    if not match:
        raise SettingsError(f"--max-failed {text!r} is neither a count nor a share. Write for instance 5, 0.01 or 1%.")
    number = float(match[1])
    if match[2]:
        return MaxFailed(number / 100, is_share=True)
    return MaxFailed(number, is_share="." in match[1] and number <= 1)


def gates_of(flags: Mapping[str, Any]) -> Gates:
    """The gates that the flags set. Raises SettingsError."""
    from aifeedback.gates import Gates, limit_of

    return Gates(
        min_consistency=limit_of("min-consistency", flags["min_consistency"]),
        min_accuracy=limit_of("min-accuracy", flags["min_accuracy"]),
        min_kappa=limit_of("min-kappa", flags["min_kappa"]),
        max_longer_rate=limit_of("max-longer-rate", flags["max_longer_rate"]),
        on=flags["gate_on"],
    )
