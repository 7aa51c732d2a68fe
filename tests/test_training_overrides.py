"""--config and --set speak the trainer's own names, and what they say has the trainer's own types."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.errors import SettingsError
from aifeedback.training import fields
from aifeedback.training.fields import fields_of, lora_fields
from aifeedback.training.overrides import _ELSEWHERE, _OURS, Overrides, read_overrides
from tests.conftest import clean_environment

if find_spec("trl") is None or find_spec("peft") is None:
    pytest.skip("trl and peft are not installed", allow_module_level=True)

Kind = Literal["dpo", "sft", "kto"]
KINDS: list[Kind] = ["dpo", "sft", "kto"]

REAL = """
import dataclasses, json, warnings
warnings.simplefilter("ignore")
from trl import DPOConfig, KTOConfig, SFTConfig
from peft import LoraConfig

def default(field):
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return value if isinstance(value, (bool, int, float, str, list, dict, type(None))) else "?"

classes = {"dpo": DPOConfig, "sft": SFTConfig, "kto": KTOConfig, "lora": LoraConfig}
print(json.dumps({
    kind: {field.name: default(field) for field in dataclasses.fields(made) if field.init} for kind, made in classes.items()
}))
"""


def trainer(*sets: str, kind: Kind = "dpo") -> dict[str, object]:
    return read_overrides(kind, "", sets).trainer


def refusal(*sets: str, kind: Kind = "dpo", config: str = "") -> str:
    with pytest.raises(SettingsError) as caught:
        read_overrides(kind, config, sets)
    text = str(caught.value)
    assert "\n" not in text
    return text


def python(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(HOME=str(home), OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1"),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# --- fields ---


@pytest.mark.slow
def test_every_field_of_the_real_classes_is_found_with_its_default_and_nothing_else(tmp_path: Path) -> None:
    done = python(REAL, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    real = json.loads(done.stdout.splitlines()[-1])
    found = {**{kind: fields_of(kind) for kind in KINDS}, "lora": lora_fields()}
    for kind, those in real.items():
        assert list(found[kind]) == list(those)
        computed = {name for name, known in found[kind].items() if known.computed}
        assert computed <= {"optim", "runtime_config"}
        settled = {name: known.default for name, known in found[kind].items() if name not in computed}
        assert settled == {name: value for name, value in those.items() if name not in computed}


def test_reading_settings_loads_none_of_the_heavy_packages(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("learning_rate: 5e-6\nlora: {r: 4}\n")
    code = (
        "import sys\n"
        "from aifeedback.training.overrides import read_overrides\n"
        f"read_overrides('dpo', {str(tmp_path / 'c.yaml')!r}, ['beta=0.2'])\n"
        "print(sorted({'torch', 'transformers', 'trl', 'peft', 'accelerate', 'numpy'} & set(sys.modules)))"
    )
    done = python(code, tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_fields_know_where_they_come_from_and_that_they_are_going() -> None:
    known = fields_of("dpo")
    assert known["beta"].home == "trl.trainer.dpo_config.DPOConfig"
    assert known["logging_steps"].home == "trl.trainer.base_config._BaseConfig"
    assert known["warmup_steps"].home == "transformers.training_args.TrainingArguments"
    assert known["pad_token"].deprecated.startswith("Deprecated")
    assert not known["truncation_mode"].deprecated  # one of its values is
    assert known["max_length"].annotation == "int | None"


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("learning_rate", {"float"}),
        ("max_length", {"int", "none"}),
        ("loss_type", {"list"}),
        ("report_to", {"none", "str", "list"}),
        ("lr_scheduler_kwargs", {"dict", "str", "none"}),
        ("model_init_kwargs", {"dict", "str", "none"}),
        ("lr_scheduler_type", {"choice"}),
        ("parallelism_config", {"object", "none"}),
    ],
)
def test_annotations_are_understood(name: str, types: set[str]) -> None:
    assert {shape.type for shape in fields_of("dpo")[name].kinds} == types


def test_the_losses_that_can_be_chosen_are_those_that_the_trainer_computes() -> None:
    (shape,) = fields_of("dpo")["loss_type"].kinds
    package = find_spec("trl")
    assert package is not None
    assert package.submodule_search_locations
    source = Path(package.submodule_search_locations[0], "trainer", "dpo_trainer.py").read_text()
    assert set(shape.items[0].choices) == set(re.findall(r'if loss_type == "(\w+)"', source))


def test_missing_packages_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'aifeedback\[train\]'"):
        fields._fields_of("trl.trainer.dpo_config", "DPOConfig")


# --- values ---


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("learning_rate=5e-6", 5e-6),
        ("learning_rate=1", 1.0),
        ("learning-rate=.5", 0.5),
        ("--learning-rate=2E-5", 2e-5),
        ("logging_steps=5", 5),
        ("logging_steps=0.05", 0.05),
        ("save_steps=100", 100),
        ("eval_steps=50", 50),
        ("eval_steps=0.5", 0.5),
        ("warmup_steps=0.1", 0.1),
        ("per_device_train_batch_size=10.0", 10),
        ("max_steps=1e3", 1000),
        ("max_steps=-1", -1),
        ("max_length=none", None),
        ("max_length=null", None),
        ("max_length=None", None),
        ("bf16=no", False),
        ("bf16=On", True),
        ("bf16=1", True),
        ("bf16=null", None),
        ("eval_strategy=no", "no"),
        ("report_to=none", "none"),
        ("report_to=null", "none"),
        ("report_to=wandb", "wandb"),
        ("report_to=wandb, tensorboard", ["wandb", "tensorboard"]),
        ("loss_type=ipo", ["ipo"]),
        ("loss_type=sigmoid,sft", ["sigmoid", "sft"]),
        ("loss_type=[sigmoid, sft]", ["sigmoid", "sft"]),
        ('loss_type=["sigmoid", "sft"]', ["sigmoid", "sft"]),
        ("loss_weights=1,0.2", [1.0, 0.2]),
        ("lr_scheduler_type=cosine", "cosine"),
        ("fsdp=false", False),
        ("fsdp=true", True),
        ("fsdp=full_shard auto_wrap", "full_shard auto_wrap"),
        ('lr_scheduler_kwargs={"num_cycles": 1}', {"num_cycles": 1}),
        ("lr_scheduler_kwargs={min_lr: 5e-6, on: true, off: null}", {"min_lr": 5e-6, "on": True, "off": None}),
        ("model_init_kwargs={dtype: bfloat16, x: 'no', y: 'null', z: no}", {"dtype": "bfloat16", "x": "no", "y": "null", "z": "no"}),
        ("deepspeed=zero3.json", "zero3.json"),
        ("pad_to_multiple_of=64", 64),
        ("pad_to_multiple_of=auto", "auto"),
        ("run_name=007", "007"),
        ("run_name=a=b", "a=b"),
        ('run_name="null"', "null"),
        ("trackio_static_space_id=false", False),
        ("trackio_static_space_id=me/space", "me/space"),
    ],
)  # fmt: skip
def test_a_value_gets_the_type_of_its_field(said: str, value: object) -> None:
    (found,) = trainer(said).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("r=8", 8),
        ("lora_dropout=0", 0.0),
        ("target_modules=all-linear", "all-linear"),
        ("target_modules=q_proj,v_proj", ["q_proj", "v_proj"]),
        ("target_modules=[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("target_modules=[qv]_proj.*", "[qv]_proj.*"),
        ("bias=none", "none"),
        ("init_lora_weights=pissa_niter_16", "pissa_niter_16"),
        ("init_lora_weights=false", False),
        ("layers_to_transform=3", 3),
        ("layers_to_transform=1,2", [1, 2]),
        ("layer_replication=[[0, 4], [2, 5]]", [[0, 4], [2, 5]]),
        ("rank_pattern={q_proj: 4}", {"q_proj": 4}),
    ],
)
def test_the_adapter_has_settings_too(said: str, value: object) -> None:
    found = read_overrides("dpo", "", [f"lora.{said}"])
    (only,) = found.lora.values()
    assert (only, type(only)) == (value, type(value))
    assert found.trainer == {}


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("bf16=maybe", "true or false"),
        ("fp16=null", "takes true or false, not null"),
        ("per_device_train_batch_size=0.5", "a whole number, not 0.5. The trainer's default is 8."),
        ("per_device_train_batch_size=1_000", "a whole number"),
        ("per_device_train_batch_size=true", "a whole number"),
        ("max_steps=1e400", "a whole number"),
        ("max_steps=" + "9" * 5000, "a whole number"),
        ("learning_rate=" + "9" * 400, "a number, not 99"),
        ("save_steps=" + "9" * 400, "a number, not 99"),
        ("loss_weights=1," + "9" * 400, "a list of a number"),
        ("lr_scheduler_kwargs={min_lr: .nan}", "a mapping"),
        ('lr_scheduler_kwargs={"min_lr": -Infinity}', "a mapping"),
        ("learning_rate=fast", "a number, not fast"),
        ("learning_rate=0x10", "a number"),
        ("beta=nan", "a number"),
        ("beta=.inf", "a number"),
        ("beta=-inf", "a number"),
        ("beta=1e999", "a number"),
        ("beta=[0.1]", "a number, not ["),
        ("loss_weights=1,nan", "a list of a number"),
        ("loss_type=sigmiod", "Did you mean sigmoid?"),
        ("loss_type=sigmoid,,sft", "one or more of sigmoid, "),
        ("loss_type=[]", "one or more of sigmoid, "),
        ("lr_scheduler_type=cosin", "Did you mean cosine"),
        ("optim=adamw", "Did you mean adamw_torch"),
        ('lr_scheduler_kwargs={"num_cycles": 1', "can't be read"),
        ('lr_scheduler_kwargs={"a": 1, "a": 2}', "a is said twice"),
        ("lr_scheduler_kwargs=cosine", "a mapping or the path of a .json file"),
        ("parallelism_config=x", "Leave it out."),
        ("lora.layer_replication=0,4", "a list of a list of a whole number"),
        ("lora.bias=some", "one of none, all, lora_only"),
        ("lora.eva_config={rho: 2}", "Leave it out."),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(said: str, part: str) -> None:
    text = refusal(said)
    assert part in text
    assert text.startswith(f"--set: {said.split('=', maxsplit=1)[0]} ")


@pytest.mark.parametrize("kind", KINDS)
def test_every_default_can_be_written_down(kind: Kind) -> None:
    for name, known in fields_of(kind).items():
        text = json.dumps(known.default) if isinstance(known.default, list | dict | None) else str(known.default)
        if name not in _OURS and not known.computed and text:
            value = trainer(f"{name}={text}", kind=kind)[name]
            assert value == known.default
            assert isinstance(value, bool) == isinstance(known.default, bool)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_comes_back_as_it_was_written(number: float) -> None:
    assert trainer(f"beta={number!r}") == {"beta": number}


@given(st.integers(-(10**30), 10**30))
def test_a_whole_number_comes_back_as_it_was_written(number: int) -> None:
    assert trainer(f"max_steps={number}", f"save_steps={number}") == {"max_steps": number, "save_steps": number}


@given(st.text())
def test_text_in_quotes_is_that_text(text: str) -> None:
    found = trainer(f"run_name={json.dumps(text)}")["run_name"]
    assert (found, type(found)) == (text, str)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), _ANY, max_size=4))
def test_a_mapping_in_json_comes_back_as_it_was(table: dict[str, Any]) -> None:
    assert trainer(f"model_init_kwargs={json.dumps(table)}") == {"model_init_kwargs": table}


@given(st.sampled_from(sorted(fields_of("sft"))), st.text(max_size=30))
def test_whatever_is_said_there_is_a_plain_value_or_one_line_of_error(name: str, text: str) -> None:
    try:
        found = trainer(f"{name}={text}", kind="sft")
    except SettingsError as error:
        shown = str(error)
    else:
        (value,) = found.values()
        assert type(value) in {bool, int, float, str, list, dict, type(None)}
        assert not isinstance(value, float) or math.isfinite(value)
        return
    assert len(shown.splitlines()) == 1


# --- names ---


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("warmup_ratio", "Use warmup_steps"),
        ("overwrite_output_dir", "-o"),
        ("max_prompt_length", "--max-length"),
        ("max_completion_length", "--max-length"),
        ("max_seq_length", "max_length"),
        ("reference_free", "Leave it out."),
        ("model_name_or_path", "Use --model."),
        ("dataset_name", "train dpo labels.jsonl"),
        ("dataset", "train dpo labels.jsonl"),
        ("datasets", "train dpo labels.jsonl"),
        ("use_peft", "--lora"),
        ("lora_r", "Use lora.r."),
        ("lora_alpha", "Use lora.lora_alpha."),
        ("lora_target_modules", "Use lora.target_modules."),
        ("use_dora", "Use lora.use_dora."),
        ("lora.alpha", "Use lora.lora_alpha."),
        ("lora.beta", "Use beta."),
        ("lora.seed", "Use --seed."),
        ("load_in_4bit", "--4bit"),
        ("output_dir", "Use -o DIR."),
        ("resume_from_checkpoint", "--resume"),
        ("seed", "--seed"),
        ("do_train", "Leave it out."),
        ("do_eval", "Leave it out"),
        ("do_predict", "Leave it out."),
        ("hub_token", "HF_TOKEN"),
        ("lora.task_type", "Leave it out."),
        ("evaluation_strategy", "eval_strategy"),
        ("no_cuda", "use_cpu"),
        ("tokenizer", "--model"),
        ("lr", "Use --lr."),
        ("batch-size", "Use --batch-size."),
        ("learning_rat", "Did you mean learning_rate?"),
        ("lora.target_module", "Did you mean lora.target_modules"),
        ("epoch", "--epochs"),
        ("desirable_weight", "a setting of KTO, not of DPO"),
        ("model_init_kwargs.dtype", "Write model_init_kwargs={...}"),
        ("zzz", "no setting of the DPO trainer"),
        ("lora", "--no-lora"),
    ],
)
def test_a_name_that_is_not_the_trainers_is_answered_with_what_was_meant(name: str, answer: str) -> None:
    text = refusal(f"{name}=1")
    assert answer in text
    assert name.replace("-", "_") in text
    assert len(text) < 250


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_never_names_what_is_not_there(kind: Kind) -> None:
    assert not set(_ELSEWHERE) & set(fields_of(kind))
    for meant in (
        "warmup_steps",
        "max_length",
        "eval_strategy",
        "use_cpu",
        "train_sampling_strategy",
        "model_init_kwargs",
    ):
        assert meant in fields_of(kind)


def test_what_is_on_its_way_out_is_taken_and_told() -> None:
    found = read_overrides("dpo", "", ["pad_token=<pad>"])
    assert found.trainer == {"pad_token": "<pad>"}
    (note,) = found.notes
    assert note.startswith("--set: pad_token: Deprecated")
    assert "\n" not in note


@pytest.mark.parametrize("said", ["beta", "=1", "beta=", "="])
def test_a_set_needs_a_name_and_a_value(said: str) -> None:
    assert refusal(said).startswith(f"--set {said}: no ")


def test_the_same_name_twice_is_an_error_however_it_is_spelled() -> None:
    assert "learning_rate is said twice" in refusal("learning_rate=1", "learning-rate=2")
    assert "lora.r is said twice" in refusal("lora.r=1", "lora={r: 2}")


# --- files ---


def config(folder: Path, text: str, name: str = "train.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


YAML = """
# how we train
learning-rate: 5e-6
per_device_train_batch_size: 4
bf16: off
eval_strategy: no
loss_type:
  - sigmoid
  - sft
