"""What it saves to ask a strong critic only where a cheap one is in doubt, with judges whose texts were recorded.

Usage: python benchmarks/escalation.py FOLDER

FOLDER holds llmbar_natural.jsonl (pairs with `gold`) and recorded_llmbar_natural_JUDGE.jsonl for chatgpt, gpt4 and
llama2, with the texts of the strategy Vanilla. Each judge is served over HTTP and asked through the command itself.

Prints a Markdown table. Accuracy counts a pair without a label as wrong; its interval is Wilson's, 95%.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from aifeedback.testing import Server

JUDGES = {"chatgpt": "ChatGPT", "llama2": "LLaMA2", "gpt4": "GPT-4"}
STRONG = "gpt4"
RUNS: Mapping[str, Sequence[str]] = {
    "ChatGPT alone": ["chatgpt"],
    "LLaMA2 alone": ["llama2"],
    "GPT-4 alone": ["gpt4"],
    "ChatGPT and LLaMA2": ["chatgpt", "llama2"],
    "all three": ["chatgpt", "llama2", "gpt4"],
    "ChatGPT, in doubt GPT-4": ["chatgpt", "+"],
    "LLaMA2, in doubt GPT-4": ["llama2", "+"],
    "ChatGPT and LLaMA2, in doubt GPT-4": ["chatgpt", "llama2", "+"],
    "the same with --min-preference 0.8": ["chatgpt", "llama2", "+", "0.8"],
}


@contextmanager
def served(folder: Path) -> Iterator[dict[str, Server]]:
    """All judges, each at an address of its own."""
    with ExitStack() as running:
        yield {
            judge: running.enter_context(
                Server(
                    replay=folder / f"recorded_llmbar_natural_{judge}.jsonl",
                    pairs=folder / "llmbar_natural.jsonl",
                    strategy="Vanilla",
                )
            )
            for judge in JUDGES
        }


def label(pairs: Path, critics: Sequence[str], work: Path) -> dict[str, Any]:
    """Label the pairs with these critics and give the summary.

    `+` stands for the strong one, asked in doubt; what follows is the least preference that is none.
    """
    named = [flag for judge in critics if judge in JUDGES for flag in ("--critic", judge)]
    doubt = critics[critics.index("+") :] if "+" in critics else []
    escalate = ["--on-conflict", "escalate", "--escalate-to", STRONG] if doubt else []
    least = ["--min-preference", *doubt[1:]] if doubt[1:] else []
    arguments = ["label", str(pairs), *named, *escalate, *least, "--template", "statement", "--no-store", "-q"]
    outputs = ["-o", "labels.jsonl", "--summary", "summary.json", "--max-failed", "100%"]
    subprocess.run([sys.executable, "-m", "aifeedback", *arguments, *outputs], cwd=work, check=True)
    summary: dict[str, Any] = json.loads((work / "summary.json").read_text())
    return summary


def row(name: str, summary: Mapping[str, Any], asked: Mapping[str, int]) -> str:
    agreement = summary["agreement"]
    low, high = agreement["accuracy_ci"]
    accuracy = f"{agreement['accuracy']:.0%} ({low:.0%} to {high:.0%})"
    others = sum(count for judge, count in asked.items() if judge != STRONG)
    alpha = "" if summary["critics_alpha"] is None else f"{summary['critics_alpha']:.2f}"
    cells = [
        name,
        accuracy,
        f"{agreement['accuracy_decided']:.1%}",
        summary["labeled"],
        others,
        asked[STRONG],
        alpha,
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    pairs = folder / "llmbar_natural.jsonl"
    print(
        "| critics | right, no label counting as wrong | right among the labelled | labelled | requests | to GPT-4 | alpha |"
    )
    print("|---|---|---|---|---|---|---|")
    with served(folder) as servers, tempfile.TemporaryDirectory() as made:
        work = Path(made)
        (work / "aifeedback.toml").write_text(
            "".join(
                f'[critics.{judge}]\ncritic = "vllm/{model}"\nbase_url = "{servers[judge].url}"\n'
                for judge, model in JUDGES.items()
            )
        )
        for name, critics in RUNS.items():
            before = {judge: server.stats()["requests"] for judge, server in servers.items()}
            summary = label(pairs, critics, work)
            asked = {judge: server.stats()["requests"] - before[judge] for judge, server in servers.items()}
            print(row(name, summary, asked))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
