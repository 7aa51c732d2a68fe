"""Where a run may write: never over the model that it starts from, nor over anything that is not a run of ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aifeedback.errors import SettingsError
from aifeedback.training import page
from tests.test_train_command import some_labels, told, weights

pytestmark = [pytest.mark.filterwarnings("ignore")]  # what TRL, transformers and peft warn each other of


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def chain(trained: Any, tmp_path: Path) -> Path:
    """Plain weights with checkpoints in `plain`, an adapter of them in `adapter`, a merged run in `merged`."""
    rows = some_labels(10)
    _, plain = trained("dpo", rows, output="plain", lora=False, steps=2, trainer={"save_steps": 1})
    trained("dpo", rows, output="adapter", model=str(plain), steps=1)
    trained("dpo", rows, output="merged", model=str(plain), steps=1, merge=True)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "output", "says"),
    [
        ("plain", "plain", "is the model itself"),
        ("plain/checkpoint-1", "plain", "holds the model"),
        ("link/checkpoint-2", "plain", "holds the model"),
        ("merged/adapter", "merged", "holds the model"),
        ("adapter", "plain", "is the base of the adapter itself"),
        ("adapter", ".", "holds the model"),
    ],
    ids=["itself", "its checkpoint", "its checkpoint through a link", "its adapter", "an adapter's base", "above"],
)
def test_a_model_is_never_trained_over_itself_or_its_base(
    chain: Path, trained: Any, model: str, output: str, says: str
) -> None:
    (chain / "link").symlink_to(chain / "plain")
    if output == ".":
        (chain / "training.json").write_bytes((chain / "plain" / "training.json").read_bytes())
    before = contents(chain / "plain") | contents(chain / "merged")
    for more in ({}, {"resume": True}):
        with pytest.raises(SettingsError, match=says):
            trained("dpo", some_labels(10), model=str(chain / model), output=output, steps=1, **more)
    assert contents(chain / "plain") | contents(chain / "merged") == before


def test_a_folder_below_the_model_can_take_the_result(trained: Any, chain: Path) -> None:
    before = contents(chain / "plain")
    _, folder = trained("dpo", some_labels(10), model=str(chain / "plain"), output="plain/more", steps=1)
    assert told(folder)["finished"]
    assert before.items() <= contents(chain / "plain").items()


@pytest.mark.parametrize("theirs", ['{"mine": 1}', "[]", "no JSON", '{"aifeedback": "0.1.0"}'])
def test_a_training_json_of_somebody_else_does_not_make_a_folder_ours(
    trained: Any, tmp_path: Path, tiny: Path, theirs: str
) -> None:
    shutil.copytree(tiny, tmp_path / "foreign")
    (tmp_path / "foreign" / "training.json").write_text(theirs)
    (tmp_path / "foreign" / "adapter").mkdir()
    (tmp_path / "foreign" / "adapter" / "precious.txt").write_text("x")
    before = contents(tmp_path / "foreign")
    with pytest.raises(SettingsError, match="no run of aifeedback made"):
        trained("dpo", some_labels(10), output="foreign", steps=1)
    assert contents(tmp_path / "foreign") == before


def test_a_training_json_of_somebody_else_is_not_overwritten(trained: Any, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "training.json").write_text('{"mine": 1}')
    with pytest.raises(SettingsError, match="no run of aifeedback wrote"):
        trained("dpo", some_labels(10), steps=1)
    assert (tmp_path / "policy" / "training.json").read_text() == '{"mine": 1}'


def test_a_finished_run_that_is_resumed_does_nothing_more_even_without_its_checkpoints(trained: Any) -> None:
    _, folder = trained("dpo", some_labels(30), steps=4)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    before = contents(folder)
    result, _ = trained("dpo", some_labels(30), steps=4, resume=True)
    assert result.step == 0
    assert any("finished run already" in line for line in trained.said)
    assert contents(folder) == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("merge", [True, False])
def test_a_run_is_not_resumed_with_another_word_on_merging(trained: Any, merge: bool, finished: bool) -> None:
    _, folder = trained("dpo", some_labels(20), steps=1, merge=merge)
    (folder / "training.json").write_text(json.dumps(told(folder) | {"finished": finished}))
    before = contents(folder)
    with pytest.raises(SettingsError, match="other merge"):
        trained("dpo", some_labels(20), steps=1, merge=not merge, resume=True)
    assert contents(folder) == before


def test_a_run_is_finished_only_when_its_page_and_card_are_there(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(page, "render", broken)
        with pytest.raises(ZeroDivisionError):
            trained("dpo", some_labels(20), steps=2)
    folder = Path("policy")
    assert told(folder)["finished"] is False
    first = weights(folder)
    trained("dpo", some_labels(20), steps=2, resume=True)
    assert told(folder)["finished"] is True
    assert {"training.html", "README.md"} <= {path.name for path in folder.iterdir()}
    assert all((weights(folder)[name] == value).all() for name, value in first.items())
    assert len(told(folder)["samples"]) > 0


def test_a_killed_removal_of_the_former_run_leaves_no_run_that_looks_finished(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = trained("dpo", some_labels(20), steps=2)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            trained("dpo", some_labels(20), steps=1, seed=7)
    assert told(folder)["finished"] is False
    trained("dpo", some_labels(20), steps=1, seed=7)
    assert told(folder)["settings"]["seed"] == 7


@pytest.mark.parametrize("resume", [True, False])
def test_the_lock_of_a_killed_run_is_nobodys_file(trained: Any, resume: bool) -> None:
    said: dict[str, Any] = {"steps": 2, "trainer": {"save_steps": 1}}
    _, folder = trained("dpo", some_labels(20), **said)
    (folder / "training.json").write_text(json.dumps(told(folder) | {"finished": False}))
    (folder / ".lock").touch()
    (folder / "notes.txt").write_text("mine")
    trained("dpo", some_labels(20), **said, resume=resume)
    assert any(line.endswith("checkpoint-2.") for line in trained.said) == resume
    run = told(folder)
    assert run["finished"]
    assert not {".lock", "notes.txt"} & run["result_files"].keys()
    assert not (folder / ".lock").exists()
    assert (folder / "notes.txt").read_text() == "mine"
