"""A gate passes only where its figure exists and lies on the right side of its limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.errors import SettingsError
from aifeedback.gates import GateOn, Gates, limit_of
from aifeedback.summary import Share, Tally


def tally(
    consistent: tuple[int, int] = (0, 0),
    longer: tuple[int, int] = (0, 0),
    right: tuple[int, int] = (0, 0),
    confusion: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Tally:
    return Tally(
        "critic", consistent=Share(*consistent), longer=Share(*longer), right=Share(*right), confusion=list(confusion)
    )


@pytest.mark.parametrize(
    ("gates", "counted", "passed"),
    [
        (Gates(min_consistency=0.8), tally(consistent=(8, 10)), True),
        (Gates(min_consistency=0.8), tally(consistent=(7, 10)), False),
        (Gates(min_consistency=2 / 3), tally(consistent=(2, 3)), True),
        (Gates(max_longer_rate=2 / 3), tally(longer=(2, 3)), True),
        (Gates(max_longer_rate=0.5), tally(longer=(6, 10)), False),
        (Gates(min_accuracy=0.9), tally(right=(9, 10)), True),
        (Gates(min_accuracy=0.9), tally(right=(8, 10)), False),
        (Gates(min_kappa=0.6), tally(confusion=(8, 2, 2, 8)), True),
        (Gates(min_kappa=0.7), tally(confusion=(8, 2, 2, 8)), False),
        (Gates(min_kappa=0.0), tally(confusion=(2, 8, 8, 2)), False),
        (Gates(min_consistency=0.8, on="lower"), tally(consistent=(45, 50)), False),
        (Gates(min_consistency=0.8, on="lower"), tally(consistent=(450, 500)), True),
        (Gates(max_longer_rate=0.6, on="lower"), tally(longer=(25, 50)), False),
        (Gates(max_longer_rate=0.6, on="lower"), tally(longer=(250, 500)), True),
        (Gates(min_kappa=0.6, on="lower"), tally(confusion=(8, 2, 2, 8)), False),
        (Gates(min_kappa=0.0), tally(confusion=(5, 0, 0, 0)), False),
        (Gates(min_kappa=0.0, on="lower"), tally(confusion=(5, 0, 0, 0)), False),
    ],
)
def test_a_gate_holds_its_figure_against_its_limit_and_exactly_at_it_passes(
    gates: Gates, counted: Tally, passed: bool
) -> None:
    (result,) = gates.judge(counted)
    assert result.passed is passed


@pytest.mark.parametrize("on", ["estimate", "lower"])
def test_a_gate_whose_figure_does_not_exist_is_missed_and_says_what_it_takes(on: GateOn) -> None:
    results = Gates(0.0, 0.0, 0.0, 1.0, on=on).judge(tally())
    assert [result.record() for result in results] == [
        {"name": name, "figure": None, "limit": limit, "on": on, "passed": False}
        for name, limit in (
            ("min-consistency", 0.0),
            ("min-accuracy", 0.0),
            ("min-kappa", 0.0),
            ("max-longer-rate", 1.0),
        )
    ]
    for result in results:
        assert "n = 0" in result.missed
        assert "It takes " in result.missed
        assert "\n" not in result.missed


def test_without_gates_nothing_is_judged() -> None:
    assert not Gates(on="lower")
    assert Gates().judge(tally(consistent=(0, 10))) == []
    assert str(Gates()) == "none"


def test_a_limit_of_nought_is_a_gate() -> None:
    assert Gates(max_longer_rate=0.0)
    assert not Gates(max_longer_rate=0.0).judge(tally(longer=(1, 10)))[0].passed


def test_a_missed_gate_names_figure_interval_limit_and_count() -> None:
    (result,) = Gates(min_consistency=0.8).judge(tally(consistent=(7, 10)))
    assert result.missed.startswith(
        "gate missed: consistency is 0.7 (95% interval 0.396778 to 0.892209, n = 10), below --min-consistency 0.8. "
    )


def test_an_interval_that_is_too_wide_asks_for_more_pairs() -> None:
    wide = Gates(min_consistency=0.8, on="lower").judge(tally(consistent=(9, 10)))[0]
    assert "below --min-consistency 0.8 by the lower end. More pairs" in wide.missed
    longer = Gates(max_longer_rate=0.5, on="lower").judge(tally(longer=(9, 10)))[0]
    assert "above --max-longer-rate 0.5 by the upper end. Say in the criteria" in longer.missed


@given(st.integers(1, 3000), st.data())
def test_what_the_bad_end_passes_the_estimate_passes_too(n: int, data: st.DataObject) -> None:
    hits, limit = data.draw(st.integers(0, n)), data.draw(st.floats(0, 1))
    counted = tally(consistent=(hits, n), longer=(hits, n))
    low = Gates(min_consistency=limit, max_longer_rate=limit, on="lower").judge(counted)
    estimate = Gates(min_consistency=limit, max_longer_rate=limit).judge(counted)
    assert all(other.passed for one, other in zip(low, estimate, strict=True) if one.passed)


@given(st.integers(1, 10**6), st.data())
def test_a_limit_written_as_a_fraction_passes_what_is_that_fraction(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    gates = Gates(min_consistency=hits / n, max_longer_rate=hits / n)
    assert all(result.passed for result in gates.judge(tally(consistent=(hits, n), longer=(hits, n))))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0.8", 0.8), ("80%", 0.8), (" 80 % ", 0.8), ("0", 0.0), ("1", 1.0), ("1.0", 1.0), ("1%", 0.01), ("100%", 1.0),
        (".5", 0.5), ("33.3%", 0.333), ("0.1%", 0.001),
    ],
)  # fmt: skip
def test_a_limit_is_a_number_or_a_percentage(text: str, limit: float) -> None:
    assert limit_of("min-kappa", text) == limit


@pytest.mark.parametrize(
    "text", ["", " ", "80", "1.01", "101%", "-0.1", "nan", "inf", "0,8", "80%%", "high", "1e-1", "True", "٠.٨", "%"]
)
def test_any_other_limit_is_an_error_and_never_no_gate(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^--min-kappa .* Write for instance 0\.8 or 80%\.$"):
        limit_of("min-kappa", text)


def test_an_absent_flag_is_no_gate() -> None:
    assert limit_of("min-kappa", None) is None


@pytest.mark.parametrize("limit", [-0.1, 1.5, float("nan")])
def test_a_limit_outside_its_range_is_an_error_in_the_library_too(limit: float) -> None:
    with pytest.raises(SettingsError, match="--max-longer-rate"):
        Gates(max_longer_rate=limit)
