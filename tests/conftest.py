"""What all tests share: the reference data, a home of their own, and the command as a process."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - imported late, its plugin trips over Python 3.11.7
import pytest

pytest_plugins = ["aifeedback.testing.fixtures", "tests.foreign_servers"]

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("AIFEEDBACK_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real pairs and recorded critics' texts; skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the reference data is not at {DATA}; set AIFEEDBACK_TEST_DATA to its folder")
    return DATA


def clean_environment(**more: str) -> dict[str, str]:
    """An environment without anybody's keys, proxies or settings."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "COVERAGE_PROCESS_START", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"NO_COLOR": "1"} | more


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or touches anybody's real settings, keys or store."""
    for name in list(os.environ):
        if name.startswith(("AIFEEDBACK_", "OPENAI_", "AZURE_", "ANTHROPIC_")) and name != "AIFEEDBACK_TEST_DATA":
            monkeypatch.delenv(name)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What it wrote to stdout, as JSON lines."""
        return [json.loads(line) for line in self.out.split("\n") if line]


Command = Callable[..., Ended]


@pytest.fixture
def aifeedback(tmp_path: Path) -> Command:
    """Run the command in an empty folder, as a process of its own: `aifeedback("label", "pairs.jsonl", …)`."""

    def run(
        *arguments: object, stdin: str | bytes = b"", env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "aifeedback", *map(str, arguments)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=tmp_path,
            env=clean_environment(HOME=str(tmp_path), **(env or {})),
            timeout=timeout,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is nothing but small."""
    from tests.tiny_models import tiny_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def trained(tmp_path: Path, tiny: Path) -> Iterator[Callable[..., tuple[Any, Path]]]:
    """Train on rows in this process: `trained("dpo", rows, lora=False, …)`; what was said is in `trained.said`."""
    from aifeedback.training.run import train
    from aifeedback.training.settings import TrainSettings

    levels = {name: logging.getLogger(name).level for name in ("transformers", "trl", "peft", "accelerate", "datasets")}

    def run(kind: Any, rows: list[dict[str, Any]], **more: Any) -> tuple[Any, Path]:
        output = tmp_path / str(more.pop("output", "policy"))
        data = write_lines(tmp_path / "data.jsonl", rows)
        said = {"model": str(tiny), "learning_rate": 1e-3} | more
        files = said.pop("data", [str(data)])
        settings = TrainSettings(kind, files, output=str(output), **said)
        run.said = []  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            result = train(settings, note=run.said.append, say=run.said.append)  # type: ignore[attr-defined]
        return result, output

    yield run
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    """A JSON Lines file of `rows`."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def some_pairs(count: int, **more: object) -> list[dict[str, Any]]:
    """`count` pairs of different content."""
    return [
        {
            "id": str(number),
            "prompt": f"Tell me about the number {number}.",
            "response_a": f"The number {number} is {'even' if number % 2 == 0 else 'odd'}.",
            "response_b": f"{number} comes after {number - 1} and before {number + 1}, as everybody knows.",
            **more,
        }
        for number in range(count)
    ]
