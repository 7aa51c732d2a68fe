"""Bodies that go out, bodies that come back, and what error responses mean."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.chat import (
    ChatParameters,
    Refusal,
    body,
    meaning,
    most_output,
    read_refusal,
    read_reply,
    rung_of,
)
from aifeedback.endpoints.features import Features
from aifeedback.errors import AifeedbackError, Busy, CriticGone, GiveUp, Hiccup
from aifeedback.jsontext import dumps
from aifeedback.records import Message, Order, Pair, PFirst, Question, Reply, Status, Usage, VerdictFormat

JSON = VerdictFormat("json", {"A": PFirst(1.0), "B": PFirst(0.0)})
TAGS = VerdictFormat("tags", {"[[A]]": PFirst(1.0), "[[B]]": PFirst(0.0)})
LETTER = VerdictFormat("letter", {"A": PFirst(1.0), "B": PFirst(0.0)})
PAIR = Pair("1", "p", "a", "b")


def question(wanted: VerdictFormat = JSON) -> Question:
    return Question((Message("system", "s"), Message("user", "u")), wanted, PAIR, Order.AB)


def parameters(**extra: object) -> ChatParameters:
    return ChatParameters("m", 0.0, 100, "", extra)


def answer(message: object = None, **more: object) -> bytes:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "yes"} if message is None else message,
    }
    return dumps(
        {
            "model": "m-1",
            "system_fingerprint": "fp",
            "choices": [choice | {k: v for k, v in more.items() if k == "finish_reason"}],
        }
        | {k: v for k, v in more.items() if k != "finish_reason"}
    )


def test_a_body_says_model_messages_and_limits_and_asks_for_a_schema() -> None:
    sent = body(question(), parameters(), Features())
    schema = sent.pop("response_format")
    assert sent == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "temperature": 0.0,
        "max_tokens": 100,
        "logprobs": True,
        "top_logprobs": 20,
    }
    assert isinstance(schema, dict)
    assert list(schema["json_schema"]["schema"]["properties"]) == ["analysis", "verdict"]
    assert schema["json_schema"]["schema"]["properties"]["verdict"]["enum"] == ["A", "B"]
    assert schema["json_schema"]["strict"] is True


@pytest.mark.parametrize(("rung", "name"), [(0, "json_schema"), (1, "json_object"), (2, "text")])
def test_each_rung_asks_in_its_way(rung: int, name: str) -> None:
    assert rung_of(body(question(), parameters(), Features(rung=rung))) == name
    assert "response_format" not in body(question(TAGS), parameters(), Features(rung=rung))


def test_what_is_refused_for_its_value_is_sent_with_another() -> None:
    refused = Features(dropped=("temperature=1.5", "reasoning_effort=xhigh"))
    without = body(question(TAGS), ChatParameters("m", 1.5, 9, "xhigh", {}), refused)
    assert not {"temperature", "reasoning_effort"} & without.keys()
    kept = body(question(TAGS), ChatParameters("m", 0.0, 9, "high", {}), refused)
    assert (kept["temperature"], kept["reasoning_effort"]) == (0.0, "high")


def test_what_is_refused_is_left_out_and_extra_fields_win() -> None:
    sent = body(
        question(TAGS),
        ChatParameters("m", 0.5, 9, "low", {"top_p": 0.9, "max_tokens": 7}),
        Features(dropped=("temperature",), max_tokens_name="max_completion_tokens"),
    )
    assert {k: v for k, v in sent.items() if k not in {"messages", "model"}} == {
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "top_p": 0.9,
        "max_tokens": 7,
        "logprobs": True,
        "top_logprobs": 20,
    }


@pytest.mark.parametrize(
    ("wanted", "features", "extra", "sent"),
    [
        (JSON, Features(), {}, {"logprobs": True, "top_logprobs": 20}),
        (LETTER, Features(top_logprobs=5), {}, {"logprobs": True, "top_logprobs": 5}),
        (TAGS, Features(top_logprobs=0), {}, {}),
        (replace(TAGS, soft=False), Features(), {}, {}),
        (replace(TAGS, kind="claim"), Features(), {}, {}),
        (replace(TAGS, kind="pattern"), Features(), {}, {}),
        (TAGS, Features(), {"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        (TAGS, Features(), {"logprobs": False}, {"logprobs": False}),
        (TAGS, Features(), {"logprobs": 5}, {"logprobs": 5}),
        (TAGS, Features(), {"logprobs": True}, {"logprobs": True, "top_logprobs": 20}),
    ],
)
def test_log_probabilities_are_asked_for_where_a_verdict_can_be_read_from_them(
    wanted: VerdictFormat, features: Features, extra: dict[str, object], sent: dict[str, object]
) -> None:
    fields = body(question(wanted), parameters(**extra), features)
    assert {name: value for name, value in fields.items() if "logprobs" in name} == sent


def test_a_rung_of_the_users_own_is_text_where_we_do_not_know_it() -> None:
    assert rung_of({"response_format": {"type": "grammar"}}) == "text"
    assert rung_of({"response_format": ["json_schema"]}) == "text"


def test_a_reply_is_read_with_all_that_it_says() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert read_reply(answer(usage=usage), {}) == Reply("yes", "", "", "stop", "m-1", "fp", "text", Usage(10, 4, 5, 3))


@pytest.mark.parametrize(
    ("message", "content", "reasoning", "refusal"),
    [
        ({"content": "c", "reasoning_content": "r"}, "c", "r", ""),
        ({"content": "c", "reasoning": "r"}, "c", "r", ""),
        ({"content": None, "reasoning_content": "r"}, "", "r", ""),
        ({"content": [{"type": "text", "text": "one "}, {"type": "thinking", "thinking": [{"type": "text", "text": "no"}]}, {"type": "text", "text": "two"}]}, "one two", "", ""),
        ({"content": []}, "", "", ""),
        ({"content": None, "refusal": "I can't."}, "", "", "I can't."),
        ({"role": "assistant"}, "", "", ""),
        ({"content": {"verdict": "A"}}, '{"verdict":"A"}', "", ""),
        ({"content": 5}, "5", "", ""),
        ({"content": None, "tool_calls": [{"function": {"name": "json", "arguments": "{}"}}]}, "", "{}", ""),
        ({"content": "c", "tool_calls": [{"function": {"name": "json", "arguments": "{}"}}]}, "c", "", ""),
        ({"content": "", "tool_calls": [{"function": {"arguments": "1"}}, {"function": {"arguments": "2"}}]}, "", "", ""),
        ({"content": "", "tool_calls": [{"function": None}]}, "", "", ""),
        ({"content": "half a pair \ud83d here"}, "half a pair \ufffd here", "", ""),
        ({"content": {"big": 2**70, "half": "\ud83d"}}, '{"big":1180591620717411303424,"half":"\\ud83d"}', "", ""),
    ],
    ids=["reasoning_content", "reasoning", "null content", "parts", "no parts", "refusal", "nothing", "object", "number", "tool", "tool besides", "tools", "odd tool", "lone surrogate", "odd object"],
)  # fmt: skip
def test_messages_of_all_kinds_are_read(message: object, content: str, reasoning: str, refusal: str) -> None:
    reply = read_reply(answer(message), {})
    assert (reply.content, reply.reasoning, reply.refusal) == (content, reasoning, refusal)
    reply.content.encode()


def test_an_answer_as_the_completions_api_has_it_is_read() -> None:
    assert read_reply(b'{"choices": [{"text": "yes", "finish_reason": "stop"}]}', {}).content == "yes"
    with pytest.raises(Hiccup):
        read_reply(b'{"choices": [{"text": null, "finish_reason": "stop"}]}', {})
    with pytest.raises(Hiccup):
        read_reply(b'{"choices": [{"text": "yes", "message": "x"}]}', {})


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "x",
        {"prompt_tokens": "9"},
        {"prompt_tokens": -1},
        {"prompt_tokens": True},
        {"prompt_tokens": 1e300},
        {"prompt_tokens_details": 1, "completion_tokens_details": [2]},
    ],
)
def test_usage_that_makes_no_sense_counts_nothing(usage: object) -> None:
    assert read_reply(answer(usage=usage), {}).usage == Usage()


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35}, Usage(10, 0, 25)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 9}}, Usage(10, 0, 14, 9)),
        ({"prompt_tokens": 10, "total_tokens": 12}, Usage(10, 0, 2)),
        ({"prompt_tokens": 10, "completion_tokens": 0}, Usage(10)),
        ({"prompt_tokens": 10}, Usage()),
        ({"completion_tokens": 10}, Usage()),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, Usage(9, 4, 1, 0, 3)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.25}, Usage(9, 0, 1, cost_usd=0.25)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cost": 0}, Usage(9, 0, 1, cost_usd=0.0)),
        ({"cost": {"total_cost": 0.25, "request_cost": 0.1}}, Usage(cost_usd=0.25)),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.25}}, Usage(cost_usd=0.26)),
        ({"cost": 0.25, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.25}}, Usage(cost_usd=0.25)),
        ({"cost": -1}, Usage()),
        ({"cost": "0.25"}, Usage()),
        ({"cost": True}, Usage()),
    ],
    ids=["thinking in the total alone", "thinking apart", "a total alone", "nothing said", "no output", "no input", "cache", "cost", "free", "a sum", "own key", "not own key", "below 0", "text", "yes"],
)  # fmt: skip
def test_usage_is_what_will_be_billed(usage: object, read: Usage) -> None:
    assert read_reply(answer(usage=usage), {}).usage == read


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 100}, 100),
        ({"max_tokens": 100, "max_completion_tokens": 300}, 300),
        ({"max_tokens": 100, "n": 3}, 300),
        ({}, 0),
        ({"max_tokens": None}, 0),
        ({"max_tokens": -1}, 0),
        ({"max_tokens": 100, "n": "3"}, 0),
        ({"max_tokens": 100, "max_completion_tokens": None}, 0),
    ],
)
def test_a_reply_is_as_long_as_the_request_allows(fields: dict[str, object], tokens: int) -> None:
    assert most_output(fields) == tokens


@pytest.mark.parametrize(
    "reason", ["length", "content_filter", "error", "max_tokens", "SAFETY", "content_filter: PROHIBITED_CONTENT"]
)
def test_an_answer_that_did_not_end_is_not_complete(reason: str) -> None:
    try:
        assert not read_reply(answer(finish_reason=reason), {}).complete
    except Hiccup:
        assert reason == "error"


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b"3", b'"text"', b"<html><body>Sign in</body></html>", b'{"choices": [{"mess', b"{}", b'{"choices": []}', b'{"choices": null}',
        b'{"choices": ["x"]}', b'{"choices": [{}]}', b'{"choices": [{"message": "x"}]}', b"\xff\xfe", b"[" * 100_000,
        b'{"choices": [{"finish_reason": "error", "message": {"content": "half"}}]}', b'{"choices": [{"error": {"code": 502}, "message": {"content": "half"}}]}',
        b'{"error": {"message": "Provider returned error", "code": 502}}', b'{"error": "overloaded"}', b'{"error": {"message": "?"}, "choices": []}',
    ],
)  # fmt: skip
def test_a_200_that_is_no_answer_is_tried_again(payload: bytes) -> None:
    with pytest.raises(Hiccup):
        read_reply(payload, {})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Rate limited", "code": 429}, Busy),
        ({"message": "No auth", "code": 401}, CriticGone),
        ({"message": "Insufficient credits", "code": "402"}, CriticGone),
        ({"message": "This endpoint's maximum context length is 8192 tokens", "code": 400}, GiveUp),
        ({"message": "This endpoint's maximum context length is 8192 tokens"}, GiveUp),
    ],
)
def test_an_error_inside_a_200_means_what_it_says(error: object, kind: type[AifeedbackError]) -> None:
    with pytest.raises(kind):
        read_reply(dumps({"error": error}), {})


def openai(message: str, code: str | None = None, kind: str = "invalid_request_error") -> object:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


QUOTA = "You exceeded your current quota, please check your plan and billing details."
MEANINGS: list[tuple[str, int, object, type[AifeedbackError], Status | None]] = [
    ("OpenAI quota", 429, openai(QUOTA, "insufficient_quota", "insufficient_quota"), CriticGone, None),
    ("Gemini quota a month", 429, [{"error": {"code": 429, "message": QUOTA, "status": "RESOURCE_EXHAUSTED"}}], CriticGone, None),
    ("Gemini quota a minute", 429, [{"error": {"code": 429, "message": f"{QUOTA}\nPlease retry in 34.07s.", "status": "RESOURCE_EXHAUSTED"}}], Busy, None),
    ("payment", 402, {"error": {"message": "Insufficient Balance"}}, CriticGone, None),
    ("Anthropic credit", 400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}, CriticGone, None),
    ("401", 401, openai("Incorrect API key provided", "invalid_api_key"), CriticGone, None),
    ("401 empty", 401, "", CriticGone, None),
    ("LiteLLM key", 400, {"error": {"message": "No connected db.", "type": "no_db_connection", "param": None, "code": "400"}}, CriticGone, None),
    ("403", 403, openai("You are not allowed", kind="permission_error"), CriticGone, None),
    ("403 HTML", 403, "<html>Forbidden</html>", CriticGone, None),
    ("403 moderation", 403, {"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged", "metadata": {"reasons": ["violence"]}}}, GiveUp, Status.REFUSED),
    ("404 model", 404, openai("The model `x` does not exist or you do not have access to it.", "model_not_found"), CriticGone, None),
    ("404 path", 404, "<html>Not Found</html>", CriticGone, None),
    ("405", 405, {"detail": "Method Not Allowed"}, CriticGone, None),
    ("410", 410, openai("The model was retired"), CriticGone, None),
    ("Mistral model", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}, CriticGone, None),
    ("OpenRouter model", 400, {"error": {"message": "x/y is not a valid model ID", "code": 400}}, CriticGone, None),
    ("LiteLLM model", 400, openai("/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view available models for your key.", "400"), CriticGone, None),
    ("transformers serve model", 400, {"detail": "Server is pinned to 'x'; requested 'y'."}, CriticGone, None),
    ("Ollama model", 404, {"error": {"message": "model 'x' not found, try pulling it first"}}, CriticGone, None),
    ("OpenAI context", 400, openai("This model's maximum context length is 8192 tokens. However, your messages resulted in 9999 tokens.", "context_length_exceeded"), GiveUp, Status.TOO_LONG),
    ("LiteLLM context", 400, openai("litellm.ContextWindowExceededError: litellm.BadRequestError: this is a mock context window exceeded error\nmodel=full. context_window_fallbacks=None. fallbacks=None.\n\nSet 'context_window_fallback' - https://docs.litellm.ai/docs/routing#fallbacks", "400"), GiveUp, Status.TOO_LONG),
    ("OpenAI input", 400, openai("Input tokens exceed the configured limit of 272000 tokens."), GiveUp, Status.TOO_LONG),
    ("OpenAI string", 400, openai("Invalid 'messages[1].content': string too long.", "string_above_max_length"), GiveUp, Status.TOO_LONG),
    ("OpenAI one request above the minute's limit", 429, openai("Request too large for gpt-4o in organization o on tokens per min (TPM): Limit 30000, Requested 90000.", "rate_limit_exceeded", "tokens"), GiveUp, Status.TOO_LONG),
    ("vLLM context", 400, {"object": "error", "message": "'max_tokens' is too large: 2048. This model's maximum context length is 4096 tokens and your request has 3000 input tokens", "type": "BadRequestError", "param": None, "code": 400}, GiveUp, Status.TOO_LONG),
    ("vLLM decoder prompt", 400, {"error": {"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."}}, GiveUp, Status.TOO_LONG),
    ("llama.cpp context", 400, {"error": {"code": 400, "message": "the request exceeds the available context size, try increasing it", "type": "exceed_context_size_error"}}, GiveUp, Status.TOO_LONG),
    ("llama.cpp context, older", 500, {"error": {"code": 500, "message": "the request exceeds the available context size. try increasing the context size", "type": "server_error"}}, GiveUp, Status.TOO_LONG),
    ("Ollama context", 400, {"error": "input length exceeds maximum context length"}, GiveUp, Status.TOO_LONG),
    ("Gemini context", 400, [{"error": {"code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", "status": "INVALID_ARGUMENT"}}], GiveUp, Status.TOO_LONG),
    ("Anthropic context", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}, GiveUp, Status.TOO_LONG),
    ("Anthropic context limit", 400, {"error": {"message": "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000"}}, GiveUp, Status.TOO_LONG),
    ("TGI context", 422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.", "error_type": "validation"}, GiveUp, Status.TOO_LONG),
    ("OpenRouter context in raw", 400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": '{"message":"maximum context length is 4096"}'}}}, GiveUp, Status.TOO_LONG),
    ("413", 413, "<html>Request Entity Too Large</html>", GiveUp, Status.TOO_LONG),
    ("Azure filter", 400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, GiveUp, Status.REFUSED),
    ("429", 429, openai("Rate limit reached", "rate_limit_exceeded", "requests"), Busy, None),
    ("429 plain", 429, "slow down", Busy, None),
    ("529", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Busy, None),
    ("overloaded as 500", 500, {"error": {"type": "overloaded_error", "message": "Overloaded"}}, Busy, None),
    *[(f"{status} HTML", status, "<html>Bad Gateway</html>", Hiccup, None) for status in (500, 501, 502, 503, 504, 520, 524)],
    *[(str(status), status, "", Hiccup, None) for status in (408, 409, 425, 301, 307)],
    ("400", 400, openai("Something is wrong"), GiveUp, Status.FAILED),
    ("400 unknown parameter for this model", 400, openai("Not for this model: unknown parameter 'foo'"), GiveUp, Status.FAILED),
    ("422 FastAPI", 422, {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "value_error.missing"}]}, GiveUp, Status.FAILED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "said", "kind", "pair"), [row[1:] for row in MEANINGS], ids=[row[0] for row in MEANINGS]
)
def test_an_error_response_means_what_can_be_done_about_it(
    status: int, said: object, kind: type[AifeedbackError], pair: Status | None
) -> None:
    error = meaning(read_refusal(status, said.encode() if isinstance(said, str) else dumps(said), 2.5))
    assert type(error) is kind, error
    assert getattr(error, "status", None) == pair
    assert len(str(error).splitlines()) == 1
    if isinstance(error, Hiccup | Busy):
        assert error.retry_after_s == 2.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 20s.", 20),
        ("Please try again in 213ms.", 0.213),
        ("retry after 3 seconds", 3),
        ("Please try again in 1m12s.", 0),
        ("Slow down.", 0),
    ],
)
def test_how_long_to_wait_is_read_from_the_words_where_no_header_says_it(text: str, seconds: float) -> None:
    error = meaning(Refusal(429, f"Rate limit reached. {text}"))
    assert isinstance(error, Busy)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "nothing"),
        (b"plain words", "plain words"),
        (b"<html><h1>Bad   Gateway</h1></html>", "Bad Gateway"),
        (b'{"error": "as a text"}', "as a text"),
        (b'{"message": "at the top"}', "at the top"),
        (b'{"detail": "FastAPI\'s"}', "FastAPI's"),
        (b'{"detail": [{"loc": ["body", "x"], "msg": "m"}, {"loc": "y", "msg": "n"}, 5]}', "body.x: m; y: n"),
        (b'{"error": {"code": 9}}', "code"),
        (b'{"error": null}', "error"),
        (b'[{"error": {"message": "in a list"}}]', "in a list"),
        (b'{"error": {"message": {"detail": "inside"}}}', "inside"),
        (b'{"error": {"message": "half \\ud83d"}}', "half \ufffd"),
    ],
)
def test_errors_are_read_in_all_their_shapes(payload: bytes, says: str) -> None:
    assert says in read_refusal(400, payload).message


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "choices",
                    "content",
                    "code",
                    "type",
                    "detail",
                    "loc",
                    "msg",
                    "usage",
                    "finish_reason",
                    "metadata",
                    "raw",
                    "text",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    JSON_VALUES
    | st.fixed_dictionaries(
        {
            "choices": st.lists(
                st.fixed_dictionaries(
                    {"message": st.fixed_dictionaries({"content": JSON_VALUES, "refusal": JSON_VALUES})}
                ),
                min_size=1,
            )
        }
    ),
    st.sampled_from([200, 400, 429, 500]),
)
def test_whatever_comes_back_is_a_reply_or_one_of_our_errors(value: object, status: int) -> None:
    payload = dumps(value)
    try:
        reply = read_reply(payload, {})
    except AifeedbackError as error:
        str(error).encode()
    else:
        orjson.dumps([reply.content, reply.reasoning, reply.refusal, reply.finish_reason, reply.model])
    assert isinstance(meaning(read_refusal(status, payload)), AifeedbackError)


@given(st.binary())
def test_any_bytes_are_a_reply_or_one_of_our_errors(payload: bytes) -> None:
    with pytest.raises(AifeedbackError):
        read_reply(payload, {})
    assert read_refusal(400, payload).status == 400


def test_an_error_beside_choices_is_an_error_and_never_the_answer_that_stands_there() -> None:
    message = {"content": '{"analysis": "x", "verdict": "A"}'}
    payload = {"error": {"code": 502, "message": "upstream"}, "choices": [{"finish_reason": None, "message": message}]}
    with pytest.raises(Hiccup, match="upstream"):
        read_reply(dumps(payload), {})
