"""How often the builtin critic agrees with people, next to the rule "choose the longer".

Usage: python benchmarks/builtin_agreement.py PAIRS.jsonl...   (pair form, with `gold`)

Prints a Markdown table. Pairs whose gold is a tie, or missing, are left out; where the two responses come out equal
the pair counts half. Intervals are Wilson's, 95%.
"""

from __future__ import annotations

import json
import sys
from math import sqrt
from pathlib import Path

from aifeedback.critics.builtin import MODEL, judge
from aifeedback.records import Content, Message, Order, Pair, PFirst, Question, VerdictFormat, text_of

LETTERS = VerdictFormat("letter", {"A": PFirst(1.0), "B": PFirst(0.0), "C": PFirst(0.5)})
SAYS_A = {"first": 1.0, "second": 0.0, "tie": 0.5}
Z = 1.959964
"""The normal quantile of a 95% interval."""


def read(path: Path) -> list[Pair]:
    """Read the pairs of a file whose gold is a or b."""
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    return [
        Pair(
            id=record["id"],
            prompt=content(record["prompt"]),
            response_a=content(record["response_a"]),
            response_b=content(record["response_b"]),
            gold=record["gold"],
        )
        for record in records
        if record.get("gold") in {"a", "b"}
    ]


def content(value: str | list[dict[str, str]]) -> Content:
    return value if isinstance(value, str) else tuple(Message(turn["role"], turn["content"]) for turn in value)


def builtin(pair: Pair) -> float:
    """Return 1.0 where the critic prefers response a, 0.0 where b, 0.5 for a tie."""
    place, _ = judge(Question((), LETTERS, pair, Order.AB))
    return SAYS_A[place]


def longer(pair: Pair) -> float:
    """Do the same for the response with more characters."""
    lead = len(text_of(pair.response_a)) - len(text_of(pair.response_b))
    return (lead > 0) + (lead == 0) / 2


def agreement(says_a: list[float], pairs: list[Pair]) -> float:
    """Count the pairs on whose gold side the answer lies, a tie half, as a share."""
    return sum(p if pair.gold == "a" else 1 - p for p, pair in zip(says_a, pairs, strict=True)) / len(pairs)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval; here the share may hold halves."""
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def cell(share: float, n: int) -> str:
    low, high = wilson(share, n)
    return f"{share:.2%} ({low:.1%} to {high:.1%})"


def main(paths: list[str]) -> int:
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    print(f"| pairs | n | {MODEL} | choose the longer |\n|---|---|---|---|")
    for path in map(Path, paths):
        pairs = read(path)
        if not pairs:
            print(f"{path}: no pair has a gold of a or b. Give a file in the pair form with gold.", file=sys.stderr)
            return 2
        figures = [cell(agreement([rule(pair) for pair in pairs], pairs), len(pairs)) for rule in (builtin, longer)]
        print(f"| {path.name} | {len(pairs)} | {' | '.join(figures)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
