"""Why an endpoint can't be used, and what to do about it."""

from __future__ import annotations

import re

from aifeedback.doctor.answers import Answer
from aifeedback.doctor.findings import Cause
from aifeedback.errors import Busy, CriticGone, GiveUp, SettingsError

_MISHAPS = (
    ("dns", r"the host is unknown", "Check how the host is spelt in --base-url, and the network"),
    ("proxy", r"the proxy", "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or name the host in NO_PROXY"),
    ("refused", r"nobody answers", "Is the server running, and on this port? Another address is named with --base-url"),
    ("tls", r"TLS failed|certificate|no TLS is spoken|speaks TLS|begin with https", ""),
    ("timeout", r"no answer within", "Give it longer with --timeout, or look at what keeps the server busy"),
    ("quota", r"the quota is used up", ""),
    ("key", r"refuses the credentials", ""),
    ("model", r"knows no such model or address", ""),
)  # fmt: skip
"""Words that our own messages begin with or hold, and what to do where they don't say it themselves."""


def cause_of(answer: Answer, key_note: str) -> Cause:
    """Why the plainest of requests had no usable answer; `key_note` says which key was sent."""
    error, said = answer.error, answer.cause
    if 300 <= answer.status < 400:
        return Cause(
            "redirect",
            f"the address redirects elsewhere ({answer.status}), and requests are not redirected",
            "Name the right address with --base-url",
        )
    for kind, words, advice in _MISHAPS:
        if not isinstance(error, GiveUp) and re.search(words, said):
            return Cause(kind, said, advice or _about(key_note) * (kind == "key"))
    if isinstance(error, Busy):
        return Cause("busy", f"it turned the same request away twice ({said})", "Ask again later")
    if isinstance(error, GiveUp):
        return Cause("request", said, "A field of --extra-body may be what it dislikes; or it speaks another API")
    if isinstance(error, CriticGone | SettingsError):
        return Cause("settings", said)
    if answer.status == 200:
        return Cause(
            "no_chat_api",
            f"what answers there is no chat API: {said}",
            "Check --base-url; a login page may be in the way",
        )
    if answer.status >= 500:
        return Cause("server", f"the server fails ({said})", "Look at its own log")
    return Cause("lost", said, "Check --base-url, and what stands between here and there")


def _about(key_note: str) -> str:
    note = key_note[:1].upper() + key_note[1:]
    return note if key_note.startswith("no key") else f"{note} was sent"
