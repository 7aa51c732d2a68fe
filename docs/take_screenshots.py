"""Takes the pictures of docs/report.md: a made-up run of a critic with biases, reported on and opened in Chromium.

    python docs/take_screenshots.py            docs/report-light.png and docs/report-dark.png
    python docs/take_screenshots.py --write DIR [PAIRS]  the made-up run alone
    python docs/take_screenshots.py --all DIR  a look at every part, in both themes and on a phone, to judge the design by

Needs the extra `dev`, and Chromium (Debian: apt-get install chromium).
"""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aifeedback.families import family
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Invalid, Label, Message, Order, Pair, Reply, Status, Verdict
from aifeedback.rows import Shaper, labelled_row, rest_row
from aifeedback.settings import OutputSettings, ReconcileSettings

HERE = Path(__file__).parent
CRITIC, TEMPLATE, CRITERIA = "openai/gpt-5-mini", "pairwise@9f31c2", "helpful"
MODELS = ("openai/gpt-4o-mini", "mistral/mistral-small-latest", "qwen/qwen3-8b", "meta-llama/llama-3.3-70b")
SETTINGS = OutputSettings()
REASONS = (
    "The {better} answer is {how} more helpful: it says what to do and why. The {other} one leaves out steps that matter.",
    "Both are correct, but the {better} one is {how} easier to act on; the {other} one stops half-way.",
    "The {other} answer misses what was asked for. The {better} one keeps to it, and is {how} more complete.",
    "The {better} response covers the likely pitfalls. The {other} is shorter and {how} less useful to somebody who is new to this.",
)


