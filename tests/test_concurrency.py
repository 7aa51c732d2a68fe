"""How many requests an endpoint bears at a time, from what became of those that were asked."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.concurrency import Concurrency


def test_it_begins_with_sixty_four_or_the_ceiling():
    assert (Concurrency(256).limit, Concurrency(5).limit) == (64, 5)


def test_a_request_refused_beyond_what_was_borne_sets_the_bound_below_it():
    found = Concurrency(256)
    for at in range(1, 65):
        found.answered(0.2, at, 1.0, wanted=True)
    assert found.limit == 128
    assert found.pushed_back(1.0, 90, 1.2)
    assert found.limit == 89
    assert found.pushed_back(1.0, 81, 1.2)  # one of the same burst
    assert found.limit == 80


def test_the_bound_is_tried_again_ever_more_rarely():
    found, now, tries = Concurrency(256), 0.0, []
    while now < 120:
        now += 0.2
        for at in range(1, found.limit + 1):
            if at > 20:
                tries.append(now)
                found.pushed_back(now, at, now)
            else:
                found.answered(0.2, at, now, wanted=True)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries) if later - earlier > 0.1]
    assert found.limit in {20, 21}
    assert len(gaps) < 12
    assert gaps[-1] >= 29


def test_a_lone_failure_lowers_nothing_and_many_do():
    found = Concurrency(16)
    found.went_wrong(1.0, 1.0)
    assert found.limit == 16
    for second in range(30):
        found.went_wrong(float(second), float(second))
    assert found.limit < 8


def test_many_failures_of_requests_on_their_way_together_lower_it_once():
    found = Concurrency(32)
    for _ in range(32):
        found.went_wrong(1.0, 2.0)
    assert found.limit == 22


def test_it_yields_to_answers_that_take_ten_times_as_long_and_then_gets_used_to_them():
    found, now = Concurrency(100), 0.0
    for _ in range(50):
        now += 0.2
        for at in range(1, found.limit + 1):
            found.answered(0.2, at, now, wanted=True)
    assert found.limit == 100
    lowest = 100
    for _ in range(60):
        now += 2.0
        for at in range(1, found.limit + 1):
            found.answered(2.0, at, now, wanted=True)
        lowest = min(lowest, found.limit)
    assert 20 < lowest < 60
    assert found.limit == 100


def test_after_an_outage_it_begins_with_one_and_doubles():
    found = Concurrency(64)
    found.restart()
    limits = [found.limit]
    for step in range(4):
        for at in range(1, found.limit + 1):
            found.answered(1.0, at, float(step), wanted=True)
        limits.append(found.limit)
    assert limits == [1, 2, 4, 8, 16]


@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.sampled_from("ape"), st.integers(1, 300), st.floats(0.001, 60), st.booleans()), max_size=200),
)
def test_whatever_happens_it_stays_between_one_and_the_ceiling(
    ceiling: int, events: list[tuple[str, int, float, bool]]
):
    found, now = Concurrency(ceiling), 0.0
    for what, at, seconds, wanted in events:
        now += seconds
        if what == "a":
            found.answered(seconds, at, now, wanted=wanted)
        elif what == "p":
            found.pushed_back(now - seconds, at, now)
        else:
            found.went_wrong(now - seconds, now)
        assert 1 <= found.limit <= ceiling


@pytest.mark.parametrize("wanted", [True, False])
def test_it_grows_only_where_more_is_wanted(wanted: bool):
    found = Concurrency(256)
    for at in range(1, 65):
        found.answered(0.2, at, 1.0, wanted=wanted)
    assert found.limit == (128 if wanted else 64)
