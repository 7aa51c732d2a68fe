"""Whether a refusal is the endpoint's word to all, or strikes single requests."""

from __future__ import annotations

import random

from aifeedback.endpoints.refusals import Refusals


def test_where_all_that_follow_a_refused_one_are_refused_too_it_is_a_limit():
    found = Refusals()
    for second in range(0, 100, 2):
        for number in range(20):
            started = second + number / 1000
            found.answered(started) if number < 5 else found.refused(started)
        found.waits(second + 2)
    assert not found.arbitrary


def test_where_most_that_follow_a_refused_one_are_answered_it_is_arbitrary():
    found, generator = Refusals(), random.Random(1)
    for second in range(0, 100, 2):
        for number in range(20):
            started = second + number / 1000
            found.refused(started) if generator.random() < 0.2 else found.answered(started)
        found.waits(second + 2)
    assert found.arbitrary


def test_answers_after_the_wait_say_nothing_of_the_refusal_before_it():
    found = Refusals()
    for second in range(0, 200, 2):
        found.refused(second)
        found.waits(second + 2)
        found.refused(second + 2)
    assert not found.arbitrary
