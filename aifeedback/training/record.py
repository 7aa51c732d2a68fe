"""What a training run says about itself: the shape of `training.json`, and its writing."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from aifeedback.errors import OutputError
from aifeedback.training.falling_apart import Sign, SignCounts
from aifeedback.training.settings import Kind

Figure = float | None
"""A logged number; None (null in the file) stands for one that was NaN or infinite."""


class Model(TypedDict):
    """What was trained. `name` as it was given; `local`: it is a folder of this machine, not a name on a hub."""

    name: str
    kind: Literal["adapter", "weights"]
    parameters: int
    trainable: int
    local: NotRequired[bool]
    base_sha256: NotRequired[str]


class DataFile(TypedDict):
    """One file of training data."""

    name: str
    sha256: str
    rows: int


class Rows(TypedDict):
    """Where the rows went: `read` is the sum of the others."""

    read: int
    train: int
    held_out: int
    left_out: int


class FindingEntry(TypedDict):
    """Something wrong or doubtful in the data; `examples` say where it stands first."""

    code: str
    severity: str
    count: int
    message: str
    examples: Sequence[str]


class TokenStatistics(TypedDict):
    """Lengths in tokens, over `n` texts."""

    n: int
    p50: int
    p90: int
    p95: int
    p99: int
    max: int


class Preference(TypedDict):
    """How sure the critic was: P(chosen is better). `share_1`: rows at 1; `histogram`: ten counts from 0.5 to 1."""

    mean: float
    min: float
    share_1: float
    histogram: Sequence[int]


class Data(TypedDict):
    """What was learned from. `critics`, `templates`, `criteria`: rows by name; `left_out`: rows by a finding's code.

    `held_out`: the lines of each file that were tested on and not trained on.
    """

    files: Sequence[DataFile]
    rows: Rows
    left_out: Mapping[str, int]
    held_out: NotRequired[Mapping[str, Sequence[int]]]
    findings: Sequence[FindingEntry]
    tokens: Mapping[str, TokenStatistics]
    max_length: int | None
    critics: Mapping[str, int]
    templates: Mapping[str, int]
    criteria: Mapping[str, int]
    preference: NotRequired[Preference | None]


class Hardware(TypedDict):
    """What it ran on."""

    device: str
    devices: int
    processes: int
    precision: str
    threads: int


class Point(TypedDict, total=False):
    """One logged step, or one evaluation on the held-out rows. Log-probabilities are sums over an answer, in nats.

    `accuracy` is the share of pairs whose chosen answer has the higher reward; with sft the share of right tokens.
    """

    step: int
    epoch: Figure
    loss: Figure
    margin: Figure
    accuracy: Figure
    chosen_logp: Figure
    rejected_logp: Figure
    chosen_reward: Figure
    rejected_reward: Figure
    learning_rate: Figure
    grad_norm: Figure
    tokens_per_second: Figure


class Answer(TypedDict):
    """One sampled answer and what looks wrong with it."""

    text: str
    flags: Sequence[Sign]


class Sample(TypedDict):
    """One held-out prompt, answered before and after. `chosen`: the data's own answer."""

    prompt: str
    chosen: str
    before: Answer
    after: Answer


class Signs(TypedDict):
    """Signs of answers that fall apart, counted over all samples."""

    before: SignCounts
    after: SignCounts


class Record(TypedDict):
    """`training.json`. `started` is an ISO time, `loop_seconds` the training loop's part of `seconds`, `trainer` holds every argument of the trainer as it was used.

    `fingerprint` says whose run it is, `finished` whether all of it is there. `seconds` are those of the whole run, as
    far as what was done in them is part of the result.
    """

    aifeedback: str
    kind: Kind
    finished: bool
    fingerprint: Mapping[str, str]
    started: str
    seconds: float
    loop_seconds: NotRequired[float]
    command: Sequence[str]
    model: Model
    data: Data
    settings: Mapping[str, object]
    trainer: Mapping[str, object]
    hardware: Hardware
    versions: Mapping[str, str]
    history: Sequence[Point]
    evaluations: Sequence[Point]
    samples: Sequence[Sample]
    signs: Signs
    warnings: Sequence[str]
    result_files: Mapping[str, str]


def write(record: Record, path: Path) -> None:
    """Write `training.json`, whole or not at all. Raises OutputError where it can't be written.

    NaN and infinities become null; a value that JSON has no word for is written as its text, since a run that took
    hours is not to be lost to an odd setting.
    """
    text = json.dumps(_plain(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(text, path)


def write_whole(text: str, path: Path) -> None:
    """Put `text` at `path` by rename, so that no reader sees half of it. Raises OutputError.

    A lone surrogate is written as a backslash escape: in JSON that is what it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"{path} can't be written: {error.strerror or error}. Make room or choose another -o."
        ) from error


def is_local(model: Model) -> bool:
    """Whether the model is a folder of this machine; by the look of its name where the record doesn't say."""
    name = model["name"]
    looks = name.startswith((".", "~", "/")) or "\\" in name or ":" in name or name.count("/") > 1
    return model.get("local", looks or Path(name).is_dir())


def public_name(model: Model) -> str:
    """The model's name for readers elsewhere: of a folder its own name alone, without the way to it."""
    if not is_local(model):
        return model["name"]
    return Path(model["name"].replace("\\", "/")).name or Path(model["name"]).resolve().name or "a local model"


def _plain(value: object) -> object:
    """The same with nothing in it that JSON lacks."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