model_init_kwargs:
  dtype: bfloat16
  scale: 1e-3
lora:
  r: 8
  target_modules: [q_proj, v_proj]
lora.lora_alpha: 32
"""
TOML = """
learning_rate = 5e-6
per_device_train_batch_size = 4
bf16 = false
eval_strategy = "no"
loss_type = ["sigmoid", "sft"]
model_init_kwargs = {dtype = "bfloat16", scale = 1e-3}
[lora]
r = 8
target_modules = ["q_proj", "v_proj"]
lora_alpha = 32
"""
VALUES: dict[str, object] = {
    "learning_rate": 5e-6,
    "per_device_train_batch_size": 4,
    "bf16": False,
    "eval_strategy": "no",
    "loss_type": ["sigmoid", "sft"],
    "model_init_kwargs": {"dtype": "bfloat16", "scale": 1e-3},
}
LORA = {"r": 8, "target_modules": ["q_proj", "v_proj"], "lora_alpha": 32}


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.yaml", YAML), ("c.yml", YAML), ("c.toml", TOML), ("c.json", json.dumps({**VALUES, "lora": LORA}))],
)
def test_yaml_toml_and_json_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    assert read_overrides("dpo", config(tmp_path, text, name), []) == Overrides(VALUES, dict(LORA), ())


def test_set_beats_config(tmp_path: Path) -> None:
    path = config(tmp_path, "beta: 0.1\nlora: {r: 8}\n")
    assert read_overrides("dpo", path, ["beta=0.3", "lora.r=4"]) == Overrides({"beta": 0.3}, {"r": 4}, ())


def test_nothing_said_is_nothing_set(tmp_path: Path) -> None:
    assert read_overrides("dpo", "", []) == Overrides()
    assert read_overrides("dpo", config(tmp_path, "# nothing yet\n"), []) == Overrides()


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("c.yaml", "beta: 0.1\nlearning_rat: 1\n", ["c.yaml, line 2: learning_rat ", "learning_rate?"]),
        ("c.yaml", "lora:\n  r: 8\n  rr: 8\n", ["c.yaml, line 3: lora.rr "]),
        ("c.yaml", "beta: 0.1\nbeta: 0.2\n", ["line 2: beta is said twice"]),
        ("c.yaml", "model_init_kwargs:\n  a: 1\n  a: 2\n", ["line 3: a is said twice"]),
        ("c.yaml", "lora.r: 4\nlora:\n  r: 8\n", ["line 3: lora.r is said twice"]),
        ("c.yaml", "beta: .nan\n", ["line 1: beta takes a number, not .nan"]),
        ("c.yaml", "beta:\n", ["beta takes a number, not nothing"]),
        ("c.yaml", "beta: 2026-01-01\n", ["beta takes a number"]),
        ("c.yaml", "beta: [1\n", ["not YAML", "Correct the file."]),
        ("c.yaml", "a: 1\n---\nb: 2\n", ["not YAML"]),
        ("c.yaml", "beta: !!python/object/apply:os.system ['true']\n", ["is no plain value"]),
        ("c.yaml", "beta: &a [*a]\n", ["nested too deep"]),
        ("c.yaml", "a: &a {beta: 1}\n<<: *a\n", ["line 2: a name that is no text"]),
        ("c.yaml", "model_init_kwargs:\n  <<: {a: 1}\n", ["line 2: a name that is no text"]),
        ("c.json", '{"a b": 1}', ["a b is no name of a setting"]),
        ("c.yaml", "? [a]\n: 1\n", ["a name that is no text"]),
        ("c.yaml", "- beta\n", ["no settings by name"]),
        ("c.yaml", "lora: true\n", ["--no-lora"]),
        ("c.yaml", "output_dir: out\n", ["line 1: output_dir", "-o DIR"]),
        ("c.json", '{"beta": 0.1, "beta": 0.2}', ["beta is said twice"]),
        ("c.json", '{"beta": NaN}', ["NaN is no number"]),
        ("c.json", '{"beta": }', ["not JSON", "line 1"]),
        ("c.json", '{"run_name": 5}', ["run_name takes text or null, not 5"]),
        ("c.toml", "beta = nan", ["beta takes a number"]),
        ("c.toml", "beta = 0.1\nbeta = 0.2", ["not TOML"]),
        ("c.toml", "[model_init_kwargs]\nday = 2026-01-01", ["model_init_kwargs takes a mapping"]),
        ("c.txt", "beta: 1", [".yaml, .toml or .json"]),
    ],
)  # fmt: skip
def test_a_config_that_can_not_be_meant_is_refused(tmp_path: Path, name: str, text: str, parts: list[str]) -> None:
    shown = refusal(config=config(tmp_path, text, name))
    for part in parts:
        assert part in shown


def test_aliases_that_multiply_are_refused_before_they_are_written_out(tmp_path: Path) -> None:
    levels = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    text = "\n".join(["model_init_kwargs:", "  a0: &a0 [1]", *levels])
    assert "aliases (*name)" in refusal(config=config(tmp_path, text))
    once = config(tmp_path, "beta: &b 0.2\nlabel_smoothing: *b\n")
    assert read_overrides("dpo", once, []).trainer == {"beta": 0.2, "label_smoothing": 0.2}


def test_a_config_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(config=str(tmp_path / "gone.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"run_name: caf\xe9\n")
    assert "not UTF-8" in refusal(config=str(tmp_path / "latin.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    assert "can't be read" in refusal(config=str(tmp_path / "folder.yaml"))
