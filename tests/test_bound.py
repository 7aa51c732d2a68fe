"""Beyond how many at a time an endpoint refuses, from what it refused and what it answered."""

from __future__ import annotations

import random
from collections.abc import Callable

from aifeedback.endpoints.bound import Bound


def asked(bound: Bound, refuses: Callable[[int], bool], seconds: float, now: float = 0.0) -> tuple[float, int, int]:
    """Ask as many at a time as the bound lets through, a round trip of 0.2 s after the other; the time, answers, refusals."""
    answered, refused, end = 0, 0, now + seconds
    while now < end:
        bound.reached(now)
        started, many = now, int(bound.value)
        now += 0.2
        for at in range(1, many + 1):
            if refuses(at):
                refused += 1
                bound.refused(started, at, now)
            else:
                answered += 1
                bound.answered(at, now)
    return now, answered, refused


def test_what_is_borne_is_found_and_hardly_ever_passed_again():
    bound = Bound(64)
    now, _, _ = asked(bound, lambda at: at > 40, 1.0)
    assert bound.value == 40
    _, answered, refused = asked(bound, lambda at: at > 40, 60.0, now)
    assert refused < 0.01 * answered
    assert 40 <= bound.value <= 41


def test_a_number_at_which_a_few_are_refused_is_a_little_too_high():
    drawn = random.Random(2)
    bound = Bound(64)
    now, _, _ = asked(bound, lambda at: at > 43 or (at > 40 and drawn.random() < 0.3), 10.0)
    _, answered, refused = asked(bound, lambda at: at > 43 or (at > 40 and drawn.random() < 0.3), 60.0, now)
    assert refused < 0.02 * answered
    assert 35 <= bound.value <= 44


def test_an_endpoint_that_bears_more_than_it_did_is_given_more():
    bound = Bound(256)
    now, _, _ = asked(bound, lambda at: at > 20, 5.0)
    assert 20 <= bound.value <= 21
    asked(bound, lambda _: False, 60.0, now)
    assert bound.value == 256


def test_refusals_that_strike_at_random_do_not_press_it_to_nothing():
    drawn = random.Random(3)
    bound = Bound(64)
    asked(bound, lambda _: drawn.random() < 0.2, 120.0)
    assert bound.value > 20


def test_answers_well_beyond_it_show_that_it_was_none():
    bound = Bound(64)
    bound.refused(0.0, 5, 0.1)
    assert bound.value == 4
    for at in (20, 30, 40):
        bound.answered(at, 0.2)
    assert bound.value == 64
