"""Claude by its own API, from outside: the same labels as through the chat API, and every pair accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aifeedback.testing import Server, StartServer, key_mark
from tests.conftest import Command, Ended, read_lines, some_pairs, write_lines
from tests.test_key_safety import KEY, Echo, echo, nowhere  # noqa: F401 - the fixture is found by its name
from tests.test_label_command import adds_up

Label = Callable[..., tuple[Ended, dict[str, Any]]]


@pytest.fixture
def label(aifeedback: Command, tmp_path: Path) -> Label:
    """Label `pairs.jsonl` with a critic at a server; the summary comes with how it ended."""

    def run(server: Server, *flags: object, critic: str = "anthropic/claude-m") -> tuple[Ended, dict[str, Any]]:
        ended = aifeedback(
            "label", "pairs.jsonl", "--critic", critic, "--base-url", server.url, "--api-key-env", "MINE", "--no-store",
            "-o", "out.jsonl", "--summary", "s.json", *flags, env={"MINE": KEY},
        )  # fmt: skip
        summary = json.loads((tmp_path / "s.json").read_text())
        assert adds_up(summary)
        return ended, summary

    return run


def labels(folder: Path) -> list[tuple[str, str, float]]:
    return [(row["id"], row["feedback"]["winner"], row["preference"]) for row in read_lines(folder / "out.jsonl")]


@pytest.mark.parametrize("template", ["pairwise", "quick", "tags"])
def test_claude_gives_the_same_labels_by_either_api_and_what_was_cached_is_counted(
    label: Label, tmp_path: Path, critic_server: StartServer, template: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(12))
    server = critic_server()
    ended, by_chat = label(server, "--template", template, critic="openai/claude-m")
    assert ended.code == 0, ended.err
    expected = labels(tmp_path)
    server.reset()
    ended, natively = label(server, "--template", template)
    assert ended.code == 0, ended.err
    assert labels(tmp_path) == expected
    assert len(expected) == by_chat["labeled"] == natively["labeled"] == 12
    requests, stats = server.requests(), server.stats()
    assert {seen["path"] for seen in requests} == {"/v1/messages"}
    assert {(seen["headers"]["x-api-key"], seen["headers"]["anthropic-version"]) for seen in requests} == {
        (key_mark(KEY), "2023-06-01")
    }
    assert "authorization" not in requests[0]["headers"]
    (marked,) = {json.dumps(seen["body"]["system"]) for seen in requests}
    assert '"cache_control"' in marked
    method = {
        verdict["method"] for row in read_lines(tmp_path / "out.jsonl") for verdict in row["feedback"]["verdicts"]
    }
    assert method == {{"pairwise": "json_schema", "quick": "letter", "tags": "tag"}[template]}
    # The first request writes the part that is the same for all pairs, each other one reads it.
    tokens, prefix = natively["tokens"], natively["tokens"]["cached"] // 23
    assert (stats["blind"], tokens["cached"]) == (0, 23 * prefix)
    assert prefix > 100
    assert (tokens["input"], tokens["output"]) == (stats["tokens"]["input"], stats["tokens"]["output"])


def test_claude_is_waited_for_while_it_is_overloaded_or_the_limit_is_reached(
    label: Label, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(10))
    server = critic_server(faults=["529:0.5", "429:0.2:0.05", "error200:0.2", "event-stream:0.2"], attempts=2)
    ended, summary = label(server, "--retries", 0)
    assert (ended.code, summary["labeled"]) == (0, 10), ended.err
    assert {"529", "429", "error200", "event-stream"} <= set(server.stats()["faults"])
    limited = critic_server(rpm=600)
    ended, summary = label(limited, "--retries", 0)
    assert (ended.code, summary["labeled"]) == (0, 10), ended.err


@pytest.mark.parametrize(
    ("fault", "status", "says"),
    [
        ("refusal", "refused", "can't help"),
        ("filter", "refused", ""),
        ("length", "unparsed", "cut off"),
        ("empty", "unparsed", ""),
        ("400-context", "too_long", "too long"),
        ("400-filter", "refused", "content filter"),
        ("400", "failed", "Bad request"),
        ("cut-stream", "failed", "breaks off"),
    ],
)
def test_what_is_no_verdict_becomes_no_label(
    label: Label, tmp_path: Path, critic_server: StartServer, fault: str, status: str, says: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    _, summary = label(critic_server(faults=[fault]), "--retries", 0, "--max-failed", "100%")
    assert (summary["labeled"], summary[status]) == (0, 2)
    assert all(says in row["reason"] for row in read_lines(tmp_path / "out.rest.jsonl"))


@pytest.mark.parametrize(
    ("fault", "says"),
    [("401", "credentials"), ("quota", "quota"), ("404-model", "no such model"), ("403", "credentials")],
)
def test_what_never_heals_stops_the_run(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer, fault: str, says: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = critic_server(faults=[fault])
    # The host alone, as Anthropic's own clients take it, and no key without a name for it.
    ended = aifeedback(
        "label",
        "pairs.jsonl",
        "--critic",
        "anthropic/claude-m",
        "--base-url",
        server.url.removesuffix("/v1"),
        "--no-store",
    )
    assert ended.code in {2, 5}
    assert says in ended.err
    assert "x-api-key" not in server.requests()[0]["headers"]


@pytest.mark.parametrize(
    ("faults", "flags", "thinking", "choice"),
    [
        ([], (), None, "tool"),
        (["400-schema", "400-temperature"], (), None, "auto"),
        (["400-format"], (), None, None),
        ([], ("--reasoning-effort", "low"), "adaptive", "auto"),
        (["400-adaptive"], ("--reasoning-effort", "low"), "enabled", "auto"),
        (["400-adaptive", "400-budget"], ("--reasoning-effort", "low"), None, "tool"),
        (["400-param:output_config", "400-budget"], ("--reasoning-effort", "low"), "adaptive", "auto"),
        (["ignore-schema", "think"], (), None, "tool"),
    ],
)
def test_a_model_that_takes_less_gives_the_same_labels(
    label: Label,
    tmp_path: Path,
    critic_server: StartServer,
    faults: list[str],
    flags: tuple[str, ...],
    thinking: str | None,
    choice: str | None,
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(6))
    server = critic_server()
    label(server)
    expected = labels(tmp_path)
    server.faults(*faults)
    server.reset()
    if "ignore-schema" in faults:
        flags = (*flags, "--template", "tags")
    ended, summary = label(server, *flags)
    assert ended.code == 0, ended.err
    assert labels(tmp_path) == expected
    last = server.requests()[-1]["body"]
    assert (last.get("thinking") or {}).get("type") == thinking
    if "ignore-schema" not in faults:
        assert (last.get("tool_choice") or {}).get("type") == choice
    assert ("temperature" in last) == (thinking is None and "400-temperature" not in faults)
    assert (summary["tokens"]["reasoning"] > 0) == (thinking is not None or "think" in faults)
    assert ("400" in ended.err or "refuse" in ended.err) == any(fault.startswith("400") for fault in faults)


def test_a_key_that_claude_echoes_is_shown_and_kept_nowhere(
    aifeedback: Command,
    tmp_path: Path,
    echo: Callable[..., Echo],  # noqa: F811
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    said = {"analysis": f"You sent {KEY}", "verdict": "A"}
    blocks = [{"type": "thinking", "thinking": KEY}, {"type": "tool_use", "name": "verdict", "input": said}]
    message = {"type": "message", "model": KEY, "content": blocks, "stop_reason": "tool_use"}
    wrong = {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key {KEY}"}}
    for status, body in ((200, message), (401, wrong)):
        server = echo(lambda _seen, status=status, body=body: (status, {}, json.dumps(body).encode()))
        ended = aifeedback(
            "label", "pairs.jsonl", "--critic", "anthropic/m", "--explain", "full", "-o", "out.jsonl", "--summary", "s.json",
            "--retries", 0, "--debug", env={"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url.removesuffix("/v1")},
        )  # fmt: skip
        assert KEY in server.seen[0]
        nowhere(tmp_path, ended)


def test_examples_are_part_of_what_is_cached(label: Label, tmp_path: Path, critic_server: StartServer) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    shown = [pair | {"winner": "a", "id": f"shown-{pair['id']}"} for pair in some_pairs(2)]
    write_lines(tmp_path / "examples.jsonl", shown)
    server = critic_server()
    ended, summary = label(server, "--examples", "examples.jsonl")
    assert (ended.code, summary["labeled"]) == (0, 2), ended.err
    turns = server.requests()[-1]["body"]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert ["cache_control" in json.dumps(turn) for turn in turns] == [False, False, False, True, False]
    assert summary["tokens"]["cached"] > 0
