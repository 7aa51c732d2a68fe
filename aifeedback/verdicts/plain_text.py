"""A text without the dress that hides a verdict: Markdown emphasis, escapes, full-width and invisible characters."""

from __future__ import annotations

# A table and not Unicode normalization, which takes quadratic time over a long run of combining marks.
_PLAIN: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "*`\\")),
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad")),
    **dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"), " "),
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    ord("【"): "[",
    ord("】"): "]",
    ord("⟦"): "[[",
    ord("⟧"): "]]",
    ord("〚"): "[[",
    ord("〛"): "]]",
}


def plain_text(text: str) -> str:
    """`text` with emphasis, backslashes and invisible characters left out and wide characters made narrow."""
    return text.translate(_PLAIN)


def dressed_place(text: str, index: int) -> int:
    """Where in `text` the character comes from that stands at `index` of `plain_text(text)`, counted from the end."""
    left = len(plain_text(text)) - index
    for place in range(len(text) - 1, -1, -1):
        left -= len(plain_text(text[place]))
        if left <= 0:
            return place
    raise IndexError(index)
