"""What a critic's reply amounts to: P(the response shown first is better), or a status and why."""

from aifeedback.verdicts.reading import read_verdict
from aifeedback.verdicts.soft import can_be_soft, soften
from aifeedback.verdicts.writing import write_answer

__all__ = ["can_be_soft", "read_verdict", "soften", "write_answer"]
