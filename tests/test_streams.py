"""Streams that nobody asked for: a whole one is read like any answer, half of one never."""

from __future__ import annotations

import orjson
import pytest

from aifeedback.endpoints.chat import read_reply
from aifeedback.errors import AifeedbackError, Busy, Hiccup
from aifeedback.records import Reply, Usage


def event(**delta: object) -> bytes:
    return data({"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def data(value: object) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


STOP = data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
LENGTH = data({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
USAGE = data({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
DONE = b"data: [DONE]\n\n"


def test_the_pieces_of_a_stream_are_one_reply() -> None:
    stream = b"".join(
        [b": ping\n\n", event(role="assistant", content=""), event(reasoning_content="Hm."), event(content="It is"), event(content=" A."), STOP, USAGE, DONE]
    )  # fmt: skip
    reply = Reply("It is A.", reasoning="Hm.", finish_reason="stop", model="m-1", rung="text", usage=Usage(7, 0, 3, 0))
    assert read_reply(stream, {}) == reply
    assert read_reply(stream.replace(b"\n", b"\r\n"), {}) == reply
    assert read_reply(b"event: message\n" + stream, {}) == reply


def test_a_stream_says_how_it_ended() -> None:
    assert read_reply(event(content="It is") + LENGTH, {}).finish_reason == "length"
    assert read_reply(event(content="It is A.") + STOP, {}).complete


def test_of_several_answers_in_one_stream_the_first_is_read() -> None:
    other = data({"choices": [{"index": 1, "delta": {"content": "It is B."}, "finish_reason": None}]})
    assert read_reply(event(content="It is ") + other + event(content="A.") + STOP, {}).content == "It is A."


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (event(content="It is A."), Hiccup),
        (event(content="It is A.") + DONE, Hiccup),
        (event(content="It is A.") + STOP[:20], Hiccup),
        (event(content="It is") + b"data: no JSON\n\n" + STOP + DONE, Hiccup),
        (event(content="It is A.") + data({"error": {"message": "overloaded", "code": 529}}) + DONE, Busy),
        (b": ping\n\n", Hiccup),
        (b"data:", Hiccup),
    ],
    ids=[
        "no end",
        "no reason for its end",
        "cut in an event",
        "a broken event",
        "an error among the events",
        "nothing but a comment",
        "a word",
    ],
)
def test_a_stream_that_does_not_come_to_its_end_is_no_reply(stream: bytes, error: type[AifeedbackError]) -> None:
    with pytest.raises(error):
        read_reply(stream, {})
