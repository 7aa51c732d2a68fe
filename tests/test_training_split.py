"""Rows are held out by prompt: none is tested on what was trained, and the draw depends on nothing but the seed."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.records import Content, Message
from aifeedback.training.split import held_out, prompt_key

KEYS = st.lists(st.integers(0, 30).map(lambda number: prompt_key(str(number))), max_size=60)
SHARES = st.integers(0, 90).map(lambda percent: percent / 100)
SEEDS = st.integers(-(10**30), 10**30)


@given(KEYS, SHARES, SEEDS)
def test_a_prompt_is_never_on_both_sides(keys: list[bytes], fraction: float, seed: int) -> None:
    out = held_out(keys, fraction, seed)
    assert len(out) == len(keys)
    away = {key for key, is_out in zip(keys, out, strict=True) if is_out}
    kept = {key for key, is_out in zip(keys, out, strict=True) if not is_out}
    assert not away & kept


@given(KEYS, st.integers(0, 90), SEEDS)
def test_the_share_is_of_prompts_rounded_up_and_leaves_one_on_each_side(
    keys: list[bytes], percent: int, seed: int
) -> None:
    out = held_out(keys, percent / 100, seed)
    away = {key for key, is_out in zip(keys, out, strict=True) if is_out}
    unique = len(set(keys))
    wanted = min(math.ceil(Fraction(percent, 100) * unique), unique - 1) if percent and unique > 1 else 0
    assert len(away) == wanted


@given(KEYS, SHARES, SEEDS, st.randoms(use_true_random=False))
def test_neither_order_nor_copies_change_which_prompts_are_held_out(
    keys: list[bytes], fraction: float, seed: int, random: object
) -> None:
    other = [*keys, *keys[:5]]
    assert hasattr(random, "shuffle")
    random.shuffle(other)
    first = dict(zip(keys, held_out(keys, fraction, seed), strict=True))
    second = dict(zip(other, held_out(other, fraction, seed), strict=True))
    assert first == second


@pytest.mark.parametrize(
    "copy",
    ["Caf\u00e9 or  tea?\n", "Cafe\u0301 or tea?", "Caf\u00e9\u200b or tea?", (Message("user", " Caf\u00e9 or tea?"),)],
    ids=ascii,
)
def test_a_copy_that_looks_the_same_is_on_the_same_side(copy: Content) -> None:
    assert prompt_key(copy) == prompt_key("Caf\u00e9 or tea?")
    assert prompt_key("Cafe or tea?") != prompt_key("Caf\u00e9 or tea?")


def test_another_seed_draws_others() -> None:
    keys = [prompt_key(str(number)) for number in range(200)]
    assert held_out(keys, 0.5, 1) == held_out(keys, 0.5, 1)
    assert held_out(keys, 0.5, 1) != held_out(keys, 0.5, 2)


def test_more_prompts_leave_most_of_the_held_out_ones_where_they_were() -> None:
    keys = [prompt_key(str(number)) for number in range(1000)]
    before = held_out(keys[:900], 0.1, 42)
    after = held_out(keys, 0.1, 42)[:900]
    assert sum(old and not new for old, new in zip(before, after, strict=True)) < 20


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_nothing_is_held_out_of_fewer_than_two_prompts(fraction: float, count: int) -> None:
    assert held_out([prompt_key("the only one")] * count, fraction, 42) == [False] * count


@pytest.mark.parametrize(("fraction", "wanted"), [(1e-12, 1), (0.07, 7), (0.999, 99), (1.0, 99)])
def test_at_least_one_prompt_is_held_out_and_one_kept(fraction: float, wanted: int) -> None:
    assert sum(held_out([prompt_key(str(number)) for number in range(100)], fraction, 42)) == wanted


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Name a number.", " Name  a\nnumber. ", True),
        ("Name a number.", "Name a number!", False),
        ("Name a number.", "Nameanumber.", False),
        ((Message("user", "Hi"),), (Message("user", "Hi\n"),), True),
        ((Message("user", "Hi"),), (Message("tool", "Hi"),), False),
        ((Message("user", "Hi"),), (Message("system", "Be brief."), Message("user", "Hi")), False),
        ((Message("user", "a"), Message("assistant", "b")), (Message("user", "ab"), Message("assistant", "")), False),
    ],
    ids=["white space", "words", "no space", "turn", "role", "system prompt", "where a turn ends"],
)
def test_a_prompt_is_told_by_its_roles_and_words(
    one: str | tuple[Message, ...], other: str | tuple[Message, ...], *, same: bool
) -> None:
    assert (prompt_key(one) == prompt_key(other)) is same


@given(st.text(st.characters(codec=None)))
def test_every_text_has_a_key(text: str) -> None:
    assert len(prompt_key(text)) == 16
