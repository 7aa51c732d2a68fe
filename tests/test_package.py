"""The wheel carries what it needs, the versions agree, and start-up stays quick."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import aifeedback
from tests.conftest import ROOT, clean_environment


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == aifeedback.__version__
    assert f"## {aifeedback.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_a_wheel_works_without_the_checkout(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert (tmp_path / "site/aifeedback/prompts/criteria/helpful.md").is_file()
    assert (tmp_path / "site/aifeedback/py.typed").is_file()
    for asset in ("page.html.jinja", "page.css", "page.js"):
        assert (tmp_path / "site/aifeedback/report" / asset).is_file()
    listed = subprocess.run(
        [sys.executable, "-m", "aifeedback", "prompts", "list"],
        env=clean_environment(HOME=str(tmp_path)) | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, cwd=tmp_path / "site", check=False,
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    for name in ("pairwise", "quick", "tags", "arena", "statement", "helpful", "clinical", "code"):
        assert re.search(rf"\b{name}\b", listed.stdout)


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=; ]", each)[0].replace("-", "_").lower() for each in requirements}


def test_every_import_of_the_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = names_of(project["dependencies"])
    training = names_of(project["optional-dependencies"]["train"])
    optional = project["optional-dependencies"]
    extras = {name for extra in ("panel", "evaluate", "export", "report") for name in names_of(optional[extra])}
    found: set[str] = set()
    trained: set[str] = set()
    for path in (ROOT / "aifeedback").rglob("*.py"):
        into = trained if "training" in path.parts else found
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in getattr(node, "names", [])]
                if isinstance(node, ast.Import)
                else []
            )
            into |= {name.partition(".")[0] for name in names}
    foreign = {name.lower() for name in found - set(sys.stdlib_module_names) - {"aifeedback"}}
    assert foreign - {"pytest"} <= declared | extras, "an import is missing from pyproject.toml"
    tensors = {name.lower() for name in trained - set(sys.stdlib_module_names) - {"aifeedback"}}
    assert {"pyyaml" if name == "yaml" else name for name in tensors} <= declared | training | {"bitsandbytes"}
    # accelerate and datasets are what TRL can't do without; a launcher's user calls accelerate by name
    assert training - {"accelerate"} <= {"pyyaml" if name == "yaml" else name for name in tensors}
    assert declared | extras <= foreign, "pyproject.toml names what nobody imports"


def test_help_costs_little_and_loads_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        subprocess.run([sys.executable, "-m", "aifeedback", "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Not a timed test of speed: processor time, with room for a busy machine. benchmarks/ has the figure.
    assert (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 5 < 0.6
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aifeedback", "label", "--help"], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert not re.search(r"\b(aiohttp|httpx2|jinja2|openai|orjson|rich|sqlite3|tenacity)\b", loaded.stderr)
