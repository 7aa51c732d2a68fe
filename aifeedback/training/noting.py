"""The log-probabilities that TRL computes, noted on their way: it hands out a batch's loss, not what each row got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class noted:  # noqa: N801 - used like a function
    """Notes each forward pass's per-token log-probabilities, in nats, in the order of the passes.

    Shape of each: (rows, tokens), zero where a token is not of an answer. The model's come before the reference's.
    """

    def __init__(self, trainer: Any) -> None:  # noqa: ANN401 - a trainer of TRL's
        unwrap = trainer.accelerator.unwrap_model
        models = [trainer.model] if trainer.ref_model is None else [trainer.model, trainer.ref_model]
        self._models = [unwrap(model) for model in models]
        self._noted: list[Tensor] = []

    def __enter__(self) -> list[Tensor]:
        self._hooks = [model.register_forward_hook(self._note) for model in self._models]
        return self._noted

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, _module: nn.Module, _inputs: object, outputs: object) -> None:
        log_probs = getattr(outputs, "log_probs", None)
        if log_probs is None:
            raise RuntimeError("this version of TRL keeps its log-probabilities elsewhere. Install trl 1.16.")
        self._noted.append(log_probs)


def summed(per_token: Tensor, mask: Tensor) -> Tensor:
    """Log-probability of each row's answer in nats, shape (rows,). `mask`: the batch's mask of answer tokens."""
    return per_token[:, -(mask.size(1) - 1) :].sum(dim=1)
