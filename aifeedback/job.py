"""A labelling job: input files in; labelled pairs, the rest and a summary out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from aifeedback import __version__
from aifeedback.alpha import ADVICE, krippendorff_alpha
from aifeedback.biases import Bias, find_biases
from aifeedback.controlling import Controlling
from aifeedback.critics import Critic
from aifeedback.ending import Check, MaxFailed, checks
from aifeedback.errors import CriticGone, InputError, SettingsError, StopRun
from aifeedback.files import Reader
from aifeedback.gates import GateResult, Gates
from aifeedback.jsontext import dumps, loads
from aifeedback.junit import Suite, junit
from aifeedback.labeling import Labeling, LabelSettings, Outcome, Progress
from aifeedback.lanes import BUILTIN, CriticSettings, LaneSettings, check, name_of, open_lanes
from aifeedback.length_control import Settled
from aifeedback.missing import Missing
from aifeedback.ordered import Ordered, Row
from aifeedback.panel import Panel
from aifeedback.prices import usd
from aifeedback.publish import STDOUT, HeldOutput, Output, PipeOutput, check_distinct, open_output
from aifeedback.records import Invalid, Label, Pair, Status
from aifeedback.replies import open_store
from aifeedback.rows import Shaper, labelled_row, meta_shape, rest_row
from aifeedback.settings import InputSettings, OutputSettings
from aifeedback.softness import Softness
from aifeedback.summary import Tally
from aifeedback.templates import Criteria, Example, Renderer, Template
from aifeedback.verdicts import can_be_soft

# A loader that infers types does so from the first 10 MB (datasets' JSON reader): what an empty list holds is
# settled by then.
_LOADER_LOOKS_AT = 8 * 1024 * 1024

BUILTIN_NOTE = "builtin looks at surface features only, not at criteria or template: it is there to try the tool, and a real critic must beat it."


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a labelling job was told. `rest`, `summary` and `junit` may be `""` (not wanted), `store` None (none).

    `escalate_to`: the critic that is asked about pairs in doubt, with `on_conflict` `escalate` and never without.
    `replay`: nobody is asked, all replies come from the store. Raises SettingsError for what contradicts itself.
    """

    inputs: Sequence[str]
    critics: Sequence[CriticSettings | Critic]
    template: Template
    criteria: Criteria
    examples: Sequence[Example] = ()
    output: str = STDOUT
    rest: str = ""
    summary: str = ""
    store: Path | None = None
    input_settings: InputSettings = field(default_factory=InputSettings)
    label_settings: LabelSettings = field(default_factory=LabelSettings)
    lane_settings: LaneSettings = field(default_factory=LaneSettings)
    output_settings: OutputSettings = field(default_factory=OutputSettings)
    gates: Gates = field(default_factory=Gates)
    escalate_to: CriticSettings | Critic | None = None
    junit: str = ""
    max_failed: MaxFailed = field(default_factory=MaxFailed)
    replay: bool = False

    def __post_init__(self) -> None:
        if (self.label_settings.reconcile.on_conflict == "escalate") != (self.escalate_to is not None):
            raise SettingsError(
                "--on-conflict escalate and --escalate-to CRITIC go together, and one of them is missing. Name both or neither."
            )
        if self.escalate_to is not None and self.strong_name in map(name_of, self.critics):
            raise SettingsError(
                f"--escalate-to names {self.strong_name}, and that one is asked first already. Name a stronger critic."
            )
        if self.label_settings.soft == "logprobs" and not can_be_soft(self.template.format):
            raise SettingsError(
                f"--soft logprobs: what the template {self.template.name} asks for can't be read from token probabilities. "
                "Use the template quick, or leave --soft out."
            )

        if self.replay and self.store is None:
            raise SettingsError(
                "a replay takes its replies from the store. Leave --no-store out, or leave --replay out."
            )
        if self.replay and self.label_settings.reask_unparsed:
            raise SettingsError("--replay asks nobody, and --reask asks again. Leave one of them out.")

    @property
    def everybody(self) -> list[CriticSettings | Critic]:
        """All critics that may be asked; the one for pairs in doubt is the last."""
        return [*self.critics, *([] if self.escalate_to is None else [self.escalate_to])]

    @property
    def critic_name(self) -> str:
        """The names of those that are asked about every pair, joined by `+`."""
        return "+".join(map(name_of, self.critics))

    @property
    def strong_name(self) -> str:
        """The name of the one that is asked about pairs in doubt, or `""`."""
        return "" if self.escalate_to is None else name_of(self.escalate_to)

    @property
    def context(self) -> dict[str, str]:
        """What `store explain` says about a reply's question."""
        return {"template": self.template.label, "criteria": f"{self.criteria.name}@{self.criteria.digest}"}

    def check_places(self) -> None:
        """Raise SettingsError where an output is also an input, or another output."""
        outputs = [("-o", self.output), ("--rest", self.rest), ("--summary", self.summary), ("--junit", self.junit)]
        check_distinct(self.inputs, [*outputs, ("--store", str(self.store or ""))])

    def renderer(self) -> Renderer:
        """The renderer of this job's questions."""
        return Renderer(self.template, self.criteria, self.examples, seed=self.label_settings.ask.seed)


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended. `summary` is contract section 3's, `stopped` why it ended before its time, if it did.

    `checks`: what it had to pass to end with 0. `withheld`: labels were meant for a pipe, and none went out, since a gate
    was missed or the run stopped.
    """

    summary: Mapping[str, object]
    tally: Tally
    stopped: StopRun | None
    gates: Sequence[GateResult] = ()
    withheld: bool = False
    checks: Sequence[Check] = ()
    biases: Sequence[Bias] = ()

    @property
    def missed(self) -> list[GateResult]:
        """The gates that were not passed."""
        return [gate for gate in self.gates if not gate.passed]


async def run_job(
    job: Job,
    *,
    environment: Mapping[str, str],
    note: Callable[[str], None] = lambda _: None,
    watch: Callable[[Progress, Tally], None] = lambda _progress, _tally: None,
) -> JobResult:
    """Run `job` to its end; outputs appear whole when it returns, and not at all when it raises.

    With gates, labels for a pipe wait for the end and go out only if the run was not stopped and no gate was missed; in a
    replay, only if no reply was missing.

    Raises InputError, SettingsError, StoreError (MissingReplies in a replay), OutputError; CriticGone where no answer came at all; BrokenPipeError
    when the reader of a pipe has gone. `note` hears warnings, `watch` is given the live counts once.
    """
    started, begun = time.monotonic(), datetime.now(UTC)
    check(job.everybody, environment, job.label_settings.asking, needs_key=not job.replay)
    job.check_places()
    reader = Reader(job.inputs, job.input_settings)
    reader.check()
    with (
        contextlib.closing(open_store(job.store, replay=job.replay, note=note)) as store,
        _outputs(job, note) as outputs,
    ):
        async with open_lanes(
            job.everybody,
            job.label_settings.ask,
            job.lane_settings,
            asking=job.label_settings.asking,
            store=store,
            environment=environment,
            context=job.context,
            note=note,
            replay=job.replay,
        ) as lanes:
            labeling = Labeling(
                job.renderer(),
                lanes,
                store,
                job.label_settings,
                emit=outputs.emit,
                prepare=outputs.prepare,
                publish=outputs.publish,
                accept=outputs.shaper.refuse,
            )
            labeling.progress.all_pairs = reader.expected
            watch(labeling.progress, outputs.tally)
            outcome = await labeling.run(usable(reader, job.inputs))
        outputs.missing.check(job.store)
        if isinstance(outcome.stopped, CriticGone) and not outcome.heard:
            raise outcome.stopped
        if outputs.tally.statuses[Status.INVALID] == outputs.tally.read:
            reason = next(iter(outputs.tally.reasons), "")
            raise InputError(f"none of the {outputs.tally.read} pairs can be labelled; the first: {reason}")
        settled = await outputs.control_length()
        gates = job.gates.judge(outputs.tally)
        biases = find_biases(outputs.tally)
        summary = {
            **_summary(job, outputs.tally, outcome, reader, time.monotonic() - started),
            **_panel(job, outputs.panel, outcome, note),
            "length_control": None if settled is None else settled.record(),
            "gates": [gate.record() for gate in gates],
            "biases": [bias.record() for bias in biases],
        }
        through = outcome.stopped is None and all(gate.passed for gate in gates)
        withheld = outputs.holds and not through
        checked = checks(
            outputs.tally,
            gates,
            outcome.stopped,
            job.max_failed,
            go_on=f"{'No label was let through' if withheld else 'The output holds what was labelled'}; the same command goes on from there.",
            reasons=f"Each one's reason is in {job.rest}." if job.rest else "--rest FILE keeps each one's reason.",
        )
        remarks = [bias.text for bias in biases]
        suite = Suite(
            "aifeedback label", checked, begun, time.monotonic() - started, _facts(job, outputs.tally), remarks
        )
        await outputs.end(summary, suite, through=through)
        changed = [said for served in outcome.served if (said := served.remark())]
        noticed = [said for each in outcome.noticed for said in each.remarks()]
        for remark in (*outcome.spending.remarks(), *changed, *noticed, *outputs.panel.remarks()):
            note(remark)
        if remark := outputs.softness.remark(job.label_settings.soft):
            note(remark)
        if settled is not None:
            note(settled.remark())
        if BUILTIN in map(name_of, job.everybody):
            note(BUILTIN_NOTE)
    return JobResult(summary, outputs.tally, outcome.stopped, gates, withheld, checked, biases)


def usable(reader: Reader, inputs: Sequence[str]) -> Iterator[list[Pair | Invalid]]:
    """The reader's chunks. Raises InputError at the end of an input without one usable pair."""
    lines, first = 0, None
    usable = False
    for chunk in reader.chunks():
        if not usable:
            lines += len(chunk)
            first = first or next((item for item in chunk if isinstance(item, Invalid)), None)
            usable = any(isinstance(item, Pair) for item in chunk)
        yield chunk
    names = ", ".join("stdin" if path == STDOUT else path for path in inputs)
    if not lines:
        raise InputError(f"{names}: no pairs in it. One JSON object a line is expected.")
    if not usable and first is not None:
        raise InputError(
            f"none of the {lines} lines is a usable pair; this is the first: {first.reason}",
            file=first.file,
            line=first.line,
        )


