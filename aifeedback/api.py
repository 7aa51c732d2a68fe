"""The library's own way in: pairs from anywhere in, labels out, in input order."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from aifeedback.critics import Critic
from aifeedback.endpoints.address import EndpointSettings
from aifeedback.errors import InputError, SettingsError
from aifeedback.forms import to_pairs
from aifeedback.job import Job, run_job
from aifeedback.labeling import Labeling, LabelSettings
from aifeedback.lanes import CriticSettings, LaneSettings, check, name_of, open_lanes
from aifeedback.missing import Missing
from aifeedback.prices import read_price
from aifeedback.prompt_library import find_criteria, find_template, read_examples
from aifeedback.publish import rest_path
from aifeedback.records import Invalid, Label, Order, Pair
from aifeedback.replies import open_store
from aifeedback.settings import (
    AskingSettings,
    AskSettings,
    InputSettings,
    LengthControl,
    OnConflict,
    OutputSettings,
    Panel,
    ReconcileSettings,
    Soft,
    whole_weights,
)

AnyPair = Pair | Mapping[str, object]
Orders = Literal["both", "ab", "ba"]

# Pairs that may be on their way while the caller is busy with a label: enough that one slow answer holds up nobody.
_WINDOW = 8192


@dataclass(frozen=True, slots=True)
class Options:
    """How to label; the names and defaults of the command's flags. `store` None keeps no replies after the run.

    `critic`: PROVIDER/MODEL, `builtin`, any object with a name and an `ask`, or several of these. `store` `""` is the
    command's own default for critics named by text, and none for objects, whose answers their name does not fix.
    `escalate_to`: asked about pairs in doubt, with `on_conflict` `escalate`. `weights`: how much critics count in a panel, by their names; 1 where nothing is said. `replay`: ask nobody, take all replies from the store. `max_cost`: USD. `price`: (input, output) or (input, output, cached) in USD a million tokens.
    """

    critic: str | Critic | Sequence[str | Critic]
    template: str = "pairwise"
    criteria: str = "helpful"
    examples: str = ""
    orders: Orders = "both"
    samples: int = 1
    soft: Soft = "auto"
    temperature: float | None = None
    max_tokens: int = 2048
    reasoning_effort: str = ""
    panel: Panel = "mean"
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    on_conflict: OnConflict = "drop"
    escalate_to: str | Critic | None = None
    min_preference: float = 0.5
    base_url: str = ""
    api_key_env: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    extra_body: Mapping[str, object] = field(default_factory=dict[str, object])
    concurrency: int = 256
    rpm: float = 0.0
    tpm: float = 0.0
    timeout_s: float = 120.0
    retries: int = 8
    patience_s: float | None = None
    max_requests: int = 0
    max_cost: float | None = None
    price: str | Sequence[float] = ""
    limit: int = 0
    length_control: LengthControl = "off"
    seed: int = 0
    store: str | Path | None = ""
    replay: bool = False

    def __post_init__(self) -> None:
        """Raise SettingsError for what is not among the choices."""
        for name, choices in (
            ("orders", ("both", "ab", "ba")),
            ("on_conflict", ("drop", "tie", "soft", "escalate")),
            ("panel", ("mean", "majority")),
            ("soft", ("auto", "logprobs", "samples", "off")),
            ("length_control", ("off", "flag", "drop")),
        ):
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} is {getattr(self, name)!r}, not one of {', '.join(choices)}.")
        if self.concurrency < 1:
            raise SettingsError(f"concurrency is {self.concurrency}, and at least 1 is needed.")

    def critics(self) -> list[CriticSettings | Critic]:
        """Each critic, by settings or as the object that it is. Raises SettingsError where there is none."""
        wanted = (
            [self.critic]
            if isinstance(self.critic, str) or not isinstance(self.critic, Sequence)
            else list(self.critic)
        )
        if not wanted:
            raise SettingsError("critic is empty. Name one, for instance critic='openai/gpt-5-mini'.")
        return [CriticSettings(self._endpoint(critic)) if isinstance(critic, str) else critic for critic in wanted]

    def _weights(self, names: Sequence[str]) -> dict[str, int]:
        for name, weight in self.weights.items():
            if name not in names:
                raise SettingsError(f"weights names {name!r}, which is none of the critics: {', '.join(names)}.")
            if not 0 < weight < math.inf:
                raise SettingsError(f"weights: that of {name} is {weight}, no number above 0.")
        return whole_weights({name: Fraction(str(self.weights.get(name, 1))) for name in names})

    def _endpoint(self, critic: str) -> EndpointSettings:
        return EndpointSettings(critic, self.base_url, self.api_key_env, self.headers, self.query, self.extra_body)

    def job(self, inputs: Sequence[str] = (), output: str = "-") -> Job:
        """The same as the command would do with these flags. Raises SettingsError."""
        orders: dict[str, tuple[Order, ...]] = {"both": (Order.AB, Order.BA), "ab": (Order.AB,), "ba": (Order.BA,)}
        critics = self.critics()
        strong = (
            CriticSettings(self._endpoint(self.escalate_to)) if isinstance(self.escalate_to, str) else self.escalate_to
        )
        by_name = all(critic is None or isinstance(critic, CriticSettings) for critic in (*critics, strong))
        store = self.store if self.store != "" else (".aifeedback/replies.sqlite" if by_name else None)
        ask = AskSettings(
            orders[self.orders], self.samples, self.temperature, self.max_tokens, self.reasoning_effort, self.seed
        )
        return Job(
            inputs=inputs,
            critics=critics,
            template=find_template(self.template),
            criteria=find_criteria(self.criteria),
            examples=read_examples(self.examples) if self.examples else (),
            output=output,
            rest=rest_path(output),
            store=None if store is None else Path(store),
            input_settings=InputSettings(seed=self.seed),
            label_settings=LabelSettings(
                ask=ask,
                reconcile=ReconcileSettings(
                    self.on_conflict,
                    self.min_preference,
                    self.panel,
                    self._weights([name_of(critic) for critic in critics]),
                ),
                asking=AskingSettings(
                    self.retries, self.patience_s, self.max_requests, self.max_cost, read_price(self.price, "price")
                ),
                limit=self.limit,
                soft=self.soft,
            ),
            lane_settings=LaneSettings(self.concurrency, self.rpm, self.tpm, self.timeout_s),
            output_settings=OutputSettings(length_control=self.length_control),
            escalate_to=strong,
            replay=self.replay,
        )

    def streaming_job(self) -> Job:
        """The job where each label goes out by itself. Raises SettingsError."""
        if self.length_control != "off":
            raise SettingsError(
                "length_control looks at all labels together, and label gives each one out by itself. Use label_file."
            )
        return self.job()


def label(pairs: Iterable[AnyPair], **options: Any) -> Iterator[Label | Invalid]:  # noqa: ANN401 - the fields of Options
    """Label `pairs` and give each one's outcome, in input order, as soon as it and those before it are known.

    `pairs`: Pair objects or records in any of the six input forms. `options`: the fields of `Options`, e.g.
    `critic="openai/gpt-5-mini"`. A Label's `status` is None where there is a winner, else it says why there is none; a
    record that is no usable pair comes out as Invalid, whose `winner` is None too, with the reason.

    Raises SettingsError for wrong options; CriticGone or BudgetSpent, after the last outcome, where the run had to
    stop before its time: the pairs that nobody was asked about then have the status `unasked`. In a replay that is
    MissingReplies.
    """
    if isinstance(pairs, str | Path):
        raise SettingsError("pairs is a path. Use label_file(path, output, ...), or read it yourself.")
    chosen = Options(**options)
    chosen.streaming_job()  # wrong options are told here, not at the first label
    return _in_a_thread(pairs, chosen)


async def label_async(pairs: Iterable[AnyPair], **options: Any) -> AsyncGenerator[Label | Invalid, None]:  # noqa: ANN401
    """`label` for use inside an event loop."""
    job = Options(**options).streaming_job()
    check(job.everybody, os.environ, job.label_settings.asking, needs_key=not job.replay)
    missing = Missing()
    outcomes = _Outcomes(missing if job.replay else None)
    with contextlib.closing(open_store(job.store, replay=job.replay)) as store:
        async with open_lanes(
            job.everybody, job.label_settings.ask, job.lane_settings,
            asking=job.label_settings.asking, store=store, environment=os.environ, context=job.context, note=lambda _: None,
            replay=job.replay,
        ) as lanes:  # fmt: skip
            labeling = Labeling(
                job.renderer(), lanes, store, job.label_settings,
                emit=outcomes.emit, prepare=outcomes.prepare, publish=outcomes.publish,
            )  # fmt: skip
            run = asyncio.create_task(labeling.run(outcomes.chunks(pairs, job.input_settings)))
            run.add_done_callback(lambda _: outcomes.end())
            try:
                async for outcome in outcomes.taken():
                    yield outcome
                ended = await run
            finally:
                outcomes.over.set()
                outcomes.room.release()
                run.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await run
    missing.check(job.store)
    if ended.stopped is not None:
        raise ended.stopped


def label_file(inputs: str | Sequence[str], output: str, **options: Any) -> Mapping[str, object]:  # noqa: ANN401
    """What `aifeedback label INPUT... -o OUTPUT` does; gives the summary. `options`: the fields of `Options`.

    Raises InputError, SettingsError, StoreError (MissingReplies in a replay) and OutputError as the command ends with 2, and CriticGone or
    BudgetSpent where the run had to stop before its time; the output then holds what was labelled.
    """
    job = Options(**options).job([inputs] if isinstance(inputs, str) else inputs, output)
    result = asyncio.run(run_job(job, environment=os.environ))
    if result.stopped is not None:
        raise result.stopped
    return result.summary


def evaluate(
    inputs: str | Sequence[str] = (),
    *,
    labels: str | Sequence[str] = (),
    rests: Sequence[str] = (),
    by: Sequence[str] = (),
    **options: Any,  # noqa: ANN401 - the fields of Options
) -> Mapping[str, Any]:
    """What `aifeedback evaluate INPUT... --json -` writes: how far critics agree with people. Needs the extra `evaluate`.

    `options`: the fields of `Options`; several critics are each judged by themselves and, where `panel` is among the
    options, as one, too. With `labels`, finished files of labels (and where they lie elsewhere their `rests`), nobody is
    asked. `by`: fields of `meta`, each of whose values is judged by itself, too.

    Raises what `label_file` raises.
    """
    from aifeedback.evaluation.extra import require

    require()
    from aifeedback.evaluation.running import evaluate_critics, evaluate_labels
    from aifeedback.evaluation.settings import EvaluateSettings

    paths, files = ([each] if isinstance(each, str) else list(each) for each in (inputs, labels))
    settings = EvaluateSettings(by=by, panel="panel" in options, labels=files, rests=rests)
    if files:
        chosen = Options(**({"critic": "builtin"} | options))
        return evaluate_labels(paths, settings, find_template(chosen.template), seed=chosen.seed).report
    job = Options(**options).job(paths)
    evaluated = asyncio.run(evaluate_critics(job, settings, environment=os.environ))
    if evaluated.stopped is not None:
        raise evaluated.stopped
    return evaluated.report


class _Outcomes:
    """Outcomes on their way from the run to the caller, in input order."""

    def __init__(self, missing: Missing | None) -> None:
        self._missing = missing
        self.room = threading.Semaphore(_WINDOW)
        self.over = threading.Event()
        self._arrived: asyncio.Queue[Label | Invalid | None] = asyncio.Queue()
        self._waiting: dict[int, Label | Invalid] = {}
        self._next = 0
        self._ready: list[Label | Invalid] = []

    def chunks(self, pairs: Iterable[AnyPair], settings: InputSettings) -> Iterator[list[Pair | Invalid]]:
        """Read in a thread; waits while too many outcomes have not been taken."""
        for number, pair in enumerate(pairs, start=1):
            for item in _usable(pair, settings, number):
                self.room.acquire()
                if self.over.is_set():
                    return
                yield [item]

    def emit(self, position: int, outcome: Label | Invalid) -> None:
        """Take one outcome in."""
        if self._missing is not None:
            self._missing.add(position, outcome)
        self._waiting[position] = outcome

    def prepare(self) -> None:
        """Fix which outcomes go out next: those whose replies are all in by now."""
        while (outcome := self._waiting.pop(self._next, None)) is not None:
            self._ready.append(outcome)
            self._next += 1

    async def publish(self) -> None:
        """Hand the prepared outcomes out: their replies are in the store."""
        for outcome in self._ready:
            self._arrived.put_nowait(outcome)
        self._ready.clear()

    def end(self) -> None:
        """The run is over."""
        self._arrived.put_nowait(None)

    async def taken(self) -> AsyncGenerator[Label | Invalid, None]:
        """The outcomes as they come."""
        while (outcome := await self._arrived.get()) is not None:
            self.room.release()
            yield outcome


def _usable(pair: AnyPair, settings: InputSettings, number: int) -> list[Pair | Invalid]:
    if isinstance(pair, Pair):
        return [pair]
    try:
        return list(to_pairs(pair, settings, file="", line=number))
    except InputError as error:
        return [Invalid("", number, repr(dict(pair)), Exception.__str__(error))]


def _in_a_thread(pairs: Iterable[AnyPair], options: Options) -> Iterator[Label | Invalid]:
    """Run the event loop beside the caller, whatever loop the caller may be in itself."""
    arrived: queue.SimpleQueue[Label | Invalid | BaseException | None] = queue.SimpleQueue()
    room = threading.Semaphore(_WINDOW)
    stop: list[Callable[[], object]] = []

    async def pump() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "we run inside a task"
        stop.append(lambda: loop.call_soon_threadsafe(task.cancel))
        fields = {name: getattr(options, name) for name in Options.__dataclass_fields__}
        async with contextlib.aclosing(label_async(pairs, **fields)) as labels:
            async for each in labels:
                if not room.acquire(blocking=False):
                    await asyncio.to_thread(room.acquire)
                arrived.put(each)

    def work() -> None:
        try:
            asyncio.run(pump())
        except BaseException as error:  # noqa: BLE001 - it is raised where the labels are wanted
            arrived.put(error)
        else:
            arrived.put(None)

    thread = threading.Thread(target=work, name="aifeedback-labels", daemon=True)
    thread.start()
    try:
        while (item := arrived.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item
    finally:
        with contextlib.suppress(RuntimeError):  # it may have ended by itself
            for each in stop:
                each()
        room.release()
        thread.join(10.0)
