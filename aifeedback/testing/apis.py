"""The APIs that the test server speaks: the same answers and faults, each in its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aifeedback.testing import messages_api
from aifeedback.testing.answers import Answer, completion
from aifeedback.testing.asked import Asked, Object, read_asked
from aifeedback.testing.faults import Fault
from aifeedback.testing.refusals import Refusal, refusal


@dataclass(frozen=True, slots=True)
class Api:
    """One API, at any path that ends in `path`.

    `read` raises ValueError for what is no request. `worded` turns an error of the chat API into one of this API,
    `limits` the headers on a limit. `whole` is given the set of what a cache holds and may add to it.
    """

    path: str
    read: Callable[[bytes, Mapping[str, str]], Asked]
    refusal: Callable[[Fault, Object], Refusal | None]
    worded: Callable[[Refusal], Refusal]
    limits: Callable[[Mapping[str, str]], dict[str, str]]
    whole: Callable[[Asked, Answer, set[str]], dict[str, object]]
    tokens: Callable[[Mapping[str, int]], tuple[int, int]]


CHAT = Api(
    "/chat/completions",
    read=lambda raw, _headers: read_asked(raw),
    refusal=refusal,
    worded=lambda refused: refused,
    limits=dict,
    whole=lambda asked, answer, _prefixes: completion(asked, answer),
    tokens=lambda usage: (usage["prompt_tokens"], usage["completion_tokens"]),
)
MESSAGES = Api(
    "/messages",
    read=messages_api.read_request,
    refusal=messages_api.refused_by,
    worded=messages_api.reworded,
    limits=messages_api.announced,
    whole=messages_api.message,
    tokens=messages_api.tokens_of,
)
