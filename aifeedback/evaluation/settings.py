"""What an evaluation was told, beside the labelling job in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aifeedback.errors import SettingsError
from aifeedback.publish import check_distinct


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """`by`: fields of `meta` to group by. `panel`: whether several critics are also judged as one.

    `labels`: finished labels to take instead of asking anybody, `rests` the rests of those whose rest lies elsewhere, in
    their order. `json`, `disagreements` and `junit` are where to write, `""` nowhere.
    """

    by: Sequence[str] = ()
    panel: bool = False
    labels: Sequence[str] = ()
    rests: Sequence[str] = ()
    json: str = ""
    disagreements: str = ""
    junit: str = ""

    def __post_init__(self) -> None:
        if self.panel and self.labels:
            raise SettingsError(
                "--panel is for critics that are asked, and with --labels nobody is. Label with --panel, and evaluate those labels."
            )
        if len(set(self.labels)) < len(self.labels):
            raise SettingsError("--labels names the same file twice. Name each once.")
        if len(self.rests) > len(self.labels):
            raise SettingsError(
                f"--rest is given {len(self.rests)} times and --labels {len(self.labels)} times. A rest belongs to the labels at its place."
            )

    def check_places(self, inputs: Sequence[str], store: str = "") -> None:
        """Raise SettingsError where an output is also an input, or another output."""
        outputs = [("--json", self.json), ("--disagreements", self.disagreements), ("--junit", self.junit)]
        check_distinct([*inputs, *self.labels, *self.rests], [*outputs, ("--store", store)])