def pairs(count: int, draw: random.Random) -> Iterator[Pair]:
    """Pairs made of the examples: answers exchanged between models, some cut short, each with a hidden best one."""
    lines = (HERE.parent / "examples" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    # A machine that takes pictures may lack letters for all the world's scripts.
    examples = [json.loads(line) for line in lines if json.loads(line)["response_a"].isascii()]
    for number in range(count):
        example = examples[number % len(examples)]
        good, bad = example["response_a"], example["response_b"]
        if example.get("gold") == "b":
            good, bad = bad, good
        if draw.random() < 0.35:  # the same answer, less of it
            sentences = good.split(". ")
            bad = ". ".join(sentences[: max(1, len(sentences) * 2 // 3)]).rstrip(".") + "."
        swap = draw.random() < 0.5
        a, b = (bad, good) if swap else (good, bad)
        prompt = example["prompt"]
        if not isinstance(prompt, str):
            prompt = tuple(Message(turn["role"], turn["content"]) for turn in prompt)
        model_a, model_b = draw.sample(MODELS, 2)
        yield Pair(
            f"demo-{number + 1:03}", prompt, a, b,
            gold=("b" if swap else "a") if draw.random() < 0.55 else "", model_a=model_a, model_b=model_b,
            meta={"better": "b" if swap else "a"}, file="pairs.jsonl", line=number + 1,
        )  # fmt: skip


def judged(pair: Pair, draw: random.Random) -> Label | Invalid:
    """What a critic says that sees quality, but also length, place and kin."""
    fate = draw.random()
    if fate < 0.006:
        return Invalid(pair.file, pair.line, '{"prompt": "How do I …', "not JSON: unterminated string at column 12.")
    length = math.log((len(str(pair.response_a)) + 20) / (len(str(pair.response_b)) + 20))
    kin = [family(model) == family(CRITIC) for model in (pair.model_a, pair.model_b)]
    logit = (1.5 if pair.meta["better"] == "a" else -1.5) + 0.9 * length + 0.5 * (kin[0] - kin[1]) + draw.gauss(0, 1.1)
    verdicts = []
    for order in Order:
        said = logit + (0.55 if order is Order.AB else -0.55) + draw.gauss(0, 0.5)
        p_a = PA(round(1 / (1 + math.exp(-1.3 * said)), 6))
        better, other = ("first", "second") if (p_a > 0.5) == (order is Order.AB) else ("second", "first")
        how = "clearly" if abs(p_a - 0.5) > 0.4 else "somewhat"
        reason = draw.choice(REASONS).format(better=better, other=other, how=how)
        failed = 0.006 < fate < 0.018
        verdicts.append(
            Verdict(CRITIC, order, 0, None if failed else p_a, "letter", reason, soft=True, mass=0.998,
                    status=Status.UNPARSED if failed else None, why="no letter that was offered" if failed else "",
                    reply=Reply("A", model="gpt-5-mini-2025-08-07"))
        )  # fmt: skip
    return reconcile(pair, verdicts, ReconcileSettings(min_preference=0.55))


def write_run(folder: Path, count: int = 640, seed: int = 7) -> Path:
    """A labelled file, its rest and the run's summary; gives the labelled file."""
    from aifeedback.summary import Tally

    draw, shaper, tally = random.Random(seed), Shaper(SETTINGS), Tally(CRITIC)
    labelled, rest = [], []
    for pair in pairs(count, draw):
        shaper.refuse(pair)
        label = judged(pair, draw)
        tally.add(label)
        names = (CRITIC, TEMPLATE, CRITERIA)
        if isinstance(label, Label) and label.status is None:
            labelled.append(labelled_row(label, *names, shaper, SETTINGS))
        else:
            rest.append(rest_row(label, *names, SETTINGS))
    (folder / "labels.jsonl").write_bytes(b"\n".join([*labelled, b""]))
    (folder / "labels.rest.jsonl").write_bytes(b"\n".join([*rest, b""]))
    summary = {
        **tally.counts(),
        "requests": {"sent": 2 * count, "retried": 9, "from_store": 0},
        "tokens": {"input": 612 * count, "cached": 380 * count, "output": 2 * count, "reasoning": 0},
        "cost_usd": 0.000121 * count,
        "seconds": 0.061 * count,
        **tally.rates(),
        "manifest": {
            "version": "0.1.0",
            "critic": CRITIC,
            "criteria_text": "Which response helps the user more with what they asked?",
            "parameters": {"orders": ["ab", "ba"], "samples": 1, "soft": "auto", "on_conflict": "drop", "min_preference": 0.55},
            "seed": 0,
            "inputs": {"pairs.jsonl": "9f31c2d7a0b4e6815c3d2f0e7b9a46185d0c7e2f4a6b8d9013572468ace0bdf1"},
        },
    }  # fmt: skip
    (folder / "labels.summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder / "labels.jsonl"


def chromium() -> str:
    """The browser of this machine."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    return found or sys.exit("There is no Chromium here. Install it: apt-get install chromium.")


def main() -> None:
    """Take them."""
    if sys.argv[1:2] == ["--write"]:
        write_run(Path(sys.argv[2]), *map(int, sys.argv[3:]))
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        labels = write_run(folder)
        subprocess.run([sys.executable, "-m", "aifeedback", "report", labels, "-o", folder / "report.html"], check=True)
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        if "--all" in sys.argv:
            look(browser, (folder / "report.html").as_uri(), Path(sys.argv[-1]))
            return
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1180, "height": 1000}, color_scheme=theme)
            page.goto((folder / "report.html").as_uri())
            shot = HERE / f"report-{theme}.png"
            if theme == "dark":
                page.click("#kinds [data-code=against]")
                page.locator(".head").first.click()
                page.locator("#pairs").evaluate("(part) => scrollTo({ top: part.offsetTop - 60, behavior: 'instant' })")
                page.mouse.move(0, 0)
            page.screenshot(path=shot)
            smaller(shot)


def look(browser, address: str, folder: Path) -> None:  # noqa: ANN001 - playwright's, imported where used
    """Every part of the page, as a wide and a narrow screen show it."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        for width in (1180, 360):
            page = browser.new_page(viewport={"width": width, "height": 1400}, color_scheme=theme)
            page.goto(address)
            page.screenshot(path=folder / f"{theme}-{width}-page.png", full_page=True)
            page.locator(".head").first.click()
            page.locator("#pairs").screenshot(path=folder / f"{theme}-{width}-pairs.png")


def smaller(shot: Path) -> None:
    """Without the transparency that a page has none of, and packed as tightly as a PNG can be."""
    from PIL import Image

    Image.open(shot).convert("RGB").save(shot, optimize=True)


if __name__ == "__main__":
    main()
