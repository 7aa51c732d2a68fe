"""`doctor` against servers that others wrote: what it says of each was measured by hand with curl."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aifeedback.cli.main import run

pytest.importorskip("tests.foreign_servers", reason="the servers that others wrote are not here")

# Both drop what they don't know without a word; the proxy refuses by the provider that a model is said to be of.
DROPS = {"json_schema": "ignored", "logprobs": "ignored", "temperature": "yes", "seed": "yes", "system": "yes", "thinking": "no", "limits": "no"}  # fmt: skip
TRUTHS: list[tuple[str, str, dict[str, str]]] = [
    ("transformers", "judge", DROPS | {"n": "ignored", "reasoning_effort": "yes", "json_object": "unknown"}),
    ("transformers", "babbler", DROPS | {"n": "ignored", "json_object": "ignored", "max_tokens": "yes", "max_completion_tokens": "yes"}),
    ("litellm", "judge", DROPS | {"n": "ignored", "reasoning_effort": "yes", "json_object": "unknown"}),
    ("litellm", "gpt-4o", DROPS | {"n": "yes", "reasoning_effort": "refused", "max_tokens": "ignored"}),
    ("litellm", "gpt-5-mini", DROPS | {"n": "yes", "reasoning_effort": "yes", "logprobs": "refused", "temperature": "refused"}),
    ("litellm", "tags", DROPS | {"json_object": "ignored"}),
    (
        "litellm",
        "llama-on-replicate",
        DROPS | {"n": "refused", "json_schema": "refused", "json_object": "refused", "logprobs": "refused", "max_tokens": "ignored", "max_completion_tokens": "refused", "reasoning_effort": "refused"},
    ),
]  # fmt: skip
USELESS: list[tuple[str, str, str, str, str]] = [
    ("transformers", "nope", "", "server", "the model is not listed"),
    ("litellm", "nope", "", "model", "It lists"),
    ("litellm", "gpt-4", "", "model", "Near names are gpt-4o"),
    ("litellm", "gpt-4o", "sk-another-key-0123456789", "key", "The key in FOREIGN_KEY was sent"),
    ("litellm", "empty", "", "empty", "nothing"),
    ("litellm", "limited", "", "busy", "Ask again later"),
    ("litellm", "broken", "", "server", "Look at its own log"),
]


@pytest.fixture
def doctor(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`doctor(server, model, key)`: the exit code, the report, and what stood on stderr."""
    servers = request.getfixturevalue("foreign_servers")

    def ask(name: str, model: str, key: str = "") -> tuple[int, dict[str, Any], str]:
        server = getattr(servers, name)
        monkeypatch.setenv("FOREIGN_KEY", key or server.key or "unused")
        code = run(["doctor", "--critic", f"vllm/{model}", "--base-url", server.url, "--api-key-env", "FOREIGN_KEY", "--json", "-"])  # fmt: skip
        out, err = capfd.readouterr()
        return code, json.loads(out)["critics"][0], err

    return ask


@pytest.mark.parametrize(("name", "model", "truth"), TRUTHS, ids=[f"{each[0]}-{each[1]}" for each in TRUTHS])
def test_doctor_tells_the_truth_about_a_server_that_others_wrote(
    doctor: Any, name: str, model: str, truth: dict[str, str]
) -> None:
    code, report, err = doctor(name, model)
    assert code == 0, err
    assert {feature: report["findings"][feature]["outcome"] for feature in truth} == truth
    assert report["findings"]["served"]["models"] == [model]


@pytest.mark.parametrize(("name", "model", "key", "kind", "said"), USELESS)
def test_doctor_says_why_a_server_that_others_wrote_can_not_be_used(
    doctor: Any, name: str, model: str, key: str, kind: str, said: str
) -> None:
    if kind == "server" and name == "transformers":
        doctor(name, "judge")  # it lists only what it has loaded
    code, report, err = doctor(name, model, key)
    assert (code, report["cause"]["kind"]) == (2, kind), err
    assert said in err
