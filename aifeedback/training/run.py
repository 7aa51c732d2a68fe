"""One training run, from its data to a model that can be loaded."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aifeedback.errors import InputError, StopRun
from aifeedback.jsontext import dumps, loads
from aifeedback.records import Content
from aifeedback.training import card, checkpoints, hardware, page, record, result
from aifeedback.training.checkpoints import Checkpoint, Earlier
from aifeedback.training.claiming import one_at_a_time
from aifeedback.training.fingerprint import fingerprint
from aifeedback.training.interleaving import weights
from aifeedback.training.limits import first_line, while_training
from aifeedback.training.preparing import Prepared, prepare
from aifeedback.training.progress import Ended, Progress, callback, listening
from aifeedback.training.quiet import quiet
from aifeedback.training.settings import TrainSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer

    from aifeedback.training.account import Account
    from aifeedback.training.examples import Example
    from aifeedback.training.hardware import Hardware
    from aifeedback.training.samples import Answer

Watch = Callable[[Callable[[], str], Callable[[], Mapping[str, object]]], AbstractContextManager[None]]

_ASKED, _MOST_TOKENS, _ROOM = 10, 256, 1.5


def _silent(_text: str) -> None:
    """Say nothing: of several processes the first one speaks."""


def _unwatched(_line: Callable[[], str], _figures: Callable[[], Mapping[str, object]]) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended: after `step` steps, by `signal` (0: by itself). `facts` are for a person to read.

    `final`: why it can't be gone on with where it was interrupted, "" where it can.
    """

    step: int
    signal: int = 0
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    final: str = ""


@one_at_a_time
def train(
    settings: TrainSettings,
    *,
    note: Callable[[str], None] = _silent,
    say: Callable[[str], None] = _silent,
    watch: Watch = _unwatched,
    verbose: bool = False,
) -> TrainResult:
    """Train, and leave the model and its report in `settings.output`. Every process of several has to call it.

    `note` and `say` are given lines for a person, `watch` is entered while training goes on.
    Raises SettingsError, InputError (before the first step), OutputError, and StopRun where training can't go on.
    """
    if hardware.rank():
        note, say = _silent, _silent
    prepared = prepare(settings, note=note)
    for finding in prepared.data.findings.all:
        say(finding.line())
    prepared.refuse()
    with quiet(telemetry=settings.telemetry, verbose=verbose):
        return _Run(prepared, note, say, watch).go()


