"""Which shape a row is in, by its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aifeedback.exports import axolotl, halos, hh, llamafactory, openai, trl, trl_implicit, trl_kto, trl_reward
from aifeedback.exports.format import Preference, Thumb
from aifeedback.exports.row import read_row

Read = Callable[[Mapping[str, object]], Preference | Thumb]


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape that files come in: what it is called, the formats that write it, and how a row of it is read."""

    said: str
    formats: tuple[str, ...]
    read: Read

    @property
    def title(self) -> str:
        """What it is called, with its formats."""
        return f"{self.said} ({', '.join(self.formats)})"


def _ours(record: Mapping[str, object]) -> Preference:
    row = read_row(record)
    return Preference(row.prompt, row.chosen, row.rejected)


_LABELLED = Shape("aifeedback's labels, explicit prompt", ("trl",), _ours)
_TABLE = Shape("a typed table, explicit prompt", ("parquet", "hub"), trl.FORMAT.read)
_HH = Shape("HH transcripts", ("hh",), hh.FORMAT.read)
_EXPLICIT = Shape("TRL's preference pairs, explicit prompt", ("trl",), trl.FORMAT.read)
_MARGIN = Shape("preference pairs with a margin, explicit prompt", ("trl-reward", "openrlhf"), trl_reward.FORMAT.read)
_IMPLICIT = Shape("TRL's preference pairs, implicit prompt", ("trl-implicit",), trl_implicit.FORMAT.read)
_KTO = Shape("TRL's unpaired preference", ("trl-kto",), trl_kto.FORMAT.read)
_OPENAI = Shape("preference fine-tuning at OpenAI, Together, Fireworks", ("openai",), openai.FORMAT.read)
_HALOS = Shape("HALOs' pairwise feedback", ("halos",), halos.FORMAT.read)
_AXOLOTL = Shape("Axolotl's chat_template.default", ("axolotl",), axolotl.FORMAT.read)
_LLAMAFACTORY = Shape("LLaMA-Factory's ShareGPT ranking", ("llamafactory",), llamafactory.FORMAT.read)

_BY_FIELD = (
    ("feedback", _LABELLED),
    ("output_A", _HALOS),
    ("preferred_output", _OPENAI),
    ("non_preferred_output", _OPENAI),
    ("conversations", _LLAMAFACTORY),
    ("messages", _AXOLOTL),
    ("completion", _KTO),
    ("margin", _MARGIN),
)


def recognise(record: Mapping[str, object]) -> Shape | None:
    """The shape of a row; None where it is none that trainers read."""
    if not {"chosen", "rejected", "completion", "output_A", "preferred_output", "non_preferred_output"} & record.keys():
        return None
    for field, shape in _BY_FIELD:
        if field in record:
            return shape
    if {"id", "preference", "prompt"} <= record.keys():
        return _TABLE
    if record.get("prompt") is not None:
        return _EXPLICIT
    texts = (record.get("chosen"), record.get("rejected"))
    if any(isinstance(text, str) and text.startswith("\n\nHuman:") for text in texts):
        return _HH
    return _IMPLICIT
