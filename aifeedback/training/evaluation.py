"""Held-out figures as means over rows, whatever the batch size and however many processes share the rows.

TRL takes the mean of its batches' means: a short last batch counts as much as a full one, and a row that a sampler
repeats, so that every process has one, counts twice. Here each process sees its share of the rows, alone; what its
batches say is weighed by what they hold, and added up over all processes at the end.

    DPO   the mean over pairs
    SFT   the mean over the answers' tokens, as in training
    KTO   the mean over answers, with one KL term: that of all held-out rows, not of a batch
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aifeedback.training.noting import noted, summed
from aifeedback.training.settings import Kind

if TYPE_CHECKING:
    from torch import Tensor


def shares(rows: int, most: int, processes: int, rank: int) -> list[tuple[list[int], int]]:
    """The batches of one process out of several: the numbers of their rows, and how many of these count.

    All processes have as many batches, since they compute in step; a batch has at most `most` rows and at least one.
    A row is in one batch that counts. Where there are fewer rows than batches, the last ones repeat a row for nothing.
    """
    steps = math.ceil(rows / (most * processes))
    batches = steps * processes
    bounds = [number * rows // batches for number in range(batches + 1)]
    found = []
    for number in range(rank, batches, processes):
        own = list(range(bounds[number], bounds[number + 1]))
        found.append((own or [0], len(own)))
    return found


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """What a KTO evaluation needs of a row, in nats: log-probability of the answer, its log-ratio, that of the KL pair."""

    up: bool
    logp: float
    ratio: float
    kl: float


@dataclass(slots=True)
class _Figures:
    """What the batches of one process said: by name the weighted sum and the weight; with KTO each row."""

    sums: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    rows: list[JudgedRow] = field(default_factory=list[JudgedRow])

    def add(self, name: str, value: float, weight: float) -> None:
        if weight:
            self.sums[name][0] += value * weight
            self.sums[name][1] += weight

    def plain(self) -> tuple[dict[str, tuple[float, float]], list[JudgedRow]]:
        """The same as values that another process can be sent."""
        return {name: (total, weight) for name, (total, weight) in self.sums.items()}, self.rows


def means(parts: Sequence[Mapping[str, tuple[float, float]]]) -> dict[str, float]:
    """The weighted means over all processes."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: math.fsum(part[name][0] for part in parts if name in part)
        / math.fsum(part[name][1] for part in parts if name in part)
        for name in names
    }


def kto_figures(
    rows: Sequence[JudgedRow], *, loss: str, beta: float, weights: tuple[float, float], kl: bool
) -> dict[str, float]:
    """Held-out figures of KTO under TRL's names. `weights`: of thumbs up and down; `kl`: whether the loss has the term.

    Ethayarajh et al. 2024 (arXiv:2402.01306), Eq. 7, and D'Oosterlinck et al. 2024 (arXiv:2408.06266) without pairs.
    """
    term = max(0.0, math.fsum(row.kl for row in rows) / len(rows)) if kl else 0.0
    losses = []
    for row in rows:
        distance = row.ratio - (0.0 if loss == "apo_zero_unpaired" else term)
        losses.append(weights[0] * _sigmoid(-beta * distance) if row.up else weights[1] * _sigmoid(beta * distance))
    found = {"loss": math.fsum(losses) / len(rows), "kl": term}
    for name, up in (("chosen", True), ("rejected", False)):
        if side := [row for row in rows if row.up == up]:
            found[f"rewards/{name}"] = beta * math.fsum(row.ratio for row in side) / len(side)
            found[f"logps/{name}"] = math.fsum(row.logp for row in side) / len(side)
    if "rewards/chosen" in found and "rewards/rejected" in found:
        found["rewards/margins"] = found["rewards/chosen"] - found["rewards/rejected"]
    return found


def _sigmoid(x: float) -> float:
    return 0.0 if x < -700 else 1 / (1 + math.exp(-x))


