"""Why an endpoint can't be used, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aifeedback.doctor.answers import Answer
from aifeedback.doctor.findings import Cause, Finding
from aifeedback.doctor.probes import some
from aifeedback.errors import Busy, GiveUp

_MISHAPS = (
    ("dns", r"^the host is unknown", "Check how the host is spelt in --base-url, and the network"),
    ("proxy", r"^the proxy", "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or name the host in NO_PROXY"),
    ("refused", r"^nobody answers", "Is the server running, and on this port? Another address is named with --base-url"),
    ("tls", r"^TLS failed", "Does that port speak TLS? Without it the address begins with http://"),
    ("tls", r"certificate can't be trusted|^no TLS is spoken|speaks TLS|begin with https", ""),
    ("timeout", r"^no answer within", "Give it longer with --timeout, or look at what keeps the server busy"),
    ("quota", r"^the quota is used up", "Top it up"),
    ("model", r"^the endpoint knows no such model", ""),
)  # fmt: skip
"""Our own messages, and what to do where they don't say it themselves."""


def cause_of(answer: Answer, *, shown: str, key_note: str) -> Cause:
    """Why the plainest of requests had no usable answer.

    `shown`: the base URL that it went to. `key_note`: which key was sent with it.
    """
    error, said = answer.error, answer.cause
    what, advice = what_and_advice(said)
    if 300 <= answer.status < 400:
        what = f"the address redirects elsewhere ({answer.status}), and requests are not redirected"
        return Cause("redirect", what, "Name the right address with --base-url")
    if answer.status in {404, 405, 410} and not re.search("model|deployment", answer.said, re.IGNORECASE):
        longer = "" if shown.endswith("/v1") else f" Many servers want /v1 at the end: --base-url {shown}/v1"
        return Cause("address", f"there is no chat API at {shown} ({_said(answer)})", f"Check --base-url.{longer}")
    if "refuses the credentials" in said and not isinstance(error, GiveUp):
        return Cause("key", said.rstrip("."), _about(key_note))
    for kind, words, ours in _MISHAPS:
        if not isinstance(error, GiveUp) and re.search(words, said):
            return Cause(kind, what, ours or advice)
    if isinstance(error, Busy):
        return Cause("busy", f"it turned the same request away twice ({said})", "Ask again later")
    if isinstance(error, GiveUp):
        return Cause("request", said, "A field of --extra-body may be what it dislikes, or it speaks another API")
    if answer.status == 200 and said.startswith("the endpoint's answer"):
        advice = "Check --base-url; a login page or a proxy may stand in the way"
        return Cause("no_chat_api", f"what answers there is no chat API: {said}", advice)
    if answer.status:
        return Cause("server", f"the server fails ({said})", "Look at its own log")
    return Cause("lost", what, advice or "Check --base-url, and what stands between here and there")


def sharpened(cause: Cause, model: Finding, listed: Sequence[str], *, models_status: int, key_note: str) -> Cause:
    """The cause with what the list of models says about it: `model` is what became of the model there.

    Some servers say "bad request" to a wrong key (LiteLLM without a database), and fail where a model is unknown.
    """
    if cause.kind == "request" and models_status in {400, 401, 403}:
        what = f"{cause.what}; it refuses a list of its models, too, so the key may be wrong"
        return Cause("key", what, _about(key_note))
    if cause.kind not in {"model", "request", "server"} or not listed or model.outcome == "yes":
        return cause
    near = model.data.get("near")
    names = ", ".join(map(str, near)) if isinstance(near, list) else ""
    advice = f"Near names are {names}" if names else f"It lists {some(listed)}"
    if cause.kind == "model":
        return Cause("model", cause.what, advice)
    advice = f"{cause.advice}. {advice}" if cause.kind == "server" else advice
    return Cause(cause.kind, f"{cause.what}; the model is not listed there", advice)


def _about(key_note: str) -> str:
    note = key_note[:1].upper() + key_note[1:]
    return note if key_note.startswith("no key") else f"{note} was sent"


def what_and_advice(message: str) -> tuple[str, str]:
    """One of our messages, cut before its last sentence: that one says what to do."""
    what, stop, advice = message.rpartition(". ")
    return (what, advice) if stop else (message, "")


def _said(answer: Answer) -> str:
    return f"{answer.status}: {answer.said[:200]}"
