"""All formats that labels can be exported to, by name."""

from __future__ import annotations

from aifeedback.exports import (
    axolotl,
    halos,
    hh,
    llamafactory,
    openai,
    openrlhf,
    table,
    trl,
    trl_implicit,
    trl_kto,
    trl_reward,
)
from aifeedback.exports.format import Format

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        trl.FORMAT,
        trl_implicit.FORMAT,
        trl_kto.FORMAT,
        trl_reward.FORMAT,
        openai.FORMAT,
        axolotl.FORMAT,
        llamafactory.FORMAT,
        openrlhf.FORMAT,
        halos.FORMAT,
        hh.FORMAT,
        table.PARQUET,
        table.HUB,
    )
}
