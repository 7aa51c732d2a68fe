"""Log probabilities in the shapes that servers give them, at their places in what was said."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.chat import read_reply
from aifeedback.endpoints.dropping import Dropping
from aifeedback.endpoints.logprobs import KEPT, tokens_of
from aifeedback.jsontext import dumps
from aifeedback.records import Token


def entry(token: str, logprob: object = -0.1, *, spelled: bytes | None = None, **others: object) -> dict[str, Any]:
    """As OpenAI's API has it; `others` are what else the token could have been."""
    listed = [{"token": token, "logprob": logprob}, *({"token": k, "logprob": v} for k, v in others.items())]
    bytes_ = None if spelled is None else list(spelled)
    return {"token": token, "logprob": logprob, "bytes": bytes_, "top_logprobs": listed}


def read(said: str, *entries: dict[str, Any]) -> tuple[Token, ...]:
    return tokens_of({}, {"logprobs": {"content": list(entries)}}, said)


def places(said: str, *tokens: str) -> list[str]:
    """What the tokens spell in what was said."""
    return [said[token.start : token.end] for token in read(said, *map(entry, tokens))]


def test_each_token_is_where_it_stands_and_says_what_else_it_could_have_been() -> None:
    tokens = read('{"v":"A"}', entry('{"v":"'), entry("A", -0.5, B=-1.0), entry('"}'))
    assert tokens == (
        Token(0, 6, (('{"v":"', -0.1),)),
        Token(6, 7, (("A", -0.5), ("B", -1.0))),
        Token(7, 9, (('"}', -0.1),)),
    )


LEGACY = {
    "tokens": ["It is ", "A"],
    "token_logprobs": [None, -0.5],
    "top_logprobs": [None, {"A": -0.5, "B": -1.0}],
    "text_offset": [0, 6],
}
MODERN = {"content": [entry("It is ", None), entry("A", -0.5, B=-1.0)]}


@pytest.mark.parametrize("given_", [LEGACY, MODERN, MODERN["content"]], ids=["legacy", "modern", "a bare list"])
@pytest.mark.parametrize("where", ["choice", "message", "body"])
def test_log_probabilities_are_found_in_every_shape_and_place(given_: object, where: str) -> None:
    message: dict[str, object] = {"content": "It is A"}
    choice: dict[str, object] = {"message": message, "finish_reason": "stop", "logprobs": None}
    data: dict[str, object] = {"choices": [choice]}
    {"choice": choice, "message": message, "body": data}[where]["logprobs"] = given_
    assert read_reply(dumps(data), {}).tokens == (Token(0, 6), Token(6, 7, (("A", -0.5), ("B", -1.0))))


def test_log_probabilities_come_through_a_stream() -> None:
    def event(text: str, **more: object) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None} | more
        return b"data: " + dumps({"choices": [choice]}) + b"\n\n"

    first, second = MODERN["content"]
    stream = event("It is ", logprobs={"content": [first]}) + event("A", logprobs={"content": [second]})
    assert read_reply(stream + event("", finish_reason="stop", logprobs=None), {}).tokens[-1].start == 6
    assert read_reply(event("It is A") + event("", finish_reason="stop"), {}).tokens == ()


@pytest.mark.parametrize(
    ("said", "tokens", "spelled"),
    [
        ("A", ["<think>", "B or", " A", "?", "</think>", "\n\n", "A", "<|im_end|>"], ["A"]),
        ("It is A", ["<s>", " It", " is", " A", "\n", "\n", "</s>"], ["It", " is", " A"]),
        ("\n\nA\n", ["</think>", "\n\nA", "\n"], ["A"]),
        ("\u3000A", ["\u3000A"], ["A"]),
        ("B", ["B", "<|B|>"], ["B"]),
        ("A A", ["A A", " A", " A"], [" A", " A"]),
        ("A", ["A", *["\n"] * 50], ["A"]),
        ("A", ["", "A", "", ""], ["A"]),
    ],
    ids=["thinking", "marks and spaces", "spaces that were said", "wide space", "a mark with the letter", "the last", "trailing lines", "empty"],
)  # fmt: skip
def test_what_was_said_is_found_among_thinking_marks_and_white_space(
    said: str, tokens: list[str], spelled: list[str]
) -> None:
    stripped = [text.strip() if n == 0 else text for n, text in enumerate(places(said, *tokens))]
    assert stripped == [text.strip() if n == 0 else text for n, text in enumerate(spelled)]


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ("A", []),
        ("", ["A"]),
        (" ", ["A"]),
        ("A", ["B"]),
        ("A", ["BAB"]),
        ("A", ["(A", ")"]),
        ("A", ["I", " say", " A", " or", " B", " or", " C", " or", " no", " way", " at", " all"]),
    ],
    ids=["none", "nothing said", "white space", "another", "inside", "half a token", "far from the end"],
)
def test_tokens_that_do_not_spell_what_was_said_are_not_read(said: str, tokens: list[str]) -> None:
    assert read(said, *map(entry, tokens)) == ()


def test_a_character_that_is_split_over_tokens_belongs_to_each_of_them() -> None:
    said = "é😀A"
    smile = "😀".encode()
    tokens = read(
        said,
        entry("é", spelled="é".encode()),
        entry("\\xf0\\x9f", spelled=smile[:2]),
        entry("�", spelled=smile[2:]),
        entry("A", spelled=b"A", B=-3.0),
    )
    assert [(token.start, token.end) for token in tokens] == [(0, 1), (1, 2), (1, 2), (2, 3)]
    assert [token.alternatives[0][0] for token in tokens] == ["é", "\\xf0\\x9f", "�", "A"]


