"""`label` in CI: the job of the docs, JUnit XML, the job's page and the biases that a run tells of."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from aifeedback.testing import StartServer
from tests.conftest import ROOT, Command, Ended, clean_environment, read_lines, some_pairs, write_lines
from tests.test_docs import blocks, section, text

BUILTIN = ("label", "pairs.jsonl", "--critic", "builtin")


def cases(path: Path) -> dict[str, list[str]]:
    """The test cases of a JUnit file by their names, each with what went wrong."""
    return {
        case.get("name", ""): [f"{why.tag}: {why.get('message')}" for why in case]
        for case in ET.parse(path).getroot().iter("testcase")
    }


def documented(command: str) -> str:
    """The shell lines of the one step of the docs' job that runs `command`."""
    (job,) = blocks(section(text("docs/ci.md"), "## A gate on your critic"), "yaml")
    steps = yaml.safe_load(job)["jobs"]["gate"]["steps"]
    (lines,) = [step["run"] for step in steps if command in step.get("run", "")]
    return lines


def as_github_does(folder: Path, lines: str, **environment: str) -> Ended:
    """Run a step's lines as they are, with `aifeedback` on the PATH and a page to write to."""
    program = folder / "bin" / "aifeedback"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aifeedback "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(folder / "page.md")} | environment  # fmt: skip
    done = subprocess.run(
        ["bash", "-e", "-c", lines], cwd=folder, env=clean_environment(**environment) | {"PATH": path},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def test_the_job_of_the_docs_passes_a_good_critic_and_stops_one_that_got_worse(
    tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(40))
    lines = documented("aifeedback label")

    def run(answer: str) -> Ended:
        environment = {"OPENAI_BASE_URL": critic_server(answer=answer).url, "OPENAI_API_KEY": "sk-none"}
        return as_github_does(tmp_path, lines, **environment)

    good = run("fair")
    assert good.code == 0, good.err
    with gzip.open(tmp_path / "labels.jsonl.gz", "rt") as labels:
        assert len(labels.readlines()) == 40
    assert cases(tmp_path / "label.xml") == {
        "complete": [], "min-consistency": [], "max-longer-rate": [], "max-failed": [],
    }  # fmt: skip
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("### ✅ aifeedback label: passed\n")

    worse = run("first")
    assert worse.code == 3
    errors = [line for line in worse.err.splitlines() if line.startswith("Error: ")]
    expected = next(
        line.strip() for line in text("docs/ci.md").splitlines() if line.startswith("    Error: gate missed")
    )
    # Without a label there is no share of longer winners either.
    assert errors[0] == expected
    assert [line.split(" to hold")[0] for line in errors[1:]] == ["Error: gate missed: there is no longer_chosen_rate"]
    with gzip.open(tmp_path / "labels.jsonl.gz", "rb") as labels:
        assert labels.read() == b""
    missed = cases(tmp_path / "label.xml")
    assert missed["min-consistency"] == [f"failure: {expected.removeprefix('Error: ')}"]
    assert (missed["complete"], missed["max-failed"]) == ([], [])
    both = (tmp_path / "page.md").read_text()
    assert both.startswith(page), "a page is added to"
    assert "### ❌ aifeedback label: 2 of 4 checks missed" in both
    assert "⚠️ position bias: 100.0% of the decided verdicts are for the response shown first" in both


def test_one_gate_missed_is_one_line(tmp_path: Path, critic_server: StartServer) -> None:
    """A critic that came to love length is stopped by the gate on length alone."""
    write_lines(tmp_path / "pairs.jsonl", some_pairs(40))
    url = critic_server(answer="longest").url
    ended = as_github_does(tmp_path, documented("aifeedback label"), OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-none")
    assert ended.code == 3
    (error,) = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert error.startswith("Error: gate missed: longer_chosen_rate is 1 (95% interval 0.912378 to 1, n = 40), above --max-longer-rate 0.7. Say in the criteria")  # fmt: skip
    assert gzip.decompress((tmp_path / "labels.jsonl.gz").read_bytes()) == b""


def test_a_bias_is_a_note_at_the_end_and_stands_in_the_summary(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(40))
    found = {}
    for answer in ("first", "longest", "fair"):
        endpoint = ("--critic", "vllm/m", "--base-url", critic_server(answer=answer).url)
        ended = aifeedback("label", "pairs.jsonl", *endpoint, "--summary", "s.json", "-o", "o.jsonl")
        assert ended.code == 0, ended.err
        found[answer] = json.loads((tmp_path / "s.json").read_text())["biases"]
        notes = [line for line in ended.err.splitlines() if " bias: " in line]
        assert notes == [f"Note: {bias['text']}" for bias in found[answer]]
    assert [bias["name"] for bias in found["first"]] == ["position"]
    assert [bias["name"] for bias in found["longest"]] == ["length"]
    assert found["fair"] == []
    (bias,) = found["longest"]
    assert list(bias) == ["name", "rate", "interval", "fair", "n", "text"]
    assert (bias["rate"], bias["fair"], bias["n"]) == (1.0, 0.5, 40)


def test_a_run_that_stopped_is_an_error_in_junit_and_on_the_page(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(10))
    endpoint = ("--critic", "vllm/m", "--base-url", critic_server().url, "--max-requests", 5)
    ended = aifeedback(
        "label", "pairs.jsonl", *endpoint, "-o", "o.jsonl", "--junit", "j.xml", env={"GITHUB_STEP_SUMMARY": "page.md"}
    )
    assert ended.code == 4
    (error,) = [line.removeprefix("Error: ") for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert cases(tmp_path / "j.xml") == {"complete": [f"error: {error}"], "max-failed": []}
    assert "❌ aifeedback label: 1 of 2 checks missed" in (tmp_path / "page.md").read_text()
    assert "`--max-requests 5" in (tmp_path / "page.md").read_text()


def test_words_of_a_bad_line_stay_words_and_too_many_of_them_are_a_failure(aifeedback: Command, tmp_path: Path) -> None:
    name = "a|<b>\x1b.jsonl"
    write_lines(tmp_path / name, some_pairs(3))
    (tmp_path / name).write_text((tmp_path / name).read_text() + "nonsense\n")
    ended = aifeedback(
        "label", name, "--critic", "builtin", "-o", "o.jsonl", "--rest", name + ".rest", "--junit", "j.xml",
        env={"GITHUB_STEP_SUMMARY": "page.md"},
    )  # fmt: skip
    assert ended.code == 1, ended.err
    assert cases(tmp_path / "j.xml")["max-failed"][0].startswith("failure: 1 of 4 pairs failed")
    assert (
        f"Each one's reason is in {name}.rest.".replace("\x1b", "\\x1b") in cases(tmp_path / "j.xml")["max-failed"][0]
    )
    (line,) = [line for line in (tmp_path / "page.md").read_text().splitlines() if line.startswith("- ❌")]
    assert line.startswith("- ❌ `1 of 4")
    assert line.endswith("a|<b> .jsonl.rest.`")


def test_where_nothing_ran_there_is_neither_file_nor_page(aifeedback: Command, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("nonsense\n")
    ended = aifeedback(*BUILTIN, "--junit", "j.xml", env={"GITHUB_STEP_SUMMARY": "page.md"})
    assert ended.code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".aifeedback", "pairs.jsonl"]
    assert aifeedback(*BUILTIN, "--junit", "pairs.jsonl").code == 2
    assert aifeedback(*BUILTIN, "--junit", "no/such/folder/j.xml").code == 2


@pytest.mark.parametrize("place", ["no/such/folder/page.md", "."])
def test_a_page_that_can_not_be_written_is_a_note_and_fails_nothing(
    aifeedback: Command, tmp_path: Path, place: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    ended = aifeedback(*BUILTIN, "-o", "o.jsonl", env={"GITHUB_STEP_SUMMARY": place})
    assert ended.code == 0
    assert len(read_lines(tmp_path / "o.jsonl")) == 3
    assert f"Note: GITHUB_STEP_SUMMARY {place} can't be written: " in ended.err


def test_a_path_for_junit_in_aifeedback_toml_counts_from_that_file(aifeedback: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "ours.toml").write_text('junit = "j.xml"\n')
    assert aifeedback(*BUILTIN, "--config", "settings/ours.toml", "-o", "o.jsonl").code == 0
    assert list(cases(folder / "j.xml")) == ["complete", "max-failed"]


def test_the_built_in_critic_is_named_for_what_it_does_beside_real_people(
    aifeedback: Command, tmp_path: Path, data: Path
) -> None:
    ended = aifeedback(
        "label",
        data / "pandalm_test.jsonl",
        "--critic",
        "builtin",
        "--no-store",
        "-o",
        "o.jsonl",
        "--summary",
        "s.json",
    )
    assert ended.code == 0, ended.err
    (bias,) = json.loads((tmp_path / "s.json").read_text())["biases"]
    assert bias["name"] == "length"
    told = f"it chooses the longer in {bias['rate']:.1%} of the pairs with gold, where people do in {bias['fair']:.1%}."
    assert told in text("docs/biases.md")