class _Outputs:
    """The labelled file, the rest and the counts that grow with them."""

    def __init__(self, job: Job, note: Callable[[str], None]) -> None:
        self.tally = Tally(job.critic_name)
        self.panel = Panel([name_of(critic) for critic in job.critics], job.strong_name)
        self.softness = Softness()
        self.missing = Missing()
        self.shaper = Shaper(job.output_settings)
        self._job = job
        self._note = note
        self._ordered = Ordered()
        self._ready = 0
        self._written = 0
        self._meta_shapes: set[int] = set()
        self._warned: set[str] = set()
        self._votes = False
        self._opened: list[Output] = []
        self._held: HeldOutput | None = None
        controls = job.output_settings.length_control != "off"
        self._control = Controlling(job.output_settings, job.label_settings.ask.seed) if controls else None
        try:
            self._labels = self._open(job.output, hold=bool(job.gates) or job.replay)
            self._rest = self._open(job.rest) if job.rest else None
            self._summary = self._open(job.summary) if job.summary else None
            self._junit = self._open(job.junit) if job.junit else None
        except BaseException:
            self.close()
            raise

    def _open(self, path: str, *, hold: bool = False) -> Output:
        output = open_output(path)
        if hold and isinstance(output, PipeOutput):
            output = self._held = HeldOutput(output)
        self._opened.append(output)
        return output

    @property
    def holds(self) -> bool:
        """Whether labels wait for the end before they go out."""
        return self._held is not None

    def emit(self, position: int, label: Label | Invalid) -> None:
        """Take one outcome in."""
        self.tally.add(label)
        self.panel.add(label)
        self.softness.add(label)
        if self._job.replay:
            self.missing.add(position, label)
        if self._control is not None and isinstance(label, Label) and label.status is None:
            self._ordered.put(position, self._control.row(position, label))
        else:
            self._ordered.put(position, self._row(label))

    def _row(self, label: Label | Invalid) -> Row:
        job = self._job
        names = (job.critic_name, job.template.label, job.criteria.name)
        if isinstance(label, Invalid) or label.status is not None:
            data = rest_row(label, *names, job.output_settings) if self._rest else b""
            return Row(data, labelled=False)
        data = labelled_row(label, *names, self.shaper, job.output_settings)
        shape = hash(meta_shape(label.pair.meta)) if job.output_settings.meta == "keep" else 0
        return Row(data, labelled=True, meta_shape=shape, votes=bool(label.pair.votes))

    def prepare(self) -> None:
        """Fix which rows the next `publish` writes: those whose replies are all in by now."""
        self._ready = self._ordered.complete()

    async def publish(self) -> None:
        """Write the prepared rows; a slow reader of a pipe holds up nobody else."""
        while rows := self._ordered.take(self._ready):
            await asyncio.to_thread(self._write if self._control is None else self._control.hold, rows)

    async def control_length(self) -> Settled | None:
        """Write what waited for it, and take the labels back that are dropped; None where nothing had to wait."""
        if self._control is None:
            return None
        settled = await asyncio.to_thread(self._control.settle)
        for rows in self._control.let_through(settled, self._decided):
            await asyncio.to_thread(self._write, rows)
        return settled

    def _decided(self, label: Label) -> Row:
        if label.status is not None:
            self.tally.withdraw(replace(label, status=None))
        return self._row(label)

    def _write(self, rows: Sequence[Row]) -> None:
        labelled = [self._checked(row) for row in rows if row.labelled]
        self._labels.write(labelled)
        if self._rest is not None:
            self._rest.write([row.data for row in rows if not row.labelled])

    def _checked(self, row: Row) -> bytes:
        """A labelled line as it goes out: a loader that has made up its mind about the types must not fail on it."""
        self._meta_shapes.add(row.meta_shape)
        if len(self._meta_shapes) == 2:
            self._warn(
                '"meta" changes its shape within the file, and a loader that infers types may fail on that. --meta text writes it as text, and asks nothing anew.'
            )
            self._meta_shapes.add(0)  # said once
        self._votes = self._votes or (row.votes and self._written < _LOADER_LOOKS_AT)
        data = row.data
        if row.votes and not self._votes:
            self._warn(
                '"votes" begin far into the file, where a loader has taken their list for empty: the output leaves them out ("gold" keeps their majority).'
            )
            data = _without_votes(data)
        self._written += len(data)
        return data

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._note(text)

    async def end(self, summary: Mapping[str, object], suite: Suite, *, through: bool) -> None:
        """Let everything be seen or, where one of the outputs can't be written, nothing.

        Labels that wait before a pipe go out only if they may go `through`.
        """
        if self._summary is not None:
            self._summary.write([orjson.dumps(summary, option=orjson.OPT_INDENT_2)])
        if self._junit is not None:
            self._junit.write([junit([suite])])
        for output in self._opened:
            output.settle()
        try:
            if self._held is not None and through:
                # In a thread: while a reader takes its time, a signal must still be heard.
                await asyncio.to_thread(self._held.release)
        except BrokenPipeError:
            self._finish()  # the reader has seen enough, and the run is complete: so are its files
            raise
        self._finish()

    def _finish(self) -> None:
        for output in self._opened:
            output.finish()
        self._opened.clear()

    def close(self) -> None:
        """Remove what is unfinished."""
        self._ordered.close()
        if self._control is not None:
            self._control.close()
        for output in self._opened:
            output.discard()


