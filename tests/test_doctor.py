"""`doctor` tells the truth about an endpoint: one server, its faults switched, and what the report must say of each."""

from __future__ import annotations

import json
import socket
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.cli.main import run
from aifeedback.doctor import probes
from aifeedback.doctor.advice import toml_lines, verdict_on
from aifeedback.doctor.answers import Answer, thinking_field
from aifeedback.doctor.causes import sharpened
from aifeedback.doctor.findings import Cause, Finding, Report
from aifeedback.endpoints.address import EndpointSettings, resolve
from aifeedback.endpoints.chat import Refusal, meaning
from aifeedback.lanes import CriticSettings
from aifeedback.records import Reply, Token, Usage
from aifeedback.testing import Server, key_mark
from tests.conftest import Command, some_pairs, write_lines

KEY = "sk-proj-Zk3-9fQ_do-not-show-4711"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(models=["test-critic", "judge-32b", "judge-7b"]) as running:
        yield running


def examined(capfd: pytest.CaptureFixture[str], *flags: object) -> tuple[int, dict[str, Any], str]:
    """The command in this process: its exit code, the report on the first critic, and what stood on stderr."""
    code = run(["doctor", "--json", "-", *map(str, flags)])
    out, err = capfd.readouterr()
    return code, json.loads(out)["critics"][0], err


ALL_ON = {
    "reach": "yes", "key": "yes", "model": "yes", "text": "yes", "usage": "yes", "system": "yes", "json_schema": "yes",
    "json_object": "yes", "max_tokens": "ignored", "max_completion_tokens": "ignored", "temperature": "yes", "n": "ignored",
    "seed": "yes", "reasoning_effort": "yes", "thinking": "no", "served": "yes", "limits": "no", "price": "unknown",
}  # fmt: skip
"""The test server without faults: it ignores limits and `n`."""

TRUTHS: list[tuple[str, str, dict[str, str], str]] = [
    ("everything on", "", {}, "Verdicts are asked for as json_schema"),
    ("no schema", "400-schema", {"json_schema": "refused"}, "asked for as json_object"),
    ("no format at all", "400-format", {"json_schema": "refused", "json_object": "refused"}, "json_schema is refused, json_object is refused"),
    ("formats ignored", "ignore-schema", {"json_schema": "ignored", "json_object": "ignored"}, "json_schema is ignored, json_object is ignored"),
    ("another name for the limit", "400-max-tokens", {"max_tokens": "refused"}, "takes max_completion_tokens in the place of"),
    ("no limit by any name", "400-max-tokens 400-param:max_completion_tokens", {"max_tokens": "refused", "max_completion_tokens": "refused"}, "json_schema"),
    ("no temperature", "400-temperature", {"temperature": "refused"}, "json_schema"),
    ("no effort", "400-param:reasoning_effort", {"reasoning_effort": "refused"}, "json_schema"),
    ("no n, no seed", "400-param:n 400-param:1:seed", {"n": "refused", "seed": "refused"}, "json_schema"),
    ("no log probabilities", "400-param:logprobs", {"logprobs": "refused"}, "soft labels take several samples"),
    ("thinking aloud", "think", {"thinking": "yes"}, "It thinks before it answers"),
    ("answers in the wrong place", "reasoning-content", {"text": "misplaced", "json_schema": "misplaced", "json_object": "misplaced"}, "come beside the content"),
    ("as a stream", "event-stream", {}, "json_schema"),
    ("always cut off", "length", {"json_schema": "unknown", "json_object": "unknown", "max_tokens": "yes", "max_completion_tokens": "yes"}, "whether json_schema holds can't be told, whether json_object holds"),
    ("thinks to the end of its room", "think length", {"text": "empty", "json_schema": "empty", "json_object": "empty", "thinking": "yes", "max_tokens": "yes", "max_completion_tokens": "yes"}, "--max-tokens 8192"),
]  # fmt: skip


