"""`--config FILE` and `--set NAME=VALUE`: what a user says under the trainer's own names, as values of the right types."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from aifeedback.errors import SettingsError
from aifeedback.training.fields import MISSING, Field, Shape, fields_of, lora_fields

if TYPE_CHECKING:
    from aifeedback.training.settings import Kind

_LORA = "lora."

# Names that the run answers for itself, then names of other tools and of other times. A name that the trainer has
# again counts as the trainer's, but for the first part.
_OURS: Mapping[str, str] = {
    "output_dir": "is the run's own. Use -o DIR.",
    "resume_from_checkpoint": "is the run's own. Use --resume.",
    "seed": "is the run's own. Use --seed.",
    "do_train": "is the run's own. Leave it out.",
    "do_eval": "is the run's own. Leave it out; --eval-fraction 0 holds nothing out.",
    "do_predict": "is the run's own. Leave it out.",
    "hub_token": "would stand in the report for all to read. Set HF_TOKEN in the environment.",
    "lora.task_type": "is the run's own. Leave it out.",
    "lora.peft_type": "is the run's own. Leave it out.",
    "lora.inference_mode": "is the run's own. Leave it out.",
    "lora.base_model_name_or_path": "is the run's own. Use --model.",
}
_ELSEWHERE: Mapping[str, str] = {
    "warmup_ratio": "is gone from the trainer. Use warmup_steps, which takes a share of all steps when it is below 1.",
    "overwrite_output_dir": "is gone from the trainer. Name another folder with -o, or go on in the same with --resume.",
    "max_prompt_length": "is gone from the trainer. Use max_length (--max-length), for prompt and answer together.",
    "max_completion_length": "is gone from the trainer. Use max_length (--max-length), for prompt and answer together.",
    "max_target_length": "is gone from the trainer. Use max_length (--max-length), for prompt and answer together.",
    "max_seq_length": "has a new name. Use max_length (--max-length).",
    "reference_free": "is gone from the trainer, which always compares with the starting model. Leave it out.",
    "evaluation_strategy": "has a new name. Use eval_strategy.",
    "no_cuda": "has a new name. Use use_cpu.",
    "group_by_length": "is gone from the trainer. Use train_sampling_strategy=group_by_length.",
    "tokenizer": "comes with the model. Use --model.",
    "tokenizer_name_or_path": "comes with the model. Use --model.",
    "model_name_or_path": "has a flag of its own. Use --model.",
    "model_revision": "belongs to loading the model. Use model_init_kwargs, as in {revision: NAME}.",
    "torch_dtype": "belongs to loading the model. Use model_init_kwargs, as in {dtype: bfloat16}.",
    "dtype": "belongs to loading the model. Use model_init_kwargs, as in {dtype: bfloat16}.",
    "attn_implementation": "belongs to loading the model. Use model_init_kwargs, as in {attn_implementation: sdpa}.",
    "dataset": "is an argument here. Name the files after the command: train dpo labels.jsonl",
    "datasets": "is an argument here. Name the files after the command: train dpo labels.jsonl",
    "dataset_name": "is an argument here. Name the files after the command: train dpo labels.jsonl",
    "dataset_train_split": "has no meaning here: all of DATA is used. Leave it out.",
    "dataset_test_split": "has no meaning here. Use --eval-fraction.",
    "test_split_size": "has a flag of its own. Use --eval-fraction.",
    "use_peft": "has a flag of its own. Use --lora or --no-lora.",
    "use_lora": "has a flag of its own. Use --lora or --no-lora.",
    "load_in_4bit": "has a flag of its own. Use --4bit.",
    "load_in_8bit": "has no counterpart here. Use --4bit, or leave it out.",
}
_FLAGS: Mapping[str, str] = {
    "data": "DATA",
    "model": "--model",
    "output": "-o",
    "epochs": "--epochs",
    "steps": "--steps",
    "batch_size": "--batch-size",
    "grad_accum": "--grad-accum",
    "lr": "--lr",
    "loss": "--loss",
    "soft_labels": "--soft-labels",
    "4bit": "--4bit",
    "merge": "--merge",
    "eval_fraction": "--eval-fraction",
    "resume": "--resume",
    "skip_bad": "--skip-bad",
    "dry_run": "--dry-run",
    "telemetry": "--telemetry",
    "config": "--config",
}
_TAGS = {"str", "int", "float", "bool", "null", "timestamp", "seq", "map", "value"}
_ORDER = ("none", "bool", "int", "float", "choice", "list", "dict", "str", "any", "object")
_WORDS: Mapping[str, str] = {
    "none": "null",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "dict": "a mapping",
    "str": "text",
}
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NOTHING = {"", "~", "null", "none"}
_MOST_VALUES = 100_000
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?\.?(?:nan|inf|infinity)", re.IGNORECASE)
_NAME = re.compile(r"\w{1,80}(?:\.\w{1,80})*")
_NAMES = re.compile(r"[\w.-]+(?:\s*,\s*[\w.-]+)+")


class _Bare(str):
    """Text without quotes, from YAML or from --set: what it means is for the field to say (`no`, `5e-6`, `null`)."""

    __slots__ = ()


class _Unfit(Exception):
    """A value is none of the things that a field takes."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One setting as it was written, and where."""

    name: str
    value: object
    where: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """Settings for the trainer and for the adapter's LoraConfig, by their names; `notes`: what to tell about them."""

    trainer: dict[str, object] = field(default_factory=dict[str, object])
    lora: dict[str, object] = field(default_factory=dict[str, object])
    notes: Sequence[str] = ()


