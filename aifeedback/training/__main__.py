"""`python -m aifeedback.training dpo …`: what a launcher of several processes starts (accelerate launch -m, torchrun -m)."""

from __future__ import annotations

import sys

from aifeedback.cli.main import main

sys.argv.insert(1, "train")
main()
