"""What stands out in one critic's replies, for a word at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aifeedback.records import CUT_OFF_ENDINGS, Reply

_MARKS = ("<think", "[THINK]", "◁think", "<|channel|>")


@dataclass(slots=True)
class Noticed:
    """Replies that stayed cut off, and whether any shows the thinking that was asked for; in constant memory.

    `parameters`: what the user asks of this critic. `waits`: thinking was asked for, and none was seen so far.
    """

    critic: str
    parameters: Mapping[str, object]
    cut_off: int = 0
    replies: int = 0
    waits: bool = field(init=False)

    def __post_init__(self) -> None:
        self.waits = self.parameters.get("reasoning_effort", "") not in {"", "none"}

    def broken_off(self, reply: Reply) -> None:
        """Take in a reply that is not complete, and will not be asked for again in this run."""
        self.cut_off += reply.ending in CUT_OFF_ENDINGS

    def look(self, reply: Reply) -> None:
        """Look for thinking in a reply, while `waits`."""
        self.replies += 1
        if reply.reasoning or reply.usage.reasoning or any(mark in reply.content for mark in _MARKS):
            self.waits = False

    def remarks(self) -> list[str]:
        """What is worth telling, once."""
        said = []
        if self.cut_off:
            said.append(f"{self.critic}: {self.cut_off} replies stayed cut off at their length. {self._advice()}")
        if self.waits and self.replies:
            said.append(
                f"{self.critic}: --reasoning-effort {self.parameters['reasoning_effort']} was asked for, and no reply shows any thinking, neither as tokens nor as text. "
                "The JSON mode of some servers switches it off: try --template tags."
            )
        return said

    def _advice(self) -> str:
        own = self.parameters.get("extra_body")
        names = [name for name in ("max_tokens", "max_completion_tokens") if isinstance(own, Mapping) and name in own]
        if names:
            return f"Raise {names[0]} in --extra-body."
        return (
            f"Raise --max-tokens (now {self.parameters.get('max_tokens', 'unknown')}), which asks every question anew."
        )
