"""Per-pair soft labels in the DPO loss: a critic that is 70% sure teaches less than one that is certain.

With p = P(chosen is better) and z = beta * (log-ratio of chosen - log-ratio of rejected), both in nats:

    DPO   -log sigmoid(z)                                        Rafailov et al. 2023 (arXiv:2305.18290), Eq. 7
    cDPO  -p log sigmoid(z) - (1 - p) log sigmoid(-z)            Mitchell 2023, "A note on DPO with noisy preferences"
    GDPO  -log sigmoid((2p - 1) z)                               Furuta et al. 2024 (arXiv:2409.06691)

cDPO's optimum lies at z = logit(p), GDPO's is DPO's with a smaller step for unsure pairs. At p = 1 all three are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aifeedback.training.noting import noted, summed

if TYPE_CHECKING:
    from torch import Tensor, nn
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    from aifeedback.training.settings import SoftLabels

COLUMN = "preference"


def soft_loss(z: Tensor, p: Tensor, kind: SoftLabels) -> Tensor:
    """The loss of each pair, in nats. Shapes: z, p and the result (batch,)."""
    from torch.nn.functional import logsigmoid

    if kind == "cdpo":
        return -p * logsigmoid(z) - (1 - p) * logsigmoid(-z)
    if kind == "gdpo":
        return -logsigmoid((2 * p - 1) * z)
    return -logsigmoid(z)


def soft_collator(collator: DataCollatorForPreference) -> Any:  # noqa: ANN401 - a class made where torch is there
    """TRL's collator with one tensor more: each pair's preference, shape (batch,)."""
    import torch

    def collate(examples: list[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = collator(examples)
        batch[COLUMN] = torch.tensor([float(example[COLUMN]) for example in examples], dtype=torch.float64)
        return batch

    return collate


def soft_trainer(kind: SoftLabels) -> type[DPOTrainer]:
    """A DPOTrainer whose loss is `kind`'s, pair by pair; its metrics (rewards, margins) stay TRL's own.

    TRL computes everything as for plain DPO. The log-probabilities that it got are noted on the way, and the
    difference between the soft and the plain loss is added: so whatever TRL does about memory, devices and adapters
    holds here too.
    """
    import torch
    from torch.nn.functional import logsigmoid
    from trl import DPOTrainer

    class SoftDPOTrainer(DPOTrainer):  # type: ignore[misc] # mypy does not read trl
        _signature_columns: list[str]

        def _set_signature_columns_if_needed(self) -> None:
            super()._set_signature_columns_if_needed()
            if COLUMN not in self._signature_columns:
                self._signature_columns = [*self._signature_columns, COLUMN]

        def compute_loss(
            self,
            model: nn.Module,
            inputs: dict[str, Tensor],
            return_outputs: bool = False,  # noqa: FBT001, FBT002 - transformers' own signature
            num_items_in_batch: Tensor | None = None,
        ) -> Any:  # noqa: ANN401
            inputs = dict(inputs)
            p = inputs.pop(COLUMN)
            with noted(self) as passes:
                found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            mask = inputs["completion_mask"]
            if "ref_chosen_logps" in inputs:
                reference = torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]])
            else:
                reference = summed(passes[1], mask)
            chosen, rejected = (summed(passes[0], mask) - reference).chunk(2)
            z = self.beta * (chosen - rejected)
            more = (soft_loss(z.double(), p.to(z.device), kind) + logsigmoid(z.double())).mean().to(z.dtype)
            return (found[0] + more, found[1]) if return_outputs else found + more

    return SoftDPOTrainer
