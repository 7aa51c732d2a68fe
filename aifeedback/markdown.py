"""Markdown in pieces: tables, lists and words of others that can't become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_LONGEST = 400
_ZERO_WIDTH = "\u200b"


def code(text: str, most: int = _LONGEST) -> str:
    """Somebody else's words on one line, as a code span: nothing in them is a link, a mention, HTML or markup."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(plain) > most:
        plain = plain[: most - 1].rstrip() + "…"
    if not plain:
        return ""
    longest = max(map(len, re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    inside = f" {plain} " if plain[0] == "`" or plain[-1] == "`" else plain
    return f"{fence}{inside}{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table of Markdown cells; the last `numbers` columns are set to the right. `""` without a row."""
    lines = [_row(row) for row in rows]
    if not lines:
        return ""
    ruler = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    return "\n".join([_row(head), f"|{'|'.join(ruler)}|", *lines])


def bullets(items: Iterable[str]) -> str:
    """A list of Markdown lines."""
    return "\n".join(f"- {item}" for item in items)


def page(*pieces: str) -> str:
    """Pieces below each other; the empty ones are left out."""
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def percent(share: float) -> str:
    """A share, as people read it."""
    return f"{100 * share:.1f}%"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    # Readers differ in whether a backslash before an escaped bar takes the escape away: so none stands there.
    return text.replace("\\|", f"\\{_ZERO_WIDTH}|").replace("|", "\\|")