def test_a_token_that_is_named_by_a_number_is_spelled_by_its_bytes() -> None:
    listed = [{"token": "token_id:32", "logprob": -0.5, "bytes": [65]}, {"token": "token_id:33", "logprob": -1, "bytes": [66]}]  # fmt: skip
    one = {"token": "token_id:32", "logprob": -0.5, "bytes": [65], "top_logprobs": listed}
    assert read("A", one) == (Token(0, 1, (("A", -0.5), ("B", -1.0))),)


def test_alternatives_are_kept_for_the_last_tokens_alone() -> None:
    tokens = read("x" * 99, *(entry("x") for _ in range(99)))
    assert [(token.start, token.end) for token in tokens] == [(n, n + 1) for n in range(99 - KEPT, 99)]


def test_a_sampled_token_is_among_its_alternatives() -> None:
    one = entry("C", -6.0) | {"top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3.0}]}
    assert read("C", one)[0].alternatives == (("A", -0.1), ("B", -3.0), ("C", -6.0))


@pytest.mark.parametrize(
    "odd",
    [None, math.nan, 0.1, "-0.1", True, [], {}, math.inf],
    ids=["null", "NaN", "positive", "text", "true", "list", "object", "infinite"],
)
def test_a_token_with_an_impossible_probability_has_no_alternatives(odd: object) -> None:
    fine = entry("It is ")
    among, own = entry("A", -0.1, B=odd), entry("A", odd) | {"top_logprobs": [{"token": "B", "logprob": -2.0}]}
    for one in (among, own):
        assert [token.alternatives for token in read("It is A", fine, one)] == [(("It is ", -0.1),), ()]


@pytest.mark.parametrize("after", [(), ("\n", "<end>")], ids=["nothing", "an end mark"])
@pytest.mark.parametrize("lost", [("\ufffd", "\ufffd"), ("\ufffd", "\ufffd so")], ids=["alone", "with text"])
def test_a_split_character_without_its_bytes_hides_only_what_stands_before_it(
    lost: tuple[str, ...], after: tuple[str, ...]
) -> None:
    said = "x é" + lost[1][1:] + " [[A]]"
    tokens = read(said, *(entry(text) for text in ("x ", *lost, " [[", "A", "]]", *after)))
    assert [said[token.start : token.end] for token in tokens] == [" [[", "A", "]]"]
    assert read(said.replace("é", "e"), *(entry(text) for text in ("x ", *lost, " [[", "A", "]]"))) == ()


def test_a_certain_token_may_be_rounded_to_a_little_more() -> None:
    assert read("A", entry("A", 1.1920929e-07, B=-9.0)) == (Token(0, 1, (("A", 0.0), ("B", -9.0))),)


def test_probabilities_that_sum_to_more_than_1_are_none() -> None:
    assert read("A", entry("A", -0.1, B=-0.1)) == ()
    assert read("A", entry("A", 0.0, B=-9.0)) == (Token(0, 1, (("A", 0.0), ("B", -9.0))),)


def test_a_probability_of_0_is_written_as_a_number() -> None:
    assert read("A", entry("A", 0, B=-math.inf))[0].alternatives == (("A", 0.0), ("B", -9999.0))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "token", "bytes", "logprob", "top_logprobs", "tokens", "token_logprobs"])
            | st.text(max_size=2),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, JSON, JSON, st.text(max_size=3))
def test_no_json_raises(one: object, other: object, third: object, said: str) -> None:
    for token in tokens_of({"logprobs": third}, {"logprobs": one, "message": {"logprobs": other}}, said):
        assert 0 <= token.start <= token.end <= len(said)


@given(st.text(min_size=1, max_size=60), st.lists(st.integers(0, 200), max_size=80), st.text(max_size=9), st.data())
def test_the_bytes_of_a_text_are_found_however_they_are_cut(
    said: str, cuts: list[int], thinking: str, data: st.DataObject
) -> None:
    core = said.strip()
    whole = core.encode("utf-8", "surrogatepass")
    edges = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(edges)]
    entries = [entry("?", -1.0, spelled=piece) for piece in pieces]
    before = [entry(f"<{thinking}>")] * data.draw(st.integers(0, 2))
    tokens = read(said, *before, *entries, entry("\n", spelled=b"\n"))
    if not core:
        assert tokens == ()
        return
    shown = pieces[-KEPT:]
    assert len(tokens) == len(shown)
    assert tokens[-1].end == len(said.rstrip())
    for token, piece in zip(tokens, shown, strict=True):
        # Whole characters, or those of which it spells a part.
        assert piece in said[token.start : token.end].encode("utf-8", "surrogatepass")
    assert all(one.end in {other.start, other.start + 1} for one, other in pairwise(tokens))


def test_an_endpoint_drops_what_it_takes_if_three_replies_come_without_and_none_with() -> None:
    never, late, early = Dropping(), Dropping(), Dropping()
    assert [never.found(given=False) for _ in range(5)] == [False, False, True, False, False]
    assert not any(late.found(given=each) for each in [False, False, True, *[False] * 5])
    assert not any(early.found(given=each) for each in [True, *[False] * 5])
