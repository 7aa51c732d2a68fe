"""Limits as makers announce them in headers."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.limits import Allowance, Limits, read_limits, retry_after, seconds_until

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (
            {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599", "x-ratelimit-reset-requests": "100ms",
             "x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s"},
            Limits(Allowance(600, 599, 0.1), Allowance(150_000, 149_984, 360)),
        ),
        ({"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "0"}, Limits(Allowance(50, 0, 0), None)),
        ({"ratelimit-limit": "10", "ratelimit-remaining": "3", "ratelimit-reset": "7"}, Limits(Allowance(0, 3, 7), None)),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "3"}, Limits(Allowance(100, 3, 0), None)),
        ({"ratelimit-limit": "5;w=1"}, Limits(Allowance(300, None, 0), None)),
        ({"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "few"}, Limits(Allowance(0, 0, 0), None)),
        ({"content-type": "application/json"}, Limits(None, None)),
    ],
    ids=["openai", "anthropic", "ietf", "ietf with a window", "a second's", "nonsense", "none"],
)  # fmt: skip
def test_each_maker_s_headers_are_read(headers: dict[str, str], limits: Limits):
    assert read_limits(headers) == limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("20ms", 0.02), ("1m30s500ms", 90.5), ("12", 12), ("0.5", 0.5), ("2d", 172_800),
     ("", 0), ("soon", 0), ("-5", 0), ("nan", 0), ("inf", 0), ("1e300", 0), ("60m", 3600)],
)  # fmt: skip
def test_a_time_until_more_is_given_is_read_in_every_spelling(text: str, seconds: float):
    assert seconds_until(text) == pytest.approx(seconds)


@pytest.mark.parametrize("form", ["rfc3339", "z", "epoch", "milliseconds"])
def test_a_date_on_which_more_is_given_is_read_as_the_time_until_then(form: str):
    text = {
        "rfc3339": TOMORROW.isoformat(),
        "z": TOMORROW.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "epoch": str(int(TOMORROW.timestamp())),
        "milliseconds": str(int(TOMORROW.timestamp() * 1000)),
    }[form]
    assert 86_000 < seconds_until(text) <= 86_400


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [({"retry-after": "2"}, 2, 2), ({"retry-after": "0.25"}, 0.25, 0.25), ({"retry-after-ms": "300", "retry-after": "1"}, 0.3, 0.3),
     ({"retry-after": formatdate(time.time() + 3600, usegmt=True)}, 3000, 3601), ({"retry-after": formatdate(0, usegmt=True)}, 0, 0),
     ({"retry-after": "-3"}, 0, 0), ({"retry-after": "a while"}, 0, 0), ({}, 0, 0)],
)  # fmt: skip
def test_how_long_to_wait_is_read_as_a_number_a_fraction_or_a_date(headers: dict[str, str], low: float, high: float):
    assert low <= retry_after(headers) <= high


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
                "ratelimit-limit",
                "retry-after",
            ]
        ),
        st.text(max_size=30),
    )
)
def test_no_header_raises_and_no_wait_is_negative_or_endless(headers: dict[str, str]):
    found = read_limits(headers).requests
    assert found is None or (found.a_minute >= 0 and 0 <= found.reset_s < 8 * 86_400)
    assert 0 <= retry_after(headers) < 8 * 86_400