def read_overrides(kind: Kind, config_path: str, sets: Sequence[str]) -> Overrides:
    """What --config ("" where there is none) and each --set say; --set wins.

    Raises SettingsError for a file that can't be read, a name that the trainer doesn't have, a name said twice in one
    place, and a value that isn't of its field's type.
    """
    if not config_path and not sets:
        return Overrides()
    said = _once(_from_file(config_path)) if config_path else {}
    said |= _once(one for text in sets for one in _from_flag(text))
    trainer: dict[str, object] = {}
    lora: dict[str, object] = {}
    notes: list[str] = []
    for one in said.values():
        known = _field(kind, one)
        values = lora if one.name.startswith(_LORA) else trainer
        values[known.name] = _value(known, one)
        if known.deprecated:
            notes.append(f"{one.where}: {one.name}: {' '.join(known.deprecated.split())}")
    return Overrides(trainer, lora, tuple(notes))


def _once(said: Iterable[_Said]) -> dict[str, _Said]:
    found: dict[str, _Said] = {}
    for one in said:
        if one.name in found:
            raise SettingsError(f"{one.where}: {one.name} is said twice. Keep one of the two.")
        found[one.name] = one
    return found


def _from_flag(text: str) -> Iterator[_Said]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise SettingsError(
            f"--set {_short(text)}: no name or no value. Write it as --set NAME=VALUE, as in warmup_steps=0.1"
        )
    if not value:
        raise SettingsError(f"--set {_short(text)}: no value. Write {_short(name)}=null if nothing is meant.")
    yield from _flat({name: _flow(value, f"--set: {_short(name)}")}, "--set", {})


