"""What OpenRLHF reads for DPO and reward models: `prompt`, `chosen`, `rejected`, `margin`."""

from __future__ import annotations

import shlex

from aifeedback.exports.format import Files, Format
from aifeedback.exports.trl_reward import read_with_margin, with_margin


def _paste(files: Files, messages: bool) -> str:  # noqa: FBT001 - as each format is asked
    test = f" --eval.dataset {shlex.quote(files.test)}" if files.test else ""
    template = " --data.apply_chat_template" if messages else ""
    return (
        f"--data.dataset {shlex.quote(files.train)}{test} --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected"
        f"{template}  # train_rm also reads margin with --model.margin_loss_enable; older releases name the flags without data."
    )


FORMAT = Format(
    "openrlhf",
    "OpenRLHF: train_dpo, and train_rm with a margin",
    with_margin,
    read_with_margin,
    _paste,
)