class _Run:
    """The part of a run that has tensors in it."""

    def __init__(
        self, prepared: Prepared, note: Callable[[str], None], say: Callable[[str], None], watch: Watch
    ) -> None:
        self._prepared, self._settings = prepared, prepared.settings
        self._note, self._say, self._watch = note, say, watch
        self._output = Path(self._settings.output)
        self._fingerprint = fingerprint(
            prepared.settings, prepared.model, labels=prepared.data.sha256, processes=hardware.processes()
        )
        self._progress, self._ended = Progress(), Ended()

    def go(self) -> TrainResult:
        """Train, look at the answers, save, and write down all of it."""
        earlier = Earlier.of(self._output) if self._settings.resume else None
        start = checkpoints.last(self._output) if earlier else None
        if earlier and (earlier.finished or start):
            earlier.check(self._fingerprint)
        if earlier and earlier.finished:
            self._note(f"{self._output} holds the finished run already: nothing is left to do.")
            return TrainResult(0, facts={"model": str(self._output)})
        if self._settings.resume:
            self._note(f"going on from {start.folder}." if start else "no checkpoint yet, so this run begins anew.")
        found, trainer, tokenizer = self._build(start)
        account = self._begin(found, trainer, tokenizer, start, earlier.started if earlier and start else "")
        with while_training("" if self._settings.why_final else "--resume goes on from the last checkpoint."):
            return self._train(trainer, tokenizer, account)

    def _train(self, trainer: Trainer, tokenizer: PreTrainedTokenizerBase, account: Account) -> TrainResult:
        self._loop(trainer, account.start)
        self._ended.see_weights(trainer.model, trainer.state.global_step)
        self._refuse_spoiled()
        if self._ended.signal:
            self._write(account)
            return TrainResult(trainer.state.global_step, self._ended.signal, final=self._settings.why_final)
        self._evaluate(trainer)
        self._refuse_spoiled()
        # Without the answers from before there is nothing to hold those from after against.
        account.after = self._answers(account.asked, trainer, tokenizer) if account.before else []
        account.result_files = result.save(trainer, self._settings, self._output)
        account.finished = True
        for warning in account.warnings():
            self._say(f"Warning: {warning}")
        self._write(account)
        return TrainResult(trainer.state.global_step, facts=self._facts(account))

    def _loop(self, trainer: Trainer, start: Checkpoint | None) -> None:
        if start is not None and start.is_last:
            # The trainer looks whether it is done after a step, so of a run that is it would take one too many. All
            # else about going on is wanted: what it loads, and how it chooses the best model at the end.
            trainer._run_epoch = lambda **_: None  # noqa: SLF001
        with listening(self._ended), self._watch(self._progress.line, lambda: dataclasses.asdict(self._progress)):
            trainer.train(resume_from_checkpoint=str(start.folder) if start else None)
        self._ended.agree()

    def _build(self, start: Checkpoint | None) -> tuple[Hardware, Trainer, PreTrainedTokenizerBase]:
        from aifeedback.training.arguments import trainer_arguments
        from aifeedback.training.trainers import build, padded_tokenizer

        settings, parts, files = self._settings, self._prepared.parts, self._prepared.model
        found = hardware.look(
            four_bit=settings.four_bit, use_cpu=settings.chosen.get("use_cpu") is True, note=self._note
        )
        arguments = trainer_arguments(
            settings,
            found,
            rows=len(parts.train),
            held_out=len(parts.held_out),
            max_length=self._prepared.max_length,
            resuming=start is not None,
            thumbs=weights(parts.train),
        )
        tokenizer = padded_tokenizer(files, trust_remote_code=settings.trusts_code)
        trainer = build(settings, arguments, parts.train, parts.held_out, tokenizer, files)
        if not settings.chosen.get("packing"):  # which makes one row of many
            _see_all_rows(trainer, parts.train, parts.held_out)
        return found, trainer, tokenizer

    def _begin(
        self,
        found: Hardware,
        trainer: Trainer,
        tokenizer: PreTrainedTokenizerBase,
        start: Checkpoint | None,
        started: str,
    ) -> Account:
        """Ask the model before it learns, and leave in the folder whose run this is."""
        from aifeedback.training.account import Account

        first = trainer.is_world_process_zero()
        if start is None and first:
            checkpoints.clear(self._output)
        trainer.accelerator.wait_for_everyone()
        asked = self._asked(tokenizer)
        before = self._before() if start else self._answers(asked, trainer, tokenizer)
        if len(before) != len(asked):
            before = []
        elif start is None and first:
            kept = dumps([dataclasses.asdict(answer) for answer in before]).decode()
            record.write_whole(kept, self._output / checkpoints.BEFORE)
        account = Account(self._prepared, found, trainer, asked, before, self._fingerprint, started, start)
        trainer.add_callback(callback(self._progress, self._ended, lambda folder: self._mark(folder, account)))
        self._write(account)
        return account

    def _mark(self, folder: Path, account: Account) -> None:
        here = time.monotonic() - self._progress.begun
        checkpoints.mark(folder, seconds=account.seconds, loop_seconds=account.loop_seconds(here))

    @property
    def _most_tokens(self) -> int:
        """The longest answer that is asked for: somewhat more than those in the data, and half of what the model sees."""
        prepared = self._prepared
        room = prepared.lengths.get("chosen") or prepared.lengths.get("completion")
        most = min(_MOST_TOKENS, max(16, round(_ROOM * room.p95))) if room else _MOST_TOKENS
        return most if prepared.model.context is None else max(1, min(most, prepared.model.context // 2))

    def _asked(self, tokenizer: PreTrainedTokenizerBase) -> list[Example]:
        """The first few examples whose prompts differ and leave room for an answer: some models end with their context."""
        from aifeedback.training.samples import fit

        parts, context = self._prepared.parts, self._prepared.model.context
        found: dict[Content, Example] = {}
        for example in parts.held_out or parts.train:
            if example.prompt not in found and fit(
                tokenizer, example.prompt, most_tokens=self._most_tokens, context=context
            ):
                found[example.prompt] = example
            if len(found) == _ASKED:
                break
        return sorted(found.values(), key=lambda example: example.place)

    def _answers(
        self, asked: Sequence[Example], trainer: Trainer, tokenizer: PreTrainedTokenizerBase
    ) -> Sequence[Answer]:
        """Answers of the model as it is now; none where it is spread over several processes, and from all but the first."""
        from aifeedback.training.samples import answers

        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            return []
        if not trainer.is_world_process_zero():
            return []
        model: Any = trainer.accelerator.unwrap_model(trainer.model)
        prompts: list[Content] = [example.prompt for example in asked]
        try:
            return answers(model, tokenizer, prompts, most_tokens=self._most_tokens)
        except Exception as error:  # noqa: BLE001 - whatever a model of any making raises, training is worth more
            self._note(f"the model can't be asked ({first_line(error)}), so the report has no answers of it.")
            return []

    def _before(self) -> Sequence[Answer]:
        """The answers from before training, as the first part of this run wrote them down."""
        from aifeedback.training.samples import Answer

        try:
            value, _ = loads((self._output / checkpoints.BEFORE).read_bytes())
        except (OSError, ValueError):
            return []
        rows = value if isinstance(value, list) else []
        return [Answer(str(row["text"]), bool(row["finished"])) for row in rows if isinstance(row, dict)]

    def _refuse_spoiled(self) -> None:
        """Raise StopRun where the weights are spoiled: such a model is not written."""
        if self._ended.diverged is not None:
            raise StopRun(
                f"the loss is no number any more (step {self._ended.diverged}), so no model was written. Lower --lr, or look for rows that are not like the others."
            )

    def _evaluate(self, trainer: Trainer) -> None:
        """See that the last evaluation is one of the model as it is saved."""
        state = trainer.state
        evaluated = {entry["step"] for entry in state.log_history if "eval_loss" in entry}
        another = trainer.args.load_best_model_at_end and state.best_global_step not in (None, state.global_step)
        if self._prepared.parts.held_out and (another or state.global_step not in evaluated):
            trainer.evaluate()

    def _write(self, account: Account) -> None:
        """Write what is known. That the run is finished is written last: then all of it is there."""
        if not account.trainer.is_world_process_zero():
            return
        told = account.record()
        if account.finished:
            record.write_whole(page.render(told, folder=str(self._output)), self._output / "training.html")
            record.write_whole(card.render(told, folder=str(self._output)), self._output / "README.md")
        record.write(told, self._output / "training.json")
        if account.finished:
            (self._output / checkpoints.BEFORE).unlink(missing_ok=True)

    def _facts(self, account: Account) -> dict[str, str]:
        rows = account.record()["data"]["rows"]
        steps, evaluations = account.history()
        facts = {
            "rows": f"{rows['read']} read: {rows['train']} trained on, {rows['held_out']} held out, {rows['left_out']} left out",
            "steps": str(account.trainer.state.global_step),
        }
        for name in ("loss", "margin", "accuracy"):
            points = evaluations or steps
            first, last = (points[0].get(name), points[-1].get(name)) if points else (None, None)
            if isinstance(first, float) and isinstance(last, float):
                facts[f"{'held-out ' if evaluations else ''}{name}"] = f"{first:.4g} → {last:.4g}"
        kind = (
            "an adapter on " + self._settings.model if self._settings.lora and not self._settings.merge else "weights"
        )
        return facts | {"model": f"{self._output} ({kind})", "report": str(self._output / "training.html")}


def _see_all_rows(trainer: Trainer, train: Sequence[Example], held_out: Sequence[Example]) -> None:
    """See that the trainer took every row it was given. Raises InputError: rows must not vanish unseen."""
    for name, given, dataset in (
        ("training", train, trainer.train_dataset),
        ("held-out", held_out, trainer.eval_dataset),
    ):
        taken: Any = dataset
        if given and len(taken) != len(given):
            raise InputError(
                f"the trainer took {len(taken)} of {len(given)} {name} rows, and does not say why. Raise --max-length."
            )