def _from_file(path: str) -> Iterator[_Said]:
    suffix = Path(path).suffix.lower()
    if suffix not in {".yaml", ".yml", ".toml", ".json"}:
        raise SettingsError(f"--config {path}: of no known kind. Name the file .yaml, .toml or .json.")
    lines: Mapping[str, int] = {}
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if suffix == ".json":
            whole = _json(text)
        elif suffix == ".toml":
            whole = tomllib.loads(text)
        else:
            whole, lines = _yaml(text)
    except OSError as error:
        raise SettingsError(f"--config {path}: can't be read: {error.strerror}. Name another file.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"--config {path}: not UTF-8. Save the file as UTF-8.") from error
    except RecursionError as error:
        raise SettingsError(f"--config {path}: nested too deep. Correct the file.") from error
    except ValueError as error:
        raise SettingsError(
            f"--config {path}: not {suffix[1:].upper()}: {_short(str(error), 200)}. Correct the file."
        ) from error
    if not isinstance(whole, dict):
        raise SettingsError(f"--config {path}: no settings by name. Write lines such as warmup_steps: 0.1")
    yield from _flat(whole, path, lines)


def _flat(whole: Mapping[str, object], where: str, lines: Mapping[str, int]) -> Iterator[_Said]:
    """Each setting by itself, those of a table `lora` too."""
    for key, value in whole.items():
        name = key.lstrip("-").replace("-", "_")
        at = f"{where}, line {lines[key]}" if key in lines else where
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{at}: {_short(key)} is no name of a setting. Write one such as warmup_steps.")
        if name != "lora":
            yield _Said(name, value, at)
        elif isinstance(value, dict):
            inner = {inside.removeprefix("lora."): line for inside, line in lines.items() if inside.startswith(_LORA)}
            for one in _flat(value, where, inner):
                yield _Said(_LORA + one.name, one.value, one.where)
        else:
            raise SettingsError(f"{at}: lora is a table of the adapter's settings. Use --lora or --no-lora to choose.")


def _short(text: str, length: int = 60) -> str:
    """Text for a message of one line."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _flow(text: str, where: str) -> object:
    """A mapping, a list or a quoted text, in JSON or YAML; all else is bare."""
    if text[0] not in "{[\"'":
        return _Bare(text)
    try:
        return _json(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _yaml(text)[0]
    except (ValueError, RecursionError) as error:
        # A pattern may begin with a bracket or a quote; what begins with a brace is a mapping or a mistake.
        if text[0] == "{":
            raise SettingsError(
                f"{where} is a mapping that can't be read: {_short(str(error), 200)}. Check its brackets."
            ) from None
        return _Bare(text)


def _json(text: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table = dict(pairs)
        if len(table) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is said twice")
        return table

    def refused(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    try:
        value: object = json.loads(text, object_pairs_hook=unique, parse_constant=refused)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    return value


def _yaml(text: str) -> tuple[object, Mapping[str, int]]:
    """The document, and the line of each key (`name`, `table.name`).

    PyYAML makes text of 5e-6, 8 of 010 and False of no; so only the structure is its work, and bare text stays bare.
    """
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore] # it comes without types
    except ImportError:
        raise SettingsError(MISSING) from None
    lines: dict[str, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "an unreadable character"
        raise ValueError(f"line {mark.line + 1}: {what}" if mark else what) from None
    if node is not None and _size(node, {}) > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values, as its aliases (*name) repeat them")
    return ({} if node is None else _composed(node, "", lines)), lines


def _size(node: Any, known: dict[int, int]) -> int:  # noqa: ANN401 - PyYAML's
    """How many values a node stands for with its aliases written out, which a few lines can make billions."""
    if id(node) not in known:
        inner = [part for pair in node.value for part in pair] if node.id == "mapping" else node.value
        known[id(node)] = 1 if node.id == "scalar" else 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]


def _composed(node: Any, path: str, lines: dict[str, int]) -> object:  # noqa: ANN401 - PyYAML's
    """A node's value; `lines` gets the line of each key below it."""
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
        raise ValueError(f"line {node.start_mark.line + 1}: {node.tag} is no plain value")
    if node.id == "scalar":
        return str(node.value) if node.style else _Bare(node.value)
    if node.id == "sequence":
        return [_composed(item, f"{path}[].", lines) for item in node.value]
    table: dict[str, object] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.id != "scalar" or key.tag.endswith(":merge"):
            raise ValueError(f"line {line}: a name that is no text")
        if key.value in table:
            raise ValueError(f"line {line}: {key.value} is said twice")
        table[key.value] = _composed(value, f"{path}{key.value}.", lines)
        lines[f"{path}{key.value}"] = line
    return table


def _field(kind: Kind, one: _Said) -> Field:
    """The field that a name means. Raises SettingsError with the nearest thing to it."""
    of_lora = one.name.startswith(_LORA)
    known = (lora_fields() if of_lora else fields_of(kind)).get(one.name.removeprefix(_LORA))
    if known is None or one.name in _OURS:
        raise SettingsError(f"{one.where}: {one.name} {_OURS.get(one.name) or _advice(kind, one.name)}")
    return known


def _advice(kind: Kind, name: str) -> str:
    trainer, lora = fields_of(kind), lora_fields()
    short = name.removeprefix(_LORA)
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    if name in _FLAGS:
        return f"has a flag of its own. Use {_FLAGS[name]}."
    for meant in (name, name.removeprefix("lora_"), f"lora_{short}"):
        if meant in lora:
            return f"is the adapter's. Use lora.{meant}."
    if short in trainer:
        return _OURS.get(short) or f"is the trainer's. Use {short}."
    others: Sequence[Kind] = ("dpo", "sft", "kto")
    if owners := [other.upper() for other in others if name in fields_of(other)]:
        return f"is a setting of {' and '.join(owners)}, not of {kind.upper()}. Leave it out."
    head, dot, _ = name.partition(".")
    if dot and head in trainer and trainer[head].takes("dict"):
        return f"is inside a mapping. Write {head}={{...}} as a whole."
    candidates = {**{one: one for one in trainer}, **{f"{_LORA}{one}": f"{_LORA}{one}" for one in lora}, **_FLAGS}
    found = get_close_matches(name, [*candidates, *_ELSEWHERE], 2, 0.7)
    near = [candidates[meant] for meant in found if meant in candidates]
    ask = f"Did you mean {' or '.join(near)}?" if near else "The names are those of TRL's config class."
    if found and found[0] in _ELSEWHERE:
        ask = f"If {found[0]} is meant, that {_ELSEWHERE[found[0]]}"
    return f"is no setting of the {kind.upper()} trainer. {ask}"


def _value(known: Field, one: _Said) -> object:
    """What was said, as the field's type. Raises SettingsError."""
    try:
        return _fit(known, one.value)
    except (_Unfit, RecursionError):
        pass
    if all(shape.type in {"object", "none"} for shape in known.kinds):
        raise SettingsError(
            f"{one.where}: {one.name} takes a Python object, which nobody can write down. Leave it out."
        )
    value = _culprit(known, one.value)
    shown = json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, str) else value
    shown = _short(shown)
    choices = [str(choice) for choice in _choices(known.kinds)]
    near = [choice for choice in choices if shown and choice.startswith(shown)] or get_close_matches(shown, choices, 1)
    if near:
        advice = f"Did you mean {' or '.join(near[:3])}?"
    else:
        advice = "Correct it." if known.computed else f"The trainer's default is {json.dumps(known.default)}."
    raise SettingsError(f"{one.where}: {one.name} takes {_wanted(known)}, not {shown or 'nothing'}. {advice}")


