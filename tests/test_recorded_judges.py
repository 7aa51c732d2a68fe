"""Real judges' recorded texts, served over HTTP and labelled: the figures of their publication come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aifeedback.testing import StartServer
from tests.conftest import Command, read_lines

Judge = tuple[str, str, str]

EXACT: list[Judge] = [
    ("gpt4", "GPT-4", "Vanilla"),
    ("gpt4", "GPT-4", "CoT"),
    ("chatgpt", "ChatGPT", "Vanilla"),
    ("chatgpt", "ChatGPT", "CoT"),
    ("llama2", "LLaMA2", "Vanilla"),
    ("llama2", "LLaMA2", "CoT"),
]


def labelled(
    aifeedback: Command, start: StartServer, data: Path, folder: Path, file: str, strategy: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary, and all verdicts' rows, of labelling LLMBar Natural by one recorded judge."""
    pairs = data / "llmbar_natural.jsonl"
    server = start(replay=data / f"recorded_llmbar_natural_{file}.jsonl", pairs=pairs, strategy=strategy)
    ended = aifeedback(
        "label", pairs, "--critic", "vllm/judge", "--base-url", server.url, "--template", "statement",
        "-o", "labels.jsonl", "--summary", "summary.json", "--max-failed", "100%",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    rows = read_lines(folder / "labels.jsonl") + read_lines(folder / "labels.rest.jsonl")
    return json.loads((folder / "summary.json").read_text()), rows


@pytest.mark.parametrize(
    ("file", "judge", "strategy"), EXACT, ids=[f"{judge} {strategy}" for _, judge, strategy in EXACT]
)
def test_every_text_is_read_as_its_authors_read_it(
    aifeedback: Command, critic_server: StartServer, data: Path, tmp_path: Path, file: str, judge: str, strategy: str
) -> None:
    summary, rows = labelled(aifeedback, critic_server, data, tmp_path, file, strategy)
    recorded = {
        (row["id"], row["order"]): {"a": 1.0, "b": 0.0, None: None}[row["parsed"]]
        for row in read_lines(data / f"recorded_llmbar_natural_{file}.jsonl")
        if row["strategy"] == strategy
    }
    read = {(row["id"], verdict["order"]): verdict["p_a"] for row in rows for verdict in row["feedback"]["verdicts"]}
    assert read == recorded
    expected = json.loads((data / "expected.json").read_text())["expected"][f"llmbar_natural / {judge} / {strategy}"]
    by_order = summary["agreement"]["accuracy_by_order"]
    assert [100 * by_order["ab"], 100 * by_order["ba"]] == pytest.approx([expected["acc_ab"], expected["acc_ba"]])
    assert 100 * summary["first_shown_rate"] == pytest.approx(expected["first_position_rate"], abs=1e-3)
    if expected["unparsed_texts"] == 0:
        assert 100 * summary["consistency"] == pytest.approx(expected["positional_agreement"])
        assert 100 * summary["labeled"] / summary["read"] == pytest.approx(expected["consistent_pairs"])
    assert summary["unparsed"] == expected["unparsed_texts"]


def test_a_label_at_the_start_of_a_later_line_is_not_taken_for_the_verdict(
    aifeedback: Command, critic_server: StartServer, data: Path, tmp_path: Path
) -> None:
    """PaLM2's explanations begin lines with the other output's name; its last claim is what counts."""
    summary, _ = labelled(aifeedback, critic_server, data, tmp_path, "palm2", "CoT")
    by_order = summary["agreement"]["accuracy_by_order"]
    assert 100 * (by_order["ab"] + by_order["ba"]) / 2 == pytest.approx(80.0)
    # Two texts are empty: they are asked again by the next run, and until then nobody's label.
    assert summary["unparsed"] == 1
    assert summary["labeled"] == 81


def test_a_strong_judge_asked_only_in_doubt_is_nearly_as_good_for_under_a_third_of_its_requests(
    aifeedback: Command, critic_server: StartServer, data: Path, tmp_path: Path
) -> None:
    """ChatGPT first, GPT-4 on its conflicts, against GPT-4 about every pair: the figures in docs/panels.md."""
    pairs = data / "llmbar_natural.jsonl"
    servers = {
        judge: critic_server(replay=data / f"recorded_llmbar_natural_{judge}.jsonl", pairs=pairs, strategy="Vanilla")
        for judge in ("chatgpt", "gpt4")
    }
    (tmp_path / "aifeedback.toml").write_text(
        "".join(
            f'[critics.{judge}]\ncritic = "vllm/{judge}"\nbase_url = "{server.url}"\n'
            for judge, server in servers.items()
        )
    )

    def run(*critics: str) -> dict[str, Any]:
        ended = aifeedback(
            "label", pairs, "--critic", *critics, "--template", "statement", "--no-store",
            "-o", "labels.jsonl", "--summary", "summary.json",
        )  # fmt: skip
        assert ended.code == 0, ended.err
        summary: dict[str, Any] = json.loads((tmp_path / "summary.json").read_text())
        return summary

    alone = run("gpt4")["agreement"]["accuracy"]
    asked_alone = servers["gpt4"].stats()["requests"]
    summary = run("chatgpt", "--on-conflict", "escalate", "--escalate-to", "gpt4")
    asked = servers["gpt4"].stats()["requests"] - asked_alone
    assert asked_alone == summary["escalation"]["requests_alone"] == 200
    assert asked == summary["escalation"]["requests"] == 58 < asked_alone / 3
    assert alone == 0.93
    assert summary["agreement"]["accuracy"] == 0.92 >= alone - 0.02
    assert summary["read"] == 100 == summary["labeled"] + summary["conflict"]
