"""Thinking that a reply carries in its text, told apart from what the critic says in the end."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAMES = r"(?:seed:)?(?:think|thinking|thought|thoughts|reasoning)"
_MARK = re.compile(
    rf"<\s{{0,3}}(?P<close>/?)\s{{0,3}}{_NAMES}(?:\s[^<>]{{0,200}}|/)?>"
    rf"|◁(?P<close2>/?){_NAMES}▷"
    r"|\[(?P<close3>/?)THINK\]"
    r"|<\|(?:begin|(?P<close4>end))_of_thought\|>",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|channel\|>\s{0,9}(\w*)[^<]{0,200}(?:<\|constrain\|>[^<]{0,50})?<\|message\|>", re.IGNORECASE)
_TURN_END = re.compile(r"<\|(?:end|return|call|start)\|>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What remains without the thinking. `thought`: there was some; `unclosed`: it had no end.

    `slices`: from where to where in the whole text each part of it stood; empty where it is the whole.
    """

    text: str
    thought: bool = False
    unclosed: bool = False
    slices: tuple[tuple[int, int], ...] = ()


def without_thinking(text: str) -> Spoken:
    """`text` without its think blocks: several, nested, with attributes, or with the closing tag alone.

    What stands before a closing tag that nobody opened is thinking; so is all that follows an opening tag that nobody
    closes.
    """
    if "<|channel|>" in text:
        return _final_channel(text)
    if "<" not in text and "◁" not in text and "[" not in text:
        return Spoken(text)
    kept: list[tuple[int, int]] = []
    depth, start, thought = 0, 0, False
    for mark in _MARK.finditer(text):
        thought = True
        if mark[0].endswith("/>"):
            if depth == 0:
                kept.append((start, mark.start()))
        elif any(mark.groups()):
            if depth == 0:
                kept.clear()
            depth = max(0, depth - 1)
        elif depth == 0:
            kept.append((start, mark.start()))
            depth = 1
        elif text[start : mark.start()].strip():
            # A tag that follows another at once was put there by the chat template: both open one block.
            depth += 1
        start = mark.end()
    if depth == 0:
        kept.append((start, len(text)))
    said = "".join([text[begin:end] for begin, end in kept])
    return Spoken(said, thought, unclosed=depth > 0, slices=tuple(kept) if thought else ())


def _final_channel(text: str) -> Spoken:
    """The last `final` message of a text in channels (gpt-oss); all other channels are thinking."""
    last = None
    for channel in _CHANNEL.finditer(text):
        last = channel
    if last is None or last[1].casefold() != "final":
        return Spoken("", thought=True, unclosed=True)
    turn_end = _TURN_END.search(text, last.end())
    start, end = last.end(), turn_end.start() if turn_end else len(text)
    return Spoken(text[start:end], thought=True, slices=((start, end),))