def _culprit(known: Field, value: object) -> object:
    """Of a list of names the one that is none of the choices, else the value."""
    choices = _choices(known.kinds)
    if isinstance(value, list) and choices:
        return next((item for item in value if isinstance(item, str) and item not in choices), value)
    return value


def _fit(known: Field, value: object) -> object:
    if isinstance(value, _Bare) and value == known.default:
        return str(value)
    if isinstance(value, _Bare) and value in _choices(known.kinds):
        value = str(value)  # "no" and "none" are names here
    elif value is None or (isinstance(value, _Bare) and value.lower() in _NOTHING):
        if known.default == "none":
            return "none"
        if known.takes("none"):
            return None
        raise _Unfit
    # An int stays one where the trainer tells a number of steps from a share of them.
    steps = isinstance(known.default, int) or known.name.endswith("_steps")
    fitted = _first(known.kinds, value)
    return float(fitted) if type(fitted) is int and not steps and not known.takes("int") else fitted


def _first(kinds: Sequence[Shape], value: object) -> object:
    """The value as the first type that takes it, from the narrowest to the widest."""
    types = {shape.type for shape in kinds}
    for shape in sorted(kinds, key=lambda shape: _ORDER.index(shape.type)):
        try:
            match shape.type:
                case "bool":
                    return _boolean(value)
                case "int":
                    return _whole(value)
                case "float":
                    return _number(value)
                case "choice":
                    return _choice(shape, value)
                case "list":
                    return _list(shape, value, or_text="str" in types)
                case "dict":
                    return _mapping(value)
                case "str":
                    return _text(value, a_file="dict" in types)
                case "any":
                    return _meant(value)
        except (_Unfit, ValueError, OverflowError, SettingsError):
            continue
    raise _Unfit


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, int | str) else ""
    if word not in _BOOLEANS:
        raise _Unfit
    return _BOOLEANS[word]


