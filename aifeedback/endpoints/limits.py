"""What response headers say about an endpoint's limits: how long to wait, how much a minute, how much is left."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

_LONGEST_WAIT_S = 7 * 86400.0
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_WINDOW = re.compile(r";\s*w=(\d+)")


@dataclass(frozen=True, slots=True)
class Allowance:
    """A limit on requests or tokens: so many `a_minute` (0: not said), of which `left` remain (None: not said).

    `reset_s`: seconds until more is given, 0 where that is not said.
    """

    a_minute: float = 0.0
    left: float | None = None
    reset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one response's headers said; None where it said nothing."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


# Limit, remaining and reset as makers call them. Those of the first two are a minute's by their documentation.
_A_MINUTE = {
    "requests": (
        ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        ("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ),
    "tokens": (
        ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
        ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ),
}  # fmt: skip
# These say nothing of their window unless it is spelled out.
_UNSAID = (
    ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)


def read_limits(headers: Mapping[str, str]) -> Limits:
    """The limits in `headers`, whose names must be found in any case: OpenAI's, Anthropic's, and the IETF's draft."""
    requests = _first(headers, _A_MINUTE["requests"], window_s=60.0) or _first(headers, _UNSAID, window_s=0.0)
    return Limits(requests, _first(headers, _A_MINUTE["tokens"], window_s=60.0))


def _first(headers: Mapping[str, str], names: tuple[tuple[str, str, str], ...], window_s: float) -> Allowance | None:
    for limit, left, reset in names:
        if limit in headers or left in headers:
            return _allowance(headers.get(limit, ""), headers.get(left, ""), headers.get(reset, ""), window_s)
    return None


def _allowance(limit: str, left: str, reset: str, window_s: float) -> Allowance:
    if spelled := _WINDOW.search(limit):
        window_s = float(spelled[1])
    most = _number(limit.partition(",")[0].partition(";")[0])
    return Allowance(
        most * 60 / window_s if most and window_s else 0.0,
        _number(left) if left.strip() else None,
        seconds_until(reset),
    )


def _number(text: str) -> float:
    with contextlib.suppress(ValueError):
        number = float(text)
        if 0 <= number < 1e15:
            return number
    return 0.0


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the endpoint asks to be left alone: a number, fractions too, or an HTTP date; 0 where it doesn't."""
    for name, read in (
        ("retry-after-ms", lambda text: float(text) / 1000),
        ("retry-after", float),
        ("retry-after", lambda text: email.utils.parsedate_to_datetime(text).timestamp() - time.time()),
    ):
        with contextlib.suppress(ValueError, OverflowError):
            return _sane(read(headers.get(name, "")))
    return 0.0


def seconds_until(text: str) -> float:
    """When a limit is given anew, in seconds from now: `1m30s`, `20ms`, `12.5`, an RFC 3339 date, an epoch; 0 for none."""
    text = text.strip()
    found = _DURATION.fullmatch(text)
    if text and found:
        days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
        return _sane(((days * 24 + hours) * 60 + minutes) * 60 + seconds + milliseconds / 1000)
    with contextlib.suppress(ValueError, OverflowError):
        number = float(text)
        if number < 1e9:
            return _sane(number)
        return _sane(number / (1000 if number > 1e11 else 1) - time.time())
    with contextlib.suppress(ValueError, OverflowError):
        return _sane(datetime.fromisoformat(text).timestamp() - time.time())
    return 0.0


def _sane(seconds: float) -> float:
    return seconds if 0 < seconds < _LONGEST_WAIT_S else 0.0
