"""What endpoints say when they refuse a parameter, in their own words, and what is tried next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.chat import read_refusal
from aifeedback.endpoints.features import (
    RUNGS,
    Features,
    about_one_answer,
    about_parameters,
    adapt,
    by_value,
    left_out,
    remembered,
    rung_at,
    without_rung,
)
from aifeedback.jsontext import dumps

AT_FIRST = Features()
SENT = frozenset({"temperature", "max_tokens", "response_format", "reasoning_effort", "logprobs", "top_logprobs"})


def after(error: object, features: Features = AT_FIRST, sent: frozenset[str] = SENT) -> Features | None:
    refusal = read_refusal(400, dumps(error))
    return adapt(features, sent=sent, parameter=refusal.parameter, message=refusal.message)


def openai(message: str, param: str | None = None, code: str | None = None) -> object:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


@pytest.mark.parametrize(
    "error",
    [
        openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter"),
        openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
        openai("this model is not supported MaxTokens, please use max_completion_tokens instead of max_tokens"),
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted", "input": 2048}]},
    ],
    ids=["OpenAI", "OpenAI without param", "prose", "FastAPI"],
)  # fmt: skip
def test_max_tokens_becomes_max_completion_tokens(error: object) -> None:
    assert after(error) == Features(max_tokens_name="max_completion_tokens")


@pytest.mark.parametrize(
    "error",
    [
        openai("Unrecognized request argument supplied: max_completion_tokens"),
        {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]}, "type": "invalid_request_error", "param": None, "code": None},
        {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'msg': 'Extra inputs are not permitted', 'input': 2048}]", "type": "BadRequestError", "param": None, "code": 400},
    ],
    ids=["old OpenAI", "Mistral", "vLLM"],
)  # fmt: skip
def test_max_completion_tokens_becomes_max_tokens(error: object) -> None:
    sent = frozenset({"temperature", "max_completion_tokens"})
    assert after(error, Features(max_tokens_name="max_completion_tokens"), sent) == Features()


def test_a_number_that_is_too_large_is_too_large_under_either_name() -> None:
    assert (
        after(
            openai(
                "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.",
                "max_tokens",
                "invalid_value",
            )
        )
        is None
    )


@pytest.mark.parametrize(
    "error",
    [
        openai(
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        ),
        openai("Unsupported parameter: 'temperature' is not supported with this model."),
        {"error": {"code": 400, "message": "invalid temperature: only 1 is allowed for this model"}},
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "raw": '{"error":{"message":"Unsupported parameter: temperature"}}',
                    "provider_name": "Azure",
                },
            }
        },
    ],
    ids=["o-series value", "o-series", "Kimi", "OpenRouter"],
)
def test_a_temperature_that_is_refused_is_left_out(error: object) -> None:
    assert after(error) == Features(dropped=("temperature",))


@pytest.mark.parametrize(
    "error",
    [
        openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", "response_format"),
        openai("Invalid schema for response_format 'verdict'", "response_format.json_schema.schema"),
        openai("response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later"),
        openai("This response_format type is unavailable now"),
        openai("This model does not support response format `json_schema`. See supported models at https://console.groq.com/docs"),
        openai("'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", "messages"),
        openai("Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.", None, "json_validate_failed"),
        {"error": "'response_format.type' must be 'json_schema' or 'text'"},
        {"error": "JSON schema conversion failed: unsupported"},
        {"message": "Structured outputs are not supported by this model"},
        [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "additionalProperties" at \'generation_config.response_schema\': Cannot find field.', "status": "INVALID_ARGUMENT"}}],
        {"detail": [{"type": "literal_error", "loc": ["body", "response_format", "type"], "msg": "Input should be 'text' or 'json_object'", "input": "json_schema"}]},
        {"detail": "guided_decoding is not available"},
        {"error": "Input validation error: grammar is not supported", "error_type": "validation"},
        {"object": "error", "message": "Failed to compile json grammar: unsupported keyword enum", "type": "BadRequestError", "code": 400},
        openai("failed to parse grammar", None, None),
        openai("The provided JSON schema contains features not supported by xgrammar."),
        openai("litellm.UnsupportedParamsError: together_ai does not support parameters: ['response_format'], for model=m. To drop these, set `litellm.drop_params=True`"),
        openai("Failed to validate JSON. Please adjust your prompt. See 'failed_generation' for more details.", None, "json_validate_failed"),
        {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format", "json_schema"], "msg": "Extra inputs are not permitted"}]}, "type": "invalid_request_error", "code": None},
        {"error": {"message": "No endpoints found that support response_format", "code": 404}},
        {"detail": [{"type": "x", "loc": ["body", "messages", 0, "content"] * 9, "msg": "y"}, {"loc": ["body", "response_format"], "msg": "Field required"}]},
    ],
    ids=["OpenAI", "OpenAI schema", "Azure", "DeepSeek", "Groq", "json_object", "Groq failed", "LM Studio", "llama.cpp", "prose", "Gemini", "FastAPI", "vLLM", "TGI", "SGLang", "llama.cpp grammar", "xgrammar", "LiteLLM", "Groq invalid", "Mistral", "OpenRouter by name", "FastAPI far back"],
)  # fmt: skip
def test_a_response_format_that_is_refused_is_one_step_down_the_ladder(error: object) -> None:
    assert after(error) == Features(rung=1)
    assert after(error, Features(rung=1)) == Features(rung=2)
    assert after(error, Features(rung=2)) is None


def test_a_router_that_finds_nobody_for_all_parameters_is_sent_ever_fewer() -> None:
    error = openai("No endpoints found that can handle the requested parameters.")
    sent, features = set(SENT), AT_FIRST
    for gone in ("logprobs", "response_format", "reasoning_effort", "temperature"):
        features = after(error, features, frozenset(sent)) or AT_FIRST
        sent.discard(gone)
    assert features == Features(rung=1, dropped=("reasoning_effort", "temperature"), top_logprobs=0)
    assert after(error, features, frozenset(sent)) is None
    assert about_parameters(404, "No endpoints found that support tool use")
    assert not about_parameters(404, "No endpoints found matching your data policy")
    assert not about_parameters(404, "The model does not exist")


def test_a_500_is_about_parameters_only_where_it_says_what_the_model_can_not_do() -> None:
    assert about_parameters(500, "Failed to parse grammar")
    assert about_parameters(500, "Value is not callable: {{ raise_exception('System role not supported') }}")
    assert not about_parameters(500, "response_format: internal error, temperature of the GPU is unknown")


@pytest.mark.parametrize(
    "error",
    [
        openai("System role not supported"),
        openai("Unsupported value: 'messages[0].role' does not support 'system' with this model.", "messages[0].role", "unsupported_value"),
        {"object": "error", "message": "Conversation roles must alternate user/assistant/user/assistant/...", "type": "BadRequestError", "code": 400},
        {"object": "error", "message": "Only user and assistant roles are supported!", "type": "BadRequestError", "code": 400},
        [{"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3-27b-it", "status": "INVALID_ARGUMENT"}}],
        openai("system messages are not supported by this model"),
        openai('messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter'),
        {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'", "input": "system"}]},
        {"message": {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'", "input": "system"}]}},
    ],
    ids=["Gemma", "o1-mini", "Mistral", "Llama", "Gemini", "prose", "gateway", "FastAPI", "Mistral 422"],
)  # fmt: skip
def test_a_system_role_that_is_refused_is_told_to_the_user_instead(error: object) -> None:
    assert after(error, sent=SENT | {"system"}) == Features(dropped=("system",))
    assert after(error) is None, "none was sent"


@pytest.mark.parametrize(
    "message", ["The system is overloaded, temperature is not supported", "System error: temperature unsupported"]
)
def test_a_system_that_is_none_of_ours_names_nothing(message: str) -> None:
    assert after(openai(message), sent=SENT | {"system"}) == Features(dropped=("temperature",))


@pytest.mark.parametrize(
    "error",
    [
        openai("Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. Supported values are: 'low', 'medium' and 'high'.", "reasoning_effort", "unsupported_value"),
        openai("`reasoning_effort` must be one of `none` or `default`"),
        openai('"gemma3" does not support thinking'),
        openai("Budget 0 is invalid. This model only works in thinking mode."),
        {"detail": [{"type": "literal_error", "loc": ["body", "reasoning_effort"], "msg": "Input should be 'low', 'medium' or 'high'", "input": "max"}]},
    ],
    ids=["OpenAI", "Groq", "Ollama", "Gemini", "vLLM"],
)  # fmt: skip
def test_an_effort_that_is_refused_is_left_out(error: object) -> None:
    assert after(error) == Features(dropped=("reasoning_effort",))


def test_a_rung_that_was_refused_on_the_way_down_is_passed_over() -> None:
    assert [rung_at(Features(), down) for down in range(4)] == ["json_schema", "json_object", "text", "text"]
    without = without_rung(Features(), 1)
    assert [rung_at(without, down) for down in range(3)] == ["json_schema", "text", "text"]
    assert remembered(without.as_dict()) == without


def test_only_what_is_said_of_one_answer_holds_for_one_answer() -> None:
    assert about_one_answer("json_validate_failed", "")
    assert about_one_answer(
        "", "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."
    )
    assert not about_one_answer("", "response_format is not supported")


def test_reasoning_effort_is_left_out_where_it_is_refused() -> None:
    assert after(openai("Argument not supported on this model: reasoningEffort")) == Features(
        dropped=("reasoning_effort",)
    )
    assert after(openai("Unrecognized request argument supplied: reasoning_effort")) == Features(
        dropped=("reasoning_effort",)
    )


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (openai("Invalid value for 'top_logprobs': must be less than or equal to 5.", "top_logprobs"), [5, 0]),
        (openai("Invalid 'top_logprobs': integer above maximum value. Expected a value <= 5, but got 20 instead.", "top_logprobs"), [5, 0]),
        (openai("Requested sample logprobs of 20, which is greater than max allowed: 5"), [5, 0]),
        (openai("top_logprobs must be at most 10"), [10, 5, 0]),
        (openai("top_logprobs must be between 0 and 8"), [8, 5, 0]),
        (openai("top_logprobs should be in the range [0, 5]"), [5, 0]),
        ({"detail": [{"loc": ["body", "top_logprobs"], "msg": "Input should be less than or equal to 5", "type": "less_than_equal"}]}, [5, 0]),
        (openai("20 is greater than the maximum of 1 - 'logprobs'", "logprobs"), [0]),
        (openai("top_logprobs must be at most 1"), [0]),
        (openai("Invalid top_logprobs and logprobs value"), [5, 0]),
        (openai("Invalid value for 'top_logprobs': must be between 0 and 20", "top_logprobs"), [5, 0]),
        (openai("Unsupported parameter: 'top_logprobs'", "top_logprobs"), [5, 0]),
        (openai("Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs"), [0]),
        (openai("You are not allowed to request logprobs from this model"), [0]),
        (openai("Logprobs is not enabled for models/gemini-x"), [0]),
        (openai("Please remove 'logprobs'/'top_logprobs' from the request"), [0]),
        (openai("m does not support parameters: ['logprobs', 'top_logprobs']"), [0]),
    ],
    ids=["OpenAI", "OpenAI maximum", "vLLM", "at most", "between", "range", "FastAPI", "Together", "one", "DeepSeek", "no smaller", "unsupported top", "unsupported", "not allowed", "Gemini", "Gaudi", "LiteLLM"],
)  # fmt: skip
def test_fewer_log_probabilities_are_asked_for_down_to_none(error: object, counts: list[int]) -> None:
    features: Features | None = AT_FIRST
    for count in counts:
        assert features is not None
        features = after(error, features)
        assert features == Features(top_logprobs=count)
    assert features is not None
    assert after(error, features, SENT - {"logprobs", "top_logprobs"}) is None


def test_what_was_kept_before_log_probabilities_were_asked_for_is_read() -> None:
    kept = {"rung": 1, "max_tokens_name": "max_tokens", "dropped": ["temperature"]}
    assert remembered(kept) == Features(1, dropped=("temperature",), top_logprobs=20)


def test_what_was_refused_for_its_value_is_sent_with_another_one_also_by_later_runs() -> None:
    sent = {"temperature": 1.5, "reasoning_effort": "xhigh", "max_tokens": 9}
    features = AT_FIRST
    for name in ("temperature", "reasoning_effort"):
        refused = adapt(features, sent=frozenset(sent), parameter=name, message="Unsupported value")
        assert refused is not None
        features = by_value(features, refused, sent)
    assert (again := remembered(features.as_dict())).dropped == ("temperature=1.5", "reasoning_effort=xhigh")
    assert left_out(again, "temperature", 1.5)
    assert not left_out(again, "temperature", 0.0)
    assert by_value(again, again, {"temperature": 0.0}) == again
    system = Features(dropped=("system",))
    assert by_value(AT_FIRST, system, sent) == system


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Something went wrong.",
        "Invalid role in messages[0]",
        "my_temperature_x is odd",
        "top_p must be below 1",
        "'frequency_penalty' is not supported",
    ],
)
def test_what_names_nothing_that_was_sent_changes_nothing(message: str) -> None:
    assert after(openai(message)) is None


def test_what_was_not_sent_can_not_be_left_out() -> None:
    assert after(openai("'temperature' is not supported", "temperature"), sent=frozenset({"max_tokens"})) is None


def test_the_parameter_that_the_error_names_counts_before_the_text() -> None:
    assert after(openai("temperature and response_format do not go together", "response_format")) == Features(rung=1)


def test_of_several_named_in_the_text_the_first_counts() -> None:
    assert after(openai("temperature and response_format do not go together")) == Features(dropped=("temperature",))
    assert after(openai("my_temperature aside, response_format is bad, and so is temperature")) == Features(rung=1)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "rung": st.integers() | st.text(),
            "max_tokens_name": st.text() | st.just("max_completion_tokens"),
            "dropped": st.lists(st.text()) | st.none() | st.integers(),
            "top_logprobs": st.integers(-1, 30) | st.text() | st.booleans(),
        },
    )
)
def test_whatever_the_store_remembers_is_usable(facts: dict[str, object]) -> None:
    features = remembered(facts)
    assert RUNGS[features.rung]
    assert remembered(features.as_dict()) == features


@given(
    st.sampled_from(sorted(SENT)) | st.text(),
    st.text() | st.sampled_from([f"{a} unsupported {b}" for a in sorted(SENT) for b in sorted(SENT)]),
)
def test_any_words_give_a_step_or_none(parameter: str, message: str) -> None:
    changed = adapt(Features(), sent=SENT, parameter=parameter, message=message)
    assert changed is None or changed != Features()
