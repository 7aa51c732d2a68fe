"""What there is to train on, and what follows from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Hardware:
    """The device of this process. `processes` train together, this one as number `rank`; `bf16`: whether it computes in bfloat16."""

    device: Literal["cpu", "cuda", "xpu", "mps"]
    name: str
    processes: int
    rank: int
    bf16: bool
    threads: int

    @property
    def precision(self) -> str:
        """What the forward pass computes in."""
        return "bfloat16" if self.bf16 else "float32"


def rank() -> int:
    """The number of this process among those that train together, as the launcher says; 0 alone."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many processes train together, as the launcher says; 1 alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def agreed(number: int) -> int:
    """The highest of what all processes say, which every one of them has to ask; alone, the number itself."""
    if processes() == 1:
        return number
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        return number
    on_gpu = distributed.get_backend() == "nccl"
    told = torch.tensor(number, device=torch.device("cuda", torch.cuda.current_device()) if on_gpu else "cpu")
    distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
    return int(told)


def look(*, four_bit: bool, use_cpu: bool, note: Callable[[str], None]) -> Hardware:
    """Find the device. Of several GPUs one process takes the first, since a trainer can't use more without a launcher.

    Raises SettingsError where `four_bit` is wanted and there is no GPU for it.
    """
    import torch

    from aifeedback.errors import SettingsError

    count = torch.cuda.device_count()
    if count > 1 and processes() == 1 and not use_cpu:
        # Read when the driver starts, which has not happened yet: counting does not start it.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
        note(
            f"{count} GPUs are here and one process uses one of them. accelerate launch -m aifeedback.training … uses all."
        )
    threads = torch.get_num_threads()
    if not use_cpu and torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        return Hardware(
            "cuda", name, processes(), rank(), torch.cuda.is_bf16_supported(including_emulation=False), threads
        )
    if four_bit:
        raise SettingsError("--4bit needs a CUDA GPU, and none is here. Leave it out.")
    if not use_cpu and hasattr(torch, "xpu") and torch.xpu.is_available():
        return Hardware("xpu", torch.xpu.get_device_name(0), processes(), rank(), bf16=True, threads=threads)
    if not use_cpu and torch.backends.mps.is_available():
        return Hardware("mps", "Apple GPU", processes(), rank(), bf16=False, threads=threads)
    return Hardware("cpu", "CPU", processes(), rank(), bf16=False, threads=threads)
