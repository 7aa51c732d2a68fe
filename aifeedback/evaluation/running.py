"""An evaluation from end to end: labels gathered, figures made, gates judged, outputs written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from aifeedback import __version__
from aifeedback.ending import Check, MaxFailed, checks
from aifeedback.errors import StopRun
from aifeedback.evaluation.asking import ask
from aifeedback.evaluation.collecting import Collection, Entry
from aifeedback.evaluation.disagreements import Disagreements
from aifeedback.evaluation.labelled import read_labels
from aifeedback.evaluation.outcome import Evaluated, Gathered
from aifeedback.evaluation.reporting import report
from aifeedback.evaluation.settings import EvaluateSettings
from aifeedback.gates import Gates
from aifeedback.job import Job
from aifeedback.junit import Suite, junit
from aifeedback.labeling import Progress
from aifeedback.publish import Output, PipeOutput, open_output
from aifeedback.settings import InputSettings
from aifeedback.summary import Tally
from aifeedback.templates import Template

_COMMAND = "aifeedback evaluate"
_FIGURES = ("json", "disagreements")
Note = Callable[[str], None]


def _silent(_: str) -> None:
    """Say nothing."""


def _unwatched(_progress: Progress, _tally: Tally) -> None:
    """Show nothing."""


async def evaluate_critics(
    job: Job,
    settings: EvaluateSettings,
    *,
    environment: Mapping[str, str],
    note: Note = _silent,
    watch: Callable[[Progress, Tally], None] = _unwatched,
) -> Evaluated:
    """Ask the critics of `job` about each pair with gold or votes, and say how far they agree with people.

    `job` says what is asked, its gates and `max_failed`; its own outputs are not written. Outputs appear whole when this
    returns, and not at all when it raises. Raises what a labelling job raises.
    """
    settings.check_places(job.inputs, str(job.store or ""))
    with _ending(settings, job.gates, job.max_failed, job.label_settings.ask.seed) as ending:
        gathered = await ask(
            job, settings, environment=environment, note=note, watch=watch, disagreements=ending.disagreements
        )
        return ending.end(gathered, _asked(job))


def evaluate_labels(
    inputs: Sequence[str],
    settings: EvaluateSettings,
    template: Template,
    *,
    input_settings: InputSettings | None = None,
    gates: Gates | None = None,
    max_failed: MaxFailed | None = None,
    seed: int = 0,
    limit: int = 0,
    note: Note = _silent,
) -> Evaluated:
    """The same of finished labels; nobody is asked. `template` is the one whose form of answer the built-in critic has."""
    settings.check_places(inputs)
    with _ending(settings, gates or Gates(), max_failed or MaxFailed(), seed) as ending:
        gathered = read_labels(
            inputs, settings, input_settings or InputSettings(seed=seed), template,
            seed=seed, limit=limit, note=note, disagreements=ending.disagreements,
        )  # fmt: skip
        return ending.end(gathered, {"labels": list(settings.labels), "seed": seed})


def _asked(job: Job) -> dict[str, object]:
    ask, reconcile = job.label_settings.ask, job.label_settings.reconcile
    return {
        "template": job.template.label,
        "criteria": job.criteria.name,
        "criteria_text": job.criteria.text,
        "parameters": {
            "orders": [order.value for order in ask.orders],
            "samples": ask.samples,
            "soft": job.label_settings.soft,
            "on_conflict": reconcile.on_conflict,
            "min_preference": reconcile.min_preference,
            "panel": reconcile.panel,
            "weights": dict(reconcile.weights),
        },
        "seed": ask.seed,
    }


class _Ending:
    """The outputs of an evaluation, opened before anything is asked, and what is written to them."""

    def __init__(self, settings: EvaluateSettings, gates: Gates, allowed: MaxFailed, seed: int) -> None:
        self.disagreements = Disagreements() if settings.disagreements else None
        self._gates, self._allowed, self._seed = gates, allowed, seed
        self._begun, self._started = datetime.now(UTC), time.monotonic()
        self._outputs: dict[str, Output] = {}
        try:
            for name in ("json", "disagreements", "junit"):
                if path := getattr(settings, name):
                    self._outputs[name] = open_output(path)
        except BaseException:
            self.close()
            raise

    def end(self, gathered: Gathered, asked: Mapping[str, object]) -> Evaluated:
        """Make the report and write everything."""
        made = {
            **report(gathered.collection, seed=self._seed),
            "pairs": {
                "read": gathered.read,
                "judged_by_people": gathered.collection.pairs,
                "without_gold": gathered.without,
                "invalid": gathered.invalid,
            },
            **gathered.spent,
            "seconds": round(time.monotonic() - self._started, 3),
        }
        suites, gates = self._judge(gathered.collection, gathered.stopped, made)
        made["gates"] = gates
        made["manifest"] = {"version": __version__, **asked, "inputs": dict(gathered.inputs)}
        checked = [check for suite in suites for check in suite.checks]
        held = bool(self._gates) and any(self._flows(name) for name in _FIGURES)
        through = gathered.stopped is None and all(check.code != 3 or check.passed for check in checked)
        self._write(made, suites, withhold=held and not through)
        return Evaluated(made, checked, gathered.stopped, held and not through)

    def _judge(
        self, collection: Collection, stopped: StopRun | None, made: Mapping[str, Any]
    ) -> tuple[list[Suite], list[dict[str, object]]]:
        suites: list[Suite] = []
        gates: list[dict[str, object]] = []
        for entry in collection.critics.values():
            judged = self._gates.judge(entry.figures.tally)
            gates += [{"critic": entry.name, **each.record()} for each in judged]
            complete, *others = checks(
                entry.figures.tally, judged, stopped, self._allowed,
                go_on="The figures are of what was answered; the same command goes on from there.",
                reasons="aifeedback label with the same critic keeps each one's reason with --rest FILE.",
            )  # fmt: skip
            own = [_named(entry, check) for check in others]
            suites.append(
                Suite(
                    f"{_COMMAND} {entry.name}",
                    [complete, *own] if not suites else own,
                    self._begun,
                    time.monotonic() - self._started,
                    {"critic": entry.name, "n": entry.figures.n},
                    [text for text in made["findings"] if text.startswith((f"{entry.name} ", f"{entry.name}: "))],
                )
            )
        return suites, gates

    def _write(self, made: Mapping[str, Any], suites: Sequence[Suite], *, withhold: bool) -> None:
        held = {name for name in _FIGURES if withhold and self._flows(name)}
        if "json" in self._outputs.keys() - held:
            self._outputs["json"].write([orjson.dumps(made, option=orjson.OPT_INDENT_2)])
        if "junit" in self._outputs:
            self._outputs["junit"].write([junit(suites)])
        if self.disagreements is not None and "disagreements" not in held:
            self._outputs["disagreements"].write(list(self.disagreements.lines()))
        for output in self._outputs.values():
            output.settle()
        for output in self._outputs.values():
            output.finish()
        self._outputs.clear()

    def _flows(self, name: str) -> bool:
        """Whether an output is a pipe: who reads it can't see the exit code."""
        return isinstance(self._outputs.get(name), PipeOutput)

    def close(self) -> None:
        """Remove what is unfinished."""
        if self.disagreements is not None:
            self.disagreements.close()
        for output in self._outputs.values():
            output.discard()


def _named(entry: Entry, check: Check) -> Check:
    return replace(check, missed=f"{entry.name}: {check.missed}") if check.missed else check


@contextlib.contextmanager
def _ending(settings: EvaluateSettings, gates: Gates, allowed: MaxFailed, seed: int) -> Iterator[_Ending]:
    ending = _Ending(settings, gates, allowed, seed)
    try:
        yield ending
    finally:
        ending.close()
