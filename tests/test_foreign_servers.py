"""`label` against servers that others wrote: every pair is accounted for, whatever they say and however they say it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, Ended, read_lines, some_pairs, write_lines
from tests.foreign_servers import ForeignServer
from tests.test_label_command import adds_up
from tests.tiny_models import RIGHT, WRONG

Label = Callable[..., tuple[Ended, dict[str, Any]]]


def pairs_with_a_right_one(count: int) -> list[dict[str, Any]]:
    """Pairs of which every other one is right in `a`, and the last of which nobody can tell."""
    pairs = []
    for number, pair in enumerate(some_pairs(count)):
        a, b = (RIGHT, WRONG) if number % 2 else (WRONG, RIGHT)
        if number < count - 1:
            pair |= {"response_a": f"{pair['response_a']} {a}", "response_b": f"{pair['response_b']} {b}"}
        pairs.append(pair | {"gold": "a" if number % 2 else "b"})
    return pairs


def mark_of(tmp_path: Path) -> str:
    """What tells a test's requests from those of others in a server's log."""
    return f"test={tmp_path.parent.name}-{tmp_path.name}"


@pytest.fixture
def label(aifeedback: Command, tmp_path: Path) -> Label:
    """Label five pairs, four of which have a right response: `label(server, "judge", …)` gives how it ended and the summary.

    Whatever came of it, the output and the rest hold each pair once, and the summary counts each once.
    """
    pairs = pairs_with_a_right_one(5)
    write_lines(tmp_path / "pairs.jsonl", pairs)

    def run(server: ForeignServer, model: str, *more: object, key: str | None = None) -> tuple[Ended, dict[str, Any]]:
        for name in ("labels.jsonl", "labels.rest.jsonl", "summary.json"):
            (tmp_path / name).unlink(missing_ok=True)
        ended = aifeedback(
            "label", "pairs.jsonl", "--critic", f"vllm/{model}", "--base-url", server.url, "--api-key-env", "FOREIGN_KEY",
            "--query", mark_of(tmp_path),
            "-o", "labels.jsonl", "--summary", "summary.json", *more,
            env={"FOREIGN_KEY": key or server.key or "unused"},
        )  # fmt: skip
        assert "Traceback" not in ended.err, ended.err
        if ended.code == 2:
            assert not (tmp_path / "labels.jsonl").exists()
            return ended, {}
        summary = json.loads((tmp_path / "summary.json").read_text())
        labels, rest = read_lines(tmp_path / "labels.jsonl"), read_lines(tmp_path / "labels.rest.jsonl")
        assert sorted(row["id"] for row in (*labels, *rest)) == [pair["id"] for pair in pairs]
        assert summary["labeled"] == len(labels)
        assert {status: summary[status] for status in {row["status"] for row in rest}} == Counter(
            row["status"] for row in rest
        )
        assert adds_up(summary), summary
        return ended, summary

    return run


@pytest.mark.parametrize("template", ["pairwise", "tags", "quick"])
def test_transformers_serve_gives_the_labels_that_its_model_sees(
    label: Label, transformers_serve: ForeignServer, tmp_path: Path, template: str
) -> None:
    ended, summary = label(transformers_serve, "judge", "--template", template)
    assert ended.code == 0, ended.err
    assert (summary["labeled"], summary["conflict"], summary["agreement"]["accuracy_decided"]) == (4, 1, 1.0)
    for row in read_lines(tmp_path / "labels.jsonl"):
        assert RIGHT in row["chosen"]
        assert WRONG in row["rejected"]
        assert row["preference"] == 1.0  # it takes `logprobs` and gives none, so nothing is soft
        assert not any(verdict["soft"] for verdict in row["feedback"]["verdicts"])
    assert summary["tokens"]["output"] == 20  # it says two tokens a question: what it takes is counted by the server


def test_a_model_that_babbles_labels_nothing(label: Label, transformers_serve: ForeignServer) -> None:
    ended, summary = label(transformers_serve, "babbler", "--max-tokens", 8)
    assert (ended.code, summary["labeled"], summary["unparsed"]) == (1, 0, 5), ended.err
    assert "cut off" in ended.err


def test_a_second_run_asks_a_foreign_server_nothing(
    label: Label, transformers_serve: ForeignServer, tmp_path: Path
) -> None:
    first = label(transformers_serve, "judge")[1]
    second = label(transformers_serve, "judge")[1]
    assert transformers_serve.answered(mark_of(tmp_path)) == {200: 10}
    assert second["requests"] == {"sent": 0, "retried": 0, "from_store": 10}
    assert first["labeled"] == second["labeled"] == 4


def test_a_field_of_the_users_that_transformers_serve_refuses_is_named(
    label: Label, transformers_serve: ForeignServer, tmp_path: Path
) -> None:
    ended, summary = label(transformers_serve, "judge", "--extra-body", '{"top_k": 1}')
    assert (ended.code, summary["failed"]) == (1, 5), ended.err
    reasons = [row["reason"] for row in read_lines(tmp_path / "labels.rest.jsonl")]
    assert all("Unexpected fields in the request: {'top_k'}" in reason for reason in reasons), reasons


def test_a_model_that_transformers_serve_has_not_fails_every_pair(
    label: Label, transformers_serve: ForeignServer
) -> None:
    ended, summary = label(transformers_serve, "no-such-model", "--retries", 0)  # its word for it is a bare 500
    assert (ended.code, summary["failed"]) == (1, 5), ended.err
    assert "Internal Server Error" in ended.err


def test_a_proxy_before_a_model_changes_no_label(
    label: Label, litellm_proxy: ForeignServer, transformers_serve: ForeignServer, tmp_path: Path
) -> None:
    def chosen(server: ForeignServer) -> list[tuple[str, str, float]]:
        ended, _ = label(server, "judge")
        assert ended.code == 0, ended.err
        return [(row["id"], row["chosen"], row["preference"]) for row in read_lines(tmp_path / "labels.jsonl")]

    assert chosen(litellm_proxy) == chosen(transformers_serve)


@pytest.mark.parametrize(
    ("model", "more", "refused"),
    [
        ("gpt-4o", (), ""),
        ("gpt-4o", ("--reasoning-effort", "low"), "reasoning_effort"),
        ("gpt-5-mini", (), "temperature"),
        ("llama-on-replicate", (), "response_format"),
        ("tags", ("--template", "tags"), ""),
    ],
)
def test_a_proxy_that_refuses_a_parameter_is_asked_without_it(
    label: Label, litellm_proxy: ForeignServer, tmp_path: Path, model: str, more: tuple[str, ...], refused: str
) -> None:
    """The mocks name the first response always, which is no label; that all of them do so shows that all were read."""
    ended, summary = label(litellm_proxy, model, "--concurrency", 1, *more)
    assert ended.code == 0, ended.err
    assert (summary["conflict"], summary["first_shown_rate"]) == (5, 1.0)
    assert refused in ended.err
    before = litellm_proxy.answered(mark_of(tmp_path))
    assert before[200] == 10
    assert bool(before[400]) == bool(refused)
    again = label(litellm_proxy, model, "--concurrency", 1, "--criteria", "honest", *more)[1]
    assert again["conflict"] == 5
    after = litellm_proxy.answered(mark_of(tmp_path))
    assert after == before + Counter({200: 10}), "what it refused once was asked for again"


@pytest.mark.parametrize(
    ("model", "status", "reason"),
    [("empty", "unparsed", "empty reply"), ("full", "too_long", "context window"), ("broken", "failed", "no answer")],
)
def test_what_a_proxy_can_not_answer_becomes_no_label(
    label: Label, litellm_proxy: ForeignServer, tmp_path: Path, model: str, status: str, reason: str
) -> None:
    ended, summary = label(litellm_proxy, model, "--retries", 0)
    assert (ended.code, summary["labeled"], summary[status]) == (1, 0, 5), ended.err
    assert all(reason in row["reason"] for row in read_lines(tmp_path / "labels.rest.jsonl"))


@pytest.mark.parametrize(
    ("model", "key", "said"),
    [
        ("gpt-4o", "sk-some-other-key", "credentials"),  # its word for it: "No connected db."
        ("no-such-model", None, "no such model"),
    ],
)
def test_a_proxy_that_would_refuse_everything_is_asked_nothing_more(
    label: Label, litellm_proxy: ForeignServer, model: str, key: str | None, said: str
) -> None:
    ended, _ = label(litellm_proxy, model, key=key)
    assert ended.code == 2, ended.err
    assert said in ended.err
    assert key is None or key not in ended.err


def test_a_proxy_that_only_says_to_wait_is_waited_for_no_longer_than_asked(
    label: Label, litellm_proxy: ForeignServer
) -> None:
    ended, _ = label(litellm_proxy, "limited", "--patience", "1s")
    assert ended.code == 2, ended.err
    assert "429" in ended.err
    assert "--patience" in ended.err