def _without_votes(line: bytes) -> bytes:
    record, exact = loads(line)
    assert isinstance(record, dict), "a labelled line is an object"
    record["feedback"]["votes"] = []
    return dumps(record, exact=exact)


@contextlib.contextmanager
def _outputs(job: Job, note: Callable[[str], None]) -> Iterator[_Outputs]:
    outputs = _Outputs(job, note)
    try:
        yield outputs
    finally:
        outputs.close()


def _summary(job: Job, tally: Tally, outcome: Outcome, reader: Reader, seconds: float) -> dict[str, object]:
    counts = outcome.spending
    return {
        **tally.counts(),
        "requests": {"sent": counts.sent, "retried": counts.retried, "from_store": counts.from_store},
        "tokens": {
            "input": counts.input,
            "cached": counts.cached,
            "output": counts.output,
            "reasoning": counts.reasoning,
        },
        "cost_usd": counts.cost_usd,
        "cost_unsure_usd": counts.unsure_usd,
        "seconds": round(seconds, 3),
        **tally.rates(),
        "manifest": _manifest(job, outcome, reader),
    }


def _facts(job: Job, tally: Tally) -> dict[str, str | float | int | bool | None]:
    """What JUnit XML says of a run beside its checks."""
    return {
        "version": __version__,
        "critic": job.critic_name,
        "template": job.template.label,
        "criteria": job.criteria.name,
        **tally.counts(),
    }