def _whole(value: object) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    number = _number(value)
    if number != int(number):
        raise _Unfit
    return int(number)


def _number(value: object) -> int | float:
    """A finite number; an int where it is written as one."""
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        value = int(value) if whole else float(value) if _NUMBER.fullmatch(value) else None
    # An integer beyond the range of a float raises OverflowError here, which counts as unfit too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Unfit
    return value


def _choice(shape: Shape, value: object) -> object:
    for choice in shape.choices:
        if isinstance(choice, bool):
            if isinstance(value, bool | str) and str(value).lower() == str(choice).lower():
                return choice
        elif isinstance(choice, str) and isinstance(value, str):
            # peft writes a pattern as pissa_niter_[number of iters].
            if re.fullmatch(re.sub(r"\\\[.*?\\\]", r"\\w+", re.escape(choice)), value):
                return str(value)
        elif type(choice) is type(value) and choice == value:
            return choice
    raise _Unfit


def _list(shape: Shape, value: object, *, or_text: bool) -> list[object]:
    """A list, or names with commas between them. Where text alone means something too (a pattern), a comma decides."""
    if isinstance(value, str):
        nested = any(item.type == "list" for item in shape.items)
        if nested or value.startswith("[") or (or_text and not _NAMES.fullmatch(value)):
            raise _Unfit
        value = [_Bare(part.strip()) for part in value.split(",")]
        if "" in value:
            raise _Unfit
    if not isinstance(value, list):
        raise _Unfit
    if not value and any(item.type == "choice" for item in shape.items):
        raise _Unfit
    numbers = {item.type for item in shape.items} == {"float"}
    items = [_first(shape.items, item) for item in value]
    return [float(str(item)) for item in items] if numbers else items


def _mapping(value: object) -> object:
    if isinstance(value, str) and value.startswith("{"):
        value = _flow(value, "the text")
    if not isinstance(value, dict):
        raise _Unfit
    return _meant(value)


def _text(value: object, *, a_file: bool) -> str:
    """Text; beside a mapping it can only be the path of a file that holds one."""
    if not isinstance(value, str) or (a_file and not value.lower().endswith(".json")):
        raise _Unfit
    return str(value)


def _meant(value: object) -> object:
    """What bare text means where any type will do, as YAML 1.2 has it, at every depth."""
    if isinstance(value, dict):
        return {str(key): _meant(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_meant(inner) for inner in value]
    if isinstance(value, _Bare):
        if value in {"", "~", "null", "Null", "NULL", "None"}:
            return None
        if value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if _NOT_FINITE.fullmatch(value):
            raise _Unfit
        return _number(value) if _NUMBER.fullmatch(value) else str(value)
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise _Unfit


def _choices(kinds: Sequence[Shape]) -> list[object]:
    return [choice for shape in kinds for choice in (*shape.choices, *_choices(shape.items))]


def _wanted(known: Field) -> str:
    """What a field takes, in words."""
    kinds = sorted(
        (shape for shape in known.kinds if shape.type != "object"), key=lambda kind: -_ORDER.index(kind.type)
    )
    words = " or ".join(_words(shape) for shape in kinds)
    return words.replace("text or a mapping", "a mapping or the path of a .json file")


def _words(shape: Shape) -> str:
    if shape.type == "list":
        if [item.type for item in shape.items] == ["choice"]:
            return _words(shape.items[0]).replace("one of", "one or more of", 1)
        return f"a list of {' or '.join(_words(item) for item in shape.items)}"
    if shape.type == "choice":
        some = [str(choice) for choice in shape.choices[:15]]
        return f"one of {', '.join(some)}{', …' if len(shape.choices) > len(some) else ''}"
    return _WORDS.get(shape.type, "any value")
