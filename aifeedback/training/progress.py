"""What a run says while it trains, what it keeps at each stop, and how it ends when somebody wants it to."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aifeedback.training import hardware

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainerCallback

# TRL's names for what we call by the field's own words.
_NAMES = {
    "loss": "loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "logps/chosen": "chosen_logp",
    "logps/rejected": "rejected_logp",
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "mean_token_accuracy": "token_accuracy",
    "kl": "kl",
    "entropy": "entropy",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "num_tokens": "tokens",
}


@dataclass(slots=True)
class Progress:
    """How far a run is. `figures` are the last logged ones, by our names; times are in seconds."""

    total: int = 0
    step: int = 0
    begun: float = field(default_factory=time.monotonic)
    begun_at: int = 0
    tokens_begun: float = 0.0
    figures: dict[str, float] = field(default_factory=dict[str, float])
    held_out: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def left_s(self) -> float | None:
        """Time left, as far as it can be told."""
        done = self.step - self.begun_at
        return (time.monotonic() - self.begun) / done * (self.total - self.step) if done else None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens trained on a second since this process began."""
        seconds = time.monotonic() - self.begun
        tokens = self.figures.get("tokens", 0.0) - self.tokens_begun
        return tokens / seconds if seconds > 0 and tokens > 0 else None

    def line(self) -> str:
        """All of it in one line."""
        parts = [f"step {self.step}/{self.total}"]
        if self.left_s is not None:
            parts.append(f"{_time(self.left_s)} left")
        parts += [f"{name} {self.figures[name]:.3g}" for name in ("loss", "margin", "accuracy") if name in self.figures]
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:.0f} tokens/s")
        if "loss" in self.held_out:
            parts.append(f"held-out loss {self.held_out['loss']:.3g}")
        return ", ".join(parts)


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"


def named(logs: Mapping[str, object], prefix: str = "") -> dict[str, float]:
    """The figures of one log entry by our names; what is no figure of ours is left out."""
    found: dict[str, float] = {}
    for theirs, ours in _NAMES.items():
        value = logs.get(prefix + theirs)
        if isinstance(value, int | float):
            found[ours] = float(value)
    return found


@dataclass(slots=True)
class Ended:
    """Why a run ended before its time.

    `signal`: what all processes agreed on that one of them had `received`. `diverged`: the step at which the loss or
    the weights were no numbers any more.
    """

    received: int = 0
    signal: int = 0
    diverged: int | None = None

    def agree(self) -> None:
        """Learn from the others whether one of them was told to stop, so that all stop after the same step."""
        self.signal = hardware.agreed(self.received)

    def see_weights(self, model: nn.Module, step: int) -> None:
        """Look whether what is trained still consists of numbers; every process has to ask.

        They agree on it: a loss of the last steps may be no number in one of them alone.
        """
        import torch

        def local(parameter: Any) -> Any:  # noqa: ANN401 - of a sharded model the part that is here
            return parameter.to_local() if hasattr(parameter, "to_local") else parameter

        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        spoiled = self.diverged is not None or any(
            not bool(torch.isfinite(local(parameter)).all()) for parameter in trained
        )
        if hardware.agreed(int(spoiled)) and self.diverged is None:
            self.diverged = step


@contextmanager
def listening(ended: Ended) -> Iterator[None]:
    """Take SIGINT, SIGTERM and SIGHUP as a wish to stop after this step; the second one ends the process at once.

    Not with several processes: there the terminal and the launcher both pass the first one on, and the launcher
    ends by itself what doesn't.
    """

    def stop(number: int, _frame: object) -> None:
        if ended.received and hardware.processes() == 1:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        ended.received = number

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # nohup: whoever started us wants it ignored
                signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def callback(progress: Progress, ended: Ended, mark: Callable[[Path], None]) -> TrainerCallback:
    """What the trainer calls on its way: it follows the figures, marks whole checkpoints, and stops where it should."""
    from transformers import TrainerCallback

    def keep_nothing_spoiled(control: Any) -> None:  # noqa: ANN401
        if ended.diverged is not None:
            control.should_save = control.should_evaluate = False
            control.should_training_stop = True

    class Following(TrainerCallback):  # type: ignore[misc] # mypy does not read transformers
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            progress.total, progress.step = state.max_steps, state.global_step
            progress.begun, progress.begun_at = time.monotonic(), state.global_step

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            progress.step = state.global_step
            ended.agree()
            if ended.signal:
                control.should_save = control.should_training_stop = True
            keep_nothing_spoiled(control)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            keep_nothing_spoiled(control)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401
            said = logs or {}
            if "loss" in said:
                progress.figures.update(named(said))
            progress.held_out.update(named(said, "eval_"))
            # Steps between two logs are in the mean over all of them, train_loss.
            if any(not math.isfinite(said.get(name, 0.0)) for name in ("loss", "eval_loss", "train_loss")):
                ended.diverged = state.global_step
                keep_nothing_spoiled(control)

        def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ANN401
            # Asking the others also waits until each has written its part of the checkpoint.
            ended.see_weights(model, state.global_step)
            keep_nothing_spoiled(control)
            if ended.diverged is None and state.is_world_process_zero:
                mark(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return Following()