def by_rows(base: type[Any], kind: Kind) -> type[Any]:
    """`base` (a trainer of TRL's) with held-out figures by rows. How it trains stays TRL's own."""
    from torch.utils.data import DataLoader

    class ByRows(base):  # type: ignore[misc] # mypy does not read trl
        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:  # noqa: ANN401
            theirs = super().get_eval_dataloader(eval_dataset)
            mine = shares(len(theirs.dataset), self.args.eval_batch_size, self.args.world_size, self.args.process_index)
            self._counts = [count for _, count in mine]
            return DataLoader(
                theirs.dataset,
                batch_sampler=[rows for rows, _ in mine],
                collate_fn=theirs.collate_fn,
                num_workers=self.args.dataloader_num_workers,
                pin_memory=theirs.pin_memory,
            )

        def evaluation_loop(
            self,
            dataloader: Any,  # noqa: ANN401
            description: str,
            prediction_loss_only: bool | None = None,  # noqa: FBT001 - transformers' own signature
            ignore_keys: list[str] | None = None,
            metric_key_prefix: str = "eval",
        ) -> Any:  # noqa: ANN401
            from accelerate.utils import gather_object

            self._figures, self._left = _Figures(), iter(self._counts)
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
            parts = gather_object([self._figures.plain()])
            figures = means([sums for sums, _ in parts])
            if kind == "kto":
                figures |= self._of_thumbs([row for _, rows in parts for row in rows], figures.get("aux_loss"))
            output.metrics[f"{metric_key_prefix}_loss"] = figures.pop("loss")
            self._metrics["eval"] = defaultdict(list, {name: [value] for name, value in figures.items()})
            return output

        def prediction_step(
            self,
            model: Any,  # noqa: ANN401
            inputs: dict[str, Tensor],
            prediction_loss_only: bool,  # noqa: FBT001 - transformers' own signature
            ignore_keys: list[str] | None = None,
        ) -> Any:  # noqa: ANN401
            counts = next(self._left)
            self._metrics["eval"].clear()
            with _alone(self.accelerator), noted(self) if kind == "kto" else _nothing() as passes:
                found = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
            if counts:
                weights = _weights(kind, inputs)
                self._figures.add("loss", float(found[0]), weights[""])
                for name, values in self._metrics["eval"].items():
                    self._figures.add(name, float(values[-1]), weights.get(name, weights[""]))
                if kind == "kto":
                    self._figures.rows += _judged(inputs, passes, kl=self.calculate_KL)
            return found

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            figures = self._metrics["train" if self.model.training else "eval"]
            margins, accuracies = figures.get("rewards/margins"), figures.get("rewards/accuracies")
            if margins and accuracies:
                figures["rewards/accuracies"] = [
                    settled(accuracy, margin) for accuracy, margin in zip(accuracies, margins, strict=True)
                ]
            super().log(logs, start_time)

        def _of_thumbs(self, rows: Sequence[JudgedRow], aux_loss: float | None) -> dict[str, float]:
            found = kto_figures(
                rows,
                loss=self.loss_type,
                beta=self.beta,
                weights=(self.desirable_weight, self.undesirable_weight),
                kl=self.calculate_KL,
            )
            if aux_loss is not None:
                found["loss"] += self.router_aux_loss_coef * aux_loss
            return found

    return _with_kl_of_all(ByRows) if kind == "kto" else ByRows


def settled(accuracy: float, margin: float) -> float:
    """The share of pairs with the margin above 0; a half where all margins are 0, as before the first step.

    No margin above 0 and a mean of 0 leave no margin below it either: nothing is preferred yet, and nothing is wrong.
    """
    return 0.5 if accuracy == 0 and margin == 0 else accuracy


def _with_kl_of_all(base: type[Any]) -> type[Any]:
    """TRL's KTO pairs prompts with other rows' answers within a device's batch, to estimate the KL term.

    Here it does so within a step of all processes, so that several train as one; of what is held out, within all of it.
    """

    class WithKlOfAll(base):  # type: ignore[misc] # a class that is made here
        def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:  # noqa: ANN401
            wider = copy(args)
            wider.per_device_train_batch_size = (
                args.per_device_train_batch_size * args.world_size if dataset_name == "train" else len(dataset)
            )
            return super()._prepare_dataset(dataset, processing_class, wider, dataset_name)

    return WithKlOfAll


def _weights(kind: Kind, inputs: Mapping[str, Tensor]) -> dict[str, float]:
    """What a batch weighs in the mean of each figure, by TRL's names; `""` for all that are not named."""
    if kind == "sft":
        return {"": float((inputs["labels"][:, 1:] != -100).sum())}
    mask = inputs["completion_mask"][:, 1:]
    if kind == "kto":
        up = inputs["label"].bool()
        chosen, rejected = mask[up], mask[~up]
    else:
        chosen, rejected = mask.chunk(2)
    tokens = {"chosen": float(chosen.sum()), "rejected": float(rejected.sum())}
    return {
        "": float(len(mask) if kind == "kto" else len(chosen)),
        "entropy": tokens["chosen"] + tokens["rejected"],
        "mean_token_accuracy": tokens["chosen"],
        "logits/chosen": tokens["chosen"],
        "logits/rejected": tokens["rejected"],
    }


def _judged(inputs: Mapping[str, Tensor], passes: Sequence[Tensor], *, kl: bool) -> list[JudgedRow]:
    """Each row of a KTO batch. The passes: with a KL term one for its pairs before each one for the answers."""
    mask = inputs["completion_mask"]
    policy = summed(passes[int(kl)], mask)
    reference = inputs["ref_logps"].to(policy) if "ref_logps" in inputs else summed(passes[2 * int(kl) + 1], mask)
    divergence = policy.new_zeros(len(policy))
    if kl:
        other = inputs["KL_completion_mask"]
        behind = inputs["ref_KL_logps"].to(policy) if "ref_KL_logps" in inputs else summed(passes[2], other)
        divergence = summed(passes[0], other) - behind
    columns = (inputs["label"].bool(), policy.double(), (policy - reference).double(), divergence.double())
    return [JudgedRow(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


@contextmanager
def _alone(accelerator: Any) -> Iterator[None]:  # noqa: ANN401 - accelerate's
    """Let what TRL gathers be this process's own: over several it needs batches of one size in all of them."""
    accelerator.gather = accelerator.gather_for_metrics = lambda value, *_, **__: value
    try:
        yield
    finally:
        del accelerator.gather, accelerator.gather_for_metrics


@contextmanager
def _nothing() -> Iterator[list[Tensor]]:
    yield []
