"""What a run would do, told without a tensor: the checks of the data, their lengths, the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aifeedback.errors import InputError
from aifeedback.training import hardware
from aifeedback.training.arguments import total_steps
from aifeedback.training.preparing import Prepared, prepare
from aifeedback.training.settings import TrainSettings


def plan(settings: TrainSettings, *, note: Callable[[str], None]) -> tuple[str, bool]:
    """The plan as text, and whether a run could start. Needs the model's tokenizer, not its weights.

    Raises SettingsError, InputError for data that can't be read at all.
    """
    prepared = prepare(settings, note=note)
    lines = list(_told(prepared))
    try:
        prepared.refuse()
    except InputError as error:
        return "\n".join([*lines, "", str(error)]), False
    return "\n".join(lines), True


def _told(prepared: Prepared) -> Iterator[str]:
    settings, data, parts = prepared.settings, prepared.data, prepared.parts
    left_out = f", {data.left_out.total()} left out" if data.left_out else ""
    yield f"{settings.kind} from {settings.model} into {settings.output}"
    yield f"rows: {data.read} read{left_out}; examples: {len(parts.train)} to train on, {len(parts.held_out)} held out"
    for name, (sha256, rows) in data.files.items():
        yield f"  {name}: {rows} rows, SHA-256 {sha256[:16]}…"
    for what, word in (("critic", "labelled by"), ("template", "asked with"), ("criteria", "criteria")):
        if named := data.sources(what):
            yield f"  {word} " + ", ".join(f"{name} ({count})" for name, count in named.items())
    yield ""
    yield from _lengths(prepared)
    yield ""
    processes = hardware.processes()
    a_step = settings.devices_batch * settings.accumulation * processes
    yield f"steps: {total_steps(settings, len(parts.train), processes)} of {a_step} examples"
    yield f"trained: {_trained(prepared)}"
    yield f"loss: {'+'.join(settings.losses)}" + (
        f", soft labels {settings.soft_labels}" * (settings.soft_labels != "off")
    )
    yield ""
    if data.findings.all:
        yield from (finding.line() for finding in data.findings.all)
    else:
        yield "Nothing is wrong with the data as far as can be seen."


def _trained(prepared: Prepared) -> str:
    if prepared.model.adapter is not None:
        return f"the adapter itself, of rank {prepared.rank or 'unknown'}"
    return "all weights" if prepared.rank is None else f"an adapter of rank {prepared.rank}"


def _lengths(prepared: Prepared) -> Iterator[str]:
    """A table of token counts."""
    names = ("p50", "p90", "p95", "p99", "max")
    yield "tokens      " + "".join(f"{name:>8}" for name in names)
    for what, lengths in prepared.lengths.items():
        yield f"  {what:<10}" + "".join(f"{getattr(lengths, name):>8}" for name in names)
    cut = {finding.code: finding.count for finding in prepared.data.findings.all}
    where = f"cut at {prepared.max_length}" if prepared.max_length else "not cut"
    yield (f"  {where}: {cut.get('completion_cut', 0)} answers cut, {cut.get('prompt_too_long', 0)} rows left out")
