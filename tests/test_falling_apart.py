"""Signs that answers fall apart, and the warnings that follow from them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.training.falling_apart import (
    SignCounts,
    count,
    displacement,
    not_a_number,
    repeated_share,
    signs,
    warning,
)

LIST = "Here are ten fruits:\n" + "\n".join(
    f"{n}. {fruit}: a fruit that is eaten raw."
    for n, fruit in enumerate(["apple", "pear", "plum", "fig", "date", "kiwi", "lime", "mango", "melon", "grape"], 1)
)
POEM = """The wind went over the hill last night,
  and the rain came down, came down,
it put out every candle light,
  and the rain came down on the town.

I heard the shutters beat and turn,
  and the rain came down, came down,
no lamp in all the street would burn,
  and the rain came down on the town.

At dawn the gutters ran with leaves,
  and the rain came down, came down,
the swallows hid beneath the eaves,
  and the rain came down on the town."""
CODE = """def test_add():
    assert add(1, 2) == 3
    assert add(0, 0) == 0
    assert add(-1, 1) == 0


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x and self.y == other.y

    def __repr__(self) -> str:
        return f"Point({self.x}, {self.y})"
"""
TABLE = "| name | even | odd |\n|------|------|-----|\n" + "\n".join(
    f"| {n} | {'yes' if n % 2 == 0 else 'no'} | {'no' if n % 2 == 0 else 'yes'} |" for n in range(12)
)
TIMES = "\n".join(f"{n} x 7 = {7 * n}" for n in range(1, 13))
JSON = "[" + ",".join(f'{{"id":{n},"name":"item {n * 37 % 11}","price":{n * 1.5}}}' for n in range(12)) + "]"
CHINESE = (
    "重力是物体之间相互吸引的力量。地球的重力让我们站在地面上，也让月亮绕着地球转。"
    "质量越大，引力越强；距离越远，引力越弱。牛顿用苹果落地的故事解释了它，爱因斯坦后来说它是时空的弯曲。"
)
HUMAN = (
    "Put the pot in your sunniest window and water it when the top of the soil feels dry. Pinch the flowers off as soon "
    "as they show, turn the pot every few days, and feed it lightly once a month from spring until early autumn. "
)


@pytest.mark.parametrize(
    "text",
    [
        LIST,
        POEM,
        CODE,
        TABLE,
        TIMES,
        JSON,
        CHINESE,
        HUMAN,
        "No, no, no, no!",
        "Ha!",
        "-" * 40,
        "=" * 60 + "\n" + HUMAN,
        "42",
        "👍",
    ],
    ids=[
        "list",
        "poem",
        "code",
        "table",
        "times",
        "json",
        "chinese",
        "prose",
        "short-no",
        "ha",
        "rule",
        "heading",
        "number",
        "emoji",
    ],
)
def test_people_write_like_that_so_it_is_no_sign(text: str):
    assert signs(text, finished=True) == ()


@pytest.mark.parametrize(
    "text",
    [
        "the sea " * 20,
        "I think that this is a good idea. " * 8,
        HUMAN * 2 + "and so on " * 30,
        "a" * 200,
        "!" * 200,
        "haha" * 40,
        "我很高兴" * 30,
        CHINESE + "我很高兴" * 40,
        HUMAN + "x" * 300,
        "## ## " * 40,
    ],
    ids=[
        "two-words",
        "sentence",
        "late-loop",
        "letter",
        "marks",
        "syllable",
        "chinese",
        "late-chinese",
        "late-letter",
        "headings",
    ],
)
def test_a_loop_is_called_repeating(text: str):
    assert signs(text, finished=True) == ("repeating",)


@pytest.mark.parametrize("text", ["", "  \n\t ", "\u200b\u200b", "\x00", "\n" * 500])
def test_nothing_to_see_is_empty(text: str):
    assert signs(text, finished=True) == ("empty",)


def test_an_answer_that_met_its_limit_is_cut_whatever_else_it_is():
    assert signs("Put the pot in", finished=False) == ("cut",)
    assert signs("the sea " * 20, finished=False) == ("repeating", "cut")
    assert signs("", finished=False) == ("empty", "cut")


def test_the_share_of_repeated_ngrams_is_that_of_welleck():
    words = tuple("abcdabcd")  # five 4-grams, of which the last is the first again
    assert repeated_share(words, 4) == pytest.approx(1 / 5)
    assert repeated_share(("a", "b"), 4) == 0.0


@given(st.text(max_size=400), st.booleans())
def test_any_text_has_signs_that_add_up(text: str, finished: bool):
    found = signs(text, finished=finished)
    assert len(set(found)) == len(found)
    assert ("cut" in found) is not finished
    assert not {"empty", "repeating"} <= set(found)


@given(st.text(alphabet="abcdefgh ", min_size=1, max_size=12).filter(str.strip), st.integers(40, 80))
def test_whatever_is_said_forty_times_over_is_repeating(phrase: str, times: int):
    text = phrase * times
    long_enough = len(text.split()) >= 20 or len("".join(text.split())) >= 60
    assert (signs(text, finished=True) == ("repeating",)) or not long_enough


def counted(n: int, *, empty: int = 0, repeating: int = 0, cut: int = 0) -> SignCounts:
    return {"empty": empty, "repeating": repeating, "cut": cut, "any": min(n, empty + repeating + cut), "n": n}


def test_counting_tells_answers_from_signs():
    assert count([("repeating", "cut"), (), ("empty",)]) == {"empty": 1, "repeating": 1, "cut": 1, "any": 2, "n": 3}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (counted(10), counted(10, repeating=2), True),
        (counted(10), counted(10, repeating=1), False),
        (counted(20), counted(20, cut=3), False),
        (counted(20), counted(20, cut=4), True),
        (counted(5, cut=5), counted(5, cut=5), False),
        (counted(5, cut=5), counted(5, empty=5), True),
        (counted(1), counted(1, empty=1), True),
        (counted(5, empty=5), counted(5, empty=5), False),
        (counted(10, cut=6), counted(10), False),
        (counted(0), counted(0), False),
    ],
)
def test_a_clear_rise_is_said_and_nothing_less(before: SignCounts, after: SignCounts, said: bool):
    assert (warning(before, after, 0.69, 0.4) is not None) is said


def test_the_warning_names_the_loss_only_where_it_hides_the_trouble():
    better = warning(counted(5), counted(5, repeating=3), 0.69, 0.4)
    assert better == (
        "answers fall apart: 3 of 5 sampled answers look wrong after training (3 repeating), 0 of 5 did before, though the "
        "held-out loss improved from 0.69 to 0.4. Lower --lr, train fewer --epochs, or raise --beta."
    )
    for unknown in (None, math.nan, 0.9):
        assert "loss" not in str(warning(counted(5), counted(5, repeating=3), 0.69, unknown))


def test_a_trainer_without_beta_is_not_told_to_raise_it():
    assert str(warning(counted(5), counted(5, empty=5), None, None, beta=False)).endswith(
        "Lower --lr or train fewer --epochs."
    )


@pytest.mark.parametrize(
    ("chosen", "rejected", "said"),
    [
        ((-100, -130), (-100, -200), True),
        ((-100, -115), (-100, -200), False),  # 15 nats, yet no fifth
        ((-20, -29), (-20, -60), False),  # near a half, yet no 10 nats
        ((-100, -130), (-100, -130), False),  # no margin was won
        ((-100, -90), (-100, -200), False),
    ],
)
def test_displacement_needs_a_fall_of_ten_nats_and_a_fifth_while_the_margin_grows(
    chosen: tuple[int, int], rejected: tuple[int, int], said: bool
):
    points = [{"chosen_logp": c, "rejected_logp": r} for c, r in zip(chosen, rejected, strict=True)]
    assert (displacement(points) is not None) is said


@pytest.mark.parametrize("points", [[], [{"chosen_logp": -1.0, "rejected_logp": -2.0}], [{"loss": 1.0}, {"loss": 0.5}]])
def test_displacement_is_silent_where_there_is_too_little_to_say(points: list[dict[str, float]]):
    assert displacement(points) is None


def test_displacement_passes_over_what_is_not_a_number():
    points = [
        {"chosen_logp": c, "rejected_logp": r} for c, r in ((math.nan, -9), (-50, -60), (None, None), (-90, -160))
    ]
    assert "(log-probability -50 to -90)" in str(displacement(points))


def test_a_loss_that_is_not_a_number_is_said_with_its_first_step():
    points = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": math.nan}, {"step": 3, "loss": None}, {"step": 4}]
    assert "2 times of 4, first at step 2" in str(not_a_number(points))
    assert not_a_number(points[:1]) is None
