"""The README and docs/ say what is so: links, flags, providers, forms, keys, exit codes and the file tree."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import typer.main

from aifeedback.cli.critic_options import EndpointFlags, critics
from aifeedback.cli.main import app
from aifeedback.endpoints.address import providers
from aifeedback.forms import recognise
from aifeedback.records import Status
from aifeedback.testing import StartServer
from tests.conftest import ROOT, Command, clean_environment, some_pairs, write_lines

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its rank or above."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}$\n(.*?)(?=^#{{1,{level}}} |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def table(page: str) -> list[list[str]]:
    """The cells of the first table, without its head."""
    found = re.search(r"^\|(?:.*\n\|)+.*$", page, re.MULTILINE)
    assert found
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in found[0].splitlines()[2:]]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@by_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@by_page
def test_the_readme_names_every_page(page: Path) -> None:
    assert page.name == "README.md" or f"](docs/{page.name})" in text("README.md")


def flags_of(command: object) -> Iterator[str]:
    for parameter in getattr(command, "params", []):
        yield from parameter.opts + parameter.secondary_opts
    for inner in getattr(command, "commands", {}).values():
        yield from flags_of(inner)


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    benchmarks = [str(ROOT / "benchmarks" / name) for name in ("label_speed.py", "pace.py", "coverage.py")]
    others = "".join(
        subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in (["-m", "aifeedback.testing"], *([each] for each in benchmarks))
    )
    launchers = {"--cpu", "--nproc-per-node"}  # accelerate's and torchrun's own
    return {*flags_of(typer.main.get_command(app)), *re.findall(r"--[a-z-]+", others), "--help", *launchers}


@by_page
def test_every_flag_that_is_named_exists(page: Path, known_flags: set[str]) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text(encoding="utf-8")))
    assert not named - known_flags


def test_the_providers_are_those_of_providers_toml() -> None:
    page = text("docs/critics.md")

    def code(name: str) -> str:
        return f"`{name}`" if name else ""

    facts = [[code(p.name), code(p.base_url), code(p.base_url_env), code(p.key_env)] for p in providers().values()]
    assert table(section(page, "## Providers")) == facts
    for provider in providers().values():
        told = [provider.base_url_suffix, provider.key_header, *provider.headers_env, *provider.headers_env.values()]
        assert all(f"`{word}`" in page for word in told if word)
    assert all(provider.local == (not provider.key_env) for provider in providers().values())


def test_the_example_of_aifeedback_toml_is_read_without_complaint(aifeedback: Command, tmp_path: Path) -> None:
    (example,) = blocks(text("docs/critics.md"), "toml")
    (tmp_path / "aifeedback.toml").write_text(example, encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text('{"question": "q", "answer1": "x", "answer2": "y"}\n')
    ended = aifeedback("label", "pairs.jsonl", "--dry-run")
    assert ended.code == 0, ended.err
    assert "vllm/judge-32b, asked by tags@" in ended.out
    named = tomllib.loads(example)["critics"]
    assert len(critics(list(named), EndpointFlags("", "", [], [], ""), named)) == 2


def test_the_keys_of_a_named_critic_are_all_explained() -> None:
    from aifeedback.cli import critic_options

    rows = table(section(text("docs/critics.md"), "## aifeedback.toml"))
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == set(critic_options._KEYS)


@pytest.mark.parametrize("name", ["pair", "candidates", "preference", "transcript", "alpaca", "ultrafeedback"])
def test_the_example_of_a_form_is_recognised_as_that_form(name: str) -> None:
    examples = blocks(section(text("docs/input-and-output.md"), f"### `{name}`"), "json")
    assert examples
    assert [recognise(json.loads(example)) for example in examples] == [name] * len(examples)


def paths(value: Mapping[str, object], above: str = "") -> Iterator[str]:
    for name, item in value.items():
        yield above + name
        if isinstance(item, dict):
            yield from paths(item, f"{above}{name}.")


def test_every_key_of_the_outputs_is_explained(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3, gold="a", topic="numbers"))
    ended = aifeedback("label", "pairs.jsonl", "--critic", "builtin", "-o", "labels.jsonl", "--summary", "s.json")
    assert ended.code == 0, ended.err
    page = text("docs/input-and-output.md")
    explained = set(re.findall(r"`([\w.]+)`", section(page, "## The summary")))
    statuses = {status.value for status in Status}
    assert statuses == {row[0].strip("`") for row in table(section(page, "## The rest"))}
    inside = {
        "agreement.accuracy_by_order.ab",
        "agreement.accuracy_by_order.ba",
        "manifest.inputs.pairs.jsonl",
        "requests",
        "tokens",
        "manifest",
    }
    inside |= {f"manifest.parameters.{name}" for name in explained}
    said = set(paths(json.loads((tmp_path / "s.json").read_text())))
    assert {name for name in said if not name.endswith("_ci")} <= explained | statuses | inside
    example, label = (
        blocks(section(page, "## The labelled file"), "json")[0],
        (tmp_path / "labels.jsonl").read_text().splitlines()[0],
    )
    shown, real = json.loads(example), json.loads(label)
    assert [*paths(shown["feedback"]), *shown] == [*paths(real["feedback"]), *real]
    assert [*shown["feedback"]["verdicts"][0]] == [*real["feedback"]["verdicts"][0]]


def test_the_file_tree_names_every_module_and_nothing_else() -> None:
    tree = section(text("README.md"), "## What lies where").split("```")[1]
    inside = re.search(r"^aifeedback/.*\n((?:  .*\n)+)", tree, re.MULTILINE)
    assert inside
    heads = [re.match(r"  ((?:[a-z_]+(?:\.py|/) *)+)", line) for line in inside[1].splitlines()]
    named = [name for head in heads if head for name in head[1].split()]
    package = ROOT / "aifeedback"
    modules = [path.name for path in package.glob("*.py") if not path.name.startswith("__")]
    rooms = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    assert sorted(named) == sorted(modules + rooms)


def pairs_in(folder: Path, count: int = 4) -> str:
    return str(write_lines(folder / "pairs.jsonl", some_pairs(count)))


def done(aifeedback: Command, folder: Path, _server: StartServer) -> int:
    return aifeedback("label", pairs_in(folder), "--critic", "builtin").code


def many_failed(aifeedback: Command, folder: Path, server: StartServer) -> int:
    url = server(faults=["500"]).url
    return aifeedback(
        "label", pairs_in(folder), "--critic", "vllm/m", "--base-url", url, "--retries", 0, "-o", "o.jsonl"
    ).code


def wrongly_used(aifeedback: Command, folder: Path, _server: StartServer) -> int:
    return aifeedback("label", pairs_in(folder), "--critic", "nobody/m").code


def gate_missed(aifeedback: Command, folder: Path, _server: StartServer) -> int:
    return aifeedback("label", pairs_in(folder), "--critic", "builtin", "--min-accuracy", "0.5").code


def budget_spent(aifeedback: Command, folder: Path, server: StartServer) -> int:
    arguments = ("--critic", "vllm/m", "--base-url", server().url, "--max-requests", 3)
    return aifeedback("label", pairs_in(folder), *arguments).code


def critic_gone(aifeedback: Command, folder: Path, server: StartServer) -> int:
    url = server(down_after=6, down_for=0).url
    arguments = ("--critic", "vllm/m", "--base-url", url, "--concurrency", 1, "--patience", "100ms", "--retries", 0)
    return aifeedback("label", pairs_in(folder, 40), *arguments).code


def stopped_by(number: signal.Signals) -> Callable[[Command, Path, StartServer], int]:
    def run(_aifeedback: Command, folder: Path, server: StartServer) -> int:
        running = server(faults=["latency:0.2"])
        arguments = ["--critic", "vllm/m", "--base-url", running.url, "--concurrency", "1", "-o", "o.jsonl"]
        process = subprocess.Popen(
            [sys.executable, "-m", "aifeedback", "label", pairs_in(folder, 200), *arguments],
            cwd=folder,
            env=clean_environment(),
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not running.stats()["answered"] and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        return process.wait(30)

    return run


ENDINGS = {
    0: done,
    1: many_failed,
    2: wrongly_used,
    3: gate_missed,
    4: budget_spent,
    5: critic_gone,
    129: stopped_by(signal.SIGHUP),
    130: stopped_by(signal.SIGINT),
    143: stopped_by(signal.SIGTERM),
}


def test_the_table_of_exit_codes_lists_exactly_those_that_are_tried_here() -> None:
    assert [int(row[0]) for row in table(text("docs/ci.md"))] == list(ENDINGS)


@pytest.mark.parametrize("code", ENDINGS)
def test_every_exit_code_of_the_table_is_had_in_the_way_it_says(
    code: int, aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    assert ENDINGS[code](aifeedback, tmp_path, critic_server) == code


def test_the_ready_job_labels_with_flags_that_exist(aifeedback: Command, tmp_path: Path) -> None:
    (job,) = blocks(section(text("docs/ci.md"), "## A GitHub Actions job"), "yaml")
    command = re.search(r"run: aifeedback (.*)$", job, re.MULTILINE)
    assert command
    pairs_in(tmp_path)
    ended = aifeedback(*command[1].split(), "--dry-run")
    assert ended.code == 0, ended.err
    assert "requests    8 " in ended.out


def test_every_key_of_an_evaluation_is_explained(aifeedback: Command, tmp_path: Path) -> None:
    rows = [
        row | {"gold": gold, "votes": [gold] * 2}
        for row, gold in zip(some_pairs(4), ("a", "b", "tie", "a"), strict=True)
    ]
    write_lines(tmp_path / "pairs.jsonl", rows)
    ended = aifeedback("evaluate", "pairs.jsonl", "--critic", "builtin", "--json", "-", "--min-accuracy", "0")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    page = section(text("docs/evaluate.md"), "## The figures")
    explained = set(re.findall(r"`(\w+)`", page))
    (critic,) = found["critics"]
    said = {*found, *found["humans"], *critic, *critic["three_way"], *found["against_baselines"][0], *found["pairs"]}
    assert {name for name in said if not name.endswith("_ci")} - {"critics", "baselines"} <= explained