@pytest.mark.parametrize(("faults", "differs", "said"), [each[1:] for each in TRUTHS], ids=[each[0] for each in TRUTHS])
def test_an_endpoint_that_can_be_used_is_told_as_it_is(
    server: Server, capfd: pytest.CaptureFixture[str], faults: str, differs: dict[str, str], said: str
) -> None:
    server.faults(*faults.split())
    code, report, err = examined(capfd, "--critic", "vllm/judge-32b", "--base-url", server.url)
    assert code == 0, err
    found = {
        name: each["outcome"]
        for name, each in report["findings"].items()
        if name not in {"logprobs", "latency", "spent"}
    }
    assert found == ALL_ON | {name: outcome for name, outcome in differs.items() if name in ALL_ON}
    assert report["findings"]["logprobs"]["outcome"] == differs.get("logprobs", "ignored")
    assert report["usable"]
    assert report["verdict"].startswith("Usable. ")
    assert said in report["verdict"]
    assert report["verdict"] in err
    assert report["findings"]["spent"]["requests"] <= 24
    assert report["findings"]["thinking"]["where"] == (["the content, between think tags"] if "think" in faults else [])


USELESS: list[tuple[str, str, str, dict[str, str], str]] = [
    ("wrong key", "401", "key", {"reach": "yes", "key": "refused"}, "No key was sent"),
    ("forbidden", "403", "key", {"reach": "yes", "key": "refused"}, "--api-key-env"),
    ("no such model", "404-model", "model", {"reach": "yes", "model": "no"}, "Near names are judge-32b"),
    ("a login page", "html200", "no_chat_api", {"reach": "yes", "text": "unknown"}, "--base-url"),
    ("busy", "429:1:0.01", "busy", {"reach": "yes", "key": "unknown"}, "Ask again later"),
    ("an empty account", "quota", "quota", {"reach": "yes"}, "Top it up"),
    ("failing", "500", "server", {"reach": "yes"}, "Look at its own log"),
    ("an error inside a 200", "error200", "server", {"reach": "yes"}, "Provider returned error"),
    ("nothing said", "empty", "empty", {"reach": "yes", "text": "empty"}, "nothing"),
    ("elsewhere", "redirect:http://other.example", "redirect", {"reach": "no"}, "--base-url"),
    ("too slow", "stall", "timeout", {"reach": "no"}, "--timeout"),
    ("all requests bad", "400", "request", {"reach": "yes"}, "Bad request"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("faults", "kind", "found", "said"), [each[1:] for each in USELESS], ids=[each[0] for each in USELESS]
)
def test_an_endpoint_that_can_not_be_used_says_why_and_what_to_do(
    server: Server, capfd: pytest.CaptureFixture[str], faults: str, kind: str, found: dict[str, str], said: str
) -> None:
    server.faults(*faults.split())
    code, report, err = examined(capfd, "--critic", "vllm/judge-32", "--base-url", server.url, "--timeout", "0.5s")
    assert code == 2
    assert not report["usable"]
    assert report["cause"]["kind"] == kind
    assert {name: report["findings"][name]["outcome"] for name in found} == found
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: vllm/judge-32 can't be used: ")
    assert said in line
    assert report["toml"] == []


def test_an_address_where_nobody_is_says_what_is_wrong_with_it(
    server: Server, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with Server(certificate=_certificate(tmp_path)) as certified:
            places = {
                closed: ("refused", "nobody answers"),
                "http://there-is-none.invalid/v1": ("dns", "the host is unknown"),
                server.url.replace("http:", "https:"): ("tls", "http://"),
                certified.url: ("tls", "SSL_CERT_FILE"),
                certified.url.replace("https:", "http:"): ("tls", "https://"),
                "no-url": ("settings", "--base-url"),
            }
            for place, (kind, said) in places.items():
                code, report, err = examined(capfd, "--critic", "vllm/judge-32b", "--base-url", place)
                assert (code, report["cause"]["kind"]) == (2, kind), report
                assert said in err, place
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:{KEY}@127.0.0.1:9")
    code, report, err = examined(capfd, "--critic", "vllm/m", "--base-url", "http://far-away.invalid/v1")
    assert (code, report["cause"]["kind"]) == (2, "proxy")
    assert "HTTP_PROXY" in err
    assert KEY not in err + json.dumps(report)


def _certificate(folder: Path) -> Path:
    path = folder / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def test_a_key_that_was_sent_is_told_by_its_variable_and_shown_nowhere(
    server: Server, aifeedback: Command, tmp_path: Path
) -> None:
    flags = ("--critic", "vllm/judge-32b", "--base-url", server.url, "--api-key-env", "MINE", "--header", f"X-Api-Key: {KEY}", "--header", "X-Title: ours", "--query", f"token={KEY}", "--extra-body", json.dumps({"api_key": KEY, "top_p": 0.5}), "--json", "found.json", "--debug")  # fmt: skip
    for faults in ((), ("401",)):
        server.faults(*faults)
        server.reset()
        ended = aifeedback("doctor", *flags, env={"MINE": KEY})
        assert ended.code == (2 if faults else 0), ended.err
        assert "the key in MINE" in ended.err
        assert server.stats()["authorization"].keys() == {key_mark(f"Bearer {KEY}")}
        shown = ended.out + ended.err + (tmp_path / "found.json").read_text()
        assert not [start for start in range(len(KEY) - 9) if KEY[start : start + 10] in shown]


def test_an_endpoint_that_says_the_key_back_does_not_bring_it_into_the_report(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", KEY)
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps({"match": "", "content": "you\x1b[2J sent " * 11 + KEY}) + "\n")
    with Server(script=script, models=[KEY, f"{KEY}-2"]) as echo:
        _, report, err = examined(
            capfd, "--critic", f"vllm/{KEY}-1", "--base-url", echo.url, "--api-key-env", "MINE", "-v"
        )
    assert report["findings"]["json_schema"]["outcome"] == "ignored"
    assert "\x1b" not in err  # it would steer the terminal
    assert not [start for start in range(len(KEY) - 9) if KEY[start : start + 10] in err + json.dumps(report)]


def test_the_lines_for_aifeedback_toml_name_the_critic_to_label(
    server: Server, aifeedback: Command, tmp_path: Path
) -> None:
    server.faults()
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    body = {"top_p": 0.9, "stop": ['é"', "\x7f"], "provider": {"only": ["x"], "fast": True}, "user": None}
    ended = aifeedback("doctor", "--critic", "vllm/Org/Judge 32b:free", "--base-url", f"{server.url}?tenant=a%20b", "--api-key-env", "MINE", "--extra-body", json.dumps(body), "--query", "api-version=1", "--header", "X-Title: ours", "--price", "0.25,2", "--json", "-", env={"MINE": KEY})  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)["critics"][0]
    assert report["findings"]["spent"]["cost_usd"] > 0
    (tmp_path / "aifeedback.toml").write_text("\n".join(report["toml"]), encoding="utf-8")
    name = report["toml"][0].removeprefix("[critics.").removesuffix("]")
    planned = aifeedback("label", "pairs.jsonl", "--critic", name, "--dry-run", env={"MINE": KEY})
    assert planned.code == 0, planned.err
    assert f'base_url = "{server.url}"' in report["toml"]
    assert 'price = "0.25,2,0.25"' in report["toml"]
    again = aifeedback("doctor", "--critic", name, "--critic", "builtin", "--json", "-", env={"MINE": KEY})
    assert again.code == 0, again.err
    first, second = json.loads(again.out)["critics"]
    assert first["toml"][0] == f"[critics.{name}]"
    assert [line for line in first["toml"] if not line.startswith("#")] == [
        line for line in report["toml"] if not line.startswith("#")
    ]
    sent = server.requests()[-1]
    assert (sent["query"], sent["headers"]["x-title"], sent["body"]["stop"]) == (
        "tenant=a+b&api-version=1",
        "ours",
        body["stop"],
    )
    assert (second["critic"], second["usable"], second["findings"]) == ("builtin", True, {})


def test_one_critic_that_can_not_be_used_is_exit_2_and_the_others_are_told_all_the_same(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server.faults()
    assert run(["doctor", "--critic", "vllm/judge-32b", "--critic", "openai/m", "--base-url", server.url, "-q"]) == 0
    assert capfd.readouterr().err == ""
    assert run(["doctor", "--critic", "builtin", "--critic", "openai/m"]) == 2
    err = capfd.readouterr().err
    assert "Usable." in err
    assert "Error: openai/m can't be used: --critic openai/m needs a key. Set OPENAI_API_KEY" in err


CLAUDE: list[tuple[str, dict[str, str], str]] = [
    ("", {"json_schema": "yes", "reasoning_effort": "yes", "thinking": "yes"}, "json_schema, as the input of a tool"),
    ("400-format", {"json_schema": "refused", "reasoning_effort": "yes", "thinking": "yes"}, "plain text"),
    ("400-adaptive", {"json_schema": "yes", "reasoning_effort": "yes", "thinking": "yes"}, "json_schema"),
    ("400-adaptive 400-budget", {"json_schema": "yes", "reasoning_effort": "refused", "thinking": "no"}, "json_schema"),
    (
        "ignore-schema",
        {"json_schema": "ignored", "reasoning_effort": "yes", "thinking": "yes"},
        "json_schema is ignored",
    ),
]


@pytest.mark.parametrize(("faults", "found", "said"), CLAUDE)
def test_the_messages_api_is_asked_what_it_knows_and_nothing_else(
    server: Server,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    faults: str,
    found: dict[str, str],
    said: str,
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    server.faults(*faults.split(), rpm=6_000_000)
    code, report, err = examined(capfd, "--critic", "anthropic/claude-haiku-4-5")
    server.faults(rpm=0)
    assert code == 0, err
    outcomes = {name: each["outcome"] for name, each in report["findings"].items()}
    assert {name: outcomes[name] for name in found} == found
    assert {name for name, outcome in outcomes.items() if outcome == "not part of this API"} == {"json_object", "logprobs", "max_completion_tokens", "n", "seed"}  # fmt: skip
    assert {
        outcomes[name] for name in ("reach", "key", "model", "text", "system", "temperature", "limits", "price")
    } == {"yes"}
    assert report["findings"]["limits"]["requests"]["a_minute"] == 6_000_000
    assert report["findings"]["limits"]["detail"].startswith("6000000 requests a minute, ")
    assert said in report["verdict"]
    assert 'api_key_env = "ANTHROPIC_API_KEY"' in report["toml"]


def test_what_extra_body_sets_is_not_tried(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.faults()
    server.reset()
    body = {"temperature": 0.5, "max_completion_tokens": 99}
    code, report, err = examined(
        capfd, "--critic", "vllm/judge-32b", "--base-url", server.url, "--extra-body", json.dumps(body)
    )
    assert code == 0, err
    for name in ("temperature", "max_tokens", "max_completion_tokens"):
        assert report["findings"][name]["outcome"] == "unknown"
        assert "--extra-body sets" in report["findings"][name]["detail"]
    assert all(
        {name: sent["body"][name] for name in body} == body and "max_tokens" not in sent["body"]
        for sent in server.requests()
    )


def test_what_is_turned_away_for_now_is_asked_once_more(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    for faults in ("429:1:0.01", "503"):
        server.faults(faults, attempts=1)
        server.reset()
        code, report, err = examined(capfd, "--critic", "vllm/judge-32b", "--base-url", server.url)
        assert code == 0, err
        assert "unknown" not in {
            each["outcome"] for name, each in report["findings"].items() if name not in {"price", "system"}
        }
    server.faults(attempts=0)


def test_an_address_without_v1_is_told_from_a_model_that_is_not_there(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.test_key_safety import Echo

    bare = Echo(lambda _seen: (404, {}, b'{"detail":"Not Found"}'))
    code, report, err = examined(capfd, "--critic", "vllm/m", "--base-url", bare.url.removesuffix("/v1"))
    bare.stop()
    assert (code, report["cause"]["kind"]) == (2, "address")
    assert f"--base-url {bare.url}" in err


def test_each_probe_changes_one_thing(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.faults()
    server.reset()
    examined(capfd, "--critic", "vllm/judge-32b", "--base-url", server.url)
    plain, *others = [sent["body"] for sent in server.requests()]
    assert plain.keys() == {"model", "messages", "max_tokens"}
    together = [{"logprobs", "top_logprobs"}, {"max_tokens", "max_completion_tokens"}]
    changes = [{name for name in plain.keys() | sent.keys() if plain.get(name) != sent.get(name)} for sent in others]
    assert all(len(change) <= 1 or change in together for change in changes)


def reply(content: str = "", **more: Any) -> Answer:
    fields = {name: more.pop(name) for name in ("sent", "thought_in", "choices", "odd_logprobs") if name in more}
    return Answer(status=200, reply=Reply(content, **more), **fields)


def refused(status: int, message: str) -> Answer:
    return Answer(status=status, error=meaning(Refusal(status, message)), said=message)


def judged(name: str, answer: Answer, before: Answer | None = None) -> Finding:
    (probe,) = [probe for probe in probes.PROBES["chat"] if probe.name == name]
    return probe.judge(name, before or reply("A dog barks.", usage=Usage(20, output=30)), answer)


FITTING = '{"quandle": "zx-41", "fremble": "vermilion"}'
TOKENS = (Token(0, 1, tuple((chr(97 + number), -1.0) for number in range(5))), Token(1, 2, (("x", -0.1),)))

JUDGED: list[tuple[str, Answer, str, str]] = [
    ("json_schema", reply(FITTING), "yes", ""),
    ("json_schema", reply(f"Sure: {FITTING}"), "ignored", "Sure"),
    ("json_schema", reply(f"```json\n{FITTING}\n```"), "ignored", "```"),
    ("json_schema", reply('{"quandle": "zx-41", "fremble": "woof"}'), "ignored", "woof"),
    ("json_schema", reply('{"quandle": "zx-41", "fremble": "vermilion", "sound": "woof"}'), "ignored", "sound"),
    ("json_schema", reply('{"animal": "dog", "sound": "woof"}'), "ignored", "animal"),
    ("json_schema", reply(f"<think>{{}}</think>{FITTING}"), "yes", "think"),
    ("json_schema", reply(reasoning=FITTING, thought_in="reasoning"), "misplaced", "reasoning"),
    ("json_schema", reply(reasoning="Hm", finish_reason="length"), "empty", "cut off"),
    ("json_schema", reply(""), "empty", "nothing"),
    ("json_schema", reply(FITTING[:20], finish_reason="length"), "unknown", "cut off"),
    ("json_schema", reply("A dog", finish_reason="length"), "ignored", "A dog"),
    ("json_schema", refused(404, "No endpoints found that can handle the requested parameters."), "refused", "404"),
    ("json_schema", refused(503, "busy"), "unknown", "503"),
    ("json_schema", refused(401, "token expired"), "unknown", "401"),
    ("json_schema", refused(402, "insufficient credit"), "unknown", "quota"),
    ("json_object", reply("{}"), "ignored", ""),
    ("json_object", reply('{"animal": "dog"}'), "yes", ""),
    ("logprobs", reply("ab", tokens=TOKENS, sent={"top_logprobs": 20}), "yes", "5 a token, 20 were asked for"),
    ("logprobs", reply("ab", tokens=TOKENS, sent={"top_logprobs": 5}), "yes", "5 a token"),
    ("logprobs", reply("ab", tokens=(Token(0, 2),), sent={"top_logprobs": 5}), "ignored", "none come"),
    ("logprobs", reply("ab", odd_logprobs=True), "no", "without alternatives"),
    ("logprobs", refused(403, "You are not allowed to request logprobs from this model."), "refused", "not allowed"),
    ("max_tokens", reply("A dog", finish_reason="length"), "yes", "obeyed"),
    ("max_tokens", reply("A dog.", finish_reason="stop", usage=Usage(20, output=4)), "yes", "obeyed"),
    ("max_tokens", reply("A dog barks.", usage=Usage(20, output=30)), "ignored", "30 tokens"),
    ("max_tokens", reply("A dog barks."), "yes", "can't be told"),
    ("max_tokens", refused(400, "Could not finish the message because max_tokens or model output limit was reached."), "yes", "obeyed"),
    ("max_tokens", refused(400, "Invalid 'max_output_tokens': integer below minimum value. Expected >= 16"), "yes", "too small"),
    ("n", reply("x", sent={"n": 2}, choices=2), "yes", "2 choices come for 2"),
    ("n", reply("x", sent={"n": 2}, choices=1), "ignored", "1 choice comes for 2"),
    ("reasoning_effort", reply("x", usage=Usage(1, output=9, reasoning=7)), "yes", "7 tokens of thinking"),
    ("reasoning_effort", reply("x", reasoning="hm", thought_in="reasoning"), "yes", "it thinks"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "answer", "outcome", "said"), JUDGED)
def test_an_answer_is_judged_by_what_it_holds(name: str, answer: Answer, outcome: str, said: str) -> None:
    found = judged(name, answer)
    assert found.outcome == outcome, found
    assert said in found.detail


def test_an_object_that_comes_unasked_proves_nothing_about_json_object() -> None:
    assert judged("json_object", reply('{"a": 1}'), before=reply('{"animal": "dog"}')).outcome == "unknown"


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({"choices": [{"message": {"content": "x", "reasoning_content": "hm"}}]}, "reasoning_content"),
        ({"choices": [{"message": {"content": "x", "reasoning": "hm", "reasoning_content": None}}]}, "reasoning"),
        ({"choices": [{"message": {"content": "x", "reasoning_content": " "}}]}, ""),
        ({"content": [{"type": "redacted_thinking", "data": ""}, {"type": "text", "text": "x"}]}, "thinking blocks"),
        ({"content": [{"type": "text", "text": "x"}]}, ""),
        ({"choices": ["odd"]}, ""),
        ([], ""),
    ],
)
def test_the_field_that_holds_thinking_is_named(payload: object, place: str) -> None:
    assert thinking_field(json.dumps(payload).encode()) == place


@pytest.mark.parametrize(
    ("payload", "names", "whole"),
    [
        ({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, ["a", "b"], True),
        ({"data": [{"id": "a"}], "has_more": True}, ["a"], False),
        ({"models": [{"name": "models/a", "model": "a"}, {"model": "b"}, 3, {"id": 4}]}, ["models/a", "b"], True),
        ([{"id": "a"}, "b"], ["a", "b"], True),
        ({"detail": "Not Found"}, [], True),
        ("nonsense", [], True),
    ],
)
def test_lists_of_models_are_read_in_all_their_shapes(payload: object, names: list[str], whole: bool) -> None:
    assert probes.read_models(json.dumps(payload).encode()) == (names, whole)


@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["data", "models", "id", "choices", "message", "content"]), inner)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_a_server_says_is_read_without_falling(payload: bytes) -> None:
    names, _ = probes.read_models(payload)
    assert all(names)
    assert isinstance(thinking_field(payload), str)


@pytest.mark.parametrize(
    ("model", "listed", "answers", "outcome", "said"),
    [
        ("m", ["m"], True, "yes", "listed"),
        ("gemini-x", ["models/gemini-x"], True, "yes", "listed"),
        ("qwen3", ["qwen3:latest"], False, "yes", "listed"),
        ("judge-32", ["judge-32b", "other"], True, "yes", "near: judge-32b"),
        ("judge-32", ["judge-32b", "other"], False, "no", "near: judge-32b"),
        ("zzz", ["a", "b", "c", "d", "e", "f"], False, "no", "listed: a, b, c, d, e and 1 more"),
        ("m", [], True, "yes", "no list"),
        ("m", [], False, "unknown", ""),
    ],
)
def test_a_model_is_there_if_it_answers_whatever_a_list_says(
    model: str, listed: list[str], answers: bool, outcome: str, said: str
) -> None:
    found = probes.judge_model(model, listed, whole=True, answers=answers)
    assert (found.outcome, said in found.detail) == (outcome, True), found


def test_a_report_loses_each_of_its_secrets_and_says_causes_as_sentences() -> None:
    cause = Cause("x", "no KEY", "Is it KEY?")
    report = Report("KEY", "url", cause=cause, findings=(Finding("served", "yes", "KEY", {"models": ["KEY", 1], "more": {"KEY": "KEY"}}),), toml=("KEY",))  # fmt: skip
    clean = report.redacted(lambda text: text.replace("KEY", "***"))
    assert "KEY" not in json.dumps(clean.as_json())
    assert str(cause) == "no KEY. Is it KEY?"


@pytest.mark.parametrize(
    ("kind", "listed", "status", "becomes", "said"),
    [
        ("request", [], 400, "key", "The key in MINE was sent"),
        ("request", ["judge-32b"], 200, "request", "Near names are judge-32b"),
        ("server", ["other"], 200, "server", "advice. It lists other"),
        ("server", ["judge-32"], 200, "server", "advice"),
        ("server", [], 404, "server", "advice"),
        ("model", ["judge-32b"], 200, "model", "Near names are judge-32b"),
        ("quota", ["judge-32b"], 200, "quota", "advice"),
    ],
)
def test_a_list_of_models_makes_a_cause_clearer(
    kind: str, listed: list[str], status: int, becomes: str, said: str
) -> None:
    model = probes.judge_model("judge-32", listed, whole=True, answers=False)
    cause = sharpened(Cause(kind, "what", "advice"), model, listed, models_status=status, key_note="the key in MINE")
    assert (cause.kind, said in cause.advice) == (becomes, True), cause


def report_of(**outcomes: Any) -> Report:
    return Report("vllm/m", "http://h/v1", "chat", findings=tuple(Finding(name, outcome, "", {"top": 20}) for name, outcome in outcomes.items()))  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ({"json_schema": "yes", "logprobs": "yes"}, "Usable. Verdicts are asked for as json_schema; log probabilities come (20 a token): soft labels work."),
        ({"json_schema": "unknown", "json_object": "yes", "logprobs": "refused"}, "asked for as json_object; no log probabilities come"),
        ({"json_schema": "ignored", "json_object": "unknown", "logprobs": "unknown"}, "plain text (json_schema is ignored, whether json_object holds can't be told); whether log"),
        ({"system": "refused", "json_object": "yes"}, "Usable. It refuses the role system"),
        ({"json_schema": "refused", "json_object": "empty", "text": "empty"}, "give it more with --max-tokens 8192"),
    ],
)  # fmt: skip
def test_the_findings_come_to_a_sentence(outcomes: dict[str, str], said: str) -> None:
    assert said in verdict_on(report_of(**outcomes))


def test_the_lines_to_paste_hold_what_is_needed_and_nothing_secret() -> None:
    settings = EndpointSettings(
        "azure/gpt",
        id="mine",
        headers={"X-Title": "t", "api-key": KEY},
        extra_body={"metadata": {"n": [1, 2.5, None]}, "top_p": 0.9, "auth": {"who": KEY}, "list": [True, "x"]},
    )
    critic = CriticSettings(settings, temperature=0.5, max_tokens=100, reasoning_effort="low", weight=Fraction(1, 4))
    environment = {"AZURE_OPENAI_ENDPOINT": f"https://ann:{KEY}@n.openai.azure.com", "AZURE_OPENAI_API_KEY": KEY}
    report = report_of(text="empty", price="unknown")
    lines = toml_lines(report, critic, resolve(settings, environment), environment, name="", price=None)
    assert KEY not in "".join(lines)
    assert tomllib.loads("\n".join(lines))["critics"]["gpt"] == {
        "critic": "azure/gpt",
        "base_url": "https://n.openai.azure.com/openai/v1",
        "api_key_env": "AZURE_OPENAI_API_KEY",
        "id": "mine",
        "headers": {"X-Title": "t"},
        "extra_body": {"top_p": 0.9, "list": [True, "x"]},
        "temperature": 0.5,
        "max_tokens": 8192,
        "reasoning_effort": "low",
        "weight": 0.25,
    }
    (left_out,) = [line for line in lines if line.startswith("# Left out")]
    assert all(name in left_out for name in ("api-key", "metadata", "auth"))
    assert toml_lines(replace(report, cause=Cause("key", "no")), critic, resolve(settings, environment), environment, name="", price=None) == ()  # fmt: skip