def _panel(job: Job, panel: Panel, outcome: Outcome, note: Callable[[str], None]) -> dict[str, object]:
    """What is said of several critics one by one; empty and null where there is but one."""
    if not panel.several:
        return {"critics": [], "critics_alpha": None, "escalation": None}
    alpha = None
    try:
        alpha = krippendorff_alpha(panel.decisions)
    except ImportError:
        note(ADVICE)
    accounts = dict(zip(panel.critics, outcome.spending.accounts, strict=True))
    means = {
        name: None if account.cost_usd is None or not account.replies else usd(account.billed) / account.replies
        for name, account in accounts.items()
    }
    ask = job.label_settings.ask
    return {
        "critics": [
            {**critic.record(), "requests": accounts[name].sent, "cost_usd": accounts[name].cost_usd}
            for name, critic in panel.critics.items()
        ],
        "critics_alpha": alpha,
        "escalation": panel.escalation(len(ask.orders) * ask.samples, means),
    }


def _manifest(job: Job, outcome: Outcome, reader: Reader) -> dict[str, object]:
    ask, reconcile = job.label_settings.ask, job.label_settings.reconcile
    return {
        "version": __version__,
        "critic": job.critic_name,
        "escalate_to": job.strong_name,
        "served_by": sorted({name for served in outcome.served for name in served.names}),
        "template": job.template.label,
        "criteria": job.criteria.name,
        "criteria_text": job.criteria.text,
        "critics": [
            {
                "endpoint": asked.endpoint,
                "model": asked.model,
                "parameters": asked.parameters,
                "price": None if account.price is None else str(account.price),
                "served_by": served.names,
            }
            for asked, account, served in zip(outcome.asked, outcome.spending.accounts, outcome.served, strict=True)
        ],
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
        "inputs": reader.all_hashes(),
    }
