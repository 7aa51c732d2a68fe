"""Writes docs/commands.md from what each command says to --help; `--check` only says whether it is current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).with_name("commands.md")
COMMANDS = (
    "",
    "label",
    "evaluate",
    "doctor",
    "report",
    "export",
    "prompts",
    "prompts list",
    "prompts show",
    "prompts check",
    "store",
    "store stats",
    "store explain",
    "store prune",
    "train",
    "train dpo",
    "train sft",
    "train kto",
)


def help_of(command: str) -> str:
    """What `aifeedback COMMAND --help` prints, at 100 columns whatever the terminal."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIFEEDBACK_")}
    environment |= {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "aifeedback", *command.split(), "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return re.sub(r"[ \t]+$", "", done.stdout, flags=re.MULTILINE).strip()


def page() -> str:
    """The whole page."""
    head = "# Commands\n\nWritten by `make docs` from each command's `--help`; a test keeps it current.\n"
    sections = [f"\n## `{f'aifeedback {command}'.strip()}`\n\n```\n{help_of(command)}\n```\n" for command in COMMANDS]
    return head + "".join(sections)


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else "docs/commands.md is stale. Run make docs.")
    TARGET.write_text(text, encoding="utf-8")
